//! Database work on blocking threads.
//!
//! The runner and the mail ledger keep a connection, or give their input back without one: they use the pool.

use hosho_schema::db::{Connection, DbError, Pool};

/// A pool whose connections are used on blocking threads. Clones share it.
#[derive(Debug, Clone)]
pub struct Db {
    pool: Pool,
}

impl Db {
    pub fn new(pool: Pool) -> Self {
        Self { pool }
    }

    /// Runs `work` with a connection. A panic of `work` is an error of the database.
    pub async fn call<T, E>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let (pool, span) = (self.pool.clone(), tracing::Span::current());
        let task = tokio::task::spawn_blocking(move || span.in_scope(|| work(&mut pool.get()?)));
        task.await.unwrap_or_else(|error| {
            Err(DbError::Damaged { what: format!("database work ended early: {error}") }.into())
        })
    }

    /// Runs `work` in a transaction, which an error rolls back.
    pub async fn transaction<T, E>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        self.call(|connection| connection.transaction(work)).await
    }

    pub fn pool(&self) -> &Pool {
        &self.pool
    }
}
