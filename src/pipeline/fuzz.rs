//! The fuzz entry of this folder: two peers that keep to no protocol, on both sides of one
//! session at once.
//!
//! The fuzzer's bytes are decisions: who says what next, in pieces of which size, which bits
//! are flipped, whose records become durable. Whatever they are, a value that the client
//! means for a sealed column does not go upstream (P1), and a sealed value does not come
//! back open without its receipt (P2).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Bounds, Need, PlanCache, Session, Step, View, Workshop};
use crate::audit::{Entry, Execution, Journal, LeaseTerms, Record, Sink, SinkError, Tenure};
use crate::catalog::{Domain, DomainName, Kind, Mode};
use crate::login::{Claim, Principal, Progress, Relay};
use crate::seal::{Sealer, fuzz_sealer};
use crate::statement::{Limits, fuzz_snapshot};
use crate::wire::frame::put;
use crate::wire::frontend::{put_describe_portal, put_execute, put_parse, put_query, put_value};
use crate::wire::{Peek, peek, startup::Start};

/// What a client means for the sealed column, and what a sealed value opens to.
pub(super) const SENTINEL: &[u8] = b"sentinel-7f3a9c";
pub(super) const OPENED: &[u8] = b"opened-5b1d";
/// Most decisions of one session: enough for two hundred frames.
pub(super) const DECISIONS_MAX: usize = 1_024;

/// What comes next: as the bytes tell while there are some, then by a linear congruential
/// generator (Knuth's MMIX constants).
pub(super) struct Choices<'a> {
    told: &'a [u8],
    state: u64,
}

impl<'a> Choices<'a> {
    pub(super) fn told(told: &'a [u8]) -> Choices<'a> {
        Choices { told, state: 0 }
    }

    #[cfg(test)]
    pub(super) fn seeded(seed: u64) -> Choices<'static> {
        Choices { told: &[], state: seed }
    }

    /// Are there bytes left?
    pub(super) fn are_told(&self) -> bool {
        !self.told.is_empty()
    }

    /// One of `sides`, of which there must be some.
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        let wide = if sides > 256 { 2 } else { 1 };
        if let Some((head, rest)) = self.told.split_at_checked(wide) {
            self.told = rest;
            return head.iter().fold(0, |value, byte| value << 8 | usize::from(*byte)) % sides;
        }
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.state >> 33).unwrap() % sides
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.roll(256)).unwrap()
    }
}

pub(super) struct Nowhere;

