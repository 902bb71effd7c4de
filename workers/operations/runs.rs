//! Runs that re-issue guarantees: those of the schedule and of operators.

use std::{path::Path, sync::Arc, time::Duration};

use chrono::{DateTime, NaiveDateTime, Utc};
use hosho_schema::{
    db::{Connection, DbError},
    models::{
        audit,
        job_run::{self, Begun, Run, State},
        run_item::{self, Counts, Failed},
    },
    queries::run_selection::{self, Selection},
};
use serde::Serialize;

use super::{Cursor, Error, Page, PageRequest, guarantees};
use crate::{
    app,
    audit::Operation,
    broker::Lane,
    clock::Clock,
    config::Config,
    db::Db,
    documents::revision::RevisionRenderer,
    jobs::run::{self, Order},
    schedule::CronSchedule,
    worker::Embedded,
};

#[derive(Debug, Serialize)]
pub struct RunProgress {
    pub run: String,
    pub job: String,
    /// `null` for a run of an operator.
    pub scheduled_for: Option<DateTime<Utc>>,
    pub state: &'static str,
    pub selection: serde_json::Value,
    pub reason: String,
    pub actor: String,
    pub total: i64,
    pub selected: i64,
    pub queued: i64,
    pub done: i64,
    pub failed: i64,
    pub reissued: i64,
    pub redrawn: i64,
    pub unchanged: i64,
    /// Guarantees a second at most.
    pub rate: i64,
    /// Guarantees a second so far.
    pub pace: f64,
    pub left_seconds: Option<i64>,
    pub checkpoint: String,
    pub driver: Option<String>,
    pub takeovers: i64,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    pub note: Option<String>,
}

impl RunProgress {
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete.as_text()
    }

    /// Whether it makes no more progress: it ended, or is paused.
    pub fn is_halted(&self) -> bool {
        self.finished_at.is_some() || self.state == State::Paused.as_text()
    }
}

#[derive(Debug, Serialize)]
pub struct RunDetails {
    #[serde(flatten)]
    pub progress: RunProgress,
    /// The first twenty; `failed` counts all.
    pub failures: Vec<Failed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Pause,
    Resume,
    Cancel,
}

impl Action {
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
        }
    }

    /// Its name in the audit.
    pub const fn audited_as(self) -> &'static str {
        match self {
            Self::Pause => "batch.pause",
            Self::Resume => "batch.resume",
            Self::Cancel => "batch.cancel",
        }
    }
}

/// Numbers in one selection at most.
const NUMBERS: usize = 10_000;

/// Failed guarantees returned with a run at most.
const FAILURES: i64 = 20;

/// Pause between two looks at a run.
pub const POLL: Duration = Duration::from_millis(500);

/// By 保証契約番号, in either width.
pub async fn with_numbers(db: &Db, numbers: &[String]) -> Result<Selection, Error> {
    if numbers.len() > NUMBERS {
        return Err(Error::invalid(format!("at most {NUMBERS} guarantees can be named")));
    }
    let numbers = guarantees::parse_numbers(numbers)?;
    db.call(move |db| {
        guarantees::by_numbers(db, &numbers)?;
        Ok(Selection::Numbers { numbers })
    })
    .await
}

/// By the code of their obligee.
pub fn of_obligee(obligee: String, config: &Config) -> Result<Selection, Error> {
    if app::obligees(config)?.get(&obligee).is_none() {
        return Err(Error::not_found(format!("there is no obligee {obligee:?}"))
            .hint("run `hosho obligees list` for their codes"));
    }
    Ok(Selection::Obligee { obligee })
}

/// Drawn with other templates, fonts or another version of the program.
pub fn template_changed(config: &Config) -> Result<Selection, Error> {
    let (renderer, keys) = (app::renderer(config)?, app::keys(&config.keys)?);
    let renderer = RevisionRenderer::new(Arc::new(renderer), Arc::new(keys), config.registry.url.clone());
    Ok(Selection::TemplateChanged { identity: renderer.identity() })
}

#[derive(Debug, Clone)]
pub struct Runs {
    db: Db,
    clock: Clock,
    /// Of the slots in `scheduled_for`.
    schedule: CronSchedule,
}

impl Runs {
    pub fn new(db: Db, config: &Config) -> Result<Self, Error> {
        let schedule = CronSchedule::new(&config.schedule.reissue, &config.schedule.zone);
        Ok(Self { db, clock: Clock::system(), schedule: schedule.map_err(Error::configuration)? })
    }

    /// The latest first.
    pub async fn list(&self, page: PageRequest) -> Result<Page<RunProgress>, Error> {
        let this = self.clone();
        let read = move |db: &mut Connection| {
            let runs = job_run::list(db, page.rows(), page.place())?;
            let cursor = |run: &job_run::Run| Cursor::new(run.created_at, &run.id);
            Page::new(runs, job_run::count(db)?, &page, cursor)
                .try_map(|run| Ok(this.progress(&run_item::counts(db, &run.id)?, run)))
        };
        self.db.call(read).await
    }

    pub async fn show(&self, id: &str) -> Result<RunDetails, Error> {
        let (this, id) = (self.clone(), id.to_owned());
        let read = move |db: &mut Connection| {
            let run = job_run::by_id(db, &id)?.ok_or_else(|| Error::not_found("there is no such run"))?;
            let counts = run_item::counts(db, &id)?;
            let failures = run_item::failed(db, &id, FAILURES)?;
            Ok(RunDetails { progress: this.progress(&counts, run), failures })
        };
        self.db.call(read).await
    }

