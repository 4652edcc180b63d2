//! Everything that is not a query: definitions, COPY, cursors, code in strings.
//!
//! The kinds listed here are judged one by one. Any other may pass only if no name in it
//! is one that matters.

use pg_query::protobuf::a_const::Val;
use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, DiscardMode, Node, VariableSetKind};

use crate::catalog::{Named, Names, Reach, RelationKind, Snapshot, TEMPORARY};

use super::super::by_name;
use super::super::facts::{Effect, NameOf, Remedy, StatementFacts, Unproven};
use super::super::follow::flow::Walk;
use super::super::follow::from::unfit;
use super::super::judge::{query as rows, statement};
use super::super::matters::{
    ADMINISTER, Bench, catalog_changes, moves, names_relation_that_matters, names_what_is_sealed,
    refuse_definition,
};
use super::super::read::census::{Census, NamePath, RangeName, census};
use super::super::read::prefilter::{Prefilter, READERS};
use super::super::read::sort::Sort;
use super::super::read::tree::{self, kind};
use super::super::refusal::{Proven, refuse, unless, unsupported};
use super::copy;
use super::doors::of_databases;
use super::indexes;
use super::links::{self, Link};
use super::table;
use super::temporary;
use super::views;
use crate::wire::charset::Coding;

/// Functions that run SQL or read tables given as values, and those that reach.
/// `follows`: calls of those that only pass classified columns on are followed.
pub(in crate::statement) fn refuse_reaching_functions(
    names: Names<'_>,
    found: &Census,
    follows: bool,
) -> Proven<()> {
    refuse_reaching_but(names, found, |call| {
        follows && names.snapshot.followed_function(&call.parts).is_some()
    })
}

/// The same of all but the calls that are followed.
pub(in crate::statement) fn refuse_reaching_but(
    names: Names<'_>,
    found: &Census,
    follows: impl Fn(&NamePath) -> bool,
) -> Proven<()> {
    let called = found.calls.iter().filter_map(|call| call.parts.last());
    for name in called {
        if READERS.iter().any(|reader| name.starts_with(reader)) {
            return Err(refuse(
                "function",
                format!("the function \"{name}\" reads tables or runs statements that are given as values"),
                "Write the query itself.",
            ));
        }
    }
    for call in found.calls.iter().filter(|call| !follows(call)) {
        let mut parts = call.parts.iter().rev().map(String::as_str);
        let (name, schema) = (parts.next(), parts.next());
        if let Some(reach) = name.and_then(|name| names.reaches(schema, name)) {
            return Err(reaching(name.unwrap_or_default(), reach));
        }
    }
    // `row.name` may be a call of `name(row)`. An array's type is named by its element's, with
    // an underscore before it. Neither is told apart from a schema's name here, so that any of
    // the name counts.
    let selected = found.columns.iter().filter(|column| column.parts.len() > 1);
    let selected = selected.filter_map(|column| column.parts.last()).chain(&found.selections);
    let applied = found.operators.iter().chain(&found.types).flat_map(|name| &name.parts);
    let applied = applied.flat_map(|name| [name.as_str(), name.trim_start_matches('_')]);
    for name in selected.map(String::as_str).chain(applied) {
        if let Some(one) = names.snapshot.reaching(name).first() {
            return Err(reaching(name, Reach::Surely(&one.why)));
        }
    }
    Ok(())
}

fn reaching(name: &str, reach: Reach<'_>) -> Unproven {
    let (why, remedy) = match reach {
        Reach::Surely(why) => (why, Remedy::Nothing),
        Reach::Perhaps(why) => (why, Remedy::Path),
    };
    unless(
        remedy,
        refuse(
            "function",
            format!("the function, operator or type \"{name}\" leads to classified columns: {why}"),
            "Write the query itself.",
        ),
    )
}

/// A temporary relation comes before any other of its name, whatever the catalog says.
pub(in crate::statement) fn refuse_shadows(snapshot: &Snapshot, found: &Census) -> Proven<()> {
    let own = |name: &str| snapshot.relation(TEMPORARY, name).is_some();
    let shadows = |name: &str| !own(name) && !matches!(snapshot.named(None, name), Named::Harmless);
    let temporary = |range: &&RangeName| range.temporary || range.schema.starts_with("pg_temp");
    match found.ranges.iter().filter(temporary).find(|range| shadows(&range.name)) {
        Some(range) => Err(refuse(
            "shadow",
            format!("a temporary \"{}\" would stand before the classified table of that name", range.name),
            "Give the temporary relation another name.",
        )),
        None => Ok(()),
    }
}

