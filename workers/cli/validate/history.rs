//! What came before an application: in these files, and in the database where that was asked for.
//!
//! Decides in order, as [`crate::decisions::store`] does it, with the same rules on the same values; but keeps what it has decided in
//! memory. A copy of an application is judged against what the first one was judged against, so it gets the same answer.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use chrono::NaiveDate;
use hosho_schema::{
    db::{Connection, DbError},
    messages::{CalculationV1, ViolationV1},
    models::{
        application::{self, Application as Row},
        works,
    },
    snapshots,
};
use serde::{Serialize, Serializer};

use super::alone::{About, Alone, Finding, Key};
use crate::{
    decisions,
    domain::{application::Judged, commitment::OpenCommitment, violation::Violation},
};

/// Says why an application cannot be compared with what is stored under its id.
#[derive(Debug, thiserror::Error)]
pub(super) enum HistoryError {
    /// The stored answer is not what was written there.
    #[error("cannot read the stored answer to application {id}")]
    Answer {
        /// Our identifier of the application.
        id: String,
        /// Why.
        source: serde_json::Error,
    },
}

/// Where an application stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Place {
    /// The file as the caller named it.
    #[serde(serialize_with = "as_text")]
    pub(super) file: Arc<str>,
    /// From 1.
    pub(super) line: usize,
}

/// A file is named in every application of it, and its name kept once.
pub(super) fn as_text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// A verdict and what led to it.
pub(super) struct Decided {
    pub(super) about: About,
    /// Empty where the application is accepted.
    pub(super) violations: Vec<ViolationV1>,
    /// How each amount was judged.
    pub(super) calculations: Vec<CalculationV1>,
    /// The first application of these files with the same `source` and `id`.
    pub(super) repeats: Option<Place>,
    /// Whether the database knows its `source` and `id`.
    pub(super) stored: bool,
    /// Where an unreadable one is broken: an offset in its bytes.
    pub(super) broken_at: Option<usize>,
}

/// An application of these files.
struct Seen {
    sha256: String,
    place: Place,
    /// How much was engaged for its works before it.
    engaged: usize,
}

/// What applications have asked for so far.
pub(super) struct History {
    today: NaiveDate,
    database: Option<Connection>,
    /// By works, oldest first.
    engaged: HashMap<String, Vec<OpenCommitment>>,
    seen: HashMap<String, Seen>,
}

/// Makes sure that the tables can be read.
pub(super) fn probe(connection: &mut Connection) -> Result<(), DbError> {
    application::by_ids(connection, &[""])?;
    works::engaged(connection, &[""])?;
    Ok(())
}

impl History {
    /// `today` is the day on which applications are accepted.
    pub(super) fn new(today: NaiveDate, database: Option<Connection>) -> Self {
        Self { today, database, engaged: HashMap::new(), seen: HashMap::new() }
    }

    /// Reads what is stored of applications, by our identifiers, and what is engaged for their works.
    pub(super) fn look_up(&mut self, alone: &[Alone]) -> Result<HashMap<String, Row>, DbError> {
        let Some(connection) = &mut self.database else { return Ok(HashMap::new()) };
        let ids: Vec<&str> = alone.iter().filter_map(|alone| Some(alone.key.as_ref()?.id.as_str())).collect();
        let rows = application::by_ids(connection, &ids)?.into_iter().flatten();
        let works: HashSet<&str> = alone.iter().filter_map(|alone| alone.works.as_deref()).collect();
        let works: Vec<&str> = works.into_iter().filter(|works| !self.engaged.contains_key(*works)).collect();
        let mut found = works::engaged(connection, &works)?;
        for works in works {
            let engaged = found.remove(works).unwrap_or_default();
            self.engaged.insert(works.to_owned(), engaged.iter().map(decisions::known).collect());
        }
        Ok(rows.map(|row| (row.id.clone(), row)).collect())
    }

