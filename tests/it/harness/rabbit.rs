//! A private RabbitMQ: its own node name, ports, folders, cookie and `epmd`.
//!
//! - The `rabbitmq-server` on the PATH of a Debian system is a wrapper that switches user; the script in the
//!   package's `lib/rabbitmq/bin` does not. With `RUNNING_UNDER_SYSTEMD` the script is replaced by the Erlang
//!   VM (exec), so the child's process id receives the signals.
//! - Erlang would start an `epmd` that outlives the tests: ours is started first, in the foreground.
//! - It is ready when it answers the AMQP header with Connection.Start. A call of `rabbitmqctl` takes one to
//!   two seconds.
//! - RabbitMQ 3.10 needs a pause between the first declaration and a `kill -9`; the caller waits
//!   (`topology::apply` does).

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, OnceLock},
    time::Duration,
};

use tempfile::TempDir;

use super::process::{self, Child, eventually, free_port};

/// How long a start may take on a loaded machine.
const START: Duration = Duration::from_secs(90);

/// How long a clean stop may take.
const STOP: Duration = Duration::from_secs(30);

/// The scripts of the package that do not switch user.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const CTL: &str = "/usr/lib/rabbitmq/bin/rabbitmqctl";

/// Dropping it kills the server and removes its folder.
#[derive(Debug)]
pub struct Rabbit {
    port: u16,
    tls_port: u16,
    node: Node,
    server: Mutex<Option<Child>>,
    epmd: Mutex<Child>,
    folder: TempDir,
}

#[derive(Debug)]
struct Node {
    name: String,
    epmd_port: u16,
    dist_port: u16,
}

/// The RabbitMQ of this test binary. Tests use different prefixes.
pub fn shared() -> &'static Rabbit {
    static SHARED: OnceLock<Rabbit> = OnceLock::new();
    SHARED.get_or_init(|| {
        // A static is never dropped.
        process::at_exit(|| {
            if let Some(rabbit) = SHARED.get() {
                rabbit.end();
                let _ = std::fs::remove_dir_all(rabbit.folder.path());
            }
        });
        Rabbit::start()
    })
}

impl Rabbit {
    /// Starts a server and waits until it answers.
    ///
    /// Panics with the end of its log after a time limit.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("hosho-rabbit-").tempdir().unwrap();
        let (port, tls_port) = (free_port(), free_port());
        let node =
            Node { name: format!("hosho{port}@localhost"), epmd_port: free_port(), dist_port: free_port() };
        write_files(folder.path(), port, tls_port);

        let mut epmd = Command::new("epmd");
        epmd.env("ERL_EPMD_PORT", node.epmd_port.to_string()).env("ERL_EPMD_ADDRESS", "127.0.0.1");
        let epmd = process::spawn(epmd, &folder.path().join("epmd.log"));
        eventually("epmd to listen", START, || TcpStream::connect(address(node.epmd_port)).ok());

