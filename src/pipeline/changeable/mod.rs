//! A PostgreSQL, modelled, whose state changes at every point at which it can: functions run at
//! Bind and at Execute change string mode, search path and catalog; its configuration is read
//! anew between messages; other sessions define; prepared transactions are committed; names are
//! taken, those of cursors too; data of COPY comes whether or not it is asked for. Nobody is told before
//! ReadyForQuery.
//!
//! The model reads each text that reaches it in the state that it is in by then, with the same
//! judgement that the gate uses. A client that knows what its own code does, and does not wait
//! for answers, means one value for the sealed column and nothing else: it must not come here.
//! And a legible value goes to the client only if a record names it.

mod server;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::fuzz::{Choices, DECISIONS_MAX, Nowhere, OPENED, SENTINEL, holds, principal, walk};
use super::{Bounds, Need, PlanCache, Session, View, Workshop};
use crate::audit::{Entry, Journal, Record};
use crate::statement::Limits;
use crate::wire::frame::put;
use crate::wire::frontend::{self, put_execute, put_parse, put_query, put_value};
use crate::wire::{Peek, peek};
use server::{BEGIN, CODE, COMMIT_PREPARED, Change, LEGIBLE, Server, State, sealer, snapshot};

/// A text whose one literal, or parameter, the client means for the sealed column, as it knows
/// the state; or one that reads what is legible. `None`: there is none of this kind by now.
fn text(kind: usize, known: State) -> Option<Vec<u8>> {
    let unqualified = known.public;
    let text: &[u8] = match (kind, known.conforming, known.layout) {
        (0, _, _) if unqualified => b"INSERT INTO customers (email) VALUES ('sentinel-7f3a9c')",
        (1, _, _) => b"INSERT INTO public.customers (id, email) VALUES (1, 'sentinel-7f3a9c')",
        (2, _, 0) => b"INSERT INTO public.customers VALUES (1, 'sentinel-7f3a9c')",
        (2, _, 1) => b"INSERT INTO public.customers VALUES ('sentinel-7f3a9c', 'n', 'x')",
        (2, _, _) => b"INSERT INTO public.customers VALUES (1, 'n', 'x', 'sentinel-7f3a9c')",
        (3, true, _) => b"INSERT INTO public.customers (note, email) VALUES ('a\\', 'sentinel-7f3a9c')",
        // In the other mode it is a part of a comment.
        (3, false, _) => {
            b"INSERT INTO public.customers (note, email) VALUES ('\\', /*', 'sentinel-7f3a9c') --*/ 'x')"
        }
        (4, true, _) => b"SELECT '\\', email FROM public.customers WHERE email = 'sentinel-7f3a9c' --'",
        (5, _, _) => b"SELECT nick FROM public.customers",
        (6, _, _) => b"SELECT '\\'', nick || '' FROM public.customers --'",
        (7, _, _) => b"SELECT *, upper(nick) FROM public.customers",
        (8, _, _) => b"SELECT email FROM customers",
        (9, _, _) => b"SELECT nick, gone FROM public.customers WHERE email = 'sentinel-7f3a9c'",
        (10, _, _) => b"COPY public.customers (id, nick, email) TO STDOUT",
        (11, _, _) => b"COPY public.customers TO STDOUT",
        (12, _, _) => b"COPY (SELECT nick, email FROM public.customers) TO STDOUT",
        (13 | 14, _, _) => b"DECLARE c CURSOR FOR SELECT nick, email FROM public.customers",
        (15, _, _) => b"FETCH c",
        (16, _, _) => b"FETCH BACKWARD ALL FROM c",
        (17, _, _) => b"MOVE c",
        (18, _, _) => b"CLOSE c",
        _ => return None,
    };
    Some(text.to_vec())
}

/// How many kinds there are.
const KINDS: usize = 19;

