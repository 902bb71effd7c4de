//! The guarantees of a run, page by page, in the order of their identifiers.
//!
//! Pages by key, not by offset: each page costs the same, and no guarantee is skipped or repeated.

use chrono::NaiveDateTime;
use diesel::dsl::{exists, not, sql};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};
use serde::{Deserialize, Serialize};

use crate::db::{Connection, Result, micros, query};
use crate::models::tables::{change, document, guarantee, revision};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Selection {
    /// Guarantees with changes that wait to take effect: what the night does.
    Pending,
    /// Guarantees in force, by number: at most some thousands.
    Numbers {
        /// 保証契約番号.
        numbers: Vec<String>,
    },
    /// Those of one obligee that are in force.
    Obligee {
        obligee: String,
    },
    /// Those in force whose number was given at or after a moment.
    Since {
        since: NaiveDateTime,
    },
    /// Those in force whose current documents were not drawn with `identity`.
    TemplateChanged {
        identity: String,
    },
    All,
}

impl Selection {
    /// Whether the documents of a guarantee are drawn again where no change waits.
    pub fn redraws(&self) -> bool {
        !matches!(self, Self::Pending)
    }
}

pub type Selected = (String, String);

macro_rules! narrowed {
    ($query:expr, $selection:expr, $cutoff:expr) => {{
        let query = $query.filter(guarantee::issued_at.le(micros($cutoff)));
        match $selection {
            // Read from the changes themselves.
            Selection::Pending => query,
            Selection::Numbers { numbers } => {
                query.filter(guarantee::number.eq_any(numbers)).filter(guarantee::ended_on.is_null())
            }
            Selection::Obligee { obligee } => {
                query.filter(guarantee::obligee.eq(obligee)).filter(guarantee::ended_on.is_null())
            }
            Selection::Since { since } => {
                query.filter(guarantee::issued_at.ge(micros(*since))).filter(guarantee::ended_on.is_null())
            }
            Selection::TemplateChanged { identity } => {
                let drawn = document::table
                    .filter(document::revision_id.eq(revision::id))
                    .filter(document::identity.eq(identity));
                let stale = revision::table
                    .filter(revision::guarantee_id.eq(guarantee::id))
                    .filter(revision::place.eq(guarantee::current_revision))
                    .filter(revision::arrived_at.is_not_null())
                    .filter(not(exists(drawn)));
                query.filter(exists(stale)).filter(guarantee::ended_on.is_null())
            }
            Selection::All => query.filter(guarantee::ended_on.is_null()),
        }
    }};
}

/// At most `limit` guarantees behind `after`, in the order of their identifiers.
/// Nothing that came after `cutoff` is among them.
pub fn page(
    db: &mut Connection,
    selection: &Selection,
    cutoff: NaiveDateTime,
    after: &str,
    limit: i64,
) -> Result<Vec<Selected>> {
    if *selection == Selection::Pending {
        return query!(db, "read changes", c => {
            change::table
                .inner_join(guarantee::table)
                .filter(sql::<Bool>("change.state = 'pending'"))
                .filter(change::received_at.le(micros(cutoff)))
                .filter(guarantee::id.gt(after))
                .filter(change::guarantee_id.gt(after))
                .select((guarantee::id, guarantee::application_id))
                .distinct()
                .order(guarantee::id)
                .limit(limit)
                .load(c)
        });
    }
    query!(db, "read guarantees", c: B => {
        let query = guarantee::table
            .select((guarantee::id, guarantee::application_id))
            .filter(guarantee::id.gt(after))
            .into_boxed::<B>();
        narrowed!(query, selection, cutoff).order(guarantee::id).limit(limit).load(c)
    })
}

pub fn count(db: &mut Connection, selection: &Selection, cutoff: NaiveDateTime) -> Result<i64> {
    if *selection == Selection::Pending {
        return query!(db, "read changes", c => {
            change::table
                .filter(sql::<Bool>("change.state = 'pending'"))
                .filter(change::received_at.le(micros(cutoff)))
                .select(sql::<BigInt>("count(distinct guarantee_id)"))
                .get_result(c)
        });
    }
    query!(db, "read guarantees", c: B => {
        let query = guarantee::table.select(sql::<BigInt>("count(*)")).into_boxed::<B>();
        narrowed!(query, selection, cutoff).get_result(c)
    })
}
