//! What a line holds, and when a receipt exists.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::line::{FIELDS_MAX, LINE_BYTES_MAX, NAME_CHARS_MAX, STATEMENT_CHARS_MAX, rfc3339};
use super::*;
use crate::seal::KeyringIdentity;
use crate::statement::Action;

fn who() -> Arc<Who> {
    Arc::new(Who {
        session: 7,
        user: "support".into(),
        database: "shop".into(),
        application: "psql".into(),
        client: "10.0.0.9".into(),
        region: "local".into(),
        certificate: None,
        end_user: None,
        end_user_auth: "stated",
        purpose: None,
        auth: "relay",
    })
}

fn email() -> FieldUse {
    FieldUse { field: "public.customers.email".into(), class: "contact".into(), mode: "equality" }
}

fn intent(number: u64) -> Record {
    Record::Intent(Intent {
        who: who(),
        execution: Execution { session: 7, number },
        action: Action::Read,
        attribution: Attribution::Known,
        fields: [email()].into(),
        fingerprint: "0123456789abcdef".into(),
        statement: "SELECT email FROM customers WHERE id = ?".into(),
        rule: "default",
        replication: None,
        lease: None,
    })
}

fn outcome(number: u64) -> Record {
    Record::Outcome(Outcome {
        who: who(),
        execution: Execution { session: 7, number },
        action: Action::Read,
        attribution: Attribution::Known,
        fields: [email()].into(),
        fingerprint: "0123456789abcdef".into(),
        rows: 2,
        cells: 3,
        bytes: u64::MAX,
        sqlstate: Some(*b"57014"),
        committed: Some(false),
        replication: None,
        lease: None,
        executions: None,
        partial: false,
        subjects: None,
    })
}

fn entry(record: Record) -> Entry {
    Entry { record, time_us: 1_795_300_368_000_001 }
}

/// Keeps what is synced; fails at the calls it is told to.
#[derive(Default)]
struct Memory {
    durable: Vec<u8>,
    pending: Vec<u8>,
    calls: u32,
    fail_append_at: Option<u32>,
    fail_sync: bool,
    fail_undo: bool,
}

impl Sink for Memory {
    fn append(&mut self, _seq: u64, line: &[u8]) -> Result<(), SinkError> {
        self.calls += 1;
        if self.fail_append_at == Some(self.calls) {
            self.pending.extend_from_slice(&line[..line.len() / 2]);
            return Err(SinkError("append".into()));
        }
        self.pending.extend_from_slice(line);
        Ok(())
    }

    fn hand(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<(), SinkError> {
        if self.fail_sync {
            return Err(SinkError("sync".into()));
        }
        self.durable.append(&mut self.pending);
        Ok(())
    }

    fn undo(&mut self) -> Result<(), SinkError> {
        if self.fail_undo {
            return Err(SinkError("undo".into()));
        }
        self.pending.clear();
        Ok(())
    }
}

impl Memory {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.durable).unwrap()
    }

    /// In full.
    fn lines(&self) -> Vec<serde_json::Value> {
        let mut expansion = Expansion::default();
        let full = |line: &str| serde_json::from_slice(&expansion.line(line.as_bytes())).unwrap();
        self.text().lines().map(full).collect()
    }
}

fn line_of(record: Record) -> serde_json::Value {
    let mut memory = Memory::default();
    Journal::new("gate-1".into(), 42).commit(&mut memory, &[entry(record)]).unwrap();
    memory.lines().remove(0)
}

