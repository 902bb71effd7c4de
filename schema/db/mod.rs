//! Connections to the two databases, as one type.
//!
//! A [`Connection`] is either PostgreSQL or SQLite. Every query is written once, inside `query!`,
//! which puts the same body into both arms of a `match`; the compiler checks it for each database. Rejected:
//! diesel's `MultiConnection` derive, which refuses multi-row inserts, `on_conflict` and row locks; traits
//! over a generic backend, whose bounds are longer than the queries.
//!
//! Rules for the bodies, so that both databases give the same results:
//! - Columns are text, whole numbers, bytes and UTC timestamps. Timestamps are truncated to microseconds on
//!   write ([`micros`]), because SQLite would keep nanoseconds and PostgreSQL would not.
//! - JSON is stored as text, not as `jsonb`: the text itself is hashed, and `jsonb` would reorder and
//!   reformat it.
//! - `like` is case-sensitive (a pragma in SQLite).
//! - A statement over many rows or keys is split (`models::chunks`): SQLite binds at most
//!   32,766 values.
//! - An absent value is inserted as NULL, never as DEFAULT (`treat_none_as_default_value = false`); otherwise
//!   SQLite falls back to a statement per row.
//!
//! SQLite runs with a write-ahead log, `synchronous=FULL` (a commit survives a power cut) and one connection:
//! SQLite has one writer anyway, and the queue of the pool is fair where the lock of SQLite is not.

mod error;
mod migrations;
mod server;

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{NaiveDateTime, Timelike};
use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::pg::PgConnection;
use diesel::r2d2::{ConnectionManager, CustomizeConnection, NopErrorHandler, PooledConnection};
use diesel::sqlite::SqliteConnection;

pub(crate) use error::attempting;
pub use error::{DbError, Result};
pub use migrations::{migrate, pending, revert_all};
pub use server::{Server, server};

/// Wait for a PostgreSQL connection before the database counts as unavailable.
const POSTGRES_WAIT: Duration = Duration::from_secs(5);

/// A batch of another thread may hold the one connection, so this is longer.
const SQLITE_WAIT: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Postgres,
    Sqlite,
}

/// A pooled connection to one of the two databases.
pub enum Connection {
    Postgres(PooledConnection<ConnectionManager<PgConnection>>),
    Sqlite(PooledConnection<ConnectionManager<SqliteConnection>>),
}

/// Runs one diesel body on either connection: `match_connection!(db, c => body)`.
macro_rules! match_connection {
    ($db:expr, $c:ident $(: $backend:ident)? => $body:expr) => {
        match $db {
            $crate::db::Connection::Postgres(pooled) => {
                $(type $backend = ::diesel::pg::Pg;)?
                let $c: &mut ::diesel::pg::PgConnection = &mut *pooled;
                $body
            }
            $crate::db::Connection::Sqlite(pooled) => {
                $(type $backend = ::diesel::sqlite::Sqlite;)?
                let $c: &mut ::diesel::sqlite::SqliteConnection = &mut *pooled;
                $body
            }
        }
    };
}
pub(crate) use match_connection;

/// Like `match_connection!`, with the attempt in the error.
/// `query!(db, "read runs", c => query.load(c))`. A body that boxes a query names the backend type too:
/// `query!(db, "read runs", c: B => table.into_boxed::<B>()…)`.
macro_rules! query {
    ($db:expr, $attempt:expr, $($body:tt)+) => {
        $crate::db::match_connection!($db, $($body)+).map_err($crate::db::attempting($attempt))
    };
}
pub(crate) use query;

impl Connection {
    pub fn backend(&self) -> Backend {
        match self {
            Self::Postgres(_) => Backend::Postgres,
            Self::Sqlite(_) => Backend::Sqlite,
        }
    }

    /// Commits when `work` returns `Ok`, rolls back when it returns `Err`.
    ///
    /// On SQLite it takes the write lock at the beginning, so that it cannot fail halfway for lack of it.
    /// Inside another transaction it is a savepoint.
    pub fn transaction<T, E: From<DbError>>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.begin()?;
        match work(self) {
            Ok(value) => {
                match_connection!(self, c => AnsiTransactionManager::commit_transaction(c))
                    .map_err(|source| DbError::Commit { source })?;
                Ok(value)
            }
            Err(error) => {
                // When the rollback fails too, the first error is the cause. diesel marks the connection as
                // broken; the pool drops it, and the server rolls back.
                let _ = match_connection!(self, c => AnsiTransactionManager::rollback_transaction(c));
                Err(error)
            }
        }
    }

    fn begin(&mut self) -> Result<()> {
        let begun = match self {
            Self::Postgres(c) => AnsiTransactionManager::begin_transaction(&mut **c),
            Self::Sqlite(c) => {
                match AnsiTransactionManager::begin_transaction_sql(&mut **c, "BEGIN IMMEDIATE") {
                    Err(diesel::result::Error::AlreadyInTransaction) => {
                        AnsiTransactionManager::begin_transaction(&mut **c)
                    }
                    begun => begun,
                }
            }
        };
        begun.map_err(|source| DbError::Begin { source })
    }
}

