//! FROM: which relations, subqueries and functions are visible, and under which names.

use std::rc::Rc;

use pg_query::protobuf;
use pg_query::protobuf::Node;
use pg_query::protobuf::node::Node as Kind;

use crate::catalog::{Named, Relation, RelationKind};

use super::super::facts::{Remedy, Unproven};
use super::super::read::literal::quoted_name;
use super::super::read::tree::{self, kind};
use super::super::refusal::{Proven, refuse, unless, unsupported};
use super::flow::{Seen, Walk};
use super::scope::{Columns, Source};

/// A source costs so much more to copy than to look at.
const COPY_WORK: usize = 4;

impl<'a> Walk<'a> {
    pub(in crate::statement) fn from(
        &mut self,
        items: &'a [Node],
        mut sources: Vec<Source<'a>>,
    ) -> Proven<Vec<Source<'a>>> {
        for item in items {
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
            Some(Kind::JoinExpr(join)) => self.join(join, before),
            _ => Err(unsupported("a part of FROM of this kind")),
        }
    }

    /// A relation by its name: unclassified, classified, or refused.
    pub(in crate::statement) fn relation(&mut self, range: &'a protobuf::RangeVar) -> Proven<Source<'a>> {
        self.seen.insert((Seen::Range, range.location));
        let schema = Some(range.schemaname.as_str()).filter(|schema| !schema.is_empty());
        let alias = range.alias.as_ref();
        let source = |columns, schema: Option<&str>| Source {
            alias: alias.map_or_else(|| range.relname.clone(), |alias| alias.aliasname.clone()),
            schema: if alias.is_some() { None } else { schema.map(str::to_owned) },
            columns,
            only_qualified: false,
            merged: false,
        };
        let Some(relation) = self.classified(range)? else { return Ok(source(Columns::Unknown, schema)) };
        if !range.inh {
            return Err(unsupported("ONLY"));
        }
        if alias.is_some_and(|alias| !alias.colnames.is_empty()) {
            return Err(unsupported("an alias with column names"));
        }
        Ok(source(Columns::Table(relation), Some(&relation.name.schema)))
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
                    "Create the table, or correct the policy; another table of that name must be qualified.",
                ),
            )),
            Named::Pinned(relation) if relation.is_harmless() => Ok(None),
            Named::One(relation) | Named::Pinned(relation) => usable(relation).map(Some),
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
        let renamed = alias.is_some_and(|alias| !alias.colnames.is_empty());
        if renamed && outputs.carries() {
            return Err(unsupported("an alias with column names"));
        }
        let columns = if renamed { Columns::Unknown } else { Columns::Derived(Rc::new(outputs)) };
        let alias = alias.map_or_else(String::new, |alias| alias.aliasname.clone());
        Ok(Source { alias, schema: None, columns, only_qualified: false, merged: false })
    }

    fn source_function(
        &mut self,
        function: &'a protobuf::RangeFunction,
        before: &[Source<'a>],
    ) -> Proven<Source<'a>> {
        self.scope.spend(COPY_WORK * before.len())?;
        self.scope.push(before.to_vec());
        let mut name = String::new();
        for item in &function.functions {
            let Some(Kind::List(item)) = kind(item) else { return Err(unsupported("this function in FROM")) };
            // The function, and the definition of its columns, which holds types only.
            let Some(call) = item.items.first() else { return Err(unsupported("this function in FROM")) };
            if let Some(Kind::FuncCall(call)) = kind(call) {
                name = tree::last_name(&call.funcname).unwrap_or_default().to_owned();
            }
            let reach = self.value(call)?;
            if !reach.is_empty() {
                return Err(unsupported("a function in FROM over a classified column"));
            }
        }
        self.scope.pop();
        let alias = function.alias.as_ref().map_or(name, |alias| alias.aliasname.clone());
        Ok(unknown_source(&alias))
    }

    fn join(&mut self, join: &'a protobuf::JoinExpr, before: &[Source<'a>]) -> Proven<Vec<Source<'a>>> {
        let (Some(left), Some(right)) = (join.larg.as_deref(), join.rarg.as_deref()) else {
            return Err(unsupported("this join"));
        };
        let left = self.source_item(left, before)?;
        self.scope.spend(COPY_WORK * (before.len() + left.len()))?;
        let mut visible = before.to_vec();
        visible.extend(left.iter().cloned());
        let right = self.source_item(right, &visible)?;
        let mut both = left;
        both.extend(right);
        self.scope.push(both);
        self.predicate(join.quals.as_deref())?;
        let both = self.scope.pop();
        let carries = Self::any_carries(&both);
        if carries && (join.is_natural || join.alias.is_some() || join.join_using_alias.is_some()) {
            return Err(unsupported("NATURAL JOIN, or a join with an alias,"));
        }
        for column in join.using_clause.iter().filter_map(tree::name) {
            both.iter().try_for_each(|source| source.fits(column))?;
            for source in both.iter().filter(|source| source.carries()) {
                let star = source.star();
                if star.columns.iter().any(|output| {
                    !output.carried.is_plain() && output.name.as_deref().is_none_or(|output| output == column)
                }) {
                    return Err(unsupported("JOIN ... USING over a classified column"));
                }
            }
        }
        if let Some(alias) = &join.alias {
            return Ok(vec![unknown_source(&alias.aliasname)]);
        }
        let mut sources = both;
        if join.is_natural || !join.using_clause.is_empty() {
            sources.iter_mut().for_each(|source| source.merged = true);
        }
        if let Some(alias) = &join.join_using_alias {
            sources.push(unknown_source(&alias.aliasname));
        }
        Ok(sources)
    }
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
    if relation.kind != RelationKind::Table || relation.is_harmless() {
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
    let columns = Columns::Unknown;
    Source { alias: alias.to_owned(), schema: None, columns, only_qualified: false, merged: false }
}
