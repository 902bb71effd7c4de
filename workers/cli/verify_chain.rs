//! `hosho verify-chain`: proves that no revision was altered or removed.

use std::{collections::BTreeMap, process::ExitCode};

use hosho_schema::{
    db::{Connection, DbError},
    models::{
        certificate::{self, Certificate as Revision, Kind, chained_sha256},
        chain_head::{self, ChainHead},
        guarantee::{self, Guarantee},
        guarantee_sequence,
    },
    snapshots::{self, Certificate, Reversal},
};
use serde::Serialize;

use super::{Failure, print, print_json, selection::Place};
use crate::{
    assembly,
    config::Config,
    domain::{guarantee_history::GuaranteeHistory, number::GuaranteeNumber},
    keys::KeyRing,
};

/// Prove that no revision of a guarantee was altered or removed
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho verify-chain                 every guarantee
  hosho verify-chain 31075-00001M    one

Each revision is hashed together with the hash before it, and the end of each chain is sealed with a key of the key ring,
which is not in the database. Where all guarantees are looked at, the numbers of each branch and term must have no gap.
`hosho documents verify` compares the PDFs with what they were drawn from.
Exit code 1: something was altered or removed.")]
pub(super) struct Args {
    /// 保証契約番号, in either width; every guarantee when left out
    #[arg(value_name = "NUMBER")]
    numbers: Vec<String>,
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

/// Guarantees read at a time.
const PAGE: i64 = 1_000;

#[derive(Debug, Default, Serialize)]
struct Report {
    guarantees: usize,
    revisions: usize,
    faults: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct Finding {
    number: String,
    fault: String,
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Failure> {
    let numbers: Vec<String> = args
        .numbers
        .iter()
        .map(|number| {
            GuaranteeNumber::parse(number)
                .map(|number| number.to_string())
                .map_err(|error| Failure::usage(error.to_string()))
        })
        .collect::<Result<_, _>>()?;
    let keys = assembly::keys(&config.keys)?;
    let database = Place::database(&config).await?;
    let report = database
        .ask(move |db| if numbers.is_empty() { all(db, &keys) } else { some(db, &keys, &numbers) })
        .await?;
    if args.json {
        print_json(&report)?;
    } else {
        for Finding { number, fault } in &report.faults {
            print(format!("{number}  {fault}"));
        }
        let found = if report.faults.is_empty() {
            "none was altered or removed".to_owned()
        } else {
            format!("{} faults", report.faults.len())
        };
        print(format!("{} revisions of {} guarantees: {found}", report.revisions, report.guarantees));
    }
    Ok(ExitCode::from(u8::from(!report.faults.is_empty())))
}

fn some(db: &mut Connection, keys: &KeyRing, numbers: &[String]) -> Result<Report, Failure> {
    let asked: Vec<&str> = numbers.iter().map(String::as_str).collect();
    let found = guarantee::by_numbers(db, &asked)?;
    let mut report = Report::default();
    for (number, guarantee) in numbers.iter().zip(&found) {
        if guarantee.is_none() {
            return Err(Failure::found(anyhow::anyhow!("there is no guarantee {number}")));
        }
    }
    judge(db, keys, &found.into_iter().flatten().collect::<Vec<_>>(), &mut report)?;
    Ok(report)
}

fn all(db: &mut Connection, keys: &KeyRing) -> Result<Report, Failure> {
    let mut report = Report::default();
    let mut given: BTreeMap<(String, String), Vec<i64>> = BTreeMap::new();
    let mut after = String::new();
    loop {
        let page = guarantee::after(db, &after, PAGE)?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.id);
        for guarantee in &page {
            given
                .entry((guarantee.branch.clone(), guarantee.term.clone()))
                .or_default()
                .push(guarantee.sequence);
        }
        judge(db, keys, &page, &mut report)?;
    }
    for ((branch, term), last) in guarantee_sequence::all(db)? {
        let mut found = given.remove(&(branch.clone(), term.clone())).unwrap_or_default();
        found.sort_unstable();
        let present: std::collections::BTreeSet<i64> = found.into_iter().collect();
        let missing = (1..=last).filter(|sequence| !present.contains(sequence));
        report.faults.extend(missing.map(|sequence| Finding {
            number: format!("{branch}{term}-{sequence:05}"),
            fault: "the number was given, and its guarantee is gone".to_owned(),
        }));
    }
    Ok(report)
}

fn judge(
    db: &mut Connection,
    keys: &KeyRing,
    guarantees: &[Guarantee],
    report: &mut Report,
) -> Result<(), DbError> {
    let ids: Vec<&str> = guarantees.iter().map(|guarantee| guarantee.id.as_str()).collect();
    let revisions = certificate::by_guarantees(db, &ids)?;
    let heads = chain_head::by_guarantees(db, &ids)?;
    for ((guarantee, revisions), head) in guarantees.iter().zip(revisions).zip(heads) {
        report.guarantees += 1;
        report.revisions += revisions.len();
        let faults = faults(keys, guarantee, &revisions, head.as_ref());
        report
            .faults
            .extend(faults.into_iter().map(|fault| Finding { number: guarantee.number.clone(), fault }));
    }
    Ok(())
}

/// What is wrong with the revisions of a guarantee.
fn faults(
    keys: &KeyRing,
    guarantee: &Guarantee,
    revisions: &[Revision],
    head: Option<&ChainHead>,
) -> Vec<String> {
    let mut faults = Vec::new();
    let mut previous: Option<&str> = None;
    for (place, row) in (0_i64..).zip(revisions) {
        if row.revision != place {
            faults.push(format!("revision {place} was removed"));
            return faults;
        }
        if row.previous_sha256.as_deref() != previous
            || chained_sha256(previous, &row.content) != row.content_sha256
        {
            faults.push(format!("revision {place} was altered"));
        } else if !is_what_it_says(guarantee, row) {
            faults.push(format!("revision {place} is not what its content says"));
        }
        previous = Some(&row.content_sha256);
    }
    let count = i64::try_from(revisions.len()).unwrap_or(i64::MAX);
    match (head, previous) {
        (None, _) => faults.push("the end of its chain was removed".to_owned()),
        (Some(head), last) => {
            if *head != keys.chain_head(&guarantee.id, head.revisions, &head.head_sha256) {
                faults.push("the seal of its chain is not ours".to_owned());
            } else if head.revisions > count {
                faults.push(format!("revisions {count} to {} were removed", head.revisions - 1));
            } else if head.revisions < count {
                faults.push(format!("revisions {} to {} were added", head.revisions, count - 1));
            } else if last != Some(&head.head_sha256) {
                faults.push("its chain does not end where it is sealed".to_owned());
            }
        }
    }
    if faults.is_empty() {
        match GuaranteeHistory::read(revisions) {
            Err(error) => faults.push(error.to_string()),
            Ok(life) => {
                if life.current().map(|(revision, _)| revision) != Some(guarantee.current_revision)
                    || life.ended_on().map(|day| day.to_string()) != guarantee.ended_on
                {
                    faults.push("what is said to hold is not what the chain says".to_owned());
                }
            }
        }
    }
    faults
}

/// Whether what stands beside a content is what stands in it: kind, target and guarantee are under the hash too.
fn is_what_it_says(guarantee: &Guarantee, row: &Revision) -> bool {
    match row.kind {
        Kind::New | Kind::Amendment | Kind::Correction => snapshots::read::<Certificate>(&row.content)
            .is_ok_and(|content| {
                let corrects = (row.kind == Kind::Correction).then_some(row.target).flatten();
                content.number == guarantee.number
                    && content.corrects == corrects
                    && (row.kind == Kind::New) == (row.revision == 0)
            }),
        Kind::Reversal => snapshots::read::<Reversal>(&row.content)
            .is_ok_and(|content| content.number == guarantee.number && Some(content.reverses) == row.target),
        Kind::Cancellation => snapshots::read::<snapshots::Cancellation>(&row.content)
            .is_ok_and(|content| content.certificate.number == guarantee.number && row.target.is_none()),
    }
}
