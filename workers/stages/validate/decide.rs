//! Decides applications against others for the same works, in one transaction.
//!
//! The rules are [`crate::domain::engagement`]; the tables, the lock and why it cannot deadlock are
//! [`hosho_schema::models::works`]. A decision is written before the works are unlocked, so that two
//! simultaneous applications for the same works, on one worker or on two, cannot both pass.

use std::collections::HashSet;

use chrono::NaiveDateTime;
use hosho_schema::{
    db::{Connection, DbError},
    ids,
    messages::ViolationV1,
    models::{
        application::{self, Decision, NewApplication},
        works::{self, Engaged, Engagement},
    },
    money::Yen,
    snapshots,
};

use crate::domain::{application::Judged, engagement, wareki};

/// An application judged alone, before the comparison with others.
pub struct Candidate {
    id: String,
    source: String,
    upstream_id: String,
    payload_sha256: String,
    traceparent: String,
    at: NaiveDateTime,
    judged: Judged,
    /// Identifier of the works, if they are readable.
    works: Option<String>,
}

impl Candidate {
    /// `at` is UTC.
    pub fn new(
        judged: Judged,
        source: String,
        upstream_id: String,
        payload_sha256: String,
        traceparent: String,
        at: NaiveDateTime,
    ) -> Self {
        let works = judged.works_key().map(|key| ids::works(&key));
        Self {
            id: ids::application(&source, &upstream_id),
            source,
            upstream_id,
            payload_sha256,
            traceparent,
            at,
            judged,
            works,
        }
    }
}

/// Decides candidates in their order and stores the decisions; must run in a transaction, before its first
/// lock. Returns the ids decided here: an application that is known, or occurs twice, keeps its first
/// decision.
pub fn store(db: &mut Connection, candidates: &[&Candidate]) -> Result<HashSet<String>, DbError> {
    let works_ids: Vec<&str> = candidates.iter().filter_map(|candidate| candidate.works.as_deref()).collect();
    works::lock(db, &works_ids)?;
    let ids: Vec<&str> = candidates.iter().map(|candidate| candidate.id.as_str()).collect();
    let before = application::by_ids(db, &ids)?;
    let mut engaged = works::engaged(db, &works_ids)?;
    let (mut rows, mut lines, mut decided) = (Vec::new(), Vec::new(), HashSet::new());
    for (candidate, known) in candidates.iter().zip(before) {
        if known.is_some() || !decided.insert(candidate.id.clone()) {
            continue;
        }
        let others = candidate.works.as_ref().map(|id| (id, engaged.entry(id.clone()).or_default()));
        let (row, engages) = decide(candidate, others);
        rows.push(row);
        lines.extend(engages);
    }
    application::insert_missing(db, &rows)?;
    works::engage(db, &lines)?;
    Ok(decided)
}

/// Decides one candidate, and returns its engagements.
/// `others` are those of earlier applications for the same works; its own are added.
fn decide(
    candidate: &Candidate,
    others: Option<(&String, &mut Vec<Engaged>)>,
) -> (NewApplication, Vec<Engagement>) {
    let mut judged = candidate.judged.clone();
    let mut engages = Vec::new();
    if let Some((works_id, others)) = others {
        judged.against(&others.iter().map(known).collect::<Vec<_>>());
        if judged.is_kept() {
            engages.extend(
                judged.engages().into_iter().map(|engagement| row_of(candidate, works_id, engagement)),
            );
            let new = |engagement: &Engagement| Engaged {
                engagement: engagement.clone(),
                source: candidate.source.clone(),
                number: None,
                arrived_at: None,
            };
            others.extend(engages.iter().map(new));
        }
    }
    let (verdict, calculations) = judged.verdict();
    let decision = match verdict {
        Ok(application) => {
            let lines = application.products.len();
            Decision::Accepted {
                snapshot: snapshots::canonical(&application),
                lines: i64::try_from(lines).unwrap_or(i64::MAX),
            }
        }
        Err(violations) => {
            let violations: Vec<ViolationV1> = violations.into_iter().map(ViolationV1::from).collect();
            Decision::Rejected { violations: snapshots::canonical(&violations) }
        }
    };
    let row = NewApplication {
        source: candidate.source.clone(),
        upstream_id: candidate.upstream_id.clone(),
        payload_sha256: candidate.payload_sha256.clone(),
        decision,
        calculations: snapshots::canonical(&calculations),
        traceparent: Some(candidate.traceparent.clone()),
        received_at: candidate.at,
        decided_at: candidate.at,
    };
    (row, engages)
}

/// An engagement as it is stored.
fn row_of(candidate: &Candidate, works_id: &str, engagement: engagement::Engagement) -> Engagement {
    let engagement::Engagement { line, product, year, works_number, medium, amount, base, low_price } =
        engagement;
    Engagement {
        works_id: works_id.to_owned(),
        works_number,
        fiscal_year: i64::from(year),
        product,
        application_id: candidate.id.clone(),
        line: i64::try_from(line).unwrap_or(i64::MAX),
        medium,
        amount: amount.0,
        base,
        low_price,
        engaged_at: candidate.at,
    }
}

/// A stored engagement as the rules see it.
pub fn known(Engaged { engagement: row, source, number, arrived_at }: &Engaged) -> engagement::Engaged {
    engagement::Engaged {
        engagement: engagement::Engagement {
            line: usize::try_from(row.line).unwrap_or(usize::MAX),
            product: row.product,
            year: i32::try_from(row.fiscal_year).unwrap_or(i32::MAX),
            works_number: row.works_number.clone(),
            medium: row.medium,
            amount: Yen(row.amount),
            base: row.base,
            low_price: row.low_price,
        },
        source: source.clone(),
        on: wareki::in_tokyo(row.engaged_at).date_naive(),
        number: number.clone(),
        issued: arrived_at.is_some(),
    }
}
