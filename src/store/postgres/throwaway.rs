//! One throwaway server, from `initdb` to the removal of its folder.
//!
//! A small shell process stands between us and the server and holds the read end of a
//! pipe. When the write end closes (drop, panic, SIGKILL: all the same to it) it stops the
//! server at once and removes the folder, so there is one way to end and it always runs.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::binaries::{Account, Binaries, name_of, run};

/// Name of the superuser that `initdb` makes. It needs no password on the Unix socket.
pub const SUPERUSER: &str = "postgres";

/// How long a server may take from start to its first answer.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause between two looks at a server that starts.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// A port that was free may be taken by the time the server binds it.
const PORT_ATTEMPTS: u32 = 8;
/// A Unix socket's path must fit in 107 bytes; the file's own name takes 16.
const FOLDER_LENGTH_MAX: usize = 80;
/// Bytes of a server's log shown in an error.
const LOG_TAIL_MAX: usize = 4_000;

/// `$1` postgres, `$2` folder, `$3` port. Descriptor 3 is the pipe of which we hold the
/// other end; the server must not inherit it. A folder that is `kept` is for another keeper.
const KEEPER: &str = r#"
exec 3<&0
"$1" -D "$2/data" -p "$3" </dev/null >>"$2/log" 2>&1 3<&- &
server=$!
( read -r _ <&3; [ -e "$2/ended" ] || kill -QUIT "$server" ) 2>/dev/null &
watch=$!
wait "$server"
: >"$2/ended"
wait "$watch"
[ -e "$2/kept" ] || rm -rf "$2"
"#;

/// How TCP connections prove who they are.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Authentication {
    #[default]
    Trust,
    /// `scram-sha-256` for everyone over TCP.
    Scram,
}

/// A role to make before the server is handed out.
#[derive(Clone, Debug)]
pub struct User {
    pub name: String,
    pub password: Option<String>,
    /// Words for CREATE ROLE after LOGIN, such as `SUPERUSER` or `REPLICATION`.
    pub attributes: String,
}

/// What a throwaway server should be like. The default: the newest version found, trust.
#[derive(Clone, Default, Debug)]
pub struct Options {
    pub major: Option<u32>,
    pub authentication: Authentication,
    pub users: Vec<User>,
    /// Listen on `::1` as well as on `127.0.0.1`.
    pub ipv6: bool,
    /// Lines for `postgresql.conf`, after our own, such as `log_statement = 'all'`.
    pub configuration: Vec<String>,
    /// Lines for `pg_hba.conf`, before our own.
    pub hba: Vec<String>,
}

/// A running server. Dropping it stops the server and removes its folder.
#[derive(Debug)]
pub struct Throwaway {
    binaries: Binaries,
    account: Account,
    ipv6: bool,
    folder: PathBuf,
    port: u16,
    keeper: Child,
    /// Its closing ends the server. None once that has been asked for.
    lease: Option<ChildStdin>,
}

