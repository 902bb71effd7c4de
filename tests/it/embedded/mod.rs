//! `hosho process` and the other commands that need no server, as people run them: the built program, its files, its words.
//!
//! What is expected is worked out here from the examples themselves, not taken from what the program stored; only keys,
//! which nobody can foresee, are compared with the database. Other people's tools read what came out: poppler and qpdf the
//! PDFs, Python the mails and the database file.

mod cli;
mod documents;
mod failing;
mod interruptions;
mod life;
mod mails;
mod obligees;
mod operating;
mod rejections;
mod repetition;
mod runs;
mod secrets;
mod validating;
mod verifying;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
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
    test_env::{example, identities},
};

/// A folder in which somebody works with `hosho`; results go to its `out`.
struct CliEnv {
    folder: PathBuf,
}

/// How a command ended and what it wrote.
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

    /// Puts a file on the desk.
    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    /// A copy of a folder of the project, to be edited.
    fn copy_of(&self, name: &str) -> PathBuf {
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).arg(&self.folder);
        assert!(run(copy).status.success());
        self.path(name)
    }

    /// The program, with nothing of the surrounding environment's settings.
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

    /// The same with `--json`: exit code and report.
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

    /// Everything stored of the applications in a JSON Lines file, in its order.
    fn statuses(&self, file: &Path) -> Vec<ApplicationStatus> {
        let ids: Vec<String> =
            identities(file).iter().map(|(source, id)| ids::application(source, id)).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let found = hosho_schema::queries::status::status(&mut self.database().get().unwrap(), &ids).unwrap();
        found.into_iter().map(|status| status.expect("every application is known")).collect()
    }

    /// Every row of every table, read by Python's sqlite3: binary values as hexadecimal digits.
    fn dump(&self) -> String {
        let mut python = Command::new("/usr/bin/python3");
        python.arg("-c").arg(DUMP).arg(self.path("out/hosho.sqlite"));
        let output = run(python);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Every file of `out` that outlives a run, with mode, moment of its last change and SHA-256.
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

/// Runs SQL on the database of a desk, by Python's sqlite3.
fn alter(desk: &CliEnv, sql: &str) {
    let mut python = Command::new("/usr/bin/python3");
    let script =
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.executescript(sys.argv[2]); db.commit()";
    python.args(["-c", script]).arg(desk.path("out/hosho.sqlite")).arg(sql);
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

fn answer(command: Command) -> Answer {
    let output = run(command);
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    Answer { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Every file in a folder and the folders in it.
fn files_below(folder: &Path) -> BTreeSet<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeSet::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { BTreeSet::from([path]) }).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hosho::hex::hex(&Sha256::digest(bytes))
}

/// The examples, processed once for all tests that only look.
fn processed() -> &'static CliEnv {
    static DESK: OnceLock<CliEnv> = OnceLock::new();
    DESK.get_or_init(|| {
        let desk = CliEnv::new();
        let folder = desk.folder.clone();
        at_exit(move || drop(CliEnv { folder }));
        let answer = desk.process(&example("applications.jsonl"));
        assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""), "{}", answer.out);
        desk
    })
}

/// The lines of `examples/applications.jsonl`.
fn applications() -> Vec<Value> {
    let text = std::fs::read_to_string(example("applications.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// One product of an application: as it was applied for, and as it is stored.
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

    /// The mail address, where a mail is due.
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

/// Pairs what was applied for with what is stored: one guarantee for each product line, in order.
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

/// The text of a PDF as poppler copies it.
fn text_of(pdf: &Path) -> String {
    let mut command = Command::new("pdftotext");
    command.args(["-raw", "-enc", "UTF-8"]).arg(pdf).arg("-");
    let output = run(command);
    assert!(output.status.success(), "{}: {}", pdf.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Text without white space: where a line breaks, and how wide a space is, is the layout's affair.
fn squeezed(text: &str) -> String {
    text.chars().filter(|character| !character.is_whitespace()).collect()
}

/// The authentication key that stands in a notice.
fn key_in(notice: &Path) -> String {
    let text = text_of(notice);
    let mut keys =
        text.lines().filter_map(|line| line.strip_prefix("認証キー ")).filter(|word| word.len() == 12);
    let key = keys.next().unwrap_or_else(|| panic!("no key in {}: {text}", notice.display()));
    assert_eq!(keys.next(), None);
    key.to_owned()
}

/// Every authentication key of a desk, by its number.
fn keys(desk: &CliEnv) -> BTreeMap<String, String> {
    let notices = files_below(&desk.path("out/notices"));
    notices
        .iter()
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), key_in(path)))
        .collect()
}
