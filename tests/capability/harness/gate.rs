//! The program itself: the real binary with a configuration of its own in a folder of its
//! own, on a free port, ended with the test.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sealgate::store::postgres::Throwaway;

use super::PATIENCE;

/// 32 bytes, base64: a key for tests alone.
const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// A port that was free may be taken by the time the program binds it.
const PORT_ATTEMPTS: u32 = 4;
/// Bytes of the log shown in a failure.
const LOG_TAIL_MAX: usize = 8_000;

/// How the program should be configured. Every part of the file can be replaced.
pub struct Setup {
    /// As `[upstream] hosts` has it.
    host: String,
    /// Listens at a Unix socket as well.
    unix: bool,
    auth: &'static str,
    service_user: String,
    service_password: Option<String>,
    listen: String,
    upstream_lines: String,
    login: String,
    fields: String,
    audit: String,
    extra: String,
    late: bool,
}

impl Setup {
    /// Before `upstream`, relaying logins, with nothing classified.
    pub fn before(upstream: SocketAddr) -> Setup {
        Setup {
            host: upstream.to_string(),
            unix: false,
            auth: "relay",
            service_user: "postgres".to_owned(),
            service_password: None,
            listen: String::new(),
            upstream_lines: String::new(),
            login: String::new(),
            fields: String::new(),
            audit: String::new(),
            extra: String::new(),
            late: false,
        }
    }

    /// Before a server that listens at a Unix socket.
    pub fn before_unix(server: &Throwaway) -> Setup {
        let host = format!("unix:{}:{}", server.socket_folder().display(), server.port());
        Setup { host, ..Setup::before(server.address()) }
    }

    /// Listens at a Unix socket in its own folder as well, by the port's number.
    pub fn unix(mut self) -> Setup {
        self.unix = true;
        self
    }

    /// A further line of `[listen]`, such as its `tls`.
    pub fn listen(mut self, line: &str) -> Setup {
        writeln!(self.listen, "{line}").unwrap();
        self
    }

    /// A further line of `[upstream]`, such as its `tls`.
    pub fn upstream_line(mut self, line: &str) -> Setup {
        writeln!(self.upstream_lines, "{line}").unwrap();
        self
    }

    /// A further line of `[login]`.
    pub fn login(mut self, line: &str) -> Setup {
        writeln!(self.login, "{line}").unwrap();
        self
    }

    pub fn auth(mut self, auth: &'static str) -> Setup {
        self.auth = auth;
        self
    }

    pub fn service(mut self, user: &str, password: &str) -> Setup {
        self.service_user = user.to_owned();
        self.service_password = Some(password.to_owned());
        self
    }

    /// Classifies a column; `seal` is `random`, `equality` or `none`. Its domain is named
    /// as the column is.
    pub fn field(self, table: &str, column: &str, seal: &str) -> Setup {
        self.field_with(table, column, seal, "")
    }

    /// The same with further lines of the `[[field]]`.
    pub fn field_with(mut self, table: &str, column: &str, seal: &str, lines: &str) -> Setup {
        write!(
            self.fields,
            "\n[[field]]\ntable = \"{table}\"\ncolumn = \"{column}\"\nclass = \"contact\"\n\
             seal = \"{seal}\"\nstate = \"sealed\"\n"
        )
        .unwrap();
        if !lines.contains("type = ") {
            writeln!(self.fields, "type = \"text\"").unwrap();
        }
        if seal != "none" && !lines.contains("domain = ") {
            writeln!(self.fields, "domain = \"{column}\"").unwrap();
        }
        writeln!(self.fields, "{lines}").unwrap();
        self
    }

    /// A line for `[audit]`.
    pub fn audit(mut self, line: &str) -> Setup {
        writeln!(self.audit, "{line}").unwrap();
        self
    }

    /// Text to append to the file: further sections.
    pub fn extra(mut self, text: &str) -> Setup {
        self.extra.push_str(text);
        self
    }

    /// Some of what is classified is made only after the start, or never.
    pub fn late(mut self) -> Setup {
        self.late = true;
        self
    }

