//! What a database's code leads to, put together from four closures: from the sealed columns, from
//! the legible ones, from all code that is not the server's own, and from that of it which nobody can follow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::classified::{Classified, Found};
use super::closure::{self, Kind, Reached, Seeds, Table, Use};
use super::copying;
use super::load::{LoadError, Reader};
use super::sources::{Body, Sources};
use super::strangers::{self, Arities, FIRST_NORMAL_OID, Function, Strangers, TELLING, Unlisted};
use super::triggers;
use crate::catalog::{Code, Codes, Field, QualifiedName, Reaching, RelationCode, Stranger};
use crate::statement;

/// What leads where.
pub(super) struct Leads {
    /// Relations that lead to sealed columns however they are used, by `pg_class.oid`.
    pub(super) relations: BTreeMap<u32, (QualifiedName, String)>,
    /// Functions, operators and types that do, by bare name.
    pub(super) names: BTreeMap<Arc<str>, Vec<Reaching>>,
    pub(super) codes: Codes,
    /// What could not be followed.
    pub(super) notes: Vec<String>,
}

/// The names of the tables of the policy.
pub(super) struct PolicyNames {
    /// Of those with a sealed column, there or not.
    pub(super) sealed: BTreeSet<Arc<str>>,
}

pub(super) async fn read(
    reader: &Reader<'_>,
    names: &PolicyNames,
    fields: &[Field],
    tables: &mut BTreeMap<u32, Classified>,
    vouched: &[String],
    kept: &mut Unlisted,
) -> Result<Leads, LoadError> {
    let sources = Sources::read(reader).await?;
    let strangers = Strangers::read(reader, kept).await?;
    let vouches = |function: &Function| {
        vouched.iter().any(|one| *one == function.signature || Some(one) == function.extension.as_ref())
    };

    let copying = copying::followed(reader, &sources, fields, tables, strangers.stock).await?;
    let mut from_sealed = from_sealed(names, tables);
    from_sealed.copying.clone_from(&copying);
    let sealed = closure::follow(reader, &sources, from_sealed).await?;
    for (table, why) in &sealed.returns {
        if let Some(table) = tables.get_mut(table) {
            table.add(Found::of_table("leads-back", why.clone(), Vec::new()));
        }
    }
    let unproven = closure::follow(reader, &sources, from_unproven(&strangers, &sources, &vouches)).await?;
    let opaque = closure::follow(reader, &sources, from_strangers(&strangers)).await?;
    let legible = if tables.values().any(Classified::has_legible) {
        closure::follow(reader, &sources, from_legible(tables, &strangers)).await?
    } else {
        Reached::default()
    };
    let copies = triggers::judge(reader, &sources, &strangers, &sealed, &copying, tables, &vouches).await?;

    let mut codes = Codes { stock: strangers.stock, ..Codes::default() };
    for body in &sources.bodies {
        match &body.source {
            Some(folded) => codes.spoken.hear(folded),
            None => codes.spoken.miss(),
        }
        if copying.contains(&body.oid) {
            codes.copying.insert(body.name.as_str().into());
        }
    }
    sources.arguments.iter().for_each(|one| codes.spoken.hear(&one.text));
    codes.everything = strangers.everything.as_deref().map(Arc::from);
    codes.by_events = strangers.by_events;
    codes.ascii_case = reader.has_ascii_case().await?;
    codes.conditions_travel =
        !unproven.indexed.is_empty() || strangers.relations.iter().any(|(_, why)| why.contains("foreign"));
    name_functions(reader, &strangers, &sealed, &unproven, &vouches, &mut codes).await?;
    name_types(&strangers, &opaque, &[&sealed, &unproven], vouched, &mut codes);
    name_holders(reader, &sealed, &mut codes).await?;
    let mut relations = Relations::default();
    for (oid, lead) in opaque.of(Kind::Relation).chain(legible.of(Kind::Relation)) {
        relations.add(&lead.name, lead.using, &lead.why, !unproven.has((Kind::Relation, oid)));
    }
    for (table, why) in legible.returns.iter().chain(&legible.generated) {
        if let Some(table) = tables.get(table) {
            relations.add(&table.name, Use::Any, why, true);
        }
    }
    for (name, why) in copies {
        relations.add(&name, Use::Any, &why, true);
    }
    for (oid, why) in &strangers.relations {
        if let Some(lead) = opaque.objects.get(&(Kind::Relation, *oid)) {
            relations.one(&lead.name).takes_conditions |= why.contains("foreign");
        }
    }
    for oid in &unproven.indexed {
        if let Some(lead) = unproven.objects.get(&(Kind::Relation, *oid)) {
            relations.one(&lead.name).takes_conditions = true;
        }
    }
    for (_, lead) in sealed.of(Kind::Relation).filter(|(_, lead)| lead.using == Use::Written) {
        relations.one(&lead.name).leads = Some(lead.why.as_str().into());
    }
    own_columns(reader, &codes, &mut relations).await?;
    for (name, code) in relations.0 {
        codes.relations.entry(name.name).or_default().push(code);
    }
    let notes = notes(&strangers, &sources, &unproven);
    Ok(Leads { relations: always(&sealed), names: reaching(&sealed), codes, notes })
}

