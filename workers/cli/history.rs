//! `hosho history`: the certificates of one guarantee, as a contractor sees them, or all of it for operators.

use std::process::ExitCode;

use chrono::NaiveDateTime;
use hosho_schema::{
    db::{Connection, DbError},
    messages::{ProductV1, ViolationV1},
    models::{
        certificate::{self, Certificate as Revision},
        change::{self, Change, State},
        document::{self, Document},
        guarantee::{self, Guarantee},
        job_run, run_item,
    },
    snapshots,
};
use serde::Serialize;

use super::{
    Failure,
    moment::shown,
    print, print_json, printable,
    selection::{Place, short},
};
use crate::{
    config::Config,
    domain::{
        guarantee_history::{self, GuaranteeHistory},
        labels,
        number::GuaranteeNumber,
        wareki::{self, in_tokyo},
    },
};

/// Show the certificates of one guarantee: 新規, 変更－1 and so on
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho history 31075-00001M          what the contractor sees: certificates that count, with 発行日時 in Japan
  hosho history 31075-00001M --all    everything: what was replaced or taken back and why, what waits, what was refused,
                                      documents that were drawn again
  hosho history 31075-00001M --out hosho-out

No authentication key is shown.")]
pub(super) struct Args {
    /// 保証契約番号, in either width
    #[arg(value_name = "NUMBER")]
    number: String,
    /// Also what the contractor does not see, for operators
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    place: Place,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn overrides(&self) -> Result<Vec<(&'static str, String)>, Failure> {
        self.place.overrides()
    }
}

/// What is known of a guarantee.
struct Found {
    guarantee: Guarantee,
    revisions: Vec<Revision>,
    changes: Vec<Change>,
    documents: Vec<Vec<Document>>,
    runs: Vec<(run_item::RunItem, Option<job_run::Run>)>,
}

#[derive(Serialize)]
struct History {
    number: String,
    product: ProductV1,
    /// `in_force` or `cancelled`.
    state: &'static str,
    /// 解約日.
    ended_on: Option<String>,
    certificates: Vec<Line>,
    #[serde(skip_serializing_if = "Option::is_none")]
    all: Option<All>,
}

/// A certificate as a contractor sees it.
#[derive(Serialize)]
struct Line {
    /// No., from 1.
    no: usize,
    /// 対象.
    target: String,
    /// 電子保証発行日時 (UTC).
    arrived_at: Option<NaiveDateTime>,
}

#[derive(Serialize)]
struct All {
    revisions: Vec<Step>,
    changes: Vec<Asked>,
    redrawn: Vec<Redrawn>,
}

/// A revision for operators.
#[derive(Serialize)]
struct Step {
    /// Its place in the chain.
    revision: i64,
    target: String,
    visible: bool,
    /// Whether it is the one that holds.
    holds: bool,
    drawn_at: NaiveDateTime,
    arrived_at: Option<NaiveDateTime>,
    completed_at: Option<NaiveDateTime>,
    why: String,
}

/// A change that came.
#[derive(Serialize)]
struct Asked {
    source: String,
    id: String,
    kind: &'static str,
    version: Option<i64>,
    urgent: bool,
    state: &'static str,
    received_at: NaiveDateTime,
    settled_at: Option<NaiveDateTime>,
    revision: Option<i64>,
    violations: Vec<ViolationV1>,
}