/// A COPY from the client, and a row of it whose value the client means for the sealed column.
fn copy(listed: bool, known: State) -> (&'static [u8], &'static [u8]) {
    match (listed, known.layout) {
        (true, _) => (b"COPY public.customers (note, email) FROM STDIN", b"x\tsentinel-7f3a9c\n"),
        (false, 0) => (b"COPY public.customers FROM STDIN", b"1\tsentinel-7f3a9c\tn\tx\n"),
        (false, 1) => (b"COPY public.customers FROM STDIN", b"sentinel-7f3a9c\tn\tx\t1\n"),
        (false, _) => (b"COPY public.customers FROM STDIN", b"1\tn\tx\tsentinel-7f3a9c\n"),
    }
}

const PARAMETERS: [&[u8]; 3] = [
    b"INSERT INTO public.customers (id, email) VALUES (1, $1)",
    b"SELECT nick FROM public.customers WHERE email = $1",
    b"UPDATE public.customers SET email = $1",
];

/// A client that knows the state of the server as it is, but for a configuration that was read
/// anew and of which nobody has told it.
#[derive(Default)]
struct Client {
    /// Names whose last Parse was of a text with a parameter for the sealed column.
    means: HashSet<Vec<u8>>,
}

impl Client {
    fn speak(&mut self, known: State, choices: &mut Choices<'_>, out: &mut Vec<u8>) {
        const NAMES: [&[u8]; 2] = [b"", b"s"];
        let name = NAMES[choices.roll(2)];
        match choices.roll(15) {
            0..=3 => {
                let query = choices.roll(2) == 0;
                let Some(text) = text(choices.roll(KINDS), known) else { return };
                if query {
                    put_query(out, &text);
                } else {
                    put_parse(out, b"", &text, &[]);
                    bind(b"", None, out);
                    put_execute(out, b"", 0);
                }
                self.means.remove(&b""[..]);
            }
            4 => {
                put_parse(out, name, PARAMETERS[choices.roll(PARAMETERS.len())], &[]);
                self.means.insert(name.to_vec());
            }
            // Something else under the name, which may then be taken.
            5 => {
                put_parse(out, name, b"SELECT a()", &[]);
                self.means.remove(name);
            }
            6 | 7 if self.means.contains(name) => {
                bind(name, Some(SENTINEL), out);
                put_execute(out, b"", 0);
            }
            8 | 9 => {
                // Code of its own, by either protocol.
                let (text, at_bind, _) = CODE[choices.roll(CODE.len())];
                if choices.roll(2) == 0 {
                    put_query(out, text);
                } else {
                    put_parse(out, b"", text, &[]);
                    bind(b"", None, out);
                    if choices.roll(2) == 0 || !at_bind {
                        put_execute(out, b"", 0);
                    }
                }
                self.means.remove(&b""[..]);
            }
            10 => {
                let query = [BEGIN, COMMIT_PREPARED, b"COMMIT"][choices.roll(3)];
                put_query(out, query);
                self.means.remove(&b""[..]);
            }
            11 => put(out, b'H', |_| {}),
            12 | 13 => {
                let (text, row) = copy(choices.roll(2) == 0, known);
                if choices.roll(2) == 0 {
                    put_query(out, text);
                } else {
                    put_parse(out, b"", text, &[]);
                    bind(b"", None, out);
                    put_execute(out, b"", 0);
                }
                let data = row.repeat(choices.roll(3) + 1);
                for piece in data.chunks(choices.roll(data.len()) + 1) {
                    put(out, b'd', |out| out.extend_from_slice(piece));
                }
                match choices.roll(4) {
                    0 => frontend::put_copy_fail(out, b"no"),
                    _ => put(out, b'c', |_| {}),
                }
                self.means.remove(&b""[..]);
            }
            _ => frontend::put_sync(out),
        }
    }
}

fn bind(statement: &[u8], value: Option<&[u8]>, out: &mut Vec<u8>) {
    put(out, b'B', |out| {
        out.extend_from_slice(&[b"\0", statement, b"\0\0\0\0"].concat());
        out.push(u8::from(value.is_some()));
        value.iter().for_each(|value| put_value(out, Some(value)));
        out.extend_from_slice(&[0, 0]);
    });
}

