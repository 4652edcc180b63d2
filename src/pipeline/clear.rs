//! Sealing on the way in: a permitted message becomes [`Cleared`], and only that may be
//! written upstream in its place.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use super::letters::{Utf8, each_element, in_utf8, is_text};
use super::names::Prepared;
use super::plan::{Plan, Workshop};
use zeroize::{Zeroize, Zeroizing};

use super::values::{
    Manner, Parameter, TEXT_OID, bound_as, canonical_of, declared, field_of, is_as_given, is_styled,
    oid_upstream, parameter, unsettled_style,
};
use super::view::View;
use crate::catalog::{Field, FieldId, Logical};
use crate::policy::Refusal;
use crate::seal::SealError;
use crate::statement::{LiteralForm, StatementFacts, Taken, literal_value, quote_sealed, splice};
use crate::types::{Format, fault_of_array};
use crate::wire::charset::Charset;
use crate::wire::frontend::{self, Bind, Parse};
use crate::wire::{Malformed, value};

/// Frames whose classified values are sealed. Made in this file alone.
pub struct Cleared {
    bytes: Vec<u8>,
    /// One entry a sealed value.
    sealed: Vec<FieldId>,
    moved: Moved,
}

/// Where the text that went to the server differs in length from the client's, so that the
/// position of an error can be told in the client's own. In characters, from 0.
#[derive(Default)]
pub struct Moved(Vec<Shift>);

/// One difference: where it begins in the client's text, and how long it is in both.
struct Shift {
    start: usize,
    before: usize,
    after: usize,
}

impl Moved {
    fn new(text: &[u8], replacements: &[(Range<usize>, Vec<u8>)]) -> Moved {
        // A character begins with each byte that does not continue one (UTF-8).
        let characters = |bytes: &[u8]| bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count();
        let (mut at, mut start) = (0, 0);
        let shifts = replacements.iter().map(|(span, new)| {
            start += characters(text.get(at..span.start).unwrap_or_default());
            let before = characters(text.get(span.clone()).unwrap_or_default());
            let shift = Shift { start, before, after: characters(new) };
            (at, start) = (span.end, start + before);
            shift
        });
        Moved(shifts.collect())
    }

    pub fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }

    /// A position (from 1) in the text that was sent, as one in the client's.
    pub fn back(&self, position: usize) -> usize {
        let (mut added, mut removed) = (0, 0);
        let sent = position.saturating_sub(1);
        for shift in &self.0 {
            let begins = shift.start + added - removed;
            if sent < begins {
                break;
            }
            if sent < begins + shift.after {
                return shift.start + 1;
            }
            added += shift.after;
            removed += shift.before;
        }
        sent + removed - added + 1
    }
}

impl Cleared {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where its text differs from the client's; none where it does not.
    pub fn take_moved(&mut self) -> Option<Rc<Moved>> {
        let moved = std::mem::take(&mut self.moved);
        (!moved.is_nothing()).then(|| Rc::new(moved))
    }

    /// How many values of which field were sealed.
    pub fn sealed(&self) -> impl Iterator<Item = (FieldId, u64)> {
        self.sealed.chunk_by(|a, b| a == b).filter_map(|run| Some((*run.first()?, run.len() as u64)))
    }

    fn new(bytes: Vec<u8>, mut sealed: Vec<FieldId>) -> Cleared {
        sealed.sort_unstable();
        Cleared { bytes, sealed, moved: Moved::default() }
    }
}

/// How much longer a canonical form may be than the value that was given; a number's binary form is the
/// shortest of them.
const CANONICAL_GROWTH_MAX: usize = 4;
const CANONICAL_BYTES_MORE: usize = 512;

/// Beyond this the buffer of canonical forms is given back.
const GIVEN_BYTES_MAX: usize = 64 * 1024;

/// A value as it stands in a message.
pub(super) struct Given<'a> {
    /// The type that the client says it has.
    pub of: Option<Logical>,
    pub format: Format,
    pub plain: &'a [u8],
}