impl Throwaway {
    /// Starts a server and returns when it answers. Blocks for a part of a second, or some
    /// seconds at the first use of a version; from async code, call it on its own thread.
    ///
    /// # Errors
    /// No PostgreSQL to be found, or it does not start: then with the tail of its log.
    pub fn start(options: &Options) -> Result<Throwaway, String> {
        let cache = cache_folder()?;
        let account = Account::choose(&cache)?;
        let (binaries, template) = {
            let lock = File::create(cache.join("lock")).map_err(|error| error.to_string())?;
            lock.lock().map_err(|error| error.to_string())?;
            let binaries = Binaries::find(options.major)?.reachable_by(account, &cache)?;
            let template = template(&binaries, account, &cache)?;
            (binaries, template)
        };
        let mut last = String::new();
        for _ in 0..PORT_ATTEMPTS {
            match Throwaway::attempt(&binaries, account, &template, options) {
                Ok(server) => {
                    server.create_users(&options.users)?;
                    return Ok(server);
                }
                Err(error) if error.contains("could not bind") => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(format!("no free port after {PORT_ATTEMPTS} attempts: {last}"))
    }

    fn attempt(
        binaries: &Binaries,
        account: Account,
        template: &Path,
        options: &Options,
    ) -> Result<Throwaway, String> {
        let folder = new_folder(account)?;
        if let Err(error) = prepare(&folder, account, template, options) {
            // The first error is the one worth telling.
            let _ = fs::remove_dir_all(&folder);
            return Err(error);
        }
        let port = free_port()?;
        let (keeper, lease) = keep(binaries, account, &folder, port)?;
        let server = Throwaway {
            binaries: binaries.clone(),
            account,
            ipv6: options.ipv6,
            folder,
            port,
            keeper,
            lease,
        };
        server.await_answer()?;
        Ok(server)
    }

    /// Kills the postmaster as a power failure would; its other processes end as soon as they
    /// notice. The folder stays.
    ///
    /// # Errors
    /// It does not run.
    pub fn crash(&mut self) -> Result<(), String> {
        File::create(self.folder.join("kept")).map_err(|error| error.to_string())?;
        let pid = self.pid()?;
        let killed = Command::new("kill").args(["-s", "KILL", &pid.to_string()]).status();
        if !killed.is_ok_and(|status| status.success()) {
            return Err(format!("process {pid} cannot be killed"));
        }
        self.lease = None;
        self.keeper.wait().map(drop).map_err(|error| error.to_string())
    }

    /// Starts it again after [`Throwaway::crash`], with the same folder and port; returns when it
    /// answers.
    ///
    /// # Errors
    /// It does not start: with the tail of its log.
    pub fn restart(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            fs::remove_file(self.folder.join("ended")).map_err(|error| error.to_string())?;
            let log_before = fs::metadata(self.log_file()).map_or(0, |metadata| metadata.len());
            (self.keeper, self.lease) = keep(&self.binaries, self.account, &self.folder, self.port)?;
            match self.await_answer() {
                Ok(()) => {
                    return fs::remove_file(self.folder.join("kept")).map_err(|error| error.to_string());
                }
                Err(error) => {
                    self.lease = None;
                    let _ = self.keeper.wait();
                    let log = fs::read(self.log_file()).unwrap_or_default();
                    let fresh = log.get(usize::try_from(log_before).unwrap_or(0)..).unwrap_or_default();
                    // Backends of before may not have noticed yet.
                    let early = String::from_utf8_lossy(fresh).contains("still in use");
                    if !early || Instant::now() > deadline {
                        return Err(error);
                    }
                    std::thread::sleep(POLL_INTERVAL);
                }
            }
        }
    }

    /// Waits until the server asks for, or waives, a password on its own Unix socket: no
    /// other server can be taken for it there.
    fn await_answer(&self) -> Result<(), String> {
        let deadline = Instant::now() + START_TIMEOUT;
        while !answers(&self.socket()) {
            if self.folder.join("ended").exists() {
                return Err(format!("PostgreSQL did not start:\n{}", self.log_tail()));
            }
            if Instant::now() > deadline {
                return Err(format!("PostgreSQL did not answer in time:\n{}", self.log_tail()));
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        let log = self.log_tail();
        if self.ipv6 && log.contains("could not bind") {
            return Err(log);
        }
        Ok(())
    }

    fn create_users(&self, users: &[User]) -> Result<(), String> {
        for user in users {
            let password = user
                .password
                .as_ref()
                .map_or_else(String::new, |password| format!(" PASSWORD '{}'", password.replace('\'', "''")));
            let name = user.name.replace('"', "\"\"");
            self.execute("postgres", &format!("CREATE ROLE \"{name}\" LOGIN {}{password}", user.attributes))?;
        }
        Ok(())
    }

    /// Where the server listens: `127.0.0.1` and its port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    #[must_use]
    pub fn major(&self) -> u32 {
        self.binaries.major()
    }

    /// The installation it runs from, for its other programs.
    #[must_use]
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Everything that the server stores: its data, WAL and socket. Removed with it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    #[must_use]
    pub fn data_folder(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The file that receives the server's log, whatever it says.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The folder of the Unix socket, as a `host` of libpq.
    #[must_use]
    pub fn socket_folder(&self) -> PathBuf {
        self.folder.join("socket")
    }

    fn socket(&self) -> PathBuf {
        self.socket_folder().join(format!(".s.PGSQL.{}", self.port))
    }

    fn log_tail(&self) -> String {
        let log = fs::read(self.log_file()).unwrap_or_default();
        let start = log.len().saturating_sub(LOG_TAIL_MAX);
        String::from_utf8_lossy(log.get(start..).unwrap_or_default()).into_owned()
    }

    /// The postmaster's process id.
    ///
    /// # Errors
    /// `postmaster.pid` cannot be read: the server has ended.
    pub fn pid(&self) -> Result<u32, String> {
        let text = fs::read_to_string(self.data_folder().join("postmaster.pid"))
            .map_err(|error| format!("postmaster.pid: {error}"))?;
        let first = text.lines().next().unwrap_or_default();
        first.parse().map_err(|_| "postmaster.pid holds no process id".to_owned())
    }

    /// Makes an empty database.
    ///
    /// # Errors
    /// The server's.
    pub fn create_database(&self, name: &str) -> Result<(), String> {
        self.execute("postgres", &format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\"")))
    }

    /// Runs statements as the superuser and drops their rows.
    ///
    /// # Errors
    /// The server's.
    pub fn execute(&self, database: &str, sql: &str) -> Result<(), String> {
        self.query(database, sql).map(drop)
    }

    /// Runs statements as the superuser over the Unix socket, in one simple Query: as one
    /// transaction. Returns all their rows as text. Blocks; works inside and outside of an
    /// async runtime.
    ///
    /// # Errors
    /// The server's message, detail and SQLSTATE.
    pub fn query(&self, database: &str, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
        let mut config = tokio_postgres::Config::new();
        config.host_path(self.socket_folder()).port(self.port).user(SUPERUSER).dbname(database);
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.map_err(|error| error.to_string())?.block_on(simple_query(&config, sql))
            });
            worker.join().unwrap_or_else(|_| Err("the query's thread panicked".to_owned()))
        })
    }
}