/// SET and its like of what decides how texts are read.
pub(in crate::statement) fn changes_reading(node: &Node, found: &Census) -> bool {
    let set = match kind(node) {
        Some(Kind::VariableSetStmt(set)) => {
            let name = set.name.to_ascii_lowercase();
            ["", "standard_conforming_strings", "client_encoding", "datestyle", "intervalstyle", "timezone"]
                .contains(&name.as_str())
        }
        Some(Kind::DiscardStmt(_)) => true,
        Some(_) | None => false,
    };
    set || found.calls.iter().any(|call| call.parts.last().is_some_and(|name| name == "set_config"))
}

/// What may change `client_encoding`. A setting of another name does not.
pub(in crate::statement) fn changes_encoding(node: &Node, found: &Census) -> bool {
    let is_it = |name: &str| name.eq_ignore_ascii_case("client_encoding");
    let set = match kind(node) {
        Some(Kind::VariableSetStmt(set)) => {
            is_it(&set.name) || VariableSetKind::try_from(set.kind) == Ok(VariableSetKind::VarResetAll)
        }
        Some(Kind::DiscardStmt(discard)) => discard.target == DiscardMode::DiscardAll as i32,
        Some(_) | None => false,
    };
    set || found.settings.iter().any(|name| name.as_deref().is_none_or(is_it))
}

/// What SET turns `client_encoding` to, where it names what is known.
pub(in crate::statement) fn encoding_of(node: &Node) -> Option<Coding> {
    let Some(Kind::VariableSetStmt(set)) = kind(node) else { return None };
    let [argument] = set.args.as_slice() else { return None };
    let Some(Kind::AConst(constant)) = kind(argument) else { return None };
    match &constant.val {
        Some(Val::Sval(name)) if set.name.eq_ignore_ascii_case("client_encoding") => {
            Coding::named(&name.sval)
        }
        Some(_) | None => None,
    }
}

/// Refuses if anything in the tree is a name that leads to a sealed column. What leads to a legible
/// one alone is opaque from then on, and recorded.
fn refuse_any_name(bench: Bench<'_>, found: &Census) -> Proven<()> {
    let strings = found.words.iter().chain(&found.constants);
    for string in strings {
        if names_what_is_sealed(bench.snapshot, string) {
            return Err(refuse_definition("a statement of this kind"));
        }
    }
    Ok(())
}