/// Checks that a URL is one of a database, and opens nothing.
pub fn check_url(url: &str) -> Result<()> {
    let problem = match sqlite_path(url) {
        Some(path) if path.is_empty() || path.contains(":memory:") || path.contains('\0') => {
            "`sqlite:` is followed by the path of a file"
        }
        None if !url.starts_with("postgres://") && !url.starts_with("postgresql://") => {
            "it starts with neither `postgres://`, `postgresql://` nor `sqlite:`"
        }
        None if url.contains('\0') => "it holds a NUL character",
        _ => return Ok(()),
    };
    Err(DbError::Url { problem })
}

/// The file a `sqlite:` URL names.
fn sqlite_path(url: &str) -> Option<&str> {
    url.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path))
}

/// A pool of connections to one database. Clones share it.
#[derive(Clone)]
pub struct Pool {
    inner: Inner,
    secrets: Vec<String>,
}

#[derive(Clone)]
enum Inner {
    Postgres(diesel::r2d2::Pool<ConnectionManager<PgConnection>>),
    Sqlite(diesel::r2d2::Pool<ConnectionManager<SqliteConnection>>),
}

impl Pool {
    /// Opens `postgres://…`, `postgresql://…` or `sqlite:path`.
    /// A PostgreSQL URL may have all of libpq's parameters, such as `sslmode`.
    ///
    /// PostgreSQL is connected to at the first [`get`](Self::get), with at most `size` connections: a server
    /// that is down is no reason not to start. A SQLite file is created when missing, readable by its owner
    /// only, and has one connection.
    pub fn open(url: &str, size: u32) -> Result<Self> {
        check_url(url)?;
        if let Some(path) = sqlite_path(url) {
            return Ok(Self { inner: Inner::Sqlite(open_sqlite(Path::new(path))?), secrets: Vec::new() });
        }
        let pool = diesel::r2d2::Pool::builder()
            .max_size(size.max(1))
            .min_idle(Some(0))
            .connection_timeout(POSTGRES_WAIT)
            .connection_customizer(Box::new(Setup { sql: POSTGRES_SETUP }))
            .error_handler(Box::new(NopErrorHandler))
            .build_unchecked(ConnectionManager::new(url));
        Ok(Self { inner: Inner::Postgres(pool), secrets: secrets(url) })
    }

    pub fn backend(&self) -> Backend {
        match self.inner {
            Inner::Postgres(_) => Backend::Postgres,
            Inner::Sqlite(_) => Backend::Sqlite,
        }
    }

    /// Takes a connection that has just answered; waits for a free one.
    /// It also probes whether the database is available.
    pub fn get(&self) -> Result<Connection> {
        match &self.inner {
            Inner::Postgres(pool) => pool.get().map(Connection::Postgres),
            Inner::Sqlite(pool) => pool.get().map(Connection::Sqlite),
        }
        .map_err(|error| DbError::Connect { problem: self.redacted(&error.to_string()) })
    }

