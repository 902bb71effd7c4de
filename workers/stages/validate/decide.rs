//! Decides applications against others for the same works, in one transaction.

use std::collections::HashSet;

use chrono::{NaiveDate, NaiveDateTime};
use hosho_schema::{
    db::{Connection, DbError},
    messages::{ApplicationV1, CalculationV1, ViolationV1},
    models::{
        application::{self, Application, Status},
        works::{self, Commitment, OpenCommitment},
    },
    money::Yen,
    snapshots,
};

use crate::{
    domain::{
        application::{Judged, RuleContext},
        commitment, wareki,
    },
    mail,
    pdf::Fonts,
    reference::ReferenceData,
};

/// What a message of an upstream system is stored under.
#[derive(Clone)]
pub struct UpstreamMessage {
    /// Our identifier.
    pub id: String,
    pub source: String,
    pub upstream_id: String,
    /// [`content_sha256`](crate::pipeline::decode::content_sha256).
    pub sha256: String,
}

/// Calls `work` with the data that the rules need. `received_on` is a day in Tokyo.
pub fn with_rules<T>(
    data: &ReferenceData,
    fonts: &Fonts,
    received_on: NaiveDate,
    work: impl FnOnce(&RuleContext<'_>) -> T,
) -> T {
    work(&RuleContext {
        obligees: &data.obligees,
        branches: &data.branches,
        received_on,
        unprintable: &|text| fonts.missing(text),
        mail_address: &mail::normal_mail_address,
    })
}

/// Judges an application alone. `received_on` is a day in Tokyo.
pub fn judge(
    application: &ApplicationV1,
    data: &ReferenceData,
    fonts: &Fonts,
    received_on: NaiveDate,
) -> Judged {
    with_rules(data, fonts, received_on, |context| crate::domain::application::judge(application, context))
}

pub struct Decided {
    pub verdict: Result<snapshots::Application, Vec<ViolationV1>>,
    pub calculations: Vec<CalculationV1>,
    pub commitments: Vec<commitment::Commitment>,
}

/// Decides against the commitments of earlier applications for the same works.
/// `others` is `None` when the works are unreadable.
pub fn against(mut judged: Judged, others: Option<&[commitment::OpenCommitment]>) -> Decided {
    let mut commitments = Vec::new();
    if let Some(others) = others {
        judged.check_against(others);
        if judged.is_accepted() {
            commitments = judged.commitments();
        }
    }
    let (verdict, calculations) = judged.verdict();
    let verdict = verdict.map_err(|violations| violations.into_iter().map(ViolationV1::from).collect());
    Decided { verdict, calculations, commitments }
}

/// An application judged alone, before the comparison with others.
pub struct Candidate {
    pub(super) message: UpstreamMessage,
    pub(super) traceparent: String,
    /// UTC.
    pub(super) at: NaiveDateTime,
    pub(super) judged: Judged,
    /// Identifier of the works, if they are readable.
    pub(super) works: Option<String>,
}

/// Decides candidates in their order and stores the decisions.
/// Must run in a transaction, before its first lock. Returns the ids decided here: an application that is
/// known, or occurs twice, keeps its first decision.
pub fn store(db: &mut Connection, candidates: &[&Candidate]) -> Result<HashSet<String>, DbError> {
    let works_ids: Vec<&str> = candidates.iter().filter_map(|candidate| candidate.works.as_deref()).collect();
    works::lock(db, &works_ids)?;
    let ids: Vec<&str> = candidates.iter().map(|candidate| candidate.message.id.as_str()).collect();
    let before = application::by_ids(db, &ids)?;
    let mut open = works::commitments(db, &works_ids)?;
    let (mut rows, mut commitments, mut decided) = (Vec::new(), Vec::new(), HashSet::new());
    for (candidate, stored) in candidates.iter().zip(before) {
        if stored.is_some() || !decided.insert(candidate.message.id.clone()) {
            continue;
        }
        let others = candidate.works.as_ref().map(|id| (id, open.entry(id.clone()).or_default()));
        let (application, own) = decide(candidate, others);
        rows.push(application);
        commitments.extend(own);
    }
    application::insert_missing(db, &rows)?;
    works::commit(db, &commitments)?;
    Ok(decided)
}

/// Decides one candidate, and returns its commitments.
/// `others` are those of earlier applications for the same works; its own are added.
fn decide(
    candidate: &Candidate,
    others: Option<(&String, &mut Vec<OpenCommitment>)>,
) -> (Application, Vec<Commitment>) {
    let earlier = others.as_ref().map(|(_, others)| others.iter().map(known).collect::<Vec<_>>());
    let Decided { verdict, calculations, commitments } =
        against(candidate.judged.clone(), earlier.as_deref());
    let mut own = Vec::new();
    if let Some((works_id, others)) = others {
        own.extend(commitments.into_iter().map(|line| row_of(candidate, works_id, line)));
        let new = |commitment: &Commitment| OpenCommitment {
            commitment: commitment.clone(),
            source: candidate.message.source.clone(),
            number: None,
            arrived_at: None,
        };
        others.extend(own.iter().map(new));
    }
    let (status, lines, snapshot, violations) = match verdict {
        Ok(application) => {
            let lines = i64::try_from(application.products.len()).unwrap_or(i64::MAX);
            (Status::Accepted, lines, Some(snapshots::canonical(&application)), None)
        }
        Err(violations) => (Status::Rejected, 0, None, Some(snapshots::canonical(&violations))),
    };
    let application = Application {
        id: candidate.message.id.clone(),
        source: candidate.message.source.clone(),
        upstream_id: candidate.message.upstream_id.clone(),
        payload_sha256: candidate.message.sha256.clone(),
        status,
        lines,
        issued_lines: 0,
        snapshot,
        violations,
        calculations: snapshots::canonical(&calculations),
        traceparent: Some(candidate.traceparent.clone()),
        received_at: candidate.at,
        decided_at: candidate.at,
    };
    (application, own)
}

fn row_of(candidate: &Candidate, works_id: &str, commitment: commitment::Commitment) -> Commitment {
    let commitment::Commitment { line, product, year, works_number, medium, amount, base, low_price } =
        commitment;
    Commitment {
        works_id: works_id.to_owned(),
        works_number,
        fiscal_year: i64::from(year),
        product,
        application_id: candidate.message.id.clone(),
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
