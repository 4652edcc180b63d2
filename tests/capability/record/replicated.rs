//! What a walsender is sent stands in the record before its first byte.

use serde_json::Value;

use super::*;
use crate::harness::{Frame, VERSIONS, string};

fn walsender(address: SocketAddr, replication: &str) -> Raw {
    Raw::login_with(address, &[("user", "postgres"), ("database", "postgres"), ("replication", replication)])
}

/// Bytes of the stream that answers a command, up to ReadyForQuery; and the rest of the answer.
fn stream(raw: &mut Raw, command: &str) -> (usize, Vec<Frame>) {
    raw.send(b'Q', &string(command));
    let (data, rest): (Vec<Frame>, Vec<Frame>) =
        raw.until_ready().into_iter().partition(|frame| frame.tag == b'd');
    (data.iter().map(|frame| frame.body.len()).sum(), rest)
}

/// Bytes of a stream until one of its messages holds `piece`, and on to its end.
fn until(raw: &mut Raw, command: &str, piece: &[u8]) -> usize {
    raw.send(b'Q', &string(command));
    assert_eq!(raw.read().map(|frame| frame.tag), Some(b'W'), "{command}");
    let mut bytes = 0;
    loop {
        let frame = raw.read().unwrap();
        assert_eq!(frame.tag, b'd', "{command}: {:?}", frame.field(b'M'));
        bytes += frame.body.len();
        if holds(&frame.body, piece) {
            break;
        }
    }
    raw.send(b'c', &[]);
    bytes
        + raw
            .until_ready()
            .iter()
            .filter(|frame| frame.tag == b'd')
            .map(|frame| frame.body.len())
            .sum::<usize>()
}

fn pairs(records: &[Value]) -> Vec<(&Value, &Value)> {
    let of = |kind: &'static str| records.iter().filter(move |record| record["kind"] == kind);
    let outcome = |intent: &Value| {
        of("outcome")
            .find(|outcome| {
                outcome["session"] == intent["session"] && outcome["statement_id"] == intent["statement_id"]
            })
            .unwrap_or_else(|| panic!("no outcome of {intent}"))
    };
    of("intent").map(|intent| (intent, outcome(intent))).collect()
}

#[test]
fn streams_of_walsenders_and_base_backups_stand_in_the_record_with_slot_publications_and_bytes() {
    for major in VERSIONS {
        let server = shop::server(major);
        server
            .execute("postgres", "CREATE PUBLICATION news FOR TABLE customers; CREATE PUBLICATION \"Other\"")
            .unwrap();
        server
            .execute("postgres", "SELECT pg_create_logical_replication_slot('reader', 'pgoutput'), pg_create_physical_replication_slot('copy', true)")
            .unwrap();
        let (gate, _tap) = shop::open(&server);
        let write = |city: &str| {
            let insert = format!(
                "INSERT INTO customers (id, city) VALUES ((SELECT count(*) FROM customers), '{city}')"
            );
            server.execute("postgres", &insert).unwrap();
        };
        let mut physical = walsender(gate.address(), "true");
        let start =
            server.query("postgres", "SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = 'copy'");
        let start = start.unwrap()[0][0].clone().unwrap();
        write("physically-sent");
        let of_wal = until(
            &mut physical,
            &format!("START_REPLICATION SLOT copy PHYSICAL {start}"),
            b"physically-sent",
        );
        let (of_backup, rest) =
            stream(&mut physical, "BASE_BACKUP (LABEL 'ada@label.example', CHECKPOINT 'fast', WAL false)");
        assert_eq!(states(&rest), [""; 0]);
        let (nothing, rest) =
            stream(&mut physical, "START_REPLICATION SLOT \"ada@slot.example\" PHYSICAL 0/0");
        assert_eq!((nothing, states(&rest).len()), (0, 1));
        assert_eq!(tags(&physical.query("IDENTIFY_SYSTEM")), "TDCZI");
        drop(physical);
        let mut logical = walsender(gate.address(), "database");
        write("logically-sent");
        let of_rows = until(
            &mut logical,
            "START_REPLICATION SLOT reader LOGICAL 0/0 (proto_version '1', publication_names 'news, \"Other\"')",
            b"logically-sent",
        );
        // SQL in it is judged and recorded as anywhere.
        assert_eq!(firsts(&logical.query("SELECT city FROM customers WHERE id = 0")), ["physically-sent"]);
        assert_eq!(tags(&logical.query("COPY orders TO STDOUT")), "HcCZI");
        drop(logical);

        let records = records_with(&gate, "outcome", 5);
        let found = pairs(&records);
        let told: Vec<_> = found
            .iter()
            .map(|(intent, outcome)| {
                for record in [intent, outcome] {
                    assert_eq!(
                        (&record["user"], &record["client"]),
                        (&"postgres".into(), &"127.0.0.1".into())
                    );
                    assert_eq!((&record["slot"], &record["stream"]), (&intent["slot"], &intent["stream"]));
                    let fields = record["fields"].as_array().unwrap().len();
                    assert_eq!(fields, if intent["action"] == "replicate" { 3 } else { 1 });
                }
                assert_eq!(
                    (&intent["verdict"], &intent["publications"]),
                    (&"allow".into(), &outcome["publications"])
                );
                let text = |name: &str| intent[name].as_str().unwrap_or("-").to_owned();
                (
                    text("action"),
                    text("stream"),
                    text("slot"),
                    text("statement"),
                    outcome["bytes"].as_u64().unwrap(),
                )
            })
            .collect();
        let expected = [
            ("replicate", "physical", "copy", "START_REPLICATION", of_wal),
            ("replicate", "base_backup", "-", "BASE_BACKUP", of_backup),
            ("replicate", "physical", "-", "START_REPLICATION", 0),
            ("replicate", "logical", "reader", "START_REPLICATION", of_rows),
            ("read", "-", "-", "SELECT city FROM customers WHERE id = ?", "physically-sent".len()),
        ]
        .map(|(action, stream, slot, text, bytes)| {
            (action.to_owned(), stream.to_owned(), slot.to_owned(), text.to_owned(), bytes as u64)
        });
        assert_eq!(told, expected, "{major}");
        assert_eq!(found[3].0["publications"], serde_json::json!(["news", "Other"]));
        assert!(found[2].1["sqlstate"].is_string() && found[0].1["sqlstate"].is_null());
        let sessions =
            records.iter().filter(|record| record["kind"] == "session" && record["action"] == "begin");
        assert_eq!(sessions.count(), 2, "a walsender without a database is a session too");
        for secret in ["ada@label.example", "ada@slot.example"] {
            assert_eq!(search_folder(gate.folder(), secret.as_bytes()), []);
        }
    }
}

