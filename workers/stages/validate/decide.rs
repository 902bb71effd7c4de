//! Decides applications against others for the same works, in one transaction.
//!
//! The rules are [`crate::domain::guarantee_history`] and [`crate::domain::change_request`]. The decision is
//! a *forecast*: the change takes effect later, when the [reissue stage](crate::stages::reissue) processes
//! its guarantee. Two effects are immediate: its version is taken, and its commitment for the works is
//! stored, so that two simultaneous changes or applications for the same works cannot both pass.

use std::collections::HashSet;

use chrono::{NaiveDate, NaiveDateTime};
use hosho_schema::{
    db::{Connection, DbError},
    ids,
    messages::{ApplicationV1, CalculationV1, ViolationV1},
    models::{
        application::{self, Decision, NewApplication},
        works::{self, Commitment, OpenCommitment},
    },
    money::Yen,
    snapshots,
};

use crate::{
    domain::{
        application::{self as rules, Judged},
        commitment, wareki,
    },
    mail,
    pdf::Fonts,
    reference::ReferenceData,
};

/// Judges an application alone. `received_on` is a day in Tokyo.
pub fn judge(
    application: &ApplicationV1,
    data: &ReferenceData,
    fonts: &Fonts,
    received_on: NaiveDate,
) -> Judged {
    let facts = rules::RuleContext {
        obligees: &data.obligees,
        branches: &data.branches,
        received_on,
        unprintable: &|text| fonts.missing(text),
        mail_address: &mail::normal_mail_address,
    };
    rules::judge(application, &facts)
}

/// The decision about an application.
pub struct Decided {
    pub verdict: Result<snapshots::Application, Vec<ViolationV1>>,
    pub calculations: Vec<CalculationV1>,
    /// Empty for a rejected application.
    pub engages: Vec<commitment::Commitment>,
}

/// Decides against what earlier applications engaged for the same works; `None` when its works are
/// unreadable.
pub fn against(mut judged: Judged, others: Option<&[commitment::OpenCommitment]>) -> Decided {
    let mut engages = Vec::new();
    if let Some(others) = others {
        judged.check_against(others);
        if judged.is_accepted() {
            engages = judged.commitments();
        }
    }
    let (verdict, calculations) = judged.verdict();
    let verdict = verdict.map_err(|violations| violations.into_iter().map(ViolationV1::from).collect());
    Decided { verdict, calculations, engages }
}

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

/// Decides one candidate, and returns its commitments.
/// `others` are those of earlier applications for the same works; its own are added.
fn decide(
    candidate: &Candidate,
    others: Option<(&String, &mut Vec<OpenCommitment>)>,
) -> (NewApplication, Vec<Commitment>) {
    let engaged = others.as_ref().map(|(_, others)| others.iter().map(known).collect::<Vec<_>>());
    let Decided { verdict, calculations, engages: lines } =
        against(candidate.judged.clone(), engaged.as_deref());
    let mut engages = Vec::new();
    if let Some((works_id, others)) = others {
        engages.extend(lines.into_iter().map(|line| row_of(candidate, works_id, line)));
        let new = |commitment: &Commitment| OpenCommitment {
            commitment: commitment.clone(),
            source: candidate.source.clone(),
            number: None,
            arrived_at: None,
        };
        others.extend(engages.iter().map(new));
    }
    let decision = match verdict {
        Ok(application) => {
            let lines = application.products.len();
            Decision::Accepted {
                snapshot: snapshots::canonical(&application),
                lines: i64::try_from(lines).unwrap_or(i64::MAX),
            }
        }
        Err(violations) => Decision::Rejected { violations: snapshots::canonical(&violations) },
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

/// A commitment as it is stored.
fn row_of(candidate: &Candidate, works_id: &str, commitment: commitment::Commitment) -> Commitment {
    let commitment::Commitment { line, product, year, works_number, medium, amount, base, low_price } =
        commitment;
    Commitment {
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

/// A stored commitment as the rules see it.
pub fn known(
    OpenCommitment { commitment: row, source, number, arrived_at }: &OpenCommitment,
) -> commitment::OpenCommitment {
    commitment::OpenCommitment {
        commitment: commitment::Commitment {
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
