//! What is asked of the server in the client's session, unseen by the client: where its names
//! lead (FunctionCall, which leaves statements, portals and what is told of the session as they
//! are), and whether it can read a text at all (Parse, which executes nothing).

use super::certainty::Doubt;
use super::owed::{Ask, Discard, Kind, Mark, Probe};
use super::session::Session;
use super::{Need, Step};
use crate::catalog::SearchPath;
use crate::policy::Refusal;
use crate::statement::{Encoding, blanked};
use crate::wire::frontend::{self, Parse};
use crate::wire::value::text_array;
use crate::wire::{Peek, peek};

/// `current_schema()`, `current_schemas(bool)` and `to_regclass(text)` (`pg_proc.oid`, fixed by the server's own
/// catalog data).
const CURRENT_SCHEMA: u32 = 1402;
const CURRENT_SCHEMAS: u32 = 1403;
const TO_REGCLASS: u32 = 3495;

/// The message by which a server is asked for the answers that it has.
const FLUSH: &[u8] = b"H\0\0\0\x04";

impl Session {
    /// Asks the server, and waits. None: it cannot be asked here.
    pub(super) fn ask(&mut self, ask: Ask, out: &mut Vec<u8>) -> Option<Step> {
        if self.unanswerable {
            return None;
        }
        if self.queue.boundaries() > 0 {
            return Some(Step::Need(Need::Settle));
        }
        // What the server would discard it would not answer.
        let discarded = self.queue.discards() == Discard::ToSync;
        if discarded || !self.queue.is_empty() || !self.certainty.may_ask() {
            return None;
        }
        match &ask {
            Ask::Path => frontend::put_function_call(out, CURRENT_SCHEMAS, b"t", false),
            Ask::Creation => frontend::put_nullary_call(out, CURRENT_SCHEMA),
            Ask::Temporary(name) => {
                let path = self.certainty.path()?;
                let whole = quoted(path.temporary()?, name);
                let whole = self.as_client_writes(whole.as_bytes())?;
                frontend::put_function_call(out, TO_REGCLASS, &whole, false);
            }
            Ask::Table(table) => {
                let whole = quoted(&table.schema, &table.name);
                // Names are told in the client's encoding.
                if !whole.is_ascii() && self.reading.encoding != Encoding::Utf8 {
                    return None;
                }
                let whole = self.as_client_writes(whole.as_bytes())?;
                frontend::put_function_call(out, TO_REGCLASS, &whole, true);
            }
        }
        self.asking = true;
        self.owe(Kind::Function, Mark { asks: Some(ask), ..Mark::default() }, Doubt::NONE);
        Some(Step::Took(0))
    }

    /// Before a batch whose names only the path settles, or may, as long as it has not wholly
    /// arrived: within it the server cannot be asked.
    pub(super) fn asks_ahead(&mut self, input: &[u8], out: &mut Vec<u8>) -> Option<Step> {
        if self.queue.is_empty() && !input.is_empty() && (self.certainty.defines() || self.overlay.keeps()) {
            self.refresh();
            let unplaced = self.view.as_ref().and_then(|view| self.overlay.unplaced(view).cloned());
            if let Some(step) = unplaced.and_then(|table| self.ask(Ask::Table(table), out)) {
                return Some(step);
            }
        }
        let view = self.view.as_ref()?;
        let may_concern = self.pins || view.has_ambiguous_names();
        if !may_concern || input.is_empty() || self.certainty.path().is_some() {
            return None;
        }
        let free = self.queue.is_empty() && self.certainty.may_ask() && !self.queue.is_copying();
        if !free || !(self.pins || view.has_ambiguous(input) || !is_whole_batch(input)) {
            return None;
        }
        self.ask(Ask::Path, out)
    }