    /// Writes the file, makes keys where they are needed, starts the program and waits
    /// until it is ready. Panics with its log where it is not.
    pub fn start(&self) -> Gate {
        let mut last = String::new();
        for _ in 0..PORT_ATTEMPTS {
            match self.try_start() {
                Ok(gate) => return gate,
                Err(log) if log.to_lowercase().contains("address already in use") => last = log,
                Err(log) => panic!("sealgate did not become ready:\n{log}"),
            }
        }
        panic!("sealgate found no free port:\n{last}");
    }

    /// The same, with the log as the error where the program ends or does not get ready.
    pub fn try_start(&self) -> Result<Gate, String> {
        let mut gate = self.prepare()?;
        gate.run_again()?;
        Ok(gate)
    }

    /// Writes the file and makes keys, and starts nothing yet: see [`Gate::run_again`].
    pub fn prepare(&self) -> Result<Gate, String> {
        let (address, admin) = free_addresses();
        let folder = new_folder();
        fs::write(folder.join("sealgate.toml"), self.configuration(&folder, address, admin)).unwrap();
        let password = self.service_password.clone();
        let gate = Gate {
            folder,
            address,
            admin,
            password,
            environment: Vec::new(),
            arguments: Vec::new(),
            running: None,
        };
        if !self.fields.is_empty() {
            let made = gate.sealgate(&["keys", "init"], self.service_password.as_deref());
            if !made.status.success() {
                return Err(format!("keys init: {}", String::from_utf8_lossy(&made.stderr)));
            }
        }
        Ok(gate)
    }

    fn configuration(&self, folder: &Path, address: SocketAddr, admin: SocketAddr) -> String {
        let folder = folder.display();
        let (host, user, auth) = (&self.host, &self.service_user, self.auth);
        let mut listens = format!("\"{address}\"");
        if self.unix {
            listens = format!("[{listens}, \"unix:{folder}:{}\"]", address.port());
        }
        let mut text = format!(
            "[listen]\naddress = {listens}\n{}\n[upstream]\nhosts = [\"{host}\"]\nservice_user = \"{user}\"\n{}",
            self.listen, self.upstream_lines
        );
        if self.service_password.is_some() {
            text.push_str("service_password = { env = \"SEALGATE_SERVICE_PASSWORD\" }\n");
        }
        write!(text, "\n[login]\nauth = \"{auth}\"\n{}\n[admin]\naddress = \"{admin}\"\n", self.login)
            .unwrap();
        if !self.fields.is_empty() {
            write!(
                text,
                "\n[keys]\nprovider = \"file\"\npath = \"{folder}/keys/keyring.json\"\n\
                 master_key = {{ env = \"SEALGATE_MASTER_KEY\" }}\n\n[audit]\npath = \"{folder}/audit\"\n{}",
                self.audit
            )
            .unwrap();
        }
        let mut extra = self.extra.clone();
        if self.late {
            if !extra.contains("[policy]") {
                extra.push_str("\n[policy]\n");
            }
            extra = extra.replacen("[policy]", "[policy]\nmissing = \"serve\"", 1);
        }
        text + &self.fields + &extra
    }
}

/// A running program, and what must end before it.
struct Running {
    child: Child,
    /// Kills the program should this process die; ends when its input does.
    guard: Child,
}

/// The program. Dropping it kills it and removes its folder; in a failing test its log is
/// shown first.
pub struct Gate {
    folder: PathBuf,
    address: SocketAddr,
    admin: SocketAddr,
    password: Option<String>,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    running: Option<Running>,
}

impl Gate {
    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The file of its Unix socket, where it has one.
    pub fn socket(&self) -> PathBuf {
        self.folder.join(format!(".s.PGSQL.{}", self.address.port()))
    }

