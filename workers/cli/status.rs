//! `hosho status`

use std::process::ExitCode;

use chrono::NaiveDateTime;
use hosho_schema::{
    db::{Connection, DbError},
    messages::{MediumV1, ProductV1, ViolationV1},
    models::{
        application,
        failed_message::{self, FailedMessage, Filter, OPEN},
        mail::State,
        status::{self, ApplicationStatus, CertificateStatus, GuaranteeStatus},
    },
    snapshots,
};
use serde::Serialize;

use super::{Failure, existing, print, print_json, printable, printable_lines, selection::short};
use crate::{
    assembly,
    config::Config,
    domain::{guarantee_history, labels, number::GuaranteeNumber, wareki::in_tokyo},
};

/// Where a guarantee or an application stands, stage by stage, with times (Asia/Tokyo)
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho status 31075-00001M                  by 保証契約番号 (full-width is fine)
  hosho status A-2026-000123 --json          by the upstream's id, or our own
  hosho status 31075-00001M --out hosho-out  what `hosho process` left in a folder")]
pub(super) struct Args {
    /// 保証契約番号, the upstream's id of the application, or ours
    #[arg(value_name = "NUMBER|APPLICATION-ID")]
    key: String,
    /// A folder of `hosho process` instead of database.url
    #[arg(long, value_name = "FOLDER")]
    out: Option<std::path::PathBuf>,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn overrides(&self) -> Result<Vec<(&'static str, String)>, Failure> {
        self.out.as_deref().map_or(Ok(Vec::new()), super::database_of)
    }
}

/// What is shown of an application: no name, no address.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    source: String,
    id: String,
    application: String,
    status: &'static str,
    steps: Vec<Step>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<ViolationV1>,
    guarantees: Vec<ShownGuarantee>,
    /// Product lines that have no guarantee yet.
    awaiting_issue: i64,
    /// Messages about it that wait for an operator, or are being replayed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<Failed>,
}

/// A failed message.
#[derive(Debug, Serialize)]
struct Failed {
    message: String,
    stage: String,
    code: String,
    text: String,
    state: &'static str,
    /// UTC.
    at: NaiveDateTime,
}

/// More failed messages of one application than anybody reads.
const FAILED: i64 = 50;

fn failures(db: &mut Connection, application: &str) -> Result<Vec<Failed>, DbError> {
    let states = OPEN.into_iter().chain([failed_message::State::Replaying]).collect();
    let filter = Filter { correlation_id: Some(application.to_owned()), states, ..Filter::default() };
    let failed = |row: FailedMessage| Failed {
        message: row.id,
        stage: row.stage,
        code: row.code,
        text: row.text,
        state: row.state.as_text(),
        at: row.last_failed_at,
    };
    Ok(failed_message::list(db, &filter, FAILED, 0)?.into_iter().map(failed).collect())
}

#[derive(Debug, Serialize)]
struct ShownGuarantee {
    number: String,
    line: i64,
    product: ProductV1,
    medium: MediumV1,
    revision: i64,
    /// 新規, 変更－n and so on.
    target: String,
    steps: Vec<Step>,
}

#[derive(Debug, Serialize)]
struct Step {
    stage: &'static str,
    what: String,
    /// UTC.
    at: Option<NaiveDateTime>,
}