        let rabbit = Self { port, tls_port, node, server: Mutex::new(None), epmd: Mutex::new(epmd), folder };
        rabbit.boot();
        rabbit
    }

    /// `amqp://…`, with the only user, an administrator.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// `amqps://…`; [`Rabbit::ca_file`] signs its certificate for `localhost`.
    pub fn tls_url(&self) -> String {
        format!("amqps://guest:guest@localhost:{}/%2f", self.tls_port)
    }

    /// The certificate of the private authority, PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    #[allow(dead_code, reason = "for what is measured: benches/system")]
    pub fn pid(&self) -> u32 {
        self.server.lock().unwrap().as_ref().expect("the server runs").pid()
    }

    /// Sends SIGKILL and waits until the server has ended.
    pub fn kill9(&self) {
        self.server.lock().unwrap().take().expect("the server runs").kill9();
    }

    /// Stops the server cleanly if it runs, and starts it with the same data.
    pub fn restart(&self) {
        if let Some(mut server) = self.server.lock().unwrap().take() {
            server.terminate();
            server.wait(STOP);
        }
        self.boot();
    }

    /// Suspends the server (SIGSTOP): connections stay open without an answer.
    pub fn freeze(&self) {
        let server = self.server.lock().unwrap();
        let server = server.as_ref().expect("the server runs");
        server.signal(libc::SIGSTOP);
        // On a loaded machine a thread stops some time after the signal.
        let is_stopped = |task: std::fs::DirEntry| {
            std::fs::read_to_string(task.path().join("stat")).is_ok_and(|stat| stat.contains(") T "))
        };
        let tasks = format!("/proc/{}/task", server.pid());
        eventually("a suspended server", STOP, || {
            std::fs::read_dir(&tasks).unwrap().flatten().all(is_stopped).then_some(())
        });
    }

    /// Resumes a frozen server (SIGCONT).
    pub fn thaw(&self) {
        self.server.lock().unwrap().as_ref().expect("the server runs").signal(libc::SIGCONT);
    }

    /// Kills the server and then its epmd.
    fn end(&self) {
        if let Ok(mut server) = self.server.lock() {
            drop(server.take());
        }
        if let Ok(mut epmd) = self.epmd.lock() {
            epmd.kill9();
        }
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        let logs = std::fs::read_dir(self.folder.path().join("log")).into_iter().flatten().flatten();
        logs.map(|log| tail(&std::fs::read_to_string(log.path()).unwrap_or_default())).collect()
    }

    /// Output of `rabbitmqctl`, which takes one to two seconds.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(CTL);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LANG", "C.UTF-8");
        command
            .env("HOME", self.folder.path())
            .env("ERL_EPMD_PORT", self.node.epmd_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", &self.node.name)
            .env("RABBITMQ_CONF_ENV_FILE", self.folder.path().join("rabbitmq-env.conf"))
            .args(arguments);
        let output = process::run(command);
        assert!(
            output.status.success(),
            "rabbitmqctl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn boot(&self) {
        let path = |name: &str| self.folder.path().join(name);
        let mut command = Command::new(SERVER);
        // Without the caller's settings for RabbitMQ and Erlang.
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LANG", "C.UTF-8");
        command
            .env("HOME", self.folder.path())
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .env("ERL_EPMD_PORT", self.node.epmd_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", &self.node.name)
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_DIST_PORT", self.node.dist_port.to_string())
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
            .env("RABBITMQ_MNESIA_BASE", path("mnesia"))
            .env("RABBITMQ_LOG_BASE", path("log"))
            .env("RABBITMQ_PID_FILE", path("pid"))
            .env("RABBITMQ_CONF_ENV_FILE", path("rabbitmq-env.conf"))
            .env("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", path("advanced.config"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", path("generated"));
        let mut server = process::spawn(command, &path("server.log"));
        eventually("RabbitMQ to answer", START, || {
            assert!(server.is_alive(), "RabbitMQ ended while starting:\n{}", tail(&server.output()));
            answers(self.port).then_some(())
        });
        *self.server.lock().unwrap() = Some(server);
    }
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        self.end();
    }
}

fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Whether the answer to the AMQP header is a method frame (type 1) of channel 0.
fn answers(port: u16) -> bool {
    let attempt = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address(port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"AMQP\x00\x00\x09\x01")?;
        let mut start = [0; 3];
        stream.read_exact(&mut start)?;
        Ok(start == [1, 0, 0])
    };
    attempt().unwrap_or(false)
}

fn write_files(folder: &Path, port: u16, tls_port: u16) {
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    certificates(folder);
    let at = folder.display();
    write(
        "rabbitmq.conf",
        format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\nlisteners.ssl.1 = 127.0.0.1:{tls_port}\n\
             ssl_options.cacertfile = {at}/ca.pem\nssl_options.certfile = {at}/server.pem\nssl_options.keyfile = {at}/server.key\n\
             log.console = false\nlog.file.level = info\ndisk_free_limit.absolute = 50MB\ncollect_statistics = none\n"
        ),
    );
    write("advanced.config", "[].\n".to_owned());
    write("enabled_plugins", "[].\n".to_owned());
    write("rabbitmq-env.conf", String::new());
    // Erlang generates a cookie from a weak source, and refuses one that others may read.
    write(".erlang.cookie", format!("HOSHO{port}TESTS"));
    std::fs::set_permissions(folder.join(".erlang.cookie"), PermissionsExt::from_mode(0o400)).unwrap();
}

/// Creates a private authority and a server certificate for `localhost`.
fn certificates(folder: &Path) {
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command.current_dir(folder).args(arguments.split(' '));
        let output = process::run(command);
        assert!(output.status.success(), "openssl {arguments}:\n{}", String::from_utf8_lossy(&output.stderr));
    };
    let curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {curve} -keyout ca.key -out ca.pem -days 2 -subj /CN=test-authority"));
    openssl(&format!("req {curve} -keyout server.key -out server.csr -subj /CN=localhost"));
    std::fs::write(folder.join("san"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n").unwrap();
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile san",
    );
}

/// The last lines of a log.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
