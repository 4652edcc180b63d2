//! Several hosts: tried in order, the writable one found, and followed when it changes.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sealgate::store::postgres::Throwaway;

use crate::harness::{Frame, Gate, Raw, Session, Setup, await_that, psql};
use crate::shop::{classified, errors, firsts, server, states, tags};

/// `$1` postgres, `$2` data folder, `$3` port. Standard input is the pipe that ends it.
const KEEPER: &str = r#"
exec 3<&0
"$1" -D "$2" -p "$3" -k "$2" </dev/null >>"$2/log" 2>&1 3<&- &
server=$!
( read -r _ <&3; kill -QUIT "$server" ) 2>/dev/null &
wait "$server"
rm -rf "$2"
"#;

/// A streaming standby. It and its folder end with the test.
struct Standby {
    address: SocketAddr,
    keeper: Child,
}

impl Standby {
    fn of(primary: &Throwaway) -> Standby {
        let standby = Standby::run(primary, "on");
        await_that("a standby that serves", || standby.psql(primary, "SELECT 1") == "1");
        standby
    }

    /// It serves nobody: it is starting up as long as it lives.
    fn cold(primary: &Throwaway) -> Standby {
        let standby = Standby::run(primary, "off");
        await_that("a standby that answers", || {
            TcpStream::connect(standby.address).is_ok() && states(&refused(standby.address)) == ["57P03"]
        });
        standby
    }

    fn run(primary: &Throwaway, hot: &str) -> Standby {
        let address = nobody();
        let name = format!("sealgate-standby-{}-{}", std::process::id(), address.port());
        let (folder, owner) = (std::env::temp_dir().join(name), fs::metadata(primary.data_folder()).unwrap());
        let run_as = |mut command: Command| {
            command.uid(owner.uid()).gid(owner.gid()).current_dir("/").stdout(Stdio::null());
            command
        };
        let mut backup = run_as(Command::new(primary.binaries().program("pg_basebackup")));
        backup.args(["-h", "127.0.0.1", "-p", &primary.port().to_string(), "-U", "postgres", "-R"]);
        backup.args(["-c", "fast", "-X", "stream", "-D"]).arg(&folder);
        assert!(backup.stdin(Stdio::null()).status().unwrap().success());
        let mut settings =
            fs::File::options().append(true).open(folder.join("postgresql.auto.conf")).unwrap();
        writeln!(settings, "hot_standby = {hot}").unwrap();
        let mut keeper = run_as(Command::new("sh"));
        keeper.args(["-c", KEEPER, "sh"]).arg(primary.binaries().program("postgres")).arg(&folder);
        keeper.arg(address.port().to_string()).stdin(Stdio::piped()).process_group(0);
        Standby { address, keeper: keeper.spawn().unwrap() }
    }

    fn psql(&self, primary: &Throwaway, sql: &str) -> String {
        let output = psql(primary, self.address, "postgres", "postgres", sql);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// What a startup is answered.
fn refused(address: SocketAddr) -> Vec<Frame> {
    let mut raw = Raw::connect(address);
    raw.startup(&[("user", "postgres"), ("database", "postgres")]);
    raw.until_ready()
}

/// The port of the server that a new session reaches, or the SQLSTATE that it is told.
fn reached(gate: &Gate) -> String {
    let mut raw = Raw::connect(gate.address());
    raw.startup(&[("user", "postgres"), ("database", "postgres")]);
    let greeting = raw.until_ready();
    if let Some((state, _)) = errors(&greeting).first() {
        return state.clone();
    }
    firsts(&raw.query("SELECT current_setting('port')")).concat()
}

fn before(setup: Setup, first: SocketAddr, hosts: &[SocketAddr], service: bool) -> Gate {
    let mut gate = setup.prepare().unwrap();
    let list: Vec<_> = hosts.iter().map(|host| format!("\"{host}\"")).collect();
    gate.configure(|text| {
        let text = text.replace(&format!("[\"{first}\"]"), &format!("[{}]", list.join(", ")));
        if service { text } else { text.replace("service_user = \"postgres\"\n", "") }
    });
    gate.run_again().unwrap();
    gate
}

/// An address at which nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn the_next_host_serves_where_the_first_is_down_or_silent() {
    let server = server(15);
    // Connections beyond the backlog are not answered at all.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    full.listen(0).unwrap();
    let silent = full.local_addr().unwrap().as_socket().unwrap();
    let _filling: Vec<_> =
        (0..4).map(|_| TcpStream::connect_timeout(&silent, Duration::from_millis(100))).collect();
    for first in [nobody(), silent] {
        let setup = Setup::before(first).extra("\n[timeouts]\nconnect = \"1s\"\n");
        let gate = before(setup, first, &[first, server.address()], false);
        let began = Instant::now();
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        assert_eq!(firsts(&raw.query("SELECT 1")), ["1"]);
        let series = |host: SocketAddr| format!("sealgate_upstream_up{{host=\"{host}\"");
        assert_eq!(gate.metric(&series(first)), Some(0.0));
        assert_eq!(gate.metric(&series(server.address())), Some(1.0));
        assert!(gate.get("/health/ready").unwrap().starts_with("HTTP/1.1 200"));
    }
}

#[test]
fn the_writable_host_is_found_and_followed() {
    let primary = server(15);
    let standby = Standby::of(&primary);
    let (main, second) = (primary.port().to_string(), standby.address.port().to_string());
    let hosts = [standby.address, primary.address()];

    // Nobody looks ahead: the first login finds out, the next one profits.
    let blind = before(Setup::before(standby.address), standby.address, &hosts, false);
    assert_eq!(reached(&blind), "57P03");
    assert_eq!(reached(&blind), main);
    drop(blind);

    // One host is what it is.
    let alone = before(Setup::before(standby.address), standby.address, &[standby.address], false);
    assert_eq!(reached(&alone), second);
    drop(alone);
    // Where somebody looks it is called what it is, too.
    let mut alone = classified(Setup::before(standby.address)).prepare().unwrap();
    alone.run_until_logged("the server is a standby");
    let answer = alone.get("/health/ready").unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("is a standby"), "{answer}");
    assert_eq!(reached(&alone), second);
    drop(alone);

