//! Lists, groups, shows, edits, discards, restores and exports dead letters.

mod change;
mod details;
mod selection;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use hosho_schema::{
    db::Connection,
    models::{
        failed_message::{self, FailedMessage, Filter, OPEN},
        failure_note,
    },
};
use serde::Serialize;

pub use change::{Changed, Direction, Edited, Noted, ValueChange, change, edit, find, note, reveal};
pub use details::{Attempt, Details, Exported, export, export_ids, show};
pub use selection::{Resolved, Selection};

use super::{Cursor, Error, Page, PageRequest};
use crate::{
    db::Db,
    dead_letters::{advice, masked_word},
};

/// A dead letter without its payload and headers.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    pub id: String,
    pub stage: String,
    pub state: &'static str,
    pub code: String,
    pub text: String,
    pub group: String,
    pub origin: &'static str,
    pub attempts: i64,
    /// How often it arrived.
    #[serde(rename = "letters")]
    pub arrivals: i64,
    pub first_failed_at: DateTime<Utc>,
    pub last_failed_at: DateTime<Utc>,
    pub state_since: DateTime<Utc>,
    pub message_id: String,
    pub message_type: Option<String>,
    pub application: Option<String>,
    pub replay: Option<String>,
    pub superseded_by: Option<String>,
}

impl Summary {
    /// Identifiers that the sender wrote are masked unless they have the form of one.
    fn of(row: &FailedMessage, reveal: bool) -> Self {
        let word = |text: &String| if reveal { text.clone() } else { masked_word(text) };
        Self {
            id: row.id.clone(),
            stage: row.stage.clone(),
            state: row.state.as_text(),
            code: row.code.clone(),
            text: row.text.clone(),
            group: row.fingerprint.clone(),
            origin: row.origin.as_text(),
            attempts: row.attempts,
            arrivals: row.letters,
            first_failed_at: row.first_failed_at.and_utc(),
            last_failed_at: row.last_failed_at.and_utc(),
            state_since: row.changed_at.and_utc(),
            message_id: word(&row.message_id),
            message_type: row.message_type.as_ref().map(word),
            application: row.correlation_id.as_ref().map(word),
            replay: row.replay_id.as_ref().map(word),
            superseded_by: row.superseded_by.clone(),
        }
    }
}

fn by_id(db: &mut Connection, id: &str) -> Result<FailedMessage, Error> {
    let row = failed_message::by_ids(db, &[id])?.pop().flatten();
    row.ok_or_else(|| Error::not_found(format!("there is no failed message {id:?}")))
}

/// Reads a page of dead letters, the latest first.
pub async fn list(db: &Db, filter: Filter, page: PageRequest) -> Result<Page<Summary>, Error> {
    db.call(move |db| {
        let rows = failed_message::list(db, &filter, page.rows(), page.place())?;
        let total = failed_message::counts(db, &filter)?.values().sum();
        let rows = Page::new(rows, total, &page, |row| Cursor::new(row.last_failed_at, &row.id));
        Ok(rows.map(|row| Summary::of(&row, false)))
    })
    .await
}

#[derive(Debug, Clone, Serialize)]
pub struct Group {
    pub group: String,
    pub stage: String,
    pub code: String,
    pub text: String,
    pub count: i64,
    pub states: BTreeMap<&'static str, i64>,
    pub first_failed_at: DateTime<Utc>,
    pub last_failed_at: DateTime<Utc>,
    pub sample: String,
    pub note: Option<String>,
    pub advice: Option<&'static str>,
}

/// The page of groups that are all in memory, the largest first.
fn page_of(mut groups: Vec<failed_message::Group>, page: &PageRequest) -> Page<failed_message::Group> {
    let total = i64::try_from(groups.len()).unwrap_or(i64::MAX);
    let place = |group: &failed_message::Group| (-group.count(), group.fingerprint.clone());
    groups.sort_by_cached_key(place);
    if let Some(cursor) = &page.after {
        let (count, fingerprint) = cursor.key();
        groups.retain(|group| place(group) > (-count, fingerprint.to_owned()));
    }
    Page::new(groups, total, page, |group| Cursor::counted(group.count(), &group.fingerprint))
}

/// Reads a page of groups, the largest first.
pub async fn groups(db: &Db, filter: Filter, page: PageRequest) -> Result<Page<Group>, Error> {
    db.call(move |db| {
        let found = page_of(failed_message::groups(db, &filter)?, &page);
        let fingerprints: Vec<&str> = found.items.iter().map(|group| group.fingerprint.as_str()).collect();
        let mut notes = failure_note::by_fingerprints(db, &fingerprints)?;
        Ok(found.map(|group| Group {
            note: notes.remove(&group.fingerprint).map(|note| note.note),
            advice: advice(&group.code),
            count: group.count(),
            states: group.states.iter().map(|(state, count)| (state.as_text(), *count)).collect(),
            first_failed_at: group.first_failed_at.and_utc(),
            last_failed_at: group.last_failed_at.and_utc(),
            group: group.fingerprint,
            stage: group.stage,
            code: group.code,
            text: group.text,
            sample: group.sample,
        }))
    })
    .await
}

pub async fn open_count(db: &Db) -> Result<i64, Error> {
    let open = Filter { states: OPEN.to_vec(), ..Filter::default() };
    Ok(db.call(move |db| failed_message::counts(db, &open)).await?.values().sum())
}

#[cfg(test)]
mod tests {
    use hosho_schema::models::failed_message::State;

    use super::*;

    #[test]
    fn pages_of_groups_have_each_group_once() {
        let group = |fingerprint: &str, count| failed_message::Group {
            fingerprint: fingerprint.to_owned(),
            stage: String::new(),
            code: String::new(),
            text: String::new(),
            sample: String::new(),
            first_failed_at: DateTime::UNIX_EPOCH.naive_utc(),
            last_failed_at: DateTime::UNIX_EPOCH.naive_utc(),
            states: BTreeMap::from([(State::Failed, count)]),
        };
        let groups = || vec![group("b", 1), group("d", 7), group("a", 1), group("e", 7), group("c", 1)];
        for limit in 1..=6 {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = page_of(groups(), &PageRequest { limit, after });
                assert_eq!(page.total, 5);
                seen.extend(page.items.into_iter().map(|group| group.fingerprint));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen, ["d", "e", "a", "b", "c"], "{limit}");
        }
    }
}
