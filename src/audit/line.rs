//! One record as one line of JSON, with the member names that reports rely on.
//!
//! Written by hand so that a line costs no allocation and every string is escaped in one
//! place: beside what JSON asks for, all that a terminal or a viewer could take for more
//! than text (C1 controls, line separators, direction marks).

use super::record::{Attribution, Entry, FieldUse, Record, Who};
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

/// Appends the entry's line, newline included.
pub(super) fn write(out: &mut Vec<u8>, node: &str, seq: u64, entry: &Entry) {
    let mut object = Object { out, empty: true };
    object.out.push(b'{');
    object.number("seq", seq);
    object.time("time", entry.time_us);
    object.string("node", node, NAME_CHARS_MAX);
    object.plain("kind", entry.record.kind());
    object.record(&entry.record);
    object.out.extend_from_slice(b"}\n");
}

struct Object<'o> {
    out: &'o mut Vec<u8>,
    empty: bool,
}

impl Object<'_> {
    fn record(&mut self, record: &Record) {
        match record {
            Record::Intent(intent) => {
                self.who(&intent.who, Some(intent.execution.number));
                self.plain("action", action(intent.action));
                self.attribution(intent.attribution);
                self.replication(intent.replication.as_deref());
                self.listed(intent.listed_in, &intent.fields);
                if intent.replication.is_none() {
                    self.string("fingerprint", &intent.fingerprint, NAME_CHARS_MAX);
                }
                self.string("statement", &intent.statement, STATEMENT_CHARS_MAX);
                self.plain("verdict", "allow");
                self.string("rule", intent.rule, NAME_CHARS_MAX);
            }
            Record::Outcome(outcome) => {
                self.who(&outcome.who, Some(outcome.execution.number));
                self.plain("action", action(outcome.action));
                self.attribution(outcome.attribution);
                self.replication(outcome.replication.as_deref());
                self.listed(outcome.listed_in, &outcome.fields);
                if outcome.replication.is_none() {
                    self.string("fingerprint", &outcome.fingerprint, NAME_CHARS_MAX);
                    self.number("rows", outcome.rows);
                    self.number("cells", outcome.cells);
                }
                self.number("bytes", outcome.bytes);
                if let Some(committed) = outcome.committed {
                    self.flag("committed", committed);
                }
                if let Some(code) = &outcome.sqlstate {
                    self.string("sqlstate", &String::from_utf8_lossy(code), NAME_CHARS_MAX);
                }
            }
            Record::Refusal(refusal) => {
                self.who(&refusal.who, Some(refusal.statement_id));
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
            Record::Session(session) => {
                self.who(&session.who, None);
                self.string("action", session.event, NAME_CHARS_MAX);
                self.keyring(session.keyring);
            }
            Record::Login(login) => {
                self.who(&login.who, None);
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
                self.who(&alert.who, alert.statement_id);
                if !alert.fields.is_empty() {
                    self.fields(&alert.fields);
                }
                self.string("verdict", alert.verdict, NAME_CHARS_MAX);
                if !alert.incident.is_empty() {
                    self.string("incident", &alert.incident, NAME_CHARS_MAX);
                }
                let rule = format!("{} ({}): {}", alert.detector, alert.severity, alert.rule);
                self.string("rule", &rule, NAME_CHARS_MAX);
            }
        }
    }

    fn who(&mut self, who: &Who, statement: Option<u64>) {
        self.number("session", who.session);
        if let Some(number) = statement {
            self.number("statement_id", number);
        }
        self.string("user", &who.user, NAME_CHARS_MAX);
        self.string("application", &who.application, NAME_CHARS_MAX);
        self.string("client", &who.client, NAME_CHARS_MAX);
        self.string("region", &who.region, NAME_CHARS_MAX);
        self.plain("auth", who.auth);
        if let Some(name) = &who.certificate {
            self.string("certificate", name, NAME_CHARS_MAX);
        }
        self.string("database", &who.database, NAME_CHARS_MAX);
    }

    /// Left out where there is none.
    fn keyring(&mut self, keyring: Option<KeyringIdentity>) {
        if let Some(keyring) = keyring {
            self.string("keyring", &keyring.to_string(), NAME_CHARS_MAX);
        }
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

    fn listed(&mut self, elsewhere: Option<u64>, fields: &[FieldUse]) {
        match elsewhere {
            Some(number) => self.number("fields_as", number),
            None => self.fields(fields),
        }
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
        self.out.extend_from_slice(value.to_string().as_bytes());
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
        self.out.push(b'"');
        for character in text.chars().take(chars_max) {
            escape(self.out, character);
        }
        self.out.push(b'"');
    }

    /// RFC 3339, UTC, microseconds.
    fn time(&mut self, name: &'static str, time_us: u64) {
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(rfc3339(time_us).as_bytes());
        self.out.push(b'"');
    }
}

/// `2026-11-21T22:32:48.000001Z`
#[must_use]
pub fn rfc3339(time_us: u64) -> String {
    let seconds = time_us / 1_000_000;
    let date = Date::from_unix_days(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{date}T{hour:02}:{minute:02}:{second:02}.{:06}Z", time_us % 1_000_000)
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

/// Controls, and the format characters that break or turn a line of text.
fn is_disguise(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
