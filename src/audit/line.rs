//! One record as one line of JSON, with the member names that reports rely on.
//!
//! Written by hand so that a line costs no allocation and every string is escaped in one
//! place: beside what JSON asks for, all that a terminal or a viewer could take for more
//! than text (C1 controls, line separators, direction marks).

use std::sync::Arc;

use super::level::LeaseTerms;
use super::numbers::{Bounds, LIST, Last, Named, Numbers, PLAN, Spelled, WHO};
use super::record::{Attribution, Entry, FieldUse, Intent, Outcome, Record, SessionRecord, Unusual, Who};
use super::subjects::Subjects;
use crate::residency::Date;
use crate::seal::KeyringIdentity;
use crate::statement::{Action, PUBLICATIONS_MAX, Replication};

/// Longest name (user, database, application, client, node, class, rule...), in characters.
pub const NAME_CHARS_MAX: usize = 256;
/// Longest statement shape, in characters.
pub const STATEMENT_CHARS_MAX: usize = 4096;
/// Most fields of one record; a statement that touches more names the first of them.
pub const FIELDS_MAX: usize = 1024;
/// No line is longer, its newline included: what the maxima above come to where every
/// character is escaped.
pub const LINE_BYTES_MAX: usize = 8 << 20;

/// Reasons of one alert.
const REASONS_MAX: usize = 3;

/// Fields that are told in a plan; more of them are a list of their own.
const PLAN_FIELDS_MAX: usize = 16;

/// Writes lines. What is the same in each of a session's, or of a plan's, is told once a segment, and named by its
/// number from then on.
#[derive(Debug)]
pub(super) struct Lines {
    /// `,"node":"..."`
    node: Vec<u8>,
    whos: Numbers<usize, Arc<Who>>,
    plans: Numbers<PlanKey, (Arc<[FieldUse]>, Arc<str>)>,
    lists: Numbers<usize, Arc<[FieldUse]>>,
    /// The same where each line tells it.
    spelled_whos: Spelled<usize, Arc<Who>>,
    spelled_plans: Spelled<PlanKey, (Arc<[FieldUse]>, Arc<str>)>,
    /// What is put into words before it is known whether it is told.
    words: Vec<u8>,
}

