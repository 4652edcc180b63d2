//! From a text to its facts: caps, grammar, census, walk, second reader, shape.

use std::collections::HashSet;
use std::sync::Arc;

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{Node, ParseResult, RawStmt};

use crate::catalog::{Named, Names, Snapshot};

use super::behind::Behind;
use super::by_name;
use super::define::block;
use super::define::changes;
use super::define::definition;
use super::define::doors;
use super::define::moving;
use super::define::named;
use super::facts::{Edit, LiteralUse, Remedy, Renames, ResultColumn, StatementFacts, TextFacts};
use super::follow::flow::{Seen, Walk};
use super::follow::told::shown;
use super::follow::uses::Uses;
use super::matters::{Bench, names_relation_that_matters, refuse_definition};
use super::opaque;
use super::opening;
use super::read::bounds::{self, Limits};
use super::read::census::{Census, NamePath, census};
use super::read::reader::{self, Claims, Read};
use super::read::shape::shape;
use super::read::signs::signs;
use super::read::sort::Sort;
use super::read::spelling;
use super::read::tree::{self, Encoding, Reading, kind};
use super::refusal::{Proven, disagreement, refuse, unless, unsupported};
use super::stating;
use super::subject;

/// Judges a text that hit the prefilter: the facts of each of its statements, or why they
/// could not be proven. For simple Query texts (several statements) and for Parse texts.
///
/// What is proven is true of the text with its [`Edit`](super::Edit)s, in whichever string mode
/// and encoding the server reads it: the configuration of a server is read anew at any moment,
/// and what was reported last need not hold any more.
///
/// # Errors
///
/// [`Unproven`](super::Unproven): the text must not go upstream.
pub fn analyse(text: &[u8], reading: Reading, names: Names<'_>, limits: &Limits) -> Proven<TextFacts> {
    bounds::check(text, limits)?;
    let characters = readable(text, reading)?;
    if spelling::folds_otherwise(characters, reading, |word| names.snapshot.may_fold_to(word)) {
        return Err(refuse(
            "name-folding",
            "a name has characters beyond ASCII, and the encoding of the database is not UTF8",
            "Write the name in double quotes, as the server has it, with client_encoding UTF8.",
        ));
    }
    let mut facts = read_as(text, characters, reading, names)?;
    facts.said = stating::commented(characters, reading.standard_conforming_strings);
    if !spelling::is_certain(characters, reading) {
        let touches = facts.statements.iter().any(StatementFacts::touches);
        let otherwise = || read_as(text, characters, reading.in_the_other_mode(), names);
        let plain = |facts: &TextFacts| facts.statements.iter().all(StatementFacts::is_plain);
        let harmless = !touches
            && facts.edits.is_empty()
            && plain(&facts)
            && otherwise().is_ok_and(|other| plain(&other));
        if !harmless {
            spelling::write_out(characters, reading, &mut facts.edits)?;
        }
    }
    Ok(facts)
}

/// The same in one reading.
fn read_as(text: &[u8], characters: &str, reading: Reading, names: Names<'_>) -> Proven<TextFacts> {
    let parsed = tree::parse(characters, reading)?;
    let mut behind = Behind::nothing(names);
    let mut facts = TextFacts { statements: Vec::with_capacity(parsed.stmts.len()), ..TextFacts::default() };
    let mut censuses = Vec::with_capacity(parsed.stmts.len());
    for raw in &parsed.stmts {
        let found = census(raw);
        let Some(node) = raw.stmt.as_deref() else {
            return Err(refuse("unparsed", "a statement of the text is empty", "Leave it out."));
        };
        let names = behind.names();
        let bench = Bench { snapshot: names.snapshot, names, text, reading };
        behind.admits(node, &found)?;
        let mut judged = statement(bench, node, &found)?;
        behind.admits_judged(node, &mut judged)?;
        facts.by_path |= names.path.is_some();
        behind.takes(node, &judged);
        facts.statements.push(judged);
        censuses.push(found);
    }
    let names = behind.names();
    let bench = Bench { snapshot: names.snapshot, names, text, reading };
    if facts.statements.iter().any(|facts| facts.touches() || facts.is_spelled()) {
        confirm(bench, characters, &parsed, &censuses, &mut facts)?;
    } else if facts.statements.iter().any(|facts| facts.action().is_some() || facts.is_recorded()) {
        // Nothing of it is replaced: only the record wants to know what it was, as far as it can.
        let _ = confirm(bench, characters, &parsed, &censuses, &mut facts);
    }
    confirm_arguments(bench, characters, &parsed, &censuses, &mut facts);
    let insertions = facts.statements.iter().flat_map(|facts| &facts.insertions);
    let inserted =
        insertions.map(|(at, new)| Edit { span: *at..*at, new: new.clone().into_bytes(), quotes: false });
    let rewritten = facts.statements.iter().flat_map(|facts| facts.rewrites.iter().cloned());
    let mut edits: Vec<Edit> = inserted.chain(rewritten).collect();
    edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
    edits.dedup();
    facts.edits = edits;
    Ok(facts)
}

