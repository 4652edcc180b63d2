//! Triggers on classified tables, and what functions store elsewhere: what fills a sealed column past
//! the gate is a fault of its table, and where legible values are handed on to, they are legible too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::body::{self, Names};
use super::classified::{Classified, Found, qualified};
use super::closure::{Kind, Reached};
use super::load::{LoadError, RELATIONS_MAX, Reader, value};
use super::quoted::{name as quoted_name, table as quoted_table};
use super::sources::Sources;
use super::standing::{Watched, of_family};
use super::strangers::{FIRST_NORMAL_OID, Function, Strangers};
use crate::catalog::{QualifiedName, Refuses};
use crate::statement::Standing;

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

/// `pg_trigger.tgtype`.
const ROW: i16 = 1;
const BEFORE: i16 = 2;
const INSERT: i16 = 4;
const DELETE: i16 = 8;
const UPDATE: i16 = 16;
const TRUNCATE: i16 = 32;

/// A trigger on a classified table, or on a partition of it.
struct Trigger {
    table: u32,
    /// The table that has it.
    member: QualifiedName,
    name: String,
    function: u32,
    /// Folded, as words.
    arguments: String,
    /// When it runs: bits of `tgtype`.
    when: i16,
    /// The columns of its UPDATE OF.
    of: Vec<String>,
    /// Its definition, where it has a WHEN.
    condition: Option<String>,
}

impl Trigger {
    /// Which statements run it.
    fn refuses(&self) -> Refuses {
        let runs = |event: i16| self.when & event != 0;
        Refuses {
            reads: false,
            inserts: runs(INSERT),
            updates: runs(UPDATE) && self.of.is_empty(),
            deletes: runs(DELETE) || runs(TRUNCATE),
        }
    }

    /// What it returns is stored: not what one returns that runs afterwards, or once a statement.
    fn stores(&self) -> bool {
        self.when & ROW != 0 && self.when & BEFORE != 0
    }

    fn mends(&self) -> Vec<String> {
        let (name, table) = (quoted_name(&self.name), quoted_table(&self.member));
        vec![format!("DROP TRIGGER IF EXISTS {name} ON {table}")]
    }

    fn found<'a>(&self, code: &'static str, column: &'a str, why: &str) -> Found<'a> {
        let says = format!("trigger {}: {why}", self.name);
        let beside = self.of.iter().filter(|of| *of != column).cloned().collect();
        Found { refuses: self.refuses(), beside, ..Found::of(code, column, says, self.mends()) }
    }
}

/// Adds faults to tables; tells which relations hold copies of legible values, and why.
pub(super) async fn judge(
    reader: &Reader<'_>,
    sources: &Sources,
    strangers: &Strangers,
    sealed: &Reached,
    copying: &BTreeSet<u32>,
    tables: &mut BTreeMap<u32, Classified>,
    vouches: &(dyn Fn(&Function) -> bool + Sync),
) -> Result<Vec<(QualifiedName, String)>, LoadError> {
    let triggers = read(reader, tables).await?;
    let mut copies = Vec::new();
    for trigger in &triggers {
        let Some(table) = tables.get_mut(&trigger.table) else { continue };
        let function = strangers.functions.get(&trigger.function);
        let seals = !table.sealed_numbers().is_empty();
        if seals && let Some(text) = &trigger.condition {
            conditioned(trigger, text, table);
        }
        if seals && !function.is_some_and(vouches) {
            let lead = sealed.objects.get(&(Kind::Function, trigger.function));
            let why = lead.map(|lead| (all_sealed(table), lead.why.clone()));
            let copies = copying.contains(&trigger.function);
            let filled = if copies { None } else { fills(trigger, function, sources, table)? };
            if let Some((columns, why)) = why.or(filled) {
                for column in columns {
                    table.add(trigger.found("trigger", &column, &why));
                }
            }
        }
        if table.has_legible() && hands_on(trigger, sources, table)? {
            let why = format!("trigger {} may put a legible column into another", trigger.name);
            let says = format!("{why}: reads of the copy count as possible reads alone");
            table.warn(Found { column: None, ..Found::of("legible-copy", "", says, trigger.mends()) });
            copies.push((table.name.clone(), why));
        }
    }
    if tables.values().any(Classified::has_legible) {
        copies.extend(written(reader, sources).await?);
    }
    Ok(copies)
}

