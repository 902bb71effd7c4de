//! Arguments and printing; the decisions are in [`operations`](crate::operations).
//!
//! Data goes to standard output, everything else (progress, logs, errors) to standard error. With `--json`,
//! standard output is exactly one JSON document, also for an error. Exit codes are part of the interface:
//! [`EXIT_CODES`].

mod audit;
mod batch;
mod config;
mod doctor;
#[cfg(test)]
mod documented;
mod documents;
mod enqueue;
mod failed;
mod history;
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
mod topology;
mod validate;
mod verify_chain;
mod work;
mod wrap;

use std::{
    ffi::OsString,
    io::IsTerminal as _,
    path::PathBuf,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

use clap::{Parser, Subcommand};
use comfy_table::{ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle, Width};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use unicode_width::UnicodeWidthStr as _;

use crate::{
    operations::{Error, configuration},
    telemetry,
};

/// Part of `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  not found, or a conflict, or done with something rejected or failed
  2  wrong usage
  3  the configuration is not valid
  4  database, broker, document store or fonts are not available";

#[derive(Debug, Parser)]
#[command(
    name = "hosho",
    version,
    about = "Electronic surety (電子保証) for public works: from application to certificate",
    after_help = EXIT_CODES,
    max_term_width = 80
)]
struct Cli {
    /// Configuration file; overrides config/default.toml, HOSHO__… override it
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
    Documents(documents::Args),
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

pub fn main() -> ExitCode {
    // The memory holds keys: no core dump, and no other process of this user reads it.
    let not_dumpable = rustix::process::DumpableBehavior::NotDumpable;
    if let Err(error) = rustix::process::set_dumpable_behavior(not_dumpable) {
        return print_error(&Error::unavailable(error).context("cannot switch core dumps off"), false);
    }
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let json = wants_json(&arguments);
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if json && error.use_stderr() => {
            return print_error(&usage_error(&error, &arguments), true);
        }
        Err(error) if error.use_stderr() => {
            remark(error.render().to_string().trim_end());
            return ExitCode::from(2);
        }
        Err(error) => error.exit(),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return print_error(&Error::unavailable(error), json),
    };
    let result = runtime.block_on(run(cli));
    // Hanging database work does not delay the end: its messages are redelivered.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result.unwrap_or_else(|error| print_error(&error, json))
}

/// As JSON on standard output, unless data is there already; else as a remark.
fn print_error(error: &Error, json: bool) -> ExitCode {
    if !json || HAS_PRINTED.load(Ordering::Relaxed) || print_json(&error.to_json()).is_err() {
        remark_error(error);
    }
    error.exit_code()
}

/// Whether the answer is JSON, also where the arguments are wrong.
fn wants_json(arguments: &[OsString]) -> bool {
    let options = arguments.split(|argument| argument == "--").next().unwrap_or_default();
    options.iter().any(|one| one == "--json" || one == "--format=json")
        || options.windows(2).any(|pair| pair[0] == "--format" && pair[1] == "json")
}

/// The message of clap without its usage; the hint names the help of the command.
fn usage_error(error: &clap::Error, arguments: &[OsString]) -> Error {
    let text = error.render().to_string();
    let message = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let cli = <Cli as clap::CommandFactory>::command();
    let (mut command, mut path) = (&cli, cli.get_name().to_owned());
    for argument in arguments.iter().take_while(|argument| *argument != "--") {
        if let Some(inner) = command.find_subcommand(argument) {
            command = inner;
            path = format!("{path} {}", inner.get_name());
        }
    }
    Error::invalid(message).hint(format!("run `{path} --help`"))
}