    let gate = before(classified(Setup::before(standby.address)), standby.address, &hosts, true);
    await_that("the look at the hosts", || reached(&gate) == main);
    let writable = |host: SocketAddr| gate.metric(&format!("sealgate_upstream_writable{{host=\"{host}\"}}"));
    assert_eq!((writable(standby.address), writable(primary.address())), (Some(0.0), Some(1.0)));
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    assert_eq!(tags(&raw.query("INSERT INTO customers (id, phone) VALUES (1, 'before')")), "CZI");
    let behind = "SELECT count(*) FROM customers";
    await_that("replication", || standby.psql(&primary, behind) == "1");
    raw.query("BEGIN");

    let pid = primary.pid().unwrap().to_string();
    assert!(Command::new("kill").args(["-s", "KILL", &pid]).status().unwrap().success());
    while raw.read().is_some() {}
    await_that("it to be not ready: only a standby is left", || {
        let answer = gate.get("/health/ready").unwrap();
        answer.starts_with("HTTP/1.1 503") && answer.contains("is a standby, which takes no writes")
    });
    await_that("the log", || gate.log().contains("no server takes writes"));
    standby.psql(&primary, "SELECT pg_promote()");
    let began = Instant::now();
    await_that("the new primary", || reached(&gate) == second);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    await_that("readiness", || gate.get("/health/ready").unwrap().starts_with("HTTP/1.1 200"));
    let failovers = || gate.log().matches("failover: another server takes writes now").count();
    assert_eq!(failovers(), 1, "{}", gate.log());
    assert_eq!((writable(standby.address), writable(primary.address())), (Some(1.0), Some(0.0)));
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    assert_eq!(tags(&raw.query("INSERT INTO customers (id, phone) VALUES (2, 'after')")), "CZI");
    let both = firsts(&raw.query("SELECT phone FROM customers ORDER BY id"));
    assert_eq!(both, ["before", "after"]);
    let open = "SELECT count(*) FROM customers WHERE phone IN ('before', 'after')";
    assert_eq!(standby.psql(&primary, open), "0", "sealed on the new primary too");
    await_that("sessions that are counted out", || {
        drop(reached(&gate));
        gate.metric("sealgate_sessions").is_some_and(|open| open <= 2.0)
    });
}

#[test]
fn a_host_that_starts_up_is_passed_over_and_scram_finds_the_writable_one() {
    let primary = server(15);
    primary.execute("postgres", "CREATE ROLE ada LOGIN PASSWORD 'ada-secret'").unwrap();
    let (cold, hot) = (Standby::cold(&primary), Standby::of(&primary));
    let main = primary.port().to_string();
    // Alone, it is heard word for word.
    let alone = before(Setup::before(cold.address), cold.address, &[cold.address], false);
    assert_eq!(refused(alone.address()), refused(cold.address));
    drop(alone);
    // Nobody looks ahead: the very first login gets there.
    let relay = before(Setup::before(cold.address), cold.address, &[cold.address, primary.address()], false);
    assert_eq!(reached(&relay), main);
    drop(relay);
    let hosts = [cold.address, hot.address, primary.address()];
    let gate = before(classified(Setup::before(cold.address)).auth("scram"), cold.address, &hosts, true);
    let open = |password| Session::open(gate.address(), "ada", Some(password), "postgres");
    for _ in 0..3 {
        let port = open("ada-secret").unwrap().text("SELECT current_setting('port')").unwrap();
        assert_eq!(port.concat(), [Some(main.clone())]);
    }
    assert!(open("wrong").is_err());
}