/// A WHEN that looks at what is sealed: the trigger runs where it should not, or does not where it should.
fn conditioned(trigger: &Trigger, text: &str, table: &mut Classified) {
    let watched = Watched::of(table);
    let uses = watched.uses(Standing::Trigger(text), &trigger.member);
    for column in watched.blamed(&uses.misread) {
        let why = format!("its WHEN looks at the values of column {column}, which are sealed");
        table.add(trigger.found("trigger-when", column, &why));
    }
    // It can only be wrong where the column is written.
    for column in watched.blamed(&uses.compared) {
        let why = format!("its WHEN compares column {column}, which is sealed at random");
        let found = trigger.found("trigger-when", column, &why);
        table.add(Found { refuses: Refuses::NOTHING, beside: Vec::new(), ..found });
    }
}

fn all_sealed(table: &Classified) -> Vec<String> {
    table.columns_of(true).map(|column| column.name.to_string()).collect()
}

async fn read(reader: &Reader<'_>, tables: &BTreeMap<u32, Classified>) -> Result<Vec<Trigger>, LoadError> {
    let roots: Vec<u32> = tables.keys().copied().collect();
    let columns = "t.tgname::pg_catalog.text, t.tgfoid, pg_catalog.encode(t.tgargs, 'escape'), t.tgtype, \
        ARRAY(SELECT a.attname::pg_catalog.text FROM pg_catalog.pg_attribute a \
               WHERE a.attrelid = t.tgrelid AND a.attnum = ANY (t.tgattr) ORDER BY a.attnum), \
        CASE WHEN t.tgqual IS NOT NULL THEN pg_catalog.pg_get_triggerdef(t.oid) END";
    let rest = "JOIN pg_catalog.pg_trigger t ON t.tgrelid = f.member \
        WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgenabled <> 'D' ORDER BY t.oid";
    let rows = of_family(reader, "triggers on classified tables", &roots, columns, rest).await?;
    rows.iter()
        .map(|row| {
            Ok(Trigger {
                table: value(row, 0)?,
                member: qualified(value(row, 1)?, value(row, 2)?),
                name: value::<&str>(row, 3)?.to_owned(),
                function: value(row, 4)?,
                // Arguments end with a zero byte, which `encode` spells `\000`.
                arguments: body::fold(&value::<&str>(row, 5)?.replace("\\000", " ")),
                when: value(row, 6)?,
                of: value(row, 7)?,
                condition: value(row, 8)?,
            })
        })
        .collect()
}

/// Of which sealed columns a trigger may change the value or look at it, and why.
fn fills(
    trigger: &Trigger,
    function: Option<&Function>,
    sources: &Sources,
    table: &Classified,
) -> Result<Option<(Vec<String>, String)>, LoadError> {
    let mut names = Names::default();
    for column in table.columns_of(true) {
        names.add(&column.name);
    }
    let finder = names.finder()?;
    let named = |text: &str| -> Vec<String> {
        let found: BTreeSet<&str> = finder.all_in(text).map(|(_, name)| name).collect();
        let columns = all_sealed(table).into_iter();
        columns.filter(|column| found.contains(&*body::fold(column).replace('"', "\"\""))).collect()
    };
    let columns = named(&trigger.arguments);
    if !columns.is_empty() {
        let why = format!("its arguments name column {}", columns.join(", "));
        return Ok(Some((columns, why)));
    }
    let Some(body) = sources.body(trigger.function) else {
        let name = function.map(|function| function.name.to_string()).unwrap_or_default();
        let known = function.is_none_or(|function| {
            let of_server = function.oid < FIRST_NORMAL_OID || function.extension.is_some();
            of_server && BY_ARGUMENTS.contains(&&*function.name.name)
        });
        let why =
            || format!("function {name} is in a language that is not followed, and may replace the row");
        return Ok((!known).then(|| (all_sealed(table), why())));
    };
    let Some(source) = &body.source else { return Ok(None) };
    let columns = named(source);
    if !columns.is_empty() {
        let why = format!("function {} names column {}", body.name, columns.join(", "));
        return Ok(Some((columns, why)));
    }
    let replaces = trigger.stores() && body::replaces_row(source);
    Ok(replaces.then(|| (all_sealed(table), format!("function {} may replace the whole row", body.name))))
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