/// Which plan, by the addresses of what it tells: nothing else can be there as long as it is kept.
type PlanKey = (usize, usize, &'static str, Action, Attribution);

impl Lines {
    pub(super) fn new(node: &str) -> Lines {
        let mut words = Vec::new();
        Object { out: &mut words, empty: false }.string("node", node, NAME_CHARS_MAX);
        let (whos, plans, lists) = (Numbers::new(WHO), Numbers::new(PLAN), Numbers::new(LIST));
        let (spelled_whos, spelled_plans) = (Spelled::new(), Spelled::new());
        Lines { node: words, whos, plans, lists, spelled_whos, spelled_plans, words: Vec::new() }
    }

    /// Each line tells who and what by itself; long lists have numbers all the same.
    pub(super) fn in_full(self) -> Lines {
        let none = Bounds { numbers_max: 1, bytes_max: 0 };
        Lines { whos: Numbers::new(none), plans: Numbers::new(none), ..self }
    }

    /// How far the segment's numbers have come.
    pub(super) fn last(&self) -> Last {
        Last { who: self.whos.last(), plan: self.plans.last(), list: self.lists.last() }
    }

    /// A segment begins, or lines were taken back: `last` is what is there of numbers, and all is told anew.
    pub(super) fn forget(&mut self, last: Last) {
        self.whos.forget(last.who);
        self.plans.forget(last.plan);
        self.lists.forget(last.list);
    }

    /// Appends the entry's line, newline included.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, seq: u64, entry: &Entry) {
        let mut object = Object { out, empty: true };
        object.out.push(b'{');
        object.number("seq", seq);
        object.time("time", entry.time_us);
        object.plain("kind", entry.record.kind());
        match &entry.record {
            Record::Intent(intent) => {
                self.who(&mut object, &intent.who);
                object.number("statement_id", intent.execution.number);
                let at = (intent.fields.as_ptr().addr(), intent.statement.as_ptr().addr());
                let key = (at.0, at.1, intent.rule, intent.action, intent.attribution);
                let keeps = || (Arc::clone(&intent.fields), Arc::clone(&intent.statement));
                let is_stream = intent.replication.is_some();
                let told = self.list(&mut object, &intent.fields, is_stream);
                self.plan(&mut object, told, key, keeps, |object| object.intended(intent, told.is_here()));
                object.lease(intent.lease);
            }
            Record::Outcome(outcome) => {
                self.who(&mut object, &outcome.who);
                object.number("statement_id", outcome.execution.number);
                let at = (outcome.fields.as_ptr().addr(), outcome.fingerprint.as_ptr().addr());
                let key = (at.0, at.1, "", outcome.action, outcome.attribution);
                let keeps = || (Arc::clone(&outcome.fields), Arc::clone(&outcome.fingerprint));
                let is_stream = outcome.replication.is_some();
                let told = self.list(&mut object, &outcome.fields, is_stream);
                self.plan(&mut object, told, key, keeps, |object| object.done(outcome, told.is_here()));
                object.came(outcome);
            }
            Record::Session(session) => {
                self.who(&mut object, &session.who);
                object.session(session);
            }
            record @ (Record::Refusal(_) | Record::Login(_) | Record::Alert(_) | Record::Admin(_)) => {
                object.out.extend_from_slice(&self.node);
                object.record(record);
            }
        }
        object.out.extend_from_slice(b"}\n");
    }

    fn who(&mut self, object: &mut Object<'_>, who: &Arc<Who>) {
        let place = Arc::as_ptr(who).addr();
        if let Some(number) = self.whos.at(&place) {
            return object.number("who", number);
        }
        if let Some(words) = self.spelled_whos.at(&place) {
            return object.out.extend_from_slice(words);
        }
        self.words.clear();
        self.words.extend_from_slice(&self.node);
        Object { out: &mut self.words, empty: false }.who(who);
        let named = self.whos.of(place, Arc::clone(who), &self.words);
        if let Named::Not = named {
            self.spelled_whos.keep(place, Arc::clone(who), &self.words);
        }
        object.named("who", named, &self.words);
    }

    /// Where the fields are told: a long list has a number of its own.
    fn list(&mut self, object: &mut Object<'_>, fields: &Arc<[FieldUse]>, is_stream: bool) -> Fields {
        if is_stream {
            return Fields::Spelled;
        }
        if fields.len() <= PLAN_FIELDS_MAX {
            return Fields::Planned;
        }
        let place = fields.as_ptr().addr();
        if let Some(number) = self.lists.at(&place) {
            object.number("list", number);
            return Fields::Listed;
        }
        self.words.clear();
        Object { out: &mut self.words, empty: false }.fields(fields);
        let named = self.lists.of(place, Arc::clone(fields), &self.words);
        if let Named::Not = named {
            return Fields::Spelled;
        }
        object.named("list", named, &self.words);
        Fields::Listed
    }

    fn plan(
        &mut self,
        object: &mut Object<'_>,
        fields: Fields,
        key: PlanKey,
        keeps: impl Fn() -> (Arc<[FieldUse]>, Arc<str>),
        put: impl FnOnce(&mut Object<'_>),
    ) {
        if let Fields::Spelled = fields {
            return put(object);
        }
        if let Some(number) = self.plans.at(&key) {
            return object.number("plan", number);
        }
        if let Some(words) = self.spelled_plans.at(&key) {
            return object.out.extend_from_slice(words);
        }
        self.words.clear();
        put(&mut Object { out: &mut self.words, empty: false });
        let named = self.plans.of(key, keeps(), &self.words);
        if let Named::Not = named {
            self.spelled_plans.keep(key, keeps(), &self.words);
        }
        object.named("plan", named, &self.words);
    }
}

/// Where the fields of a record are told.
#[derive(Clone, Copy)]
enum Fields {
    Planned,
    Listed,
    /// With what the plan says, in each line.
    Spelled,
}

impl Fields {
    fn is_here(self) -> bool {
        match self {
            Fields::Planned | Fields::Spelled => true,
            Fields::Listed => false,
        }
    }
}

struct Object<'o> {
    out: &'o mut Vec<u8>,
    empty: bool,
}