/// What one session has come to.
#[derive(Default)]
struct Played {
    /// Values that came out, and those that the outcomes tell.
    legible: usize,
    cells: u64,
    /// Texts that ran, and messages that were refused.
    sealed: usize,
    refused: usize,
    ended: bool,
}

/// The gate's side of a session, and what is on its way.
struct Street {
    session: Session,
    shop: Workshop,
    journal: Journal,
    views: HashMap<u64, Arc<View>>,
    to_server: Vec<u8>,
    from_server: Vec<u8>,
    to_client: Vec<u8>,
    /// The mode in which the client meant what it said last, and how often the server had been
    /// ready by then.
    spoken: (bool, usize),
    played: Played,
}

impl Street {
    fn new() -> Street {
        let mut session = Session::new(principal(), None, None, Bounds { frame_bytes_max: 1 << 16 }, [9; 16]);
        let view = Arc::new(View::new(Arc::new(snapshot(0, 1))));
        session.renew(Arc::clone(&view));
        session.parameter(b"client_encoding", b"UTF8");
        session.parameter(b"server_encoding", b"UTF8");
        Street {
            session,
            shop: Workshop::new(Some(sealer()), PlanCache::new(1 << 20), Limits::default()),
            journal: Journal::new("test".to_owned(), 1),
            views: HashMap::from([(1, view)]),
            to_server: Vec::new(),
            from_server: Vec::new(),
            to_client: Vec::new(),
            spoken: (true, 0),
            played: Played::default(),
        }
    }

    fn view(&mut self, server: &Server) -> Arc<View> {
        let make = || Arc::new(View::new(Arc::new(snapshot(server.committed(), server.epoch))));
        Arc::clone(self.views.entry(server.epoch).or_insert_with(make))
    }

    /// What the gate asks of the world outside of its session.
    fn meet(&mut self, need: Need, server: &Server) {
        match need {
            Need::Catalog if self.session.is_settled() => {
                let view = self.view(server);
                self.session.renew(view);
            }
            Need::Confirmation if server.uncommitted.is_some() => self.session.confirm(false),
            Need::Confirmation if self.session.epoch() == Some(server.epoch) => self.session.confirm(true),
            Need::Confirmation if self.session.is_settled() => {
                let view = self.view(server);
                self.session.renew(view);
            }
            Need::Confirmation => self.session.confirm(false),
            Need::Fence => self.session.announce(),
            Need::Judgement => {
                if let Some(errand) = self.session.take_errand() {
                    self.session.take_finding(errand.run());
                }
            }
            Need::Passage | Need::Catalog | Need::Input | Need::Settle | Need::Durable => {}
        }
    }

    fn note(&mut self, record: Record) {
        match record {
            Record::Outcome(outcome) => self.played.cells += outcome.cells,
            Record::Refusal(_) => self.played.refused += 1,
            Record::Intent(_) => {
                let entry = Entry { record, time_us: 0 };
                for receipt in self.journal.commit(&mut Nowhere, &[entry]).unwrap() {
                    self.session.acknowledge(Ok(receipt));
                }
            }
            Record::Session(_) | Record::Login(_) | Record::Alert(_) | Record::Admin(_) => {}
        }
    }

