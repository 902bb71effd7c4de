//! Drives runs and replays: one process at a time, under a lease in their table.

use std::{sync::Arc, time::Duration};

use chrono::{NaiveDateTime, TimeDelta};
use hosho_schema::db::{Connection, DbError};
use tokio_util::sync::CancellationToken;

use crate::{broker::Broker, clock::Clock, db::Db};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    Complete,
    /// A replay stopped automatically, for this reason.
    Stopped(String),
    /// Paused or ended by an operator, or another process drives the run.
    /// See its state.
    ChangedElsewhere,
    /// Another process drives the replay.
    DrivenElsewhere,
    /// This process was requested to stop; another may resume it.
    Interrupted,
}

/// The process that drives.
#[derive(Clone)]
pub struct Driver {
    pub db: Db,
    pub broker: Arc<dyn Broker>,
    pub clock: Clock,
    /// The lease holder: unique per process.
    pub name: String,
    pub stop: CancellationToken,
}

/// Such as [`job_run::lease`](hosho_schema::models::job_run::lease).
type Lease<T> = fn(&mut Connection, &str, &str, NaiveDateTime, NaiveDateTime) -> Result<Option<T>, DbError>;

impl Driver {
    /// Takes or renews the lease of a row.
    /// `None` if the row does not run, or another process has the lease.
    pub(super) async fn lease<T: Send + 'static>(
        &self,
        lease: Lease<T>,
        id: &str,
        duration: TimeDelta,
    ) -> Result<Option<T>, DbError> {
        let (id, name, now) = (id.to_owned(), self.name.clone(), self.clock.now());
        self.database(move |db| lease(db, &id, &name, now, now + duration)).await
    }

    pub(super) async fn unlease(
        &self,
        unlease: fn(&mut Connection, &str, &str) -> Result<(), DbError>,
        id: &str,
    ) -> Result<(), DbError> {
        let (id, name) = (id.to_owned(), self.name.clone());
        self.database(move |db| unlease(db, &id, &name)).await
    }

    pub(super) async fn database<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        self.db.call(work).await
    }

    /// Waits; true when the process was requested to stop meanwhile.
    pub(super) async fn pause(&self, time: Duration) -> bool {
        self.stop.run_until_cancelled(tokio::time::sleep(time)).await.is_none()
    }
}