/// From the columns that are sealed, and the names of their tables.
fn from_sealed(names: &PolicyNames, tables: &BTreeMap<u32, Classified>) -> Seeds {
    let mut objects = Vec::new();
    for table in tables.values() {
        let cascades = table.cascades_from.iter();
        objects.extend(cascades.map(|(table, why)| ((Kind::Relation, *table), Use::Any, why.clone())));
    }
    Seeds {
        tables: columns(tables, Classified::sealed_numbers),
        objects,
        fills: tables.iter().filter(|(_, table)| table.fills()).map(|(oid, _)| *oid).collect(),
        names: names.sealed.iter().map(|name| name.to_string()).collect(),
        in_bodies: true,
        ..Seeds::default()
    }
}

/// From the columns that the server can read, and what it keeps of their values elsewhere.
fn from_legible(tables: &BTreeMap<u32, Classified>, strangers: &Strangers) -> Seeds {
    let mut objects = Vec::new();
    for pinned in strangers.pinned.iter().filter(|pinned| pinned.statistics) {
        objects.push((pinned.object, pinned.using, "it reads the statistics of columns".to_owned()));
    }
    for oid in strangers::STATISTICS {
        objects.push(((Kind::Relation, oid), Use::Any, "it holds values of columns".to_owned()));
    }
    for table in tables.values().filter(|table| table.has_legible() && table.toast != 0) {
        let why = format!("it holds values of {}", table.name);
        objects.push(((Kind::Relation, table.toast), Use::Any, why));
    }
    Seeds {
        tables: columns(tables, Classified::legible_numbers),
        objects,
        by_actions: true,
        by_rows: true,
        ..Seeds::default()
    }
}

fn columns(
    tables: &BTreeMap<u32, Classified>,
    numbers: fn(&Classified) -> BTreeSet<i16>,
) -> BTreeMap<u32, Table> {
    let counting = tables.iter().map(|(oid, table)| {
        (*oid, Table { name: table.name.clone(), numbers: numbers(table), row_type: table.row_type })
    });
    counting.filter(|(_, table)| !table.numbers.is_empty()).collect()
}

/// From all code that is not the server's own.
fn from_strangers(strangers: &Strangers) -> Seeds {
    let functions = strangers
        .functions
        .values()
        .map(|function| ((Kind::Function, function.oid), Use::Any, String::new()));
    let operators = strangers
        .operators
        .values()
        .map(|operator| ((Kind::Operator, operator.oid), Use::Any, String::new()));
    let stored = strangers.pinned.iter().map(|pinned| {
        (pinned.object, pinned.using, "it calls a function that is not known to be harmless".to_owned())
    });
    let relations =
        strangers.relations.iter().map(|(oid, why)| ((Kind::Relation, *oid), Use::Any, why.clone()));
    let triggers =
        strangers.stock_triggers.iter().filter(|(_, function)| strangers.functions.contains_key(function));
    let triggers =
        triggers.map(|(table, _)| ((Kind::Relation, *table), Use::Written, "a trigger on it".to_owned()));
    Seeds {
        objects: functions.chain(operators).chain(stored).chain(relations).chain(triggers).collect(),
        never: strangers.by_columns(),
        by_actions: true,
        ..Seeds::default()
    }
}