    /// libpq repeats the whole URL in some of its messages.
    fn redacted(&self, text: &str) -> String {
        let text = self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"));
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("backend", &self.backend()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Connection").field(&self.backend()).finish()
    }
}

/// A PostgreSQL URL and its password, longest first: no message may contain them.
fn secrets(url: &str) -> Vec<String> {
    let (_, rest) = url.split_once("://").unwrap_or(("", url));
    let in_authority =
        rest.rsplit_once('@').and_then(|(user, _)| user.split_once(':')).map(|(_, password)| password);
    let in_query = rest
        .split(['?', '&'])
        .skip(1)
        .filter_map(|pair| pair.strip_prefix("password=").or(pair.strip_prefix("sslpassword=")));
    let passwords = in_authority.into_iter().chain(in_query).filter(|password| !password.is_empty());
    let mut secrets: Vec<String> =
        passwords.flat_map(|password| [password.to_owned(), percent_decoded(password)]).collect();
    secrets.push(url.to_owned());
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped =
            (first == b'%').then(|| tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok())).flatten();
        if let Some(byte) = escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(byte);
            rest = &tail[2..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits at most 10 s for a lock; the transaction of a hung worker ends after 60 s.
///
/// A plan may be older than the rows: a table that was empty when a statement was prepared is scanned in full
/// each time, until it is analyzed. So plans use an index where one fits, and join by keys. Without these
/// settings the lookups of 6,000 applications in a new database took 10 s of PostgreSQL time.
const POSTGRES_SETUP: &str = "set lock_timeout = '10s'; set idle_in_transaction_session_timeout = '60s'; set time zone 'UTC'; \
    set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set jit = off";

const SQLITE_SETUP: &str = "pragma busy_timeout = 10000; pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on; \
    pragma case_sensitive_like = on";

#[derive(Debug)]
struct Setup {
    sql: &'static str,
}

impl<C: SimpleConnection> CustomizeConnection<C, diesel::r2d2::Error> for Setup {
    fn on_acquire(&self, connection: &mut C) -> Result<(), diesel::r2d2::Error> {
        connection.batch_execute(self.sql).map_err(diesel::r2d2::Error::QueryError)
    }
}

fn open_sqlite(path: &Path) -> Result<diesel::r2d2::Pool<ConnectionManager<SqliteConnection>>> {
    // SQLite would create the file readable by all users; the write-ahead log takes the mode of the file.
    let mut file = std::fs::OpenOptions::new();
    file.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    file.open(path).map_err(|source| DbError::OpenFile { path: path.to_owned(), source })?;
    // An absolute path: SQLite gives some prefixes of a name (`file:`) another meaning.
    let path =
        std::path::absolute(path).map_err(|source| DbError::OpenFile { path: path.to_owned(), source })?;
    let Some(url) = path.to_str() else {
        return Err(DbError::Url { problem: "the path of the SQLite file is not UTF-8" });
    };
    // The pool would retry an unusable file for a minute before it reports it.
    let refused = |path: PathBuf| move |source: diesel::result::Error| DbError::OpenSqlite { path, source };
    <SqliteConnection as diesel::Connection>::establish(url)
        .map_err(|error| DbError::Connect { problem: error.to_string() })?
        .batch_execute(SQLITE_SETUP)
        .map_err(refused(path.clone()))?;
    Ok(diesel::r2d2::Pool::builder()
        .max_size(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .connection_timeout(SQLITE_WAIT)
        .connection_customizer(Box::new(Setup { sql: SQLITE_SETUP }))
        .error_handler(Box::new(NopErrorHandler))
        .build_unchecked(ConnectionManager::new(url)))
}

/// Truncates to microseconds, PostgreSQL's resolution.
/// Both databases then return what was written.
pub fn micros(at: NaiveDateTime) -> NaiveDateTime {
    at.with_nanosecond(at.nanosecond() / 1_000 * 1_000).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_unknown_urls() {
        for url in ["", "mysql://u:hunter2@h/d", "sqlite:", "sqlite::memory:", "postgres://u:hunter2@h/d\0"] {
            let error = Pool::open(url, 1).unwrap_err();
            assert!(matches!(error, DbError::Url { .. }), "{url:?}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn errors_omit_the_password() {
        // libpq quotes the whole URL when it cannot read it.
        for url in [
            "postgres://u:hun%21ter2@[::1/db",
            "postgres://u:hun%21ter2@127.0.0.1:x/db",
            "postgres://127.0.0.1:1/d?password=hun%21ter2",
        ] {
            let pool = Pool::open(url, 1).unwrap();
            let text = pool.redacted(&format!("bad URI \"{url}\",\n password hun!ter2, hun%21ter2"));
            assert!(!text.contains("ter2") && !text.contains('\n'), "{text}");
        }
    }

    #[test]
    fn sqlite_is_private_durable_and_checks_references() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosho.sqlite");
        let pool = Pool::open(&format!("sqlite:{}", path.display()), 8).unwrap();
        let mut connection = pool.get().unwrap();
        assert_eq!(connection.backend(), Backend::Sqlite);
        let Connection::Sqlite(c) = &mut connection else { unreachable!() };
        let pragma = |c: &mut SqliteConnection, name: &str| {
            use diesel::RunQueryDsl;
            #[derive(diesel::QueryableByName)]
            struct Value {
                #[diesel(sql_type = diesel::sql_types::BigInt)]
                value: i64,
            }
            diesel::sql_query(format!("select {name} as value from pragma_{name}"))
                .get_result::<Value>(c)
                .unwrap()
                .value
        };
        assert_eq!((pragma(c, "synchronous"), pragma(c, "foreign_keys")), (2, 1));
        crate::db::migrate(&mut connection).unwrap();
        assert!(folder.path().join("hosho.sqlite-wal").exists());
        #[cfg(unix)]
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let mode =
                std::os::unix::fs::PermissionsExt::mode(&entry.unwrap().metadata().unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn error_names_a_missing_folder() {
        let error = Pool::open("sqlite:/nowhere/at/all.sqlite", 1).unwrap_err();
        assert_eq!(error.to_string(), "cannot open database file /nowhere/at/all.sqlite");
    }

    #[test]
    fn times_are_truncated_to_microseconds() {
        let at = chrono::DateTime::from_timestamp(1, 123_456_789).unwrap().naive_utc();
        assert_eq!(micros(at).nanosecond(), 123_456_000);
    }
}
