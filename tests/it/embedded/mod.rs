//! Commands that need no server: exit codes, JSON, files and printed texts.
//!
//! Expected values come from the examples, not from stored rows; only random keys are compared with the
//! database. Other tools read the results: poppler and qpdf the PDFs, Python the mails and the database file.
//! Texts of the command line are in reviewed snapshots ([`Transcript`]); `INSTA_UPDATE=always` rewrites them.

mod changes;
mod cli;
mod documents;
mod idempotence;
mod interruptions;
mod mails;
mod obligees;
mod operations;
mod rejections;
mod replay;
mod runs;
mod secrets;
mod store;
mod validate;
mod verify;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fmt::Write as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use hosho_schema::{
    db::Pool,
    ids,
    queries::status::{ApplicationStatus, GuaranteeStatus, RevisionStatus},
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::harness::{
    process::{at_exit, run},
    redact::redacted,
    test_env::{example, identities},
};

/// A folder for `hosho`; results go to its `out`.
struct CliEnv {
    folder: PathBuf,
}

/// The exit code and output of a command.
struct Answer {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Drop for CliEnv {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl CliEnv {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap().keep() }
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    /// A copy of a folder of the project, to edit.
    fn copy_of(&self, name: &str) -> PathBuf {
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).arg(&self.folder);
        assert!(run(copy).status.success());
        self.path(name)
    }