/// Judges a statement that is not a query.
pub(in crate::statement) fn judge(bench: Bench<'_>, node: &Node, found: &Census) -> Proven<StatementFacts> {
    if let Some(facts) = of_databases(node) {
        return Ok(facts);
    }
    temporary::refuse_others(bench.snapshot, node, found)?;
    match kind(node) {
        Some(Kind::ExplainStmt(explain)) => explained(bench, explain),
        Some(Kind::PrepareStmt(prepare)) => {
            let of = NameOf::Statement { types: by_name::parameter_types(&prepare.argtypes) };
            let facts = named(bench, prepare.query.as_deref(), &prepare.name, of)?;
            // EXECUTE would have to give it more than it is given.
            match facts.parameters_of_client() {
                Some(_) => Err(refuse(
                    "parameter-conflict",
                    "a parameter of PREPARE stands for values of two kinds",
                    "Give each place a value of its own.",
                )),
                None => Ok(facts),
            }
        }
        Some(Kind::DeclareCursorStmt(declare)) => {
            let of = NameOf::Portal { holds: declare.options & CURSOR_OPT_HOLD != 0, opened: false };
            named(bench, declare.query.as_deref(), &declare.portalname, of)
        }
        Some(Kind::CopyStmt(copy)) => copy::copied(bench, copy, found),
        Some(Kind::CreateTableAsStmt(create)) => {
            let into = create.into.as_deref();
            let view = create.objtype == protobuf::ObjectType::ObjectMatview as i32;
            let columns = create.into.as_ref().map_or(&[][..], |into| &into.col_names);
            let of = Stored {
                into,
                unless_there: create.if_not_exists,
                columns,
                keeps_no_copy: view,
                replaces: false,
            };
            stored_query(bench, create.query.as_deref(), into.and_then(|into| into.rel.as_ref()), of, found)
        }
        Some(Kind::SelectStmt(_)) => {
            let into = tree::into(node);
            let of = Stored { into, ..Stored::default() };
            stored_query(bench, Some(node), into.and_then(|into| into.rel.as_ref()), of, found)
        }
        Some(Kind::ViewStmt(view)) => {
            let of = Stored { keeps_no_copy: true, replaces: view.replace, ..Stored::default() };
            stored_query(bench, view.query.as_deref(), view.view.as_ref(), of, found)
        }
        Some(Kind::FetchStmt(fetch)) => Ok(by_name::fetches(fetch)),
        Some(Kind::DoStmt(code)) => done(bench, code, found),
        Some(Kind::CreateFunctionStmt(function)) => created_function(bench, function, found),
        // What was defined in a prepared transaction holds from its commit on.
        Some(Kind::TransactionStmt(transaction)) if ends_prepared(transaction) => Ok(catalog_changes()),
        Some(
            Kind::VacuumStmt(_)
            | Kind::ReindexStmt(_)
            | Kind::ClusterStmt(_)
            | Kind::CreateSeqStmt(_)
            | Kind::AlterSeqStmt(_),
        ) => Ok(catalog_changes()),
        Some(Kind::CreateTrigStmt(trigger)) => triggered(bench, node, trigger, found),
        Some(Kind::AlterEnumStmt(alter)) => relabelled(bench, node, alter, found),
        Some(Kind::TruncateStmt(truncate)) => truncated(bench, truncate),
        Some(Kind::RefreshMatViewStmt(refresh)) => refreshed(bench, node, refresh, found),
        Some(Kind::IndexStmt(index)) => indexes::indexed(bench, index, found),
        Some(Kind::AlterTableStmt(alter)) => table::altered(bench, alter, found),
        Some(Kind::CreateStmt(create)) => table::created(bench, create, found),
        Some(Kind::RenameStmt(rename)) => table::renamed(bench, node, rename, found),
        Some(Kind::AlterObjectSchemaStmt(moved)) => {
            table::moved(bench, node, moved, found).unwrap_or_else(|| linked(bench, node, found))
        }
        Some(_) | None => match Sort::of(node) {
            Sort::Session | Sort::Caller => {
                refuse_relations(bench, found)?;
                Ok(StatementFacts::default())
            }
            // They change nothing that names or columns mean.
            Sort::Rights => Ok(StatementFacts::default()),
            Sort::Drop => Ok(moves()),
            Sort::Query | Sort::Holder | Sort::View | Sort::Fetch | Sort::Definition => {
                linked(bench, node, found)
            }
        },
    }
}

/// ALTER TYPE of an enumeration. What is sealed keeps the label that it had.
fn relabelled(
    bench: Bench<'_>,
    node: &Node,
    alter: &protobuf::AlterEnumStmt,
    found: &Census,
) -> Proven<StatementFacts> {
    let parts: Vec<&str> = alter.type_name.iter().filter_map(tree::name).collect();
    let named = match parts.as_slice() {
        [name] => bench.snapshot.has_enumeration(None, name),
        [schema, name] => bench.snapshot.has_enumeration(Some(schema), name),
        _ => true,
    };
    if named && !alter.old_val.is_empty() {
        return Err(refuse(
            "definition",
            "a label of an enumeration would have another name, and sealed values would keep the old one",
            "Add the new label, UPDATE the rows through Sealgate, and leave the old one unused.",
        ));
    }
    linked(bench, node, found)
}

/// CREATE TRIGGER on a table of sealed columns. What its function does is judged when the catalog is read: one that
/// does more than copy is refused with the writes of its table. Before that nothing of the table is legible to it.
fn triggered(
    bench: Bench<'_>,
    node: &Node,
    trigger: &protobuf::CreateTrigStmt,
    found: &Census,
) -> Proven<StatementFacts> {
    let is_table = |range: &protobuf::RangeVar| {
        let schema = Some(range.schemaname.as_str()).filter(|schema| !schema.is_empty());
        let relation = bench.names.named(schema, &range.relname).relation();
        relation.is_some_and(|relation| {
            relation.kind == RelationKind::Table && relation.reaches.is_none() && relation.is_classified()
        })
    };
    let copies = |name: &str| bench.snapshot.codes().copying.iter().any(|one| one.ends_with(name));
    let called = trigger.funcname.iter().rev().find_map(tree::name);
    let sealed_alone = bench.snapshot.legible().next().is_none();
    if !sealed_alone || !trigger.relation.as_ref().is_some_and(is_table) {
        // What its function copies was looked at for the tables that have it by now.
        if called.is_none_or(copies) {
            return Err(refuse_definition(
                "a trigger whose function copies rows to classified tables, on another table,",
            ));
        }
        return linked(bench, node, found);
    }
    if let Some(when) = trigger.when_clause.as_deref() {
        let asked = census(when);
        let sealed = |name: &str| {
            bench.snapshot.fields().iter().any(|field| field.domain.is_some() && *field.column == *name)
        };
        // `NEW` by itself is the whole row.
        let looks = |column: &NamePath| {
            column.parts.len() < 2 || column.parts.last().is_some_and(|name| sealed(name.as_str()))
        };
        if asked.star || asked.columns.iter().any(looks) {
            return Err(refuse(
                "definition",
                "the WHEN of a trigger looks into a sealed column, or at the whole row",
                "Name columns in it that are not sealed.",
            ));
        }
    }
    // Whatever leads to the table runs it from then on, by whatever name.
    let facts = moves();
    Ok(StatementFacts { effect: Effect { alters_all: true, ..facts.effect }, ..facts })
}