    /// Decides the next application. `stored` is what [`look_up`](Self::look_up) found.
    pub(super) fn decide(
        &mut self,
        alone: Alone,
        stored: &HashMap<String, Row>,
        place: &Place,
    ) -> Result<Decided, HistoryError> {
        let Alone { about, key, works, finding } = alone;
        let bare = Decided {
            about,
            violations: Vec::new(),
            calculations: Vec::new(),
            repeats: None,
            stored: false,
            broken_at: None,
        };
        let judged = match finding {
            Finding::Judged(judged) => *judged,
            Finding::Unreadable(violation, offset) => {
                return Ok(Decided { violations: vec![violation], broken_at: Some(offset), ..bare });
            }
        };
        let Some(key) = key else { return Ok(bare.with(self.judge(judged, works.as_deref(), None))) };
        let (first, engaged) = self.remember(&key, works.as_deref(), place);
        if let Some(row) = stored.get(&key.id) {
            return Ok(Decided { repeats: first.map(|(_, place)| place), stored: true, ..bare }
                .with(answer(row, &key)?));
        }
        match first {
            None => Ok(bare.with(self.judge(judged, works.as_deref(), None))),
            Some((sha256, place)) => {
                let found = if sha256 == key.sha256 {
                    self.judge(judged, works.as_deref(), Some(engaged))
                } else {
                    (bare.id_reused(), Vec::new())
                };
                Ok(Decided { repeats: Some(place), ..bare }.with(found))
            }
        }
    }

    /// Remembers an application; gives the first one under the same id, and how much had been engaged before that one.
    fn remember(
        &mut self,
        key: &Key,
        works: Option<&str>,
        place: &Place,
    ) -> (Option<(String, Place)>, usize) {
        if let Some(seen) = self.seen.get(&key.id) {
            return (Some((seen.sha256.clone(), seen.place.clone())), seen.engaged);
        }
        let engaged = works.and_then(|works| self.engaged.get(works)).map_or(0, Vec::len);
        self.seen.insert(key.id.clone(), Seen { sha256: key.sha256.clone(), place: place.clone(), engaged });
        (None, engaged)
    }

    /// Judges an application against what is engaged for its works, and engages what it asks for when it is accepted; a copy is
    /// judged against the first `copy` of them, and engages nothing.
    fn judge(
        &mut self,
        mut judged: Judged,
        works: Option<&str>,
        copy: Option<usize>,
    ) -> (Vec<ViolationV1>, Vec<CalculationV1>) {
        if let Some(works) = works {
            let engaged = self.engaged.entry(works.to_owned()).or_default();
            judged.check_against(&engaged[..copy.unwrap_or(engaged.len())]);
            if judged.is_accepted() && copy.is_none() {
                let (source, on) = (judged.source().to_owned(), self.today);
                let asked = |commitment| OpenCommitment {
                    commitment,
                    source: source.clone(),
                    on,
                    number: None,
                    issued: false,
                };
                engaged.extend(judged.commitments().into_iter().map(asked));
            }
        }
        let (verdict, calculations) = judged.verdict();
        let violations = verdict.err().unwrap_or_default();
        (violations.into_iter().map(ViolationV1::from).collect(), calculations)
    }
}

impl Decided {
    fn with(self, (violations, calculations): (Vec<ViolationV1>, Vec<CalculationV1>)) -> Self {
        Self { violations, calculations, ..self }
    }

    fn id_reused(&self) -> Vec<ViolationV1> {
        let (source, id) = self.about.identity.as_ref().map_or(("", ""), |(source, id)| (source, id));
        vec![Violation::id_reused(source, id).into()]
    }
}

/// What a copy of a stored application is answered: what was answered then, or that the id is taken.
fn answer(row: &Row, key: &Key) -> Result<(Vec<ViolationV1>, Vec<CalculationV1>), HistoryError> {
    if row.payload_sha256 != key.sha256 {
        return Ok((vec![Violation::id_reused(&row.source, &row.upstream_id).into()], Vec::new()));
    }
    let unreadable = |source| HistoryError::Answer { id: row.id.clone(), source };
    let violations = row.violations.as_deref().map_or(Ok(Vec::new()), snapshots::read).map_err(unreadable)?;
    Ok((violations, snapshots::read(&row.calculations).map_err(unreadable)?))
}