impl Step {
    fn new(stage: &'static str, what: impl Into<String>, at: Option<NaiveDateTime>) -> Self {
        Self { stage, what: what.into(), at }
    }
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Failure> {
    existing(&config)?;
    let pool = assembly::pool(&config)?;
    let key =
        GuaranteeNumber::parse(&args.key).map_or_else(|_| args.key.clone(), |number| number.to_string());
    let work = move || {
        let mut db = pool.get()?;
        let ids = status::locate(&mut db, &key)?;
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let found = status::status(&mut db, &ids)?.into_iter().flatten();
        found
            .map(|status| Ok((failures(&mut db, &status.application.id)?, status)))
            .collect::<Result<Vec<_>, DbError>>()
    };
    let found = tokio::task::spawn_blocking(work).await.map_err(Failure::internal)?.map_err(|error| {
        Failure::unavailable(error).hint("is database.url right? `hosho process` keeps its database in --out")
    })?;
    let found: Vec<Shown> =
        found.into_iter().map(|(failed, status)| Shown { failed, ..shown(status) }).collect();
    if found.is_empty() {
        return Err(Failure::found(anyhow::anyhow!("nothing is known of {}", printable(&args.key)))
            .hint("give a 保証契約番号, the upstream's id of an application, or our own (UUID)"));
    }
    if args.json {
        print_json(&found)?;
    } else {
        found.iter().for_each(tell);
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(found: ApplicationStatus) -> Shown {
    let application = found.application;
    let accepted = application.status == application::Status::Accepted;
    let violations =
        application.violations.as_deref().and_then(|text| snapshots::read(text).ok()).unwrap_or_default();
    Shown {
        status: if accepted { "accepted" } else { "rejected" },
        steps: vec![Step::new(
            "validate",
            if accepted { "accepted" } else { "rejected" },
            Some(application.decided_at),
        )],
        awaiting_issue: application.lines - i64::try_from(found.guarantees.len()).unwrap_or(0),
        failed: Vec::new(),
        guarantees: found.guarantees.iter().flat_map(shown_guarantee).collect(),
        source: application.source,
        id: application.upstream_id,
        application: application.id,
        violations,
    }
}

fn shown_guarantee(found: &GuaranteeStatus) -> Vec<ShownGuarantee> {
    let guarantee = &found.guarantee;
    let revision = |certificate: &CertificateStatus| ShownGuarantee {
        number: guarantee.number.clone(),
        line: guarantee.line,
        product: guarantee.product,
        medium: guarantee.medium,
        revision: certificate.certificate.revision,
        target: guarantee_history::revision_label(&certificate.certificate),
        steps: steps(found, certificate),
    };
    found.certificates.iter().map(revision).collect()
}

fn steps(found: &GuaranteeStatus, revision: &CertificateStatus) -> Vec<Step> {
    let mut steps = vec![Step::new(
        "issue",
        format!("number {}", found.guarantee.number),
        Some(revision.certificate.drawn_at),
    )];
    if found.guarantee.medium == MediumV1::Electronic {
        steps.push(Step::new("mint", "authentication key", found.key_minted_at));
    } else {
        steps.push(Step::new("mint", "no key: paper", Some(revision.certificate.drawn_at)));
    }
    let documents: Vec<&str> = revision.documents.iter().map(|document| document.location.as_str()).collect();
    let drawn = if documents.is_empty() { "documents".to_owned() } else { documents.join("\n") };
    steps.push(Step::new("render", drawn, revision.certificate.arrived_at));
    for mail in &revision.mails {
        let told = match mail.state {
            State::Pending => "mail pending",
            State::Sending => "mail being sent",
            State::Accepted => "mail accepted",
            State::Rejected => "mail refused by the mail server",
            State::Unknown => "mail unknown: may or may not have been taken",
        };
        let reply = mail.reply.as_deref().map(|reply| format!(" ({reply})")).unwrap_or_default();
        steps.push(Step::new("dispatch", format!("{told}{reply}"), mail.settled_at.or(mail.claimed_at)));
    }
    steps.push(Step::new("dispatch", "complete", revision.certificate.completed_at));
    steps
}

fn tell(shown: &Shown) {
    print(format!(
        "application {} of {}: {} ({})",
        printable(&shown.id),
        printable(&shown.source),
        shown.status,
        shown.application
    ));
    let mut table = super::table(["guarantee", "product", "stage", "at (Asia/Tokyo)", "what"]);
    let mut add = |guarantee: &str, product: &str, steps: &[Step]| {
        for (index, step) in steps.iter().enumerate() {
            let at = step.at.map_or_else(
                || "waiting".to_owned(),
                |at| in_tokyo(at).format("%Y-%m-%d %H:%M:%S").to_string(),
            );
            let (guarantee, product) = if index == 0 { (guarantee, product) } else { ("", "") };
            table.add_row([guarantee, product, step.stage, &at, &printable_lines(&step.what)]);
        }
    };
    add("", "", &shown.steps);
    for guarantee in &shown.guarantees {
        let number = format!("{} {}", guarantee.number, guarantee.target);
        let product = format!("{} {}", labels::product(guarantee.product), labels::medium(guarantee.medium));
        add(&number, &product, &guarantee.steps);
    }
    print(table);
    if shown.awaiting_issue > 0 && shown.status == "accepted" {
        print(format!("{} product lines wait for the issue stage", shown.awaiting_issue));
    }
    for failed in &shown.failed {
        let (stage, text) = (printable(&failed.stage), printable(&failed.text));
        print(format!(
            "{} in {stage}: {}  {text}  (`hosho failed show {}`)",
            failed.state,
            printable(&failed.code),
            short(&failed.message)
        ));
    }
    for violation in &shown.violations {
        print(format!(
            "  {}  {}  {}",
            violation.code,
            printable(&violation.path),
            printable(&violation.message_ja)
        ));
    }
}
