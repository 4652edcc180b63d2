//! Doors by which what is stored leaves the policy at one blow: a database under another name,
//! the server's own files, ways to other servers. They stand in every text of every database, whatever it names; so a
//! text is parsed for them alone where [`Scan`] says that one may be there.

use std::sync::Arc;

use aho_corasick::AhoCorasick;
use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, Node, ObjectType};

use crate::catalog::Bound;

use super::super::facts::{Effect, StatementFacts, Unproven};
use super::super::matters::ADMINISTER;
use super::super::read::bounds::{self, Limits};
use super::super::read::census::census;
use super::super::read::scan::Scan;
use super::super::read::tree::{self, Encoding, Reading, kind};
use super::super::refusal::{Proven, refuse};

/// What a copy is made of where nothing is said.
const DEFAULT_TEMPLATE: &str = "template1";

/// What sessions look for in a database in which nothing is classified.
pub struct Doors {
    bound: Arc<Bound>,
    /// One of these bytes stands in every text that matters.
    rare: Option<AhoCorasick>,
}

impl Doors {
    /// None where the policy rests on no database's name.
    #[must_use]
    pub fn of(bound: Bound) -> Option<Doors> {
        let rare = || AhoCorasick::builder().ascii_case_insensitive(true).build(["database", "u&\""]).ok();
        (!bound.is_empty()).then(|| Doors { rare: rare(), bound: Arc::new(bound) })
    }

    /// Must this text, or what surrounds one in a message, be judged?
    #[must_use]
    pub fn may_stand_in(&self, text: &[u8]) -> bool {
        let scan = || Scan::of(text);
        self.rare.as_ref().is_none_or(|rare| rare.is_match(text))
            && (self.may_stand(&scan()) || scan().may_want_database())
    }

    /// The same of what was scanned piece by piece.
    #[must_use]
    pub fn may_stand(&self, scan: &Scan) -> bool {
        may_move(&self.bound, scan)
    }

    /// Judges a text that may have one, of a database in which nothing is classified. Returns the
    /// databases that it wants for itself.
    ///
    /// # Errors
    /// It has one, or may have one and cannot be read.
    pub fn judge(&self, text: &[u8], reading: Reading, limits: &Limits) -> Proven<Vec<Arc<str>>> {
        match self.read(text, reading, limits) {
            Err(_) if !self.may_stand(&Scan::of(text)) => Ok(Vec::new()),
            judged => judged,
        }
    }

    fn read(&self, text: &[u8], reading: Reading, limits: &Limits) -> Proven<Vec<Arc<str>>> {
        bounds::check(text, limits)?;
        if reading.encoding == Encoding::Other && !text.is_ascii() {
            return Err(refuse(
                "encoding",
                "the statement may give a database another name, in a client encoding that is not followed",
                "Set client_encoding to UTF8.",
            ));
        }
        if !text.is_ascii() && text.contains(&b'\\') {
            // In another encoding, which may hold by now, a backslash is half of a character.
            return Err(refuse(
                "literal-form",
                "the statement may give a database another name, and holds a backslash and letters beyond ASCII",
                "Send it without a backslash.",
            ));
        }
        let characters = std::str::from_utf8(text).map_err(|_| {
            refuse("not-utf8", "the statement is not valid UTF-8", "Set client_encoding to UTF8.")
        })?;
        let parsed = tree::parse(characters, reading)?;
        // Where the server reads otherwise by now, and cannot read it, it runs nothing.
        let other = text.contains(&b'\\').then(|| tree::parse(characters, reading.in_the_other_mode()).ok());
        let mut wanted = Vec::new();
        for raw in parsed.stmts.iter().chain(other.flatten().iter().flat_map(|parsed| &parsed.stmts)) {
            if let Some(node) = raw.stmt.as_deref() {
                refuse_moved_database(&self.bound, node)?;
                refuse_code(&self.bound, node)?;
                wanted.extend(of_databases(node).and_then(|facts| facts.effect.wants));
            }
        }
        Ok(wanted)
    }
}

/// The facts of a statement that makes, moves or drops a database: it changes nothing in this
/// one.
pub(in crate::statement) fn of_databases(node: &Node) -> Option<StatementFacts> {
    let wants = match kind(node) {
        Some(Kind::DropdbStmt(drop)) => drop.dbname.clone(),
        Some(Kind::CreatedbStmt(create)) => template(create).ok()?,
        Some(Kind::AlterDatabaseStmt(alter)) => alter.dbname.clone(),
        Some(Kind::RenameStmt(rename)) if renames_database(rename) => rename.subname.clone(),
        Some(_) | None => return None,
    };
    let effect = Effect { wants: Some(wants.into()), ..Effect::default() };
    Some(StatementFacts { effect, ..StatementFacts::default() })
}

fn renames_database(rename: &protobuf::RenameStmt) -> bool {
    ObjectType::try_from(rename.rename_type) == Ok(ObjectType::ObjectDatabase)
}

fn may_move(bound: &Bound, scan: &Scan) -> bool {
    scan.may_move_database(bound.speaks_of(DEFAULT_TEMPLATE))
}

