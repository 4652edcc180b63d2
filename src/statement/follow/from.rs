//! FROM: which relations, subqueries and functions are visible, and under which names.

use std::rc::Rc;

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, JoinType, Node};

use crate::catalog::{Named, Relation, RelationKind, is_temporary};

use super::super::facts::{Remedy, Told, Unproven};
use super::super::read::literal::quoted_name;
use super::super::read::tree::{self, kind};
use super::super::refusal::{Proven, refuse, unless, unsupported};
use super::algebra::{self, Passing};
use super::classes::Flow;
use super::flow::{Seen, Walk};
use super::scope::{Columns, Output, Outputs, Place, Source};

/// One query of WITH.
pub(in crate::statement) struct Cte {
    pub(in crate::statement) name: String,
    /// None: it was not reached yet.
    pub(in crate::statement) outputs: Option<Rc<Outputs>>,
}

/// A source costs so much more to copy than to look at.
const COPY_WORK: usize = 4;

impl<'a> Walk<'a> {
    pub(in crate::statement) fn from(
        &mut self,
        items: &'a [Node],
        mut sources: Vec<Source<'a>>,
        orderless: bool,
    ) -> Proven<Vec<Source<'a>>> {
        for item in items {
            self.orderless = orderless && matches!(kind(item), Some(Kind::RangeSubselect(_)));
            let more = self.source_item(item, &sources)?;
            sources.extend(more);
        }
        Ok(sources)
    }

    fn source_item(&mut self, node: &'a Node, before: &[Source<'a>]) -> Proven<Vec<Source<'a>>> {
        match kind(node) {
            Some(Kind::RangeVar(range)) => Ok(vec![self.relation(range)?]),
            Some(Kind::RangeSubselect(subselect)) => self.derived(subselect, before).map(|one| vec![one]),
            Some(Kind::RangeFunction(function)) => {
                self.source_function(function, before).map(|one| vec![one])
            }
            Some(Kind::RangeTableSample(sample)) => {
                let Some(relation) = sample.relation.as_deref() else {
                    return Err(unsupported("this TABLESAMPLE"));
                };
                let sources = self.source_item(relation, before)?;
                // It stands in the text as a subquery.
                if sources.iter().any(|source| matches!(source.columns, Columns::Derived(_))) {
                    return Err(unsupported("TABLESAMPLE of a table whose columns an alias renames"));
                }
                let mut reach = self.values(&sample.args)?;
                reach.extend(self.optional(sample.repeatable.as_deref())?);
                self.searches.extend(reach);
                Ok(sources)
            }
            Some(Kind::JoinExpr(join)) => self.joined(join, before),
            _ => Err(unsupported("a part of FROM of this kind")),
        }
    }

    /// A relation by its name: what WITH defines, unclassified, classified, or refused.
    pub(in crate::statement) fn relation(&mut self, range: &'a protobuf::RangeVar) -> Proven<Source<'a>> {
        let Some(outputs) = self.defined_by_with(range)? else { return self.table(range) };
        self.seen.insert((Seen::Range, range.location));
        let alias = range.alias.as_ref();
        let columns = renamed(Columns::Derived(outputs), alias)?;
        let alias = alias.map_or_else(|| range.relname.clone(), |alias| alias.aliasname.clone());
        Ok(Source { alias, columns, ..unknown_source("") })
    }

    /// The same of a table alone: WITH defines no target of a statement.
    pub(in crate::statement) fn target(&mut self, range: &'a protobuf::RangeVar) -> Proven<Source<'a>> {
        if self.defined_by_with(range)?.is_some() {
            return Err(refuse(
                "cte",
                "what WITH defines is written to",
                "Give what WITH defines another name, or qualify the table with its schema.",
            ));
        }
        self.table(range)
    }

    fn defined_by_with(&self, range: &protobuf::RangeVar) -> Proven<Option<Rc<Outputs>>> {
        if !range.schemaname.is_empty() {
            return Ok(None);
        }
        let mut all = self.ctes.iter().rev().flat_map(|level| level.iter().rev());
        match all.find(|cte| cte.name == range.relname) {
            None => Ok(None),
            Some(Cte { outputs: Some(outputs), .. }) => Ok(Some(outputs.clone())),
            Some(Cte { outputs: None, .. }) => Err(refuse(
                "cte",
                "a part of WITH RECURSIVE is used before it is defined",
                "Write the parts in the order of their use.",
            )),
        }
    }

    fn table(&mut self, range: &'a protobuf::RangeVar) -> Proven<Source<'a>> {
        self.seen.insert((Seen::Range, range.location));
        let schema = Some(range.schemaname.as_str()).filter(|schema| !schema.is_empty());
        let alias = range.alias.as_ref();
        let found = self.classified(range)?;
        let schema = found.map_or(schema, |relation| Some(&relation.name.schema));
        let source = |columns| Source {
            alias: alias.map_or_else(|| range.relname.clone(), |alias| alias.aliasname.clone()),
            schema: if alias.is_some() { None } else { schema.map(str::to_owned) },
            range: Some(range),
            ..source_of(columns)
        };
        let Some(relation) = found else { return Ok(source(Columns::Unknown)) };
        let whole = source(Columns::Table(relation));
        let Some(alias) = alias.filter(|alias| !alias.colnames.is_empty()) else { return Ok(whole) };
        whole.all_fit()?;
        let outputs = self.in_order(range, &whole).ok_or_else(|| {
            refuse(
                "unsupported-form",
                format!("an alias renames the columns of {} by their order", relation.name),
                "Leave the list of columns out, and name them in the SELECT list.",
            )
        })?;
        let columns = Columns::Derived(Rc::new(named(&outputs, &alias.colnames)?));
        Ok(Source { columns, ..whole })
    }

    /// The classified table behind a name; None for one that does not matter. A name that only
    /// the search path settles is written out, so that what is judged is what runs.
    pub(in crate::statement) fn classified(
        &mut self,
        range: &protobuf::RangeVar,
    ) -> Proven<Option<&'a Relation>> {
        let schema = Some(range.schemaname.as_str()).filter(|schema| !schema.is_empty());
        let name = &range.relname;
        let named = self.names.named(schema, name);
        if let Named::Pinned(relation) = named {
            let at = usize::try_from(range.location).map_err(|_| unsupported("a table without a place"))?;
            self.insertions.insert(at, format!("{}.", quoted_name(&relation.name.schema)));
        }
        match named {
            Named::Harmless => Ok(None),
            Named::Ambiguous => Err(unless(Remedy::Path, ambiguous_relation(name))),
            Named::PerhapsTemporary => Err(unless(Remedy::Temporary(name.clone()), ambiguous_relation(name))),
            Named::Missing | Named::NotOnPath => Err(unless(
                Remedy::Server,
                refuse(
                    "relation-missing",
                    format!("the policy names \"{name}\", which the catalog does not have"),
                    "Create the table, or correct the policy; a table of that name in another schema is known by its schema, once \
                     what makes it is committed.",
                ),
            )),
            Named::Pinned(relation) if relation.is_harmless() => Ok(None),
            Named::One(relation) | Named::Pinned(relation) => {
                self.searches.extend(&relation.behind);
                usable(relation).map(Some)
            }
        }
    }

    fn derived(
        &mut self,
        subselect: &'a protobuf::RangeSubselect,
        before: &[Source<'a>],
    ) -> Proven<Source<'a>> {
        let Some(query) = subselect.subquery.as_deref() else { return Err(unsupported("this subquery")) };
        if subselect.lateral {
            self.scope.spend(COPY_WORK * before.len())?;
            self.scope.push(before.to_vec());
        }
        let outputs = self.query(query)?;
        if subselect.lateral {
            self.scope.pop();
        }
        let alias = subselect.alias.as_ref();
        let columns = renamed(Columns::Derived(Rc::new(outputs)), alias)?;
        let alias = alias.map_or_else(String::new, |alias| alias.aliasname.clone());
        Ok(Source { alias, ..source_of(columns) })
    }

    fn source_function(
        &mut self,
        function: &'a protobuf::RangeFunction,
        before: &[Source<'a>],
    ) -> Proven<Source<'a>> {
        self.scope.spend(COPY_WORK * before.len())?;
        self.scope.push(before.to_vec());
        let mut name = String::new();
        let (mut elements, mut rows) = (None, None);
        for item in &function.functions {
            let Some(Kind::List(item)) = kind(item) else { return Err(unsupported("this function in FROM")) };
            // The function, and the definition of its columns, which holds types only.
            let Some(call) = item.items.first() else { return Err(unsupported("this function in FROM")) };
            if let Some(Kind::FuncCall(call)) = kind(call) {
                name = tree::last_name(&call.funcname).unwrap_or_default().to_owned();
                let alone = function.functions.len() == 1 && function.coldeflist.is_empty();
                if alone && let Some(flows) = self.unnested(call)? {
                    elements = Some(flows);
                    continue;
                }
                if alone && let Some(function) = self.inlined(call)? {
                    rows = Some(self.rows_of(function)?);
                    continue;
                }
            }
            let reach = self.value(call)?;
            if !reach.is_empty() {
                return Err(unsupported("a function in FROM over a classified column"));
            }
        }
        self.scope.pop();
        let alias = function.alias.as_ref();
        let named = alias.map_or(name.as_str(), |alias| alias.aliasname.as_str()).to_owned();
        let mut outputs = match (elements, rows) {
            (Some(flows), _) => {
                let column = |flow| Output { name: None, flow, place: Place::Sure, told: Told::default() };
                Outputs { columns: flows.into_iter().map(column).collect() }
            }
            (None, Some(rows)) => rows,
            (None, None) => return Ok(unknown_source(&named)),
        };
        // One column takes the alias for its own name.
        let column = if outputs.columns.len() == 1 { named.clone() } else { name };
        for output in outputs.columns.iter_mut().filter(|output| output.name.is_none()) {
            output.name = Some(column.clone());
        }
        if function.ordinality {
            let name = Some("ordinality".to_owned());
            outputs.columns.push(Output {
                name,
                flow: Flow::Plain,
                place: Place::Sure,
                told: Told::default(),
            });
        }
        let columns = renamed(Columns::Derived(Rc::new(outputs)), alias)?;
        Ok(Source { alias: named, ..source_of(columns) })
    }

    /// The elements of arrays, a column for each.
    fn unnested(&mut self, call: &'a protobuf::FuncCall) -> Proven<Option<Vec<Flow>>> {
        if algebra::passing(self.names, &call.funcname) != Some(Passing::Element) || call.func_variadic {
            return Ok(None);
        }
        self.seen.insert((Seen::Call, call.location));
        let mut flows = Vec::new();
        for arg in &call.args {
            let flow = self.flow(arg)?;
            flows.push(if let Flow::Array(elements) = flow {
                *elements
            } else {
                Flow::derived(self.settle(&flow)?)
            });
        }
        Ok(Some(flows))
    }

    fn joined(&mut self, join: &'a protobuf::JoinExpr, before: &[Source<'a>]) -> Proven<Vec<Source<'a>>> {
        let (Some(left), Some(right)) = (join.larg.as_deref(), join.rarg.as_deref()) else {
            return Err(unsupported("this join"));
        };
        let left = self.source_item(left, before)?;
        self.scope.spend(COPY_WORK * (before.len() + left.len()))?;
        let mut visible = before.to_vec();
        visible.extend(left.iter().cloned());
        let right = self.source_item(right, &visible)?;
        let at = left.len();
        let mut both = left;
        both.extend(right);
        self.scope.push(both);
        self.predicate(join.quals.as_deref())?;
        let mut sources = self.scope.pop();
        let columns: Vec<String> = if join.is_natural {
            self.common(&sources, at, join.jointype)?
        } else {
            join.using_clause.iter().filter_map(tree::name).map(str::to_owned).collect()
        };
        let mut merged = Outputs::default();
        for column in &columns {
            if let Some(flow) = self.merged(&sources, at, column, join.jointype)? {
                sources.iter_mut().for_each(|source| source.hidden.push(column.clone()));
                merged.columns.push(Output {
                    name: Some(column.clone()),
                    flow,
                    place: Place::Sure,
                    told: Told::default(),
                });
            }
        }
        if join.is_natural || !join.using_clause.is_empty() {
            sources.iter_mut().for_each(|source| source.merged = true);
        }
        if let Some(alias) = &join.alias {
            return under_one_name(alias, &sources, &columns, &merged).map(|source| vec![source]);
        }
        let common = join.join_using_alias.as_ref().map(|alias| Source {
            only_qualified: true,
            ..of_columns(&alias.aliasname, in_common(&columns, &merged))
        });
        if !merged.columns.is_empty() {
            // Named without a qualifier alone, and in `*` where the server puts it.
            sources.push(Source {
                merged: true,
                using: true,
                ..source_of(Columns::Derived(Rc::new(merged)))
            });
        }
        sources.extend(common);
        Ok(sources)
    }

    /// The columns that both sides of a natural join have, as far as they matter.
    fn common(&mut self, sources: &[Source<'a>], at: usize, join: i32) -> Proven<Vec<String>> {
        let (left, right) = sources.split_at(at.min(sources.len()));
        let known = |side: &[Source<'a>]| {
            let places = side.iter().flat_map(|source| source.star().columns);
            places.map(|output| output.name.filter(|_| output.place != Place::Open)).collect()
        };
        let sides: [Option<Vec<String>>; 2] = [known(left), known(right)];
        let [left, right] = match sides {
            [Some(left), Some(right)] => [left, right],
            _ if !sources.iter().any(Source::carries) => {
                sources.iter().for_each(|source| self.scope.doubt_all(source));
                return Ok(Vec::new());
            }
            [one, other] => self.perhaps_common([left, right], [one.is_some(), other.is_some()], join)?,
        };
        Ok(left.into_iter().filter(|name| right.contains(name)).collect())
    }

    /// The same where not all columns are known: those of classified names alone. What else is joined is
    /// plain on both sides.
    fn perhaps_common(
        &mut self,
        sides: [&[Source<'a>]; 2],
        known: [bool; 2],
        join: i32,
    ) -> Proven<[Vec<String>; 2]> {
        // A common column is that of the side whose rows are all there: where it is not known, nobody can
        // say what a bare name shows.
        let safe = |side: usize| match JoinType::try_from(join) {
            Ok(JoinType::JoinInner) => true,
            Ok(JoinType::JoinLeft) => side == 0,
            Ok(JoinType::JoinRight) => side == 1,
            Ok(_) | Err(_) => false,
        };
        if self.kept {
            return Err(natural("NATURAL JOIN"));
        }
        self.joins = true;
        let mut names = [Vec::new(), Vec::new()];
        for (number, (side, names)) in sides.into_iter().zip(&mut names).enumerate() {
            let other_is_known = known.get(1 - number).copied().unwrap_or_default();
            for source in side {
                self.scope.doubt_all(source);
                if source.carries() && !other_is_known && !safe(number) {
                    return Err(natural("an outer NATURAL JOIN"));
                }
                for output in source.star().columns {
                    match output.name {
                        Some(name) if output.place != Place::Open => {
                            let watched = self.snapshot.sharing().columns.contains(name.as_str());
                            if output.flow.carries() && !other_is_known && !watched {
                                return Err(natural("NATURAL JOIN of a column under a name of its own"));
                            }
                            names.push(name);
                        }
                        Some(_) | None => names.extend(self.shared(source)?),
                    }
                }
            }
        }
        Ok(names)
    }

    /// The columns of classified names that an unclassified relation has.
    fn shared(&self, source: &Source<'a>) -> Proven<Vec<String>> {
        let renames =
            |range: &&protobuf::RangeVar| range.alias.as_ref().is_none_or(|alias| alias.colnames.is_empty());
        let Some(range) = source.range.filter(renames) else { return Err(natural("NATURAL JOIN")) };
        let schema = Some(range.schemaname.as_str()).filter(|schema| !schema.is_empty());
        if schema.is_some_and(is_temporary) {
            return Err(natural("NATURAL JOIN"));
        }
        match self.names.path {
            None if schema.is_none() => return Err(unless(Remedy::Path, natural("NATURAL JOIN"))),
            Some(path) if schema.is_none() && path.has_perhaps(&range.relname) => {
                return Err(unless(Remedy::Temporary(range.relname.clone()), natural("NATURAL JOIN")));
            }
            Some(_) | None => {}
        }
        let shared = self.snapshot.sharing().of(schema, &range.relname);
        let shared = shared.ok_or_else(|| natural("NATURAL JOIN"))?;
        Ok(shared.into_iter().map(ToString::to_string).collect())
    }

    /// What a column of USING is, if anything but plain.
    fn merged(&mut self, sources: &[Source<'a>], at: usize, column: &str, join: i32) -> Proven<Option<Flow>> {
        let (left, right) = sources.split_at(at.min(sources.len()));
        let mut flows = Vec::new();
        for side in [left, right] {
            self.scope.push(side.to_vec());
            let found = self.scope.unqualified(column);
            self.scope.pop();
            // The column of an unclassified relation, or none at all.
            let found = match found {
                Ok(found) => found,
                Err(refused) if refused.reason == "column-unknown" => Flow::Plain,
                Err(refused) => return Err(refused),
            };
            flows.push(self.found(found)?);
        }
        let [left, right] = flows.as_slice() else { return Ok(None) };
        let reach = self.equal(left, right)?;
        if !reach.is_empty() {
            self.searches.extend(reach.iter().copied());
            return Ok(Some(Flow::Derived(reach)));
        }
        let joined = self.join(&[left.clone(), right.clone()])?;
        // Of an inner or outer join it is the column of the side whose rows are all there.
        let side = match JoinType::try_from(join) {
            Ok(JoinType::JoinInner | JoinType::JoinLeft) => left,
            Ok(JoinType::JoinRight) => right,
            Ok(_) | Err(_) => &joined,
        };
        Ok((!joined.is_plain())
            .then(|| if matches!(side, Flow::Field(_)) { side.clone() } else { joined.clone() }))
    }
}

fn natural(what: &str) -> Unproven {
    refuse(
        "unsupported-form",
        format!("{what} with a relation whose columns are not known"),
        "Write JOIN ... ON, or USING.",
    )
}

fn ambiguous_relation(name: &str) -> Unproven {
    refuse(
        "relation-ambiguous",
        format!("\"{name}\" is the name of several relations, one of which matters"),
        "Qualify it with its schema.",
    )
}

/// A relation that holds classified columns and may be used as it is.
fn usable(relation: &Relation) -> Proven<&Relation> {
    if let Some(fault) = &relation.fault {
        return Err(unfit(relation, fault));
    }
    if let Some(reaches) = &relation.reaches {
        return Err(refuse(
            "relation-reaches",
            format!("{} leads to classified columns: {reaches}", relation.name),
            "Use the classified table itself.",
        ));
    }
    if relation.kind == RelationKind::Other || relation.is_harmless() {
        return Err(refuse(
            "relation-reaches",
            format!("{} is not an ordinary table", relation.name),
            "Classify and use an ordinary table.",
        ));
    }
    Ok(relation)
}

/// A table that does not fit, as a whole or for statements of this kind.
pub(in crate::statement) fn unfit(relation: &Relation, why: &str) -> Unproven {
    refuse(
        "relation-fault",
        format!("{}: {why}", relation.name),
        "Correct the policy or the table; `sealgate check` shows the same, and `check --sql` what mends it.",
    )
}

/// A source with any columns, none of them classified.
pub(in crate::statement) fn unknown_source<'a>(alias: &str) -> Source<'a> {
    Source { alias: alias.to_owned(), ..source_of(Columns::Unknown) }
}

fn source_of(columns: Columns<'_>) -> Source<'_> {
    Source {
        alias: String::new(),
        schema: None,
        columns,
        only_qualified: false,
        hidden: Vec::new(),
        merged: false,
        using: false,
        range: None,
    }
}

fn of_columns<'a>(alias: &str, columns: Vec<Output>) -> Source<'a> {
    Source { alias: alias.to_owned(), ..source_of(Columns::Derived(Rc::new(Outputs { columns }))) }
}

/// The columns of USING, each once.
fn in_common(columns: &[String], merged: &Outputs) -> Vec<Output> {
    let common = |name: &String| {
        let sealed = merged.columns.iter().find(|output| output.name.as_ref() == Some(name));
        let flow = sealed.map_or(Flow::Plain, |output| output.flow.clone());
        Output { name: Some(name.clone()), flow, place: Place::Sure, told: Told::default() }
    };
    columns.iter().map(common).collect()
}

/// A join with an alias: its sources have no names of their own behind it.
fn under_one_name<'a>(
    alias: &protobuf::Alias,
    sources: &[Source<'a>],
    columns: &[String],
    merged: &Outputs,
) -> Proven<Source<'a>> {
    sources.iter().try_for_each(Source::all_fit)?;
    let mut unsure = !columns.is_empty();
    let mut all = in_common(columns, merged);
    for source in sources.iter().filter(|source| !source.only_qualified) {
        for output in source.star().columns {
            let again = output.name.as_ref().is_some_and(|name| {
                let known = all.iter().find(|known| known.name.as_ref() == Some(name));
                // What several plain columns have for a name is plain.
                let plain = known.is_some_and(|known| known.flow.is_plain() && output.flow.is_plain());
                plain || source.hidden.contains(name) || columns.contains(name)
            });
            if again {
                unsure = true;
            } else {
                all.push(output);
            }
        }
    }
    if unsure {
        all.iter_mut().for_each(|output| output.place = output.place.unsure());
    }
    let whole = Outputs { columns: all };
    let outputs = if alias.colnames.is_empty() { whole } else { named(&whole, &alias.colnames)? };
    Ok(of_columns(&alias.aliasname, outputs.columns))
}

/// Columns under the names that an alias gives them.
fn renamed<'a>(columns: Columns<'a>, alias: Option<&protobuf::Alias>) -> Proven<Columns<'a>> {
    let Some(alias) = alias.filter(|alias| !alias.colnames.is_empty()) else { return Ok(columns) };
    let Columns::Derived(outputs) = columns else { return Ok(columns) };
    named(&outputs, &alias.colnames).map(|outputs| Columns::Derived(Rc::new(outputs)))
}

/// The first columns of a result under other names.
pub(in crate::statement) fn named(outputs: &Outputs, names: &[Node]) -> Proven<Outputs> {
    let mut outputs = outputs.clone();
    let sure = outputs.columns.iter().take(names.len()).all(|output| output.place == Place::Sure);
    if !sure && outputs.columns.iter().any(|output| !output.flow.is_plain()) {
        return Err(refuse(
            "unsupported-form",
            "an alias renames columns of * by their order",
            "List the columns instead of *, or leave the list of the alias out.",
        ));
    }
    if !sure {
        return Ok(Outputs {
            columns: vec![Output {
                name: None,
                flow: Flow::Plain,
                place: Place::Open,
                told: Told::default(),
            }],
        });
    }
    for (output, name) in outputs.columns.iter_mut().zip(names) {
        output.name = tree::name(name).map(str::to_owned);
    }
    Ok(outputs)
}