/// The text as characters, if both parsers and the server read its bytes alike.
pub(super) fn readable(text: &[u8], reading: Reading) -> Proven<&str> {
    if text.contains(&0) {
        return Err(refuse("not-utf8", "the statement holds a zero byte", "Send text."));
    }
    if reading.encoding == Encoding::Other && !text.is_ascii() {
        return Err(refuse(
            "encoding",
            "the statement has characters beyond ASCII in a client encoding that is not followed",
            "Set client_encoding to UTF8.",
        ));
    }
    std::str::from_utf8(text)
        .map_err(|_| refuse("not-utf8", "the statement is not valid UTF-8", "Set client_encoding to UTF8."))
}

/// Facts of one statement, without shape and fingerprint.
pub(super) fn statement(bench: Bench<'_>, node: &Node, found: &Census) -> Proven<StatementFacts> {
    if found.incomplete {
        return Err(refuse(
            "census",
            "the statement could not be taken apart",
            "Write it in a plainer form.",
        ));
    }
    // What a block does to the schema is what the definitions in it do.
    if let Some(Kind::DoStmt(code)) = kind(node)
        && let Some(judged) = block::judged(bench, code)
    {
        return judged.or_else(|refused| statement_of(bench, node, found).map_err(|_| refused));
    }
    statement_of(bench, node, found)
}