/// From that of it which cannot be followed: in other languages, built at run time, in the server's
/// own functions that run what they are given.
fn from_unproven(
    strangers: &Strangers,
    sources: &Sources,
    vouches: &(dyn Fn(&Function) -> bool + Sync),
) -> Seeds {
    let mut seeds = from_strangers(strangers);
    seeds.objects.retain(|(object, _, _)| match object.0 {
        Kind::Function => {
            let pinned = strangers.pinned.iter().any(|pinned| pinned.object == *object && pinned.runs);
            strangers.functions.get(&object.1).is_none_or(|function| {
                !vouches(function)
                    && !function.only_tells
                    && (pinned || unfollowed(function, sources.body(function.oid)).is_some())
            })
        }
        Kind::Operator => {
            let calls = strangers.operators.get(&object.1).map(|operator| operator.calls);
            calls
                .and_then(|calls| strangers.functions.get(&calls))
                .is_some_and(|function| function.oid < FIRST_NORMAL_OID && !function.only_tells)
        }
        Kind::Relation | Kind::Type => {
            strangers.pinned.iter().all(|pinned| pinned.object != *object || pinned.runs)
        }
    });
    seeds.names = strangers
        .functions
        .range(..FIRST_NORMAL_OID)
        .filter(|(_, function)| !function.only_tells)
        .map(|(_, function)| function.name.name.to_string())
        .collect();
    seeds.in_bodies = true;
    seeds
}

/// Why the code of a function cannot be followed; none where its text or tree was read.
fn unfollowed(function: &Function, body: Option<&Body>) -> Option<&'static str> {
    match body {
        Some(body) => {
            let Some(source) = &body.source else { return Some("its source is too long") };
            statement::unfollowed(&body.language, source)
        }
        // Its body is a tree: `pg_depend` has what it names.
        None if function.language == "sql" => None,
        None => Some("it is not written in SQL or PL/pgSQL"),
    }
}

async fn name_functions(
    reader: &Reader<'_>,
    strangers: &Strangers,
    sealed: &Reached,
    unproven: &Reached,
    vouches: &(dyn Fn(&Function) -> bool + Sync),
    codes: &mut Codes,
) -> Result<(), LoadError> {
    let arities = Arities::read(reader, true).await?;
    for function in strangers.functions.values() {
        let object = (Kind::Function, function.oid);
        let proven = vouches(function) || !(sealed.has(object) || unproven.has(object));
        let code = Code { why: format!("function {}", function.name).into(), proven };
        let distant = strangers.is_distant_function(function, &arities);
        let of_rows = Strangers::takes_row(function);
        let stranger = Stranger { schema: function.name.schema.clone(), code, distant, of_rows };
        codes.functions.entry(function.name.name.clone()).or_default().push(stranger);
    }
    let arities = Arities::read(reader, false).await?;
    for operator in strangers.operators.values() {
        let object = (Kind::Operator, operator.oid);
        let vouched = strangers.functions.get(&operator.calls).is_some_and(vouches);
        let proven = vouched || !(sealed.has(object) || unproven.has(object));
        let code = Code { why: format!("operator {}", operator.name).into(), proven };
        let distant = strangers.is_distant_operator(operator, &arities);
        let stranger = Stranger { schema: operator.name.schema.clone(), code, distant, of_rows: false };
        codes.operators.entry(operator.name.name.clone()).or_default().push(stranger);
    }
    if strangers.takes_telling() {
        codes.makers = strangers::makers(reader).await?;
    }
    Ok(())
}

fn name_types(
    strangers: &Strangers,
    opaque: &Reached,
    unproven: &[&Reached],
    vouched: &[String],
    codes: &mut Codes,
) {
    let unproven = |object| unproven.iter().any(|reached| reached.has(object));
    for (oid, own) in &strangers.types {
        let (object, runs) = ((Kind::Type, *oid), strangers.runs_code(*oid));
        if !runs && !opaque.has(object) {
            codes.plain_types.insert(own.name.name.clone());
            codes.declared.insert(*oid, None);
            continue;
        }
        let vouched = own.extension.as_ref().is_some_and(|extension| vouched.contains(extension));
        let proven = vouched || !runs && !unproven(object);
        let code = Code { why: format!("type {}", own.name).into(), proven };
        codes.declared.insert(*oid, Some(code.clone()));
        let known = codes.types.entry(own.name.name.clone()).or_insert_with(|| code.clone());
        known.proven &= proven;
    }
    // Row types of relations, too.
    for (oid, lead) in opaque.of(Kind::Type).filter(|(oid, _)| !strangers.types.contains_key(oid)) {
        let proven = !unproven((Kind::Type, oid));
        let code = Code { why: format!("type {}", lead.name).into(), proven };
        codes.declared.insert(oid, Some(code.clone()));
        let known = codes.types.entry(lead.name.name.clone()).or_insert_with(|| code.clone());
        known.proven &= proven;
    }
}