    /// Without the settings of the environment.
    fn hosho(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hosho"));
        command.args(arguments).current_dir(&self.folder).env("COLUMNS", "250");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HOSHO_") {
                command.env_remove(name);
            }
        }
        command
    }

    fn run(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Answer {
        answer(self.hosho(arguments))
    }

    /// `hosho process` of a file, into `out`.
    fn process(&self, file: &Path) -> Answer {
        self.run([OsStr::new("process"), file.as_os_str(), OsStr::new("--out"), OsStr::new("out")])
    }

    /// Exit code and report of `hosho process --json`.
    fn report(&self, file: &Path) -> (Option<i32>, Value) {
        let answer = self.run([
            OsStr::new("process"),
            file.as_os_str(),
            OsStr::new("--out"),
            OsStr::new("out"),
            OsStr::new("--json"),
        ]);
        (
            answer.code,
            serde_json::from_str(&answer.out)
                .unwrap_or_else(|error| panic!("{error}: {}{}", answer.out, answer.err)),
        )
    }

    fn database(&self) -> Pool {
        Pool::open(&format!("sqlite:{}", self.path("out/hosho.sqlite").display()), 1).unwrap()
    }

    /// The stored applications of a JSON Lines file, in its order.
    fn statuses(&self, file: &Path) -> Vec<ApplicationStatus> {
        let ids: Vec<String> =
            identities(file).iter().map(|(source, id)| ids::application(source, id)).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let found = hosho_schema::queries::status::status(&mut self.database().get().unwrap(), &ids).unwrap();
        found.into_iter().map(|status| status.expect("every application is stored")).collect()
    }

    /// Every row of every table, read by Python; binary values are hexadecimal.
    fn dump(&self) -> String {
        let mut python = Command::new("/usr/bin/python3");
        python.arg("-c").arg(DUMP).arg(self.path("out/hosho.sqlite"));
        let output = run(python);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Every file of `out` that a run keeps, with mode, modification time and SHA-256.
    fn files(&self) -> BTreeMap<String, (u32, i64, String)> {
        let kept = |name: &str| !name.starts_with("hosho.sqlite") && name != "hosho.lock";
        let entries = files_below(&self.path("out")).into_iter().map(|path| {
            let metadata = std::fs::metadata(&path).unwrap();
            let name = path.strip_prefix(self.path("out")).unwrap().to_str().unwrap().to_owned();
            let changed = metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec();
            (name, (metadata.permissions().mode() & 0o777, changed, sha256(&std::fs::read(path).unwrap())))
        });
        entries.filter(|(name, _)| kept(name)).collect()
    }
}

/// Runs SQL on the database with Python's sqlite3.
fn alter(env: &CliEnv, sql: &str) {
    let mut python = Command::new("/usr/bin/python3");
    let script =
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.executescript(sys.argv[2]); db.commit()";
    python.args(["-c", script]).arg(env.path("out/hosho.sqlite")).arg(sql);
    let output = run(python);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

const DUMP: &str = "
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
names = [name for (name,) in database.execute(\"select name from sqlite_master where type = 'table' order by name\")]
for name in names:
    for row in sorted(database.execute(f'select * from {name}'), key=repr):
        print(name, *[value.hex() if isinstance(value, bytes) else value for value in row], sep=' | ')
";

/// Commands with their exit codes and output, for one reviewed snapshot.
///
/// Lines of standard error begin with `!`.
struct Transcript<'a> {
    env: &'a CliEnv,
    text: String,
}

impl<'a> Transcript<'a> {
    fn new(env: &'a CliEnv) -> Self {
        Self { env, text: String::new() }
    }

    fn run(&mut self, arguments: &[&str]) -> Answer {
        self.with(&[], arguments)
    }

    /// With settings, named without `HOSHO__`.
    fn with(&mut self, settings: &[(&str, &str)], arguments: &[&str]) -> Answer {
        let mut command = self.env.hosho(arguments);
        command.envs(settings.iter().map(|(key, value)| (format!("HOSHO__{key}"), value)));
        let settings: Vec<String> = settings.iter().map(|(key, value)| format!("{key}={value} ")).collect();
        self.add(&settings.concat(), command)
    }

    /// `prefix` is printed before the command.
    fn add(&mut self, prefix: &str, command: Command) -> Answer {
        let shown = |argument: &OsStr| {
            let text = argument.to_string_lossy();
            if text.is_empty() || text.contains([' ', '"', '\'']) {
                format!("{text:?}")
            } else {
                text.into_owned()
            }
        };
        let arguments: Vec<String> = command.get_args().map(shown).collect();
        let answer = answer(command);
        let code = answer.code.unwrap();
        let _ = writeln!(self.text, "$ {prefix}hosho {}  → {code}", arguments.join(" "));
        for line in answer.out.lines() {
            let _ = writeln!(self.text, "{}", line.trim_end());
        }
        for line in answer.err.lines() {
            let _ = writeln!(self.text, "! {}", line.trim_end());
        }
        self.text.push('\n');
        answer
    }

    /// For the snapshot.
    fn redacted(&self) -> String {
        redacted(&self.text, &self.env.folder)
    }
}

fn answer(command: Command) -> Answer {
    let output = run(command);
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    Answer { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Every file below a folder.
fn files_below(folder: &Path) -> BTreeSet<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeSet::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { BTreeSet::from([path]) }).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The examples, processed once for all tests that only read.
fn processed() -> &'static CliEnv {
    static ENV: OnceLock<CliEnv> = OnceLock::new();
    ENV.get_or_init(|| {
        let env = CliEnv::new();
        let folder = env.folder.clone();
        at_exit(move || drop(CliEnv { folder }));
        let answer = env.process(&example("applications.jsonl"));
        assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""), "{}", answer.out);
        env
    })
}

/// The lines of `examples/applications.jsonl`.
fn applications() -> Vec<Value> {
    let text = std::fs::read_to_string(example("applications.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A product line of an application document and its stored guarantee.
struct Product<'a> {
    application: &'a Value,
    line: &'a Value,
    stored: &'a GuaranteeStatus,
}

impl Product<'_> {
    fn number(&self) -> &str {
        &self.stored.guarantee.number
    }

    fn revision(&self) -> &RevisionStatus {
        let [revision] = &self.stored.revisions[..] else { panic!("{} has not one revision", self.number()) };
        revision
    }

    fn is_electronic(&self) -> bool {
        self.line["medium"] == "electronic"
    }

    /// The mail address, if a mail must be sent.
    fn recipient(&self) -> Option<&str> {
        let notification = &self.application["notification"];
        (self.is_electronic() && notification["wanted"] == true)
            .then(|| notification["mail_address"].as_str().unwrap())
    }

    /// The company, or the 代表者 of the JV.
    fn company(&self) -> &Value {
        let principal = &self.application["principal"];
        if principal["kind"] == "joint_venture" { &principal["representative"] } else { principal }
    }
}

/// Each product line with its guarantee, in order.
fn products<'a>(applications: &'a [Value], statuses: &'a [ApplicationStatus]) -> Vec<Product<'a>> {
    assert_eq!(applications.len(), statuses.len());
    let of_one = |(application, status): (&'a Value, &'a ApplicationStatus)| {
        let lines = application["products"].as_array().unwrap();
        assert_eq!(lines.len(), status.guarantees.len(), "{}", application["id"]);
        let pair = |(line, stored): (&'a Value, &'a GuaranteeStatus)| {
            assert_eq!(line["product"], serde_json::to_value(stored.guarantee.product).unwrap());
            Product { application, line, stored }
        };
        lines.iter().zip(&status.guarantees).map(pair).collect::<Vec<_>>()
    };
    applications.iter().zip(statuses).flat_map(of_one).collect()
}

/// The text of a PDF as poppler extracts it.
fn text_of(pdf: &Path) -> String {
    let mut command = Command::new("pdftotext");
    command.args(["-raw", "-enc", "UTF-8"]).arg(pdf).arg("-");
    let output = run(command);
    assert!(output.status.success(), "{}: {}", pdf.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Without white space: the layout chooses line breaks and spaces.
fn squeezed(text: &str) -> String {
    text.chars().filter(|character| !character.is_whitespace()).collect()
}

/// The authentication key in a notice.
fn key_in(notice: &Path) -> String {
    let text = text_of(notice);
    let mut keys =
        text.lines().filter_map(|line| line.strip_prefix("認証キー ")).filter(|word| word.len() == 12);
    let key = keys.next().unwrap_or_else(|| panic!("no key in {}: {text}", notice.display()));
    assert_eq!(keys.next(), None);
    key.to_owned()
}

/// Every authentication key by guarantee number.
fn keys(env: &CliEnv) -> BTreeMap<String, String> {
    let notices = files_below(&env.path("out/notices"));
    notices
        .iter()
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), key_in(path)))
        .collect()
}
