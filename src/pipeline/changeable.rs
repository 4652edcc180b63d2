//! A PostgreSQL, modelled, whose state changes at every point at which it can: functions run at
//! Bind and at Execute change string mode, search path and catalog; its configuration is read
//! anew between messages; other sessions define; prepared transactions are committed; names are
//! taken. Nobody is told before ReadyForQuery.
//!
//! The model reads each text that reaches it in the state that it is in by then, with the same
//! judgement that the gate uses. A client that knows what its own code does, and does not wait
//! for answers, means one value for the sealed column and nothing else: it must not come here.
//! And a legible value goes to the client only if a record names it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::fuzz::{Choices, DECISIONS_MAX, Nowhere, OPENED, SENTINEL, holds, principal, walk};
use super::{Bounds, Need, PlanCache, Session, View, Workshop};
use crate::audit::{Entry, Journal, Record};
use crate::catalog::{
    Column, Domain, DomainName, Field, FieldId, FieldState, Logical, Mode, QualifiedName, Relation,
    RelationKind, SearchPath, Snapshot, SnapshotParts,
};
use crate::seal::{Sealer, fuzz_sealer};
use crate::statement::{Encoding, Limits, Reading, ResultColumn, StatementFacts, analyse, fuzz_spelled};
use crate::wire::frame::put;
use crate::wire::frontend::{self, put_execute, put_parse, put_query, put_value};
use crate::wire::{Frame, Peek, peek};

/// What stands in the column that is recorded and not sealed.
const LEGIBLE: &[u8] = b"legible-3e8d41";
const EMAIL: FieldId = FieldId(0);
const NICK: FieldId = FieldId(1);

/// The order of the columns of `public.customers`: attribute numbers stay with their columns.
const LAYOUTS: [[(&str, i16); 4]; 3] = [
    [("id", 1), ("email", 2), ("nick", 3), ("note", 4)],
    [("email", 2), ("nick", 3), ("note", 4), ("id", 5)],
    [("id", 1), ("nick", 3), ("note", 4), ("email", 6)],
];
const TABLE: u32 = 16_400;

fn domain() -> Domain {
    Domain { name: DomainName("email".into()), mode: Mode::Equality, logical: Logical::Text }
}

fn sealer() -> Sealer {
    fuzz_sealer(&[domain()]).unwrap()
}

fn snapshot(layout: usize, epoch: u64) -> Snapshot {
    let name = |schema: &str| QualifiedName { schema: schema.into(), name: "customers".into() };
    let field = |id, column: &str, domain| Field {
        id,
        database: None,
        table: name("public"),
        column: column.into(),
        class: "contact".into(),
        logical: Logical::Text,
        domain,
        state: FieldState::Sealed,
        subject: None,
    };
    let column = |(name, number): &(&str, i16)| Column {
        name: (*name).into(),
        number: *number,
        type_oid: 25,
        field: match *name {
            "email" => Some(EMAIL),
            "nick" => Some(NICK),
            _ => None,
        },
    };
    let relation = |schema: &str, oid, columns| Relation {
        name: name(schema),
        oid,
        kind: RelationKind::Table,
        columns,
        reaches: None,
        fault: None,
    };
    Snapshot::new(SnapshotParts {
        database: "shop".into(),
        epoch,
        fields: vec![field(EMAIL, "email", Some(domain())), field(NICK, "nick", None)],
        relations: vec![
            relation("public", TABLE, LAYOUTS[layout].iter().map(column).collect()),
            relation("other", TABLE + 1, Vec::new()),
        ],
        ..SnapshotParts::default()
    })
}

/// What the server is at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State {
    conforming: bool,
    /// `public` comes first on the search path, and not `other`.
    public: bool,
    layout: usize,
}

/// What code may do to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Change {
    Mode,
    Path,
    Layout,
}

impl State {
    fn after(self, change: Change) -> State {
        match change {
            Change::Mode => State { conforming: !self.conforming, ..self },
            Change::Path => State { public: !self.public, ..self },
            Change::Layout => State { layout: (self.layout + 1) % LAYOUTS.len(), ..self },
        }
    }
}

/// Texts that run code: at Bind where the planner folds it, else at Execute. Nothing in them
/// tells which.
const CODE: [(&[u8], bool, Change); 6] = [
    (b"SELECT a()", true, Change::Mode),
    (b"SELECT b()", false, Change::Mode),
    (b"SELECT c()", true, Change::Path),
    (b"SELECT d()", false, Change::Path),
    (b"SELECT e()", true, Change::Layout),
    (b"SELECT g()", false, Change::Layout),
];
/// What was defined in another transaction holds from here on.
const COMMIT_PREPARED: &[u8] = b"COMMIT PREPARED 'x'";
/// Drivers send it in one batch with what comes behind.
const BEGIN: &[u8] = b"BEGIN";

fn code_of(text: &[u8]) -> Option<(bool, Change)> {
    if text == COMMIT_PREPARED {
        return Some((false, Change::Layout));
    }
    CODE.iter().find(|(known, _, _)| *known == text).map(|(_, at_bind, change)| (*at_bind, *change))
}