/// The same of what is not taken apart.
fn statement_of(bench: Bench<'_>, node: &Node, found: &Census) -> Proven<StatementFacts> {
    // What holds a query has it judged by itself.
    let holds =
        matches!(kind(node), Some(Kind::ExplainStmt(_) | Kind::DeclareCursorStmt(_) | Kind::PrepareStmt(_)));
    let follows = is_query(node) || holds;
    let opened = opening::opened(bench, node, found)?;
    match &opened {
        None => definition::refuse_reaching_functions(bench.names, found, follows)?,
        Some(_) => definition::refuse_reaching_but(bench.names, found, |call| {
            bench.snapshot.opening(&call.parts).is_some()
        })?,
    }
    definition::refuse_shadows(bench.snapshot, found)?;
    doors::refuse_moved_database(bench.snapshot.bound(), node)?;
    let opens = opened.is_some();
    let mut facts = if let Some(opened) = opened {
        opened
    } else if is_query(node) {
        query_or_apart(bench, node, found)?
    } else {
        definition::judge(bench, node, found)?
    };
    let legible = bench.snapshot.legible().next().is_some();
    let opaque = opaque::judge(bench, node, found, &facts)?;
    facts.keeps = bench.snapshot.has_sealed()
        && (opaque.as_ref().is_some_and(|found| found.keeps) || opaque::keeps(bench, node, found));
    facts.gives = opaque::gives(bench, node, found, &facts);
    if facts.effect.catalog {
        if bench.names.path.is_none() && changes::wants_path(bench, node) {
            return Err(unless(
                Remedy::Path,
                refuse(
                    "relation-ambiguous",
                    "a definition of what the search path may not lead to, or lead to another one",
                    "Write schema.table.",
                ),
            ));
        }
        match facts.effect.changes {
            None => {
                let followed = changes::followed(bench, node, found, opaque.is_some());
                facts.effect.changes = followed.map(Arc::from);
            }
            // What runs meanwhile may change more; a view that is made runs nothing yet.
            Some(_) if opaque.as_ref().is_some_and(|found| Sort::of(node) != Sort::View || !found.proven) => {
                return Err(refuse_definition("code that nobody follows, in a definition,"));
            }
            Some(_) => {}
        }
    }
    facts.boundary = changes::boundary(node);
    facts.effect.states = stating::states(node, found);
    if let Some((states, edit)) = stating::token(bench, node, found)? {
        facts.effect.states.push(states);
        facts.rewrites.extend(edit);
    }
    facts.renames = match &opaque {
        None => Renames::Nothing,
        Some(found) if found.proven => Renames::Portals,
        Some(_) => Renames::Anything,
    };
    facts.opaque = opaque.map(|found| found.why).filter(|_| legible);
    if facts.copy.is_some() {
        facts.subjects = subject::subjects(bench, node, found, &facts);
    }
    if facts.opaque.is_some() {
        subject::forget(&mut facts.subjects, subject::OPAQUE);
    }
    facts.effect.executes = by_name::executes(bench, node, found).map(Arc::new);
    facts.effect.closes = by_name::closes(node);
    facts.effect.reading |= definition::changes_reading(node, found);
    facts.effect.converts |= definition::changes_encoding(node, found);
    facts.effect.encoding = definition::encoding_of(node);
    facts.effect.configures |= found.settings.iter().any(Option::is_none);
    facts.is_quiet = is_query(node) && is_quiet(found);
    facts.relations = relations_that_matter(bench.snapshot, found);
    facts.moved = if facts.effect.moves { moving::moved(bench, node, found, &facts) } else { Vec::new() };
    facts.effect.makes = moving::makes(bench, node);
    facts.defines = named::defined(bench, node, found, &facts);
    by_name::defer(&mut facts);
    if opens {
        // The name of the cursor.
        facts.outputs = vec![ResultColumn::Plain];
    }
    Ok(facts)
}

/// Functions, operators and types of ordinary statements.
const ORDINARY: &str = " count sum min max avg lower upper length now nextval = <> < > <= >= ~~ !~~ || + - * / \
    pg_catalog text varchar bpchar int2 int4 int8 float4 float8 numeric bool date timestamp timestamptz uuid \
    json jsonb bytea _text _varchar _int4 _int8 _uuid ";

fn is_quiet(found: &Census) -> bool {
    let named = found.calls.iter().chain(&found.operators).chain(&found.types);
    named
        .flat_map(|name| &name.parts)
        .all(|name| !name.contains(' ') && ORDINARY.contains(&format!(" {name} ")))
}

/// The tables that matter and that are named anywhere in a statement.
fn relations_that_matter(snapshot: &Snapshot, found: &Census) -> Vec<Arc<str>> {
    let names =
        found.ranges.iter().map(|range| range.name.as_str()).chain(found.words.iter().map(String::as_str));
    let mut all: Vec<Arc<str>> =
        names.filter(|name| !matches!(snapshot.named(None, name), Named::Harmless)).map(Arc::from).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn is_query(node: &Node) -> bool {
    Sort::of(node) == Sort::Query
}

/// Facts of a query that a client sends by itself: a parameter may be several to the server.
fn query_or_apart(bench: Bench<'_>, node: &Node, found: &Census) -> Proven<StatementFacts> {
    const TORN: [&str; 2] = ["parameter-conflict", "domain-differs"];
    let refused = match query(bench, node, found) {
        Err(refused) if TORN.contains(&refused.reason) && !found.parameters.is_empty() => refused,
        judged => return judged,
    };
    let mut walk = Walk::new(bench, bench.reading.standard_conforming_strings);
    walk.classes.tell_places_apart();
    followed(walk, bench, node, found)
        .map_err(|other| if other.reason == "parameter-conflict" { other } else { refused })
}

/// Facts of the rows of a query, wherever they go.
pub(super) fn query(bench: Bench<'_>, node: &Node, found: &Census) -> Proven<StatementFacts> {
    if !names_relation_that_matters(bench.names, found) {
        return Ok(StatementFacts::default());
    }
    followed(Walk::new(bench, bench.reading.standard_conforming_strings), bench, node, found)
}

fn followed<'a>(
    mut walk: Walk<'a>,
    bench: Bench<'a>,
    node: &'a Node,
    found: &Census,
) -> Proven<StatementFacts> {
    walk.into = tree::into(node);
    let outputs = walk.query(node)?;
    walk.emit(&outputs)?;
    shown(node).into_iter().for_each(|one| walk.classes.show(one));
    account(&walk, found)?;
    let mut facts = facts_of(walk)?;
    facts.subjects = subject::subjects(bench, node, found, &facts);
    Ok(facts)
}