/// Starts a server with the process that stands between, and what that waits for.
fn keep(
    binaries: &Binaries,
    account: Account,
    folder: &Path,
    port: u16,
) -> Result<(Child, Option<ChildStdin>), String> {
    let mut command = Command::new("sh");
    command.args(["-c", KEEPER, "sh"]).arg(binaries.program("postgres")).arg(folder).arg(port.to_string());
    account
        .drop_to(&mut command)
        .process_group(0)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut keeper = command.spawn().map_err(|error| format!("cannot run sh: {error}"))?;
    let lease = keeper.stdin.take();
    Ok((keeper, lease))
}

impl Drop for Throwaway {
    fn drop(&mut self) {
        let crashed = self.lease.take().is_none();
        // Nothing can be done about a keeper that cannot be waited for.
        let _ = self.keeper.wait();
        if crashed {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

async fn simple_query(
    config: &tokio_postgres::Config,
    sql: &str,
) -> Result<Vec<Vec<Option<String>>>, String> {
    let (client, connection) =
        config.connect(tokio_postgres::NoTls).await.map_err(|error| explain(&error))?;
    let work = client.simple_query(sql);
    let messages = tokio::select! {
        biased;
        answer = work => answer.map_err(|error| explain(&error))?,
        end = connection => return Err(format!("the connection ended: {end:?}")),
    };
    let mut rows = Vec::new();
    for message in messages {
        if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
            rows.push((0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect());
        }
    }
    Ok(rows)
}

fn explain(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || error.to_string(),
        |server| {
            format!("{}: {} {}", server.code().code(), server.message(), server.detail().unwrap_or_default())
        },
    )
}

/// A folder of this account's own that outlives servers: templates and the lock.
fn cache_folder() -> Result<PathBuf, String> {
    let probe = Path::new("/proc/self");
    let uid = fs::metadata(probe).map_or(0, |metadata| metadata.uid());
    let folder = temporary_folder().join(format!("sealgate-pg-cache-{uid}"));
    let made = fs::DirBuilder::new().mode(0o755).create(&folder);
    let metadata = fs::symlink_metadata(&folder);
    match (made, metadata) {
        (Ok(()), _) => Ok(folder),
        (Err(_), Ok(found)) if found.is_dir() && found.uid() == uid => Ok(folder),
        (Err(error), _) => Err(format!("{} is not ours: {error}", folder.display())),
    }
}

fn temporary_folder() -> PathBuf {
    let folder = std::env::temp_dir();
    if folder.as_os_str().len() > FOLDER_LENGTH_MAX - 30 { PathBuf::from("/tmp") } else { folder }
}

fn new_folder(account: Account) -> Result<PathBuf, String> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let started = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |duration| duration.as_millis() % 1_000_000);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = temporary_folder().join(format!("sealgate-pg-{}-{started}-{number}", std::process::id()));
    for path in [folder.clone(), folder.join("socket")] {
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| format!("{}: {error}", path.display()))?;
        account.own(&path)?;
    }
    Ok(folder)
}

