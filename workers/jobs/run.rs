//! Runs: the nightly one and those an operator starts.
//! How a run begins, and its messages.
//!
//! A slot of the schedule is taken once, and at most one run is active; the tables ensure both.
//! [`super::run_driver`] drives a run.

use chrono::{NaiveDateTime, TimeDelta};
use hosho_schema::{
    db::{Connection, DbError},
    ids,
    messages::{Message, ReissueV1, StageMessage as _},
    models::{
        audit,
        job_run::{self, Begun, Run, State},
        outbox::Outbound,
    },
    queries::run_selection::{self, Selection},
    snapshots,
};
use tracing::warn;

use super::run_report;
use crate::schedule::{CronSchedule, Decision, MissedRun, Slot, decide};
use crate::{
    audit::Operation,
    broker::{Destination, Envelope, History, Lane, Outgoing},
    clock::{Clock, seconds},
    config,
    telemetry::Traceparent,
};

pub const JOB: &str = "reissue";

#[derive(Debug, Clone)]
pub struct Settings {
    pub schedule: CronSchedule,
    pub misfire: MissedRun,
    /// A missed run that is later than this is skipped.
    pub max_lateness: TimeDelta,
    /// Guarantees a second, unless the run has its own rate.
    pub rate: u32,
    /// Guarantees in flight at most.
    pub in_flight: i64,
    pub lease: TimeDelta,
    pub report: run_report::Addresses,
}

impl Settings {
    pub fn new(config: &config::Config) -> Result<Self, crate::schedule::ScheduleError> {
        Ok(Self {
            schedule: CronSchedule::new(&config.schedule.reissue, &config.schedule.zone)?,
            misfire: config.schedule.reissue_misfire,
            max_lateness: seconds(config.schedule.reissue_max_lateness_seconds),
            rate: config.batch.rate,
            in_flight: config.batch.in_flight.into(),
            lease: seconds(config.batch.lease_seconds),
            report: run_report::Addresses {
                folder: config.batch.report_folder.clone(),
                to: config.batch.report_to.clone(),
            },
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub selection: Selection,
    /// Guarantees a second at most.
    pub rate: u32,
    /// The slot of the schedule; none for an operator's run.
    pub slot: Option<NaiveDateTime>,
}

/// Begins a run, with its count and its audit entry, in one transaction.
pub fn begin(db: &mut Connection, operation: &Operation, order: &Order) -> Result<Begun, DbError> {
    let total = run_selection::count(db, &order.selection, operation.at)?;
    let run = Run { total, ..row(operation, order) };
    db.transaction(|db| {
        let begun = job_run::begin(db, &run)?;
        if let Begun::Ours(run) = &begun {
            audit::write(db, &[operation.entry("job_run", &run.id, None, Some(run.selection.clone()))])?;
        }
        Ok(begun)
    })
}

/// A run that begins now, without its count.
fn row(operation: &Operation, order: &Order) -> Run {
    let slot = order.slot.map(Slot::text);
    Run {
        id: ids::job_run(JOB, slot.as_deref().unwrap_or(&operation.id)),
        job: JOB.to_owned(),
        scheduled_for: slot,
        selection: snapshots::canonical(&order.selection),
        reason: operation.reason.clone(),
        actor: operation.actor.clone(),
        state: State::Running,
        rate: order.rate.max(1).into(),
        total: 0,
        cutoff: operation.at,
        selected: 0,
        checkpoint: String::new(),
        exhausted: false,
        driver: None,
        leased_until: None,
        takeovers: 0,
        note: None,
        created_at: operation.at,
        finished_at: None,
        reported_at: None,
    }
}

/// Begins one run for the due slots of the schedule, and records the skipped slots.
/// Returns the run that began here.
pub fn begin_due(db: &mut Connection, settings: &Settings, clock: &Clock) -> Result<Option<Run>, DbError> {
    let now = clock.now();
    let local = Slot::text(settings.schedule.local(now));
    let since = job_run::known_since(db, JOB, &local)?;
    let last = job_run::last_slot(db, JOB, &local)?.unwrap_or_default().max(since);
    let Ok(last) = last.parse() else {
        return Err(DbError::Damaged { what: format!("{last} is no slot of a job") });
    };
    let due = settings.schedule.due(last, now);
    let mut operation = Operation::new(clock, "batch.start", "schedule", "the schedule");
    for (slot, decision) in decide(&due, now, settings.misfire, settings.max_lateness) {
        let order = Order { selection: Selection::Pending, rate: settings.rate, slot: Some(slot.local) };
        match decision {
            Decision::Skip(note) => skip(db, &operation, &order, &note)?,
            Decision::Run => {
                operation.id = ids::operation(&operation.id, "slot", &Slot::text(slot.local));
                match begin(db, &operation, &order)? {
                    Begun::Ours(run) => return Ok(Some(*run)),
                    Begun::Taken => {}
                    // It begins after the active run, unless that is too late.
                    Begun::Busy(_) => return Ok(None),
                }
            }
        }
    }
    Ok(None)
}

fn skip(db: &mut Connection, operation: &Operation, order: &Order, note: &str) -> Result<(), DbError> {
    let run = Run {
        state: State::Skipped,
        exhausted: true,
        note: Some(note.to_owned()),
        finished_at: Some(operation.at),
        reported_at: Some(operation.at),
        ..row(operation, order)
    };
    if let Begun::Ours(run) = job_run::begin(db, &run)? {
        warn!(job = JOB, slot = run.scheduled_for, reason = note, "Scheduled run skipped");
    }
    Ok(())
}

/// The outbox row for a guarantee of a run.
pub(super) fn message(
    run: &Run,
    selection: &Selection,
    guarantee: &str,
    application: &str,
    seq: i64,
) -> Outbound {
    let body =
        ReissueV1 { guarantee: guarantee.to_owned(), run: Some(run.id.clone()), redraw: selection.redraws() };
    let message_id = body.message_id();
    Outbound {
        run_id: run.id.clone(),
        seq,
        stage: ReissueV1::STAGE.to_owned(),
        traceparent: Some(Traceparent::derived(&run.id).child(&message_id).to_string()),
        message_id,
        correlation_id: Some(application.to_owned()),
        payload: snapshots::canonical(&body),
    }
}

pub(super) fn outgoing(row: Outbound) -> Outgoing {
    Outgoing {
        destination: Destination::Stage(ReissueV1::STAGE, Lane::Bulk),
        envelope: Envelope {
            message_id: Some(row.message_id),
            message_type: Some(ReissueV1::TYPE.to_owned()),
            correlation_id: row.correlation_id,
            traceparent: row.traceparent,
            history: History::default(),
            payload: row.payload.into_bytes(),
        },
    }
}