    /// FunctionCallResponse to a question.
    pub(super) fn learn(&mut self, ask: &Ask, value: Option<&[u8]>) {
        match ask {
            Ask::Path => {
                let ascii = value.is_some_and(<[u8]>::is_ascii);
                let readable = ascii || self.reading.encoding == Encoding::Utf8;
                let value = value.filter(|_| readable).and_then(|value| self.in_utf8(value).ok());
                match value.as_deref().and_then(text_array) {
                    Some(schemas) => {
                        self.certainty
                            .learn_path(SearchPath::new(schemas.into_iter().map(Into::into).collect()));
                    }
                    None => self.unanswerable = true,
                }
            }
            Ask::Creation => {
                let readable =
                    value.is_none_or(|name| name.is_ascii() || self.reading.encoding == Encoding::Utf8);
                let value = value.map(|value| self.in_utf8(value)).transpose().ok().filter(|_| readable);
                let schema = value
                    .as_ref()
                    .and_then(|value| value.as_deref().map(std::str::from_utf8).transpose().ok());
                let path = self.certainty.path().zip(schema);
                match path.map(|(path, schema)| path.making_in(schema.map(Into::into))) {
                    Some(path) => self.certainty.learn_path(path),
                    None => self.unanswerable = true,
                }
            }
            Ask::Temporary(name) => {
                let path = self.certainty.path().filter(|_| value.is_none());
                match path.map(|path| path.without_temporary(name)) {
                    Some(path) => self.certainty.learn_path(path),
                    // It exists, and stands before the table that matters.
                    None => self.unanswerable = true,
                }
            }
            Ask::Table(table) => {
                let oid = value.and_then(|value| Some(u32::from_be_bytes(value.try_into().ok()?)));
                self.overlay.place(table, oid);
            }
        }
    }

    /// The same of a Parse whose declared types cannot be those of sealed values: the server may have a word
    /// of its own about them.
    pub(super) fn asks_of_types(
        &mut self,
        parse: &Parse<'_>,
        refusal: &Refusal,
        out: &mut Vec<u8>,
    ) -> Option<Step> {
        let declares = refusal.sqlstate == "SG004" && parse.types().any(|oid| oid != 0);
        if declares { self.probes(parse.text, Some(parse), refusal, out) } else { None }
    }

    /// Shows the server the text without its values, to hear whether it is the client's fault
    /// that it could not be judged. None: there is nothing to show, or no place for it.
    pub(super) fn probes(
        &mut self,
        text: &[u8],
        parsed: Option<&Parse<'_>>,
        refusal: &Refusal,
        out: &mut Vec<u8>,
    ) -> Option<Step> {
        let view = self.view.clone().filter(|_| self.queue.discards() != Discard::ToSync)?;
        let query = parsed.is_none();
        // ReadyForQuery of a query must be that of the query.
        if query && (!self.queue.is_empty() || !self.certainty.may_ask_of_text()) {
            return None;
        }
        let known = |name: &str| view.knows(name);
        let blank = blanked(text, self.reading, refusal.reason != "unparsed", known)?;
        let blank = self.as_client_writes(&blank)?;
        let own = [b"sealgate probe ", self.mark.as_slice()].concat();
        let name = parsed.filter(|parse| !parse.name.is_empty()).map_or(&b""[..], |_| &own);
        let types: Vec<u32> = parsed.map(|parse| parse.types().collect()).unwrap_or_default();
        frontend::put_parse(out, name, &blank, &types);
        let mark = || Mark { probe: true, ..Mark::default() };
        self.owe(Kind::Parse, Mark { refusal: Some(refusal.clone()), ..mark() }, Doubt::NONE);
        if !name.is_empty() {
            frontend::put_close_statement(out, name);
            self.owe(Kind::Close, mark(), Doubt::NONE);
        }
        if query {
            frontend::put_sync(out);
            self.owe(Kind::Sync, mark(), Doubt::NONE);
        } else {
            out.extend_from_slice(FLUSH);
        }
        self.asking = true;
        self.probe = Some(Probe::Underway);
        Some(Step::Took(0))
    }
}

/// A relation by its schema and name.
fn quoted(schema: &str, name: &str) -> String {
    let escaped = |name: &str| name.replace('"', "\"\"");
    format!("\"{}\".\"{}\"", escaped(schema), escaped(name))
}

/// Does the message stand here that ends the batch?
fn is_whole_batch(mut input: &[u8]) -> bool {
    while let Ok(Peek::Whole(frame)) = peek(input) {
        if matches!(frame.tag(), b'S' | b'Q' | b'F' | b'X') {
            return true;
        }
        input = input.get(frame.len()..).unwrap_or_default();
    }
    false
}

/// Is this an error by which a server says that a text names what does not exist, or cannot be
/// read? (Class 42 of PostgreSQL's appendix A, an unknown schema, a failed transaction.) It holds
/// no value, since the text that it answers held none.
pub(super) fn is_of_text(sqlstate: [u8; 5]) -> bool {
    sqlstate.starts_with(b"42") || matches!(&sqlstate, b"3F000" | b"25P02")
}