/// What may lead elsewhere, and any other definition.
fn linked(bench: Bench<'_>, node: &Node, found: &Census) -> Proven<StatementFacts> {
    let mut facts = catalog_changes();
    if let Link::To(hosts) = links::judge(bench.snapshot, node)? {
        refuse_any_name(bench, found)?;
        facts.effect.links = hosts;
    }
    Ok(facts)
}

fn ends_prepared(transaction: &protobuf::TransactionStmt) -> bool {
    use protobuf::TransactionStmtKind as Of;
    matches!(Of::try_from(transaction.kind), Ok(Of::TransStmtCommitPrepared | Of::TransStmtRollbackPrepared))
}

fn refuse_relations(bench: Bench<'_>, found: &Census) -> Proven<()> {
    if names_relation_that_matters(bench.names, found) {
        return Err(unsupported("a statement of this kind"));
    }
    Ok(())
}

fn explained(bench: Bench<'_>, explain: &protobuf::ExplainStmt) -> Proven<StatementFacts> {
    let Some(query) = explain.query.as_deref() else { return Err(unsupported("this EXPLAIN")) };
    let facts = statement(bench, query, &census(query))?;
    Ok(by_name::explained(facts, by_name::runs(explain)))
}

/// `CURSOR_OPT_HOLD` of the server's parser.
const CURSOR_OPT_HOLD: i32 = 0x20;

/// A query that gets a name.
fn named(bench: Bench<'_>, query: Option<&Node>, name: &str, of: NameOf) -> Proven<StatementFacts> {
    let Some(query) = query else { return Err(unsupported("this statement")) };
    Ok(by_name::named(name, of, statement(bench, query, &census(query))?))
}

/// How what a query shows is kept.
#[derive(Clone, Copy, Default)]
struct Stored<'a> {
    into: Option<&'a protobuf::IntoClause>,
    unless_there: bool,
    /// The names of its columns, where they are given.
    columns: &'a [Node],
    /// It is a view.
    keeps_no_copy: bool,
    /// OR REPLACE.
    replaces: bool,
}

/// CREATE TABLE AS, SELECT INTO and CREATE VIEW.
fn stored_query(
    bench: Bench<'_>,
    query: Option<&Node>,
    target: Option<&protobuf::RangeVar>,
    stored: Stored<'_>,
    found: &Census,
) -> Proven<StatementFacts> {
    let Stored { into, unless_there, columns, keeps_no_copy, replaces } = stored;
    if let Some(target) = target.filter(|_| !keeps_no_copy)
        && let Some(facts) = table::copied(bench, target, columns, query, found)?
    {
        return Ok(facts);
    }
    let is_select = |query: &&Node| matches!(kind(query), Some(Kind::SelectStmt(_)));
    if let Some(((target, query), into)) = target.zip(query.filter(is_select)).zip(into)
        && temporary::is_to_be(target)
        && !keeps_no_copy
        && names_relation_that_matters(bench.names, found)
        && let Some(facts) = temporary::copied(bench, target, query, found, into, unless_there)?
    {
        return Ok(facts);
    }
    if let Some(target) = target {
        let schema = Some(target.schemaname.as_str()).filter(|schema| !schema.is_empty());
        // A view comes in the place of another one, or the server says that there is one.
        let of_view = |named: &Named<'_>| {
            let relation = named.relation();
            keeps_no_copy
                && relation.is_some_and(|one| one.kind == RelationKind::View || one.reaches.is_some())
        };
        match bench.names.named(schema, &target.relname) {
            Named::Harmless => {}
            named if of_view(&named) => {}
            Named::One(_)
            | Named::Pinned(_)
            | Named::Ambiguous
            | Named::NotOnPath
            | Named::PerhapsTemporary
            | Named::Missing => {
                let refused = refuse_definition("a relation of this name");
                let asks = keeps_no_copy && bench.names.path.is_none();
                return Err(if asks { unless(Remedy::Path, refused) } else { refused });
            }
        }
    }
    let Some(query) = query else { return Err(unsupported("this statement")) };
    let counted = census(query);
    let inner = match tree::into(query) {
        Some(_) => rows(bench, query, &counted)?,
        None => statement(bench, query, &counted)?,
    };
    let fields = inner.reads.iter().chain(&inner.searches).chain(&inner.writes);
    let sealed = fields.filter_map(|id| bench.snapshot.field(*id)).any(|field| field.domain.is_some());
    // A view of what is legible is read like any other code: on record.
    if inner.touches() && !keeps_no_copy {
        let hint = "Copy into a temporary table, or name the table's columns in the policy first, each with the \
                    domain of the one that it is copied from.";
        let says = "a copy of classified columns would be made in a table that the policy does not name";
        return Err(refuse("definition", says, hint));
    }
    match target {
        Some(target) if sealed => views::passing(bench, target, inner, replaces),
        None if sealed => Err(refuse_definition("a view of sealed columns")),
        Some(_) | None => Ok(catalog_changes()),
    }
}

