//! Private S3-compatible servers, each with one bucket.
//!
//! - *moto* (Python): conditional puts have one winner. It does not compare checksums, and forgets everything
//!   when it ends.
//! - *s3s-fs* (Rust): compares checksums, and stores objects as files. Its conditional puts have several
//!   winners.
//!
//! `.ci/s3-servers` installs both below the target folder.

use std::{
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use super::process::{Child, eventually, free_port, run, spawn};

const LIMIT: Duration = Duration::from_mins(1);

pub const KEY_ID: &str = "hosho-test";
pub const SECRET: &str = "a secret of tests only";
const BUCKET: &str = "documents";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Moto,
    S3sFs,
}

/// A running server; dropping it stops it.
pub struct S3Server {
    kind: Kind,
    pub port: u16,
    folder: TempDir,
    child: Child,
}

impl S3Server {
    pub fn start(kind: Kind) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let child = launch(kind, port, folder.path());
        if kind == Kind::Moto {
            let mut create = Command::new("curl");
            create.args(["--silent", "--show-error", "--fail", "-X", "PUT"]);
            create.arg(format!("http://127.0.0.1:{port}/{BUCKET}"));
            let output = run(create);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        Self { kind, port, folder, child }
    }

    /// For `documents.url`.
    pub fn url(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}?endpoint=http://127.0.0.1:{}", self.port)
    }

    /// Where s3s-fs keeps an object.
    pub fn file(&self, name: &str) -> PathBuf {
        assert_eq!(self.kind, Kind::S3sFs);
        self.folder.path().join(BUCKET).join(name)
    }

    pub fn kill(&mut self) {
        self.child.kill9();
    }

    pub fn restart(&mut self) {
        self.child = launch(self.kind, self.port, self.folder.path());
    }
}

fn launch(kind: Kind, port: u16, folder: &Path) -> Child {
    let tools = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("s3-servers");
    let port_text = port.to_string();
    let mut command = match kind {
        Kind::Moto => {
            let mut moto = Command::new(tools.join("bin/moto_server"));
            moto.args(["-H", "127.0.0.1", "-p", &port_text]);
            moto
        }
        Kind::S3sFs => {
            let mut s3s = Command::new(tools.join("bin/s3s-fs"));
            s3s.args(["--host", "127.0.0.1", "--port", &port_text]);
            s3s.args(["--access-key", KEY_ID, "--secret-key", SECRET]).arg(folder);
            s3s
        }
    };
    command.env_remove("AWS_ACCESS_KEY_ID");
    let mut child = spawn(command, &folder.join("log"));
    eventually(&format!("{kind:?}"), LIMIT, || {
        assert!(child.is_alive(), "{kind:?} ended: {}", child.output());
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
    child
}