/// Fills a new folder: the data, and how this server differs from the template.
fn prepare(folder: &Path, account: Account, template: &Path, options: &Options) -> Result<(), String> {
    let data = folder.join("data");
    let mut copy = Command::new("cp");
    run(account.drop_to(copy.arg("-a").arg(template).arg(&data)))?;
    append(&data.join("postgresql.conf"), &configuration(options, folder))?;
    fs::write(data.join("pg_hba.conf"), hba(options)).map_err(|error| error.to_string())
}

/// A data folder made once per version and account; copying it is faster than `initdb`.
fn template(binaries: &Binaries, account: Account, cache: &Path) -> Result<PathBuf, String> {
    let name = format!("template-{}-{}", name_of(binaries.version()), account.uid);
    let template = cache.join(&name);
    if template.join("PG_VERSION").exists() {
        return Ok(template);
    }
    let partial = cache.join(format!("{name}.partial"));
    let mut last = Err(String::new());
    for locale in ["C.UTF-8", "C"] {
        // What an interrupted attempt left; there may be nothing.
        let _ = fs::remove_dir_all(&partial);
        let made = fs::DirBuilder::new().mode(0o700).create(&partial);
        made.map_err(|error| format!("{}: {error}", partial.display()))?;
        account.own(&partial)?;
        let mut initdb = Command::new(binaries.program("initdb"));
        initdb
            .arg("-D")
            .arg(&partial)
            .args(["-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--no-sync", "--wal-segsize=1"])
            .arg(format!("--locale={locale}"));
        last = run(account.drop_to(&mut initdb));
        if last.is_ok() {
            break;
        }
    }
    last?;
    fs::rename(&partial, &template).map_err(|error| format!("{}: {error}", template.display()))?;
    Ok(template)
}

fn configuration(options: &Options, folder: &Path) -> String {
    let listen = if options.ipv6 { "127.0.0.1,::1" } else { "127.0.0.1" };
    let mut text = format!(
        "\nlisten_addresses = '{listen}'\nunix_socket_directories = '{}'\n\
         fsync = off\nfull_page_writes = off\nshared_buffers = 16MB\nmax_wal_size = 256MB\n\
         wal_level = logical\nmax_wal_senders = 10\nmax_replication_slots = 10\n\
         max_connections = 120\npassword_encryption = 'scram-sha-256'\n\
         logging_collector = off\nlog_destination = 'stderr'\n",
        folder.join("socket").display()
    );
    for line in &options.configuration {
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn hba(options: &Options) -> String {
    let method = match options.authentication {
        Authentication::Trust => "trust",
        Authentication::Scram => "scram-sha-256",
    };
    let mut text = String::new();
    for line in &options.hba {
        text.push_str(line);
        text.push('\n');
    }
    text.push_str("local all all trust\nlocal replication all trust\n");
    for database in ["all", "replication"] {
        for address in ["127.0.0.1/32", "::1/128"] {
            text.push_str(&format!("host {database} all {address} {method}\n"));
        }
    }
    text
}

fn append(path: &Path, text: &str) -> Result<(), String> {
    let file = fs::OpenOptions::new().append(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| format!("{}: {error}", path.display()))
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}

/// Sends a startup packet (protocol 3.0, user and database `postgres`) and looks whether
/// the first answer is an authentication request.
fn answers(socket: &Path) -> bool {
    let parameters = b"user\0postgres\0database\0postgres\0\0";
    let length = u32::try_from(8 + parameters.len()).unwrap_or_default();
    let mut packet = length.to_be_bytes().to_vec();
    packet.extend_from_slice(&196_608_u32.to_be_bytes());
    packet.extend_from_slice(parameters);
    let mut first = [0_u8; 1];
    let asked = UnixStream::connect(socket).and_then(|mut stream| {
        stream.set_read_timeout(Some(START_TIMEOUT))?;
        stream.write_all(&packet)?;
        stream.read_exact(&mut first)
    });
    asked.is_ok() && first == *b"R"
}

#[cfg(test)]
#[path = "throwaway_tests.rs"]
mod tests;
