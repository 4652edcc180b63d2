//! What one gate holds against a user, and counts, holds on the others: through Debian's nats-server, which
//! may go, come back, turn on them, and be lied to by whoever reaches it.

mod nats;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use nats::{KEY, Nats};
use sealgate::store::postgres::Throwaway;
use sealgate::watch::{Entry, LockId, Restraint, SKEW_MAX_MS, ShareKey, Told, Whom};
use serde_json::Value;

use crate::harness::{Gate, Raw, Setup, await_that};
use crate::shop::{self, classified, records, states};

const REFUSALS: &str =
    "[[watch.detector]]\nkind = \"refusals\"\ncount = 3\naction = \"lock\"\nlock = \"1h\"\n";
const LIMIT: &str = "[[watch.limit]]\ncells = 25\nwindow = \"1h\"\naction = \"cut\"\nusers = [\"clerk\"]\n";

fn server() -> Throwaway {
    let server = shop::server(15);
    let define = "CREATE ROLE clerk LOGIN; CREATE ROLE auditor LOGIN; CREATE ROLE guest LOGIN; GRANT SELECT ON customers TO clerk, auditor; \
        INSERT INTO customers (id, city) SELECT n, 'city ' || n FROM generate_series(1, 200) n";
    server.execute("postgres", define).unwrap();
    server
}

/// A gate with an admin socket, and with the keyring of another one where there is one.
fn gate(server: &Throwaway, extra: &str, other: Option<&Gate>) -> Gate {
    let mut gate = classified(Setup::before(server.address())).extra(extra).prepare().unwrap();
    let socket = gate.folder().join("admin.sock").display().to_string();
    let keyring = |gate: &Gate| format!("{}/keys/keyring.json", gate.folder().display());
    gate.configure(|text| {
        let text = text.replace("[admin]\n", &format!("[admin]\nsocket = \"{socket}\"\n"));
        other.map_or_else(|| text.clone(), |other| text.replace(&keyring(&gate), &keyring(other)))
    });
    gate.run_again().unwrap();
    gate
}

/// Two that have heard each other.
fn two(server: &Throwaway, extra: &str) -> (Gate, Gate) {
    let first = gate(server, extra, None);
    let second = gate(server, extra, Some(&first));
    for gate in [&first, &second] {
        await_that("the other gate", || status(gate)["shared"]["proxies"] == 1);
    }
    (first, second)
}