pub(super) fn facts_of(mut walk: Walk<'_>) -> Proven<StatementFacts> {
    walk.finish()?;
    let Uses { literals, parameters, edits, renumbered } = walk.classes.uses()?;
    walk.edits.extend(edits);
    for (start, number) in renumbered {
        let edit = renumber(walk.text, start, number);
        walk.edits.push(edit.ok_or_else(|| unsupported("a parameter whose place is not found"))?);
    }
    // Nobody changes a text that is kept in the database.
    if walk.kept && !walk.edits.is_empty() {
        return Err(unsupported("a call or a cast that is done before a value is sealed"));
    }
    Ok(StatementFacts {
        parameters,
        literals,
        rewrites: std::mem::take(&mut walk.edits),
        reads: walk.reads.iter().copied().collect(),
        outputs: std::mem::take(&mut walk.outputs),
        searches: walk.searches.iter().copied().collect(),
        writes: walk.writes.iter().copied().collect(),
        insertions: std::mem::take(&mut walk.insertions),
        positional: walk.positional,
        joins: walk.joins,
        ..StatementFacts::default()
    })
}

/// What gives another number to the parameter that begins there.
fn renumber(text: &str, start: usize, number: u16) -> Option<Edit> {
    let digits = text.get(start..)?.strip_prefix('$')?;
    let length = digits.find(|character: char| !character.is_ascii_digit()).unwrap_or(digits.len());
    let span = start..start + 1 + length;
    (length > 0).then(|| Edit { span, new: format!("${number}").into_bytes(), quotes: false })
}

/// Completeness: whatever the census counted, the walk has visited.
pub(super) fn account(walk: &Walk<'_>, found: &Census) -> Proven<()> {
    // `TABLE t` is a `*` that stands nowhere.
    let star = |column: &NamePath| column.parts.is_empty() && column.location == -1;
    let starred = walk.seen.contains(&(Seen::Column, -1));
    let columns = found.columns.iter().filter(|column| !(starred && star(column)));
    let columns = columns.map(|column| (Seen::Column, column.location));
    let ranges = found.ranges.iter().map(|range| (Seen::Range, range.location));
    let calls = found.calls.iter().map(|call| (Seen::Call, call.location));
    let parameters = found.parameters.iter().map(|(_, location)| (Seen::Parameter, *location));
    for (what, location) in columns.chain(ranges).chain(calls).chain(parameters) {
        if location < 0 && what != Seen::Call || !walk.seen.contains(&(what, location)) {
            return Err(refuse(
                "census",
                "a part of the statement was not followed",
                "Write the statement in a plainer form.",
            ));
        }
    }
    Ok(())
}

/// Asks the second reader, then writes shapes and fingerprints of what touches.
fn confirm(
    bench: Bench<'_>,
    characters: &str,
    parsed: &ParseResult,
    censuses: &[Census],
    facts: &mut TextFacts,
) -> Proven<()> {
    // Of those within the body of a DO the second reader has been asked where they stand.
    let literals: Vec<_> = facts
        .statements
        .iter()
        .zip(&parsed.stmts)
        .filter(|(_, raw)| !is_block(raw))
        .flat_map(|(statement, _)| statement.literals.iter().cloned())
        .collect();
    let tokens = agreed(bench.snapshot, bench.text, characters, parsed, censuses, &literals)?;
    facts.signs = signs(characters, &tokens);
    for ((statement, raw), found) in facts.statements.iter_mut().zip(&parsed.stmts).zip(censuses) {
        if statement.action().is_some() || statement.is_recorded() {
            describe(bench, characters, raw, found, &tokens, statement)?;
        }
    }
    Ok(())
}

