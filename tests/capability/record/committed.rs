//! A write that was rolled back does not look committed, and what nobody can know is not told.

use std::collections::{BTreeMap, BTreeSet};

use sealgate::store::postgres::Throwaway;

use serde_json::Value;

use super::*;
use crate::harness::{VERSIONS, string};

/// A write that can be told from others by its shape.
fn insert(id: u32) -> String {
    format!("INSERT INTO customers AS c{id} (id, city) VALUES ({id}, 'x')")
}

/// What the record says of each of these writes: that it holds, that it does not, or nothing.
fn told(gate: &Gate, outcomes: usize) -> BTreeMap<u32, Option<bool>> {
    let mut records = Vec::new();
    // What the server said of the errors is told apart.
    let of_text = |record: &&Value| record["kind"] == "outcome" && record["attribution"].is_null();
    crate::harness::await_that("the outcomes", || {
        records = crate::shop::records(gate);
        records.iter().filter(of_text).count() >= outcomes
    });
    let mut found = BTreeMap::new();
    for intent in records.iter().filter(|record| record["kind"] == "intent") {
        let words = intent["statement"].as_str().unwrap().split(' ');
        let Some(id) = words.filter_map(|word| word.strip_prefix('c')?.parse().ok()).next() else { continue };
        let of_it = records.iter().filter(|record| {
            record["kind"] == "outcome"
                && (&record["session"], &record["statement_id"])
                    == (&intent["session"], &intent["statement_id"])
        });
        let [outcome] = of_it.collect::<Vec<_>>()[..] else { panic!("one outcome of {intent}") };
        assert!(outcome["committed"].is_boolean() || outcome["committed"].is_null());
        found.insert(id, outcome["committed"].as_bool());
    }
    found
}

fn there(server: &Throwaway) -> BTreeSet<u32> {
    let rows = server.query("postgres", "SELECT id FROM customers").unwrap();
    rows.iter().map(|row| row[0].as_deref().unwrap().parse().unwrap()).collect()
}

/// A procedure that commits what was done before it.
const ENDS: &str = "CREATE PROCEDURE ends() LANGUAGE plpgsql AS 'BEGIN COMMIT; END'";

/// Simple texts in one session, and what must be told of each write in them.
const SCRIPTS: [(&[&str], &str); 12] = [
    (&["1"], "1+"),
    (&["1; 2; SELECT 1/0"], "1- 2-"),
    (&["1; COMMIT; 2; SELECT 1/0"], "1+ 2-"),
    (&["BEGIN", "1", "2", "COMMIT"], "1+ 2+"),
    (&["BEGIN", "1", "ROLLBACK"], "1-"),
    (&["BEGIN", "1", "SELECT 1/0", "2", "COMMIT"], "1- 2-"),
    (&["BEGIN", "1", "SAVEPOINT a", "2", "ROLLBACK TO a", "3", "COMMIT"], "1+ 2- 3+"),
    (&["BEGIN", "1", "SAVEPOINT a", "2", "RELEASE a", "3", "COMMIT"], "1+ 2+ 3+"),
    (&["BEGIN", "1", "SAVEPOINT a", "ROLLBACK AND CHAIN", "2", "COMMIT"], "1? 2+"),
    (&["BEGIN", "1", "COMMIT AND CHAIN", "2", "ROLLBACK"], "1+ 2-"),
    // A constraint that is looked at when the transaction ends.
    (&["BEGIN", "1", "INSERT INTO late VALUES (1), (1)", "COMMIT"], "1-"),
    (&["BEGIN", "1"], "1-"),
];

