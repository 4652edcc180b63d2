//! SIGHUP: a sound file counts at once and as a whole, a faulty one changes nothing.

use std::process::{Command, Stdio};

use super::{backends, fatal, reload};
use crate::harness::{Gate, Raw, Session, Setup, Tap, await_that, string};
use crate::shop::{classified, errors, firsts, holds, server, states, tags};

const NOTE: &str = "\n[[field]]\ntable = \"public.customers\"\ncolumn = \"note\"\nclass = \"contact\"\n\
    type = \"text\"\nseal = \"random\"\nstate = \"sealed\"\ndomain = \"note\"\n";
const SECRET: &str = "s3ntinel-note";

/// Classifies `note` too: its domain is made first, as the guide says.
fn classify_note(gate: &Gate) {
    gate.configure(|text| text + NOTE);
    let made = gate.verb(&["keys", "init"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    reload(gate, "applied");
}

/// One `[[field]]` of another database: keys and record are there from the start.
fn elsewhere(gate: &Gate) {
    gate.configure(|text| text.replace("[[field]]\n", "[[field]]\ndatabase = \"elsewhere\"\n"));
}

fn is_refused(frames: &[crate::harness::Frame], what: &str) {
    let states = states(frames);
    assert!(states.iter().any(|state| state.starts_with("SG")), "{what}: {states:?} {:?}", tags(frames));
}

#[test]
fn a_new_field_counts_at_once_in_sessions_that_were_judged_before() {
    let server = server(15);
    let tap = Tap::before(server.address());
    let gate = classified(Setup::before(tap.address())).start();
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    raw.parse("get", "SELECT note FROM customers WHERE id = $1", &[]);
    raw.parse("put", "INSERT INTO customers (id, note) VALUES ($1, $2)", &[]);
    assert_eq!(tags(&raw.sync()), "11ZI");
    classify_note(&gate);
    raw.bind("", "put", &[], &[Some(b"1"), Some(SECRET.as_bytes())], &[]);
    raw.execute("", 0);
    let refused = raw.sync();
    is_refused(&refused, "a prepared statement that means something else now");
    let stored = raw.query(&format!("INSERT INTO customers (id, note) VALUES (2, '{SECRET}')"));
    assert_eq!(tags(&stored), "CZI", "{:?}", errors(&stored));
    assert_eq!(firsts(&raw.query("SELECT note FROM customers WHERE id = 2")), [SECRET]);
    let plain = server.query("postgres", "SELECT note FROM customers").unwrap();
    assert!(!plain.concat()[0].as_deref().unwrap().contains(SECRET));
    assert!(!holds(&tap.to_server(), SECRET.as_bytes()), "P1: it reached the server in plain");
}

#[test]
fn a_cursor_that_is_open_does_not_outlive_the_policy() {
    let server = server(15);
    server.execute("postgres", &format!("INSERT INTO customers (id, note) VALUES (1, '{SECRET}')")).unwrap();
    let gate = classified(Setup::before(server.address())).start();
    let mut sql = Raw::login(gate.address(), "postgres", "postgres");
    let begun = sql.query("BEGIN; DECLARE c CURSOR FOR SELECT note FROM customers");
    assert_eq!(tags(&begun), "CCZT");
    let mut holding = Raw::login(gate.address(), "postgres", "postgres");
    holding.query("DECLARE h CURSOR WITH HOLD FOR SELECT note FROM customers");
    let mut portal = Raw::login(gate.address(), "postgres", "postgres");
    portal.query("BEGIN");
    portal.parse("", "SELECT note FROM customers", &[]);
    portal.bind("p", "", &[], &[], &[]);
    assert_eq!(tags(&portal.sync()), "12ZT");
    classify_note(&gate);
    for (name, raw, fetch) in [("sql", &mut sql, "FETCH c"), ("hold", &mut holding, "FETCH h")] {
        let frames = raw.query(fetch);
        assert!(firsts(&frames).is_empty(), "{name}: rows were shown that nobody judged");
    }
    portal.execute("p", 0);
    assert!(firsts(&portal.sync()).is_empty(), "rows of a portal were shown that nobody judged");
}

#[test]
fn a_session_that_was_never_judged_sends_nothing_more() {
    let server = server(15);
    let tap = Tap::before(server.address());
    let gate = classified(Setup::before(tap.address())).late().prepare().unwrap();
    elsewhere(&gate);
    let mut gate = gate;
    gate.run_again().unwrap();
    let open = || Raw::login(gate.address(), "postgres", "postgres");
    let (mut idle, mut within, mut copying, mut partial, mut busy) = (open(), open(), open(), open(), open());
    let mut prepared = open();
    prepared.parse("put", "INSERT INTO customers (id, phone) VALUES (9, $1)", &[]);
    prepared.sync();
    assert_eq!(tags(&within.query("BEGIN; INSERT INTO orders VALUES (1, 'in transaction', '')")), "CCZT");
    copying.send(b'Q', &string("COPY customers (id, phone) FROM STDIN"));
    assert_eq!(copying.read().unwrap().tag, b'G');
    partial.bytes(
        &[b"Q".as_slice(), &100_000_u32.to_be_bytes(), b"INSERT INTO customers (id,phone) VALUES"].concat(),
    );
    await_that("the part of a message at the server", || holds(&tap.to_server(), b"(id,phone) VALUES"));
    busy.send(b'Q', &string("SELECT 'answered', pg_sleep(1)"));
    await_that("a statement that runs", || {
        backends(&server, "query LIKE '%pg_sleep%' AND state = 'active'") == 1
    });
    gate.configure(|text| text.replace("database = \"elsewhere\"\n", ""));
    reload(&gate, "applied");
    // All of these could carry what is classified now; not one byte of it may arrive.
    let insert = format!("INSERT INTO customers (id, phone) VALUES (3, '{SECRET}')");
    let attempts: [(&mut Raw, u8, Vec<u8>); 4] = [
        (&mut idle, b'Q', string(&insert)),
        (&mut within, b'Q', string(&insert)),
        (&mut copying, b'd', format!("4\t{SECRET}\n").into_bytes()),
        (&mut busy, b'Q', string(&insert)),
    ];
    let mut ends = Vec::new();
    for (raw, tag, body) in attempts {
        raw.try_send(tag, &body);
        ends.push(fatal(raw));
    }
    partial.try_send(b'x', SECRET.as_bytes());
    ends.push(fatal(&mut partial));
    let mut body = [string(""), string("put")].concat();
    body.extend([0, 0, 0, 1, 0, 0, 0, 13]);
    body.extend(SECRET.as_bytes());
    prepared.try_send(b'B', &body);
    ends.push(fatal(&mut prepared));
    for (state, message, detail) in ends {
        assert_eq!(state, "57P01");
        assert_eq!(message, "terminating connection due to administrator command");
        assert!(detail.starts_with("sealgate: "), "{detail}");
    }
    assert!(!holds(&tap.to_server(), SECRET.as_bytes()), "P1: it reached the server in plain");
    await_that("the end of every backend", || backends(&server, "true") == 0);
    assert!(server.query("postgres", "SELECT 1 FROM orders").unwrap().is_empty(), "rolled back");
    let mut after = Raw::login(gate.address(), "postgres", "postgres");
    assert_eq!(tags(&after.query(&insert)), "CZI");
    assert!(!holds(&tap.to_server(), SECRET.as_bytes()));
}

#[test]
fn a_batch_across_a_reload_is_judged_from_there_on_and_nobody_waits() {
    let server = server(15);
    server.execute("postgres", &format!("INSERT INTO customers (id, note) VALUES (1, '{SECRET}')")).unwrap();
    let tap = Tap::before(server.address());
    let gate = classified(Setup::before(tap.address())).start();
    let open = || Raw::login(gate.address(), "postgres", "postgres");
    let (mut bound, mut parsed, mut harmless) = (open(), open(), open());
    bound.parse("", "SELECT note FROM customers", &[]);
    bound.bind("", "", &[], &[], &[]);
    parsed.parse("put", "INSERT INTO customers (id, note) VALUES (2, $1)", &[]);
    harmless.parse("", "SELECT 'harmless'", &[]);
    harmless.bind("", "", &[], &[], &[]);
    await_that("the batches at the server", || {
        let seen = tap.to_server();
        holds(&seen, b"VALUES (2, $1)") && holds(&seen, b"SELECT 'harmless'")
    });
    let began = std::time::Instant::now();
    classify_note(&gate);
    // Only now the rest of each batch: by the new policy.
    bound.execute("", 0);
    let shown = bound.sync();
    assert!(firsts(&shown).is_empty() && tags(&shown).ends_with("ZI"), "rows were shown that nobody judged");
    parsed.bind("", "put", &[], &[Some(SECRET.as_bytes())], &[]);
    parsed.execute("", 0);
    is_refused(&parsed.sync(), "a statement that means something else now");
    assert!(!holds(&tap.to_server(), SECRET.as_bytes()), "P1: it reached the server in plain");
    assert_eq!(tags(&harmless.sync()), "12ZI");
    assert_eq!(firsts(&harmless.query("SELECT 'goes on'")), ["goes on"]);
    assert!(began.elapsed().as_secs() < 20, "that is not timeouts.drain: {:?}", began.elapsed());
}

#[test]
fn what_the_server_has_already_is_answered() {
    let server = server(15);
    let mut gate = classified(Setup::before(server.address())).late().prepare().unwrap();
    elsewhere(&gate);
    gate.run_again().unwrap();
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    raw.send(b'Q', &string("SELECT 'answered' FROM pg_sleep(0.7)"));
    await_that("a statement that runs", || backends(&server, "state = 'active'") == 1);
    gate.configure(|text| text.replace("database = \"elsewhere\"\n", ""));
    reload(&gate, "applied");
    assert_eq!(firsts(&raw.until_ready()), ["answered"]);
    assert_eq!(fatal(&mut raw).0, "57P01");
    // And what does not end in time is ended, here and at the server.
    gate.configure(|text| {
        text.replace("[[field]]\n", "[[field]]\ndatabase = \"elsewhere\"\n")
            + "\n[timeouts]\ndrain = \"1s\"\n"
    });
    reload(&gate, "applied");
    let mut long = Raw::login(gate.address(), "postgres", "postgres");
    long.send(b'Q', &string("SELECT pg_sleep(600)"));
    await_that("a statement that runs", || backends(&server, "state = 'active'") == 1);
    gate.configure(|text| text.replace("database = \"elsewhere\"\n", ""));
    reload(&gate, "applied");
    assert_eq!(fatal(&mut long).0, "57P01");
    await_that("the end of the statement", || backends(&server, "true") == 0);
}

#[test]
fn a_field_taken_out_is_not_sealed_any_more() {
    let server = server(15);
    let gate = classified(Setup::before(server.address())).start();
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    raw.query("INSERT INTO customers (id, phone) VALUES (1, 'sealed')");
    gate.configure(|text| {
        let parts: Vec<_> = text.split("\n[[field]]").filter(|part| !part.contains("\"phone\"")).collect();
        parts.join("\n[[field]]")
    });
    reload(&gate, "applied");
    assert_eq!(tags(&raw.query("INSERT INTO customers (id, phone) VALUES (2, 'open')")), "CZI");
    let stored = server.query("postgres", "SELECT phone FROM customers ORDER BY id").unwrap().concat();
    assert_ne!(stored[0].as_deref(), Some("sealed"));
    assert_eq!(stored[1].as_deref(), Some("open"));
}

#[test]
fn a_faulty_file_changes_nothing_and_is_named() {
    let server = server(15);
    let gate = classified(Setup::before(server.address())).start();
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    let file = gate.folder().join("sealgate.toml");
    let sound = std::fs::read_to_string(&file).unwrap();
    let missing = "[listen]\ntls = { certificate = \"/nowhere.pem\", key = \"/nowhere.key\" }\n";
    let faults: [(String, &str); 5] = [
        (sound.clone() + "\n[timeouts\n", "sealgate.toml:"),
        (sound.clone() + "\n[timeouts]\nidel = \"1s\"\n", "sealgate.toml:"),
        (sound.replace("[listen]\n", missing), "/nowhere.pem"),
        (sound.clone() + NOTE, "note"),
        (
            sound.clone()
                + "\n[residency]\nallowed = [\"EEA\"]\nunknown = \"deny\"\n\
             [[residency.place]]\ncidr = \"127.0.0.0/8\"\nregion = \"local\"\narea = \"elsewhere\"\n",
            "residency",
        ),
    ];
    for (count, (text, named)) in (1_u32..).zip(faults) {
        gate.configure(|_| text);
        let before = gate.log().len();
        reload(&gate, "refused");
        let log = gate.log();
        assert!(log[before..].contains(named), "{named}: {}", &log[before..]);
        assert!(log[before..].contains("stays in use"));
        assert_eq!(gate.metric("sealgate_reloads_total{result=\"refused\"}"), Some(f64::from(count)));
        let insert = format!("INSERT INTO customers (id, phone) VALUES ({count}, 'sealed')");
        assert_eq!(tags(&raw.query(&insert)), "CZI");
    }
    let stored = server.query("postgres", "SELECT 1 FROM customers WHERE phone = 'sealed'").unwrap();
    assert!(stored.is_empty(), "the old policy was not in use");
    gate.configure(|_| sound);
    reload(&gate, "applied");
}

#[test]
fn what_takes_a_restart_is_named_and_the_rest_counts() {
    let server = server(15);
    let gate = classified(Setup::before(server.address())).start();
    let audit = gate.folder().join("audit").display().to_string();
    gate.configure(|text| {
        let text = text.replace(&audit, &format!("{audit}-2"));
        text.replacen("127.0.0.1:", "127.0.0.2:", 1) + "\n[limits]\nsessions_max = 1\n"
    });
    for _ in 0..2 {
        let before = gate.log().len();
        reload(&gate, "applied");
        let log = gate.log();
        for section in ["[listen] address", "[audit]"] {
            assert!(log[before..].contains(section), "{section}: {}", &log[before..]);
        }
    }
    let _one = Raw::login(gate.address(), "postgres", "postgres");
    let mut two = Raw::connect(gate.address());
    two.startup(&[("user", "postgres")]);
    assert_eq!(fatal(&mut two).0, "53300");
}

#[test]
fn new_hosts_serve_new_sessions_and_old_ones_stay() {
    let (first, second) = (server(15), server(15));
    let gate = Setup::before(first.address()).start();
    let mut old = Raw::login(gate.address(), "postgres", "postgres");
    gate.configure(|text| text.replace(&first.address().to_string(), &second.address().to_string()));
    reload(&gate, "applied");
    let port = "SELECT current_setting('port')";
    assert_eq!(firsts(&old.query(port)), [first.port().to_string()]);
    let mut new = Raw::login(gate.address(), "postgres", "postgres");
    assert_eq!(firsts(&new.query(port)), [second.port().to_string()]);
}

#[test]
fn many_reloads_lose_nothing() {
    let server = server(15);
    let gate = classified(Setup::before(server.address())).start();
    let bench = |extra: &[&str]| {
        let mut command = Command::new(server.binaries().program("pgbench"));
        command.args(["-h", "127.0.0.1", "-p", &gate.address().port().to_string(), "-U", "postgres"]);
        command
            .args(extra)
            .arg("postgres")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    assert!(bench(&["-i", "-q"]).wait().unwrap().success());
    let running = bench(&["-c", "4", "-T", "4", "-M", "prepared"]);
    await_that("load", || backends(&server, "query LIKE '%pgbench%'") > 0);
    for _ in 0..25 {
        reload(&gate, "applied");
    }
    let output = running.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("aborted"), "{said}");
    let sums =
        "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history)";
    assert_eq!(server.query("postgres", sums).unwrap().concat()[0].as_deref(), Some("t"));
    assert!(Session::open(gate.address(), "postgres", None, "postgres").is_ok());
}
