//! The progress of an application and its guarantees. No name, no address.

use chrono::{DateTime, NaiveDateTime, Utc};
use hosho_schema::{
    db::{Connection, DbError},
    messages::{MediumV1, ProductV1, ViolationV1},
    models::{
        failed_message::{self, FailedMessage, Filter, OPEN},
        mail::State,
    },
    queries::status::{self, ApplicationStatus, GuaranteeStatus, RevisionStatus},
};
use serde::Serialize;

use super::{Cursor, Error, Page, PageRequest};
use crate::{
    db::Db,
    domain::{guarantee_history, number::GuaranteeNumber},
};

#[derive(Debug, Serialize)]
pub struct ApplicationProgress {
    pub source: String,
    pub id: String,
    /// Our own id.
    pub application: String,
    /// `accepted` or `rejected`.
    pub status: &'static str,
    pub steps: Vec<Step>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<ViolationV1>,
    pub guarantees: Vec<GuaranteeProgress>,
    /// Product lines without a guarantee; 0 when rejected.
    pub awaiting_issue: i64,
    /// Open or being replayed.
    pub failed: Page<Failed>,
}

#[derive(Debug, Serialize)]
pub struct Failed {
    pub message: String,
    pub stage: String,
    pub code: String,
    pub text: String,
    pub state: &'static str,
    pub at: DateTime<Utc>,
}

#[derive(Debug, Serialize)]
pub struct GuaranteeProgress {
    pub number: String,
    pub line: i64,
    pub product: ProductV1,
    pub medium: MediumV1,
    pub revision: i64,
    /// 新規, 変更－n and so on.
    pub target: String,
    pub steps: Vec<Step>,
}

#[derive(Debug, Serialize)]
pub struct Step {
    pub stage: &'static str,
    pub what: String,
    /// `null` while it is pending.
    pub at: Option<DateTime<Utc>>,
}

impl Step {
    fn new(stage: &'static str, what: impl Into<String>, at: Option<NaiveDateTime>) -> Self {
        Self { stage, what: what.into(), at: at.map(|at| at.and_utc()) }
    }
}

/// Failed messages of an application that are returned at most.
const FAILED: PageRequest = PageRequest { limit: 50, after: None };

/// Finds applications by 保証契約番号 (either width), the upstream's id or hosho's.
pub async fn progress(db: &Db, key: &str) -> Result<Vec<ApplicationProgress>, Error> {
    let normal = GuaranteeNumber::parse(key).map_or_else(|_| key.to_owned(), |number| number.to_string());
    let found = db.call(move |db| {
        let ids = status::locate(db, &normal)?;
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let found = status::status(db, &ids)?.into_iter().flatten();
        found
            .map(|status| {
                let failed = failed(db, &status.application.id)?;
                Ok(application_progress(status, failed))
            })
            .collect::<Result<Vec<_>, DbError>>()
    });
    let found = found.await.map_err(|error| {
        Error::unavailable(error).hint("correct database.url, or name a folder of `hosho process` with --out")
    })?;
    if found.is_empty() {
        return Err(Error::not_found(format!("there is no application or guarantee {key:?}"))
            .hint("give a 保証契約番号, the upstream's id of an application, or hosho's (UUID)"));
    }
    Ok(found)
}

fn failed(db: &mut Connection, application: &str) -> Result<Page<Failed>, DbError> {
    let states = OPEN.into_iter().chain([failed_message::State::Replaying]).collect();
    let filter = Filter { correlation_id: Some(application.to_owned()), states, ..Filter::default() };
    let failed = |row: FailedMessage| Failed {
        message: row.id,
        stage: row.stage,
        code: row.code,
        text: row.text,
        state: row.state.as_text(),
        at: row.last_failed_at.and_utc(),
    };
    let total = failed_message::counts(db, &filter)?.values().sum();
    let rows = failed_message::list(db, &filter, FAILED.rows(), None)?;
    Ok(Page::new(rows, total, &FAILED, |row| Cursor::new(row.last_failed_at, &row.id)).map(failed))
}

fn application_progress(found: ApplicationStatus, failed: Page<Failed>) -> ApplicationProgress {
    let application = found.application;
    let status = application.status.as_text();
    ApplicationProgress {
        status,
        steps: vec![Step::new("validate", status, Some(application.decided_at))],
        violations: super::stored_violations(application.violations.as_deref()),
        awaiting_issue: application.lines - i64::try_from(found.guarantees.len()).unwrap_or(0),
        failed,
        guarantees: found.guarantees.iter().flat_map(guarantee_progress).collect(),
        source: application.source,
        id: application.upstream_id,
        application: application.id,
    }
}

fn guarantee_progress(found: &GuaranteeStatus) -> Vec<GuaranteeProgress> {
    let guarantee = &found.guarantee;
    let revision = |certificate: &RevisionStatus| GuaranteeProgress {
        number: guarantee.number.clone(),
        line: guarantee.line,
        product: guarantee.product,
        medium: guarantee.medium,
        revision: certificate.revision.revision,
        target: guarantee_history::revision_label(&certificate.revision),
        steps: steps(found, certificate),
    };
    found.revisions.iter().map(revision).collect()
}

fn steps(found: &GuaranteeStatus, revision: &RevisionStatus) -> Vec<Step> {
    let drawn_at = Some(revision.revision.drawn_at);
    let mint = match found.guarantee.medium {
        MediumV1::Electronic => Step::new("mint", "authentication key", found.key_minted_at),
        MediumV1::Paper => Step::new("mint", "no key: paper", drawn_at),
    };
    let documents: Vec<&str> = revision.documents.iter().map(|document| document.kind.as_text()).collect();
    let drawn = if documents.is_empty() { "documents".to_owned() } else { documents.join(", ") };
    let mut steps = vec![
        Step::new("issue", format!("number {}", found.guarantee.number), drawn_at),
        mint,
        Step::new("render", drawn, revision.revision.arrived_at),
    ];
    for mail in &revision.mails {
        let state = match mail.state {
            State::Pending => "mail pending",
            State::Sending => "mail being sent",
            State::Accepted => "mail accepted",
            State::Rejected => "mail refused by the mail server",
            State::Unknown => "mail unknown: may or may not have been accepted",
        };
        let reply = mail.reply.as_deref().map(|reply| format!(" ({reply})")).unwrap_or_default();
        steps.push(Step::new("dispatch", format!("{state}{reply}"), mail.settled_at.or(mail.claimed_at)));
    }
    steps.push(Step::new("dispatch", "complete", revision.revision.completed_at));
    steps
}
