//! Views of sealed columns that only pass them on, and new names that code of the database has already.

use std::ops::Range;
use std::sync::Arc;

use pg_query::protobuf::RangeVar;

use crate::catalog::{Change, Column, QualifiedName, RelationKind};

use super::super::facts::{Edit, Effect, ResultColumn, StatementFacts, Unproven};
use super::super::matters::{Bench, catalog_changes, refuse_definition};
use super::super::read::spelling::{Lexeme, Lexer};
use super::super::refusal::{Proven, refuse, unsupported};
use super::target::{self, Made};

/// Code finds what it names when it runs: a new name that stands in it would be used by it at once.
pub(super) fn named_by_code(name: &str) -> Unproven {
    refuse(
        "definition",
        format!(
            "functions or arguments of triggers name \"{name}\" already, and would reach classified columns by it, unread"
        ),
        "Give it another name, or drop the code that names it, and make that anew once this is committed.",
    )
}

/// A view that passes sealed columns on. Its name would take rows before anybody here knows of it: until the
/// catalog has been read, it leads to what matters, and may not be used; it goes to the server when no text
/// that others have under way may use it.
pub(super) fn passing(
    bench: Bench<'_>,
    target: &RangeVar,
    inner: StatementFacts,
    replaces: bool,
) -> Proven<StatementFacts> {
    let given = !inner.literals.is_empty() || !inner.parameters.is_empty() || !inner.rewrites.is_empty();
    let made =
        inner.outputs.iter().any(|column| matches!(column, ResultColumn::Derived(_) | ResultColumn::Text(_)));
    if given || made {
        return Err(refuse(
            "definition",
            "a view would make a value of sealed columns, or give them one",
            "Pass each sealed column on as it is, and leave values to the statements that use the view.",
        ));
    }
    let codes = bench.snapshot.codes();
    if codes.everything.is_some() || codes.by_events {
        return Err(refuse_definition("a view of sealed columns, where definitions run other code,"));
    }
    if codes.spoken.may_name(&target.relname) {
        return Err(named_by_code(&target.relname));
    }
    let (schema, insertion) = target::new_view(bench, target)?;
    let replaced = if replaces { replaced(bench, target, &schema, &inner)? } else { None };
    let table = QualifiedName { schema, name: target.relname.as_str().into() };
    let why = "a view of sealed columns, made in this transaction".into();
    let mut insertions = inner.insertions;
    insertions.extend(insertion.map(Made::insertion));
    let mut searches = [inner.reads, inner.searches].concat();
    searches.sort_unstable();
    searches.dedup();
    let changes: Arc<[Change]> = [Change::Led { table, why, unless_there: false }].into();
    let effect = Effect { changes: Some(changes), ..catalog_changes().effect };
    let rewrites = replaced.into_iter().collect();
    Ok(StatementFacts {
        reads: Vec::new(),
        outputs: Vec::new(),
        searches,
        insertions,
        rewrites,
        effect,
        ..inner
    })
}

/// OR REPLACE. What is made of a view keeps what it has read there: so each column must stay of its field. Where
/// nobody is known to have the name, it is left out: if somebody has it, the server says so.
fn replaced(
    bench: Bench<'_>,
    target: &RangeVar,
    schema: &str,
    inner: &StatementFacts,
) -> Proven<Option<Edit>> {
    let snapshot = bench.snapshot;
    let known = snapshot.relation(schema, &target.relname);
    let stays = |(column, output): (&Column, &ResultColumn)| match (column.field, output) {
        (Some(field), ResultColumn::Field(shown)) => field == *shown,
        (None, ResultColumn::Plain) => true,
        _ => false,
    };
    match known {
        Some(view) if view.kind == RelationKind::View && view.reaches.is_none() => {
            let alike = view.columns.iter().zip(&inner.outputs).all(stays);
            if alike && view.columns.len() <= inner.outputs.len() {
                return Ok(None);
            }
        }
        None if !snapshot.knows(&target.relname) || snapshot.was_taken(&target.relname) => {
            let text = std::str::from_utf8(bench.text).unwrap_or_default();
            let words = or_replace(text, target.location, bench.reading.standard_conforming_strings);
            let span = words.ok_or_else(|| unsupported("OR REPLACE without a place"))?;
            return Ok(Some(Edit { span, new: Vec::new(), quotes: false }));
        }
        Some(_) | None => {}
    }
    Err(refuse(
        "definition",
        "OR REPLACE of a relation by a view whose columns are of other fields: what is made of it would lead to them, unread",
        "DROP VIEW, and CREATE VIEW behind it.",
    ))
}

/// Where OR REPLACE stands before the name at this place.
fn or_replace(text: &str, before: i32, conforming: bool) -> Option<Range<usize>> {
    let before = usize::try_from(before).ok()?;
    let (mut from, mut found) = (None, None);
    for lexeme in Lexer::new(text, conforming) {
        let (lexeme, span) = lexeme?;
        if span.start >= before {
            break;
        }
        if lexeme == Lexeme::Comment {
            continue;
        }
        let is = |word: &str| {
            lexeme == Lexeme::Word && text.get(span.clone()).is_some_and(|own| own.eq_ignore_ascii_case(word))
        };
        match from {
            Some(start) if is("replace") => found = Some(start..span.end),
            Some(_) | None => from = is("or").then_some(span.start),
        }
    }
    found
}
