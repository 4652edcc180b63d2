//! Who asks, behind a pool, as the application states it: by settings as the server keeps them, at the start,
//! and in comments; on every record of what follows.

use serde_json::Value;

use crate::harness::{Raw, Setup, pg};
use crate::shop::{self, classified, errors, firsts, records, records_with};

const READ: &str = "SELECT city FROM customers";

/// For whom and what for the intents ask, in their order.
fn told(records: &[Value], kind: &str) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let all = records.iter().filter(|record| record["kind"] == kind);
    all.map(|record| format!("{} {}", text(&record["end_user"]), text(&record["purpose"]))).collect()
}

#[test]
fn what_the_application_states_stands_in_every_record_and_as_long_as_at_the_server() {
    for major in [15, 18] {
        let server = shop::server(major);
        server.execute("postgres", "INSERT INTO customers (id, city) VALUES (1, 'c')").unwrap();
        let gate = classified(Setup::before(server.address())).start();
        let start = [
            ("user", "postgres"),
            ("database", "postgres"),
            ("options", "--sealgate.end-user=pool\\ user -c sealgate.purpose=none"),
        ];
        let mut raw = Raw::login_with(gate.address(), &start);
        let mut expected = Vec::new();
        let ask = "SELECT coalesce(current_setting('sealgate.end_user', true), '')";
        // What is sent; for whom and what for the read behind it asks. `~`: as at the server, which is asked.
        let steps = [
            ("SELECT 1", "pool user none"),
            ("SET sealgate.end_user = 'ada'", "ada none"),
            ("BEGIN; SET LOCAL sealgate.purpose TO 'case 7'; SELECT city FROM customers; COMMIT", "ada none"),
            ("BEGIN", "ada none"),
            ("SET LOCAL sealgate.end_user = 'eve'", "eve none"),
            ("COMMIT", "ada none"),
            ("BEGIN", "ada none"),
            ("SET sealgate.end_user = 'eve'", "eve none"),
            ("ROLLBACK", "ada none"),
            ("BEGIN", "ada none"),
            ("SAVEPOINT a", "ada none"),
            ("SET sealgate.end_user = 'eve'", "eve none"),
            ("SAVEPOINT b", "eve none"),
            ("SELECT set_config('sealgate.end_user', 'bob', true)", "bob none"),
            ("ROLLBACK TO SAVEPOINT b", "eve none"),
            ("ROLLBACK TO a", "ada none"),
            ("SET sealgate.end_user = 'kim'", "kim none"),
            ("COMMIT", "kim none"),
            ("SET sealgate.end_user = 'lost'; SELECT 1/0", "kim none"),
            ("BEGIN; SET sealgate.end_user = 'x'; ROLLBACK; SELECT city FROM customers", "kim none"),
            ("RESET sealgate.end_user", "pool user none"),
            ("SET SESSION \"sealgate\".\"end_user\" = E'\\x41da'", "Ada none"),
            ("SET sealgate.end_user TO ''", "- none"),
            ("SET sealgate.end_user = 'mia'", "mia none"),
            ("RESET ALL", "pool user none"),
            ("SET sealgate.purpose = 'audit'", "pool user audit"),
            ("DISCARD ALL", "pool user none"),
        ];
        for (sql, told) in steps {
            let answer = raw.query(sql);
            if sql.contains("LOCAL sealgate.purpose") {
                expected.push("ada case 7".to_owned());
            }
            if sql.contains("; ROLLBACK;") {
                expected.push("- -".to_owned());
            }
            assert!(errors(&answer).is_empty() || sql.contains("1/0"), "{sql}: {:?}", errors(&answer));
            let own = firsts(&raw.query(ask)).remove(0);
            assert_eq!(
                own,
                told.split_once(' ').map(|_| told.rsplit_once(' ').unwrap().0).unwrap().replace('-', ""),
                "{sql}"
            );
            assert!(errors(&raw.query(READ)).is_empty());
            expected.push(told.to_owned());
        }
        let records = records_with(&gate, "outcome", expected.len());
        assert_eq!(told(&records, "intent"), expected, "{major}");
        assert_eq!(told(&records, "outcome"), expected, "{major}");
        assert!(records.iter().all(|record| {
            record["end_user"].is_null() == record["end_user_auth"].is_null()
                && (record["end_user"].is_null() || record["end_user_auth"] == "stated")
        }));
        let begun = records.iter().find(|record| record["kind"] == "session").unwrap();
        assert_eq!(begun["end_user"], "pool user");
    }
}

#[test]
fn comments_and_batches_say_for_whom_their_own_statements_ask() {
    let server = pg(18);
    server.execute("postgres", "CREATE TABLE customers (id int, email text, phone text, city text)").unwrap();
    let gate = classified(Setup::before(server.address())).start();
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    let mut expected = Vec::new();
    let mut query = |raw: &mut Raw, sql: &str, told: &str| {
        assert!(errors(&raw.query(sql)).is_empty(), "{sql}");
        expected.push(told.to_owned());
    };
    query(&mut raw, "SELECT city FROM customers /*purpose='p%201',user='ada'*/", "ada p 1");
    query(&mut raw, "SELECT city FROM customers WHERE city = '/*user=''eve''*/'", "- -");
    query(&mut raw, READ, "- -");
    raw.query("SET sealgate.end_user = 'pool'");
    query(&mut raw, "/*user='ada'*/ SELECT city FROM customers", "ada -");
    query(&mut raw, READ, "pool -");
    // A batch: SET, and what runs behind it before anything is answered; and of a prepared statement.
    for (name, sql) in [
        ("a", "SET sealgate.end_user = 'batch'"),
        ("b", READ),
        ("c", "SELECT city FROM customers /*user='c'*/"),
    ] {
        raw.parse(name, sql, &[]);
    }
    for name in ["b", "a", "b", "c"] {
        raw.bind(name, name, &[], &[], &[]);
        raw.execute(name, 0);
        raw.close(b'P', name);
    }
    assert!(errors(&raw.sync()).is_empty());
    expected.extend(["pool -", "batch -", "c -"].map(str::to_owned));
    // One that fails takes back what it has SET.
    raw.parse("d", "SET sealgate.end_user = 'failed'", &[]);
    raw.bind("", "d", &[], &[], &[]);
    raw.execute("", 0);
    raw.parse("", "SELECT 1/0", &[]);
    raw.bind("", "", &[], &[], &[]);
    raw.execute("", 0);
    assert_eq!(errors(&raw.sync()).len(), 1);
    assert!(errors(&raw.query(READ)).is_empty());
    expected.push("batch -".to_owned());
    // A refusal and an alert tell it, too.
    raw.query("SELECT city FROM customers WHERE lower(phone) = 'x' /*user='mallory'*/");
    let records = records_with(&gate, "refusal", 1);
    assert_eq!(told(&records, "intent"), expected);
    assert_eq!(told(&records, "refusal"), ["batch -"]);
    let hostile = format!("SET sealgate.end_user = '{}\u{202e}\u{85}'", "x".repeat(1_000));
    assert!(errors(&raw.query(&hostile)).is_empty());
    raw.query(READ);
    expected.push(String::new());
    crate::harness::await_that("the last intent", || {
        told(&shop::records(&gate), "intent").len() == expected.len()
    });
    let last = told(&records_of(&gate), "intent").pop().unwrap();
    assert_eq!(last, format!("{} -", "x".repeat(256)));
}

fn records_of(gate: &crate::harness::Gate) -> Vec<Value> {
    records(gate)
}
