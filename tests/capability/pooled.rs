//! Behind a pool one login asks for many: what one of them has read too much of, or opened, is held against that one,
//! and the others work on by the same login.

use sealgate::store::postgres::Throwaway;
use serde_json::Value;

use crate::harness::{Gate, Raw, Setup, await_that};
use crate::shop::{self, classified, errors, records, states};

fn server() -> Throwaway {
    let server = shop::server(18);
    let define = "CREATE ROLE pool LOGIN; GRANT SELECT, INSERT ON customers TO pool; \
        INSERT INTO customers (id, city) SELECT n, 'city ' || n FROM generate_series(1, 99) n";
    server.execute("postgres", define).unwrap();
    server
}

fn start(server: &Throwaway, extra: &str) -> Gate {
    let mut gate = classified(Setup::before(server.address())).extra(extra).prepare().unwrap();
    let socket = gate.folder().join("admin.sock").display().to_string();
    gate.configure(|text| text.replace("[admin]\n", &format!("[admin]\nsocket = \"{socket}\"\n")));
    gate.run_again().unwrap();
    gate
}

fn login(gate: &Gate) -> Raw {
    Raw::login(gate.address(), "pool", "postgres")
}

/// Reads a row for somebody.
fn read_for(raw: &mut Raw, end_user: &str) -> Vec<String> {
    assert_eq!(errors(&raw.query(&format!("SET sealgate.end_user = '{end_user}'"))), []);
    states(&raw.query("SELECT city FROM customers WHERE id = 1"))
}

fn alerts(gate: &Gate, detector: &str) -> Vec<Value> {
    let all = records(gate).into_iter().filter(|record| record["kind"] == "alert");
    all.filter(|alert| alert["rule"].as_str().unwrap().starts_with(detector)).collect()
}

const REFUSED: [&str; 1] = ["SG007"];
const GOES: [&str; 0] = [];

#[test]
fn an_end_user_who_is_over_the_limit_is_refused_and_the_pool_works_on_for_the_others() {
    let server = server();
    let limits = "[[watch.limit]]\ncells = 5\nwindow = \"1h\"\nby = \"end_user\"\naction = \"refuse\"\nrefuse = \"1h\"\n\
        [[watch.limit]]\ncells = 60\nwindow = \"1h\"\naction = \"cut\"\n";
    let gate = start(&server, limits);
    let (mut raw, mut other) = (login(&gate), login(&gate));
    raw.query("SET sealgate.end_user = 'ada'");
    assert_eq!(errors(&raw.query("SELECT city FROM customers WHERE id <= 6")), [], "shown, and then held");
    await_that("ada to be refused", || read_for(&mut raw, "ada") == REFUSED);
    assert_eq!(read_for(&mut other, "ada"), REFUSED, "in each session");
    for end_user in ["bob", "", "Ada"] {
        assert_eq!(read_for(&mut raw, end_user), GOES, "{end_user:?}");
    }
    // What is not classified, too; and whichever way it is said for whom, and when.
    raw.query("SET sealgate.end_user = 'ada'");
    assert_eq!(states(&raw.query("SELECT id FROM customers")), GOES);
    for (text, expected) in [
        ("SELECT city FROM customers WHERE id = 1 /*user='bob'*/", &GOES[..]),
        ("SET sealgate.end_user = 'bob'; SELECT city FROM customers WHERE id = 1", &GOES),
        ("SELECT city FROM customers WHERE id = 1 /*user='ada'*/", &REFUSED),
        ("SET sealgate.end_user = 'ada'; SELECT city FROM customers WHERE id = 1", &REFUSED),
        ("SET sealgate.end_user = 'bob'", &GOES),
        (
            "BEGIN; SET LOCAL sealgate.end_user = 'ada'; SELECT city FROM customers WHERE id = 1; COMMIT",
            &REFUSED,
        ),
        ("SELECT city FROM customers WHERE id = 1", &GOES),
    ] {
        assert_eq!(states(&raw.query(text)), expected, "{text}");
    }
    // In one batch of the extended protocol.
    raw.parse("", "SET sealgate.end_user = 'ada'", &[]);
    raw.bind("", "", &[], &[], &[]);
    raw.execute("", 0);
    raw.parse("r", "SELECT city FROM customers WHERE id = 1", &[]);
    raw.bind("", "r", &[], &[], &[]);
    raw.execute("", 0);
    assert_eq!(states(&raw.sync()), REFUSED);
    let alert = &alerts(&gate, "limit")[0];
    assert_eq!(
        (&alert["user"], &alert["end_user"], &alert["verdict"]),
        (&"pool".into(), &"ada".into(), &"refuse".into())
    );
    assert!(alert["rule"].as_str().unwrap().ends_with("5 cells in 3600 s of one end user"), "{alert}");
    let status =
        || -> Value { serde_json::from_slice(&gate.verb(&["watch", "status", "--json"]).stdout).unwrap() };
    let held = &status()["restrained"][0];
    assert_eq!(
        (&held["user"], &held["end_user"], &held["what"]),
        (&"pool".into(), &"ada".into(), &"refuse".into())
    );
    let text = String::from_utf8(gate.verb(&["watch", "status"]).stdout).unwrap();
    assert!(text.contains("pool for ada"), "{text}");
    assert!(gate.verb(&["watch", "release", "pool"]).status.success());
    assert_eq!(read_for(&mut raw, "ada"), GOES);
    // Names are made up easily: the pool has a limit of its own.
    let mut last = Vec::new();
    for number in 0..60 {
        last = read_for(&mut other, &format!("made up {number}"));
        if last == REFUSED {
            break;
        }
    }
    assert_eq!(last, REFUSED);
}