/// The server.
struct Server {
    state: State,
    reported: bool,
    /// How often it was ready.
    readies: usize,
    epoch: u64,
    sealed: Vec<u8>,
    transaction: bool,
    skipping: bool,
    statements: HashMap<Vec<u8>, Vec<u8>>,
    portals: HashMap<Vec<u8>, Vec<u8>>,
    /// A definition of this session that is not committed: nobody else sees it.
    uncommitted: Option<usize>,
}

impl Server {
    fn new() -> Server {
        let mut sealed = Vec::new();
        sealer().seal(&domain(), OPENED, &mut sealed).unwrap();
        Server {
            state: State { conforming: true, public: true, layout: 0 },
            reported: true,
            readies: 0,
            epoch: 1,
            sealed,
            transaction: false,
            skipping: false,
            statements: HashMap::new(),
            portals: HashMap::new(),
            uncommitted: None,
        }
    }

    /// The layout that sessions see which are not this one.
    fn committed(&self) -> usize {
        self.uncommitted.unwrap_or(self.state.layout)
    }

    fn change(&mut self, change: Change) {
        if change == Change::Layout {
            self.uncommitted = self.uncommitted.or(Some(self.state.layout));
        }
        self.state = self.state.after(change);
    }

    fn commit(&mut self) {
        if self.uncommitted.take().is_some_and(|before| before != self.state.layout) {
            self.epoch += 1;
        }
    }

    fn roll_back(&mut self) {
        if let Some(layout) = self.uncommitted.take() {
            self.state.layout = layout;
        }
    }

    /// How the text reads by now; none: it is none that this server takes.
    fn facts(&self, text: &[u8]) -> Option<StatementFacts> {
        let reading = Reading {
            standard_conforming_strings: self.state.conforming,
            encoding: Encoding::Utf8,
            server_utf8: true,
        };
        let first = if self.state.public { ["public", "other"] } else { ["other", "public"] };
        let path = SearchPath::new(first.map(Arc::from).to_vec());
        let snapshot = snapshot(self.state.layout, 1);
        // The second reader of the judgement knows one mode.
        let text = &fuzz_spelled(text, reading)?;
        let reading = Reading { standard_conforming_strings: true, ..reading };
        let facts = analyse(text, reading, snapshot.names(Some(&path)), &Limits::default()).ok()?;
        for facts in &facts.statements {
            for literal in facts.literals.iter().filter(|literal| literal.field == EMAIL) {
                let sealed = text[literal.span.clone()].starts_with(b"'SEAL");
                assert!(sealed, "a literal for the sealed column as it is, in {:?}", self.state);
            }
        }
        facts.statements.into_iter().next()
    }

    fn fail(&mut self, query: bool, sqlstate: &[u8], out: &mut Vec<u8>) {
        put(out, b'E', |out| {
            out.extend_from_slice(&[b"SERROR\0VERROR\0C", sqlstate, b"\0Mno\0\0"].concat());
        });
        self.roll_back();
        self.transaction = false;
        if query { self.ready(out) } else { self.skipping = true }
    }

    fn ready(&mut self, out: &mut Vec<u8>) {
        self.readies += 1;
        if !self.transaction {
            self.commit();
        }
        if self.reported != self.state.conforming {
            self.reported = self.state.conforming;
            let value: &[u8] = if self.reported { b"on" } else { b"off" };
            put(out, b'S', |out| {
                out.extend_from_slice(&[b"standard_conforming_strings\0", value, b"\0"].concat());
            });
        }
        put(out, b'Z', |out| out.push(if self.transaction { b'T' } else { b'I' }));
    }

    fn take(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) {
        let body = frame.body();
        match frame.tag() {
            b'S' => {
                self.skipping = false;
                self.ready(out);
            }
            b'Q' => {
                self.statements.remove(&b""[..]);
                let text = frontend::read_query(body).ok().unwrap().to_vec();
                self.query(&text, out);
            }
            _ if self.skipping => {}
            b'P' => {
                let parse = frontend::Parse::read(body).ok().unwrap();
                self.statements.remove(&b""[..]);
                let taken = !parse.name.is_empty() && self.statements.contains_key(parse.name);
                if taken {
                    self.fail(false, b"42P05", out);
                } else if code_of(parse.text).is_none()
                    && parse.text != BEGIN
                    && self.facts(parse.text).is_none()
                {
                    self.fail(false, b"42601", out);
                } else {
                    self.statements.insert(parse.name.to_vec(), parse.text.to_vec());
                    put(out, b'1', |_| {});
                }
            }
            b'B' => {
                let bind = frontend::Bind::read(body).ok().unwrap();
                let (portal, statement) = frontend::bind_names(body).ok().unwrap();
                let Some(text) = self.statements.get(statement).cloned() else {
                    return self.fail(false, b"26000", out);
                };
                let asks = text.windows(2).any(|two| two == b"$1");
                if asks != !bind.values.is_empty() {
                    return self.fail(false, b"08P01", out);
                }
                if let Some((true, change)) = code_of(&text) {
                    self.change(change);
                }
                self.portals.insert(portal.to_vec(), text);
                put(out, b'2', |_| {});
            }
            b'D' if body.first() == Some(&b'S') => {
                put(out, b't', |out| out.extend_from_slice(&[0, 0]));
                let text = self.statements.get(body[1..].split(|byte| *byte == 0).next().unwrap()).cloned();
                self.describe(text, out);
            }
            b'D' => {
                let text = self.portals.get(body[1..].split(|byte| *byte == 0).next().unwrap()).cloned();
                self.describe(text, out);
            }
            b'E' => {
                let (portal, _) = frontend::read_execute(body).ok().unwrap();
                match self.portals.get(portal).cloned() {
                    Some(text) => self.run(&text, false, out),
                    None => self.fail(false, b"34000", out),
                }
            }
            b'C' => {
                let name = body[1..].split(|byte| *byte == 0).next().unwrap();
                if body[0] == b'S' {
                    self.statements.remove(name)
                } else {
                    self.portals.remove(name)
                };
                put(out, b'3', |_| {});
            }
            b'F' => {
                let path: &[u8] = if self.state.public { b"{public,other}" } else { b"{other,public}" };
                put(out, b'V', |out| put_value(out, Some(path)));
                self.ready(out);
            }
            // Flush: everything has been answered.
            _ => {}
        }
    }

