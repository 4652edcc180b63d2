//! DO around definitions, as tools write them that have no IF NOT EXISTS for what they define:
//! `DO $$ BEGIN ALTER TABLE ... ADD CONSTRAINT ...; EXCEPTION WHEN duplicate_object THEN null; END $$`.
//!
//! Each definition in it is judged as if a client had sent it by itself, at its place in the text. What else
//! may stand around them is little: BEGIN and END, IF over what is not classified, and an EXCEPTION that does
//! nothing. Any other body is code, which is judged by the names in it.

use std::ops::Range;
use std::sync::Arc;

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, Node};

use crate::catalog::Change;

use super::super::facts::{Effect, LiteralForm, Renames, StatementFacts};
use super::super::judge::{agreed, statement};
use super::super::matters::{Bench, names_relation_that_matters};
use super::super::read::census::census;
use super::super::read::literal::{literal_value, written_literal};
use super::super::read::spelling::{Lexeme, Lexer};
use super::super::read::tree::{self, kind};
use super::super::refusal::{Proven, refuse};

/// Definitions and conditions of one body.
const PARTS_MAX: usize = 64;
/// Blocks within each other.
const DEPTH_MAX: usize = 8;

/// One piece of a body.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    /// It may be passed over: by an IF, or as if it had not been, by an EXCEPTION.
    Definition {
        span: Range<usize>,
        may_fail: bool,
        chosen: bool,
    },
    Condition(Range<usize>),
}

/// The facts of the definitions in a DO, where it holds nothing else. None: it does.
pub(in crate::statement) fn judged(
    bench: Bench<'_>,
    code: &protobuf::DoStmt,
) -> Option<Proven<StatementFacts>> {
    let (body, place) = body(bench, code)?;
    let parts = parts(&body)?;
    let definitions = parts.iter().filter(|part| matches!(part, Part::Definition { .. })).count();
    let mut facts: Option<StatementFacts> = None;
    for part in parts {
        match part {
            Part::Condition(span) => is_harmless(bench, body.get(span)?)?,
            Part::Definition { span, may_fail, chosen } => {
                let mut one = match definition(bench, &body, span, place)? {
                    Ok(one) => one,
                    Err(refused) => return Some(Err(refused)),
                };
                let changes = one.effect.changes.take();
                let none = changes.as_deref().is_some_and(<[Change]>::is_empty);
                // What comes behind it would have to be judged by it.
                if definitions > 1 && !none {
                    return None;
                }
                one.effect.changes = match changes {
                    Some(changes) if none || !(may_fail || chosen) => Some(changes),
                    Some(changes) if !chosen => left(bench, changes),
                    Some(_) | None => None,
                };
                match &mut facts {
                    None => facts = Some(one),
                    Some(all) => add(all, one),
                }
            }
        }
    }
    facts.map(Ok)
}

/// What is there behind an enumeration that was made, or was there: no other way to fail is passed over.
fn left(bench: Bench<'_>, changes: Arc<[Change]>) -> Option<Arc<[Change]>> {
    let [Change::Enumerated { name, .. }] = &*changes else { return None };
    let mut owns = bench.snapshot.fields().iter().filter_map(|field| field.own.as_ref());
    let there = owns.any(|own| own.name == *name && own.found.is_some());
    Some(if there { Arc::from([]) } else { changes })
}

/// The body as the server gets it, and where it begins in the text; nowhere, if it stands otherwise there.
fn body(bench: Bench<'_>, code: &protobuf::DoStmt) -> Option<(String, Option<usize>)> {
    let (mut body, mut at) = (None, None);
    for option in &code.args {
        let Some(Kind::DefElem(option)) = kind(option) else { return None };
        let value = option.arg.as_deref().and_then(tree::name)?;
        match option.defname.as_str() {
            "as" if body.is_none() => {
                (body, at) = (Some(value), usize::try_from(option.location).ok());
            }
            "language" if value == "plpgsql" => {}
            _ => return None,
        }
    }
    let (body, at) = (body?, at?);
    // It is read once more from the text, and means one thing in every string mode and encoding.
    if !body.is_ascii() || body.contains('\\') {
        return None;
    }
    let text = std::str::from_utf8(bench.text).ok()?;
    let written = written_literal(text, at, body, bench.reading.standard_conforming_strings).ok()?;
    let source = bench.text.get(written.span.clone())?;
    let value = literal_value(source, written.form)?;
    let place = (written.form == LiteralForm::Dollar).then(|| at + (source.len() - value.len()) / 2);
    Some((body.to_owned(), place))
}