async fn run(cli: Cli) -> Result<ExitCode, Error> {
    let overrides = match &cli.command {
        Command::Process(args) => configuration::embedded(&args.out, args.verbose)?,
        Command::Templates(args) => args.overrides()?,
        Command::Status(status::Args { out, .. }) | Command::Validate(validate::Args { out, .. }) => {
            out.as_deref().map_or(Ok(Vec::new()), configuration::stored)?
        }
        Command::History(history::Args { database, .. })
        | Command::VerifyChain(verify_chain::Args { database, .. })
        | Command::Reissue(reissue::Args { database, .. })
        | Command::Batch(batch::Args { database, .. })
        | Command::Failed(failed::Args { database, .. })
        | Command::Replay(replay::Args { database, .. })
        | Command::Mail(mail::Args { database, .. })
        | Command::Documents(documents::Args { database, .. })
        | Command::Audit(audit::Args { database, .. })
        | Command::Doctor(doctor::Args { database, .. }) => database.overrides()?,
        _ => Vec::new(),
    };
    let loaded = configuration::load(cli.config.as_deref(), &overrides)?;
    telemetry::start(&loaded.log.level, loaded.log.format).map_err(|problem| {
        Error::configuration(anyhow::anyhow!(problem).context("configuration"))
            .hint("correct it; config/default.toml explains every setting")
    })?;
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
        Command::Documents(args) => documents::run(args, loaded).await,
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

/// Prints a value as JSON, or as text; returns success.
fn output<T: serde::Serialize>(
    json: bool,
    value: &T,
    print_text: impl FnOnce(&T),
) -> Result<ExitCode, Error> {
    if json {
        print_json(value)?;
    } else {
        print_text(value);
    }
    Ok(ExitCode::SUCCESS)
}

/// 1 if something is wrong, else 0.
fn exit_code(is_wrong: bool) -> ExitCode {
    ExitCode::from(u8::from(is_wrong))
}

/// Prints a value as JSON, safe for a terminal.
fn print_json(value: &impl serde::Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(Error::unavailable)?;
    print(harmless_json(&text));
    Ok(())
}

/// The name of a variant, as in JSON.
fn name_of(variant: impl serde::Serialize) -> String {
    serde_json::to_value(variant).ok().and_then(|name| Some(name.as_str()?.to_owned())).unwrap_or_default()
}

/// Escapes control characters in JSON; serde_json escapes those up to U+001F only.
fn harmless_json(text: &str) -> String {
    escaped(text, |code| if code == u32::from('\n') { "\n".to_owned() } else { format!("\\u{code:04x}") })
}

static HAS_PRINTED: AtomicBool = AtomicBool::new(false);

/// Prints a line of data. Text from outside passes [`printable`] first.
///
/// A closed pipe (`hosho … | head`) is not an error: the work is done.
fn print(line: impl std::fmt::Display) {
    use std::io::Write as _;
    HAS_PRINTED.store(true, Ordering::Relaxed);
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            print_remark(&format!("error: cannot write to standard output: {error}"));
            std::process::exit(4);
        }
        _ => {}
    }
}

/// Prints wrapped text for people.
/// Further lines of a line are indented by two columns more.
fn print_text(text: impl AsRef<str>) {
    print(indented(text.as_ref(), wrap::columns()));
}

/// Prints a text beside a label, wrapped; its lines begin below each other.
fn print_beside(label: &str, text: impl AsRef<str>) {
    let width = usize::from(wrap::columns());
    print(wrap::hanging(label, text.as_ref(), label.width(), width));
}

fn indented(text: &str, width: u16) -> String {
    let indented = |line: &str| {
        let text = line.trim_start_matches(' ');
        let indent = &line[..line.len() - text.len()];
        wrap::hanging(indent, text, indent.len() + 2, usize::from(width))
    };
    text.split('\n').map(indented).collect::<Vec<_>>().join("\n")
}

/// Prints to standard error, wrapped: not data.
fn remark(text: impl AsRef<str>) {
    print_remark(&indented(&printable_lines(text.as_ref()), wrap::columns_of(std::io::stderr())));
}

/// As [`remark`], beside a label.
fn remark_beside(label: &str, text: &str) {
    let width = usize::from(wrap::columns_of(std::io::stderr()));
    print_remark(&wrap::hanging(label, &printable_lines(text), label.width(), width));
}

