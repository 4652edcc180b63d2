//! Indexes on tables that matter: on the sealed columns themselves, by the operator classes of text.

use std::ops::Range;

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, Node};

use crate::catalog::{Called, Domain, Field, Normal, Verdict};

use super::super::facts::{StatementFacts, Unproven};
use super::super::follow::algebra;
use super::super::matters::{Bench, catalog_changes, names_what_matters, refuse_definition};
use super::super::read::census::Census;
use super::super::read::literal::quoted_name;
use super::super::read::spelling::{Lexeme, Lexer};
use super::super::read::tree::{self, kind};
use super::super::read::typed::end_of_call;
use super::super::refusal::{Proven, refuse, unsupported};
use super::draft::{Draft, refuse_random};
use super::opclass::class_of_text;
use super::target::{is_missing, is_pinned, matters, settled};

/// CREATE INDEX: plain columns of equality fields, and expressions over others.
pub(in crate::statement) fn indexed(
    bench: Bench<'_>,
    index: &protobuf::IndexStmt,
    found: &Census,
) -> Proven<StatementFacts> {
    let Some(range) = &index.relation else { return Err(unsupported("this index")) };
    let mut draft = Draft::of(bench, settled(bench, range));
    let is_missing = is_missing(bench, range);
    let known = !is_missing && (matters(bench, range) || is_pinned(bench, range));
    let classified = if known { draft.walk.classified(range)? } else { None };
    if classified.is_none() && !is_missing {
        if names_what_matters(bench.snapshot, &index.idxname) {
            return Err(refuse_definition("an index of this name"));
        }
        return draft.finish(catalog_changes());
    }
    if found.ranges.len() != 1 {
        return Err(unsupported("this index"));
    }
    for element in &index.index_params {
        let Some(Kind::IndexElem(element)) = kind(element) else { return Err(unsupported("this index")) };
        draft.element(index, element)?;
    }
    if let Some(predicate) = index.where_clause.as_deref() {
        draft.condition(predicate)?;
    }
    if !index.exclude_op_names.is_empty() {
        return Err(unsupported("an exclusion constraint"));
    }
    draft.classes(index)?;
    let note = draft.normalized.then_some(ON_THE_COLUMN);
    draft.finish(StatementFacts { note, ..catalog_changes() })
}

const ON_THE_COLUMN: &str = "the index is made on the sealed column itself, which holds normalized values";

impl<'a> Draft<'a> {
    /// A column or an expression of an index.
    fn element(&mut self, index: &protobuf::IndexStmt, element: &'a protobuf::IndexElem) -> Proven<()> {
        let field = match element.expr.as_deref() {
            None => self.sealed(&element.name),
            Some(expression) => match self.normal(expression)? {
                Some((field, span)) => {
                    self.rewrite(span, quoted_name(&field.column));
                    self.normalized = true;
                    Some(field)
                }
                None => return self.refuse_expression(expression),
            },
        };
        let Some(field) = field else { return Ok(()) };
        refuse_random(field, "an index")?;
        if !matches!(index.access_method.as_str(), "" | "btree" | "hash") {
            return Err(refuse(
                "definition",
                format!(
                    "an index of method {} looks into {}, which is sealed",
                    index.access_method,
                    field.path()
                ),
                "Write a btree or hash index on the column, which finds equal values.",
            ));
        }
        let collation: Vec<&str> = element.collation.iter().filter_map(tree::name).collect();
        if !matches!(collation.as_slice(), [] | [.., "C" | "POSIX" | "default" | "ucs_basic"]) {
            return Err(unsupported("an index by this collation"));
        }
        Ok(())
    }

