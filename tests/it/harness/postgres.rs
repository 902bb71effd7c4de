//! A private PostgreSQL from the Debian package, on a loopback port.
//!
//! PostgreSQL refuses to run as root. Under root it runs as the user `postgres` of the package, in a folder
//! that belongs to that user. [`Session`] implements the part of the wire protocol that the tests need
//! (start-up message and simple queries), so the tests need no client library.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use tempfile::TempDir;

use super::process::{Child, at_exit, eventually, free_port, run, spawn};

/// How long starting or stopping may take on a loaded machine.
const LIMIT: Duration = Duration::from_mins(1);

const USER: &str = "hosho";

/// The URL of a new, empty database on the server that all tests share.
pub fn database(name: &str) -> String {
    static SERVER: OnceLock<Mutex<Option<Postgres>>> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        at_exit(|| drop(SERVER.get().and_then(|server| server.lock().ok()?.take())));
        Mutex::new(Some(Postgres::new()))
    });
    server.lock().unwrap().as_ref().expect("the server is stopped at exit only").database(name)
}

/// Every row of a database as text, binary columns as hexadecimal digits.
pub fn dump(url: &str) -> String {
    dump_without(url, &[])
}

/// [`dump`] without the rows of some tables.
pub fn dump_without(url: &str, tables: &[&str]) -> String {
    let mut command = Command::new(binaries().expect("the server runs").join("pg_dump"));
    command
        .args(["--data-only", "--dbname", url])
        .args(tables.iter().map(|table| format!("--exclude-table-data={table}")));
    let output = run(command);
    assert!(output.status.success(), "pg_dump: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Settings of a production server; README.md explains them.
#[allow(dead_code, reason = "for what is measured: benches/system")]
const PRODUCTION: [&str; 4] =
    ["shared_buffers=1GB", "max_wal_size=8GB", "wal_compression=lz4", "checkpoint_timeout=15min"];

/// A private PostgreSQL server. Dropping it stops it and removes its data.
#[derive(Debug)]
pub struct Postgres {
    server: Option<Child>,
    binaries: PathBuf,
    port: u16,
    owner: Option<(u32, u32)>,
    durable: bool,
    folder: TempDir,
}

impl Postgres {
    /// Creates a server and starts it, without fsync: no test cuts the power.
    ///
    /// Panics with what to install when PostgreSQL is missing.
    pub fn new() -> Self {
        Self::with(false)
    }

    /// As [`Postgres::new`], with fsync as in production.
    #[allow(dead_code, reason = "for what is measured: benches/system")]
    pub fn durable() -> Self {
        Self::with(true)
    }

    fn with(durable: bool) -> Self {
        let binaries =
            binaries().unwrap_or_else(|| panic!("PostgreSQL is missing: install the package `postgresql`"));
        let owner = is_root().then(|| {
            account("postgres").expect("there is no user `postgres`: install the package `postgresql`")
        });
        let folder =
            tempfile::Builder::new().prefix("hosho-postgres-").tempdir_in(reachable_folder()).unwrap();
        if let Some((user, group)) = owner {
            std::os::unix::fs::chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let mut postgres = Self { server: None, binaries, port: free_port(), owner, durable, folder };
        let mut initdb = postgres.command("initdb");
        initdb.args([
            "--username",
            USER,
            "--auth=trust",
            "--no-locale",
            "--encoding=UTF8",
            "--no-sync",
            "--pgdata",
        ]);
        let output = run({
            initdb.arg(postgres.data());
            initdb
        });
        assert!(output.status.success(), "initdb failed: {}", String::from_utf8_lossy(&output.stderr));
        postgres.start();
        postgres
    }

    #[allow(dead_code, reason = "for what is measured: benches/system")]
    pub fn pid(&self) -> u32 {
        self.server.as_ref().expect("the server runs").pid()
    }

    /// Starts it and waits until it answers.
    pub fn start(&mut self) {
        eventually("PostgreSQL answers", LIMIT, || {
            // A start fails while the processes of a killed server still hold its shared memory.
            if !self.server.as_mut().is_some_and(Child::is_alive) {
                let mut command = self.command("postgres");
                command.arg("-D").arg(self.data()).arg("-p").arg(self.port.to_string());
                let forgetful = ["fsync=off", "full_page_writes=off", "deadlock_timeout=100ms"];
                let settings =
                    ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200"];
                let more = if self.durable { &PRODUCTION[..] } else { &forgetful };
                for setting in settings.iter().chain(more) {
                    command.arg("-c").arg(setting);
                }
                self.server = Some(spawn(command, &self.log()));
            }
            Session::open(self.port, "postgres")
        });
    }

    /// Stops it cleanly and closes its connections.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.signal(libc::SIGINT);
            server.wait(LIMIT);
        }
    }

    /// Kills all its processes with SIGKILL and waits until they have ended.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            // The children still answer for a moment after their parent is killed.
            let children = children(server.pid());
            server.kill9();
            for child in &children {
                #[expect(unsafe_code, reason = "kill(2) touches no memory; the ids were read a moment ago")]
                unsafe {
                    libc::kill(child.cast_signed(), libc::SIGKILL);
                }
            }
            eventually("PostgreSQL is gone", LIMIT, || {
                children.iter().all(|child| !is_running(*child)).then_some(())
            });
        }
    }

    /// Creates an empty database and returns its URL.
    pub fn database(&self, name: &str) -> String {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let database = format!("{name}_{}", MADE.fetch_add(1, Ordering::Relaxed));
        assert!(
            database.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
            "{database} is no plain name"
        );
        self.execute("postgres", &format!("create database {database}"));
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs statements in a database.
    ///
    /// Panics with the server's error message.
    pub fn execute(&self, database: &str, sql: &str) {
        let mut session = Session::open(self.port, database)
            .unwrap_or_else(|| panic!("PostgreSQL does not answer: {}", self.output()));
        session.execute(sql).unwrap_or_else(|problem| panic!("{sql}: {problem}"));
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn output(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        // English messages.
        command.current_dir(self.folder.path()).env("LC_ALL", "C");
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.signal(libc::SIGINT);
            // No panic while dropping: dropping the child kills a server that does not stop.
            server.ended_within(Duration::from_secs(10));
        }
    }
}

