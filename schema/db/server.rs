//! Facts that a database server reports about itself.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamp};

use super::{Connection, Result, attempting};

#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct Server {
    /// Its version, such as `15.18` or `3.50.2`.
    #[diesel(sql_type = Text)]
    pub version: String,
    #[diesel(sql_type = Nullable<Timestamp>)]
    pub clock: Option<NaiveDateTime>,
    #[diesel(sql_type = Bool)]
    pub is_read_only: bool,
    /// Limit of connections; 0 for SQLite.
    #[diesel(sql_type = BigInt)]
    pub connections_allowed: i64,
    #[diesel(sql_type = BigInt)]
    pub connections: i64,
}

pub fn server(db: &mut Connection) -> Result<Server> {
    match db {
        Connection::Postgres(c) => diesel::sql_query(
            "select current_setting('server_version') as version, (clock_timestamp() at time zone 'UTC')::timestamp as clock,
                    pg_is_in_recovery() or current_setting('default_transaction_read_only')::boolean as is_read_only,
                    current_setting('max_connections')::bigint as connections_allowed,
                    (select count(*) from pg_stat_activity where backend_type = 'client backend') as connections",
        )
        .get_result(&mut **c),
        Connection::Sqlite(c) => diesel::sql_query(
            "select sqlite_version() as version, null as clock, false as is_read_only, 0 as connections_allowed, 0 as connections",
        )
        .get_result(&mut **c),
    }
    .map_err(attempting("read the version of the database"))
}