#[test]
fn a_write_is_told_as_committed_where_its_transaction_was() {
    for major in VERSIONS {
        let server = shop::server(major);
        let late = "CREATE TABLE late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)";
        server.execute("postgres", late).unwrap();
        server.execute("postgres", ENDS).unwrap();
        let (gate, _tap) = shop::open(&server);
        let (mut next, mut expected) = (0, BTreeMap::new());
        for (texts, told) in SCRIPTS {
            let mut raw = Raw::login(gate.address(), "postgres", "postgres");
            for text in texts {
                let own = |part: &str| part.parse::<u32>().map_or(part.to_owned(), |id| insert(next + id));
                raw.query(&text.split("; ").map(own).collect::<Vec<_>>().join("; "));
            }
            for word in told.split(' ') {
                let (id, holds) = word.split_at(word.len() - 1);
                let holds = (holds != "?").then_some(holds == "+");
                expected.insert(next + id.parse::<u32>().unwrap(), holds);
            }
            next += 10;
        }
        let found = told(&gate, expected.len());
        assert_eq!(found, expected, "{major}");
        let there = there(&server);
        for (id, holds) in found {
            assert!(holds.is_none_or(|holds| holds == there.contains(&id)), "{id} on {major}");
        }
        // What a CALL commits in the midst of a batch stays, and what comes behind it does not.
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        batch(&mut raw, &[insert(500), "CALL ends()".to_owned(), insert(501), "SELECT 1/0".to_owned()]);
        let found = told(&gate, expected.len() + 2);
        for id in [500, 501] {
            assert!(
                found[&id].is_none_or(|holds| holds == self::there(&server).contains(&id)),
                "{id} on {major}"
            );
        }
        // A definition is no less part of its transaction, and a read of none.
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        for text in ["BEGIN", "DROP TABLE customers", "ROLLBACK", "SELECT city FROM customers"] {
            assert_eq!(states(&raw.query(text)), [""; 0], "{text}");
        }
        told(&gate, expected.len() + 4);
        let records = records(&gate);
        let of_text = |record: &&Value| record["kind"] == "outcome" && record["attribution"].is_null();
        let last: Vec<_> = records.iter().filter(of_text).rev().take(2).collect();
        assert_eq!((&last[1]["action"], &last[1]["committed"]), (&"define".into(), &false.into()));
        assert_eq!((&last[0]["action"], &last[0]["committed"]), (&"read".into(), &Value::Null));
    }
}

/// A batch of the extended protocol, of which any may fail.
fn batch(raw: &mut Raw, texts: &[String]) {
    for text in texts {
        raw.parse("", text, &[]);
        raw.bind("", "", &[], &[], &[]);
        raw.execute("", 0);
    }
    raw.sync();
}

/// Whatever is done, what is told of a write is what the server has.
#[test]
fn no_order_of_transactions_savepoints_and_errors_makes_the_record_lie() {
    const WALKS: u32 = 40;
    const STEPS: u32 = 40;
    for major in VERSIONS {
        let server = shop::server(major);
        server.execute("postgres", ENDS).unwrap();
        let (gate, _tap) = shop::open(&server);
        let mut seed = u64::from(major);
        let mut roll = |sides: u32| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u32::try_from(seed >> 33).unwrap() % sides
        };
        let mut sent = 0;
        for walk in 0..WALKS {
            let mut raw = Raw::login(gate.address(), "postgres", "postgres");
            for _ in 0..STEPS {
                let mut texts = Vec::new();
                for _ in 0..[1, 1, 1, 2, 3][roll(5) as usize] {
                    let name = ["a", "b", "c"][roll(3) as usize];
                    texts.push(match roll(20) {
                        0..=7 => {
                            sent += 1;
                            insert(sent)
                        }
                        8 | 9 => "BEGIN".to_owned(),
                        10 => "COMMIT".to_owned(),
                        11 => "ROLLBACK".to_owned(),
                        12 | 13 => format!("SAVEPOINT {name}"),
                        14 | 15 => format!("ROLLBACK TO {name}"),
                        16 => format!("RELEASE {name}"),
                        17 => "SELECT 1/0".to_owned(),
                        // In some sessions alone: one who does so once is told less for good.
                        18 if walk % 8 == 0 => "ROLLBACK AND CHAIN".to_owned(),
                        19 if walk % 4 == 0 => "CALL ends()".to_owned(),
                        _ => "SELECT 1".to_owned(),
                    });
                }
                if roll(2) == 0 {
                    batch(&mut raw, &texts);
                } else {
                    raw.send(b'Q', &string(&texts.join("; ")));
                    raw.until_ready();
                }
            }
        }
        // Every session has ended.
        records_with(&gate, "session", 2 * WALKS as usize);
        let of_text = |record: &&Value| record["kind"] == "intent" && record["attribution"].is_null();
        let intents = records(&gate).iter().filter(of_text).count();
        let (told, there) = (told(&gate, intents), there(&server));
        let (mut holds, mut undone, mut open) = (0, 0, 0);
        for (id, committed) in told {
            match committed {
                Some(true) => holds += 1,
                Some(false) => undone += 1,
                None => open += 1,
            }
            assert!(
                committed.is_none_or(|holds| holds == there.contains(&id)),
                "{id} on {major}: {committed:?}"
            );
        }
        assert!(holds > 20 && undone > 100 && open > 5, "{holds} hold, {undone} do not, {open} are open");
        assert!(open * 4 < holds + undone, "{open} of {}", holds + undone);
    }
}
