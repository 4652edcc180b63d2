//! What the parts of the judgement share: what they look at, which names matter, and the facts
//! and refusals of definitions.

use pg_query::protobuf;

use crate::catalog::{Field, Named, Names, Snapshot};

use super::facts::{Effect, StatementFacts, Unproven};
use super::read::census::Census;
use super::read::tree::Reading;
use super::refusal::refuse;

/// What every part of the judgement may look at.
#[derive(Clone, Copy)]
pub(super) struct Bench<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) names: Names<'a>,
    pub(super) text: &'a [u8],
    pub(super) reading: Reading,
}

/// Does any relation of this census matter, or a function that is used like one?
pub(super) fn names_relation_that_matters(names: Names<'_>, found: &Census) -> bool {
    found.ranges.iter().any(|range| {
        let schema = Some(range.schema.as_str()).filter(|schema| !schema.is_empty());
        !matches!(names.named(schema, &range.name), Named::Harmless)
    }) || found.calls.iter().any(|call| names.snapshot.followed_function(&call.parts).is_some())
}

pub(super) const ADMINISTER: &str =
    "Run it over an administrative connection to the server; Sealgate follows the catalog within moments.";

pub(super) fn refuse_definition(what: &str) -> Unproven {
    refuse("definition", format!("{what} would lead to a classified column or change one"), ADMINISTER)
}

/// A statement that changes the catalog, and nothing classified.
pub(super) fn catalog_changes() -> StatementFacts {
    StatementFacts { effect: Effect { catalog: true, ..Effect::default() }, ..StatementFacts::default() }
}

/// The same of one that changes what names or columns mean.
pub(super) fn moves() -> StatementFacts {
    let facts = catalog_changes();
    StatementFacts { effect: Effect { moves: true, ..facts.effect }, ..facts }
}

/// Does this string, taken apart into names, hold one that matters?
pub(super) fn names_what_matters(snapshot: &Snapshot, string: &str) -> bool {
    holds_any(snapshot.watched_names(), string)
}

/// Does it hold one that leads to a sealed column?
pub(super) fn names_what_is_sealed(snapshot: &Snapshot, string: &str) -> bool {
    holds_any(snapshot.sealed_names(), string)
}

/// The names that a string may be made of.
pub(super) fn words(string: &str) -> impl Iterator<Item = &str> {
    string.split(|c: char| c.is_ascii() && !u8::try_from(c).is_ok_and(is_name_byte))
}

fn holds_any<'a>(names: impl Iterator<Item = &'a str>, string: &str) -> bool {
    names.filter(|name| !name.is_empty()).any(|name| {
        let plain = name.bytes().all(is_name_byte);
        if !plain {
            return string.to_ascii_lowercase().contains(&name.to_ascii_lowercase());
        }
        words(string).any(|part| part.eq_ignore_ascii_case(name))
    })
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// The field that the policy has for a column of a table of this name, whatever the
/// catalog knows of it.
pub(super) fn policy_field<'a>(
    snapshot: &'a Snapshot,
    range: &protobuf::RangeVar,
    column: &str,
) -> Option<&'a Field> {
    let known = snapshot.fields().iter().find(|field| {
        *field.table.name == *range.relname
            && (range.schemaname.is_empty() || *field.table.schema == *range.schemaname)
            && *field.column == *column
    });
    let schema = Some(range.schemaname.as_str()).filter(|schema| !schema.is_empty());
    let awaited = || snapshot.pattern_fields(schema, &range.relname).find(|field| *field.column == *column);
    // A view that passes it on.
    let passed = || {
        let relation = match schema {
            Some(schema) => snapshot.relation(schema, &range.relname),
            None => snapshot.only_relation(&range.relname),
        };
        snapshot.field(relation?.column(column)?.field?)
    };
    known.or_else(awaited).or_else(passed)
}