impl Object<'_> {
    /// By its number, or in words.
    fn named(&mut self, name: &'static str, named: Named, words: &[u8]) {
        match named {
            Named::Known(number) => self.number(name, number),
            Named::New(number) => {
                self.number(name, number);
                self.out.extend_from_slice(words);
            }
            Named::Not => self.out.extend_from_slice(words),
        }
    }

    /// Of those that stand for themselves.
    fn record(&mut self, record: &Record) {
        match record {
            Record::Intent(_) | Record::Outcome(_) | Record::Session(_) => {}
            Record::Refusal(refusal) => {
                self.who(&refusal.who);
                self.number("statement_id", refusal.statement_id);
                if !refusal.fields.is_empty() {
                    self.fields(&refusal.fields);
                }
                if let Some(statement) = &refusal.statement {
                    self.string("statement", statement, STATEMENT_CHARS_MAX);
                }
                if let Some(fingerprint) = &refusal.fingerprint {
                    self.string("fingerprint", fingerprint, NAME_CHARS_MAX);
                }
                self.plain("verdict", "refuse");
                self.string("rule", &refusal.rule, NAME_CHARS_MAX);
                self.string("sqlstate", refusal.sqlstate, NAME_CHARS_MAX);
            }
            Record::Login(login) => {
                self.who(&login.who);
                self.plain("verdict", "refuse");
                self.plain("rule", login.rule);
                self.string("sqlstate", &String::from_utf8_lossy(&login.sqlstate), NAME_CHARS_MAX);
                if login.untold > 0 {
                    self.number("untold", login.untold);
                }
            }
            Record::Admin(admin) => {
                if let Some(account) = &admin.account {
                    self.string("account", account, NAME_CHARS_MAX);
                }
                self.plain("action", admin.event);
                self.plain("verdict", admin.verdict);
                self.keyring(admin.keyring);
                self.string("rule", &admin.rule, STATEMENT_CHARS_MAX);
            }
            Record::Alert(alert) => {
                self.who(&alert.who);
                if let Some(number) = alert.statement_id {
                    self.number("statement_id", number);
                }
                if !alert.fields.is_empty() {
                    self.fields(&alert.fields);
                }
                self.string("verdict", alert.verdict, NAME_CHARS_MAX);
                if !alert.incident.is_empty() {
                    self.string("incident", &alert.incident, NAME_CHARS_MAX);
                }
                let rule = format!("{} ({}): {}", alert.detector, alert.severity, alert.rule);
                self.string("rule", &rule, NAME_CHARS_MAX);
                if let Some(unusual) = &alert.unusual {
                    self.unusual(unusual);
                }
            }
        }
    }

    fn unusual(&mut self, unusual: &Unusual) {
        self.string("alert", &unusual.id, NAME_CHARS_MAX);
        self.string("principal", &unusual.principal, 2 * NAME_CHARS_MAX);
        self.number("score", unusual.score);
        self.name("reasons");
        for (index, reason) in unusual.reasons.iter().enumerate().take(REASONS_MAX) {
            self.out.push(if index > 0 { b',' } else { b'[' });
            self.text(reason, STATEMENT_CHARS_MAX);
        }
        self.out.extend_from_slice(if unusual.reasons.is_empty() { b"[]" } else { b"]" });
    }

    /// What every intent of a plan says.
    fn intended(&mut self, intent: &Intent, with_fields: bool) {
        self.plain("action", action(intent.action));
        self.attribution(intent.attribution);
        self.replication(intent.replication.as_deref());
        if with_fields {
            self.fields(&intent.fields);
        }
        if intent.replication.is_none() {
            self.string("fingerprint", &intent.fingerprint, NAME_CHARS_MAX);
        }
        self.string("statement", &intent.statement, STATEMENT_CHARS_MAX);
        self.plain("verdict", "allow");
        self.string("rule", intent.rule, NAME_CHARS_MAX);
    }

    /// What every outcome of a plan says.
    fn done(&mut self, outcome: &Outcome, with_fields: bool) {
        self.plain("action", action(outcome.action));
        self.attribution(outcome.attribution);
        self.replication(outcome.replication.as_deref());
        if with_fields {
            self.fields(&outcome.fields);
        }
        if outcome.replication.is_none() {
            self.string("fingerprint", &outcome.fingerprint, NAME_CHARS_MAX);
        }
    }

    /// What came of it.
    fn came(&mut self, outcome: &Outcome) {
        if let Some(lease) = outcome.lease {
            self.number("lease", lease);
        }
        if let Some(executions) = outcome.executions {
            self.number("executions", executions);
        }
        if outcome.partial {
            self.flag("partial", true);
        }
        if outcome.replication.is_none() {
            self.number("rows", outcome.rows);
            self.number("cells", outcome.cells);
        }
        self.number("bytes", outcome.bytes);
        if let Some(subjects) = outcome.subjects.as_deref() {
            self.subjects(subjects);
        }
        if let Some(committed) = outcome.committed {
            self.flag("committed", committed);
        }
        if let Some(code) = &outcome.sqlstate {
            self.string("sqlstate", &String::from_utf8_lossy(code), NAME_CHARS_MAX);
        }
    }

    /// Left out where there is none.
    fn lease(&mut self, terms: Option<LeaseTerms>) {
        let Some(LeaseTerms { executions, values, window_ms }) = terms else { return };
        self.name("lease");
        self.out.push(b'{');
        let mut member = Object { out: self.out, empty: true };
        member.number("executions", executions);
        member.number("values", values);
        member.number("window_ms", window_ms);
        self.out.push(b'}');
    }

    fn session(&mut self, session: &SessionRecord) {
        self.string("action", session.event, NAME_CHARS_MAX);
        self.keyring(session.keyring);
        self.plain("durability", session.durability.name());
        self.lease(session.lease);
        self.string("loss", &session.durability.loss(session.lease), NAME_CHARS_MAX);
    }

    fn who(&mut self, who: &Who) {
        self.number("session", who.session);
        self.string("user", &who.user, NAME_CHARS_MAX);
        self.string("application", &who.application, NAME_CHARS_MAX);
        self.string("client", &who.client, NAME_CHARS_MAX);
        self.string("region", &who.region, NAME_CHARS_MAX);
        self.plain("auth", who.auth);
        if let Some(name) = &who.certificate {
            self.string("certificate", name, NAME_CHARS_MAX);
        }
        self.string("database", &who.database, NAME_CHARS_MAX);
        if let Some(name) = &who.end_user {
            self.string("end_user", name, NAME_CHARS_MAX);
            self.plain("end_user_auth", who.end_user_auth);
        }
        if let Some(purpose) = &who.purpose {
            self.string("purpose", purpose, NAME_CHARS_MAX);
        }
    }

    /// Left out where there is none.
    fn keyring(&mut self, keyring: Option<KeyringIdentity>) {
        if let Some(keyring) = keyring {
            self.string("keyring", &keyring.to_string(), NAME_CHARS_MAX);
        }
    }

    fn subjects(&mut self, subjects: &Subjects) {
        self.name("subjects");
        self.out.push(b'{');
        let mut member = Object { out: self.out, empty: true };
        member.number("count", subjects.known.count());
        match subjects.known.names() {
            None => member.flag("estimated", true),
            Some(names) => {
                member.name("ids");
                for (index, id) in names.iter().enumerate() {
                    member.out.push(if index > 0 { b',' } else { b'[' });
                    member.text(&id.to_string(), NAME_CHARS_MAX);
                }
                member.out.extend_from_slice(if names.is_empty() { b"[]" } else { b"]" });
            }
        }
        if subjects.unknown > 0 {
            member.number("unknown", subjects.unknown);
            member.name("why");
            for (index, why) in subjects.why.iter().enumerate() {
                member.out.push(if index > 0 { b',' } else { b'[' });
                member.text(why, NAME_CHARS_MAX);
            }
            member.out.extend_from_slice(if subjects.why.is_empty() { b"[]" } else { b"]" });
        }
        self.out.push(b'}');
    }

    /// Left out where it is known.
    fn attribution(&mut self, attribution: Attribution) {
        if attribution == Attribution::Possible {
            self.plain("attribution", "possible");
        }
    }

    fn replication(&mut self, replication: Option<&Replication>) {
        let Some(Replication { stream, slot, publications }) = replication else { return };
        self.plain("stream", stream.name());
        if let Some(slot) = slot {
            self.string("slot", slot, NAME_CHARS_MAX);
        }
        if publications.is_empty() {
            return;
        }
        self.name("publications");
        for (index, publication) in publications.iter().enumerate().take(PUBLICATIONS_MAX) {
            self.out.push(if index > 0 { b',' } else { b'[' });
            self.text(publication, NAME_CHARS_MAX);
        }
        self.out.push(b']');
    }

    fn fields(&mut self, fields: &[FieldUse]) {
        self.name("fields");
        self.out.push(b'[');
        for (index, field) in fields.iter().take(FIELDS_MAX).enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.out.push(b'{');
            let mut member = Object { out: self.out, empty: true };
            member.string("field", &field.field, NAME_CHARS_MAX);
            member.string("class", &field.class, NAME_CHARS_MAX);
            member.plain("mode", field.mode);
            self.out.push(b'}');
        }
        self.out.push(b']');
    }

    fn name(&mut self, name: &'static str) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn number(&mut self, name: &'static str, value: u64) {
        self.name(name);
        decimal(self.out, value);
    }

    fn flag(&mut self, name: &'static str, value: bool) {
        self.name(name);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// A word of this program's own.
    fn plain(&mut self, name: &'static str, word: &'static str) {
        self.string(name, word, NAME_CHARS_MAX);
    }

    fn string(&mut self, name: &'static str, text: &str, chars_max: usize) {
        self.name(name);
        self.text(text, chars_max);
    }

    fn text(&mut self, text: &str, chars_max: usize) {
        // In so many bytes there are no more characters.
        let cut = (text.len() > chars_max).then(|| text.char_indices().nth(chars_max)).flatten();
        let text = cut.and_then(|(end, _)| text.get(..end)).unwrap_or(text);
        self.out.push(b'"');
        if text.bytes().all(is_bare) {
            self.out.extend_from_slice(text.as_bytes());
            self.out.push(b'"');
            return;
        }
        for run in text.as_bytes().chunk_by(|one, other| is_bare(*one) == is_bare(*other)) {
            match std::str::from_utf8(run) {
                Ok(_) if run.first().is_some_and(|byte| is_bare(*byte)) => self.out.extend_from_slice(run),
                // Whole characters: what is not bare ends where ASCII begins.
                Ok(other) => other.chars().for_each(|character| escape(self.out, character)),
                Err(_) => escape(self.out, char::REPLACEMENT_CHARACTER),
            }
        }
        self.out.push(b'"');
    }

    /// RFC 3339, UTC, microseconds.
    fn time(&mut self, name: &'static str, time_us: u64) {
        self.name(name);
        self.out.push(b'"');
        put_rfc3339(self.out, time_us);
        self.out.push(b'"');
    }
}