impl Workshop {
    /// Seals one value of a field; a field that is not sealed is copied as it is.
    pub(super) fn seal_value(
        &mut self,
        view: &View,
        field: &Field,
        taken: &Taken,
        given: &Given<'_>,
        manner: Manner<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let Some(domain) = &field.domain else {
            out.extend_from_slice(given.plain);
            return Ok(());
        };
        let Some(sealer) = &mut self.sealer else {
            return Err(Refusal::unhandled("no-keys", "No keyring is loaded.", "See sealgate check."));
        };
        let converted;
        let given = match manner.charset.filter(|_| !given.plain.is_ascii()) {
            Some(charset) => {
                converted = converted_from(charset, field, given)?;
                &Given { of: given.of, format: given.format, plain: &converted }
            }
            None => given,
        };
        let as_given = is_as_given(field, taken, given.of.as_ref());
        if !as_given {
            // It holds what is left of the last value nowhere, and does not grow.
            self.given.zeroize();
            self.given.reserve(given.plain.len() * CANONICAL_GROWTH_MAX + CANONICAL_BYTES_MORE);
            let form = (given.format, given.plain);
            canonical_of(view, field, taken, given.of.as_ref(), form, manner.style, &mut self.given)?;
            if !manner.sure && is_styled(field, given.of.as_ref().or(taken.given.as_ref())) {
                for style in self.others.iter() {
                    let mut other = Zeroizing::new(Vec::with_capacity(self.given.capacity()));
                    let read = canonical_of(view, field, taken, given.of.as_ref(), form, style, &mut other);
                    if read.is_err() || *other != *self.given {
                        return Err(unsettled_style(field));
                    }
                }
            }
        }
        let plain = if as_given { given.plain } else { self.given.as_slice() };
        let sealed = sealer.seal(domain, plain, out);
        self.given.zeroize();
        if self.given.capacity() > GIVEN_BYTES_MAX {
            self.given = Zeroizing::default();
        }
        sealed.map_err(|error| match error {
            SealError::NotText => Refusal::value(&field.path(), "not valid UTF-8 text"),
            SealError::TooLong => Refusal::value(&field.path(), "longer than a sealed value can be"),
            SealError::UnknownDomain => Refusal::unhandled(
                "no-keys",
                "The keyring does not hold this field's domain.",
                "Run sealgate keys init.",
            ),
        })
    }