/// A materialised view that passes sealed values on keeps them sealed.
fn refreshed(
    bench: Bench<'_>,
    node: &Node,
    refresh: &protobuf::RefreshMatViewStmt,
    found: &Census,
) -> Proven<StatementFacts> {
    let passes = refresh.relation.as_ref().is_some_and(|range| {
        let schema = Some(range.schemaname.as_str()).filter(|schema| !schema.is_empty());
        let named = bench.names.named(schema, &range.relname);
        // Whichever of this name: none that is not kept here is sealed.
        let of_name = bench.snapshot.only_relation(&range.relname);
        named.relation().or(of_name).is_some_and(|relation| relation.kind == RelationKind::View)
    });
    if passes { Ok(catalog_changes()) } else { linked(bench, node, found) }
}

fn truncated(bench: Bench<'_>, truncate: &protobuf::TruncateStmt) -> Proven<StatementFacts> {
    let mut walk = Walk::new(bench, true);
    let mut writes = Vec::new();
    for relation in &truncate.relations {
        let Some(Kind::RangeVar(range)) = kind(relation) else { return Err(unsupported("this TRUNCATE")) };
        if let Some(relation) = walk.classified(range)? {
            if let Some(why) = &relation.refused.deletes {
                return Err(unfit(relation, why));
            }
            writes.extend(relation.columns.iter().filter_map(|column| column.field));
        }
    }
    writes.sort_unstable();
    writes.dedup();
    Ok(StatementFacts { writes, insertions: walk.insertions, ..StatementFacts::default() })
}

/// A body given as a string is judged by the prefilter alone: no name that matters, no
/// word that could build one.
fn refuse_loaded_body(snapshot: &Snapshot, body: &str) -> Proven<()> {
    if Prefilter::of_bodies(snapshot).hits(body.as_bytes()) {
        return Err(refuse_definition("code that names a classified relation or runs statements it builds"));
    }
    Ok(())
}

/// Refuses a body in a language that is not SQL or PL/pgSQL.
fn refuse_foreign_language(language: &str) -> Proven<()> {
    if matches!(language.to_ascii_lowercase().as_str(), "sql" | "plpgsql") {
        return Ok(());
    }
    Err(refuse("definition", "code in a language other than sql and plpgsql is not followed", ADMINISTER))
}

fn done(bench: Bench<'_>, code: &protobuf::DoStmt, found: &Census) -> Proven<StatementFacts> {
    code_options(bench, &code.args)?;
    refuse_any_name(bench, found)?;
    Ok(catalog_changes())
}

fn code_options(bench: Bench<'_>, options: &[Node]) -> Proven<()> {
    for option in options {
        let Some(Kind::DefElem(option)) = kind(option) else { return Err(unsupported("this code")) };
        let arg = option.arg.as_deref();
        match option.defname.as_str() {
            "language" => refuse_foreign_language(arg.and_then(tree::name).unwrap_or_default())?,
            "as" => {
                let found = arg.map(census).unwrap_or_default();
                for body in found.words.iter().chain(&found.constants) {
                    refuse_loaded_body(bench.snapshot, body)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn created_function(
    bench: Bench<'_>,
    function: &protobuf::CreateFunctionStmt,
    found: &Census,
) -> Proven<StatementFacts> {
    code_options(bench, &function.options)?;
    refuse_any_name(bench, found)?;
    Ok(catalog_changes())
}
