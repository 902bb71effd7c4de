//! Recording dead letters.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::replaying::settle;
use super::{Attempt, DeadLetter, FailedMessage, State, by_ids, overtaken};
use crate::db::{Connection, Result, micros, query};
use crate::models::tables::{failed_attempt, failed_message};
use crate::models::{chunks, grouped};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recorded {
    pub new: usize,
    pub again: usize,
    pub known: usize,
}

/// Records dead letters in one transaction.
/// Contention when another ingester has just recorded the same message.
pub fn record(db: &mut Connection, dead_letters: &[DeadLetter], now: NaiveDateTime) -> Result<Recorded> {
    db.transaction(|db| {
        let now = micros(now);
        let mut recorded = Recorded::default();
        // The same message twice in a batch: one after the other.
        let mut rounds: Vec<BTreeMap<String, &DeadLetter>> = Vec::new();
        for dead_letter in dead_letters {
            let id = dead_letter.id();
            match rounds.iter_mut().find(|round| !round.contains_key(&id)) {
                Some(round) => drop(round.insert(id, dead_letter)),
                None => rounds.push(BTreeMap::from([(id, dead_letter)])),
            }
        }
        for round in rounds {
            record_round(db, &round, now, &mut recorded)?;
        }
        Ok(recorded)
    })
}

fn record_round(
    db: &mut Connection,
    dead_letters: &BTreeMap<String, &DeadLetter>,
    now: NaiveDateTime,
    recorded: &mut Recorded,
) -> Result<()> {
    let ids: Vec<&str> = dead_letters.keys().map(String::as_str).collect();
    let known = by_ids(db, &ids)?;
    let attempts = attempts(db, &ids)?;
    let (mut fresh, mut found) = (Vec::new(), Vec::new());
    for (((id, dead_letter), row), attempts) in dead_letters.iter().zip(known).zip(attempts) {
        let failed_at = micros(dead_letter.failed_at);
        found.extend(dead_letter.earlier.iter().map(|attempt| (id, attempt.clone())));
        found.push((
            id,
            Attempt { at: failed_at, code: dead_letter.code.clone(), text: Some(dead_letter.text.clone()) },
        ));
        let Some(row) = row else {
            fresh.push(first(id, dead_letter, now));
            continue;
        };
        // Once the row is closed a copy may be a new failure; recording it twice is better than losing it.
        let is_open = !matches!(row.state, State::Resolved | State::Discarded);
        let is_known = |attempt: &Attempt| {
            attempt.code == dead_letter.code && (attempt.at == failed_at || dead_letter.is_copy && is_open)
        };
        if attempts.iter().any(is_known) {
            recorded.known += 1;
            continue;
        }
        let updated = again(&row, dead_letter, now);
        let changed = query!(db, "update a failed message", c => {
            // A second ingester finds another count.
            diesel::update(failed_message::table.filter(failed_message::id.eq(id)).filter(failed_message::letters.eq(row.letters)))
                .filter(failed_message::state.eq(row.state))
                .set((
                    failed_message::headers.eq(&updated.headers),
                    failed_message::origin.eq(updated.origin),
                    failed_message::code.eq(&updated.code),
                    failed_message::text.eq(&updated.text),
                    failed_message::fingerprint.eq(&updated.fingerprint),
                    failed_message::attempts.eq(updated.attempts),
                    failed_message::letters.eq(updated.letters),
                    failed_message::last_failed_at.eq(updated.last_failed_at),
                    failed_message::state.eq(updated.state),
                    failed_message::changed_at.eq(updated.changed_at),
                ))
                .execute(c)
        })?;
        if changed == 0 {
            return Err(overtaken());
        }
        recorded.again += 1;
        if updated.state == State::FailedAgain && row.state == State::Replaying {
            settle(db, &[id])?;
        }
    }
    let inserted = chunks::insert!(db, "insert failed messages", c, fresh => {
        diesel::insert_into(failed_message::table).values(fresh).on_conflict_do_nothing().execute(c)
    })?;
    if inserted < fresh.len() {
        return Err(overtaken());
    }
    recorded.new += inserted;
    insert_attempts(db, &found)
}

