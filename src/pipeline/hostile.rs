//! Peers that do not keep to the protocol, on both sides at once.
//!
//! Random numbers come from a fixed seed, so a failure repeats. Whatever the server answers
//! and however bytes are cut up, a value that the client binds to a sealed column must not
//! go upstream, and a sealed value must not come back open without its receipt.

use std::sync::Arc;

use super::{Bounds, Need, PlanCache, Session, Step, View, Workshop};
use crate::audit::{Entry, Journal, Record, Sink, SinkError};
use crate::catalog::{
    Column, Domain, DomainName, Field, FieldId, FieldState, Logical, Mode, QualifiedName, Relation,
    RelationKind, Snapshot, SnapshotParts,
};
use crate::login::{Claim, Principal, Progress, Relay};
use crate::seal::{KeyedDomain, Keyring, KeyringParts, Random, Root, RootKey, Sealer};
use crate::statement::Limits;
use crate::wire::frame::put;
use crate::wire::frontend::{put_describe_portal, put_execute, put_parse, put_query, put_value};
use crate::wire::{Peek, peek, startup::Start};

const SENTINEL: &[u8] = b"sentinel-7f3a9c";

/// A linear congruential generator (Knuth's MMIX constants).
pub(super) struct Dice(pub u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

struct Constant;

impl Random for Constant {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

pub(super) struct Nowhere;

impl Sink for Nowhere {
    fn append(&mut self, _seq: u64, _line: &[u8]) -> Result<(), SinkError> {
        Ok(())
    }
    fn sync(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
    fn undo(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

pub(super) fn domain() -> Domain {
    Domain { name: DomainName("email".into()), mode: Mode::Equality, logical: Logical::Text }
}

pub(super) fn sealer() -> Sealer {
    let parts = KeyringParts {
        created_unix_s: 0,
        roots: vec![Root { version: 1, created_unix_s: 0, key: RootKey::new([1; 32]) }],
        current: 1,
        domains: vec![KeyedDomain { domain: domain(), generation: Some(1), created_unix_s: 0 }],
    };
    Sealer::new(Arc::new(Keyring::from_parts(parts).ok().unwrap()), Box::new(Constant))
}

fn view() -> Arc<View> {
    let table = QualifiedName { schema: "public".into(), name: "customers".into() };
    let field = Field {
        id: FieldId(0),
        database: None,
        table: table.clone(),
        column: "email".into(),
        class: "contact".into(),
        logical: Logical::Text,
        domain: Some(domain()),
        state: FieldState::Sealed,
        subject: None,
    };
    let column = |name: &str, number, type_oid, field| Column { name: name.into(), number, type_oid, field };
    let relation = Relation {
        name: table,
        oid: 16_400,
        kind: RelationKind::Table,
        columns: vec![column("id", 1, 23, None), column("email", 2, 25, Some(FieldId(0)))],
        reaches: None,
        fault: None,
    };
    Arc::new(View::new(Arc::new(Snapshot::new(SnapshotParts {
        database: "shop".into(),
        epoch: 1,
        fields: vec![field],
        relations: vec![relation],
        ..SnapshotParts::default()
    }))))
}

fn principal() -> Principal {
    let start = Start { minor: 0, parameters: vec![(b"user", b"app"), (b"database", b"shop")] };
    let mut relay = Relay::new(Claim::new(&start, "::1".into(), "".into(), 1));
    let Ok(Peek::Whole(frame)) = peek(b"R\0\0\0\x08\0\0\0\0") else { panic!("a frame") };
    let Ok(Progress::Proven(principal)) = relay.from_server(frame, &mut Vec::new()) else { panic!("proven") };
    principal
}

pub(super) fn session() -> Session {
    let bounds = Bounds { frame_bytes_max: 1 << 16 };
    let mut session = Session::new(principal(), None, None, bounds, [9; 16]);
    session.renew(view());
    session.parameter(b"client_encoding", b"UTF8");
    session
}

pub(super) fn workshop() -> Workshop {
    Workshop::new(Some(sealer()), PlanCache::new(1 << 20), Limits::default())
}

fn bind(out: &mut Vec<u8>, portal: &[u8], statement: &[u8]) {
    put(out, b'B', |out| {
        for name in [portal, statement] {
            out.extend_from_slice(name);
            out.push(0);
        }
        out.extend_from_slice(&[0, 0, 0, 1]);
        put_value(out, Some(SENTINEL));
        out.extend_from_slice(&[0, 0]);
    });
}

/// One frame of a client that means the sentinel for the sealed column and nothing else.
fn client_frame(dice: &mut Dice, parsed: &mut [bool; 2], out: &mut Vec<u8>) {
    let judged: [&[u8]; 4] = [
        b"INSERT INTO customers (email) VALUES ($1)",
        b"SELECT id, email FROM customers WHERE email = $1",
        b"SELECT id FROM customers WHERE email LIKE $1",
        b"UPDATE customers SET email = $1 RETURNING email",
    ];
    let names: [&[u8]; 2] = [b"", b"s"];
    let which = dice.roll(2);
    let name = names[which];
    match dice.roll(12) {
        0 | 1 => {
            parsed[which] = true;
            put_parse(out, name, judged[dice.roll(4)], &[]);
        }
        // Before the first Parse a value means nothing.
        2..=4 if parsed[which] => bind(out, names[dice.roll(2)], name),
        5 | 6 => put_execute(out, name, 0),
        7 => put_describe_portal(out, name),
        8 => put_query(out, b"SELECT email FROM customers WHERE email = 'sentinel-7f3a9c'"),
        9 => put_query(out, b"INSERT INTO customers VALUES (1, 'sentinel-7f3a9c'); SELECT lower('sentinel-7f3a9c') FROM customers WHERE email = lower(email)"),
        _ => put(out, b'S', |_| {}),
    }
}

/// Any answer, asked for or not.
fn server_frame(dice: &mut Dice, sealed: &[u8], out: &mut Vec<u8>) {
    answer(dice.roll(14), dice, sealed, out);
}

fn answer(kind: usize, dice: &mut Dice, sealed: &[u8], out: &mut Vec<u8>) {
    match kind {
        0 => put(out, b'1', |_| {}),
        1 => put(out, b'2', |_| {}),
        2 => put(out, b'3', |_| {}),
        3 => put(out, b'T', |out| {
            out.extend_from_slice(b"\0\x01email\0");
            out.extend_from_slice(&[16_400_u32, 0][dice.roll(2)].to_be_bytes());
            out.extend_from_slice(b"\0\x02\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
        }),
        4 | 5 => put(out, b'D', |out| {
            out.extend_from_slice(&[0, 1]);
            put_value(out, Some(sealed));
        }),
        6 | 7 => put(out, b'C', |out| out.extend_from_slice(b"SELECT 1\0")),
        8 => put(out, b'E', |out| out.extend_from_slice(b"SERROR\0VERROR\0C42601\0Mno\0\0")),
        9 => put(out, b'G', |out| out.extend_from_slice(&[0, 0, 0])),
        10 => put(out, b'n', |_| {}),
        11 => put(out, b's', |_| {}),
        _ => put(out, b'Z', |out| out.push(b"IT"[dice.roll(2)])),
    }
}

/// Walks `input` in pieces of random size. None: the session ended. What is left waits.
pub(super) fn walk(
    dice: &mut Dice,
    input: &mut Vec<u8>,
    sent: &mut Vec<u8>,
    mut step: impl FnMut(&[u8], &mut Vec<u8>) -> Step,
) -> Option<()> {
    let mut visible = input.len();
    if visible > 0 {
        visible = 1 + dice.roll(visible);
    }
    loop {
        let step = step(&input[..visible], sent);
        match step {
            Step::Pass(count) => {
                assert!(count > 0 && count <= visible, "a run lies within its input");
                sent.extend(input.drain(..count));
                visible -= count;
            }
            Step::Took(count) => {
                // A held frame was seen whole before, whatever is shown of it now.
                assert!(count <= input.len(), "what is taken lies within its input");
                input.drain(..count);
                visible = visible.saturating_sub(count);
            }
            Step::Need(Need::Input) if visible < input.len() => visible = input.len(),
            Step::Need(_) => return Some(()),
            Step::End(_) => return None,
        }
    }
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// One session of random length. Says whether an open value came out.
fn play(seed: u64, with_receipts: bool) -> bool {
    let mut dice = Dice(seed);
    let (mut session, mut shop) = (session(), workshop());
    let (mut journal, mut sink) = (Journal::new("test".to_owned(), 1), Nowhere);
    let mut sealed = Vec::new();
    sealer().seal(&domain(), b"opened-5b1d", &mut sealed).unwrap();
    let (mut from_client, mut from_server) = (Vec::new(), Vec::new());
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    let mut parsed = [false; 2];
    // One in four begins as it should.
    let honest: &[usize] = if seed.is_multiple_of(4) { &[3, 4, 6, 12] } else { &[] };
    if !honest.is_empty() {
        put_query(&mut from_client, b"SELECT email FROM customers");
    }
    for turn in 0..40 {
        if let Some(kind) = honest.get(turn) {
            answer(*kind, &mut dice, &sealed, &mut from_server);
        } else if dice.roll(2) == 0 {
            client_frame(&mut dice, &mut parsed, &mut from_client);
        } else {
            server_frame(&mut dice, &sealed, &mut from_server);
        }
        let requested = walk(&mut dice, &mut from_client, &mut to_server, |input, out| {
            session.request(&mut shop, input, out)
        });
        let answered = walk(&mut dice, &mut from_server, &mut to_client, |input, out| {
            session.response(&mut shop, input, out, 0)
        });
        for record in session.take_records() {
            let entry = Entry { record, time_us: 0 };
            if with_receipts && matches!(entry.record, Record::Intent(_)) {
                for receipt in journal.commit(&mut sink, &[entry]).unwrap() {
                    session.acknowledge(Ok(receipt));
                }
            }
        }
        assert!(!holds(&to_server, SENTINEL), "seed {seed}: a value went upstream");
        if requested.is_none() || answered.is_none() {
            break;
        }
    }
    holds(&to_client, b"opened-5b1d")
}

#[test]
fn no_order_of_answers_makes_a_value_go_upstream_or_come_out_unrecorded() {
    let mut opened = 0;
    for seed in 0..3_000 {
        assert!(!play(seed, false), "seed {seed}: a value came out without its receipt");
        opened += usize::from(play(seed, true));
    }
    assert!(opened > 20, "some sessions must get as far as an open value: {opened}");
}

#[test]
fn bytes_of_no_meaning_end_or_wait_and_never_panic() {
    let mut dice = Dice(1);
    for _ in 0..3_000 {
        let (mut session, mut shop) = (session(), workshop());
        let (mut client, mut server) = (Vec::new(), Vec::new());
        for _ in 0..6 {
            client_frame(&mut dice, &mut [true; 2], &mut client);
            server_frame(&mut dice, b"SEAL", &mut server);
        }
        for bytes in [&mut client, &mut server] {
            for _ in 0..=dice.roll(4) {
                let at = dice.roll(bytes.len());
                bytes[at] = u8::try_from(dice.roll(256)).unwrap();
            }
        }
        let mut out = Vec::new();
        let _ = walk(&mut dice, &mut client, &mut out, |input, out| session.request(&mut shop, input, out));
        let _ =
            walk(&mut dice, &mut server, &mut out, |input, out| session.response(&mut shop, input, out, 0));
    }
}

/// What a session does with the same frames, made anew each time, until it has enough.
fn flood(frames: impl Fn(usize, &mut Vec<u8>), answers: impl Fn(&mut Vec<u8>)) -> Option<Step> {
    let (mut session, mut shop) = (session(), workshop());
    let mut out = Vec::new();
    for round in 0..200_000 {
        let mut input = Vec::new();
        frames(round, &mut input);
        while !input.is_empty() {
            out.clear();
            match session.request(&mut shop, &input, &mut out) {
                Step::Pass(count) | Step::Took(count) => drop(input.drain(..count)),
                step @ (Step::Need(_) | Step::End(_)) => return Some(step),
            }
        }
        let mut input = Vec::new();
        answers(&mut input);
        while !input.is_empty() {
            match session.response(&mut shop, &input, &mut out, 0) {
                Step::Pass(count) | Step::Took(count) => drop(input.drain(..count)),
                step @ (Step::Need(_) | Step::End(_)) => return Some(step),
            }
        }
        session.take_records();
        session.take_events();
    }
    None
}

#[test]
fn a_client_that_never_stops_is_stopped() {
    let none = |_: &mut Vec<u8>| {};
    let syncs = flood(|_, out| put(out, b'S', |_| {}), none);
    assert!(matches!(syncs, Some(Step::Need(Need::Settle))), "requests without an answer");
    let discarded = |round: usize, out: &mut Vec<u8>| {
        let text: &[u8] =
            if round == 0 { b"SELECT lower(email) FROM customers" } else { b"SELECT email FROM customers" };
        put_parse(out, format!("n{round}").as_bytes(), text, &[]);
    };
    assert!(matches!(flood(discarded, none), Some(Step::End(_))), "names of discarded statements");
    let portals = |round: usize, out: &mut Vec<u8>| {
        if round == 0 {
            put_parse(out, b"s", b"SELECT email FROM customers WHERE email = $1", &[]);
        } else {
            bind(out, format!("p{round}").as_bytes(), b"s");
        }
        put(out, b'S', |_| {});
    };
    let first = std::cell::Cell::new(true);
    let agreed = |out: &mut Vec<u8>| {
        put(out, if first.replace(false) { b'1' } else { b'2' }, |_| {});
        put(out, b'Z', |out| out.push(b'T'));
    };
    assert!(matches!(flood(portals, agreed), Some(Step::End(_))), "portals of one transaction");
    assert!(flood(|_, out| put(out, b'c', |_| {}), none).is_none(), "CopyDone out of place is ignored");
}

#[test]
fn what_was_refused_has_no_rows() {
    let (mut session, mut shop) = (session(), workshop());
    let (mut asked, mut sent) = (Vec::new(), Vec::new());
    put_query(&mut asked, b"SELECT lower(email) FROM customers");
    let step = session.request(&mut shop, &asked, &mut sent);
    assert!(matches!(step, Step::Took(count) if count == asked.len()));
    let (mut row, mut told) = (Vec::new(), Vec::new());
    answer(4, &mut Dice(1), b"legible", &mut row);
    assert!(matches!(session.response(&mut shop, &row, &mut told, 0), Step::End(_)));
    assert!(!holds(&told, b"legible"));
}

#[test]
fn answers_may_be_cut_anywhere() {
    let mut asked = Vec::new();
    for _ in 0..2 {
        bind(&mut asked, b"", b"s");
        put_describe_portal(&mut asked, b"");
        put_execute(&mut asked, b"", 0);
    }
    put(&mut asked, b'S', |_| {});
    let mut answer = Vec::new();
    for _ in 0..2 {
        put(&mut answer, b'2', |_| {});
        put(&mut answer, b'T', |out| {
            out.extend_from_slice(b"\0\x01id\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0")
        });
        put(&mut answer, b'D', |out| out.extend_from_slice(b"\0\x01\0\0\0\x011"));
        put(&mut answer, b'C', |out| out.extend_from_slice(b"SELECT 1\0"));
    }
    put(&mut answer, b'Z', |out| out.push(b'I'));
    for cut in 1..answer.len() {
        let bounds = Bounds { frame_bytes_max: 1 << 16 };
        let mut session = Session::new(principal(), None, None, bounds, [9; 16]);
        let (mut shop, mut out) = (workshop(), Vec::new());
        let Step::Pass(count) = session.request(&mut shop, &asked, &mut out) else { panic!("not passed") };
        assert_eq!(count, asked.len());
        let (mut arrived, mut told) = (Vec::new(), 0);
        for piece in [&answer[..cut], &answer[cut..]] {
            arrived.extend_from_slice(piece);
            loop {
                match session.response(&mut shop, &arrived[told..], &mut out, 0) {
                    Step::Pass(count) => told += count,
                    Step::Need(_) => break,
                    Step::Took(_) | Step::End(_) => panic!("cut at {cut}: {}", String::from_utf8_lossy(&out)),
                }
            }
        }
        assert_eq!((told, out.len(), session.is_settled()), (answer.len(), 0, true), "cut at {cut}");
    }
}