/// Judges a definition where it stands. None: it is none that may stand in a block.
fn definition(
    bench: Bench<'_>,
    body: &str,
    span: Range<usize>,
    place: Option<usize>,
) -> Option<Proven<StatementFacts>> {
    let source = body.get(span.clone())?;
    let start = place.map_or(0, |place| place + span.start);
    let text = format!("{}{source}", " ".repeat(start));
    let parsed = tree::parse(&text, bench.reading).ok()?;
    let [raw] = parsed.stmts.as_slice() else { return None };
    let node = raw.stmt.as_deref().filter(|node| may_stand(node))?;
    let found = census(raw);
    let facts = match statement(Bench { text: text.as_bytes(), ..bench }, node, &found) {
        Ok(facts) => facts,
        Err(refused) => return Some(Err(refused)),
    };
    if facts.is_spelled() || facts.touches() {
        let found = std::slice::from_ref(&found);
        let agree = agreed(bench.snapshot, text.as_bytes(), &text, &parsed, found, &facts.literals);
        if let Err(refused) = agree {
            return Some(Err(refused));
        }
    }
    // What is sealed holds no dollar and no quote, so it closes no body in dollars.
    if place.is_none() && !facts.literals.is_empty() {
        return Some(Err(refuse(
            "definition",
            "a constant of a sealed column stands in a DO block that is written in quotes",
            "Write the block as $$...$$, or send the definition by itself.",
        )));
    }
    let changed = facts.insertions.values().map(String::as_bytes);
    let mut changed = changed.chain(facts.rewrites.iter().map(|edit| &*edit.new));
    let closes = changed.any(|new| place.is_none() || new.contains(&b'$'));
    (!closes && is_definition(&facts)).then_some(Ok(facts))
}

/// Kinds of definitions that may stand in a block.
fn may_stand(node: &Node) -> bool {
    match kind(node) {
        Some(
            Kind::AlterTableStmt(_)
            | Kind::IndexStmt(_)
            | Kind::CreateEnumStmt(_)
            | Kind::AlterEnumStmt(_)
            | Kind::CreateStmt(_)
            | Kind::CreateSchemaStmt(_)
            | Kind::CreateSeqStmt(_)
            | Kind::CommentStmt(_),
        ) => true,
        Some(_) | None => false,
    }
}

/// Does it do nothing but to define, without code that runs with it?
fn is_definition(facts: &StatementFacts) -> bool {
    let Effect { changes, moves, makes, .. } = &facts.effect;
    let defines =
        Effect { changes: changes.clone(), moves: *moves, makes: makes.clone(), ..Effect::default() };
    let effect = Effect { catalog: facts.effect.catalog, ..defines };
    facts.effect == effect
        && facts.opaque.is_none()
        && facts.renames == Renames::Nothing
        && facts.boundary.is_none()
        && facts.parameters.is_empty()
        && facts.outputs.is_empty()
        && facts.copy.is_none()
}

/// Is it a condition over nothing that matters, by code that is known?
fn is_harmless(bench: Bench<'_>, condition: &str) -> Option<()> {
    let text = format!("SELECT {condition}");
    let parsed = tree::parse(&text, bench.reading).ok()?;
    let [raw] = parsed.stmts.as_slice() else { return None };
    let found = census(raw);
    if names_relation_that_matters(bench.names, &found) {
        return None;
    }
    let facts = statement(Bench { text: text.as_bytes(), ..bench }, raw.stmt.as_deref()?, &found).ok()?;
    (facts.is_plain() && facts.renames == Renames::Nothing && !facts.keeps).then_some(())
}