/// The row of a message that was not known.
fn first(id: &str, dead_letter: &DeadLetter, now: NaiveDateTime) -> FailedMessage {
    FailedMessage {
        id: id.to_owned(),
        stage: dead_letter.stage.clone(),
        message_id: dead_letter.message_id.clone(),
        message_type: dead_letter.message_type.clone(),
        correlation_id: dead_letter.correlation_id.clone(),
        traceparent: dead_letter.traceparent.clone(),
        payload: dead_letter.payload.clone(),
        payload_sha256: dead_letter.payload_sha256.clone(),
        headers: dead_letter.headers.clone(),
        origin: dead_letter.origin,
        code: dead_letter.code.clone(),
        text: dead_letter.text.clone(),
        fingerprint: dead_letter.fingerprint.clone(),
        attempts: dead_letter.attempts,
        letters: 1,
        first_failed_at: micros(dead_letter.first_failed_at),
        last_failed_at: micros(dead_letter.failed_at),
        state: State::Failed,
        changed_at: now,
        replay_id: None,
        replay_fingerprint: None,
        sent_at: None,
        superseded_by: None,
    }
}

fn again(row: &FailedMessage, dead_letter: &DeadLetter, now: NaiveDateTime) -> FailedMessage {
    let failed_at = micros(dead_letter.failed_at);
    let state = match row.state {
        State::Replaying if dead_letter.replay_id.is_some() && dead_letter.replay_id == row.replay_id => {
            State::FailedAgain
        }
        // The dead letter is older than the result and was delayed.
        State::Resolved if failed_at <= row.changed_at => State::Resolved,
        State::Resolved => State::Failed,
        State::Discarded if row.superseded_by.is_none() && failed_at > row.changed_at => State::Failed,
        state => state,
    };
    FailedMessage {
        headers: dead_letter.headers.clone(),
        origin: dead_letter.origin,
        code: dead_letter.code.clone(),
        text: dead_letter.text.clone(),
        fingerprint: dead_letter.fingerprint.clone(),
        attempts: dead_letter.attempts,
        letters: row.letters + 1,
        last_failed_at: failed_at.max(row.last_failed_at),
        state,
        changed_at: if state == row.state { row.changed_at } else { now },
        ..row.clone()
    }
}

fn insert_attempts(db: &mut Connection, found: &[(&String, Attempt)]) -> Result<()> {
    let mut rows: Vec<_> =
        found.iter().map(|(id, attempt)| (*id, micros(attempt.at), &attempt.code, &attempt.text)).collect();
    // Of equal attempts the one with a text wins.
    rows.sort_by(|a, b| (a.0, a.1, a.2, a.3.is_none()).cmp(&(b.0, b.1, b.2, b.3.is_none())));
    rows.dedup_by(|later, first| (later.0, later.1, later.2) == (first.0, first.1, first.2));
    let rows: Vec<_> = rows
        .into_iter()
        .map(|(id, at, code, text)| {
            (
                failed_attempt::failed_id.eq(id),
                failed_attempt::at.eq(at),
                failed_attempt::code.eq(code),
                failed_attempt::text.eq(text),
            )
        })
        .collect();
    chunks::insert!(db, "insert failed attempts", c, rows => {
        diesel::insert_into(failed_attempt::table).values(rows).on_conflict_do_nothing().execute(c)
    })
    .map(drop)
}

pub fn attempts(db: &mut Connection, ids: &[&str]) -> Result<Vec<Vec<Attempt>>> {
    let rows: Vec<(String, Attempt)> = chunks::load!(db, "read failed attempts", c, ids => {
        failed_attempt::table
            .filter(failed_attempt::failed_id.eq_any(ids))
            .order((failed_attempt::at, failed_attempt::code))
            .select((failed_attempt::failed_id, (failed_attempt::at, failed_attempt::code, failed_attempt::text)))
            .load(c)
    })?;
    let groups = grouped(ids, rows, |(id, _)| id);
    Ok(groups.into_iter().map(|group| group.into_iter().map(|(_, attempt)| attempt).collect()).collect())
}