    /// The text, which is in UTF-8, with every classified literal sealed, and spelled so that it means what was
    /// judged, in the client's encoding.
    fn clear_text(
        &mut self,
        view: &View,
        plan: &Plan,
        text: &[u8],
        manner: Manner<'_>,
        fields: &mut Vec<FieldId>,
    ) -> Result<(Vec<u8>, Moved), Refusal> {
        let lost =
            || Refusal::unhandled("splice", "A literal could not be replaced in place.", "Use a parameter.");
        let mut replacements = BTreeMap::new();
        let statements = plan.facts.statements.iter().enumerate();
        let literals = statements.flat_map(|(at, facts)| facts.literals.iter().map(move |one| (at, one)));
        for (at, literal) in literals {
            // A statement before it in the text may change how it is read.
            let manner = Manner { sure: manner.sure && at == 0, charset: None, ..manner };
            let field = field_of(view, literal.field)?;
            if field.domain.is_none() {
                continue;
            }
            let source = text.get(literal.span.clone()).ok_or_else(lost)?;
            let plain = literal_value(source, literal.form).ok_or_else(lost)?;
            let mut sealed = Vec::new();
            if literal.array {
                value::map_text_array(&plain, &mut sealed, |item, out| {
                    let given = Given { of: None, format: Format::Text, plain: item };
                    self.seal_element(view, field, &literal.taken, &given, manner, out)
                })
                .map_err(|error: ElementError| error.refusal(field, Some(&plain)))?;
            } else {
                let given = Given { of: None, format: Format::Text, plain: &plain };
                self.seal_value(view, field, &literal.taken, &given, manner, &mut sealed)?;
            }
            fields.push(literal.field);
            // Not a part of the word before it.
            let mut new = Vec::with_capacity(sealed.len() + 3);
            let before = literal.span.start.checked_sub(1).and_then(|before| text.get(before));
            if literal.form == LiteralForm::Truth {
                new.extend_from_slice(b" OPERATOR(pg_catalog.=) ");
            } else if before
                .is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80)
            {
                new.push(b' ');
            }
            new.extend(quote_sealed(&sealed));
            replacements.insert((literal.span.start, literal.span.end), new);
        }
        // What is replaced needs no other spelling.
        for edit in &plan.facts.edits {
            let next = replacements.range(..(edit.span.end, 0)).next_back();
            let inside =
                next.is_some_and(|((start, end), _)| *start <= edit.span.start && edit.span.end <= *end);
            if !inside || edit.span.is_empty() {
                replacements.insert((edit.span.start, edit.span.end), edit.new.clone());
            }
        }
        let replacements: Vec<_> =
            replacements.into_iter().map(|((start, end), new)| (start..end, new)).collect();
        let mut spliced = splice(text, &replacements).ok_or_else(lost)?;
        if let Some(charset) = manner.charset {
            charset.encode_from(&mut spliced, 0).map_err(|_| unwritten())?;
        }
        Ok((spliced, Moved::new(text, &replacements)))
    }

    /// A Query message with its literals sealed.
    pub(super) fn clear_query(
        &mut self,
        view: &View,
        plan: &Plan,
        text: &[u8],
        manner: Manner<'_>,
    ) -> Result<Cleared, Refusal> {
        let (mut out, mut sealed) = (Vec::new(), Vec::new());
        let (text, moved) = self.clear_text(view, plan, text, manner, &mut sealed)?;
        frontend::put_query(&mut out, &text);
        Ok(Cleared { moved, ..Cleared::new(out, sealed) })
    }

    /// A Parse message with its literals sealed. A parameter that stands for a sealed value is one of text
    /// at the server, whatever the client declares; what it is told of it is put right on the way back.
    pub(super) fn clear_parse(
        &mut self,
        view: &View,
        plan: &Plan,
        parse: &Parse<'_>,
        manner: Manner<'_>,
    ) -> Result<Cleared, Refusal> {
        let types: Vec<u32> = parse.types().collect();
        self.clear_prepared(view, plan, (parse.name, parse.text), &types, manner)
    }

    /// The same of a statement whose parts are known: its name and its text.
    pub(super) fn clear_prepared(
        &mut self,
        view: &View,
        plan: &Plan,
        (name, text): (&[u8], &[u8]),
        types: &[u32],
        manner: Manner<'_>,
    ) -> Result<Cleared, Refusal> {
        let mut upstream = types.to_vec();
        let mut of_client = plan.facts.statements.iter().filter_map(StatementFacts::parameters_of_client);
        if of_client.any(|count| types.len() > count) {
            return Err(Refusal::unhandled(
                "parameter-conflict",
                "One parameter stands for values of two domains, and the client declares more of them than the text has.",
                "Declare those that the text has, or give each place a value of its own.",
            ));
        }
        for facts in &plan.facts.statements {
            for use_of in &facts.parameters {
                let declared = declared(types, use_of);
                if let Parameter::Sealed { .. } = parameter(view, facts, use_of, declared)? {
                    let at = usize::from(use_of.number).saturating_sub(1);
                    let own = oid_upstream(use_of, declared);
                    if use_of.is_own() && own != 0 {
                        upstream.resize(upstream.len().max(at + 1), 0);
                    }
                    if let Some(oid) = upstream.get_mut(at) {
                        *oid = own;
                    }
                }
            }
        }
        let (mut out, mut sealed) = (Vec::new(), Vec::new());
        let (text, moved) = self.clear_text(view, plan, text, manner, &mut sealed)?;
        frontend::put_parse(&mut out, name, &text, &upstream);
        Ok(Cleared { moved, ..Cleared::new(out, sealed) })
    }

    /// A Bind message with its classified parameters sealed.
    pub(super) fn clear_bind(
        &mut self,
        view: &View,
        prepared: &Prepared,
        bind: &Bind<'_>,
        manner: Manner<'_>,
    ) -> Result<Cleared, Refusal> {
        let (mut replaced, mut more, mut sealed) = (Vec::new(), Vec::new(), Vec::new());
        let statements = prepared.plan.iter().flat_map(|plan| &plan.facts.statements);
        for (facts, use_of) in
            statements.flat_map(|facts| facts.parameters.iter().map(move |one| (facts, one)))
        {
            let at = usize::from(use_of.given).saturating_sub(1);
            let Some(Some(plain)) = bind.values.get(at) else {
                if use_of.is_own() {
                    more.push((at, None));
                }
                continue;
            };
            let declared = declared(&prepared.types, use_of);
            let Parameter::Sealed { field, given } = parameter(view, facts, use_of, declared)? else {
                continue;
            };
            let field = field_of(view, field)?;
            let format = match bind.format(at) {
                0 => Format::Text,
                1 => Format::Binary,
                _ => return Err(Refusal::value(&field.path(), "unknown parameter format code")),
            };
            let of = bound_as(view, use_of, given, format)?;
            let mut out = Vec::with_capacity(plain.len() * 2 + 64);
            match (use_of.array, format) {
                (false, _) => {
                    let given = Given { of, format, plain };
                    self.seal_value(view, field, &use_of.taken, &given, manner, &mut out)?;
                }
                (true, Format::Text) => value::map_text_array(plain, &mut out, |item, out| {
                    let given = Given { of, format, plain: item };
                    self.seal_element(view, field, &use_of.taken, &given, manner, out)
                })
                .map_err(|error| error.refusal(field, Some(plain)))?,
                (true, Format::Binary) => {
                    value::map_binary_array(plain, TEXT_OID, &mut out, |oid, item, out| {
                        let of = Logical::by_oid(oid).ok_or(Malformed("an array of another type"))?;
                        if !of.compares_with(&Logical { array: false, ..field.logical }) {
                            return Err(ElementError::Malformed);
                        }
                        let given = Given { of: Some(of), format, plain: item };
                        self.seal_element(view, field, &use_of.taken, &given, manner, out)
                    })
                    .map_err(|error| error.refusal(field, None))?
                }
            }
            sealed.push(field.id);
            if use_of.is_own() {
                more.push((at, Some(out)));
            } else {
                replaced.push((at, out));
            }
        }
        let mut out = Vec::new();
        bind.put(&mut out, &replaced, &more);
        Ok(Cleared::new(out, sealed))
    }

    fn seal_element(
        &mut self,
        view: &View,
        field: &Field,
        taken: &Taken,
        given: &Given<'_>,
        manner: Manner<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), ElementError> {
        self.seal_value(view, field, taken, given, manner, out)
            .map_err(|refusal| ElementError::Refused(Box::new(refusal)))
    }
}

