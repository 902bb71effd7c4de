//! `hosho history`

use std::process::ExitCode;

use chrono::{DateTime, NaiveDate, Utc};
use hosho_schema::{messages::ViolationV1, models::change::State, snapshots::Certificate};

use super::{
    Error, output, print, print_beside, print_table, printable,
    selection::{DatabaseArgs, open_database, short},
    table,
    text::shown,
};
use crate::{
    config::Config,
    domain::{
        labels,
        wareki::{self, in_tokyo},
    },
    operations::guarantees::{self, FullHistory, History},
};

/// Show the certificates of one guarantee: 新規, 変更－1 and so on
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho history 31075-00001M
      as the contractor sees it: valid certificates, with 発行日時 in Japan
  hosho history 31075-00001M --all
      everything: replaced and reversed certificates with the reasons, pending
      and rejected changes, documents drawn again
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
    pub(super) database: DatabaseArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    guarantees::parse_number(&args.number)?;
    let db = open_database(&config).await?;
    let view = guarantees::history(&db, &args.number, args.all).await?;
    output(args.json, &view.history, |history| {
        if let Some(certificate) = &view.current {
            print_overview(history, certificate);
        }
        print_certificates(history);
        history.all.iter().for_each(print_all);
    })
}

fn print_overview(history: &History, held: &Certificate) {
    let ended_on = history.ended_on.as_deref().and_then(|day| day.parse::<NaiveDate>().ok());
    let state = ended_on.map_or_else(|| "有効".to_owned(), |day| format!("解約（{}）", wareki::format(day)));
    let rows = [
        ("保証契約番号", history.number.clone()),
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
        print_beside(&format!("{label}{}", "　".repeat(8 - width)), printable(&value));
    }
    print("");
}

fn print_certificates(history: &History) {
    let mut rows = table(["No.", "発行日時", "対象"]);
    for line in &history.certificates {
        let at = |at: DateTime<Utc>| in_tokyo(at.naive_utc()).format("%Y/%m/%d %H:%M JST").to_string();
        rows.add_row([line.no.to_string(), line.arrived_at.map(at).unwrap_or_default(), line.target.clone()]);
    }
    print_table(rows);
}

fn print_all(all: &FullHistory) {
    print("\nrevisions, in the order of the chain");
    let mut rows = table(["revision", "what", "shown", "arrived", "why"]);
    for line in &all.revisions {
        let seen = match (line.holds, line.visible) {
            (true, _) => "holds",
            (false, true) => "yes",
            (false, false) => "no",
        };
        rows.add_row([
            line.revision.to_string(),
            line.target.clone(),
            seen.to_owned(),
            line.arrived_at.map_or_else(|| "not yet".to_owned(), shown),
            printable(&line.why),
        ]);
    }
    print_table(rows);
    if !all.changes.is_empty() {
        print("\nchanges, as received");
        let mut rows = table(["change", "version", "what", "received", "state", ""]);
        for line in &all.changes {
            let is_urgent = line.state == State::Pending.as_text() && line.urgent;
            let violation = |violation: &ViolationV1| format!("{} {}", violation.code, violation.path);
            let more = match line.revision {
                Some(revision) => format!("made revision {revision}"),
                None => printable(&line.violations.iter().map(violation).collect::<Vec<_>>().join(", ")),
            };
            rows.add_row([
                printable(&format!("{} {}", line.source, line.id)),
                line.version.map(|version| version.to_string()).unwrap_or_default(),
                line.kind.replace('_', " "),
                shown(line.received_at),
                if is_urgent { "pending, urgent".to_owned() } else { line.state.to_owned() },
                more,
            ]);
        }
        print_table(rows);
    }
    if !all.redrawn.is_empty() {
        print("\ndocuments drawn again, without a new revision");
        let mut rows = table(["what", "document", "at", "run", "reason"]);
        for line in &all.redrawn {
            rows.add_row([
                line.target.clone(),
                line.document.to_owned(),
                shown(line.stored_at),
                short(&line.run).to_owned(),
                printable(&line.reason),
            ]);
        }
        print_table(rows);
    }
}
