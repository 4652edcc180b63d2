//! What `[audit] durability` and `lease` say: what is waited for, what shares an intent, and that the
//! record covers what was shown whatever becomes of the process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use sealgate::audit::Durability;
use serde_json::Value;

use super::*;

const READ: &str = "SELECT email FROM customers WHERE id = $1";

fn read(raw: &mut Raw) -> Vec<crate::harness::Frame> {
    raw.bind("", "r", &[], &[Some(b"1")], &[]);
    raw.execute("", 0);
    raw.sync()
}

fn reader(address: SocketAddr, application: &str) -> Raw {
    let parameters = [("user", "postgres"), ("database", "postgres"), ("application_name", application)];
    let mut raw = Raw::login_with(address, &parameters);
    raw.parse("r", READ, &[]);
    assert_eq!(tags(&raw.sync()), "1ZI");
    raw
}

#[test]
fn with_os_the_sync_is_not_waited_for_and_with_full_the_end_of_a_result_waits_for_its_outcome() {
    let server = shop::server(15);
    let os = Withheld::at(server.address(), Durability::Os { sync_every_ms: 60_000 });
    fill(os.address);
    let mut raw = reader(os.address, "os");
    os.set(true);
    assert_eq!(firsts(&read(&mut raw)), [EMAIL], "while nothing is synced");
    assert!(holds(&os.lines.lock().unwrap(), b"\"kind\":\"intent\""), "but written");
    os.set(false);

    let server = shop::server(15);
    let full = Withheld::at(server.address(), Durability::Full);
    fill(full.address);
    let mut raw = reader(full.address, "full");
    let mut blocker = Raw::login(server.address(), "postgres", "postgres");
    blocker.query("BEGIN; LOCK TABLE customers");
    raw.bind("", "r", &[], &[Some(b"1")], &[]);
    raw.execute("", 0);
    raw.send(b'S', &[]);
    await_that("the intent", || holds(&full.lines.lock().unwrap(), b"\"kind\":\"intent\""));
    // What is written from here on waits: the outcome.
    await_that("its sync", || full.is_synced());
    full.set(true);
    blocker.query("COMMIT");
    await_that("the outcome", || holds(&full.lines.lock().unwrap(), b"\"kind\":\"outcome\""));
    let early = raw.within(Duration::from_millis(100));
    assert!(!holds(&early, b"SELECT 1") && !early.ends_with(b"Z\0\0\0\x05I"), "no end before its outcome");
    full.set(false);
    let mut late = early;
    await_that("the end", || {
        late.extend(raw.within(Duration::from_millis(20)));
        holds(&late, b"SELECT 1") && late.ends_with(b"Z\0\0\0\x05I")
    });
    assert!(holds(&late, EMAIL.as_bytes()));
}

fn of<'r>(records: &'r [Value], application: &str, kind: &str) -> Vec<&'r Value> {
    records.iter().filter(|record| record["application"] == application && record["kind"] == kind).collect()
}

/// How many intents, which of them ask for leases, executions under one, and ends of leases: how many used
/// one, and values.
type Told = (usize, Vec<u64>, usize, BTreeMap<u64, (u64, u64)>);

fn told(records: &[Value], application: &str) -> Told {
    let intents = of(records, application, "intent");
    let number = |record: &&Value| record["statement_id"].as_u64().unwrap();
    let asking = intents.iter().filter(|intent| intent["lease"].is_object()).map(number).collect();
    let outcomes = of(records, application, "outcome");
    let is_end = |outcome: &&&Value| outcome["executions"].is_u64();
    let under = outcomes.iter().filter(|outcome| !is_end(outcome) && outcome["lease"].is_u64()).count();
    let ends = outcomes.iter().filter(is_end).map(|end| {
        let figure = |name: &str| end[name].as_u64().unwrap();
        (figure("lease"), (figure("executions"), figure("cells")))
    });
    (intents.len(), asking, under, ends.collect())
}

