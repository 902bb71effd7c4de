//! Decides applications in order, against earlier ones of files or database.
//!
//! The decision is that of the validate stage ([`decide::against`]), kept in memory. A copy of an application
//! is judged against the same others as the first one, so it gets the same answer.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use chrono::NaiveDate;
use hosho_schema::{
    db::{Connection, DbError},
    messages::{CalculationV1, ViolationV1},
    models::{
        application::{self, Application},
        works,
    },
    snapshots,
};
use serde::{Serialize, Serializer};

use super::{
    super::Error,
    judge::{About, Alone, Finding, Key},
};
use crate::{
    domain::{application::Judged, commitment::OpenCommitment, violation::Violation},
    stages::validate::decide,
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// As the operator named it.
    #[serde(serialize_with = "as_text")]
    pub file: Arc<str>,
    /// From 1.
    pub line: usize,
}

/// The name of a file is shared by all its applications.
pub(super) fn as_text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

pub(super) struct Decided {
    pub about: About,
    /// Empty for an accepted application.
    pub violations: Vec<ViolationV1>,
    pub calculations: Vec<CalculationV1>,
    /// The first application of these files with the same `source` and `id`.
    pub repeats: Option<Place>,
    /// Whether the database has its `source` and `id`.
    pub stored: bool,
    /// The offset of a syntax error.
    pub broken_at: Option<usize>,
}

#[derive(Clone)]
struct Earlier {
    sha256: String,
    place: Place,
    /// The number of commitments for its works before it.
    commitments: usize,
}

pub(super) struct History {
    today: NaiveDate,
    database: Option<Connection>,
    /// By works, oldest first.
    commitments: HashMap<String, Vec<OpenCommitment>>,
    seen: HashMap<String, Earlier>,
}

/// Fails when the tables cannot be read.
pub(super) fn probe(connection: &mut Connection) -> Result<(), DbError> {
    application::by_ids(connection, &[""])?;
    works::commitments(connection, &[""])?;
    Ok(())
}

impl History {
    /// Applications are accepted on `today`.
    pub(super) fn new(today: NaiveDate, database: Option<Connection>) -> Self {
        Self { today, database, commitments: HashMap::new(), seen: HashMap::new() }
    }

    /// Reads stored applications, by our ids, and the commitments for their works.
    pub(super) fn look_up(&mut self, alone: &[Alone]) -> Result<HashMap<String, Application>, DbError> {
        let Some(connection) = &mut self.database else { return Ok(HashMap::new()) };
        let ids: Vec<&str> = alone.iter().filter_map(|alone| Some(alone.key.as_ref()?.id.as_str())).collect();
        let rows = application::by_ids(connection, &ids)?.into_iter().flatten();
        let works: HashSet<&str> = alone.iter().filter_map(|alone| alone.works.as_deref()).collect();
        let works: Vec<&str> =
            works.into_iter().filter(|works| !self.commitments.contains_key(*works)).collect();
        let mut found = works::commitments(connection, &works)?;
        for works in works {
            let commitments = found.remove(works).unwrap_or_default();
            self.commitments.insert(works.to_owned(), commitments.iter().map(decide::known).collect());
        }
        Ok(rows.map(|row| (row.id.clone(), row)).collect())
    }

    /// Decides the next application. `stored` comes from [`look_up`](Self::look_up).
    pub(super) fn decide(
        &mut self,
        alone: Alone,
        stored: &HashMap<String, Application>,
        place: &Place,
    ) -> Result<Decided, Error> {
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
        let first = self.add(&key, works.as_deref(), place);
        if let Some(row) = stored.get(&key.id) {
            return Ok(Decided { repeats: first.map(|first| first.place), stored: true, ..bare }
                .with(answer(row, &key)?));
        }
        let Some(first) = first else { return Ok(bare.with(self.judge(judged, works.as_deref(), None))) };
        let found = if first.sha256 == key.sha256 {
            self.judge(judged, works.as_deref(), Some(first.commitments))
        } else {
            let (source, id) = bare.about.identity.as_ref().map_or(("", ""), |(source, id)| (source, id));
            (vec![Violation::id_reused(source, id).into()], Vec::new())
        };
        Ok(Decided { repeats: Some(first.place), ..bare }.with(found))
    }

    /// Stores an application, unless there is one with the same id: returns that.
    fn add(&mut self, key: &Key, works: Option<&str>, place: &Place) -> Option<Earlier> {
        if let Some(first) = self.seen.get(&key.id) {
            return Some(first.clone());
        }
        let commitments = works.and_then(|works| self.commitments.get(works)).map_or(0, Vec::len);
        self.seen.insert(
            key.id.clone(),
            Earlier { sha256: key.sha256.clone(), place: place.clone(), commitments },
        );
        None
    }

    /// A copy is judged against the first `copy` commitments, and adds none.
    fn judge(
        &mut self,
        judged: Judged,
        works: Option<&str>,
        copy: Option<usize>,
    ) -> (Vec<ViolationV1>, Vec<CalculationV1>) {
        let (source, on) = (judged.source().to_owned(), self.today);
        let mut commitments = works.map(|works| self.commitments.entry(works.to_owned()).or_default());
        let others =
            commitments.as_ref().map(|commitments| &commitments[..copy.unwrap_or(commitments.len())]);
        let decided = decide::against(judged, others);
        if let (Some(commitments), None) = (&mut commitments, copy) {
            let new = |commitment| OpenCommitment {
                commitment,
                source: source.clone(),
                on,
                number: None,
                issued: false,
            };
            commitments.extend(decided.commitments.into_iter().map(new));
        }
        (decided.verdict.err().unwrap_or_default(), decided.calculations)
    }
}

impl Decided {
    fn with(self, (violations, calculations): (Vec<ViolationV1>, Vec<CalculationV1>)) -> Self {
        Self { violations, calculations, ..self }
    }
}

/// Answers a copy of a stored application: the stored answer, or an id in use.
fn answer(row: &Application, key: &Key) -> Result<(Vec<ViolationV1>, Vec<CalculationV1>), Error> {
    if row.payload_sha256 != key.sha256 {
        return Ok((vec![Violation::id_reused(&row.source, &row.upstream_id).into()], Vec::new()));
    }
    let unreadable = |error: serde_json::Error| {
        Error::unavailable(error).context(format!("cannot read the stored answer to application {}", row.id))
    };
    let violations = row.violations.as_deref().map_or(Ok(Vec::new()), snapshots::read).map_err(unreadable)?;
    Ok((violations, snapshots::read(&row.calculations).map_err(unreadable)?))
}