#[test]
fn writes_the_members_that_reports_rely_on() {
    let who = ["session", "user", "application", "client", "region", "auth", "database"];
    let head = ["seq", "time", "node", "kind", "prev", "hash"];
    let refusal = RefusalRecord {
        who: self::who(),
        statement_id: 5,
        sqlstate: "SG001",
        rule: "unparsed".into(),
        fields: [email()].into(),
        statement: Some("SELECT ?".into()),
        fingerprint: Some("ff".into()),
    };
    let keyring = Some(KeyringIdentity::new([0xab; 16]));
    let session = SessionRecord {
        who: self::who(),
        event: "begin",
        keyring,
        durability: Durability::Intent,
        lease: None,
    };
    let alert = Alert {
        who: self::who(),
        detector: "limit",
        severity: "critical",
        verdict: "cut",
        rule: "1000 cells in 60 s".into(),
        statement_id: Some(5),
        fields: [email()].into(),
        incident: "0123456789abcdef".into(),
        unusual: None,
        by_end_user: false,
    };
    let login = LoginRecord { who: self::who(), sqlstate: *b"28P01", rule: "server", untold: 2 };
    for (record, kind, members) in [
        (
            intent(3),
            "intent",
            &["statement_id", "action", "fields", "fingerprint", "statement", "verdict", "rule"][..],
        ),
        (
            outcome(3),
            "outcome",
            &[
                "statement_id",
                "action",
                "fields",
                "fingerprint",
                "rows",
                "cells",
                "bytes",
                "committed",
                "sqlstate",
            ],
        ),
        (
            Record::Refusal(refusal),
            "refusal",
            &["statement_id", "fields", "statement", "fingerprint", "verdict", "rule", "sqlstate"],
        ),
        (Record::Session(session), "session", &["action", "keyring", "durability", "loss"]),
        (Record::Alert(alert), "alert", &["statement_id", "fields", "verdict", "incident", "rule"]),
        (Record::Login(login), "login", &["verdict", "rule", "sqlstate", "untold"]),
    ] {
        let line = line_of(record);
        let expected: BTreeSet<_> = head.iter().chain(&who).chain(members).copied().collect();
        let found: BTreeSet<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(found, expected, "{kind}");
        assert_eq!(line["kind"], kind);
        assert_eq!((&line["seq"], &line["node"]), (&42.into(), &"gate-1".into()));
        assert_eq!(line["time"], "2026-11-21T22:32:48.000001Z");
        assert_eq!((&line["session"], &line["user"]), (&7.into(), &"support".into()));
    }
}

#[test]
fn writes_values_as_they_are() {
    let line = line_of(intent(3));
    assert_eq!((&line["statement_id"], &line["action"]), (&3.into(), &"read".into()));
    let field =
        serde_json::json!([{"field": "public.customers.email", "class": "contact", "mode": "equality"}]);
    assert_eq!(line["fields"], field);
    assert_eq!((&line["verdict"], &line["rule"]), (&"allow".into(), &"default".into()));
    let line = line_of(outcome(3));
    assert_eq!(line["bytes"], u64::MAX);
    assert_eq!((&line["rows"], &line["cells"], &line["sqlstate"]), (&2.into(), &3.into(), &"57014".into()));
}

#[test]
fn no_text_breaks_out_of_its_string_or_its_line() {
    let hostile = "a\"},{\\\n\r\t\0\u{1b}[2J\u{7f}\u{85}\u{2028}\u{202e}\u{feff}\u{e9}\u{1f600}";
    let session = SessionRecord {
        who: Arc::new(Who { application: hostile.into(), ..(*who()).clone() }),
        event: "end",
        keyring: None,
        durability: Durability::Intent,
        lease: None,
    };
    let mut memory = Memory::default();
    let batch = [entry(Record::Session(session))];
    Journal::new(hostile.into(), 1).commit(&mut memory, &batch).unwrap();
    let text = std::str::from_utf8(&memory.durable).unwrap();
    assert_eq!(text.matches('\n').count(), 1);
    let bare = |c: char| c.is_control() || ['\u{2028}', '\u{202e}', '\u{feff}'].contains(&c);
    assert!(!text.trim_end_matches('\n').contains(bare), "{text:?}");
    assert_eq!(memory.lines()[0]["application"], hostile);
    assert_eq!(memory.lines()[0]["node"], hostile);
}

