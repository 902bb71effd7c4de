//! `hosho reissue`: guarantees issued again by hand.

use std::{process::ExitCode, sync::Arc};

use hosho_schema::queries::run_selection::Selection;

use super::{
    Error, batch,
    moment::moment,
    selection::{AuditArgs, DatabaseArgs},
};
use crate::{app, config::Config, documents::revision::RevisionRenderer, domain::number::GuaranteeNumber};

/// Issue guarantees again: what waits takes effect, else documents are drawn again
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho reissue --template-changed --dry-run
  hosho reissue --template-changed --reason \"new address of the head office in the notice\" --rate 200
  hosho reissue --guarantee 31075-00001M --guarantee 31075-00002M --reason \"the PDF was damaged\"
  hosho reissue --all --reason \"new fonts\" --detach

DocumentStore that are drawn again keep their revision, and say what they said; the contractor is sent no mail, upstream systems get
the event guarantee.redrawn, and `hosho history --all` shows it. A run that was interrupted is gone on with by the workers.")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    how: batch::RunArgs,
    #[command(flatten)]
    who: AuditArgs,
    #[command(flatten)]
    place: DatabaseArgs,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// This guarantee (保証契約番号, in either width); may be given several times
    #[arg(long, value_name = "NUMBER")]
    guarantee: Vec<String>,
    /// Those of this obligee, by its code
    #[arg(long, value_name = "CODE")]
    obligee: Option<String>,
    /// Those whose number was given at or after this: 2026-12-01, "2026-12-01 09:00" (Asia/Tokyo), or 3d ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Those whose documents were drawn with other templates, fonts or another version of the program than there are now
    #[arg(long)]
    template_changed: bool,
    /// Those for which a change waits, as the night would
    #[arg(long)]
    pending: bool,
    /// All that are in force
    #[arg(long)]
    all: bool,
}

impl Args {
    pub(super) fn overrides(&self) -> Result<Vec<(&'static str, String)>, Error> {
        self.place.overrides()
    }
}

/// Numbers of guarantees taken at most.
const NUMBERS: usize = 10_000;

pub(super) async fn run(args: Args, config: Config) -> Result<ExitCode, Error> {
    let database = DatabaseArgs::database(&config).await?;
    let Which { guarantee, obligee, since, template_changed, pending, all } = args.which;
    let selection = if !guarantee.is_empty() {
        if guarantee.len() > NUMBERS {
            return Err(Error::invalid(format!("at most {NUMBERS} guarantees can be named")));
        }
        let numbers =
            guarantee.iter().map(|number| GuaranteeNumber::parse(number).map(|number| number.to_string()));
        Selection::Numbers {
            numbers: numbers.collect::<Result<_, _>>().map_err(|error| Error::invalid(error.to_string()))?,
        }
    } else if let Some(obligee) = obligee {
        if app::obligees(&config)?.get(&obligee).is_none() {
            return Err(Error::invalid(format!("there is no obligee {obligee:?}"))
                .hint("`hosho obligees list` shows their codes"));
        }
        Selection::Obligee { obligee }
    } else if let Some(since) = since {
        Selection::Since { since: moment("--since", &since, database.clock.now())? }
    } else if template_changed {
        let drawing = RevisionRenderer::new(
            Arc::new(app::press(&config)?),
            Arc::new(app::keys(&config.keys)?),
            config.registry.url.clone(),
        );
        Selection::TemplateChanged { identity: drawing.identity() }
    } else if pending {
        Selection::Pending
    } else {
        debug_assert!(all, "the group asks for one of them");
        Selection::All
    };
    batch::begin(selection, "reissue", &args.how, &args.who, &database, args.place.out.as_deref(), &config)
        .await
}