fn is_block(raw: &RawStmt) -> bool {
    matches!(raw.stmt.as_deref().and_then(kind), Some(Kind::DoStmt(_)))
}

/// What is given to EXECUTE is a literal only where both readers see the same one.
fn confirm_arguments(
    bench: Bench<'_>,
    characters: &str,
    parsed: &ParseResult,
    censuses: &[Census],
    facts: &mut TextFacts,
) {
    let arguments = facts.statements.iter().flat_map(by_name::written_arguments);
    let sealed = facts.statements.iter().flat_map(|statement| statement.literals.iter().cloned());
    let mut literals: Vec<_> = arguments.chain(sealed).collect();
    if facts.statements.iter().all(|facts| by_name::written_arguments(facts).is_empty()) {
        return;
    }
    literals.sort_by_key(|literal| literal.span.start);
    if agreed(bench.snapshot, bench.text, characters, parsed, censuses, &literals).is_err() {
        facts.statements.iter_mut().for_each(by_name::doubt_arguments);
    }
}

/// The tokens of a text in which both readers see the same strings, names and statements.
pub(super) fn agreed(
    snapshot: &Snapshot,
    text: &[u8],
    characters: &str,
    parsed: &ParseResult,
    censuses: &[Census],
    literals: &[LiteralUse],
) -> Proven<Vec<Read>> {
    let tokens = reader::read(characters)?;
    let awaited = snapshot.patterns().iter().map(|entry| &entry.field);
    let mut names: HashSet<&str> =
        snapshot.fields().iter().chain(awaited).map(|field| &*field.column).collect();
    names.extend(
        censuses
            .iter()
            .flat_map(|census| &census.ranges)
            .filter(|range| !matches!(snapshot.named(None, &range.name), Named::Harmless))
            .map(|range| range.name.as_str()),
    );
    let statements = parsed.stmts.len();
    reader::confirm(&tokens, &Claims { text, statements, censuses, literals, names: &names })?;
    Ok(tokens)
}

fn describe(
    bench: Bench<'_>,
    characters: &str,
    raw: &RawStmt,
    found: &Census,
    tokens: &[Read],
    statement: &mut StatementFacts,
) -> Proven<()> {
    let unfit = || disagreement("where a statement begins");
    let start = usize::try_from(raw.stmt_location).map_err(|_| unfit())?;
    let length = usize::try_from(raw.stmt_len).map_err(|_| unfit())?;
    let end = if length == 0 { characters.len() } else { start.saturating_add(length) };
    let source = characters.get(start..end).ok_or_else(unfit)?;
    let from = tokens.partition_point(|read| read.span.start < start);
    let to = tokens.partition_point(|read| read.span.start < end);
    let own = tokens.get(from..to).ok_or_else(unfit)?;
    let known =
        |name: &str| bench.snapshot.knows(name) || found.defined.iter().any(|defined| defined == name);
    statement.shape = Arc::from(shape(characters, own, known, |_| true));
    statement.fingerprint =
        Arc::from(tree::fingerprint(source, bench.reading).ok_or_else(|| disagreement("its fingerprint"))?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::shop::{READING, shop};
    use super::*;

    #[test]
    fn refuses_what_the_walk_has_not_visited() {
        let snapshot = shop();
        for sql in ["SELECT 1 FROM customers", "SELECT email", "SELECT $1", "SELECT f()", "TABLE customers"] {
            let parsed = tree::parse(sql, READING).unwrap();
            let found = census(&parsed);
            let names = snapshot.names(None);
            let bench = Bench { snapshot: &snapshot, names, text: sql.as_bytes(), reading: READING };
            let walk = Walk::new(bench, true);
            assert_eq!(account(&walk, &found).expect_err(sql).reason, "census");
        }
    }
}
