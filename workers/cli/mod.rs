//! The command line: one file per command. The only part of the program that prints.
//!
//! Data goes to standard output, everything else (progress, logs, errors) to standard error. Exit codes are part of
//! the interface: [`EXIT_CODES`].

mod audit;
mod batch;
mod config;
mod doctor;
mod documents;
mod embedded;
mod enqueue;
mod failed;
mod history;
mod input;
mod mail;
mod migrate;
mod obligees;
mod process;
mod recover;
mod reissue;
mod replay;
mod selection;
mod stages;
mod status;
mod templates;
mod text;
mod time;
mod topology;
mod validate;
mod verify_chain;
mod work;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use comfy_table::{LineStyle, Table, TableStyle};

use crate::{config::Config, operations::Error, telemetry};

/// Names by which other commands use these functions.
use crate::operations::broker as shared;
use text as wording;
mod moment {
    pub(super) use crate::operations::{local as shown, time::parse as moment};
}

/// What the exit codes mean; shown by `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  done, but something was rejected, failed, differs or was not accepted (told above)
  2  wrong usage
  3  the configuration is not valid
  4  something needed is not available (database, broker, document store, fonts)";

#[derive(Debug, Parser)]
#[command(name = "hosho", version, about = "Electronic surety (電子保証) for public works: applications in, certificates out", after_help = EXIT_CODES)]
struct Cli {
    /// Configuration file; later than config/default.toml, earlier than HOSHO__… variables
    #[arg(long, global = true, env = "HOSHO_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Process(process::Args),
    Validate(validate::Args),
    Work(work::Args),
    Enqueue(enqueue::Args),
    Migrate(migrate::Args),
    Topology(topology::Args),
    Config(config::Args),
    Templates(templates::Args),
    Obligees(obligees::Args),
    DocumentStore(documents::Args),
    Status(status::Args),
    History(history::Args),
    VerifyChain(verify_chain::Args),
    Reissue(reissue::Args),
    Batch(batch::Args),
    Failed(failed::Args),
    Replay(replay::Args),
    Stages(stages::Args),
    Recover(recover::Args),
    Mail(mail::Args),
    Audit(audit::Args),
    Doctor(doctor::Args),
}

/// Parses the command line, runs the command, and tells what went wrong.
#[expect(clippy::print_stderr, reason = "errors are for the person at the terminal")]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start threads: {error}");
            return ExitCode::from(4);
        }
    };
    let result = runtime.block_on(run(cli));
    // Database work that hangs does not hold up the end: it is repeated by whoever gets its messages.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}", printable_lines(&error.to_string()));
            error.exit_code()
        }
    }
}

async fn run(cli: Cli) -> Result<ExitCode, Error> {
    let overrides = match &cli.command {
        Command::Process(args) => args.overrides()?,
        Command::Status(args) => args.overrides()?,
        Command::DocumentStore(args) => args.overrides()?,
        Command::Validate(args) => args.overrides()?,
        Command::Templates(args) => args.overrides()?,
        Command::History(args) => args.overrides()?,
        Command::VerifyChain(args) => args.overrides()?,
        Command::Reissue(args) => args.overrides()?,
        Command::Batch(args) => args.overrides()?,
        Command::Failed(args) => args.overrides()?,
        Command::Replay(args) => args.overrides()?,
        Command::Mail(args) => args.overrides()?,
        Command::Audit(args) => args.overrides()?,
        Command::Doctor(args) => args.overrides()?,
        _ => Vec::new(),
    };
    let loaded = Config::load(cli.config.as_deref(), &overrides).map_err(|error| {
        Error::configuration(error)
            .hint("`hosho config show` prints every setting; config/default.toml tells what each means")
    })?;
    telemetry::start(&loaded.log).map_err(|problem| Error::configuration(anyhow::anyhow!(problem)))?;
    match cli.command {
        Command::Process(args) => process::run(args, loaded).await,
        Command::Validate(args) => validate::run(args, loaded).await,
        Command::Work(args) => work::run(args, loaded).await,
        Command::Enqueue(args) => enqueue::run(args, loaded).await,
        Command::Migrate(args) => migrate::run(args, loaded).await,
        Command::Topology(args) => topology::run(args, loaded).await,
        Command::Config(args) => config::run(&args, &loaded),
        Command::Templates(args) => templates::run(&args, &loaded),
        Command::Obligees(args) => obligees::run(args, &loaded),
        Command::DocumentStore(args) => documents::run(args, loaded).await,
        Command::Status(args) => status::run(args, loaded).await,
        Command::History(args) => history::run(args, loaded).await,
        Command::VerifyChain(args) => verify_chain::run(args, loaded).await,
        Command::Reissue(args) => reissue::run(args, loaded).await,
        Command::Batch(args) => batch::run(args, loaded).await,
        Command::Failed(args) => failed::run(args, loaded).await,
        Command::Replay(args) => replay::run(args, loaded).await,
        Command::Stages(args) => stages::run(args, loaded).await,
        Command::Recover(args) => recover::run(args, loaded).await,
        Command::Mail(args) => mail::run(args, loaded).await,
        Command::Audit(args) => audit::run(args, loaded).await,
        Command::Doctor(args) => doctor::run(args, loaded).await,
    }
}

