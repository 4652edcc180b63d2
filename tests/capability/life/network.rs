//! A network that vanishes: no packet comes back any more, and nobody says why.

use std::io::Read as _;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use sealgate::store::postgres::Throwaway;

use super::backends;
use crate::harness::{Gate, Raw, Setup, await_that, string};
use crate::residency::Elsewhere;
use crate::shop::{classified, firsts, server, states};

const TIMEOUTS: &str = "\n[timeouts]\nconnect = \"1s\"\nkeepalives_idle = \"1s\"\nkeepalives_interval = \"1s\"\n\
    keepalives_count = 2\ntcp_user_timeout = \"2s\"\n";

/// Another host's address of the server: `$1` its port, `$2` the server's socket.
const FORWARDER: &str = "
import socket, sys, threading
def copy(a, b):
    try:
        while piece := a.recv(65536): b.sendall(piece)
    except OSError: pass
    for end in (a, b):
        try: end.shutdown(socket.SHUT_RDWR)
        except OSError: pass
listener = socket.create_server(('0.0.0.0', int(sys.argv[1])))
while True:
    client = listener.accept()[0]
    server = socket.socket(socket.AF_UNIX)
    server.connect(sys.argv[2])
    for ends in ((client, server), (server, client)):
        threading.Thread(target=copy, args=ends, daemon=True).start()
";

fn elsewhere() -> Elsewhere {
    Elsewhere::new().unwrap_or_else(|reason| panic!("this test needs root and ip netns: {reason}"))
}

/// Takes the other host's network down, or up again.
fn set_link(elsewhere: &Elsewhere, state: &str) {
    let set = Command::new("ip").args(["-n", &elsewhere.name, "link", "set", "peer", state]).status();
    assert!(set.unwrap().success());
}

fn within(elsewhere: &Elsewhere, program: &str, arguments: &[&str]) -> Guard {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &elsewhere.name, program]).args(arguments);
    Guard(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
}

/// A process that ends with the test: before its network does.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The server as another host's, and the program before it.
fn far(server: &Throwaway, elsewhere: &Elsewhere) -> (Guard, Gate) {
    let [a, b, c, d] = elsewhere.gate.octets();
    let address = SocketAddr::from(([a, b, c, d + 1], server.port()));
    let socket = server.socket_folder().join(format!(".s.PGSQL.{}", server.port()));
    let arguments = ["-c", FORWARDER, &server.port().to_string(), socket.to_str().unwrap()];
    let forwarder = within(elsewhere, "python3", &arguments);
    await_that("the other host to serve", || std::net::TcpStream::connect(address).is_ok());
    (forwarder, classified(Setup::before(address)).extra(TIMEOUTS).start())
}

#[test]
fn a_server_that_vanishes_is_given_up_and_one_that_is_back_serves() {
    let server = server(15);
    let elsewhere = elsewhere();
    let (_forwarder, gate) = far(&server, &elsewhere);
    let open = || Raw::login(gate.address(), "postgres", "postgres");
    let (mut waiting, mut sending, mut idle) = (open(), open(), open());
    waiting.send(b'Q', &string("SELECT pg_sleep(600)"));
    await_that("a statement that runs", || backends(&server, "state = 'active'") == 1);
    set_link(&elsewhere, "down");
    sending.send(b'Q', &string("INSERT INTO customers (id, phone) VALUES (1, 'lost')"));
    for raw in [&mut waiting, &mut sending, &mut idle] {
        let frames = raw.until_ready();
        assert!(frames.iter().all(|frame| frame.tag == b'E'), "no answer came");
    }
    let mut new = Raw::connect(gate.address());
    new.startup(&[("user", "postgres"), ("database", "postgres")]);
    assert_eq!(states(&new.until_ready()), ["08006"]);
    await_that("sessions that are counted out", || gate.metric("sealgate_sessions") == Some(0.0));
    set_link(&elsewhere, "up");
    await_that("a session that is served again", || {
        let mut raw = Raw::connect(gate.address());
        raw.startup(&[("user", "postgres"), ("database", "postgres")]);
        raw.until_ready().last().is_some_and(|frame| frame.tag == b'Z')
            && firsts(&raw.query("SELECT 'served'")) == ["served"]
    });
}

#[test]
fn a_client_that_vanishes_leaves_no_session() {
    let server = server(15);
    let elsewhere = elsewhere();
    let mut gate = classified(Setup::before(server.address())).extra(TIMEOUTS).prepare().unwrap();
    let (local, outside) = (gate.address(), SocketAddr::new(elsewhere.gate.into(), gate.address().port()));
    gate.configure(|text| {
        text.replacen(&format!("\"{local}\""), &format!("[\"{local}\", \"{outside}\"]"), 1)
    });
    gate.run_again().unwrap_or_else(|log| panic!("{log}"));
    let psql = server.binaries().program("psql");
    let target = format!("host={} port={} user=postgres dbname=postgres", outside.ip(), outside.port());
    let run = |sql: &str| within(&elsewhere, psql.to_str().unwrap(), &["-XAtqd", &target, "-c", sql]);
    // One that waits for the server, and one to whom more is sent than it takes.
    let _waiting = run("SELECT pg_sleep(600)");
    let _taking = run("SELECT repeat('x', 1000), pg_sleep(0.001) FROM generate_series(1, 1000000)");
    await_that("statements that run", || backends(&server, "state = 'active'") == 2);
    set_link(&elsewhere, "down");
    await_that("sessions that are counted out", || gate.metric("sealgate_sessions") == Some(0.0));
    await_that("the end of what was sent to", || backends(&server, "query LIKE '%repeat%'") == 0);
}

#[test]
fn who_does_not_read_for_long_is_waited_for() {
    let server = server(15);
    let timeouts =
        "\n[timeouts]\nkeepalives_idle = \"1s\"\nkeepalives_interval = \"1s\"\nkeepalives_count = 1\n";
    let gate = classified(Setup::before(server.address())).extra(timeouts).start();
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    raw.send(b'Q', &string("SELECT repeat('x', 40000000)"));
    await_that("a client that is full", || backends(&server, "wait_event = 'ClientWrite'") == 1);
    // The kernel asks, and it answers.
    std::thread::sleep(std::time::Duration::from_secs(4));
    let mut stream = raw.socket().try_clone().unwrap();
    let mut row = vec![0; 40_000_000];
    stream.read_exact(&mut row).unwrap();
    assert!(row.ends_with(b"xxxx"));
}