    /// Holds `sealgate.toml`, `keys/`, `audit/` and `log`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    pub fn pid(&self) -> u32 {
        self.running.as_ref().unwrap().child.id()
    }

    /// Sends a signal by name, such as `TERM` or `HUP`.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits for the program's own end and returns its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let running = self.running.as_mut().unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = running.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the program does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the program as a power failure would.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            // The guard first: it must not find another process under a number reused.
            let _ = running.guard.kill();
            let _ = running.guard.wait();
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }

    /// Runs the program, again or for the first time, and waits until it is ready; the log
    /// where it is not.
    pub fn run_again(&mut self) -> Result<(), String> {
        self.kill();
        let password = self.password.clone();
        self.run(password.as_deref());
        self.await_ready()
    }

    /// Runs the program where it cannot become ready, until its log holds `text`.
    pub fn run_until_logged(&mut self, text: &str) {
        self.kill();
        let password = self.password.clone();
        self.run(password.as_deref());
        super::await_that(text, || self.log().contains(text));
    }

    /// Sets a variable for the next run.
    pub fn environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// A further argument of `run` for the next run.
    pub fn argument(&mut self, argument: &str) {
        self.arguments.push(argument.to_owned());
    }

    /// Runs the program and waits for nothing.
    pub fn start_only(&mut self) {
        let password = self.password.clone();
        self.run(password.as_deref());
    }

    /// Changes the configuration for the next run.
    pub fn configure(&self, change: impl FnOnce(String) -> String) {
        let file = self.folder.join("sealgate.toml");
        fs::write(&file, change(fs::read_to_string(&file).unwrap())).unwrap();
    }

    /// Runs another verb of the program with this configuration, to its end.
    pub fn verb(&self, arguments: &[&str]) -> Output {
        self.sealgate(arguments, None)
    }

    fn sealgate(&self, arguments: &[&str], password: Option<&str>) -> Output {
        let mut command = sealgate_command();
        command.args(arguments).arg("--config").arg(self.folder.join("sealgate.toml"));
        if let Some(password) = password {
            command.env("SEALGATE_SERVICE_PASSWORD", password);
        }
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn run(&mut self, password: Option<&str>) {
        let log = File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut command = sealgate_command();
        command.arg("run").arg("--config").arg(self.folder.join("sealgate.toml")).args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(password) = password {
            command.env("SEALGATE_SERVICE_PASSWORD", password);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap();
        let guard = Command::new("sh")
            .args(["-c", "read -r _; kill -s KILL \"$1\"", "sh", &child.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.running = Some(Running { child, guard });
    }

    fn await_ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.get("/health/ready").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                return Ok(());
            }
            let ended = self.running.as_mut().unwrap().child.try_wait().unwrap();
            if ended.is_some() || Instant::now() > deadline {
                return Err(format!("ended: {ended:?}\n{}", self.log_tail()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let start = log.len().saturating_sub(LOG_TAIL_MAX);
        log.get(start..).unwrap_or(&log).to_owned()
    }

    /// The whole answer of the admin address to a GET.
    pub fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.admin).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// The value of a metric's first line that begins with `series`.
    pub fn metric(&self, series: &str) -> Option<f64> {
        let answer = self.get("/metrics")?;
        let line = answer.lines().find(|line| line.starts_with(series))?;
        line.rsplit(' ').next()?.parse().ok()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of sealgate on {} ---\n{}", self.address, self.log_tail());
        }
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The binary under test with the environment that configurations of tests refer to.
/// `SEALGATE_TEST_BINARY` names another build of it.
pub fn sealgate_command() -> Command {
    let built = || env!("CARGO_BIN_EXE_sealgate").into();
    let mut command = Command::new(std::env::var_os("SEALGATE_TEST_BINARY").unwrap_or_else(built));
    command.env("SEALGATE_MASTER_KEY", MASTER_KEY).env_remove("SEALGATE_SERVICE_PASSWORD");
    command
}

/// Both are held until both are known, so that they differ.
fn free_addresses() -> (SocketAddr, SocketAddr) {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (one, other) = (bind(), bind());
    (one.local_addr().unwrap(), other.local_addr().unwrap())
}

fn new_folder() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("sealgate-test-{}-{number}", std::process::id()));
    // A process with this number may have been killed before.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    folder
}