    /// Moves everything as far as it goes; `Err`: the session has ended.
    fn pump(
        &mut self,
        choices: &mut Choices<'_>,
        from_client: &mut Vec<u8>,
        server: &mut Server,
        answers: &mut Vec<u8>,
    ) -> Result<(), ()> {
        for _ in 0..24 {
            let before = (from_client.len(), answers.len(), self.from_server.len(), server.state);
            let (session, shop) = (&mut self.session, &mut self.shop);
            let need = walk(choices, from_client, &mut self.to_server, |input, out| {
                session.request(shop, input, out)
            })?;
            let sent = String::from_utf8_lossy(&self.to_server);
            // Of what ReadyForQuery has told since, the client could not know; directly, too, the
            // server would have read what it did not mean.
            let (believed, readies) = self.spoken;
            let reading = self.session.reading.standard_conforming_strings;
            let mistaken = reading != believed && server.readies > readies;
            assert!(
                mistaken || !holds(&self.to_server, SENTINEL),
                "{sent:?} went upstream, in {:?}",
                server.state
            );
            self.played.sealed += usize::from(holds(&self.to_server, b"SEAL"));
            while let Ok(Peek::Whole(frame)) = peek(&self.to_server) {
                server.take(frame, answers);
                let length = frame.len();
                self.to_server.drain(..length);
            }
            // Some answers come at once, as behind a Flush, and some when they must.
            if need == Need::Settle || choices.roll(3) > 0 {
                self.from_server.append(answers);
            }
            let (session, shop) = (&mut self.session, &mut self.shop);
            let answered = walk(choices, &mut self.from_server, &mut self.to_client, |input, out| {
                session.response(shop, input, out, 0)
            })?;
            for record in self.session.take_records() {
                self.note(record);
            }
            self.session.take_events();
            let _ = self.session.take_untouched();
            self.meet(need, server);
            let same = before == (from_client.len(), answers.len(), self.from_server.len(), server.state);
            if same && matches!(need, Need::Input | Need::Settle) && answered != Need::Durable {
                break;
            }
        }
        Ok(())
    }
}

/// Plays a session for as long as there is `more`.
fn play(choices: &mut Choices<'_>, mut more: impl FnMut(&Choices<'_>) -> bool) -> Played {
    let (mut street, mut server, mut client) = (Street::new(), Server::new(), Client::default());
    let (mut from_client, mut answers) = (Vec::new(), Vec::new());
    // What the client has been told, or did itself, of the string mode.
    let mut believed = true;
    while more(choices) && !street.played.ended {
        match choices.roll(9) {
            // The configuration is read anew.
            0 => server.state.conforming = !server.state.conforming,
            // Another session defines, and commits.
            1 if from_client.is_empty() && !server.transaction && server.uncommitted.is_none() => {
                server.state = server.state.after(Change::Layout);
                server.epoch += 1;
            }
            _ if from_client.is_empty() => {
                let known = State { conforming: believed, ..server.state };
                street.spoken = (believed, server.readies);
                client.speak(known, choices, &mut from_client);
            }
            _ => {}
        }
        let (mode, readies) = (server.state.conforming, server.readies);
        street.played.ended = street.pump(choices, &mut from_client, &mut server, &mut answers).is_err();
        if server.state.conforming != mode || server.readies != readies {
            believed = server.state.conforming;
        }
    }
    street.session.close(None);
    for record in street.session.take_records() {
        street.note(record);
    }
    let count = |value: &[u8]| street.to_client.windows(value.len()).filter(|part| *part == value).count();
    let (legible, opened) = (count(LEGIBLE), count(OPENED));
    street.played.legible = legible;
    let cells = street.played.cells;
    assert!(
        (legible + opened) as u64 <= cells,
        "{legible} and {opened} values came out, {cells} are on record"
    );
    street.played
}

/// Plays one session as `data` tells.
///
/// # Panics
/// Where a promise does not hold: that is what a fuzzer looks for.
pub fn fuzz_changes(data: &[u8]) {
    let mut choices = Choices::told(data.get(..DECISIONS_MAX).unwrap_or(data));
    play(&mut choices, |choices| choices.are_told());
}

#[test]
fn whatever_changes_at_the_server_no_value_goes_there_and_none_comes_unrecorded() {
    let (mut legible, mut sealed, mut refused) = (0, 0, 0);
    for seed in 0..1_500 {
        let mut turns = 0..40;
        let played = play(&mut Choices::seeded(seed), |_| turns.next().is_some());
        legible += played.legible;
        sealed += played.sealed;
        refused += played.refused;
    }
    assert!(legible > 500 && sealed > 500 && refused > 100, "all must occur: {legible} {sealed} {refused}");
}
