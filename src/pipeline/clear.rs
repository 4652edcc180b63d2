//! Sealing on the way in: a permitted message becomes [`Cleared`], and only that may be
//! written upstream in its place.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use super::names::Prepared;
use super::plan::{Plan, Workshop};
use super::view::View;
use crate::catalog::{Field, FieldId};
use crate::policy::Refusal;
use crate::seal::SealError;
use crate::statement::{ParameterUse, literal_value, quote_sealed, splice};
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

/// Type OIDs that a client may declare for a sealed text parameter: none, text, varchar,
/// unknown; and for an array of them: none, text[], varchar[].
const SCALAR_OIDS: [u32; 4] = [0, 25, 1043, 705];
const ARRAY_OIDS: [u32; 3] = [0, 1009, 1015];

/// Is it of a type in which a sealed value can stand?
fn is_text(parameter: &ParameterUse, oid: u32) -> bool {
    if parameter.array { ARRAY_OIDS.contains(&oid) } else { SCALAR_OIDS.contains(&oid) }
}

/// Types, and arrays of them, that cannot hold the value of a sealed column as a client writes it: bool,
/// int2, int4, int8, oid, float4, float8, numeric, money, dates and times, uuid (`pg_type.oid`).
const OTHER_OIDS: [u32; 30] = [
    16, 20, 21, 23, 26, 700, 701, 790, 1082, 1083, 1114, 1184, 1186, 1266, 1700, 2950, 791, 1000, 1005, 1007,
    1016, 1021, 1022, 1028, 1115, 1182, 1183, 1185, 1187, 2951,
];

/// Is it only tested for NULL, and of a type by which it is surely nothing else?
pub(super) fn is_other(parameter: &ParameterUse, oid: u32) -> bool {
    parameter.tested && OTHER_OIDS.contains(&oid)
}

/// Can sealed values stand in all parameters that are values of a sealed field? `types`: as the client
/// declares them.
pub(super) fn check_declared(view: &View, parameters: &[ParameterUse], types: &[u32]) -> Result<(), Refusal> {
    for parameter in parameters {
        let field = field_of(view, parameter.field)?;
        let declared = types.get(usize::from(parameter.number).saturating_sub(1));
        let Some(oid) = declared.filter(|_| field.domain.is_some()) else { continue };
        if !is_text(parameter, *oid) && !is_other(parameter, *oid) {
            let detail = format!("parameter ${} is declared with type OID {oid}", parameter.number);
            return Err(Refusal::value(&field.path(), &detail));
        }
    }
    Ok(())
}

impl Workshop {
    /// Seals one value of a field; a field that is not sealed is copied as it is.
    pub(super) fn seal_value(
        &mut self,
        field: &Field,
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let Some(domain) = &field.domain else {
            out.extend_from_slice(plain);
            return Ok(());
        };
        let Some(sealer) = &mut self.sealer else {
            return Err(Refusal::unhandled("no-keys", "No keyring is loaded.", "See sealgate check."));
        };
        sealer.seal(domain, plain, out).map_err(|error| match error {
            SealError::NotText => Refusal::value(&field.path(), "not valid UTF-8 text"),
            SealError::TooLong => Refusal::value(&field.path(), "longer than a sealed value can be"),
            SealError::UnknownDomain => Refusal::unhandled(
                "no-keys",
                "The keyring does not hold this field's domain.",
                "Run sealgate keys init.",
            ),
        })
    }