/// `2026-11-21T22:32:48.000001Z`
#[must_use]
pub fn rfc3339(time_us: u64) -> String {
    let mut text = Vec::with_capacity(27);
    put_rfc3339(&mut text, time_us);
    String::from_utf8(text).unwrap_or_default()
}

/// Without an allocation: each line has one.
fn put_rfc3339(out: &mut Vec<u8>, time_us: u64) {
    let seconds = time_us / 1_000_000;
    let (year, month, day) = Date::from_unix_days(seconds / 86_400).parts();
    let parts = [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (seconds / 3_600 % 24, 2, b':'),
        (seconds / 60 % 60, 2, b':'),
        (seconds % 60, 2, b'.'),
        (time_us % 1_000_000, 6, b'Z'),
    ];
    for (number, digits, behind) in parts {
        padded(out, number, digits);
        out.push(behind);
    }
}

fn decimal(out: &mut Vec<u8>, number: u64) {
    padded(out, number, 1);
}

/// With as many zeros before it as make `digits_min` digits, at most 20.
fn padded(out: &mut Vec<u8>, mut number: u64, digits_min: usize) {
    let mut digits = [b'0'; 20];
    let mut count = 0;
    for digit in digits.iter_mut().rev() {
        if number == 0 && count >= digits_min {
            break;
        }
        *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        count += 1;
    }
    out.extend_from_slice(digits.get(digits.len() - count..).unwrap_or_default());
}

fn action(action: Action) -> &'static str {
    match action {
        Action::Search => "search",
        Action::Read => "read",
        Action::Write => "write",
        Action::Define => "define",
        Action::Replicate => "replicate",
    }
}

/// A byte that stands for itself: printable ASCII but for what JSON escapes.
fn is_bare(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn escape(out: &mut Vec<u8>, character: char) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        other if is_disguise(other) => {
            let mut units = [0; 2];
            for unit in other.encode_utf16(&mut units) {
                out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
            }
        }
        other => {
            let mut bytes = [0; 4];
            out.extend_from_slice(other.encode_utf8(&mut bytes).as_bytes());
        }
    }
}

/// Is it one of the controls, or of the format characters that break or turn a line of text?
#[must_use]
pub fn is_disguise(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
