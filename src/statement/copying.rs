//! Functions of triggers that only copy: the history of a table, a mark of when a row was changed. Of
//! PL/pgSQL so much is read as they are made of, and each statement is judged as one of a client is,
//! with `NEW` and `OLD` as rows of the trigger's table. Anything else in a body is not followed.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use pg_query::protobuf::Node;
use pg_query::protobuf::node::Node as Kind;

use crate::catalog::{QualifiedName, Relation, Snapshot};

use super::facts::Unproven;
use super::follow::flow::Walk;
use super::follow::from::unknown_source;
use super::follow::scope::{Columns, Source};
use super::judge::{account, facts_of};
use super::matters::Bench;
use super::read::census::census;
use super::read::spelling::{Lexeme, Lexer};
use super::read::tree::{self, kind};
use super::refusal::{Proven, refuse, unsupported};
use super::view::READING;

/// Branches within branches, at the most.
const DEPTH_MAX: usize = 16;

/// Follows the body of a function of triggers on `table`.
///
/// Returns the bare names of the relations that it uses.
///
/// # Errors
/// [`Unproven`]: why it cannot be followed, or what it would do to sealed columns.
pub fn followed_trigger(body: &str, table: &QualifiedName, snapshot: &Snapshot) -> Proven<Vec<Arc<str>>> {
    let lexemes = lexemes(body)?;
    // A row as a whole holds sealed values beside others.
    let word = |at: usize| -> Option<String> {
        let (lexeme, span) = lexemes.get(at)?;
        (*lexeme != Lexeme::Plain).then(|| body.get(span.clone()).unwrap_or_default().to_ascii_lowercase())
    };
    let whole = (0..lexemes.len()).any(|at| {
        let is_row = word(at).is_some_and(|word| matches!(word.trim_matches('"'), "new" | "old"));
        let before = at.checked_sub(1).and_then(word);
        is_row && word(at + 1).as_deref() != Some(".") && before.as_deref() != Some("return")
    });
    if whole {
        return Err(unread());
    }
    let relation = snapshot.relation(&table.schema, &table.name);
    let used = RefCell::default();
    let mut read = Reader { body, lexemes, at: 0, depth: 0, snapshot, relation, used };
    read.expect("begin")?;
    read.statements(&["end"])?;
    read.expect("end")?;
    if read.peek_mark() == Some(";") {
        read.at += 1;
    }
    if read.at == read.lexemes.len() { Ok(read.used.into_inner()) } else { Err(unread()) }
}

/// The lexemes of a body, but for comments.
pub(super) fn lexemes(body: &str) -> Proven<Vec<(Lexeme, Range<usize>)>> {
    let mut lexemes = Vec::new();
    for lexeme in Lexer::new(body, true) {
        let Some((lexeme, span)) = lexeme else { return Err(unread()) };
        let source = body.get(span.clone()).unwrap_or("\\");
        // What a backslash means is for whoever runs it to say.
        if lexeme == Lexeme::Plain && source.contains('\\') {
            return Err(unread());
        }
        if lexeme != Lexeme::Comment {
            lexemes.push((lexeme, span));
        }
    }
    Ok(lexemes)
}

fn unread() -> Unproven {
    refuse(
        "definition",
        "its function does more than copy rows",
        "Vouch for it, or write what it does in SQL.",
    )
}

/// Reads a body word by word.
pub(super) struct Reader<'a> {
    pub(super) body: &'a str,
    pub(super) lexemes: Vec<(Lexeme, Range<usize>)>,
    pub(super) at: usize,
    pub(super) depth: usize,
    pub(super) snapshot: &'a Snapshot,
    /// None: nothing of the trigger's table is classified.
    pub(super) relation: Option<&'a Relation>,
    pub(super) used: RefCell<Vec<Arc<str>>>,
}

impl<'a> Reader<'a> {
    fn source(&self, at: usize) -> Option<(Lexeme, &'a str)> {
        let (lexeme, span) = self.lexemes.get(at)?;
        Some((*lexeme, self.body.get(span.clone())?))
    }

    pub(super) fn word(&self, at: usize) -> Option<String> {
        let (lexeme, source) = self.source(at)?;
        (lexeme == Lexeme::Word).then(|| source.to_ascii_lowercase())
    }