/// The same where something is classified: may any door stand in this text?
pub(in crate::statement) fn may_stand_in(bound: &Bound, text: &[u8]) -> bool {
    let scan = Scan::of(text);
    scan.may_copy_files()
        || scan.may_link()
        || scan.may_want_database()
        || !bound.is_empty() && may_move(bound, &scan)
}

/// Bytes that stand in every text that [`may_stand_in`] tells of.
pub(in crate::statement) const SIGNS: [&str; 5] = ["database", "copy", "server", "subscription", "mapping"];

/// Code in a string is not followed here: refused where it may hold one.
fn refuse_code(bound: &Bound, node: &Node) -> Proven<()> {
    if !matches!(kind(node), Some(Kind::DoStmt(_) | Kind::CreateFunctionStmt(_))) {
        return Ok(());
    }
    let found = census(node);
    if found.words.iter().chain(&found.constants).any(|body| may_move(bound, &Scan::of(body.as_bytes()))) {
        return Err(refuse(
            "database",
            "code that may give another name to a database that the policy names",
            ADMINISTER,
        ));
    }
    Ok(())
}

/// Refuses what gives the content of a database another name, of which the policy does not say
/// the same.
pub(in crate::statement) fn refuse_moved_database(bound: &Bound, node: &Node) -> Proven<()> {
    if bound.is_empty() {
        return Ok(());
    }
    let moved = match kind(node) {
        Some(Kind::CreatedbStmt(create)) => Some((template(create)?, create.dbname.as_str(), "a copy")),
        Some(Kind::RenameStmt(rename)) => {
            renames_database(rename).then(|| (rename.subname.clone(), rename.newname.as_str(), "a new name"))
        }
        Some(_) | None => None,
    };
    if let Some((from, to, what)) = moved
        && bound.loses(&from, to)
    {
        return Err(refuse(
            "database",
            format!("{what} of database \"{from}\" would be out of the policy, which names that database"),
            format!("Let the policy say of \"{to}\" what it says of \"{from}\", then send it again."),
        ));
    }
    if writes_databases(node) {
        return Err(refuse("database", "a change of pg_database itself", "Use ALTER DATABASE."));
    }
    Ok(())
}

/// The database of which a new one is a copy, as the server reads the options.
fn template(create: &protobuf::CreatedbStmt) -> Proven<String> {
    let mut template = DEFAULT_TEMPLATE.to_owned();
    for option in &create.options {
        let Some(Kind::DefElem(option)) = kind(option) else { return Err(unread()) };
        if option.defname == "template" {
            template = match option.arg.as_deref().map(kind) {
                // TEMPLATE DEFAULT
                None => DEFAULT_TEMPLATE.to_owned(),
                Some(Some(Kind::String(name))) => name.sval.clone(),
                Some(Some(Kind::Integer(number))) => number.ival.to_string(),
                Some(Some(Kind::Float(number))) => number.fval.clone(),
                Some(_) => return Err(unread()),
            };
        }
    }
    Ok(template)
}

fn unread() -> Unproven {
    refuse("database", "a CREATE DATABASE whose template cannot be read", "Write TEMPLATE and a plain name.")
}

/// Does a statement write rows of the catalog of databases?
fn writes_databases(node: &Node) -> bool {
    let (target, with) = match kind(node) {
        Some(Kind::InsertStmt(insert)) => (insert.relation.as_ref(), insert.with_clause.as_ref()),
        Some(Kind::UpdateStmt(update)) => (update.relation.as_ref(), update.with_clause.as_ref()),
        Some(Kind::DeleteStmt(delete)) => (delete.relation.as_ref(), delete.with_clause.as_ref()),
        Some(Kind::MergeStmt(merge)) => (merge.relation.as_ref(), merge.with_clause.as_ref()),
        Some(Kind::CopyStmt(copy)) if copy.is_from => (copy.relation.as_ref(), None),
        Some(Kind::SelectStmt(select)) => (None, select.with_clause.as_ref()),
        Some(Kind::ExplainStmt(explain)) => return explain.query.as_deref().is_some_and(writes_databases),
        Some(Kind::PrepareStmt(prepare)) => return prepare.query.as_deref().is_some_and(writes_databases),
        Some(Kind::CopyStmt(copy)) => return copy.query.as_deref().is_some_and(writes_databases),
        Some(_) | None => return false,
    };
    let inner = with.iter().flat_map(|with| &with.ctes).any(|cte| match kind(cte) {
        Some(Kind::CommonTableExpr(cte)) => cte.ctequery.as_deref().is_some_and(writes_databases),
        Some(_) | None => false,
    });
    target.is_some_and(|target| target.relname == "pg_database") || inner
}

/// COPY to or from the server's files and programs: whoever may do that reads what is stored past
/// every judgement, and leaves it where nobody looks.
pub(in crate::statement) fn refuse_server_files(copy: &protobuf::CopyStmt) -> Proven<()> {
    if copy.is_program || !copy.filename.is_empty() {
        return Err(refuse(
            "server-file",
            "COPY to or from a file or a program of the server, in a database with classified columns",
            "Use COPY ... FROM STDIN or TO STDOUT (psql's \\copy), with the file at the client; \
             or run it over an administrative connection to the server.",
        ));
    }
    Ok(())
}

#[cfg(test)]
#[path = "doors_tests.rs"]
mod tests;