/// Several definitions as one statement.
fn add(all: &mut StatementFacts, one: StatementFacts) {
    fn merge<T: Ord>(all: &mut Vec<T>, more: Vec<T>) {
        all.extend(more);
        all.sort_unstable();
        all.dedup();
    }
    merge(&mut all.reads, one.reads);
    merge(&mut all.searches, one.searches);
    merge(&mut all.writes, one.writes);
    merge(&mut all.relations, one.relations);
    merge(&mut all.moved, one.moved);
    merge(&mut all.effect.makes, one.effect.makes);
    if let Some(defines) = one.defines {
        merge(all.defines.get_or_insert_default(), defines);
    }
    all.literals.extend(one.literals);
    all.effect.catalog |= one.effect.catalog;
    all.effect.moves |= one.effect.moves;
    all.insertions.extend(one.insertions);
    all.rewrites.extend(one.rewrites);
    all.positional |= one.positional;
    all.joins |= one.joins;
    all.keeps |= one.keeps;
    all.gives |= one.gives;
    all.is_quiet &= one.is_quiet;
    all.note = all.note.or(one.note);
    all.subjects.extend(one.subjects);
}

/// The pieces of a body, in their order. None: it holds more than is followed.
fn parts(body: &str) -> Option<Vec<Part>> {
    let mut words = Vec::new();
    for lexeme in Lexer::new(body, true) {
        let (lexeme, span) = lexeme?;
        if lexeme != Lexeme::Comment {
            words.push((lexeme, span));
        }
    }
    let mut reader = Reader { body, words, at: 0, parts: Vec::new() };
    reader.takes("begin")?;
    reader.block(0)?;
    reader.take(";");
    (reader.at == reader.words.len()).then_some(reader.parts)
}

struct Reader<'a> {
    body: &'a str,
    words: Vec<(Lexeme, Range<usize>)>,
    at: usize,
    parts: Vec<Part>,
}

