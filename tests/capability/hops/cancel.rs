//! Cancel requests on a slow way to the server: they hit the statement they were for, or none.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::Certificates;
use crate::harness::{Frame, Gate, Raw, Session, Setup, await_that, string};
use crate::routes::python;
use crate::shop::{classified, firsts, server, states, tags};

/// Cancel requests that wait on their way, and whether they may pass.
#[derive(Default)]
struct Barrier {
    held: usize,
    open: bool,
}

/// A way to a server on which cancel requests are held up, until they are let go.
struct Hop {
    address: SocketAddr,
    barrier: Arc<(Mutex<Barrier>, Condvar)>,
}

impl Hop {
    fn before(server: SocketAddr) -> Hop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let barrier: Arc<(Mutex<Barrier>, Condvar)> = Arc::default();
        let shared = Arc::clone(&barrier);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let barrier = Arc::clone(&shared);
                std::thread::spawn(move || pass(stream, server, &barrier));
            }
        });
        Hop { address, barrier }
    }

    fn await_held(&self, count: usize) {
        await_that("a cancel request on its way", || self.barrier.0.lock().unwrap().held == count);
    }

    /// Lets all of them go.
    fn open(&self) {
        self.barrier.0.lock().unwrap().open = true;
        self.barrier.1.notify_all();
    }

    fn close(&self) {
        self.barrier.0.lock().unwrap().open = false;
    }
}

fn pass(
    mut client: TcpStream,
    server: SocketAddr,
    barrier: &(Mutex<Barrier>, Condvar),
) -> std::io::Result<()> {
    let mut first = [0; 8];
    client.read_exact(&mut first)?;
    if first[4..] == ((1234_u32 << 16) | 5678).to_be_bytes() {
        let mut state = barrier.0.lock().unwrap();
        state.held += 1;
        state = barrier.1.wait_while(state, |state| !state.open).unwrap();
        state.held -= 1;
    }
    let mut server = TcpStream::connect(server)?;
    server.write_all(&first)?;
    let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let _ = std::io::copy(&mut client, &mut server);
    server.shutdown(Shutdown::Write)
}

/// A session, and the request that cancels what it does.
fn login(gate: &Gate) -> (Raw, Vec<u8>) {
    let mut raw = Raw::connect(gate.address());
    raw.startup(&[("user", "postgres"), ("database", "postgres")]);
    let key = raw.until_ready().into_iter().find(|frame| frame.tag == b'K').unwrap().body;
    (raw, [&((1234_u32 << 16) | 5678).to_be_bytes()[..], &key].concat())
}

fn ask_to_cancel(gate: &Gate, request: &[u8]) -> Raw {
    let mut raw = Raw::connect(gate.address());
    raw.untagged(request);
    raw
}

/// A statement that runs until the lock is given up, and no longer.
const WAITS: &str = "SELECT 'first', pg_advisory_lock_shared(7), pg_advisory_unlock_shared(7)";
const NEXT: &str = "SELECT 'next' FROM pg_sleep(0.4)";

struct Lock(Session);

impl Lock {
    fn take(server: SocketAddr) -> Lock {
        let session = Session::open(server, "postgres", None, "postgres").unwrap();
        session.text("SELECT pg_advisory_lock(7)").unwrap();
        Lock(session)
    }

    fn await_waiting(&self) {
        await_that("a statement that waits", || {
            let sql = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
            !self.0.text(sql).unwrap().is_empty()
        });
    }

    fn give_up(&self) {
        self.0.text("SELECT pg_advisory_unlock(7)").unwrap();
    }
}

fn send(raw: &mut Raw, sql: &str, extended: bool) {
    if extended {
        crate::wire::step(raw, sql);
        raw.send(b'S', &[]);
    } else {
        raw.send(b'Q', &string(sql));
    }
}

fn said(frames: &[Frame]) -> (Vec<String>, Vec<String>) {
    (firsts(frames), states(frames))
}

fn whole(text: &str) -> (Vec<String>, Vec<String>) {
    (vec![text.to_owned()], Vec::new())
}