#[test]
fn no_stream_begins_before_its_record() {
    let server = shop::server(18);
    server
        .execute("postgres", "SELECT pg_create_logical_replication_slot('reader', 'test_decoding')")
        .unwrap();
    let tap = Tap::before(server.address());
    let gate = Withheld::before(tap.address());
    let mut backup = walsender(gate.address, "true");
    let mut logical = walsender(gate.address, "database");
    server.execute("postgres", "INSERT INTO customers (id, city) VALUES (1, 'withheld-city')").unwrap();
    gate.set(true);
    backup.send(b'Q', &string("BASE_BACKUP (CHECKPOINT 'fast')"));
    logical.send(b'Q', &string("START_REPLICATION SLOT reader LOGICAL 0/0"));
    await_that("both to stream", || {
        let sent = tap.to_client();
        holds(&sent, b"withheld-city") && holds(&sent, b"PG_VERSION")
    });
    let (early, none) =
        (backup.within(Duration::from_millis(150)), logical.within(Duration::from_millis(50)));
    assert!(!holds(&early, b"PG_VERSION") && none.is_empty(), "{} bytes, {} bytes", early.len(), none.len());
    gate.set(false);
    assert_eq!(logical.read().map(|frame| frame.tag), Some(b'W'));
    assert!(std::iter::from_fn(|| logical.read()).any(|frame| holds(&frame.body, b"withheld-city")));
    assert!(std::iter::from_fn(|| backup.read()).any(|frame| holds(&frame.body, b"PG_VERSION")));
}

#[test]
fn nothing_is_streamed_where_no_record_can_be_written() {
    let server = shop::server(15);
    let (gate, _tap) = shop::open(&server);
    let mut raw = walsender(gate.address(), "true");
    fs::rename(gate.folder().join("audit"), gate.folder().join("away")).unwrap();
    raw.send(b'Q', &string("BASE_BACKUP (CHECKPOINT 'fast')"));
    let frames = raw.until_ready();
    assert_eq!(states(&frames), ["SG006"]);
    assert!(!frames.iter().any(|frame| frame.tag == b'd'));
}

#[test]
fn who_asked_for_a_walsender_and_took_it_back_copies_as_anybody_does() {
    let server = shop::server(18);
    server.execute("postgres", "INSERT INTO orders VALUES (1, 'copied')").unwrap();
    let (gate, _tap) = shop::open(&server);
    let parameters =
        [("user", "postgres"), ("database", "postgres"), ("replication", "true"), ("replication", "off")];
    let mut raw = Raw::login_with(gate.address(), &parameters);
    let copied = raw.query("COPY orders TO STDOUT");
    assert_eq!(tags(&copied), "HdcCZI", "{:?}", errors(&copied));
    assert_eq!(states(&raw.query("SELECT lower(email) FROM customers")), ["SG001"]);
}
