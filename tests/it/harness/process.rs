//! Child processes that cannot outlive the tests.
//! Also free ports, and the only functions that poll.
//!
//! A killed test process (time limit, Ctrl-C) runs no destructor. So every child sets `PR_SET_PDEATHSIG`: the
//! kernel kills it when its parent exits. For the kernel the parent is the *thread* that forked. Children are
//! therefore spawned by one thread that never ends, not by the thread of a test.
//!
//! Between fork and exec a child holds a copy of every socket of the parent. [`free_port`] probes a port by
//! binding it, so probing and forking exclude each other; otherwise the port could be in use when its server
//! starts.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// Below 32768, the first port that the kernel gives to outgoing connections.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Pause between two checks of [`eventually`].
const POLL: Duration = Duration::from_millis(20);

/// Held while a port is probed or a process is forked.
fn no_fork() -> MutexGuard<'static, ()> {
    static FORK: Mutex<()> = Mutex::new(());
    FORK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A port of 127.0.0.1 without a listener, a different one at each call.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap();
    let _no_fork = no_fork();
    // Test binaries that run at the same time begin at different ports.
    let span = u32::from(PORTS.end - PORTS.start);
    let first = std::process::id().wrapping_mul(97) % span;
    let port = (0..span)
        .map(|step| PORTS.start + u16::try_from((first + step) % span).unwrap())
        .find(|port| !given.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("no free port on 127.0.0.1");
    given.insert(port);
    port
}

/// Calls `look` every 20 ms until it returns a value.
///
/// Panics naming `what` when `limit` has passed.
pub fn eventually<T>(what: &str, limit: Duration, look: impl FnMut() -> Option<T>) -> T {
    within(limit, look).unwrap_or_else(|| panic!("not within {limit:?}: {what}"))
}

/// Calls `look` every 20 ms until it returns a value; `None` after `limit`.
pub fn within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        match look() {
            None if Instant::now() < deadline => std::thread::sleep(POLL),
            found => return found,
        }
    }
}

/// [`eventually`] for an asynchronous `look`.
///
/// Panics naming `what` when `limit` has passed.
pub async fn becomes<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    let mut ticks = tokio::time::interval(POLL);
    loop {
        ticks.tick().await;
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
    }
}

/// A running child process; dropping it kills it.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    log: PathBuf,
}

type Order = (Command, mpsc::Sender<std::io::Result<std::process::Child>>);

/// Starts `command`, appends its output to `log`, and kills it at exit.
///
/// Panics naming the program when it cannot be started.
pub fn spawn(mut command: Command, log: &Path) -> Child {
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let orders = SPAWNER.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        std::thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || {
                for (mut command, answer) in orders {
                    let started = {
                        let _no_fork = no_fork();
                        command.spawn()
                    };
                    let _ = answer.send(started);
                }
            })
            .unwrap();
        sender
    });
    let program = command.get_program().to_string_lossy().into_owned();
    let out = File::options().create(true).append(true).open(log).unwrap();
    command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
    let parent = std::process::id();
    #[expect(
        unsafe_code,
        reason = "only prctl and getppid, both async-signal-safe, run between fork and exec"
    )]
    // After std has changed user and group: changing them clears the death signal.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            // The parent may have exited before prctl.
            if libc::getppid().cast_unsigned() != parent {
                return Err(std::io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
    let (answer, started) = mpsc::channel();
    orders.send((command, answer)).unwrap();
    let process = started.recv().unwrap().unwrap_or_else(|error| panic!("cannot start {program}: {error}"));
    Child { process, log: log.to_owned() }
}

/// Runs `command` to its end and returns its output.
///
/// Panics naming the program when it cannot be started.
pub fn run(mut command: Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = {
        let _no_fork = no_fork();
        command.spawn()
    };
    let program = command.get_program().to_string_lossy();
    started
        .and_then(std::process::Child::wait_with_output)
        .unwrap_or_else(|error| panic!("cannot run {program}: {error}"))
}

impl Child {
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn is_alive(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// Sends SIGTERM; does not wait.
    pub fn terminate(&self) {
        self.signal(libc::SIGTERM);
    }

    /// Sends a signal, such as `libc::SIGINT`; does not wait.
    pub fn signal(&self, signal: libc::c_int) {
        #[expect(
            unsafe_code,
            reason = "kill(2) touches no memory; the child is not reaped yet, so the id is still its own"
        )]
        unsafe {
            libc::kill(self.pid().cast_signed(), signal);
        }
    }

    /// Sends SIGKILL and waits until it has ended.
    pub fn kill9(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Waits until it ends; panics after `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        eventually("the end of a child process", limit, || self.process.try_wait().unwrap())
    }

    /// Waits until it ends; `None` after `limit`.
    pub fn ended_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        within(limit, || self.process.try_wait().ok().flatten())
    }

    /// Its output so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// Runs `act` at a normal exit, last first: a `static` is never dropped.
pub fn at_exit(act: impl FnOnce() + Send + 'static) {
    static ACTS: Mutex<Vec<Box<dyn FnOnce() + Send>>> = Mutex::new(Vec::new());
    static HOOK: std::sync::Once = std::sync::Once::new();
    extern "C" fn run() {
        loop {
            let act = ACTS.lock().ok().and_then(|mut acts| acts.pop());
            match act {
                Some(act) => act(),
                None => return,
            }
        }
    }
    HOOK.call_once(|| {
        #[expect(
            unsafe_code,
            reason = "atexit only keeps a pointer to a function that lives as long as the program"
        )]
        unsafe {
            libc::atexit(run);
        }
    });
    ACTS.lock().unwrap().push(Box::new(act));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_each_free_port_once() {
        let ports = [free_port(), free_port(), free_port()];
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 3);
        assert!(
            ports
                .iter()
                .all(|port| *port < 32_768 && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        );
    }

    #[test]
    #[should_panic(expected = "the end of days")]
    fn eventually_panics_with_the_name_after_its_limit() {
        eventually::<()>("the end of days", Duration::from_millis(50), || None);
    }

    #[test]
    fn ends_children_on_exit_signal_and_drop() {
        let folder = tempfile::tempdir().unwrap();
        let start = |script: &str, log: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            spawn(command, &folder.path().join(log))
        };
        let limit = Duration::from_secs(10);
        assert!(start("echo hello; exit 0", "a").wait(limit).success());
        assert_eq!(std::fs::read_to_string(folder.path().join("a")).unwrap(), "hello\n");

        let mut polite = start("trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done", "b");
        eventually("the trap", limit, || polite.output().contains("up").then_some(()));
        polite.terminate();
        assert_eq!(polite.wait(limit).code(), Some(3));
        assert!(polite.output().ends_with("bye\n"));

        let mut stubborn = start("trap '' TERM; exec sleep 60", "c");
        assert!(stubborn.is_alive());
        stubborn.kill9();
        assert!(!stubborn.is_alive());

        let dropped = start("exec sleep 60", "d");
        let proc = PathBuf::from(format!("/proc/{}", dropped.pid()));
        assert!(proc.exists());
        drop(dropped);
        assert!(!proc.exists());
    }
}
