//! A private mail server (Debian's aiosmtpd, `smtp_server.py`).
//! Python's mail parser reads the received mails.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;

use super::process::{Child, eventually, free_port, spawn};

/// Debian's Python: the package python3-aiosmtpd belongs to it.
const PYTHON: &str = "/usr/bin/python3";

/// Protection of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Plain,
    /// Rejects all commands before STARTTLS.
    StartTls,
    /// TLS from the first byte.
    Tls,
}

/// A running mail server; dropping it stops it.
pub(crate) struct SmtpServer {
    /// On 127.0.0.1 (`localhost` in its certificate).
    pub(crate) port: u16,
    child: Child,
    folder: TempDir,
    /// For a restart.
    options: String,
}

/// A mail that the server stored.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Received {
    /// Seconds since 1970.
    pub(crate) time: f64,
    /// Envelope sender.
    pub(crate) from: String,
    /// Envelope recipients.
    pub(crate) to: Vec<String>,
    /// With angle brackets.
    pub(crate) message_id: Option<String>,
    pub(crate) file: PathBuf,
    /// Whether the server sent its final reply.
    pub(crate) replied: bool,
}

/// A mail as Python's parser reads it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ParsedMail {
    /// Decoded headers, in order.
    pub(crate) headers: Vec<(String, String)>,
    /// Content types of all parts, depth first.
    pub(crate) shape: Vec<String>,
    pub(crate) text: Option<String>,
    pub(crate) html: Option<String>,
    pub(crate) attachments: Vec<ParsedAttachment>,
    /// Objections of the parser.
    pub(crate) defects: Vec<String>,
}

/// An attachment as Python's parser reads it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct ParsedAttachment {
    /// Decoded file name.
    pub(crate) name: String,
    pub(crate) media_type: String,
    /// SHA-256 of the decoded content, hexadecimal.
    pub(crate) sha256: String,
}

impl ParsedMail {
    /// The only header of this name.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut values = self.headers.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        let (_, value) = values.next().unwrap_or_else(|| panic!("no header {name}"));
        assert!(values.next().is_none(), "two headers {name}");
        value
    }
}

impl SmtpServer {
    /// With `login` the server requires user name and password.
    pub(crate) fn start(mode: Mode, login: Option<(&str, &str)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let certificates = certificates();
        let options = json!({
            "port": port,
            "folder": folder.path(),
            "mode": match mode { Mode::Plain => "plain", Mode::StartTls => "starttls", Mode::Tls => "tls" },
            "certificate": certificates.path().join("server.pem"),
            "key": certificates.path().join("server.key"),
            "login": login.map(|(user, password)| [user, password]),
        })
        .to_string();
        let child = launch(&options, &folder.path().join("log"));
        Self { port, child, folder, options }
    }

    /// Replaces the scripted replies; `smtp_server.py` describes the keys.
    pub(crate) fn script(&self, answers: &[(&str, &str)]) {
        let control: serde_json::Map<_, _> =
            answers.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let draft = self.folder.path().join("control.draft");
        std::fs::write(&draft, serde_json::to_string(&control).unwrap()).unwrap();
        std::fs::rename(draft, self.folder.path().join("control.json")).unwrap();
    }

    /// In the order of arrival.
    pub(crate) fn received(&self) -> Vec<Received> {
        let index = std::fs::read_to_string(self.folder.path().join("index.jsonl")).unwrap_or_default();
        let whole = index.rfind('\n').map_or("", |end| &index[..end]);
        let lines = whole.lines().map(|line| serde_json::from_str::<Received>(line).unwrap());
        lines.map(|mail| Received { file: self.folder.path().join(&mail.file), ..mail }).collect()
    }

    /// The number of mails received.
    pub(crate) fn count(&self) -> usize {
        let index = std::fs::read(self.folder.path().join("index.jsonl")).unwrap_or_default();
        index.split(|byte| *byte == b'\n').count() - 1
    }

    /// Kills the server: it closes its connections and refuses new ones.
    pub(crate) fn kill(&mut self) {
        self.child.kill9();
    }

    /// Starts a killed server again with the same port, mails and script.
    pub(crate) fn restart(&mut self) {
        // `launch` waits for "ready" in a new log.
        let log = self.folder.path().join(format!("log-{}", self.child.pid()));
        self.child = launch(&self.options, &log);
    }
}

/// Starts the program and waits until it listens.
fn launch(options: &str, log: &Path) -> Child {
    let mut command = Command::new(PYTHON);
    command.arg("-W").arg("ignore").arg(script()).arg(options);
    let mut child = spawn(command, log);
    eventually("a mail server", Duration::from_secs(30), || {
        assert!(child.is_alive(), "the mail server ended: {}", child.output());
        child.output().contains("ready").then_some(())
    });
    child
}

/// The authority that signed the certificates of all servers of this process.
pub(crate) fn ca_file() -> PathBuf {
    certificates().path().join("ca.pem")
}

/// Reads a mail file with Python's parser.
pub(crate) fn parse(path: &Path) -> ParsedMail {
    let output = Command::new(PYTHON).arg(script()).arg("parse").arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/harness/smtp_server.py")
}

/// A private certificate authority and a server certificate for localhost.
pub(crate) fn certificates() -> &'static TempDir {
    static CERTIFICATES: OnceLock<TempDir> = OnceLock::new();
    CERTIFICATES.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let names = "basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n";
        std::fs::write(folder.path().join("server.ext"), names).unwrap();
        let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        for arguments in [
            format!("req -x509 {new_key} -days 2 -subj /CN=test-ca -addext keyUsage=critical,keyCertSign -keyout ca.key -out ca.pem"),
            format!("req {new_key} -subj /CN=localhost -keyout server.key -out server.csr"),
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext -out server.pem".to_owned(),
        ] {
            let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder.path()).output().unwrap();
            assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        }
        folder
    })
}