/// The folder of the newest installed server programs.
fn binaries() -> Option<PathBuf> {
    let complete = |folder: &PathBuf| folder.join("initdb").exists() && folder.join("postgres").exists();
    let mut packaged: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
        })
        .collect();
    packaged.sort();
    let packaged = packaged.into_iter().rev().map(|(_, folder)| folder);
    let path = std::env::var_os("PATH").unwrap_or_default();
    packaged.chain(std::env::split_paths(&path)).find(complete)
}

/// State and parent of a process, from `/proc`.
///
/// The name between them is in parentheses and may contain any character.
fn stat(process: u32) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn children(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    processes.filter(|process| stat(*process).is_some_and(|(_, of)| of == parent)).collect()
}

/// False for a zombie.
fn is_running(process: u32) -> bool {
    stat(process).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// User and group id of an account.
fn account(name: &str) -> Option<(u32, u32)> {
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut fields = accounts.lines().find(|line| line.split(':').next() == Some(name))?.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// The folder for temporary files if other users have access, or `/tmp`.
fn reachable_folder() -> PathBuf {
    let folder = std::env::temp_dir();
    let passable =
        |folder: &Path| std::fs::metadata(folder).is_ok_and(|data| data.permissions().mode() & 0o001 != 0);
    if folder.ancestors().all(passable) { folder } else { PathBuf::from("/tmp") }
}

/// A connection with the necessary part of PostgreSQL's protocol 3.0.
#[derive(Debug)]
pub struct Session {
    stream: TcpStream,
}

/// The columns of a row as text, `None` for NULL.
pub type Row = Vec<Option<String>>;

impl Session {
    /// Connects to a URL from [`database`] or [`Postgres::database`].
    pub fn connect(url: &str) -> Self {
        let (port, database) = url
            .rsplit_once(':')
            .and_then(|(_, rest)| rest.split_once('/'))
            .and_then(|(port, database)| Some((port.parse().ok()?, database)))
            .unwrap_or_else(|| panic!("{url} is no URL of ours"));
        Self::open(port, database).unwrap_or_else(|| panic!("PostgreSQL does not answer at {url}"))
    }

    /// Panics with the server's error message.
    pub fn query(&mut self, sql: &str) -> Vec<Row> {
        self.try_query(sql).unwrap_or_else(|problem| panic!("{sql}: {problem}"))
    }

    /// Waits for "ready for query". `None` if the server starts, stops or is stopped.
    fn open(port: u16, database: &str) -> Option<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
        stream.set_read_timeout(Some(LIMIT)).ok()?;
        let mut session = Self { stream };
        let parameters = format!("user\0{USER}\0database\0{database}\0\0");
        let length = u32::try_from(8 + parameters.len()).ok()?;
        let start = [&length.to_be_bytes()[..], &196_608_u32.to_be_bytes(), parameters.as_bytes()].concat();
        session.stream.write_all(&start).ok()?;
        session.until_ready().ok()?;
        Some(session)
    }

    fn execute(&mut self, sql: &str) -> Result<(), String> {
        self.try_query(sql).map(drop)
    }

    fn try_query(&mut self, sql: &str) -> Result<Vec<Row>, String> {
        let length = u32::try_from(5 + sql.len()).unwrap();
        let query = [&b"Q"[..], &length.to_be_bytes(), sql.as_bytes(), b"\0"].concat();
        self.stream.write_all(&query).map_err(|error| error.to_string())?;
        self.until_ready()
    }

    fn until_ready(&mut self) -> Result<Vec<Row>, String> {
        let (mut failure, mut rows) = (None, Vec::new());
        loop {
            let mut head = [0; 5];
            if let Err(error) = self.stream.read_exact(&mut head) {
                return Err(failure.unwrap_or_else(|| error.to_string()));
            }
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
            let mut body = vec![0; length.saturating_sub(4) as usize];
            self.stream.read_exact(&mut body).map_err(|error| error.to_string())?;
            match head[0] {
                b'E' => failure = Some(String::from_utf8_lossy(&body).replace('\0', " ")),
                b'D' => rows.push(columns(&body)),
                b'Z' => return failure.map_or(Ok(rows), Err),
                _ => {}
            }
        }
    }
}

/// The columns of a DataRow: a count, then length (-1 for NULL) and text of each.
fn columns(body: &[u8]) -> Row {
    let (count, mut rest) = body.split_at(2);
    (0..u16::from_be_bytes([count[0], count[1]]))
        .map(|_| {
            let (length, after) = rest.split_at(4);
            let length =
                usize::try_from(i32::from_be_bytes([length[0], length[1], length[2], length[3]])).ok();
            let (text, after) = after.split_at(length.unwrap_or(0));
            rest = after;
            length.map(|_| String::from_utf8_lossy(text).into_owned())
        })
        .collect()
}