#[test]
fn whoever_opens_a_honey_record_for_an_end_user_locks_out_that_one_and_not_the_pool() {
    let server = server();
    let gate = start(&server, "");
    let mut raw = login(&gate);
    raw.query("INSERT INTO customers (id, email, phone) VALUES (150, 'ceo@x.example', '150'), (151, 'cfo@x.example', '151')");
    let sealed = |column: &str, id: u32| {
        let asked = format!("SELECT {column} FROM customers WHERE id = {id}");
        server.query("postgres", &asked).unwrap()[0][0].clone().unwrap()
    };
    let (ceo, cfo) = (sealed("email", 150), sealed("phone", 151));
    gate.configure(|text| {
        format!(
            "{text}[[watch.honey]]\nsealed = \"{ceo}\"\naction = \"lock\"\nlock = \"1h\"\nby = \"end_user\"\n\
             [[watch.honey]]\nsealed = \"{cfo}\"\naction = \"lock\"\nlock = \"1h\"\n"
        )
    });
    gate.signal("HUP");
    await_that("the reload", || gate.metric("sealgate_reloads_total{result=\"applied\"}") == Some(1.0));
    raw.query("SET sealgate.end_user = 'ada'");
    let answer = raw.query("SELECT email FROM customers WHERE id = 150");
    assert_eq!(states(&answer), REFUSED);
    assert!(!answer.iter().any(|frame| shop::holds(&frame.body, b"ceo@x")), "not shown");
    assert!(raw.is_closed());
    let mut raw = login(&gate);
    assert_eq!(
        (read_for(&mut raw, "ada"), read_for(&mut raw, "bob")),
        (vec!["SG007".to_owned()], Vec::new())
    );
    let alert = &alerts(&gate, "honey")[0];
    assert_eq!((&alert["verdict"], &alert["end_user"]), (&"lock".into(), &"ada".into()));
    // The other one is the login's.
    assert_eq!(states(&raw.query("SELECT phone FROM customers WHERE id = 151")), REFUSED);
    let mut late = Raw::connect(gate.address());
    late.startup(&[("user", "pool"), ("database", "postgres")]);
    let refused = std::iter::from_fn(|| late.read()).find(|frame| frame.tag == b'E').unwrap();
    assert_eq!(refused.field(b'C').as_deref(), Some("SG007"));
}