/// An Execute passes as it is: its values were cleared at Bind.
pub(super) fn clear_execute(describe: bool, portal: &[u8], limit: i32) -> Cleared {
    let mut out = Vec::new();
    if describe {
        frontend::put_describe_portal(&mut out, portal);
    }
    frontend::put_execute(&mut out, portal, limit);
    Cleared::new(out, Vec::new())
}

/// A value of a client that writes in this character set, in UTF-8.
fn converted_from<'a>(charset: &Charset, field: &Field, given: &Given<'a>) -> Result<Utf8<'a>, Refusal> {
    let unread = || {
        let what = format!("a byte has no equivalent in encoding \"UTF8\", as one of \"{}\"", charset.name());
        Refusal::invalid(&field.path(), "22P05", &what)
    };
    match is_text(given.format, &given.of.unwrap_or(field.logical)) {
        Some(true) => in_utf8(Some(charset), given.plain).ok_or_else(unread),
        Some(false) => Ok(Utf8::Own(given.plain)),
        None => {
            let converted = each_element(given.plain, |element| charset.decode(element).ok());
            converted.map(Utf8::Converted).ok_or_else(unread)
        }
    }
}

/// What is written out in a text, as the name of a column, has no form in the client's encoding.
pub(super) fn unwritten() -> Refusal {
    let detail = "A name that the statement leaves to the server has a character that client_encoding has no form for.";
    Refusal::unhandled(
        "encoding",
        detail,
        "Name schemas and columns in the statement, or SET client_encoding TO 'UTF8'.",
    )
}

enum ElementError {
    Malformed,
    Refused(Box<Refusal>),
}

impl From<Malformed> for ElementError {
    fn from(_: Malformed) -> ElementError {
        ElementError::Malformed
    }
}

impl ElementError {
    /// `text`: the array, where it is written as text.
    fn refusal(self, field: &Field, text: Option<&[u8]>) -> Refusal {
        match self {
            // What the server takes and this does not, such as an array of arrays, is of another kind.
            ElementError::Malformed => {
                match text.and_then(fault_of_array).filter(|of| of.sqlstate == "22P02") {
                    Some(fault) => Refusal::invalid(&field.path(), fault.sqlstate, &fault.message),
                    None => {
                        Refusal::value(&field.path(), "not a one-dimensional array of values of its type")
                    }
                }
            }
            ElementError::Refused(refusal) => *refusal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_in_what_was_sent_is_told_in_the_clients_text() {
        let text = "SELECT 'ä', x FROM t".as_bytes();
        // `ä` becomes longer, `x` is named with its schema, and something is inserted before `t`.
        let moved = Moved::new(
            text,
            &[(7..11, b"'SEALED'".to_vec()), (13..14, b"y".to_vec()), (20..20, b"s.".to_vec())],
        );
        let sent = "SELECT 'SEALED', y FROM s.t";
        for (part, expected) in [
            ("SELECT", 1),
            ("'SEALED'", 8),
            ("EALED", 8),
            (", y", 11),
            ("y FROM", 13),
            ("FROM", 15),
            ("s.t", 20),
            ("t", 20),
        ] {
            let at = sent.rfind(part).unwrap();
            assert_eq!(moved.back(at + 1), expected, "{part}");
        }
    }
}