    fn query(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let known = code_of(text).is_some() || text == BEGIN || text == b"COMMIT";
        if self.skipping || !known && self.facts(text).is_none() {
            self.skipping = false;
            return self.fail(true, b"42601", out);
        }
        if let Some((true, change)) = code_of(text) {
            self.change(change);
        }
        self.transaction &= text != b"COMMIT";
        self.run(text, true, out);
        self.ready(out);
    }

    fn origin(&self, column: &ResultColumn) -> Vec<(u32, i16)> {
        let at =
            |name: &str| LAYOUTS[self.state.layout].iter().find(|one| one.0 == name).map_or(0, |one| one.1);
        match column {
            ResultColumn::Plain | ResultColumn::Derived(_) => vec![(0, 0)],
            ResultColumn::Field(EMAIL) => vec![(TABLE, at("email"))],
            ResultColumn::Field(_) => vec![(TABLE, at("nick"))],
            ResultColumn::Run(fields) if fields.is_empty() => vec![(0, 0)],
            ResultColumn::Run(_) => LAYOUTS[self.state.layout].iter().map(|one| (TABLE, one.1)).collect(),
        }
    }

    fn columns(&self, text: &[u8]) -> Vec<(u32, i16)> {
        if [BEGIN, b"COMMIT", COMMIT_PREPARED].contains(&text) {
            return Vec::new();
        }
        if code_of(text).is_some() {
            return vec![(0, 0)];
        }
        let facts = self.facts(text);
        facts.iter().flat_map(|facts| &facts.outputs).flat_map(|column| self.origin(column)).collect()
    }

    fn describe(&mut self, text: Option<Vec<u8>>, out: &mut Vec<u8>) {
        let Some(text) = text else { return self.fail(false, b"26000", out) };
        let columns = self.columns(&text);
        if columns.is_empty() {
            return put(out, b'n', |_| {});
        }
        put(out, b'T', |out| {
            out.extend_from_slice(&u16::try_from(columns.len()).unwrap().to_be_bytes());
            for (table, number) in columns {
                out.extend_from_slice(b"c\0");
                out.extend_from_slice(&table.to_be_bytes());
                out.extend_from_slice(&number.to_be_bytes());
                out.extend_from_slice(b"\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
            }
        });
    }

    fn run(&mut self, text: &[u8], query: bool, out: &mut Vec<u8>) {
        if let Some((false, change)) = code_of(text) {
            self.change(change);
        }
        self.transaction |= text == BEGIN;
        let columns = self.columns(text);
        if query && !columns.is_empty() {
            self.describe(Some(text.to_vec()), out);
        }
        if !columns.is_empty() {
            let derived = code_of(text).is_none()
                && self.facts(text).is_some_and(|facts| {
                    facts.outputs.iter().any(|column| matches!(column, ResultColumn::Derived(_)))
                });
            let number = |name: &str| LAYOUTS[self.state.layout].iter().find(|one| one.0 == name).unwrap().1;
            put(out, b'D', |out| {
                out.extend_from_slice(&u16::try_from(columns.len()).unwrap().to_be_bytes());
                for (table, attribute) in columns {
                    let value = match (table, attribute) {
                        (TABLE, attribute) if attribute == number("email") => &self.sealed,
                        (TABLE, attribute) if attribute == number("nick") => LEGIBLE,
                        (0, _) if derived => LEGIBLE,
                        (_, _) => b"x",
                    };
                    put_value(out, Some(value));
                }
            });
        }
        put(out, b'C', |out| out.extend_from_slice(b"SELECT 1\0"));
    }
}

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
        _ => return None,
    };
    Some(text.to_vec())
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
        match choices.roll(13) {
            0..=3 => {
                let query = choices.roll(2) == 0;
                let Some(text) = text(choices.roll(10), known) else { return };
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
            Record::Session(_) | Record::Alert(_) => {}
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
