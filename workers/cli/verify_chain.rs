//! `hosho verify-chain`

use std::process::ExitCode;

use super::{
    Error, exit_code, output, print_text,
    selection::{DatabaseArgs, open_database},
    text::counted,
};
use crate::{app, config::Config, operations::verify_chain};

/// Prove that no revision of a guarantee was altered or removed
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho verify-chain                 every guarantee
  hosho verify-chain 31075-00001M    one

Each revision is hashed together with the hash before it, and the end of each
chain is sealed with a key of the key ring, which is not in the database. When
all guarantees are verified, the numbers of each branch and term must have no
gap. `hosho documents verify` compares the PDFs with the database.
Exit code 1: something was altered or removed.")]
pub(super) struct Args {
    /// 保証契約番号, in either width; every guarantee when left out
    #[arg(value_name = "NUMBER")]
    numbers: Vec<String>,
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let keys = app::keys(&config.keys)?;
    let db = open_database(&config).await?;
    let report = verify_chain::verify_chain(&db, keys, &args.numbers).await?;
    output(args.json, &report, |report| {
        for finding in &report.faults {
            print_text(format!("{}  {}", finding.number, finding.fault));
        }
        let found = match report.faults.len() {
            0 => "none was altered or removed".to_owned(),
            count => counted(count, "fault"),
        };
        let (revisions, guarantees) =
            (counted(report.revisions, "revision"), counted(report.guarantees, "guarantee"));
        print_text(format!("{revisions} of {guarantees}: {found}"));
    })?;
    Ok(exit_code(!report.faults.is_empty()))
}