/// Documents that were drawn again.
#[derive(Serialize)]
struct Redrawn {
    revision: i64,
    target: String,
    document: &'static str,
    stored_at: NaiveDateTime,
    run: String,
    reason: String,
    sha256: String,
    identity: String,
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Failure> {
    let number =
        GuaranteeNumber::parse(&args.number).map_err(|error| Failure::usage(error.to_string()))?.to_string();
    let database = Place::database(&config).await?;
    let asked = number.clone();
    let Some(found) = database.ask(move |db| find(db, &asked)).await? else {
        return Err(Failure::found(anyhow::anyhow!("there is no guarantee {number}"))
            .hint("`hosho status` looks for applications too"));
    };
    let life = GuaranteeHistory::read(&found.revisions).map_err(Failure::found)?;
    let history = history(&found, &life, args.all);
    if args.json {
        print_json(&history)?;
    } else {
        overview(&found, &life);
        tell(&history);
    }
    Ok(ExitCode::SUCCESS)
}

fn find(db: &mut Connection, number: &str) -> Result<Option<Found>, DbError> {
    let Some(guarantee) = guarantee::by_number(db, number)? else { return Ok(None) };
    let revisions = certificate::by_guarantees(db, &[&guarantee.id])?.pop().unwrap_or_default();
    let ids: Vec<&str> = revisions.iter().map(|revision| revision.id.as_str()).collect();
    let documents = document::every(db, &ids)?;
    let changes = change::by_guarantee(db, &guarantee.id)?;
    let mut runs = Vec::new();
    for item in run_item::of_guarantee(db, &guarantee.id)? {
        let run = job_run::by_id(db, &item.run_id)?;
        runs.push((item, run));
    }
    Ok(Some(Found { guarantee, revisions, changes, documents, runs }))
}

fn history(found: &Found, life: &GuaranteeHistory, all: bool) -> History {
    let mut certificates: Vec<_> = life.certificates().into_iter().filter(|shown| shown.visible).collect();
    certificates.sort_by_key(|shown| shown.number);
    let arrived = |revision: i64| {
        found.revisions.iter().find(|row| row.revision == revision).and_then(|row| row.arrived_at)
    };
    History {
        number: found.guarantee.number.clone(),
        product: found.guarantee.product,
        state: if found.guarantee.ended_on.is_some() { "cancelled" } else { "in_force" },
        ended_on: found.guarantee.ended_on.clone(),
        certificates: certificates
            .iter()
            // What has not arrived in the registry is not issued yet (rule 6).
            .filter(|shown| arrived(shown.revision).is_some())
            .enumerate()
            .map(|(place, shown)| Line {
                no: place + 1,
                target: labels::revision(shown.number),
                arrived_at: arrived(shown.revision),
            })
            .collect(),
        all: all.then(|| everything(found, life)),
    }
}

fn everything(found: &Found, life: &GuaranteeHistory) -> All {
    let holds = life.current().map(|(revision, _)| revision);
    let visible: Vec<i64> =
        life.certificates().into_iter().filter(|shown| shown.visible).map(|shown| shown.revision).collect();
    let revisions = found
        .revisions
        .iter()
        .map(|row| Step {
            revision: row.revision,
            target: guarantee_history::revision_label(row),
            visible: visible.contains(&row.revision),
            holds: holds == Some(row.revision),
            drawn_at: row.drawn_at,
            arrived_at: row.arrived_at,
            completed_at: row.completed_at,
            why: why(found, row),
        })
        .collect();
    let changes = found
        .changes
        .iter()
        .map(|row| Asked {
            source: row.source.clone(),
            id: row.upstream_id.clone(),
            kind: row.kind.as_text(),
            version: row.version,
            urgent: row.urgent,
            state: row.state.as_text(),
            received_at: row.received_at,
            settled_at: row.settled_at,
            revision: row.revision,
            violations: row
                .violations
                .as_deref()
                .and_then(|text| snapshots::read(text).ok())
                .unwrap_or_default(),
        })
        .collect();
    let again = found
        .revisions
        .iter()
        .zip(&found.documents)
        .flat_map(|(row, documents)| documents.iter().map(move |document| (row, document)));
    let redrawn = again
        .filter(|(_, document)| !document.run_id.is_empty())
        .map(|(row, document)| Redrawn {
            revision: row.revision,
            target: guarantee_history::revision_label(row),
            document: document.kind.as_text(),
            stored_at: document.stored_at,
            run: document.run_id.clone(),
            reason: found
                .runs
                .iter()
                .filter_map(|(_, run)| run.as_ref())
                .find(|run| run.id == document.run_id)
                .map(|run| run.reason.clone())
                .unwrap_or_default(),
            sha256: document.sha256.clone(),
            identity: document.identity.clone(),
        })
        .collect();
    All { revisions, changes, redrawn }
}

/// What asked for a revision, why, and what hides it.
fn why(found: &Found, row: &Revision) -> String {
    let change =
        |row: &Revision| found.changes.iter().find(|change| row.change_id.as_ref() == Some(&change.id));
    let mut told = Vec::new();
    if let Some(change) = change(row) {
        told.push(format!(
            "change {} of {} (version {})",
            change.upstream_id,
            change.source,
            change.version.unwrap_or_default()
        ));
        if let Some(reason) = reason(change) {
            told.push(reason);
        }
    }
    if let Some(later) = found.revisions.iter().find(|later| later.target == Some(row.revision)) {
        told.push(format!(
            "hidden by {} (revision {})",
            guarantee_history::revision_label(later),
            later.revision
        ));
    }
    told.join("; ")
}

fn reason(change: &Change) -> Option<String> {
    match snapshots::read::<snapshots::Change>(change.snapshot.as_deref()?).ok()? {
        snapshots::Change::Correction { reason, .. }
        | snapshots::Change::AmendmentReversal { reason, .. } => Some(reason),
        snapshots::Change::Cancellation { cause, evidence, .. } => {
            let cause = labels::cancellation_cause(cause);
            Some(evidence.map_or_else(|| cause.to_owned(), |evidence| format!("{cause}: {evidence}")))
        }
        snapshots::Change::Amendment { .. } => None,
    }
}

fn overview(found: &Found, life: &GuaranteeHistory) {
    let Some((_, held)) = life.current() else { return };
    let state = held_state(found, life);
    let rows = [
        ("保証契約番号", found.guarantee.number.clone()),
        ("状態", state),
        ("商品名", format!("{}（{}）", labels::product(held.product), labels::medium(held.medium))),
        ("JV名", held.principal.joint_venture.clone().unwrap_or_default()),
        ("請負契約者", held.principal.company.name.clone()),
        ("工事名", held.works.name.clone()),
        ("発注者名", held.obligee.name.clone()),
        ("請負金額", held.works.contract_price.to_string()),
        ("保証金額", held.amount.to_string()),
        ("工期", format!("{}～{}", wareki::format(held.works.from), wareki::format(held.works.to))),
        ("保証期限", wareki::format(held.expires_on)),
        ("預託金融機関", held.bank.clone().unwrap_or_default()),
    ];
    for (label, value) in rows.into_iter().filter(|(_, value)| !value.is_empty()) {
        let width = label.chars().count();
        print(format!("{label}{}{}", "　".repeat(8 - width), printable(&value)));
    }
    print("");
}

fn held_state(found: &Found, life: &GuaranteeHistory) -> String {
    match life.ended_on().filter(|_| found.guarantee.ended_on.is_some()) {
        Some(day) => format!("解約（{}）", wareki::format(day)),
        None => "有効".to_owned(),
    }
}

fn tell(history: &History) {
    let mut table = super::table(["No.", "発行日時", "対象"]);
    for line in &history.certificates {
        let at =
            line.arrived_at.map(|at| in_tokyo(at).format("%Y/%m/%d %H:%M").to_string()).unwrap_or_default();
        table.add_row([line.no.to_string(), at, line.target.clone()]);
    }
    print(table);
    let Some(all) = &history.all else { return };
    print("\nrevisions, as they are chained");
    let mut table = super::table(["revision", "what", "shown", "arrived (Asia/Tokyo)", "why"]);
    for step in &all.revisions {
        let seen = if step.holds {
            "holds"
        } else if step.visible {
            "yes"
        } else {
            "no"
        };
        let at = step.arrived_at.map_or_else(|| "not yet".to_owned(), shown);
        table.add_row([
            step.revision.to_string(),
            step.target.clone(),
            seen.to_owned(),
            at,
            printable(&step.why),
        ]);
    }
    print(table);
    if !all.changes.is_empty() {
        print("\nchanges, as they came");
        let mut table = super::table(["change", "version", "what", "came (Asia/Tokyo)", "state", ""]);
        for asked in &all.changes {
            let state = if asked.state == State::Pending.as_text() && asked.urgent {
                "pending, urgent"
            } else {
                asked.state
            };
            let more = asked
                .violations
                .iter()
                .map(|violation| format!("{} {}", violation.code, violation.path))
                .collect::<Vec<_>>()
                .join(", ");
            table.add_row([
                printable(&format!("{} {}", asked.source, asked.id)),
                asked.version.map(|version| version.to_string()).unwrap_or_default(),
                asked.kind.to_owned(),
                shown(asked.received_at),
                state.to_owned(),
                asked
                    .revision
                    .map_or_else(|| printable(&more), |revision| format!("made revision {revision}")),
            ]);
        }
        print(table);
    }
    if !all.redrawn.is_empty() {
        print("\ndocuments drawn again, without a new revision");
        let mut table = super::table(["what", "document", "at (Asia/Tokyo)", "run", "reason"]);
        for again in &all.redrawn {
            table.add_row([
                again.target.clone(),
                again.document.to_owned(),
                shown(again.stored_at),
                short(&again.run).to_owned(),
                printable(&again.reason),
            ]);
        }
        print(table);
    }
}