    /// The sealed column whose values are normalized as this expression does it, and where it stands: its
    /// index is one on the column.
    fn normal(&self, expression: &Node) -> Proven<Option<(&'a Field, Range<usize>)>> {
        let Some(Kind::FuncCall(outer)) = kind(expression) else { return Ok(None) };
        let (mut at, mut steps) = (expression, Vec::new());
        loop {
            match kind(at) {
                Some(Kind::FuncCall(call)) => {
                    let (Some(step), [arg]) = (self.step(call), call.args.as_slice()) else {
                        return Ok(None);
                    };
                    steps.push(step);
                    at = arg;
                }
                Some(Kind::TypeCast(cast)) => {
                    let text = cast.type_name.as_ref().is_some_and(|of| tree::is_plain_text_type(of, false));
                    let Some(arg) = cast.arg.as_deref().filter(|_| text) else { return Ok(None) };
                    at = arg;
                }
                Some(Kind::ColumnRef(column)) => {
                    let Some(name) = tree::last_name(&column.fields) else { return Ok(None) };
                    let Some(field) = self.sealed(name) else { return Ok(None) };
                    let Some(domain) = &field.domain else { return Ok(None) };
                    refuse_otherwise_normal(field, domain, &steps)?;
                    let start = usize::try_from(outer.location).ok();
                    let conforming = self.bench.reading.standard_conforming_strings;
                    let end = start.and_then(|start| end_of_call(self.text(), start, conforming));
                    let span = start.zip(end).map(|(start, end)| start..end);
                    return Ok(Some((field, span.ok_or_else(|| unsupported("this expression"))?)));
                }
                Some(_) | None => return Ok(None),
            }
        }
    }

    /// What a call does to a text, if it is the server's own function of this name.
    fn step(&self, call: &protobuf::FuncCall) -> Option<Normal> {
        let names = self.bench.names;
        if algebra::fold(names, call).is_some() {
            return Some(Normal::Lowercase);
        }
        let parts: Vec<&str> = call.funcname.iter().filter_map(tree::name).collect();
        let called = Called { schema: Some("pg_catalog"), name: "btrim", path: names.path };
        let own = parts == ["pg_catalog", "btrim"] && call.args.len() == 1;
        let harmless = matches!(names.snapshot.codes().function(called), Verdict::Harmless);
        (own && harmless).then_some(Normal::Trim)
    }

    /// Operator classes of the declared types become those of text.
    fn classes(&mut self, index: &'a protobuf::IndexStmt) -> Proven<()> {
        let elements = || {
            index.index_params.iter().filter_map(|element| match kind(element) {
                Some(Kind::IndexElem(element)) => Some(element),
                Some(_) | None => None,
            })
        };
        let mut done: Vec<&str> = Vec::new();
        for element in elements().filter(|element| !element.opclass.is_empty()) {
            if element.expr.is_some() || self.sealed(&element.name).is_none() {
                continue;
            }
            let class = tree::last_name(&element.opclass).unwrap_or_default();
            let own = class_of_text(class).filter(|_| element.opclassopts.is_empty());
            let own = own.ok_or_else(|| unsupported("an index by this class of operators"))?;
            if own == class || done.contains(&class) {
                continue;
            }
            let alike = || elements().filter(|one| tree::last_name(&one.opclass) == Some(class));
            let all = alike().all(|one| one.expr.is_none() && self.sealed(&one.name).is_some());
            let places = self.words(index, class);
            if element.opclass.len() != 1 || !all || places.len() != alike().count() {
                return Err(unsupported("an index by this class of operators"));
            }
            places.into_iter().for_each(|place| self.rewrite(place, own));
            done.push(class);
        }
        Ok(())
    }

    /// Where a word stands in the definition of an index, behind the name of its table.
    fn words(&self, index: &protobuf::IndexStmt, word: &str) -> Vec<Range<usize>> {
        let start = index.relation.as_ref().and_then(|range| usize::try_from(range.location).ok());
        let text = self.text();
        let lexemes = Lexer::starting(
            text,
            start.unwrap_or(text.len()),
            self.bench.reading.standard_conforming_strings,
        );
        let own =
            lexemes.map_while(|lexeme| lexeme).take_while(|(_, span)| text.get(span.clone()) != Some(";"));
        let is = |span: &Range<usize>| {
            text.get(span.clone()).is_some_and(|found| found.eq_ignore_ascii_case(word))
        };
        own.filter(|(lexeme, span)| *lexeme == Lexeme::Word && is(span)).map(|(_, span)| span).collect()
    }
}

fn refuse_otherwise_normal(field: &Field, domain: &Domain, steps: &[Normal]) -> Proven<()> {
    match steps.iter().find(|step| !domain.kind.normalize.has(**step)) {
        None => Ok(()),
        Some(step) => Err(not_normal(field, *step)),
    }
}

fn not_normal(field: &Field, step: Normal) -> Unproven {
    refuse(
        "definition",
        format!("an index is over an expression of {}, which is sealed as it is written", field.path()),
        format!(
            "normalize = \"{}\" in the policy makes it an index on the column; or index the column itself.",
            step.name()
        ),
    )
}
