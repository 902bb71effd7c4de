//! Every command named in texts and documentation is one of the program.

use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, error::ErrorKind};

use super::Cli;

/// Files with texts for people.
const PLACES: &[&str] = &["workers", "config", "docs", "examples", "templates", "README.md"];

/// The longest command in prose; a longer text between backticks is none.
const LONGEST: usize = 120;

fn files(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            files(&entry.unwrap().path(), found);
        }
    } else if path.extension().is_some_and(|end| ["rs", "md", "toml"].iter().any(|one| end == *one)) {
        found.push(path.to_owned());
    }
}

/// Lines that a reader may copy into a shell.
fn examples(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.trim().trim_start_matches("$ "));
    // The end of an attribute of clap.
    let lines = lines.map(|line| line.strip_suffix("\")]").unwrap_or(line));
    let commands = lines.flat_map(|line| {
        let line = line.split("  ").next().unwrap_or_default().to_owned();
        let line = line.split(" # ").next().unwrap_or_default().to_owned();
        line.split(" | ").map(str::to_owned).collect::<Vec<_>>()
    });
    let is_setting = |word: &&str| word.starts_with("HOSHO__") && word.contains('=');
    let commands = commands.map(|line| line.split(' ').skip_while(is_setting).collect::<Vec<_>>().join(" "));
    commands.filter(|line| line.starts_with("hosho ")).collect()
}

/// Commands between backticks.
fn mentions(text: &str) -> Vec<String> {
    let until_end =
        |rest: &str| rest.find('`').filter(|end| *end < LONGEST).map(|end| rest[..end].to_owned());
    let found = text.match_indices("`hosho ").filter_map(|(at, _)| until_end(&text[at + 1..]));
    let is_marker = |word: &&str| matches!(*word, "//" | "///" | "//!");
    let one_line =
        |one: String| one.split_whitespace().filter(|word| !is_marker(word)).collect::<Vec<_>>().join(" ");
    found.map(one_line).map(|one| one.split(" | ").next().unwrap_or_default().to_owned()).collect()
}

/// A command for each alternative (`pause|resume`), placeholders filled in.
fn filled(command: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    for word in shlex::split(command).unwrap_or_default() {
        let value = match word.trim_matches(['[', ']', '<', '>']) {
            "…" if commands[0].last().is_some_and(|last: &String| !last.starts_with("--")) => continue,
            "{stage}" | "STAGE" => "issue",
            "DATE" | "DAY" => "2026-04-01",
            "…" => "5b1d",
            one if one.starts_with('{')
                || one.chars().all(|each| each.is_ascii_uppercase() || each == '…') =>
            {
                "5b1d"
            }
            one => one,
        };
        let with = |one: &str| {
            commands.iter().map(|command| [&command[..], &[one.to_owned()]].concat()).collect::<Vec<_>>()
        };
        commands = value.split('|').flat_map(with).collect();
    }
    commands
}

/// Why the program does not have a command.
/// In prose, required arguments and the value of the last option may be missing.
fn problem(arguments: &[String], is_prose: bool) -> Option<String> {
    let parse = |more: &[&str]| {
        let arguments = arguments.iter().map(String::as_str).chain(more.iter().copied());
        Cli::command().try_get_matches_from(arguments).err()
    };
    let mut error = parse(&[])?;
    if is_prose && arguments.last().is_some_and(|last| last.starts_with("--")) {
        error = parse(&["issue"])?;
    }
    let is_incomplete = matches!(
        error.kind(),
        ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    let is_known = error.kind() == ErrorKind::DisplayHelp || (is_prose && is_incomplete);
    (!is_known).then(|| error.to_string())
}

/// The problems of all commands in a text, and how many commands it has.
fn problems(text: &str) -> (usize, Vec<String>) {
    // Lines that continue: in a shell inside a literal of Rust, and in either of them.
    let joined = |text: &str, end: &str| text.split(end).map(str::trim_start).collect::<String>();
    let text = joined(&joined(text, "\\\\\n"), "\\\n").replace("\\\"", "\"");
    let named = examples(&text).into_iter().map(|one| (one, false));
    let named: Vec<_> = named.chain(mentions(&text).into_iter().map(|one| (one, true))).collect();
    let problems = named.iter().flat_map(|(command, is_prose)| {
        let problem =
            |arguments: Vec<String>| Some(format!("{command}: {}", problem(&arguments, *is_prose)?));
        filled(command).into_iter().filter_map(problem).collect::<Vec<_>>()
    });
    (named.len(), problems.collect())
}

#[test]
fn program_has_every_documented_command() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for place in PLACES {
        files(&root.join(place), &mut found);
    }
    let (mut count, mut wrong) = (0, Vec::new());
    for file in found.iter().filter(|file| !file.ends_with("cli/documented.rs")) {
        let (named, problems) = problems(&std::fs::read_to_string(file).unwrap());
        count += named;
        wrong.extend(problems.into_iter().map(|problem| format!("{}: {problem}", file.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 300, "only {count} commands were found");
}

#[test]
fn finds_commands_that_do_not_exist() {
    for (text, wrong) in [
        ("run `hosho failed replay`, or `hosho failed\nedit --stage` first", 0),
        ("`hosho batch pause|resume|cancel {id} --reason …` and `hosho failed …`", 0),
        ("run `hosho mail resolve --help`", 0),
        ("run `hosho failed repeat`", 1),
        ("run `hosho failed repeat --help`", 1),
        ("run `hosho batch pause|repeat|again {id}`", 2),
        ("run `hosho failed edit ID --phase`", 1),
        ("Examples:\n  HOSHO__X=1 hosho status 31075-00001M --json    by number\n", 0),
        ("```sh\ngenerate | hosho process - --json | jq  # all\nhosho status\n```", 1),
        ("  hosho batch list --reason \"two words\"\n", 1),
    ] {
        assert_eq!(problems(text).1.len(), wrong, "{text}: {:?}", problems(text).1);
    }
}

#[test]
fn hints_contain_no_question() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for place in ["workers/cli", "workers/operations"] {
        files(&root.join(place), &mut found);
    }
    let is_question = |line: &str| {
        let ends = line.match_indices("?\"").map(|(at, _)| line[..at].chars().next_back());
        ends.flatten().any(|last| last.is_alphanumeric() || "`)".contains(last))
    };
    assert!(is_question("\"is the server up?\"") && !is_question("map_or(\"?\", name)"));
    for file in found.iter().filter(|file| !file.ends_with("cli/documented.rs")) {
        let text = std::fs::read_to_string(file).unwrap();
        let question = text.lines().find(|line| is_question(line));
        assert_eq!(question, None, "{}: begin with what to do", file.display());
    }
}
