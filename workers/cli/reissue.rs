//! `hosho reissue`

use std::process::ExitCode;

use hosho_schema::queries::run_selection::Selection;

use super::{
    Error, batch,
    selection::{AuditArgs, DatabaseArgs, open_database},
};
use crate::{
    clock::Clock,
    config::Config,
    operations::{
        runs::{self, Runs},
        time,
    },
};

/// Re-issue guarantees: apply pending changes, or draw documents again
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "hosho reissue [OPTIONS] <SELECTION>",
    after_help = "Examples:
  hosho reissue --template-changed --dry-run
  hosho reissue --template-changed --reason \"new head office\" --rate 200
  hosho reissue --guarantee 31075-00001M --reason \"the PDF was damaged\"
  hosho reissue --all --reason \"new fonts\" --detach

Documents drawn again keep their revision and content. The contractor gets no
mail; upstream systems get the event guarantee.redrawn; `hosho history --all`
shows them. Workers continue an interrupted run."
)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    run: batch::RunArgs,
    #[command(flatten)]
    audit: AuditArgs,
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Selection (exactly one)")]
#[group(required = true, multiple = false)]
struct Which {
    /// This guarantee (保証契約番号, in either width); may be given several times
    #[arg(long, value_name = "NUMBER")]
    guarantee: Vec<String>,
    /// Those of this obligee, by its code
    #[arg(long, value_name = "CODE")]
    obligee: Option<String>,
    /// Those numbered at or after this:
    /// 2026-12-01, "2026-12-01 09:00" (Asia/Tokyo), or 3d ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Those drawn with other templates, fonts or another version of the program
    #[arg(long)]
    template_changed: bool,
    /// Those with a pending change
    #[arg(long)]
    pending: bool,
    /// All that are in force
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let db = open_database(&config).await?;
    let Which { guarantee, obligee, since, template_changed, pending, all } = args.which;
    let selection = match (obligee, since) {
        _ if !guarantee.is_empty() => runs::with_numbers(&db, &guarantee).await?,
        (Some(obligee), _) => runs::of_obligee(obligee, &config)?,
        (_, Some(since)) => {
            Selection::Since { since: time::parse("--since", &since, Clock::system().now())? }
        }
        _ if template_changed => runs::template_changed(&config)?,
        _ if pending => Selection::Pending,
        _ => {
            debug_assert!(all, "clap requires one of the group");
            Selection::All
        }
    };
    let operation = args.audit.operation("reissue")?;
    let runs = Runs::new(db, &config)?;
    let out = args.database.out.as_deref();
    batch::begin(&runs, selection, operation, args.audit.dry_run, &args.run, out, &config).await
}