    pub(super) fn peek_mark(&self) -> Option<&'a str> {
        self.source(self.at).filter(|(lexeme, _)| *lexeme == Lexeme::Mark).map(|(_, source)| source)
    }

    pub(super) fn expect(&mut self, expected: &str) -> Proven<()> {
        let found = self.word(self.at);
        let found = found.as_deref().or_else(|| self.peek_mark());
        if found != Some(expected) {
            return Err(unread());
        }
        self.at += 1;
        Ok(())
    }

    /// The text up to a word or a mark that stands in no brackets, which is passed over.
    pub(super) fn until(&mut self, end: &str) -> Proven<&'a str> {
        let start = self.lexemes.get(self.at).map(|(_, span)| span.start).ok_or_else(unread)?;
        let mut depth = 0_usize;
        loop {
            let (lexeme, source) = self.source(self.at).ok_or_else(unread)?;
            let span = self.lexemes.get(self.at).map(|(_, span)| span.start).ok_or_else(unread)?;
            self.at += 1;
            match (lexeme, source) {
                (Lexeme::Mark, "(" | "[") => depth += 1,
                (Lexeme::Mark, ")" | "]") => depth = depth.checked_sub(1).ok_or_else(unread)?,
                (Lexeme::Mark | Lexeme::Word, _) if depth == 0 && source.eq_ignore_ascii_case(end) => {
                    return self.body.get(start..span).ok_or_else(unread);
                }
                (Lexeme::Mark, ";") => return Err(unread()),
                _ => {}
            }
        }
    }

    fn statements(&mut self, ends: &[&str]) -> Proven<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(unread());
        }
        loop {
            let word = self.word(self.at).ok_or_else(unread)?;
            if ends.contains(&word.as_str()) {
                self.depth -= 1;
                return Ok(());
            }
            self.statement(&word)?;
        }
    }

    fn statement(&mut self, word: &str) -> Proven<()> {
        match word {
            "null" => {
                self.at += 1;
                self.expect(";")
            }
            "return" => {
                self.at += 1;
                let what = self.word(self.at).ok_or_else(unread)?;
                if !matches!(what.as_str(), "new" | "old" | "null") {
                    return Err(unread());
                }
                self.at += 1;
                self.expect(";")
            }
            "if" => {
                loop {
                    // IF or ELSIF.
                    self.at += 1;
                    let condition = self.until("then")?;
                    self.expression(condition, None)?;
                    self.statements(&["elsif", "elseif", "else", "end"])?;
                    if !matches!(self.word(self.at).as_deref(), Some("elsif" | "elseif")) {
                        break;
                    }
                }
                if self.word(self.at).as_deref() == Some("else") {
                    self.at += 1;
                    self.statements(&["end"])?;
                }
                ["end", "if", ";"].iter().try_for_each(|next| self.expect(next))
            }
            "new" => {
                self.at += 1;
                self.expect(".")?;
                let column = self.word(self.at).ok_or_else(unread)?;
                self.at += 1;
                if self.peek_mark() == Some(":") {
                    self.at += 1;
                }
                self.expect("=")?;
                let value = self.until(";")?;
                self.expression(value, Some(&column))
            }
            "insert" | "update" | "delete" => {
                let text = self.until(";")?;
                self.sql(text)
            }
            _ => Err(unread()),
        }
    }

    /// The rows that a statement sees beside its own.
    fn rows(&self) -> Vec<Source<'a>> {
        let row = |alias: &str| {
            let columns = self.relation.map_or(Columns::Unknown, Columns::Table);
            Source { columns, ..unknown_source(alias) }.under(alias, true)
        };
        // TG_OP and its like.
        vec![row("new"), row("old"), unknown_source("")]
    }

    /// A condition, or what is assigned to a column of NEW.
    fn expression(&self, text: &str, column: Option<&str>) -> Proven<()> {
        let text = format!("SELECT {text}");
        self.judged(&text, |walk, node| {
            let outputs = walk.query(node)?;
            let [only] = outputs.columns.as_slice() else { return Err(unread()) };
            let field = column.and_then(|column| self.relation?.column(column)?.field);
            match field {
                Some(field) => walk.store(field, &only.flow),
                None => walk.store_plain(&only.flow),
            }
        })
    }

    fn sql(&self, text: &str) -> Proven<()> {
        self.judged(text, |walk, node| {
            let writes =
                matches!(kind(node), Some(Kind::InsertStmt(_) | Kind::UpdateStmt(_) | Kind::DeleteStmt(_)));
            let outputs = walk.query(node)?;
            if writes && outputs.columns.is_empty() { Ok(()) } else { Err(unread()) }
        })
    }

    fn judged(
        &self,
        text: &str,
        walks: impl for<'w> FnOnce(&mut Walk<'w>, &'w Node) -> Proven<()>,
    ) -> Proven<()> {
        let parsed = tree::parse(text, READING)?;
        let [only] = parsed.stmts.as_slice() else { return Err(unread()) };
        let Some(node) = only.stmt.as_deref() else { return Err(unread()) };
        let found = census(node);
        let names = self.snapshot.names(None);
        let bench = Bench { snapshot: self.snapshot, names, text: text.as_bytes(), reading: READING };
        if found.incomplete {
            return Err(unsupported("this function"));
        }
        super::define::definition::refuse_reaching_functions(names, &found, false)?;
        self.used.borrow_mut().extend(found.ranges.iter().map(|range| Arc::from(range.name.as_str())));
        let mut walk = Walk::new(bench, true);
        walk.kept = true;
        walk.scope.push(self.rows());
        walks(&mut walk, node)?;
        account(&walk, &found)?;
        let facts = facts_of(walk)?;
        if !facts.literals.is_empty() || !facts.parameters.is_empty() {
            return Err(refuse(
                "definition",
                "its function has a value of its own for a sealed column",
                "Let the statements that are sent write it.",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::shop::shop;
    use super::*;

    fn followed(body: &str, table: &str) -> Result<(), String> {
        let table = QualifiedName { schema: "public".into(), name: table.into() };
        followed_trigger(body, &table, &shop()).map(|_| ()).map_err(|unproven| unproven.detail)
    }

    #[test]
    fn what_only_copies_is_followed() {
        for body in [
            "BEGIN RETURN NEW; END",
            "begin new.note := 'changed'; return new; end;",
            "BEGIN INSERT INTO public.leads (id, email) VALUES (NEW.id, NEW.email); RETURN NULL; END;",
            "BEGIN INSERT INTO leads (id, email) SELECT OLD.id, OLD.email; RETURN OLD; END;",
            "BEGIN IF TG_OP = 'INSERT' THEN INSERT INTO leads (email) VALUES (NEW.email); RETURN NEW; \
             ELSIF OLD.email IS DISTINCT FROM NEW.email THEN UPDATE leads SET email = NEW.email WHERE email = OLD.email; \
             ELSE DELETE FROM leads WHERE leads.email = OLD.email; END IF; RETURN NULL; END",
            "BEGIN -- a comment; with a semicolon\n NEW.note = coalesce(NEW.note, upper('x')); RETURN NEW; END",
            "BEGIN INSERT INTO log (what, at) VALUES (TG_TABLE_NAME, now()); RETURN NULL; END",
            "BEGIN NEW.email := OLD.email; RETURN NEW; END",
        ] {
            assert_eq!(followed(body, "customers"), Ok(()), "{body}");
        }
    }

    #[test]
    fn what_does_more_is_not() {
        for body in [
            "BEGIN INSERT INTO log (what) VALUES (NEW.email); RETURN NEW; END",
            "BEGIN INSERT INTO leads (id, email) VALUES (NEW.id, NEW.note); RETURN NEW; END",
            "BEGIN INSERT INTO leads (id, email) VALUES (NEW.id, NEW.phone); RETURN NEW; END",
            "BEGIN INSERT INTO leads (id, email) VALUES (NEW.id, 'nobody@x'); RETURN NEW; END",
            "BEGIN INSERT INTO leads (id, email) VALUES (NEW.id, lower(NEW.email)); RETURN NEW; END",
            "BEGIN NEW.email := lower(NEW.email); RETURN NEW; END",
            "BEGIN NEW.email := 'x'; RETURN NEW; END",
            "BEGIN NEW.note := NEW.email; RETURN NEW; END",
            "BEGIN IF NEW.email LIKE '%@x' THEN RETURN NULL; END IF; RETURN NEW; END",
            "BEGIN IF NEW.phone = OLD.phone THEN RETURN NULL; END IF; RETURN NEW; END",
            "BEGIN IF NEW.email = 'a@x' THEN RETURN NULL; END IF; RETURN NEW; END",
            "BEGIN EXECUTE 'DELETE FROM leads'; RETURN NEW; END",
            "BEGIN PERFORM reach_all(); RETURN NEW; END",
            "BEGIN NEW := OLD; RETURN NEW; END",
            "DECLARE x text; BEGIN x := NEW.email; RETURN NEW; END",
            "BEGIN INSERT INTO leads (email) VALUES (NEW.email) RETURNING email INTO x; RETURN NEW; END",
            "BEGIN RETURN ROW('a', 'b'); END",
            "BEGIN NEW.note := 'a\\'; RETURN NEW; END",
            "BEGIN RETURN NEW; EXCEPTION WHEN others THEN RETURN OLD; END",
            "BEGIN RETURN NEW; END; DELETE FROM leads",
            "BEGIN RETURN NEW",
            "BEGIN INSERT INTO leads (email) VALUES ((NEW).email); RETURN NEW; END",
            "BEGIN INSERT INTO leads SELECT (NEW).*; RETURN NEW; END",
            "BEGIN INSERT INTO log (what) VALUES (NEW); RETURN NEW; END",
            "BEGIN INSERT INTO leads VALUES (NEW.id, NEW.email); RETURN NEW; END",
            "BEGIN INSERT INTO leads (id, email) SELECT OLD.*; RETURN NEW; END",
            "BEGIN INSERT INTO log (what) VALUES (to_jsonb(\"new\")); RETURN NEW; END",
        ] {
            assert!(followed(body, "customers").is_err(), "{body}");
        }
        // On a table of which nothing is classified all is plain.
        assert!(
            followed("BEGIN INSERT INTO leads (email) VALUES (NEW.mail); RETURN NEW; END", "orders").is_err()
        );
        assert_eq!(
            followed("BEGIN INSERT INTO log (mail) VALUES (NEW.mail); RETURN NEW; END", "orders"),
            Ok(())
        );
    }
}