fn status(gate: &Gate) -> Value {
    let output = gate.verb(&["watch", "status", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a client is told that tries to log in.
fn turned_away(gate: &Gate, user: &str) -> Option<String> {
    let mut raw = Raw::connect(gate.address());
    raw.startup(&[("user", user), ("database", "postgres")]);
    loop {
        let frame = raw.read()?;
        match frame.tag {
            b'E' => return frame.field(b'C'),
            b'Z' => return None,
            _ => {}
        }
    }
}

fn await_locked(gate: &Gate, user: &str) {
    await_that(&format!("{user} to be locked out"), || turned_away(gate, user).as_deref() == Some("SG007"));
}

fn await_let_in(gate: &Gate, user: &str) {
    await_that(&format!("{user} to be let in"), || turned_away(gate, user).is_none());
}

/// Has the detector lock a user out.
fn provoke(gate: &Gate, user: &str) {
    let mut raw = Raw::login(gate.address(), user, "postgres");
    for _ in 0..3 {
        raw.try_send(b'Q', b"SELECT email || 'x' FROM customers\0");
    }
    while raw.read().is_some() {}
}

fn alerts(gate: &Gate, part: &str) -> Vec<Value> {
    let all = records(gate).into_iter();
    all.filter(|record| record["kind"] == "alert" && record["rule"].as_str().unwrap().contains(part))
        .collect()
}

fn cells(raw: &mut Raw, sql: &str) -> usize {
    raw.query(sql).iter().filter(|frame| frame.tag == b'D').count()
}

fn used(gate: &Gate, user: &str) -> u64 {
    let told = status(gate);
    let all = told["limits"].as_array().unwrap();
    all.iter().find(|one| one["user"] == user).map_or(0, |one| one["used"].as_u64().unwrap())
}

#[test]
fn a_lock_of_one_gate_and_its_release_by_another_hold_on_both() {
    let server = server();
    let mut nats = Nats::open();
    nats.start();
    let again = "[[watch.detector]]\nkind = \"injection\"\naction = \"lock\"\nlock = \"1h\"\n";
    let (first, second) = two(&server, &format!("{REFUSALS}{again}{}", nats.section()));
    let mut idle = Raw::login(second.address(), "clerk", "postgres");
    let mut other = Raw::login(second.address(), "auditor", "postgres");
    let began = Instant::now();
    provoke(&first, "clerk");
    // On the gate on which nothing has happened.
    let last = std::iter::from_fn(|| idle.read()).last().unwrap();
    eprintln!("locked on the other gate after {:?}", began.elapsed());
    assert_eq!((last.field(b'S').as_deref(), last.field(b'C').as_deref()), (Some("FATAL"), Some("SG007")));
    assert_eq!(turned_away(&second, "clerk").as_deref(), Some("SG007"));
    assert_eq!(states(&other.query("SELECT city FROM customers")), Vec::<String>::new());
    await_that("the alert on the other gate", || !alerts(&second, "another proxy has it held").is_empty());
    let alert = &alerts(&second, "another proxy has it held")[0];
    assert_eq!((&alert["user"], &alert["verdict"]), (&"clerk".into(), &"lock".into()));
    assert!(alert["rule"].as_str().unwrap().starts_with("shared (critical)"), "{alert}");
    let told = status(&second);
    assert_eq!(
        (&told["locked"][0]["user"], &told["locked"][0]["by"]),
        (&"clerk".into(), &"another proxy".into())
    );

    // By the operator of the gate that only heard of it.
    let began = Instant::now();
    assert!(second.verb(&["watch", "release", "clerk"]).status.success());
    assert_eq!(turned_away(&second, "clerk"), None);
    await_let_in(&first, "clerk");
    eprintln!("released on the other gate after {:?}", began.elapsed());
    await_that("the release on record", || {
        records(&first).iter().any(|record| {
            record["action"] == "watch-release" && record["rule"].as_str().unwrap().contains("another proxy")
        })
    });
    // And once more, since a release takes back no other lock than that one; by the operator of the other one.
    let mut raw = Raw::login(first.address(), "clerk", "postgres");
    raw.send(b'Q', b"SELECT city FROM customers WHERE id = 1 OR 1 = 1\0");
    await_locked(&second, "clerk");
    assert!(first.verb(&["watch", "release", "clerk"]).status.success());
    await_let_in(&second, "clerk");
    // Whoever runs the store learns no name.
    assert!(!shop::holds(&nats.stored(), b"clerk"));
}

#[test]
fn other_restraints_hold_on_both_and_a_gate_that_starts_later_hears_of_them() {
    let server = server();
    let mut nats = Nats::open();
    nats.start();
    let refuse = REFUSALS.replace("\"lock\"\nlock", "\"refuse\"\nrefuse");
    let (mut first, mut second) = two(&server, &format!("{refuse}{}", nats.section()));
    let mut raw = Raw::login(second.address(), "clerk", "postgres");
    assert_eq!(states(&raw.query("SELECT city FROM customers WHERE id = 1")), Vec::<String>::new());
    let mut refused = Raw::login(first.address(), "clerk", "postgres");
    for _ in 0..3 {
        refused.query("SELECT email || 'x' FROM customers");
    }
    await_that("the refusal on the other gate", || {
        states(&raw.query("SELECT city FROM customers WHERE id = 1")) == ["SG007"]
    });
    assert_eq!(states(&raw.query("SELECT id FROM customers WHERE id = 1")), Vec::<String>::new());
    // One that was not there, and the one that began it, started anew.
    let mut third = gate(&server, &nats.section(), Some(&first));
    let refuses = |gate: &Gate| {
        let mut raw = Raw::login(gate.address(), "clerk", "postgres");
        states(&raw.query("SELECT city FROM customers WHERE id = 1")) == ["SG007"]
    };
    await_that("the gate that came later", || refuses(&third));
    first.kill();
    second.kill();
    third.run_again().unwrap();
    await_that("the gate that started anew", || refuses(&third));
    assert!(third.verb(&["watch", "release", "clerk"]).status.success());
    assert!(!refuses(&third));
}

#[test]
fn a_limit_counts_what_the_other_gates_have_shown() {
    let server = server();
    let mut nats = Nats::open();
    nats.start();
    let (first, second) = two(&server, &format!("{LIMIT}{}", nats.section()));
    let login = |gate: &Gate| Raw::login(gate.address(), "clerk", "postgres");
    // Status knows those who have been there.
    login(&second);
    assert_eq!(cells(&mut login(&first), "SELECT city FROM customers WHERE id <= 20"), 20);
    let began = Instant::now();
    await_that("the count of the other gate", || used(&second, "clerk") == 20);
    eprintln!("counted on the other gate after {:?}", began.elapsed());
    let mut raw = login(&second);
    let answer = raw.query("SELECT city FROM customers ORDER BY id");
    assert_eq!(answer.iter().filter(|frame| frame.tag == b'D').count(), 5, "what was left of it");
    assert_eq!(states(&answer), ["SG007"]);
    await_that("both to have counted the same", || {
        used(&first, "clerk") == 25 && used(&second, "clerk") == 25
    });
    for gate in [&first, &second] {
        assert_eq!(cells(&mut login(gate), "SELECT city FROM customers WHERE id = 1"), 0);
    }
    // A gate that starts anew has not forgotten.
    let mut second = second;
    second.run_again().unwrap();
    await_that("what it had shown itself", || {
        login(&second);
        used(&second, "clerk") == 25
    });
    assert_eq!(cells(&mut login(&second), "SELECT city FROM customers WHERE id = 1"), 0);
}

#[test]
fn a_store_that_is_lost_leaves_each_gate_its_own_limits_and_comes_back_by_itself() {
    let server = server();
    let mut nats = Nats::open();
    nats.start();
    let (first, second) = two(&server, &format!("{REFUSALS}{LIMIT}{}", nats.section()));
    for gate in [&first, &second] {
        assert_eq!(gate.metric("sealgate_share_up"), Some(1.0));
        assert!(gate.get("/health/ready").unwrap().ends_with("\r\nready\n"));
    }
    provoke(&first, "auditor");
    await_locked(&second, "auditor");
    nats.kill();
    for gate in [&first, &second] {
        await_that("the loss to be noticed", || gate.metric("sealgate_share_up") == Some(0.0));
        let ready = gate.get("/health/ready").unwrap();
        assert!(
            ready.starts_with("HTTP/1.1 200") && ready.contains("other proxies cannot be reached"),
            "{ready}"
        );
        await_that("the alert", || !alerts(gate, "other proxies cannot be reached").is_empty());
        assert!(gate.log().contains("other proxies cannot be reached"));
        // What is held stays held, whoever began it.
        assert_eq!(turned_away(gate, "auditor").as_deref(), Some("SG007"));
    }
    // Each by its own.
    provoke(&first, "clerk");
    await_locked(&first, "clerk");
    let mut raw = Raw::login(second.address(), "clerk", "postgres");
    assert_eq!(cells(&mut raw, "SELECT city FROM customers WHERE id <= 10"), 10);
    assert!(second.verb(&["watch", "release", "auditor"]).status.success());
    assert_eq!(turned_away(&second, "auditor"), None);
    assert_eq!(turned_away(&first, "auditor").as_deref(), Some("SG007"));
    nats.start();
    for gate in [&first, &second] {
        await_that("the store to be back", || gate.metric("sealgate_share_up") == Some(1.0));
    }
    await_locked(&second, "clerk");
    await_let_in(&first, "auditor");
    await_that("what was shown meanwhile", || used(&first, "clerk") == 10);
    await_that("readiness", || first.get("/health/ready").unwrap().ends_with("\r\nready\n"));
    // One that stands still is as lost as one that is gone.
    nats.signal("STOP");
    await_that("the silence to be noticed", || first.metric("sealgate_share_up") == Some(0.0));
    nats.signal("CONT");
    await_that("the store to be back", || first.metric("sealgate_share_up") == Some(1.0));
    assert_eq!(alerts(&first, "other proxies cannot be reached").len(), 2, "one for each loss");
}

#[test]
fn a_gate_starts_and_serves_without_the_store() {
    let server = server();
    let mut nats = Nats::open();
    let gate = gate(&server, &format!("{REFUSALS}{}", nats.section()), None);
    let mut raw = Raw::login(gate.address(), "clerk", "postgres");
    assert_eq!(cells(&mut raw, "SELECT city FROM customers WHERE id = 1"), 1);
    await_that("the loss to be told", || {
        gate.get("/health/ready").unwrap().contains("other proxies cannot be reached")
    });
    nats.start();
    await_that("the store to be there", || gate.metric("sealgate_share_up") == Some(1.0));
    // Its folder gone, as after a disk that was changed: what is held is told anew.
    provoke(&gate, "clerk");
    await_locked(&gate, "clerk");
    nats.kill();
    std::fs::remove_dir_all(nats.folder.join("store")).unwrap();
    nats.start();
    let late = self::gate(&server, &nats.section(), Some(&gate));
    await_locked(&late, "clerk");
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

/// As another proxy would tell it, whose clock is not ours by so much.
fn entry(number: u64, user: &str, told: Told, ahead_ms: i64) -> Entry {
    let told_ms = now_ms().saturating_add_signed(ahead_ms);
    Entry { sender: 7, sequence: number, told_ms, whom: Whom::user(&user.into()), told }
}

fn lock(number: u64, ms: u64, ahead_ms: i64) -> Told {
    let until_ms = (now_ms() + ms).saturating_add_signed(ahead_ms);
    let lock = LockId { sender: 7, number };
    Told::Hold { lock, restraint: Restraint::Lock, until_ms, left_ms: ms, incident: "i".into() }
}

fn put(nats: &Nats, key: &ShareKey, bucket: &str, entry: &Entry) -> (String, Vec<u8>) {
    let place = key.place(entry.sender, &entry.whom, &entry.told);
    let bytes = key.write(&place, entry).unwrap();
    nats.put(bucket, &place, "", &bytes);
    (place, bytes)
}

#[test]
fn what_no_holder_of_the_key_has_written_locks_nobody_out_and_lets_nobody_in() {
    let server = server();
    let mut nats = Nats::open();
    nats.start();
    let (first, second) = two(&server, &format!("{REFUSALS}{LIMIT}{}", nats.section()));
    provoke(&first, "clerk");
    await_locked(&second, "clerk");
    let (ours, theirs) = (ShareKey::new(&KEY), ShareKey::new(&[8; 32]));
    let lock_of = |user: &str| entry(1, user, lock(1, 3_600_000, 0), 0);
    let release = |user: &str| {
        let lock = LockId { sender: 7, number: 1 };
        entry(2, user, Told::Release { lock, restraint: Restraint::Lock }, 0)
    };
    // Garbage of every length, and entries under another key.
    for length in [1, 15, 16, 272, 2_000, 4_000] {
        nats.put("sealgate", "odd", "", &vec![b'x'; length]);
    }
    put(&nats, &theirs, "sealgate", &lock_of("auditor"));
    put(&nats, &theirs, "sealgate", &release("clerk"));
    // One of ours, at another's place; a count that is no count; a deletion of all that lies there.
    let (place, bytes) = put(&nats, &ours, "sealgate", &lock_of("guest"));
    nats.put("sealgate", &ours.place(7, &Whom::user(&"auditor".into()), &lock(1, 1, 0)), "", &bytes);
    nats.put("sealgate-counts", &place, "", b"25");
    nats.put("sealgate", &place, "KV-Operation: DEL\r\n", b"");
    for gate in [&first, &second] {
        await_that("what was forged to be noticed", || {
            gate.metric("sealgate_share_refused_total{why=\"forged\"}") >= Some(6.0)
                && gate.metric("sealgate_share_refused_total{why=\"size\"}") >= Some(3.0)
        });
        assert_eq!(turned_away(gate, "clerk").as_deref(), Some("SG007"));
        assert_eq!(turned_away(gate, "auditor"), None);
        assert_eq!(turned_away(gate, "guest").as_deref(), Some("SG007"), "ours, and nothing takes it back");
        await_that("the alert", || !alerts(gate, "no proxy has made").is_empty());
        assert_eq!(gate.metric("sealgate_share_up"), Some(1.0), "and it goes on");
    }
    // What it can do: show old ones. A lock that was taken back does not come back by that.
    put(&nats, &ours, "sealgate", &release("guest"));
    await_let_in(&first, "guest");
    nats.put("sealgate", &place, "", &bytes);
    provoke(&second, "auditor");
    await_locked(&first, "auditor");
    await_let_in(&first, "guest");
}

#[test]
fn a_lock_holds_as_long_by_a_clock_that_differs_and_an_old_one_is_over() {
    let server = server();
    server.execute("postgres", "CREATE ROLE bob LOGIN; CREATE ROLE eve LOGIN").unwrap();
    let mut nats = Nats::open();
    nats.start();
    let gate = gate(&server, &nats.section(), None);
    await_that("the store", || gate.metric("sealgate_share_up") == Some(1.0));
    let key = ShareKey::new(&KEY);
    let (minute, hour) = (60_000, 3_600_000_i64);
    let until = |user: &str| {
        let told = status(&gate);
        let found = told["locked"].as_array().unwrap().iter().find(|one| one["user"] == user).cloned();
        found.map(|one| one["until"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond())
    };
    let left = |user: &str| until(user).map(|until| until - i64::try_from(now_ms()).unwrap());
    for (number, user, ahead_ms) in [(1, "clerk", 0), (2, "auditor", hour), (3, "bob", -4 * 60_000)] {
        put(&nats, &key, "sealgate", &entry(number, user, lock(number, minute, ahead_ms), ahead_ms));
        await_locked(&gate, user);
        let left = left(user).unwrap();
        assert!((1..=60_000).contains(&left), "{user}: {left} ms");
    }
    // A clock that is behind by more than clocks may differ, or a lock of long ago: over.
    let old = -i64::try_from(SKEW_MAX_MS).unwrap() - 2 * 60_000;
    put(&nats, &key, "sealgate", &entry(4, "eve", lock(4, minute, old), old));
    put(&nats, &key, "sealgate", &entry(5, "postgres", lock(5, minute, 0), 0));
    await_locked(&gate, "postgres");
    assert_eq!(turned_away(&gate, "eve"), None);
    // And it is said so.
    let beat = Entry { sender: 9, ..entry(6, "", Told::Beat, 2 * hour) };
    put(&nats, &key, "sealgate-counts", &beat);
    await_that("the clock to be told of", || {
        gate.get("/health/ready").unwrap().contains("the clock of another proxy differs by 7")
    });
}

#[test]
fn a_server_lets_a_gate_in_by_password_token_or_key_and_under_tls() {
    let server = server();
    let folder = crate::alerts::Folder::new("nats");
    let tls = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\" }}\n",
        folder.path("server.crt"),
        folder.path("server.key")
    );
    let ca = format!("ca = \"{}\"\n", folder.path("root.crt"));
    let seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
    let public = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";
    let users = "accounts { A { jetstream: enabled, users: [ WHO ] } }\n";
    for (scheme, theirs, ours, secret) in [
        (
            "tls",
            tls.clone() + &users.replace("WHO", "{ user: gate, password: word }"),
            "user = \"gate\"\npassword = ",
            "word",
        ),
        ("tls", format!("{tls}authorization {{ token: word }}\n"), "token = ", "word"),
        ("nats", users.replace("WHO", &format!("{{ nkey: {public} }}")), "nkey = ", seed),
    ] {
        let mut nats = Nats::with(&theirs);
        nats.start();
        let right = nats.secret("right", secret);
        let wrong = nats.secret("wrong", &secret.chars().rev().collect::<String>());
        let with = |file: &str| {
            let ca = if scheme == "tls" { ca.as_str() } else { "" };
            nats.section_with(scheme, &format!("{ours}{{ file = \"{file}\" }}\n{ca}"))
        };
        let gate = gate(&server, &with(&right), None);
        await_that(ours, || gate.metric("sealgate_share_up") == Some(1.0));
        drop(gate);
        if scheme == "nats" {
            // What is no seed is a fault of the configuration.
            let refused = classified(Setup::before(server.address())).extra(&with(&wrong)).try_start();
            let log = refused.err().unwrap();
            assert!(log.contains("watch.share: nkey is no seed of a user"), "{log}");
            let gate = classified(Setup::before(server.address())).extra(&with(&wrong)).prepare().unwrap();
            let output = gate.verb(&["check", "--offline", "--json"]);
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(told.contains("share-fault") && !told.contains(&secret[2..]), "{told}");
            continue;
        }
        let gate = self::gate(&server, &with(&wrong), None);
        await_that("the refusal", || gate.log().contains("Authorization Violation"));
        assert!(!gate.log().contains(secret), "no secret in the log");
        drop(gate);
        // Another authority than the one that is trusted; and one that wants TLS and is not spoken to by it.
        let trusts_all = with(&right).replace(&ca, "");
        let gate = self::gate(&server, &trusts_all, None);
        await_that("the certificate to be refused", || gate.log().contains("invalid peer certificate"));
        drop(gate);
        let gate = self::gate(&server, &with(&right).replace("tls://", "nats://").replace(&ca, ""), None);
        await_that("plain to be refused", || gate.log().contains("write tls:// before it"));
    }
}