    /// Pauses, resumes or cancels a run; `dry_run` only checks its state.
    /// The audit entry is in the same transaction.
    pub async fn set_state(
        &self,
        operation: Operation,
        id: &str,
        action: Action,
        dry_run: bool,
    ) -> Result<(), Error> {
        let run = id.to_owned();
        let set = move |db: &mut Connection| {
            if dry_run {
                let state = job_run::by_id(db, &run)?.map(|run| run.state);
                return Ok::<_, DbError>(match action {
                    Action::Pause => state == Some(State::Running),
                    Action::Resume => state == Some(State::Paused),
                    Action::Cancel => matches!(state, Some(State::Running | State::Paused)),
                });
            }
            set_state(db, &operation, &run, action)
        };
        if self.db.transaction(set).await? {
            return Ok(());
        }
        let state = self.show(id).await?.progress.state.replace('_', " ");
        Err(Error::conflict(format!("it is {state}: there is nothing to {}", action.verb())))
    }

    pub async fn count(&self, selection: &Selection, cutoff: NaiveDateTime) -> Result<i64, Error> {
        let selection = selection.clone();
        Ok(self.db.call(move |db| run_selection::count(db, &selection, cutoff)).await?)
    }

    /// Begins a run, which a driver completes. `None` if it selects no guarantee.
    pub async fn begin(&self, operation: &Operation, order: &Order) -> Result<Option<Run>, Error> {
        if self.count(&order.selection, operation.at).await? == 0 {
            return Ok(None);
        }
        let (operation, order) = (operation.clone(), order.clone());
        match self.db.call(move |db| run::begin(db, &operation, &order)).await? {
            Begun::Ours(run) => Ok(Some(*run)),
            Begun::Busy(other) => {
                let id = other.id.get(..8).unwrap_or(&other.id);
                Err(Error::conflict(format!("the run {id} is in progress")).hint(format!(
                    "wait for it, or run `hosho batch cancel {id} --reason …`: one run at a time"
                )))
            }
            Begun::Taken => Err(Error::conflict("another run has just ended: try again")),
        }
    }

    /// Begins a run and drives it to its end in this process.
    /// On the folder of `hosho process`; `progress` is called twice a second.
    /// `None` if it selects no guarantee.
    pub async fn drive(
        &self,
        out: &Path,
        operation: &Operation,
        order: &Order,
        config: &Config,
        progress: impl Fn(&RunProgress) + Send + 'static,
    ) -> Result<Option<Run>, Error> {
        let mut embedded = Embedded::open(out, config).await?;
        let Some(run) = self.begin(operation, order).await? else {
            embedded.end().await;
            return Ok(None);
        };
        embedded.start(config, &[Lane::Live, Lane::Bulk]);
        let mut driver = embedded.run_driver(config)?;
        let (runs, id) = (self.clone(), run.id.clone());
        let watching = tokio::spawn(async move {
            loop {
                if let Ok(run) = runs.show(&id).await {
                    progress(&run.progress);
                }
                tokio::time::sleep(POLL).await;
            }
        });
        let done = driver.until_done(&run.id).await && !embedded.until_idle().await;
        watching.abort();
        embedded.end().await;
        if !done {
            return Err(Error::conflict("interrupted; finished work is kept")
                .hint("run the same command again, or `hosho batch start`, to continue it"));
        }
        Ok(Some(run))
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a pace and an estimate for people"
    )]
    fn progress(&self, counts: &Counts, run: Run) -> RunProgress {
        let settled = counts.done + counts.failed;
        let ended = run.finished_at.unwrap_or_else(|| self.clock.now());
        let pace = settled as f64 / ((ended - run.created_at).num_milliseconds().max(1) as f64 / 1_000.0);
        let left = run.total.max(run.selected) - settled;
        let slot = |slot: String| Some(self.schedule.slot(slot.parse().ok()?).due.and_utc());
        RunProgress {
            run: run.id,
            job: run.job,
            scheduled_for: run.scheduled_for.and_then(slot),
            state: run.state.as_text(),
            selection: serde_json::from_str(&run.selection).unwrap_or_default(),
            reason: run.reason,
            actor: run.actor,
            total: run.total,
            selected: run.selected,
            queued: counts.queued,
            done: counts.done,
            failed: counts.failed,
            reissued: counts.reissued,
            redrawn: counts.redrawn,
            unchanged: counts.unchanged,
            rate: run.rate,
            pace: (pace * 10.0).round() / 10.0,
            left_seconds: (run.state == State::Running && settled > 0).then(|| (left as f64 / pace) as i64),
            checkpoint: run.checkpoint,
            driver: run.driver,
            takeovers: (run.takeovers - 1).max(0),
            created_at: run.created_at.and_utc(),
            finished_at: run.finished_at.map(|at| at.and_utc()),
            note: run.note,
        }
    }
}

fn set_state(db: &mut Connection, operation: &Operation, id: &str, action: Action) -> Result<bool, DbError> {
    let before = job_run::by_id(db, id)?.map(|run| run.state.as_text().to_owned());
    let note = Some(operation.reason.as_str());
    let (changed, after) = match action {
        Action::Pause => (job_run::set_paused(db, id, true, note)?, State::Paused),
        Action::Resume => (job_run::set_paused(db, id, false, None)?, State::Running),
        Action::Cancel => (job_run::finish(db, id, State::Cancelled, note, operation.at)?, State::Cancelled),
    };
    if changed {
        audit::write(db, &[operation.entry("job_run", id, before, Some(after.as_text().to_owned()))])?;
    }
    Ok(changed)
}