#[test]
fn cuts_every_string_and_list_to_its_maximum() {
    let long: Arc<str> = "\u{202e}".repeat(100_000).into();
    let field = FieldUse { field: long.clone(), class: long.clone(), mode: "none" };
    let Record::Intent(mut intent) = intent(1) else { unreachable!() };
    let person =
        Who { user: long.clone(), application: long.clone(), database: long.clone(), ..(*who()).clone() };
    intent.who = Arc::new(person);
    intent.fields = vec![field; FIELDS_MAX + 1].into();
    intent.statement = long.clone();
    intent.fingerprint = long;
    let mut memory = Memory::default();
    Journal::new("n".into(), 1).commit(&mut memory, &[entry(Record::Intent(intent))]).unwrap();
    assert!(memory.durable.len() <= LINE_BYTES_MAX, "{}", memory.durable.len());
    let line = memory.lines().remove(0);
    let chars = |value: &serde_json::Value| value.as_str().unwrap().chars().count();
    assert_eq!(chars(&line["user"]), NAME_CHARS_MAX);
    assert_eq!(chars(&line["statement"]), STATEMENT_CHARS_MAX);
    assert_eq!(line["fields"].as_array().unwrap().len(), FIELDS_MAX);
}

#[test]
fn writes_times_as_rfc_3339_does() {
    for (time_us, expected) in [
        (0, "1970-01-01T00:00:00.000000Z"),
        (951_827_696_789_012, "2000-02-29T12:34:56.789012Z"),
        (1_795_305_599_999_999, "2026-11-21T23:59:59.999999Z"),
    ] {
        assert_eq!(rfc3339(time_us), expected);
    }
}