/// Prints a value as JSON, for programs; safe for a terminal all the same.
fn print_json(value: &impl serde::Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(Error::unavailable)?;
    print(harmless_json(&text));
    Ok(())
}

/// JSON whose strings hold no raw character a terminal would obey: the serialiser escapes those of ASCII only, up to U+001F.
fn harmless_json(text: &str) -> String {
    let escaped = |character| {
        if character != '\n' && is_obeyed(character) {
            format!("\\u{:04x}", u32::from(character))
        } else {
            character.to_string()
        }
    };
    text.chars().map(escaped).collect()
}

/// Prints a line of data. Text from outside passes [`printable`] first.
///
/// A reader that has seen enough (`hosho … | head`) is no error; the work is done.
#[expect(clippy::print_stderr, reason = "there is no other way left to tell it")]
fn print(line: impl std::fmt::Display) {
    use std::io::Write as _;
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("error: cannot write to standard output: {error}");
            std::process::exit(4);
        }
        _ => {}
    }
}

/// Tells something beside the data, on standard error.
#[expect(clippy::print_stderr, reason = "it is no data")]
fn remark(line: impl AsRef<str>) {
    eprintln!("{}", printable_lines(line.as_ref()));
}

/// Text from outside, safe for a terminal: control and bidi characters become `U+…`.
fn printable(text: &str) -> String {
    let shown = |character| {
        if is_obeyed(character) { format!("<U+{:04X}>", u32::from(character)) } else { character.to_string() }
    };
    text.chars().map(shown).collect()
}

/// [`printable`], line by line.
fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// Whether a terminal obeys the character instead of showing it: control characters and those of writing direction.
fn is_obeyed(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || character.is_control()
}

/// The settings that read the database in a folder of `hosho process`, and what belongs to it.
fn database_of(out: &std::path::Path) -> Result<Vec<(&'static str, String)>, Error> {
    let file = out.join("hosho.sqlite");
    if !file.is_file() {
        return Err(Error::invalid(format!(
            "{} is not a folder of `hosho process`: it has no hosho.sqlite",
            out.display()
        ))
        .hint("give the folder that was --out of `hosho process`"));
    }
    Ok(vec![
        ("database.url", format!("sqlite:{}", file.display())),
        ("documents.url", format!("file:{}", out.join("documents").display())),
        ("keys.file", out.join("hosho.keys").display().to_string()),
    ])
}

/// Refuses a SQLite file that is not there: opening would make an empty one, and this command only looks.
fn existing(config: &Config) -> Result<(), Error> {
    match config
        .database
        .url
        .expose()
        .strip_prefix("sqlite:")
        .map(|path| path.strip_prefix("//").unwrap_or(path))
    {
        Some(path) if !std::path::Path::new(path).exists() => {
            Err(Error::unavailable(anyhow::anyhow!("there is no database {path}"))
                .hint("is database.url right? `hosho process` keeps its database in --out"))
        }
        _ => Ok(()),
    }
}

/// A table for people: no borders, a rule under the head.
fn table<const N: usize>(head: [&str; N]) -> Table {
    const RULE_UNDER_HEAD: TableStyle =
        TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
    let mut table = Table::new();
    table.load_style(RULE_UNDER_HEAD).set_header(head);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn hostile_text_is_shown_not_obeyed() {
        assert_eq!(printable("a\u{1b}[2Jb\u{202e}髙\n"), "a<U+001B>[2Jb<U+202E>髙<U+000A>");
        assert_eq!(printable_lines("a\u{9b}\nb"), "a<U+009B>\nb");
        let json = harmless_json(&serde_json::to_string_pretty(&["\u{1b}\u{7f}\u{9b}\u{202e}髙\n"]).unwrap());
        assert_eq!(json, "[\n  \"\\u001b\\u007f\\u009b\\u202e髙\\n\"\n]");
    }
}