impl Reader<'_> {
    fn is(&self, word: &str) -> bool {
        let Some((lexeme, span)) = self.words.get(self.at) else { return false };
        matches!(lexeme, Lexeme::Word | Lexeme::Mark)
            && self.body.get(span.clone()).is_some_and(|found| found.eq_ignore_ascii_case(word))
    }

    fn take(&mut self, word: &str) -> bool {
        let is = self.is(word);
        self.at += usize::from(is);
        is
    }

    fn takes(&mut self, word: &str) -> Option<()> {
        self.take(word).then_some(())
    }

    fn push(&mut self, part: Part) -> Option<()> {
        self.parts.push(part);
        (self.parts.len() <= PARTS_MAX).then_some(())
    }

    /// Behind BEGIN, up to END.
    fn block(&mut self, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        let first = self.parts.len();
        while !self.is("end") && !self.is("exception") {
            self.statement(depth)?;
        }
        if self.take("exception") {
            let mut only_there = true;
            while self.take("when") {
                loop {
                    let (_, span) = self.words.get(self.at).filter(|(of, _)| *of == Lexeme::Word)?;
                    only_there &= self.body.get(span.clone())?.eq_ignore_ascii_case("duplicate_object");
                    self.at += 1;
                    if !self.take("or") {
                        break;
                    }
                }
                self.takes("then")?;
                while self.take("null") {
                    self.takes(";")?;
                }
            }
            for part in self.parts.iter_mut().skip(first) {
                if let Part::Definition { may_fail, chosen, .. } = part {
                    *may_fail = true;
                    *chosen |= !only_there;
                }
            }
        }
        self.takes("end")
    }

    fn statement(&mut self, depth: usize) -> Option<()> {
        if self.take("begin") {
            self.block(depth + 1)?;
            return self.takes(";");
        }
        if self.take("null") {
            return self.takes(";");
        }
        if self.take("if") {
            let condition = self.until("then")?;
            self.push(Part::Condition(condition))?;
            self.takes("then")?;
            let first = self.parts.len();
            while !self.is("end") {
                self.statement(depth)?;
            }
            for part in self.parts.iter_mut().skip(first) {
                if let Part::Definition { chosen, .. } = part {
                    *chosen = true;
                }
            }
            self.takes("end")?;
            self.takes("if")?;
            return self.takes(";");
        }
        // What else may begin one is a statement of PL/pgSQL, or none that is followed.
        if !["alter", "create", "comment"].iter().any(|word| self.is(word)) {
            return None;
        }
        let span = self.until(";")?;
        self.takes(";")?;
        self.push(Part::Definition { span, may_fail: false, chosen: false })
    }

    /// What stands before this word, at the same depth of parentheses; it is the next one then.
    fn until(&mut self, word: &str) -> Option<Range<usize>> {
        let start = self.words.get(self.at)?.1.start;
        let (mut end, mut depth) = (start, 0_usize);
        while depth > 0 || !self.is(word) {
            // PL/pgSQL takes INTO for its own, and ends a statement at any semicolon.
            if self.is("into") || self.is(";") {
                return None;
            }
            if self.is("(") {
                depth += 1;
            } else if self.is(")") {
                depth = depth.checked_sub(1)?;
            }
            end = self.words.get(self.at)?.1.end;
            self.at += 1;
        }
        (end > start).then_some(start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definitions with `?` where they may fail and `!` where they may be passed over, and `(conditions)`.
    fn told(body: &str) -> Option<String> {
        let parts = parts(body)?;
        let text = |span: &Range<usize>| body.get(span.clone()).unwrap().to_owned();
        let told = parts.iter().map(|part| match part {
            Part::Condition(span) => format!("({})", text(span)),
            Part::Definition { span, may_fail, chosen } => {
                format!(
                    "{}{}{}",
                    text(span),
                    if *may_fail { "?" } else { "" },
                    if *chosen { "!" } else { "" }
                )
            }
        });
        Some(told.collect::<Vec<_>>().join(" | "))
    }

    #[test]
    fn a_body_is_taken_apart_where_it_only_defines() {
        for (body, parts) in [
            ("BEGIN ALTER TABLE a ADD b int; END", "ALTER TABLE a ADD b int"),
            (
                "\nbegin\n CREATE TYPE x AS ENUM ('a;', 'b'); exception\n WHEN duplicate_object THEN null;\nEND;\n",
                "CREATE TYPE x AS ENUM ('a;', 'b')?",
            ),
            ("BEGIN CREATE TABLE x (); EXCEPTION WHEN others THEN END", "CREATE TABLE x ()?!"),
            (
                "BEGIN CREATE TABLE x (); EXCEPTION WHEN duplicate_object OR duplicate_table THEN NULL; END;",
                "CREATE TABLE x ()?!",
            ),
            (
                "BEGIN IF NOT EXISTS (SELECT 1 /* THEN */ FROM c) THEN ALTER TABLE a ADD b int; END IF; NULL; END",
                "(NOT EXISTS (SELECT 1 /* THEN */ FROM c)) | ALTER TABLE a ADD b int!",
            ),
            (
                "BEGIN BEGIN ALTER TABLE a ADD b int; EXCEPTION WHEN duplicate_object THEN END; COMMENT ON TABLE a IS 'x'; END",
                "ALTER TABLE a ADD b int? | COMMENT ON TABLE a IS 'x'",
            ),
        ] {
            assert_eq!(told(body).as_deref(), Some(parts), "{body}");
        }
        for body in [
            "",
            "DECLARE x int; BEGIN ALTER TABLE a ADD b int; END",
            "<<x>> BEGIN ALTER TABLE a ADD b int; END",
            "BEGIN EXECUTE 'ALTER TABLE a ADD b int'; END",
            "BEGIN ALTER TABLE a ADD b int; END; SELECT 1",
            "BEGIN ALTER TABLE a ADD b int END",
            "BEGIN PERFORM f(); END",
            "BEGIN UPDATE a SET b = 1; END",
            "BEGIN SELECT 1; END",
            "BEGIN CREATE TABLE a AS SELECT 1 INTO b; END",
            "BEGIN ALTER TABLE a ADD b int; EXCEPTION WHEN others THEN RAISE; END",
            "BEGIN ALTER TABLE a ADD b int; EXCEPTION WHEN SQLSTATE '42710' THEN NULL; END",
            "BEGIN IF true THEN ALTER TABLE a ADD b int; ELSE NULL; END IF; END",
            "BEGIN IF THEN ALTER TABLE a ADD b int; END IF; END",
            "BEGIN FOR i IN 1..2 LOOP ALTER TABLE a ADD b int; END LOOP; END",
            "BEGIN CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END; END; END",
            "BEGIN ALTER TABLE a ADD b text DEFAULT 'x; END",
        ] {
            assert!(told(body).is_none(), "{body}");
        }
    }
}