    /// The text with every classified literal sealed, and spelled so that it means what was
    /// judged; unchanged where there is nothing to do.
    fn clear_text(
        &mut self,
        view: &View,
        plan: &Plan,
        text: &[u8],
        fields: &mut Vec<FieldId>,
    ) -> Result<(Vec<u8>, Moved), Refusal> {
        let lost =
            || Refusal::unhandled("splice", "A literal could not be replaced in place.", "Use a parameter.");
        let mut replacements = BTreeMap::new();
        for literal in plan.facts.statements.iter().flat_map(|facts| &facts.literals) {
            let field = field_of(view, literal.field)?;
            if field.domain.is_none() {
                continue;
            }
            let source = text.get(literal.span.clone()).ok_or_else(lost)?;
            let plain = literal_value(source, literal.form).ok_or_else(lost)?;
            let mut sealed = Vec::new();
            if literal.array {
                value::map_text_array(&plain, &mut sealed, |item, out| self.seal_element(field, item, out))
                    .map_err(|error: ElementError| error.refusal(field))?;
            } else {
                self.seal_value(field, &plain, &mut sealed)?;
            }
            fields.push(literal.field);
            // Not a part of the word before it.
            let mut new = Vec::with_capacity(sealed.len() + 3);
            let before = literal.span.start.checked_sub(1).and_then(|before| text.get(before));
            if before.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80) {
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
        let spliced = splice(text, &replacements).ok_or_else(lost)?;
        Ok((spliced, Moved::new(text, &replacements)))
    }

    /// A Query message with its literals sealed.
    pub(super) fn clear_query(&mut self, view: &View, plan: &Plan, text: &[u8]) -> Result<Cleared, Refusal> {
        let (mut out, mut sealed) = (Vec::new(), Vec::new());
        let (text, moved) = self.clear_text(view, plan, text, &mut sealed)?;
        frontend::put_query(&mut out, &text);
        Ok(Cleared { moved, ..Cleared::new(out, sealed) })
    }

    /// A Parse message with its literals sealed. The types of its parameters stay as they were
    /// declared: each that may stand for a sealed value stands for text at the server too, and
    /// so the client is told what it would be told directly.
    pub(super) fn clear_parse(
        &mut self,
        view: &View,
        plan: &Plan,
        parse: &Parse<'_>,
    ) -> Result<Cleared, Refusal> {
        let types: Vec<u32> = parse.types().collect();
        self.clear_prepared(view, plan, parse.name, parse.text, &types)
    }

    /// The same of a statement whose parts are known.
    pub(super) fn clear_prepared(
        &mut self,
        view: &View,
        plan: &Plan,
        name: &[u8],
        text: &[u8],
        types: &[u32],
    ) -> Result<Cleared, Refusal> {
        for facts in &plan.facts.statements {
            check_declared(view, &facts.parameters, types)?;
        }
        let (mut out, mut sealed) = (Vec::new(), Vec::new());
        let (text, moved) = self.clear_text(view, plan, text, &mut sealed)?;
        frontend::put_parse(&mut out, name, &text, types);
        Ok(Cleared { moved, ..Cleared::new(out, sealed) })
    }

    /// A Bind message with its classified parameters sealed.
    pub(super) fn clear_bind(
        &mut self,
        view: &View,
        prepared: &Prepared,
        bind: &Bind<'_>,
    ) -> Result<Cleared, Refusal> {
        let (mut replaced, mut sealed) = (Vec::new(), Vec::new());
        let statements = prepared.plan.iter().flat_map(|plan| &plan.facts.statements);
        for parameter in statements.flat_map(|facts| &facts.parameters) {
            let field = field_of(view, parameter.field)?;
            let at = usize::from(parameter.number).saturating_sub(1);
            let Some(Some(plain)) = bind.values.get(at) else { continue };
            let declared = prepared.types.get(at).copied().unwrap_or(0);
            if field.domain.is_none() || is_other(parameter, declared) {
                continue;
            }
            let mut out = Vec::with_capacity(plain.len() * 2 + 64);
            match (parameter.array, bind.format(at)) {
                (false, 0 | 1) => self.seal_value(field, plain, &mut out)?,
                (true, 0) => {
                    value::map_text_array(plain, &mut out, |item, out| self.seal_element(field, item, out))
                        .map_err(|error| error.refusal(field))?
                }
                (true, 1) => {
                    value::map_binary_array(plain, &mut out, |item, out| self.seal_element(field, item, out))
                        .map_err(|error| error.refusal(field))?
                }
                (_, _) => return Err(Refusal::value(&field.path(), "unknown parameter format code")),
            }
            sealed.push(field.id);
            replaced.push((at, out));
        }
        let mut out = Vec::new();
        bind.put(&mut out, &replaced);
        Ok(Cleared::new(out, sealed))
    }

    fn seal_element(&mut self, field: &Field, item: &[u8], out: &mut Vec<u8>) -> Result<(), ElementError> {
        self.seal_value(field, item, out).map_err(|refusal| ElementError::Refused(Box::new(refusal)))
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
    fn refusal(self, field: &Field) -> Refusal {
        match self {
            ElementError::Malformed => Refusal::value(&field.path(), "not a one-dimensional array of text"),
            ElementError::Refused(refusal) => *refusal,
        }
    }
}

pub(super) fn field_of(view: &View, id: FieldId) -> Result<&Field, Refusal> {
    view.snapshot().field(id).ok_or_else(|| {
        Refusal::unhandled(
            "catalog-changed",
            "A classified field is not in the catalog any more.",
            "Try again.",
        )
    })
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

    #[test]
    fn what_is_only_tested_for_null_stays_as_it_is_where_its_type_can_hold_no_such_value() {
        let asked = |tested| ParameterUse { number: 1, field: FieldId(0), array: false, tested };
        for oid in [16, 23, 1700, 1114, 2950, 1007] {
            assert!(is_other(&asked(true), oid) && !is_other(&asked(false), oid), "{oid}");
        }
        // bpchar, name, "char", bytea, json, jsonb, xml, inet, text, and types of users.
        for oid in [1042, 19, 18, 17, 114, 3802, 142, 869, 25, 16_400] {
            assert!(!is_other(&asked(true), oid), "{oid}");
        }
    }
}
