//! The server of the model: what it makes of each message in the state that it is in.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::fuzz::OPENED;
use crate::catalog::stock::Stock;
use crate::catalog::{
    Code, Codes, Column, Domain, DomainName, Field, FieldId, FieldState, Kind, Logical, Mode, QualifiedName,
    Relation, RelationKind, SearchPath, Snapshot, SnapshotParts, Stranger,
};
use crate::seal::{Sealer, fuzz_sealer};
use crate::statement::{
    CopyFacts, Encoding, Limits, Reading, ResultColumn, StatementFacts, analyse, fuzz_spelled,
};
use crate::wire::Frame;
use crate::wire::frame::put;
use crate::wire::frontend::{self, put_value};

/// What stands in the column that is recorded and not sealed.
pub(super) const LEGIBLE: &[u8] = b"legible-3e8d41";
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
    Domain { name: DomainName("email".into()), mode: Mode::Equality, kind: Kind::TEXT }
}

pub(super) fn sealer() -> Sealer {
    fuzz_sealer(&[domain()]).unwrap()
}

pub(super) fn snapshot(layout: usize, epoch: u64) -> Snapshot {
    let name = |schema: &str| QualifiedName { schema: schema.into(), name: "customers".into() };
    let field = |id, column: &str, domain| Field {
        id,
        database: None,
        table: name("public"),
        column: column.into(),
        class: "contact".into(),
        logical: Logical::TEXT,
        own: None,
        domain,
        state: FieldState::Sealed,
        guard: None,
        subject: Some("id".into()),
    };
    let column = |(name, number): &(&str, i16)| Column {
        name: (*name).into(),
        number: *number,
        type_oid: 25,
        fault: None,
        generated: false,
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
        attributes: 5,
        keys: Vec::new(),
        behind: Vec::new(),
        reaches: None,
        fault: None,
        refused: Default::default(),
    };
    // The catalog knows of it that nobody can follow it.
    let code = Code { why: "function public.h".into(), proven: false };
    let stranger = Stranger { schema: "public".into(), code, distant: false, of_rows: false };
    let functions = HashMap::from([("h".into(), vec![stranger])]);
    Snapshot::new(SnapshotParts {
        codes: Codes { stock: Stock::of(18), ascii_case: true, functions, ..Codes::default() },
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
pub(super) struct State {
    pub(super) conforming: bool,
    /// `public` comes first on the search path, and not `other`.
    pub(super) public: bool,
    pub(super) layout: usize,
}

/// What code may do to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Mode,
    Path,
    Layout,
    /// The cursor is another one.
    Cursor,
}

impl State {
    pub(super) fn after(self, change: Change) -> State {
        match change {
            Change::Mode => State { conforming: !self.conforming, ..self },
            Change::Path => State { public: !self.public, ..self },
            Change::Layout => State { layout: (self.layout + 1) % LAYOUTS.len(), ..self },
            Change::Cursor => self,
        }
    }
}

/// Texts that run code: at Bind where the planner folds it, else at Execute. Nothing in them
/// tells which.
pub(super) const CODE: [(&[u8], bool, Change); 7] = [
    (b"SELECT h()", false, Change::Cursor),
    (b"SELECT a()", true, Change::Mode),
    (b"SELECT b()", false, Change::Mode),
    (b"SELECT c()", true, Change::Path),
    (b"SELECT d()", false, Change::Path),
    (b"SELECT e()", true, Change::Layout),
    (b"SELECT g()", false, Change::Layout),
];
/// What was defined in another transaction holds from here on.
pub(super) const COMMIT_PREPARED: &[u8] = b"COMMIT PREPARED 'x'";
/// Drivers send it in one batch with what comes behind.
pub(super) const BEGIN: &[u8] = b"BEGIN";

fn code_of(text: &[u8]) -> Option<(bool, Change)> {
    if text == COMMIT_PREPARED {
        return Some((false, Change::Layout));
    }
    CODE.iter().find(|(known, _, _)| *known == text).map(|(_, at_bind, change)| (*at_bind, *change))
}

/// The server.
pub(super) struct Server {
    pub(super) state: State,
    reported: bool,
    /// How often it was ready.
    pub(super) readies: usize,
    pub(super) epoch: u64,
    sealed: Vec<u8>,
    pub(super) transaction: bool,
    skipping: bool,
    /// It takes the data of a COPY; true: of a Query.
    copying: Option<bool>,
    /// What ran just now has failed, and was answered.
    failed: bool,
    statements: HashMap<Vec<u8>, Vec<u8>>,
    portals: HashMap<Vec<u8>, Vec<u8>>,
    /// A definition of this session that is not committed: nobody else sees it.
    pub(super) uncommitted: Option<usize>,
}

impl Server {
    pub(super) fn new() -> Server {
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
            copying: None,
            failed: false,
            statements: HashMap::new(),
            portals: HashMap::new(),
            uncommitted: None,
        }
    }

    /// The layout that sessions see which are not this one.
    pub(super) fn committed(&self) -> usize {
        self.uncommitted.unwrap_or(self.state.layout)
    }

    fn change(&mut self, change: Change) {
        if change == Change::Layout {
            self.uncommitted = self.uncommitted.or(Some(self.state.layout));
        }
        if change == Change::Cursor && self.transaction {
            self.portals.insert(b"c".to_vec(), b"SELECT nick FROM public.customers".to_vec());
        }
        self.state = self.state.after(change);
    }

    fn end_cursor(&mut self) {
        self.portals.remove(&b"c"[..]);
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
            declared: crate::catalog::Declared::Nothing,
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
        self.end_cursor();
        self.transaction = false;
        if query { self.ready(out) } else { self.skipping = true }
    }

    fn ready(&mut self, out: &mut Vec<u8>) {
        self.readies += 1;
        if !self.transaction {
            self.end_cursor();
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

    pub(super) fn take(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) {
        let body = frame.body();
        if let Some(query) = self.copying {
            return self.take_copied(frame.tag(), query, out);
        }
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
                if asks == bind.values.is_empty() {
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
            // Flush: everything has been answered; data that nobody takes.
            _ => {}
        }
    }

    fn take_copied(&mut self, tag: u8, query: bool, out: &mut Vec<u8>) {
        match tag {
            b'd' | b'S' | b'H' => {}
            b'c' => {
                self.copying = None;
                put(out, b'C', |out| out.extend_from_slice(b"COPY 1\0"));
                if query {
                    self.ready(out);
                }
            }
            _ => {
                self.copying = None;
                self.fail(query, b"57014", out);
            }
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
        if self.copying.is_none() && !std::mem::take(&mut self.failed) {
            self.ready(out);
        }
    }

    fn origin(&self, column: &ResultColumn) -> Vec<(u32, i16)> {
        let at =
            |name: &str| LAYOUTS[self.state.layout].iter().find(|one| one.0 == name).map_or(0, |one| one.1);
        match column {
            ResultColumn::Plain
            | ResultColumn::Sealed(..)
            | ResultColumn::Text(_)
            | ResultColumn::Derived(_) => vec![(0, 0)],
            ResultColumn::Field(EMAIL) => vec![(TABLE, at("email"))],
            ResultColumn::Field(_) => vec![(TABLE, at("nick"))],
            ResultColumn::Run(fields) if fields.is_empty() => vec![(0, 0)],
            ResultColumn::Run(_) => LAYOUTS[self.state.layout].iter().map(|one| (TABLE, one.1)).collect(),
        }
    }

    fn copies(&self, text: &[u8]) -> Option<Arc<CopyFacts>> {
        if code_of(text).is_some() { None } else { self.facts(text)?.copy }
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

    /// What stands in a column. `derived`: one without an origin is made of what is legible.
    fn stored(&self, column: (u32, i16), derived: bool) -> &[u8] {
        let number = |name: &str| LAYOUTS[self.state.layout].iter().find(|one| one.0 == name).unwrap().1;
        match column {
            (TABLE, attribute) if attribute == number("email") => &self.sealed,
            (TABLE, attribute) if attribute == number("nick") => LEGIBLE,
            (0, _) if derived => LEGIBLE,
            (_, _) => b"x",
        }
    }

    fn describe(&mut self, text: Option<Vec<u8>>, out: &mut Vec<u8>) {
        let Some(text) = text else { return self.fail(false, b"26000", out) };
        let text = if text.starts_with(b"FETCH") { self.portals.get(&b"c"[..]).cloned() } else { Some(text) };
        let Some(text) = text else { return self.fail(false, b"34000", out) };
        let silent = [&b"DECLARE"[..], b"MOVE", b"CLOSE"].iter().any(|word| text.starts_with(word));
        let columns = if silent { Vec::new() } else { self.columns(&text) };
        if columns.is_empty() || self.copies(&text).is_some() {
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
        let fails = |server: &mut Server, sqlstate: &[u8], out: &mut Vec<u8>| {
            server.fail(query, sqlstate, out);
            server.failed = query;
        };
        if let Some(of) = text.strip_prefix(b"DECLARE c CURSOR FOR ") {
            if !self.transaction || self.portals.contains_key(&b"c"[..]) {
                return fails(self, b"42P03", out);
            }
            self.portals.insert(b"c".to_vec(), of.to_vec());
            return put(out, b'C', |out| out.extend_from_slice(b"DECLARE CURSOR\0"));
        }
        if text == b"CLOSE c" {
            self.portals.remove(&b"c"[..]);
            return put(out, b'C', |out| out.extend_from_slice(b"CLOSE CURSOR\0"));
        }
        let fetched;
        let text = if text.starts_with(b"FETCH") || text.starts_with(b"MOVE") {
            let Some(of) = self.portals.get(&b"c"[..]) else { return fails(self, b"34000", out) };
            if text.starts_with(b"MOVE") {
                return put(out, b'C', |out| out.extend_from_slice(b"MOVE 1\0"));
            }
            fetched = of.clone();
            fetched.as_slice()
        } else {
            text
        };
        let columns = self.columns(text);
        if let Some(copy) = self.copies(text) {
            let count = if copy.from { copy.fields.len() } else { columns.len() };
            put(out, if copy.from { b'G' } else { b'H' }, |out| {
                out.push(0);
                out.extend_from_slice(&u16::try_from(count).unwrap().to_be_bytes());
                out.extend(std::iter::repeat_n(0, count * 2));
            });
            if copy.from {
                self.copying = Some(query);
                return;
            }
            let values: Vec<&[u8]> = columns.iter().map(|column| self.stored(*column, false)).collect();
            let row = [values.join(&b'\t').as_slice(), b"\n"].concat();
            put(out, b'd', |out| out.extend_from_slice(&row));
            put(out, b'c', |_| {});
            return put(out, b'C', |out| out.extend_from_slice(b"COPY 1\0"));
        }
        if query && !columns.is_empty() {
            self.describe(Some(text.to_vec()), out);
        }
        if !columns.is_empty() {
            let derived = code_of(text).is_none()
                && self.facts(text).is_some_and(|facts| {
                    facts.outputs.iter().any(|column| matches!(column, ResultColumn::Derived(_)))
                });
            put(out, b'D', |out| {
                out.extend_from_slice(&u16::try_from(columns.len()).unwrap().to_be_bytes());
                columns.iter().for_each(|column| put_value(out, Some(self.stored(*column, derived))));
            });
        }
        put(out, b'C', |out| out.extend_from_slice(b"SELECT 1\0"));
    }
}