#[test]
fn mints_one_receipt_for_each_intent_and_for_nothing_else() {
    let mut memory = Memory::default();
    let mut journal = Journal::new("n".into(), 1);
    let batch = [entry(intent(1)), entry(outcome(1)), entry(intent(2))];
    let receipts = journal.commit(&mut memory, &batch).unwrap();
    let bound: Vec<_> = receipts.iter().map(Receipt::execution).collect();
    assert_eq!(bound, [Execution { session: 7, number: 1 }, Execution { session: 7, number: 2 }]);
    let seqs: Vec<_> = memory.lines().iter().map(|line| line["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [1, 2, 3]);
    assert_eq!(journal.next_seq(), 4);
}

#[test]
fn a_sink_that_fails_mints_nothing_uses_no_number_and_keeps_no_piece() {
    let good = [entry(intent(1))];
    let bad = [entry(intent(2)), entry(intent(3))];
    for fail in ["first append", "second append", "sync", "sync and undo"] {
        let mut memory = Memory::default();
        let mut journal = Journal::new("n".into(), 1);
        journal.commit(&mut memory, &good).unwrap();
        match fail {
            "first append" => memory.fail_append_at = Some(2),
            "second append" => memory.fail_append_at = Some(3),
            "sync" => memory.fail_sync = true,
            _ => (memory.fail_sync, memory.fail_undo) = (true, true),
        }
        assert!(journal.commit(&mut memory, &bad).is_err(), "{fail}");
        assert_eq!(journal.next_seq(), 2, "{fail}");
        memory.fail_append_at = None;
        memory.fail_sync = false;
        if memory.fail_undo {
            assert!(journal.commit(&mut memory, &bad).is_err(), "what is left must go first");
            memory.fail_undo = false;
        }
        let receipts = journal.commit(&mut memory, &[entry(intent(4))]).unwrap();
        assert_eq!(receipts[0].execution().number, 4, "{fail}");
        let written: Vec<_> = memory
            .lines()
            .iter()
            .map(|line| (line["seq"].as_u64().unwrap(), line["statement_id"].as_u64().unwrap()))
            .collect();
        assert_eq!(written, [(1, 1), (2, 4)], "{fail}");
    }
}

/// A segment for each two records.
struct Turning;

impl Sink for Turning {
    fn begins_segment(&mut self, seq: u64) -> Result<bool, SinkError> {
        Ok(seq % 2 == 1)
    }

    fn append(&mut self, _seq: u64, _line: &[u8]) -> Result<(), SinkError> {
        Ok(())
    }

    fn hand(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn undo(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

#[test]
fn the_end_of_a_segment_is_told_once_it_is_durable_though_somebody_asked_before() {
    let mut journal = Journal::new("n".into(), 1).at(Durability::Os { sync_every_ms: 10 });
    for number in 1..=3 {
        journal.commit(&mut Turning, &[entry(outcome(number))]).unwrap();
        assert_eq!(journal.take_turn(), None, "nothing is durable yet");
    }
    journal.sync(&mut Turning).unwrap();
    assert_eq!(journal.take_turn().map(|turn| turn.seq), Some(2));
    assert_eq!(journal.take_turn(), None, "once");
}

/// Of what the page shows of numbers.
fn example() -> (Journal, Vec<Entry>) {
    let who = Arc::new(Who { session: 1_795_300_368_000_001, auth: "scram", ..(*who()).clone() });
    let (fields, statement): (Arc<[FieldUse]>, Arc<str>) =
        ([email()].into(), "SELECT email FROM customers WHERE id = $1".into());
    let mut entries = Vec::new();
    for number in [1, 2] {
        let execution = Execution { session: who.session, number };
        let (Record::Intent(intent), Record::Outcome(outcome)) = (intent(number), outcome(number)) else {
            unreachable!()
        };
        let (who, fields, statement) = (Arc::clone(&who), Arc::clone(&fields), Arc::clone(&statement));
        entries.push(Record::Intent(Intent {
            who: Arc::clone(&who),
            execution,
            fields: Arc::clone(&fields),
            statement,
            rule: "every-user",
            ..intent
        }));
        let came = Outcome { rows: 1, cells: 1, bytes: 24, sqlstate: None, committed: None, ..outcome };
        entries.push(Record::Outcome(Outcome { who, execution, fields, ..came }));
    }
    (Journal::new("gate-1".into(), 1), entries.into_iter().map(entry).collect())
}

#[test]
fn what_was_told_is_named_by_its_number_as_the_page_shows() {
    let (mut journal, entries) = example();
    let mut memory = Memory::default();
    journal.commit(&mut memory, &entries).unwrap();
    let page = include_str!("../../docs/RECORD.md");
    for line in memory.text().lines() {
        assert!(page.contains(&format!("    {line}\n")), "not in docs/RECORD.md: {line}");
    }
    let shown: usize = memory.text().lines().skip(2).map(|line| line.len() + 1).sum();
    assert!(shown < 300, "{shown}");
    // In full it is what a line that names nothing is.
    let mut lines = memory.lines();
    for (line, entry) in lines.iter_mut().zip(entries) {
        let mut alone = Memory::default();
        Journal::new("gate-1".into(), line["seq"].as_u64().unwrap()).commit(&mut alone, &[entry]).unwrap();
        let mut full = alone.lines().remove(0);
        for line in [&mut full, line] {
            line.as_object_mut().unwrap().retain(|member, _| member != "hash" && member != "prev");
        }
        assert_eq!(*line, full);
    }
}

#[test]
fn statements_that_say_the_same_have_one_number_wherever_they_lie_in_memory() {
    let mut memory = Memory::default();
    let batch: Vec<Entry> = (0..50).flat_map(|number| [intent(number), outcome(number)]).map(entry).collect();
    Journal::new("n".into(), 1).commit(&mut memory, &batch).unwrap();
    for told in ["\"session\":", "\"statement\":"] {
        assert_eq!(memory.text().matches(told).count(), 1, "{told}");
    }
    assert!(memory.lines().iter().all(|line| line["user"] == "support" && line["action"] == "read"));
}

#[test]
fn what_was_taken_back_is_told_again_and_a_segment_tells_all_of_its_own() {
    let mut memory = Memory::default();
    let mut journal = Journal::new("n".into(), 1);
    memory.fail_sync = true;
    assert!(journal.commit(&mut memory, &[entry(intent(1)), entry(outcome(1))]).is_err());
    memory.fail_sync = false;
    journal.commit(&mut memory, &[entry(intent(2)), entry(outcome(2))]).unwrap();
    memory.fail_sync = true;
    assert!(journal.commit(&mut memory, &[entry(intent(3))]).is_err());
    memory.fail_sync = false;
    journal.commit(&mut memory, &[entry(intent(4))]).unwrap();
    // No number is told twice, and none is left out.
    let numbers = memory.text().lines().map(|line| line.split("\"who\":").nth(1).unwrap().as_bytes()[0]);
    assert_eq!(numbers.collect::<Vec<_>>(), b"112");
    assert!(memory.lines().iter().all(|line| line["user"] == "support"), "{}", memory.text());
    assert_eq!(memory.lines()[2]["statement_id"], 4);

    let mut turning = Parts::default();
    let mut journal = Journal::new("n".into(), 1);
    for number in 0..3 {
        journal.commit(&mut turning, &[entry(intent(number)), entry(outcome(number))]).unwrap();
    }
    assert_eq!(turning.0.len(), 3);
    for part in turning.0 {
        let mut memory = Memory { durable: part, ..Memory::default() };
        assert!(memory.lines().iter().all(|line| line["user"] == "support"), "{}", memory.text());
        memory.durable.clear();
    }
}

#[test]
fn a_long_list_of_fields_is_told_once_for_whatever_names_it() {
    let fields: Arc<[FieldUse]> = vec![email(); 100].into();
    let mut batch = Vec::new();
    for number in 0..5 {
        let (Record::Intent(mut intent), Record::Outcome(mut outcome)) = (intent(number), outcome(number))
        else {
            unreachable!()
        };
        intent.statement = format!("SELECT {number}").into();
        intent.fields = fields.iter().cloned().collect();
        outcome.fields = Arc::clone(&fields);
        batch.extend([entry(Record::Intent(intent)), entry(Record::Outcome(outcome))]);
    }
    let mut memory = Memory::default();
    Journal::new("n".into(), 1).commit(&mut memory, &batch).unwrap();
    assert_eq!(memory.text().matches("customers.email").count(), 100, "{}", memory.text());
    assert!(memory.lines().iter().all(|line| line["fields"].as_array().unwrap().len() == 100));
}

/// A segment for each batch of two.
#[derive(Default)]
struct Parts(Vec<Vec<u8>>);

impl Sink for Parts {
    fn begins_segment(&mut self, seq: u64) -> Result<bool, SinkError> {
        if seq % 2 == 1 {
            self.0.push(Vec::new());
        }
        Ok(seq % 2 == 1)
    }

    fn append(&mut self, _seq: u64, line: &[u8]) -> Result<(), SinkError> {
        self.0.last_mut().unwrap().extend_from_slice(line);
        Ok(())
    }

    fn hand(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn undo(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

#[test]
fn in_full_each_line_tells_all_by_itself() {
    let (journal, entries) = example();
    let count = entries.len();
    let mut memory = Memory::default();
    journal.in_full().commit(&mut memory, &entries).unwrap();
    let lines = memory.lines();
    assert_eq!(lines.len(), count);
    for line in lines {
        let has = |member: &str| line.get(member).is_some();
        assert!(
            ["user", "node", "database", "action", "fields", "fingerprint"].into_iter().all(has),
            "{line}"
        );
        assert!(!["who", "plan", "list"].into_iter().any(has), "{line}");
    }
}
