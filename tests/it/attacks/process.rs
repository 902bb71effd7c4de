//! Secrets in the memory and the environment of a process.

use std::{
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    process::Command,
};

use crate::harness::{
    process::{eventually, run, spawn},
    test_env::{LIMIT, example},
};

/// The kernel gives the files of a process that must not be dumped to root.
#[test]
fn memory_is_not_dumped() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hosho"));
    // The listener never answers, so it waits.
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("postgres://u:p@{}/d", listener.local_addr().unwrap());
    command.args(["migrate", "--check"]).env("HOSHO__DATABASE__URL", url);
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.gid(65_534);
    }
    let child = spawn(command, &folder.path().join("log"));
    listener.set_nonblocking(true).unwrap();
    let _connection = eventually("its connection", LIMIT, || listener.accept().ok());
    let environment = std::fs::metadata(format!("/proc/{}/environ", child.pid())).unwrap();
    assert_eq!((environment.uid(), environment.gid()), (0, 0));
}

/// A link in the place of the lock must not create or empty a file elsewhere.
#[test]
fn lock_follows_no_link() {
    let folder = tempfile::tempdir().unwrap();
    let (out, elsewhere) = (folder.path().join("out"), folder.path().join("elsewhere"));
    std::fs::create_dir(&out).unwrap();
    for content in [None, Some("kept")] {
        if let Some(content) = content {
            std::fs::write(&elsewhere, content).unwrap();
        } else {
            std::os::unix::fs::symlink(&elsewhere, out.join("hosho.lock")).unwrap();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_hosho"));
        command.arg("process").arg(example("applications.jsonl")).arg("--out").arg(&out);
        let output = run(command);
        assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(std::fs::read_to_string(&elsewhere).ok().as_deref(), content);
    }
}