/// A closed standard error is not a reason to abort.
fn print_remark(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

fn remark_error(error: &Error) {
    remark_beside("error: ", &error.message());
    if let Some(hint) = error.advice() {
        remark_beside(" hint: ", hint);
    }
}

/// Text from outside, safe for a terminal: control characters become `U+…`.
fn printable(text: &str) -> String {
    escaped(text, |code| format!("<U+{code:04X}>"))
}

fn escaped(text: &str, escape: impl Fn(u32) -> String) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_control(character) {
            shown += &escape(character.into());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// [`printable`], line by line.
fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// Whether a terminal executes the character, or it is invisible.
/// Also if it changes line or writing direction.
/// Variation selectors, which belong to a kanji, are none of these.
fn is_control(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// A table that fits the terminal: no borders, a rule under the head.
fn table<const N: usize>(head: [&str; N]) -> Table {
    const RULE_UNDER_HEAD: TableStyle =
        TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
    let mut table = Table::new();
    table
        .load_style(RULE_UNDER_HEAD)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(wrap::columns())
        .set_header(head);
    table
}

/// Prints a table.
/// A column is at least as wide as its longest word, where that is possible.
fn print_table(mut table: Table) {
    keep_words(&mut table);
    print(table);
}

/// The width of the longest word.
/// Japanese has no spaces: a name stays whole, a sentence does not.
fn longest_word(text: &str) -> usize {
    const LONGEST_NAME: usize = 20;
    let width = |word: &str| {
        if word.width() > LONGEST_NAME { wrap::longest_part(word) } else { word.width() }
    };
    text.split_whitespace().map(width).max().unwrap_or_default()
}

fn keep_words(table: &mut Table) {
    let contents = table.column_max_content_widths();
    let rows = || table.header().into_iter().chain(table.row_iter());
    let longest = |column: usize| {
        let cells = rows().filter_map(|row| row.cell_iter().nth(column));
        cells.map(|cell| longest_word(&cell.content())).max().unwrap_or_default()
    };
    let is_fixed: Vec<bool> = table.column_iter().map(|column| column.constraint().is_some()).collect();
    let mut widths: Vec<usize> = (0..contents.len())
        .map(|column| if is_fixed[column] { contents[column].into() } else { longest(column) })
        .collect();
    // A column has a blank on either side, and one more between two of them.
    let room = usize::from(table.width().unwrap_or(u16::MAX)) + 1;
    let excess = (widths.iter().sum::<usize>() + 3 * widths.len()).saturating_sub(room);
    let free = widths.iter_mut().zip(&is_fixed).filter(|(_, is_fixed)| !**is_fixed);
    if let Some((widest, _)) = free.max() {
        *widest = widest.saturating_sub(excess);
    }
    for (column, width) in table.column_iter_mut().zip(widths) {
        if column.constraint().is_none() {
            let least = u16::try_from(width).unwrap_or(u16::MAX) + column.padding_width();
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
        }
    }
}

/// A progress bar on standard error; hidden when that is not a terminal.
fn progress_bar(total: u64, what: &'static str) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(10)
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len} {msg} {per_sec} {eta}") {
        bar.set_style(style);
    }
    bar.with_message(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defines_a_consistent_command_line() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn escapes_control_characters() {
        assert_eq!(printable("a\u{1b}[2Jb\u{202e}髙\n"), "a<U+001B>[2Jb<U+202E>髙<U+000A>");
        assert_eq!(printable("\u{61c}\u{2028}\u{200b}辻\u{e0100}"), "<U+061C><U+2028><U+200B>辻\u{e0100}");
        assert_eq!(printable_lines("a\u{9b}\nb"), "a<U+009B>\nb");
        let json = harmless_json(&serde_json::to_string_pretty(&["\u{1b}\u{7f}\u{9b}\u{202e}髙\n"]).unwrap());
        assert_eq!(json, "[\n  \"\\u001b\\u007f\\u009b\\u202e髙\\n\"\n]");
    }

    fn walk(command: &clap::Command, visit: &mut impl FnMut(&clap::Command)) {
        visit(command);
        command.get_subcommands().for_each(|command| walk(command, visit));
    }

    #[test]
    fn prints_help_in_80_columns() {
        let mut command = <Cli as clap::CommandFactory>::command();
        command.build();
        let mut wide = Vec::new();
        walk(&command, &mut |command| {
            for help in [command.clone().render_help(), command.clone().render_long_help()] {
                let help = help.to_string();
                let lines = help.lines().filter(|line| line.width() > 80);
                wide.extend(lines.map(|line| format!("{}: {line}", command.get_name())));
            }
        });
        assert!(wide.is_empty(), "{}", wide.join("\n"));
    }

    #[test]
    fn fits_tables_into_the_width() {
        let mut rows = table(["number", "text"]);
        rows.set_width(80).add_row(["31075-00001M", &"髙 保証契約 ".repeat(40)]);
        assert!(rows.to_string().lines().all(|line| line.width() <= 80), "{rows}");
    }

    #[test]
    fn tables_break_between_words() {
        let mut rows = table(["number", "scheduled", "state", "began", "why", "reason"]);
        rows.set_width(80).add_row(["31075-00001M", "manually", "complete", "2026-12-01", "a", "b"]);
        rows.add_row(["", "", "", "", &"because ".repeat(9), &"髙 保証契約 ".repeat(9)]);
        keep_words(&mut rows);
        let text = rows.to_string();
        assert!(text.lines().all(|line| line.width() <= 80), "{text}");
        for word in ["31075-00001M", "scheduled", "manually", "complete", "2026-12-01", "because"] {
            assert!(text.contains(word), "{word} is broken:\n{text}");
        }
        let mut long = table(["number", "path"]);
        long.set_width(80).add_row(["31075-00001M", &"0123456789".repeat(9)]);
        keep_words(&mut long);
        let text = long.to_string();
        assert!(text.contains("31075-00001M") && text.lines().all(|line| line.width() <= 80), "{text}");
    }

    #[test]
    fn detects_json_in_wrong_arguments() {
        let wants = |line: &str| wants_json(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for line in ["status --json", "validate --format json", "validate --format=json x --nothing"] {
            assert!(wants(line), "{line}");
        }
        for line in ["status", "validate --format lines json", "validate -- --json", "validate --format"] {
            assert!(!wants(line), "{line}");
        }
    }

    #[test]
    fn converts_usage_errors() {
        let json_of = |line: &str| {
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            let arguments: Vec<OsString> = line.split(' ').skip(1).map(OsString::from).collect();
            usage_error(&error, &arguments).to_json()
        };
        let json = json_of("hosho status");
        assert_eq!(json["error"]["code"], "invalid");
        let message = json["error"]["message"].as_str().unwrap();
        assert!(message.contains("NUMBER|APPLICATION-ID") && !message.contains("Usage"), "{message}");
        for (line, help) in [
            ("hosho status", "run `hosho status --help`"),
            ("hosho --config x documents verify --nonsense", "run `hosho documents verify --help`"),
            ("hosho mail resolve x --outcome lost -- list", "run `hosho mail resolve --help`"),
            ("hosho nonsense", "run `hosho --help`"),
        ] {
            assert_eq!(json_of(line)["error"]["hint"], help, "{line}");
        }
    }
}
