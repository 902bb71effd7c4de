//! `hosho verify-chain`

use std::process::ExitCode;

use super::{Error, print, print_json, selection::DatabaseArgs};
use crate::{app, config::Config, db::Db, operations::verify_chain};

/// Prove that no revision of a guarantee was altered or removed
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho verify-chain                 every guarantee
  hosho verify-chain 31075-00001M    one

Each revision is hashed together with the hash before it, and the end of each
chain is sealed with a key of the key ring, which is not in the database. When
all guarantees are verified, the numbers of each branch and term must have no
gap. `hosho document-store verify` compares the PDFs with the database.
Exit code 1: something was altered or removed.")]
pub(super) struct Args {
    /// 保証契約番号, in either width; every guarantee when left out
    #[arg(value_name = "NUMBER")]
    numbers: Vec<String>,
    #[command(flatten)]
    place: DatabaseArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn overrides(&self) -> Result<Vec<(&'static str, String)>, Error> {
        self.place.overrides()
    }
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let keys = app::keys(&config.keys)?;
    let database = DatabaseArgs::database(&config).await?;
    let report = verify_chain::verify_chain(&Db::new(database.pool), keys, &args.numbers).await?;
    if args.json {
        print_json(&report)?;
    } else {
        for finding in &report.faults {
            print(format!("{}  {}", finding.number, finding.fault));
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
