//! Checks files of applications; issues nothing and writes nothing.
//!
//! The answer is that of the validate stage if it received the applications one after the other, in the order
//! of the files. Each is judged alone (`judge`, on all cores), then decided in order (`history`) by the
//! function of the stage. The difference is the store of earlier applications: memory here, and the database
//! only on request. An application that would be a dead letter (no JSON, too large, no readable `source`) is
//! reported as rejected, because the owner of the file can correct it.
//!
//! A file is checked in portions, so that memory holds the file, and of earlier portions only ids and
//! commitments.
//!
//! Rejected: running the pipeline on a database in memory and rolling it back. It needs keys, a document
//! store and a mail folder, and would judge on one core; and a check must not be one mistake away from an
//! issue.

mod history;
mod judge;
mod places;

use std::{fmt::Write as _, sync::Arc};

use chrono::NaiveDate;
use hosho_schema::{
    db::{Connection, DbError},
    messages::{CalculationV1, RejectedLineV1, ViolationV1},
};
use rayon::prelude::*;
use serde::Serialize;

pub use self::history::Place;
use self::{
    history::{Decided, History, as_text},
    judge::{Alone, Judge},
    places::Places,
};
use super::{
    Error, counted, database,
    input::{self, Piece, Position},
};
use crate::{app, clock::Clock, config::Config, domain::wareki};

/// Applications judged at a time.
const PORTION: usize = 2_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Accepted,
    Rejected,
}

#[derive(Serialize)]
pub struct Checked {
    #[serde(serialize_with = "as_text")]
    pub file: Arc<str>,
    pub line: usize,
    pub source: Option<String>,
    pub id: Option<String>,
    pub verdict: Verdict,
    pub repeats: Option<Place>,
    pub stored: bool,
    pub products: Vec<RejectedLineV1>,
    pub violations: Vec<Placed>,
    pub calculations: Vec<CalculationV1>,
}

/// A violation and the position of its value in the file.
#[derive(Serialize)]
pub struct Placed {
    #[serde(flatten)]
    pub violation: ViolationV1,
    pub line: usize,
    pub column: usize,
}

#[derive(Serialize)]
pub struct Unreadable {
    pub file: String,
    pub problem: String,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Summary {
    pub applications: usize,
    pub accepted: usize,
    pub rejected: usize,
    pub repeated: usize,
    pub stored: usize,
    pub unreadable: usize,
}

impl Summary {
    pub fn count(&mut self, checked: &Checked) {
        self.applications += 1;
        match checked.verdict {
            Verdict::Accepted => self.accepted += 1,
            Verdict::Rejected => self.rejected += 1,
        }
        self.repeated += usize::from(checked.repeats.is_some());
        self.stored += usize::from(checked.stored);
    }

    /// 0 when all are accepted, 1 when one is rejected, 4 when a file cannot be read.
    pub const fn exit_code(self) -> u8 {
        match (self.unreadable, self.rejected) {
            (0, 0) => 0,
            (0, _) => 1,
            _ => 4,
        }
    }

    pub fn line(self) -> String {
        let read = counted(self.applications, "application");
        let mut line = format!("{read}: {} accepted, {} rejected", self.accepted, self.rejected);
        for (count, what) in [(self.repeated, "repeated"), (self.stored, "in the database")] {
            if count > 0 {
                let _ = write!(line, "; {count} {what}");
            }
        }
        let _ = match self.unreadable {
            0 => Ok(()),
            1 => write!(line, "; a file cannot be read"),
            files => write!(line, "; {files} files cannot be read"),
        };
        line
    }
}

pub struct Checker {
    judge: Judge,
    history: History,
}

impl Checker {
    /// As of `on`, or today in Tokyo; with `database` also against stored applications.
    pub fn open(config: &Config, on: Option<NaiveDate>, database: bool) -> Result<Self, Error> {
        if database {
            database::existing_or_folder(config)?;
        }
        let today = on.unwrap_or_else(|| wareki::in_tokyo(Clock::system().now()).date_naive());
        let judge = Judge {
            data: app::data(config)?,
            fonts: app::fonts(&config.fonts)?,
            received_on: today,
            max_bytes: config.work.max_message_bytes,
        };
        let database = if database { Some(open_database(config)?) } else { None };
        Ok(Self { judge, history: History::new(today, database) })
    }

    /// Checks a file, and passes its applications to `report` in portions.
    pub fn check(
        &mut self,
        file: &str,
        bytes: &[u8],
        mut report: impl FnMut(&[Checked]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let name: Arc<str> = file.into();
        for portion in input::pieces(bytes).chunks(PORTION) {
            let judge = |piece: &Piece| self.judge.judge(&bytes[piece.bytes.clone()], piece);
            let alone: Vec<Alone> = portion.par_iter().map(judge).collect();
            let stored = self.history.look_up(&alone).map_err(unavailable)?;
            let decided = alone
                .into_iter()
                .zip(portion)
                .map(|(alone, piece)| {
                    let place = Place { file: Arc::clone(&name), line: piece.at.line };
                    self.history.decide(alone, &stored, &place)
                })
                .collect::<Result<Vec<_>, _>>()?;
            let checked: Vec<Checked> = decided
                .into_par_iter()
                .zip(portion)
                .map(|(decided, piece)| Checked::new(&name, piece, &bytes[piece.bytes.clone()], decided))
                .collect();
            report(&checked)?;
        }
        Ok(())
    }
}

fn open_database(config: &Config) -> Result<Connection, Error> {
    let mut connection = app::pool(config)?.get().map_err(unavailable)?;
    history::probe(&mut connection).map_err(unavailable)?;
    Ok(connection)
}

fn unavailable(error: DbError) -> Error {
    Error::unavailable(error)
        .hint("start the database server or correct database.url, then run `hosho migrate --check`")
}

impl Checked {
    /// `payload` is the bytes of the piece.
    fn new(file: &Arc<str>, piece: &Piece, payload: &[u8], decided: Decided) -> Self {
        let Decided { about, violations, calculations, repeats, stored, broken_at } = decided;
        let verdict = if violations.is_empty() { Verdict::Accepted } else { Verdict::Rejected };
        let values = (!violations.is_empty() && broken_at.is_none()).then(|| Places::of(payload));
        let locate = |violation: ViolationV1| {
            let found = || Some(values.as_ref()?.offset(&violation.path));
            let offset = broken_at.or_else(found).unwrap_or_default();
            let Position { line, column } = piece.at.after(&payload[..offset]);
            Placed { violation, line, column }
        };
        let (source, id) = about.identity.unzip();
        Self {
            file: Arc::clone(file),
            line: piece.at.line,
            source,
            id,
            verdict,
            repeats,
            stored,
            products: about.products,
            violations: violations.into_iter().map(locate).collect(),
            calculations,
        }
    }
}
