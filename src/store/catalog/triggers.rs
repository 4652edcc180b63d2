//! Triggers on classified tables, and what functions store elsewhere: what fills a sealed column past
//! the gate is a fault of its table, and where legible values are handed on to, they are legible too.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_postgres::types::Type;

use super::body::{self, Names};
use super::classified::{Classified, qualified};
use super::closure::{Kind, Reached};
use super::load::{LoadError, RELATIONS_MAX, Reader, value};
use super::sources::Sources;
use super::strangers::{FIRST_NORMAL_OID, Function, Strangers};
use crate::catalog::QualifiedName;

/// Trigger functions in C that do nothing but to the columns that their arguments name, or to none:
/// the server's own, and those of its stock extensions.
const BY_ARGUMENTS: [&str; 6] = [
    "suppress_redundant_updates_trigger",
    "tsvector_update_trigger",
    "tsvector_update_trigger_column",
    "moddatetime",
    "insert_username",
    "autoinc",
];

/// A trigger on a classified table, or on a partition of it.
struct Trigger {
    table: u32,
    name: String,
    function: u32,
    /// Folded, as words.
    arguments: String,
}

/// Adds faults to tables; tells which relations hold copies of legible values, and why.
pub(super) async fn judge(
    reader: &Reader<'_>,
    sources: &Sources,
    strangers: &Strangers,
    sealed: &Reached,
    tables: &mut BTreeMap<u32, Classified>,
    vouches: &(dyn Fn(&Function) -> bool + Sync),
) -> Result<Vec<(QualifiedName, String)>, LoadError> {
    let triggers = read(reader, tables).await?;
    let mut copies = Vec::new();
    for trigger in &triggers {
        let Some(table) = tables.get_mut(&trigger.table) else { continue };
        let function = strangers.functions.get(&trigger.function);
        if !table.sealed_numbers().is_empty() && !function.is_some_and(vouches) {
            let lead = sealed.objects.get(&(Kind::Function, trigger.function));
            let why = lead.map(|lead| lead.why.clone());
            if let Some(why) = why.or(fills(trigger, function, sources, table)?) {
                table.add_fault(format!("trigger {}: {why}", trigger.name));
            }
        }
        if table.has_legible() && hands_on(trigger, sources, table)? {
            copies.push((
                table.name.clone(),
                format!("trigger {} may put a legible column into another", trigger.name),
            ));
        }
    }
    if tables.values().any(Classified::has_legible) {
        copies.extend(written(reader, sources).await?);
    }
    Ok(copies)
}

async fn read(reader: &Reader<'_>, tables: &BTreeMap<u32, Classified>) -> Result<Vec<Trigger>, LoadError> {
    let roots: Vec<u32> = tables.keys().copied().collect();
    let rows = reader
        .rows(
            "triggers on classified tables",
            RELATIONS_MAX,
            "WITH RECURSIVE family AS ( \
                 SELECT c.oid AS root, c.oid AS member FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1) \
                 UNION SELECT f.root, i.inhrelid FROM family f \
                 JOIN pg_catalog.pg_inherits i ON i.inhparent = f.member) \
             SELECT f.root, t.tgname::pg_catalog.text, t.tgfoid, pg_catalog.encode(t.tgargs, 'escape') FROM family f \
             JOIN pg_catalog.pg_trigger t ON t.tgrelid = f.member \
             WHERE NOT t.tgisinternal ORDER BY t.oid",
            &[(&roots, Type::OID_ARRAY)],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Trigger {
                table: value(row, 0)?,
                name: value::<&str>(row, 1)?.to_owned(),
                function: value(row, 2)?,
                // Arguments end with a zero byte, which `encode` spells `\000`.
                arguments: body::fold(&value::<&str>(row, 3)?.replace("\\000", " ")),
            })
        })
        .collect()
}

/// Why a trigger may store in a sealed column what did not pass through here.
fn fills(
    trigger: &Trigger,
    function: Option<&Function>,
    sources: &Sources,
    table: &Classified,
) -> Result<Option<String>, LoadError> {
    let mut columns = Names::default();
    for column in table.columns_of(true) {
        columns.add(&column.name);
    }
    let columns = columns.finder()?;
    if let Some(name) = columns.first_in(&trigger.arguments) {
        return Ok(Some(format!("its arguments name column {name}")));
    }
    let Some(body) = sources.body(trigger.function) else {
        let name = function.map(|function| function.name.to_string()).unwrap_or_default();
        let known = function.is_none_or(|function| {
            let of_server = function.oid < FIRST_NORMAL_OID || function.extension.is_some();
            of_server && BY_ARGUMENTS.contains(&&*function.name.name)
        });
        let why =
            || format!("function {name} is in a language that is not followed, and may replace the row");
        return Ok((!known).then(why));
    };
    let Some(source) = &body.source else { return Ok(None) };
    if let Some(name) = columns.first_in(source) {
        return Ok(Some(format!("function {} names column {name}", body.name)));
    }
    Ok(body::replaces_row(source).then(|| format!("function {} may replace the whole row", body.name)))
}

/// May a trigger put a legible column of its table into another one?
fn hands_on(trigger: &Trigger, sources: &Sources, table: &Classified) -> Result<bool, LoadError> {
    let mut columns = Names::default();
    for column in table.columns_of(false) {
        columns.add(&column.name);
    }
    let columns = columns.finder()?;
    let body = sources.body(trigger.function).map(|body| body.source.as_deref());
    Ok(match body {
        // In C: what its arguments name.
        None => columns.first_in(&trigger.arguments).is_some(),
        Some(None) => true,
        Some(Some(source)) => body::hands_on(source, &columns),
    })
}

/// Relations that functions write to: what those were given may stand there.
async fn written(reader: &Reader<'_>, sources: &Sources) -> Result<Vec<(QualifiedName, String)>, LoadError> {
    let rows = reader
        .rows(
            "tables",
            RELATIONS_MAX,
            "SELECT n.nspname::pg_catalog.text, c.relname::pg_catalog.text FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r','p') AND c.oid >= 16384 AND c.relpersistence <> 't' ORDER BY c.oid",
            &[],
        )
        .await?;
    let mut by_name: BTreeMap<String, Vec<QualifiedName>> = BTreeMap::new();
    let mut names = Names::default();
    for row in &rows {
        let name = qualified(value(row, 0)?, value(row, 1)?);
        names.add(&name.name);
        by_name.entry(body::fold(&name.name).replace('"', "\"\"")).or_default().push(name);
    }
    let names = names.finder()?;
    let mut copies: BTreeMap<QualifiedName, Arc<str>> = BTreeMap::new();
    for body in &sources.bodies {
        let Some(source) = &body.source else { continue };
        for name in body::written(source, &names) {
            for relation in by_name.get(name).into_iter().flatten() {
                let why = || format!("function {} may have put there what it was given", body.name).into();
                copies.entry(relation.clone()).or_insert_with(why);
            }
        }
    }
    Ok(copies.into_iter().map(|(name, why)| (name, why.to_string())).collect())
}