#[test]
fn executions_of_one_statement_share_an_intent_within_its_bounds_and_nothing_else_does() {
    let server = shop::server(15);
    let lease = "lease = { executions = 50, values = 3, window = \"1s\" }";
    let gate = classified(Setup::before(server.address())).audit(lease).start();
    fill(gate.address());
    let mut raw = reader(gate.address(), "shares");
    // It has an intent of its own, asks, shares thrice, asks, shares thrice, asks, shares twice.
    let began = Instant::now();
    for _ in 0..12 {
        assert_eq!(firsts(&read(&mut raw)), [EMAIL]);
    }
    let in_time = began.elapsed() < Duration::from_millis(900);
    drop(raw);
    let mut apart = Raw::login_with(
        gate.address(),
        &[("user", "postgres"), ("database", "postgres"), ("application_name", "apart")],
    );
    apart.parse("r", READ, &[]);
    let mut made = 0;
    for _ in 0..4 {
        apart.query("UPDATE customers SET phone = 'x' WHERE id = 1");
        apart.query("COPY (SELECT email FROM customers) TO STDOUT");
        apart.bind("", "r", &[], &[Some(b"1")], &[]);
        apart.execute("", 1);
        apart.sync();
        apart.query("EXPLAIN SELECT city FROM customers");
        made += 4;
    }
    // Literals make no other statement of it.
    for id in 1..=3 {
        apart.query(&format!("SELECT phone FROM customers WHERE id = {id}"));
    }
    drop(apart);
    let records = shop::records_with(&gate, "session", 6);
    let (intents, asking, under, ends) = told(&records, "shares");
    if in_time {
        assert_eq!((intents, asking.len(), under), (4, 3, 8));
        assert_eq!(ends.values().copied().collect::<Vec<_>>(), [(3, 3), (3, 3), (2, 2)]);
    }
    assert_eq!(ends.keys().copied().collect::<Vec<_>>(), asking, "each lease has ended");
    assert_eq!(intents + under, 12, "each execution is covered");
    assert_eq!(of(&records, "shares", "outcome").len(), 12 + ends.len(), "and told of");
    let (intents, asking, under, ends) = told(&records, "apart");
    assert!(intents + under == made + 3 && asking.len() <= 1, "{intents} {asking:?} {under}");
    assert!(ends.len() == asking.len() && under <= 1);
    let begins = of(&records, "shares", "session")[0];
    assert_eq!((&begins["durability"], &begins["lease"]["values"]), (&"intent".into(), &3.into()));
    assert!(begins["loss"].as_str().unwrap().contains("3 values"), "{begins}");
}

#[test]
fn a_reload_ends_every_lease() {
    let server = shop::server(15);
    let lease = "lease = { executions = 10000, values = 100000, window = \"1s\" }";
    let gate = classified(Setup::before(server.address())).audit(lease).start();
    fill(gate.address());
    let mut raw = reader(gate.address(), "reloaded");
    for round in 0..3 {
        for _ in 0..5 {
            assert_eq!(firsts(&read(&mut raw)), [EMAIL]);
        }
        gate.signal("HUP");
        await_that("the reload", || {
            let reloads = records(&gate).iter().filter(|record| record["action"] == "reload").count();
            reloads > round
        });
    }
    assert_eq!(firsts(&read(&mut raw)), [EMAIL]);
    drop(raw);
    let records = shop::records_with(&gate, "session", 4);
    let (_, asking, _, ends) = told(&records, "reloaded");
    assert!(asking.len() >= 4, "one for each configuration: {asking:?}");
    assert_eq!(ends.keys().copied().collect::<Vec<_>>(), asking);
}

/// What a reader of the record must take to have been shown to one session, in values.
fn covered(records: &[Value], application: &str) -> (u64, usize) {
    let outcomes = of(records, application, "outcome");
    let outcome = |number: &Value| {
        outcomes.iter().find(|outcome| outcome["statement_id"] == *number && outcome["executions"].is_null())
    };
    let (mut values, mut open) = (0, 0);
    for intent in of(records, application, "intent") {
        // Each of these statements can show one value.
        values += outcome(&intent["statement_id"]).map_or(1, |outcome| outcome["cells"].as_u64().unwrap());
        if let Some(terms) = intent["lease"].as_object() {
            let is_end = |outcome: &&&Value| {
                outcome["executions"].is_u64() && outcome["lease"] == intent["statement_id"]
            };
            let end = outcomes.iter().find(is_end);
            open += usize::from(end.is_none());
            values += end.map_or(terms["values"].as_u64().unwrap(), |end| end["cells"].as_u64().unwrap());
        }
    }
    (values, open)
}

#[test]
fn what_a_killed_gate_has_shown_is_covered_by_its_record() {
    let server = shop::server(15);
    let lease = "lease = { executions = 20, values = 25, window = \"200ms\" }";
    let mut gate = classified(Setup::before(server.address())).audit(lease).start();
    fill(gate.address());
    let mut lent = 0;
    for round in 0..3 {
        let address = gate.address();
        let shown: Arc<[AtomicU64; 3]> = Arc::default();
        let readers: Vec<_> = (0..3)
            .map(|at| {
                let shown = Arc::clone(&shown);
                std::thread::spawn(move || {
                    let mut raw = reader(address, &format!("killed {round} {at}"));
                    loop {
                        raw.bind("", "r", &[], &[Some(b"1")], &[]);
                        raw.try_send(b'E', b"\0\0\0\0\0");
                        raw.try_send(b'S', b"");
                        loop {
                            let Some(frame) = raw.read() else { return };
                            match frame.tag {
                                b'D' => drop(shown[at].fetch_add(1, Ordering::SeqCst)),
                                b'Z' => break,
                                _ => {}
                            }
                        }
                    }
                })
            })
            .collect();
        await_that("something to lose", || shown.iter().all(|shown| shown.load(Ordering::SeqCst) > 60));
        gate.kill();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        gate.run_again().unwrap();
        let records = records(&gate);
        for (at, shown) in shown.iter().enumerate() {
            let (values, open) = covered(&records, &format!("killed {round} {at}"));
            let shown = shown.load(Ordering::SeqCst);
            assert!(values >= shown, "{shown} values were shown, and {values} are on record");
            assert!(open <= 1, "one lease of a statement at a time");
            assert!(values <= shown + 2 * 25, "and little more: {values} of {shown}");
            lent += open;
        }
    }
    assert!(lent > 0, "some lease must have been open");
}