#[test]
fn a_cancel_request_that_is_late_hits_its_statement_or_none() {
    let server = server(18);
    let hop = Hop::before(server.address());
    let nothing = Setup::before(hop.address).start();
    let other = classified(Setup::before(hop.address)).start();
    for (gate, extended) in [(&nothing, false), (&other, true)] {
        let (mut raw, request) = login(gate);
        for (within, leaves) in [(false, false), (true, true)] {
            if within {
                raw.query("BEGIN");
            }
            // Late: its statement has ended by itself.
            let lock = Lock::take(server.address());
            send(&mut raw, WAITS, extended);
            lock.await_waiting();
            let mut cancel = Some(ask_to_cancel(gate, &request));
            hop.await_held(1);
            if leaves {
                // Whoever asked does not wait for the answer.
                cancel = None;
            }
            lock.give_up();
            assert_eq!(said(&raw.until_ready()), whole("first"));
            send(&mut raw, NEXT, extended);
            assert!(raw.within(Duration::from_millis(150)).is_empty());
            let begun =
                "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT ''next''%' AND state = 'active'";
            assert!(
                server.query("postgres", begun).unwrap().is_empty(),
                "it waits for the request to be over"
            );
            hop.open();
            assert!(cancel.is_none_or(|mut cancel| cancel.is_closed()));
            assert_eq!(said(&raw.until_ready()), whole("next"));
            hop.close();

            // In time, if only just: the statement is still under way.
            let lock = Lock::take(server.address());
            send(&mut raw, WAITS, extended);
            lock.await_waiting();
            let mut cancel = ask_to_cancel(gate, &request);
            hop.await_held(1);
            hop.open();
            assert!(cancel.is_closed());
            assert_eq!(states(&raw.until_ready()), ["57014"]);
            hop.close();
            lock.give_up();
            raw.query("ROLLBACK");
            assert_eq!(firsts(&raw.query("SELECT 'well'")), ["well"]);
        }
    }
    assert!(crate::wire::is_sound(&nothing) && crate::wire::is_sound(&other));
}

/// The older function of libpq speaks no TLS, whatever its session does.
const IN_PLAIN: &str = "
import psycopg, threading
c, watcher = (psycopg.connect(autocommit=True) for _ in range(2))
assert c.pgconn.ssl_in_use
handle = c.pgconn.get_cancel()
def cancel():
    while not watcher.execute('SELECT 1 FROM pg_stat_activity WHERE wait_event = %s', ('PgSleep',)).fetchall():
        pass
    handle.cancel()
thread = threading.Thread(target=cancel)
thread.start()
try:
    c.execute('SELECT pg_sleep(60)')
except psycopg.errors.QueryCanceled as error:
    print(error.sqlstate, c.execute('SELECT 1').fetchone())
thread.join()
";

#[test]
fn a_cancel_request_in_plain_is_taken_where_tls_is_required() {
    let server = server(15);
    let certificates = Certificates::new("cancel");
    let gate = Setup::before(server.address()).listen(&certificates.listen("")).start();
    let address = gate.address();
    let output = Command::new(python())
        .args(["-c", IN_PLAIN])
        .envs([("PGHOST", address.ip().to_string()), ("PGPORT", address.port().to_string())])
        .envs([("PGUSER", "postgres"), ("PGDATABASE", "postgres"), ("PGSSLMODE", "verify-full")])
        .env("PGSSLROOTCERT", certificates.root())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(out, "57014 (1,)\n", "{err}");
}

#[test]
fn a_cancel_request_that_goes_astray_ends_the_session_before_its_next_statement() {
    let server = server(15);
    let hop = Hop::before(server.address());
    // Whoever asks to cancel has as long as a login.
    let gate = Setup::before(hop.address).extra("\n[timeouts]\nlogin = \"1s\"\n").start();
    let (mut raw, request) = login(&gate);
    let (mut witness, _) = login(&gate);
    let lock = Lock::take(server.address());
    raw.send(b'Q', &string(WAITS));
    lock.await_waiting();
    let mut cancel = ask_to_cancel(&gate, &request);
    hop.await_held(1);
    assert!(cancel.is_closed());
    // What runs goes on, and its answer comes whole.
    assert!(raw.within(Duration::from_millis(50)).is_empty());
    lock.give_up();
    assert_eq!(tags(&raw.until_ready()), "TDCZI");
    raw.try_send(b'Q', &string("CREATE TABLE begun_anew ()"));
    let last = raw.until_ready();
    assert_eq!((tags(&last).as_str(), states(&last)), ("E", vec!["57P01".to_owned()]));
    assert!(last[0].field(b'D').unwrap().contains("a cancel request"));
    assert!(raw.is_closed());
    hop.open();
    assert!(server.query("postgres", "SELECT 'begun_anew'::regclass").is_err());
    assert_eq!(firsts(&witness.query("SELECT 'unharmed' FROM pg_sleep(0.1)")), ["unharmed"]);
    assert!(!gate.log().contains("panic"));
}