impl Sink for Nowhere {
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

fn domain() -> Domain {
    Domain { name: DomainName("email".into()), mode: Mode::Equality, kind: Kind::TEXT }
}

fn sealer() -> Sealer {
    fuzz_sealer(&[domain()]).unwrap()
}

/// What opens to [`OPENED`].
pub(super) fn sealed() -> Vec<u8> {
    let mut sealed = Vec::new();
    sealer().seal(&domain(), OPENED, &mut sealed).unwrap();
    sealed
}

fn view(epoch: u64) -> Arc<View> {
    Arc::new(View::new(Arc::new(fuzz_snapshot(epoch))))
}

pub(super) fn principal() -> Principal {
    let start = Start { minor: 0, parameters: vec![(b"user", b"app"), (b"database", b"shop")] };
    let mut relay = Relay::new(Claim::new(&start, "::1".into(), "".into(), 1));
    let Ok(Peek::Whole(frame)) = peek(b"R\0\0\0\x08\0\0\0\0") else { panic!("a frame") };
    let Ok(Progress::Proven(principal)) = relay.from_server(frame, &mut Vec::new()) else { panic!("proven") };
    principal
}

/// A session in whose database nothing is classified.
pub(super) fn session_untouched(frame_bytes_max: usize) -> Session {
    Session::new(principal(), None, None, Bounds { frame_bytes_max }, [9; 16])
}

pub(super) fn session(frame_bytes_max: usize) -> Session {
    let mut session = session_untouched(frame_bytes_max);
    session.renew(view(1));
    session.parameter(b"client_encoding", b"UTF8");
    session.parameter(b"server_encoding", b"UTF8");
    session
}

pub(super) fn workshop() -> Workshop {
    Workshop::new(Some(sealer()), PlanCache::new(1 << 20), Limits::default())
}

/// Walks `input` in pieces of random size. `Err`: the session ended. Otherwise what is still
/// needed; what is left of the input waits.
pub(super) fn walk(
    choices: &mut Choices<'_>,
    input: &mut Vec<u8>,
    sent: &mut Vec<u8>,
    mut step: impl FnMut(&[u8], &mut Vec<u8>) -> Step,
) -> Result<Need, ()> {
    let mut visible = input.len();
    if visible > 0 {
        visible = 1 + choices.roll(visible);
    }
    loop {
        match step(&input[..visible], sent) {
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
            Step::Need(need) => return Ok(need),
            Step::End(_) => return Err(()),
        }
    }
}

pub(super) fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

pub(super) fn bind(out: &mut Vec<u8>, portal: &[u8], statement: &[u8], format: u8) {
    put(out, b'B', |out| {
        for name in [portal, statement] {
            out.extend_from_slice(name);
            out.push(0);
        }
        out.extend_from_slice(&[0, 1, 0, format, 0, 1]);
        put_value(out, Some(SENTINEL));
        out.extend_from_slice(&[0, 1, 0, format]);
    });
}

/// Statements whose every literal and parameter is meant for the sealed column.
const PARSED: [&[u8]; 6] = [
    b"INSERT INTO customers (email) VALUES ($1)",
    b"SELECT id, email FROM customers WHERE email = $1",
    b"SELECT id FROM customers WHERE email LIKE $1",
    b"UPDATE customers SET email = $1 RETURNING email",
    b"DELETE FROM customers WHERE email = ANY(ARRAY[$1]) RETURNING *",
    b"COPY (SELECT email FROM customers WHERE email = $1) TO STDOUT",
];
/// What makes the name `s` for SQL, and a statement that needs it.
const PREPARE: &[u8] = b"PREPARE s(text) AS INSERT INTO customers (email) VALUES ($1)";
const EXECUTE: &[u8] = b"EXECUTE s('sentinel-7f3a9c')";
const QUERIES: [&[u8]; 12] = [
    b"SELECT email FROM customers WHERE email = 'sentinel-7f3a9c'",
    b"INSERT INTO customers VALUES (1, 'sentinel-7f3a9c'); SELECT lower('sentinel-7f3a9c') FROM customers WHERE email = lower(email)",
    b"INSERT INTO customers (email) VALUES (E'sentinel-7f3a9c'), ($$sentinel-7f3a9c$$) RETURNING email",
    b"PREPARE q AS SELECT email FROM customers WHERE email = 'sentinel-7f3a9c'",
    PREPARE,
    EXECUTE,
    b"DECLARE c CURSOR FOR SELECT email FROM customers WHERE email = U&'sentinel-7f3a9c'",
    b"FETCH ALL FROM c",
    b"ALTER TABLE customers ADD note text",
    b"COPY customers (email) FROM STDIN",
    b"COPY orders FROM STDIN",
    b"SELECT email FROM customers",
];

/// One frame of a client that means the sentinel for the sealed column and nothing else.
/// `parsed`: names that have meant a classified statement and nothing else since; before, a
/// value under them means nothing.
fn client_frame(choices: &mut Choices<'_>, parsed: &mut [bool; 2], out: &mut Vec<u8>) {
    const NAMES: [&[u8]; 2] = [b"", b"s"];
    let which = choices.roll(2);
    let (name, portal) = (NAMES[which], NAMES[choices.roll(2)]);
    match choices.roll(16) {
        0 | 1 => {
            parsed[which] = true;
            put_parse(out, name, PARSED[choices.roll(PARSED.len())], &[]);
        }
        2..=4 if parsed[which] => bind(out, portal, name, u8::from(choices.roll(4) == 0)),
        5 | 6 => put_execute(out, portal, i32::from(choices.roll(4) == 0)),
        7 => put_describe_portal(out, portal),
        8 => put(out, b'D', |out| out.extend_from_slice(&[b"S", name, b"\0"].concat())),
        9 | 10 => {
            let query = QUERIES[choices.roll(QUERIES.len())];
            if query == EXECUTE && !parsed[1] {
                return;
            }
            // It destroys the unnamed statement.
            parsed[0] = false;
            parsed[1] |= query == PREPARE;
            put_query(out, query);
        }
        11 => put(out, b'H', |_| {}),
        12 => match choices.roll(4) {
            0 => put(out, b'c', |_| {}),
            1 => put(out, b'f', |out| out.push(0)),
            _ => put(out, b'd', |out| out.extend_from_slice(b"1\n")),
        },
        13 => {
            let portals = choices.roll(2) == 0;
            parsed[which] &= portals;
            put(out, b'C', |out| {
                out.extend_from_slice(&[if portals { b"P" } else { b"S" }, name, b"\0"].concat())
            });
        }
        _ => put(out, b'S', |_| {}),
    }
}

/// Any answer, asked for or not: of a kind below 16.
pub(super) fn answer(kind: usize, choices: &mut Choices<'_>, cell: &[u8], out: &mut Vec<u8>) {
    match kind {
        0 => put(out, b'1', |_| {}),
        1 => put(out, b'2', |_| {}),
        2 => put(out, b'3', |_| {}),
        3 => put(out, b'T', |out| {
            out.extend_from_slice(b"\0\x01email\0");
            out.extend_from_slice(&[16_400_u32, 0][choices.roll(2)].to_be_bytes());
            out.extend_from_slice(b"\0\x02\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
        }),
        4 | 5 => put(out, b'D', |out| {
            out.extend_from_slice(&[0, 1]);
            put_value(out, Some(cell));
        }),
        6 | 7 => put(out, b'C', |out| out.extend_from_slice(b"SELECT 1\0")),
        8 => put(out, b'E', |out| out.extend_from_slice(b"SERROR\0VERROR\0C42601\0Mno\0\0")),
        9 => put(out, b"GHW"[choices.roll(3)], |out| out.extend_from_slice(&[0, 0, 0])),
        10 => put(out, b'n', |_| {}),
        11 => put(out, b's', |_| {}),
        12 => put(out, b"tdcIAN"[choices.roll(6)], |out| out.extend_from_slice(b"\0\x01\0\0\0\x19\0\0\0")),
        13 => put(out, b'S', |out| {
            let reports: [&[u8]; 4] = [
                b"client_encoding\0SJIS\0",
                b"client_encoding\0WIN1252\0",
                b"standard_conforming_strings\0off\0",
                b"client_encoding\0UTF8\0",
            ];
            out.extend_from_slice(reports[choices.roll(4)]);
        }),
        _ => put(out, b'Z', |out| out.push(b"IT"[choices.roll(2)])),
    }
}

/// Spoils some of `bytes`: flipped bits, bytes too many and too few.
fn spoil(choices: &mut Choices<'_>, bytes: &mut Vec<u8>) {
    for _ in 0..=choices.roll(4) {
        let at = choices.roll(bytes.len() + 1);
        match (bytes.get_mut(at), choices.roll(4)) {
            (Some(byte), 0 | 1) => *byte ^= 1 << choices.roll(8),
            (Some(_), 2) => drop(bytes.remove(at)),
            _ => bytes.insert(at, choices.byte()),
        }
    }
}

/// Who the peers of one session are.
#[derive(Clone, Copy)]
pub(super) struct Peers {
    /// Records become durable.
    pub durable: bool,
    /// The client keeps to the protocol, so that its values must be sealed.
    pub sound_client: bool,
    /// So does the server, though not to its order.
    pub sound_server: bool,
}

/// What one intent may cover here.
const LEASE: LeaseTerms = LeaseTerms { executions: 3, values: 4, window_ms: 40 };

/// What the records say of one session.
#[derive(Default)]
struct Accounts {
    /// Executions whose intents are durable.
    receipts: HashSet<u64>,
    /// Leases of durable intents: executions and values that are left.
    leases: HashMap<u64, (u64, u64)>,
    /// Those that stand in the record as ended.
    ended: HashSet<u64>,
    /// Values that came out, as the outcomes tell.
    cells: usize,
}

impl Accounts {
    fn note(&mut self, record: &Record) {
        let Record::Outcome(outcome) = record else { return };
        let number = outcome.execution.number;
        if let Some(executions) = outcome.executions {
            let (_, values) = self.leases.get(&number).copied().unwrap_or_default();
            assert!(executions <= LEASE.executions && outcome.cells <= LEASE.values, "more than was lent");
            assert!(outcome.cells + values >= LEASE.values || executions == 0, "used values count");
            assert!(self.ended.insert(number), "a lease ends once");
            return;
        }
        let recorded = self.receipts.contains(&number);
        if let (false, Some(lease)) = (recorded, outcome.lease) {
            assert!(!self.ended.contains(&lease), "nothing comes under a lease that has ended");
            // The lease of a durable intent, and no more of it than there was.
            let left = self.leases.get_mut(&lease).unwrap();
            let within = left.0.checked_sub(1).zip(left.1.checked_sub(outcome.cells));
            *left = within.unwrap();
        } else {
            assert!(recorded || outcome.cells == 0, "a value came out before its own receipt");
        }
        self.cells += usize::try_from(outcome.cells).unwrap();
    }
}

/// What one session has come to.
#[derive(Default)]
pub(super) struct Played {
    pub ended: bool,
    pub requested: Vec<u8>,
    pub answered: Vec<u8>,
}

/// Plays a session, a frame a turn, for as long as there is `more`. `honest`: kinds of answers
/// that come first and in this order, to a query that the client begins with; none: no such query.
pub(super) fn play(
    choices: &mut Choices<'_>,
    peers: Peers,
    honest: &[usize],
    mut more: impl FnMut(&Choices<'_>) -> bool,
) -> Played {
    // Small enough sometimes that what must be read does not fit.
    let mut session = session([1 << 16, 64][usize::from(choices.roll(8) == 7)]);
    let mut shop = workshop();
    let (mut journal, mut sink) = (Journal::new("test".to_owned(), 1), Nowhere);
    let (sealed, mut epoch) = (sealed(), 1);
    let (mut from_client, mut from_server) = (Vec::new(), Vec::new());
    let (mut played, mut parsed, mut accounts) = (Played::default(), [false; 2], Accounts::default());
    if !honest.is_empty() {
        put_query(&mut from_client, b"SELECT email FROM customers");
    }
    let mut honest = honest.iter();
    let tenure = Tenure::default();
    session.lease(LEASE, tenure.clone());
    let mut now_ms = 0;
    while more(choices) && !played.ended {
        if let Some(kind) = honest.next() {
            answer(*kind, choices, &sealed, &mut from_server);
        } else if choices.roll(2) == 0 {
            let mut frame = Vec::new();
            client_frame(choices, &mut parsed, &mut frame);
            if !peers.sound_client && choices.roll(4) == 0 {
                spoil(choices, &mut frame);
            }
            from_client.append(&mut frame);
        } else {
            let mut frame = Vec::new();
            answer(choices.roll(16), choices, &sealed, &mut frame);
            if !peers.sound_server && choices.roll(4) == 0 {
                spoil(choices, &mut frame);
            }
            from_server.append(&mut frame);
        }
        now_ms += 1;
        if now_ms % 23 == 0 {
            tenure.end_all();
        }
        session.clock(now_ms);
        session.expire_leases();
        let requested = walk(choices, &mut from_client, &mut played.requested, |input, out| {
            session.request(&mut shop, input, out)
        });
        let answered = walk(choices, &mut from_server, &mut played.answered, |input, out| {
            session.response(&mut shop, input, out, now_ms)
        });
        for record in session.take_records() {
            accounts.note(&record);
            let Record::Intent(intent) = &record else { continue };
            let (Execution { number, .. }, lease) = (intent.execution, intent.lease);
            // Some fates are bad, and some never become known.
            match (peers.durable, choices.roll(4)) {
                (true, 0) | (false, 0 | 1) => {}
                (true, 1) | (false, _) => session.acknowledge(Err(number)),
                (true, _) => {
                    accounts.receipts.insert(number);
                    accounts.leases.extend(lease.map(|terms| (number, (terms.executions, terms.values))));
                    for receipt in journal.commit(&mut sink, &[Entry { record, time_us: 0 }]).unwrap() {
                        session.acknowledge(Ok(receipt));
                    }
                }
            }
        }
        session.take_events();
        if let Some(errand) = session.take_errand() {
            session.take_finding(errand.run());
        }
        if requested == Ok(Need::Catalog) {
            epoch += 1;
            let renew = [Session::renew, Session::renew_policy][choices.roll(2)];
            renew(&mut session, view(epoch));
        }
        played.ended = requested.is_err() || answered.is_err();
        assert!(!peers.sound_client || !holds(&played.requested, SENTINEL), "a value went upstream");
        let none = accounts.receipts.is_empty();
        assert!(!none || !holds(&played.answered, OPENED), "a value came out without any receipt");
    }
    // What was under way has its outcome, too: every value that came out is in one.
    session.close(None);
    session.take_records().iter().for_each(|record| accounts.note(record));
    let opened = played.answered.windows(OPENED.len()).filter(|window| *window == OPENED).count();
    assert!(opened <= accounts.cells, "{opened} values came out, {} were accounted for", accounts.cells);
    played
}

/// Plays one session as `data` tells.
///
/// # Panics
/// Where a promise does not hold: that is what a fuzzer looks for.
pub fn fuzz_session(data: &[u8]) {
    let Some((&first, told)) = data.split_first() else { return };
    let peers = Peers { durable: first & 1 != 0, sound_client: first & 2 != 0, sound_server: first & 4 != 0 };
    let honest: &[usize] = if first & 8 != 0 { &[3, 4, 6, 14] } else { &[] };
    let mut choices = Choices::told(told.get(..DECISIONS_MAX).unwrap_or(told));
    play(&mut choices, peers, honest, |choices| choices.are_told());
}