/// Types that have values of types with code: whatever makes one of those runs that.
async fn name_holders(reader: &Reader<'_>, sealed: &Reached, codes: &mut Codes) -> Result<(), LoadError> {
    let running = codes.declared.iter().filter(|(_, code)| code.is_some());
    let mut running: Vec<u32> = running.map(|(oid, _)| *oid).collect();
    running.sort_unstable();
    for holder in strangers::holders(reader, &running).await? {
        let Some(Some(part)) = codes.declared.get(&holder.of) else { continue };
        let proven = part.proven && !sealed.has((Kind::Type, holder.of));
        let code = Code { why: format!("type {}, made of {}", holder.name, part.why).into(), proven };
        let known = codes.types.entry(holder.name.name.clone()).or_insert_with(|| code.clone());
        known.proven &= proven;
        codes.declared.insert(holder.oid, Some(code));
    }
    Ok(())
}

/// Columns of types that are not the server's own: of those that run code, and of any where an
/// overload waits for one.
async fn own_columns(reader: &Reader<'_>, codes: &Codes, relations: &mut Relations) -> Result<(), LoadError> {
    let waits = codes.awaits_types();
    // What domains run is found by their tables.
    let code = |oid: u32| codes.declared.get(&oid).and_then(Option::as_ref);
    let telling = codes.takes_telling().then_some(TELLING).into_iter().flatten();
    let own = codes.declared.keys().copied().filter(|oid| waits || code(*oid).is_some());
    let mut types: Vec<u32> = own.chain(telling).collect();
    types.sort_unstable();
    for (relation, column, of) in strangers::own_columns(reader, &types).await? {
        relations.one(&relation).distant.push((column, code(of).cloned()));
    }
    Ok(())
}

/// Relations with code, by name.
#[derive(Default)]
struct Relations(BTreeMap<QualifiedName, RelationCode>);

impl Relations {
    fn one(&mut self, name: &QualifiedName) -> &mut RelationCode {
        self.0
            .entry(name.clone())
            .or_insert_with(|| RelationCode { schema: name.schema.clone(), ..RelationCode::default() })
    }

    fn add(&mut self, name: &QualifiedName, using: Use, why: &str, proven: bool) {
        let code = Code { why: format!("{name}: {why}").into(), proven };
        let one = self.one(name);
        let place = match using {
            Use::Any => &mut one.read,
            Use::Written => &mut one.written,
        };
        match place {
            Some(known) if !known.proven || proven => {}
            Some(_) | None => *place = Some(code),
        }
    }
}

/// Relations that lead to sealed columns whenever they are named.
fn always(sealed: &Reached) -> BTreeMap<u32, (QualifiedName, String)> {
    let any = sealed.of(Kind::Relation).filter(|(_, lead)| lead.using == Use::Any);
    any.map(|(oid, lead)| (oid, (lead.name.clone(), lead.why.clone()))).collect()
}

fn reaching(sealed: &Reached) -> BTreeMap<Arc<str>, Vec<Reaching>> {
    let mut names: BTreeMap<Arc<str>, Vec<Reaching>> = BTreeMap::new();
    for (object, lead) in sealed.objects.iter().filter(|(object, _)| object.0 != Kind::Relation) {
        let all = names.entry(lead.name.name.clone()).or_default();
        let called = object.0 == Kind::Function;
        if all.iter().all(|one| one.schema != lead.name.schema || one.called != called) {
            all.push(Reaching { schema: lead.name.schema.clone(), called, why: lead.why.as_str().into() });
        }
    }
    names
}

fn notes(strangers: &Strangers, sources: &Sources, unproven: &Reached) -> Vec<String> {
    let mut notes: Vec<String> = strangers
        .everything
        .iter()
        .map(|why| format!("every statement counts as one that may read all that is legible: {why}"))
        .collect();
    let own = strangers
        .functions
        .values()
        .filter(|function| function.oid >= FIRST_NORMAL_OID && function.extension.is_none());
    notes.extend(own.filter(|function| unproven.has((Kind::Function, function.oid))).map(|function| {
        let why = unfollowed(function, sources.body(function.oid)).unwrap_or("it uses what cannot be followed");
        format!("function {} cannot be followed: {why}; values given to it are refused but for [policy] vouch = [\"{}\"]", function.name, function.signature)
    }));
    notes
}
