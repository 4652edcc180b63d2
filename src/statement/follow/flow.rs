//! Expressions: where each classified column, literal and parameter of one ends.
//!
//! [`Flow`] is what an expression *is*; its place decides whether that may stand there.
//! The list of node kinds is an allow-list: what is not on it is refused.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, Node};

use crate::catalog::{Field, FieldId, Names, Snapshot};

use super::super::facts::{LiteralUse, ParameterUse, ResultColumn};
use super::super::matters::Bench;
use super::super::read::literal::{literal_value, plain_literal_end};
use super::super::read::tree::{self, kind};
use super::super::refusal::{Proven, refuse, unsupported};
use super::scope::{Carried, Outputs, Scope, Source, whole_row};

/// What an expression is.
pub(in crate::statement) enum Flow<'a> {
    /// Nothing sealed; the fields that are classified but not sealed and reach its value.
    Plain(BTreeSet<FieldId>),
    Field(FieldId),
    /// A string constant, at most cast to `text`.
    Text {
        location: i32,
        value: &'a str,
    },
    Parameter(&'a protobuf::ParamRef),
    Null,
    Default,
}

/// Kinds of things that the census counts and the walk must have visited.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::statement) enum Seen {
    Range,
    Column,
    Parameter,
    Call,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct ParameterMeaning {
    sealed: Option<(FieldId, bool)>,
    plain: bool,
}

/// Most columns of a result, as at the server (`MaxTupleAttributeNumber`).
const COLUMNS_MAX: usize = 1_664;

/// The walk over one statement, and what it has gathered.
pub(in crate::statement) struct Walk<'a> {
    pub(in crate::statement) snapshot: &'a Snapshot,
    pub(in crate::statement) names: Names<'a>,
    pub(in crate::statement) text: &'a [u8],
    /// False where a backslash in a literal would need an escape's meaning.
    pub(in crate::statement) conforming: bool,
    pub(in crate::statement) scope: Scope<'a>,
    pub(in crate::statement) seen: HashSet<(Seen, i32)>,
    pub(in crate::statement) reads: BTreeSet<FieldId>,
    /// The columns that reach the client.
    pub(in crate::statement) outputs: Vec<ResultColumn>,
    pub(in crate::statement) searches: BTreeSet<FieldId>,
    pub(in crate::statement) writes: BTreeSet<FieldId>,
    pub(in crate::statement) insertions: BTreeMap<usize, String>,
    pub(in crate::statement) positional: bool,
    mentioned: BTreeSet<FieldId>,
    literals: BTreeMap<usize, LiteralUse>,
    parameters: BTreeMap<u16, ParameterMeaning>,
}

impl<'a> Walk<'a> {
    pub(in crate::statement) fn new(bench: Bench<'a>, conforming: bool) -> Walk<'a> {
        Walk {
            snapshot: bench.snapshot,
            names: bench.names,
            text: bench.text,
            conforming,
            scope: Scope::default(),
            seen: HashSet::new(),
            reads: BTreeSet::new(),
            outputs: Vec::new(),
            searches: BTreeSet::new(),
            writes: BTreeSet::new(),
            insertions: BTreeMap::new(),
            positional: false,
            mentioned: BTreeSet::new(),
            literals: BTreeMap::new(),
            parameters: BTreeMap::new(),
        }
    }

    pub(in crate::statement) fn field(&self, id: FieldId) -> Proven<&'a Field> {
        self.snapshot.field(id).ok_or_else(|| {
            refuse("relation-fault", "the catalog names a field that is not there", "Reload the policy.")
        })
    }

    pub(in crate::statement) fn is_sealed(&self, id: FieldId) -> Proven<bool> {
        Ok(self.field(id)?.domain.is_some())
    }

    /// Every field that was met is on record: as a search if as nothing else.
    pub(in crate::statement) fn finish(&mut self) {
        for id in &self.mentioned {
            if !self.reads.contains(id) && !self.writes.contains(id) {
                self.searches.insert(*id);
            }
        }
    }

    pub(in crate::statement) fn literal_uses(&self) -> Vec<LiteralUse> {
        self.literals.values().cloned().collect()
    }

    /// Refuses a parameter that means a sealed value and something else as well.
    pub(in crate::statement) fn parameter_uses(&self) -> Proven<Vec<ParameterUse>> {
        let mut uses = Vec::new();
        for (number, meaning) in &self.parameters {
            if let Some((field, array)) = meaning.sealed {
                if meaning.plain {
                    return Err(refuse(
                        "parameter-conflict",
                        format!("${number} stands for a sealed value and for another one"),
                        "Use a parameter of its own for each.",
                    ));
                }
                uses.push(ParameterUse { number: *number, field, array });
            }
        }
        Ok(uses)
    }

    // ---- what an expression is ------------------------------------------------------

    pub(in crate::statement) fn flow(&mut self, node: &'a Node) -> Proven<Flow<'a>> {
        match kind(node) {
            Some(kind) => self.flow_of(kind),
            None => Ok(Flow::Plain(BTreeSet::new())),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "an allow-list: every other kind is refused")]
    fn flow_of(&mut self, kind: &'a Kind) -> Proven<Flow<'a>> {
        match kind {
            Kind::ColumnRef(column) => self.column(column),
            Kind::ParamRef(parameter) => {
                self.seen.insert((Seen::Parameter, parameter.location));
                Ok(Flow::Parameter(parameter))
            }
            Kind::AConst(constant) => Ok(constant_flow(constant)),
            Kind::SetToDefault(_) => Ok(Flow::Default),
            Kind::TypeCast(cast) => self.cast(cast),
            Kind::AExpr(expression) => self.operation(expression).map(Flow::Plain),
            Kind::SubLink(link) => self.sublink(link).map(Flow::Plain),
            Kind::FuncCall(call) => self.call(call).map(Flow::Plain),
            Kind::NullTest(test) => self.null_test(test).map(Flow::Plain),
            Kind::BoolExpr(expression) => self.values(&expression.args).map(Flow::Plain),
            Kind::BooleanTest(test) => self.optional(test.arg.as_deref()).map(Flow::Plain),
            Kind::CoalesceExpr(expression) => self.values(&expression.args).map(Flow::Plain),
            Kind::MinMaxExpr(expression) => self.values(&expression.args).map(Flow::Plain),
            Kind::RowExpr(row) => self.values(&row.args).map(Flow::Plain),
            Kind::AArrayExpr(array) => self.values(&array.elements).map(Flow::Plain),
            Kind::List(list) => self.values(&list.items).map(Flow::Plain),
            Kind::GroupingFunc(grouping) => self.values(&grouping.args).map(Flow::Plain),
            Kind::CollateClause(clause) => self.optional(clause.arg.as_deref()).map(Flow::Plain),
            Kind::NamedArgExpr(argument) => self.optional(argument.arg.as_deref()).map(Flow::Plain),
            Kind::SqlvalueFunction(_) => Ok(Flow::Plain(BTreeSet::new())),
            Kind::CaseExpr(case) => {
                let mut reach = self.optional(case.arg.as_deref())?;
                reach.extend(self.values(&case.args)?);
                reach.extend(self.optional(case.defresult.as_deref())?);
                Ok(Flow::Plain(reach))
            }
            Kind::CaseWhen(when) => {
                let mut reach = self.optional(when.expr.as_deref())?;
                reach.extend(self.optional(when.result.as_deref())?);
                Ok(Flow::Plain(reach))
            }
            Kind::AIndirection(selection) => {
                let mut reach = self.optional(selection.arg.as_deref())?;
                reach.extend(self.indirection(&selection.indirection)?);
                Ok(Flow::Plain(reach))
            }
            Kind::SortBy(sort) => self.optional(sort.node.as_deref()).map(Flow::Plain),
            _ => Err(unsupported("an expression of this kind")),
        }
    }

    /// An expression at a place where nothing sealed may stand.
    pub(in crate::statement) fn value(&mut self, node: &'a Node) -> Proven<BTreeSet<FieldId>> {
        let flow = self.flow(node)?;
        self.settle(&flow)
    }

    pub(in crate::statement) fn values(&mut self, nodes: &'a [Node]) -> Proven<BTreeSet<FieldId>> {
        let mut reach = BTreeSet::new();
        for node in nodes {
            reach.extend(self.value(node)?);
        }
        Ok(reach)
    }

    pub(in crate::statement) fn optional(&mut self, node: Option<&'a Node>) -> Proven<BTreeSet<FieldId>> {
        node.map_or_else(|| Ok(BTreeSet::new()), |node| self.value(node))
    }

    /// WHERE, ON, HAVING: whatever unsealed field reaches the answer is searched.
    pub(in crate::statement) fn predicate(&mut self, node: Option<&'a Node>) -> Proven<()> {
        let reach = self.optional(node)?;
        self.searches.extend(reach);
        Ok(())
    }

    /// Takes a flow as a value like any other.
    pub(in crate::statement) fn settle(&mut self, flow: &Flow<'a>) -> Proven<BTreeSet<FieldId>> {
        match flow {
            Flow::Plain(reach) => Ok(reach.clone()),
            Flow::Field(id) if self.is_sealed(*id)? => Err(self.unsupported_position(*id)),
            Flow::Field(id) => Ok(BTreeSet::from([*id])),
            Flow::Parameter(parameter) => {
                self.parameter(parameter, None)?;
                Ok(BTreeSet::new())
            }
            Flow::Text { .. } | Flow::Null | Flow::Default => Ok(BTreeSet::new()),
        }
    }

    pub(in crate::statement) fn unsupported_position(&self, id: FieldId) -> super::super::facts::Unproven {
        let path = self.field(id).map_or_else(|_| String::new(), Field::path);
        refuse(
            "unsupported-position",
            format!("{path} is sealed and stands where a sealed value has no meaning"),
            "A sealed column can be selected, assigned, tested for NULL, and with seal = \"equality\" \
             compared by =, <>, IN and ANY with a literal, a parameter or a column of its domain.",
        )
    }

    // ---- columns, constants, parameters ---------------------------------------------

    pub(in crate::statement) fn column(&mut self, column: &'a protobuf::ColumnRef) -> Proven<Flow<'a>> {
        self.seen.insert((Seen::Column, column.location));
        if column.fields.last().and_then(kind).is_some_and(|last| matches!(last, Kind::AStar(_))) {
            let outputs = self.star(column)?;
            if outputs.carries() {
                return Err(whole_row("*"));
            }
            return Ok(Flow::Plain(BTreeSet::new()));
        }
        let parts: Vec<&str> = column.fields.iter().filter_map(tree::name).collect();
        if parts.len() != column.fields.len() {
            return Err(unsupported("a column reference of this form"));
        }
        let carried = match parts.as_slice() {
            [name] => self.scope.unqualified(name)?,
            [alias, name] => self.scope.qualified(None, alias, name)?,
            [schema, table, name] => self.scope.qualified(Some(schema), table, name)?,
            _ => return Err(unsupported("a column name with a database")),
        };
        Ok(self.carried_flow(carried))
    }

    pub(in crate::statement) fn carried_flow(&mut self, carried: Carried) -> Flow<'a> {
        match carried {
            Carried::Plain => Flow::Plain(BTreeSet::new()),
            Carried::Field(id) => {
                self.mentioned.insert(id);
                Flow::Field(id)
            }
            Carried::Derived(ids) => {
                self.mentioned.extend(ids.iter().copied());
                Flow::Plain(ids.into_iter().collect())
            }
        }
    }

    /// A result has no more columns than the server gives one, however `*` is multiplied.
    pub(in crate::statement) fn bounded(&self, outputs: &Outputs) -> Proven<()> {
        if outputs.columns.len() <= COLUMNS_MAX {
            return Ok(());
        }
        Err(refuse("too-wide", "a query has more columns than the server allows", "Name fewer columns."))
    }

    /// The columns of `*`, `alias.*` or `schema.table.*`.
    pub(in crate::statement) fn star(&mut self, column: &'a protobuf::ColumnRef) -> Proven<Outputs> {
        self.seen.insert((Seen::Column, column.location));
        let parts: Vec<&str> = column.fields.iter().filter_map(tree::name).collect();
        if parts.len() + 1 != column.fields.len() {
            return Err(unsupported("a column reference of this form"));
        }
        let outputs = match parts.as_slice() {
            [] => {
                let mut all = Outputs::default();
                for source in self.scope.innermost().iter().filter(|source| !source.only_qualified) {
                    source.all_fit()?;
                    let outputs = source.star();
                    all.columns.extend(outputs.columns);
                    self.bounded(&all)?;
                }
                all
            }
            [alias] => of_source(self.scope.source(None, alias)?)?,
            [schema, table] => of_source(self.scope.source(Some(schema), table)?)?,
            _ => return Err(unsupported("a column name with a database")),
        };
        for output in &outputs.columns {
            self.carried_flow(output.carried.clone());
        }
        Ok(outputs)
    }

    /// A cast that changes nothing keeps what it is applied to; every other is a value.
    fn cast(&mut self, cast: &'a protobuf::TypeCast) -> Proven<Flow<'a>> {
        let Some(arg) = cast.arg.as_deref() else { return Err(unsupported("a cast of nothing")) };
        let flow = self.flow(arg)?;
        let harmless = cast.type_name.as_ref().is_some_and(|of| tree::is_plain_text_type(of, false));
        if harmless && matches!(flow, Flow::Text { .. } | Flow::Parameter(_) | Flow::Null) {
            return Ok(flow);
        }
        self.settle(&flow).map(Flow::Plain)
    }

    /// Records one place of a parameter: for a field, or as a plain value.
    pub(in crate::statement) fn parameter(
        &mut self,
        parameter: &protobuf::ParamRef,
        means: Option<(FieldId, bool)>,
    ) -> Proven<()> {
        let number = u16::try_from(parameter.number)
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| unsupported("a parameter number outside of 1 to 65535"))?;
        let known = self.parameters.entry(number).or_insert(ParameterMeaning { sealed: None, plain: false });
        let Some((field, array)) = means else {
            known.plain = true;
            return Ok(());
        };
        match known.sealed {
            None => known.sealed = Some((field, array)),
            Some((other, other_array)) => {
                let same = self.field(other)?.domain == self.field(field)?.domain;
                if !same || array != other_array {
                    return Err(refuse(
                        "parameter-conflict",
                        format!("${number} stands for values of two domains"),
                        "Use a parameter of its own for each.",
                    ));
                }
            }
        }
        Ok(())
    }

    /// Records a literal that means a value of a sealed field, after a second lexing.
    pub(in crate::statement) fn literal(&mut self, location: i32, value: &str, field: FieldId) -> Proven<()> {
        let other_form = || {
            refuse(
                "literal-form",
                "the value of a sealed column is not written as one plain quoted literal",
                "Write it as '...' without a prefix, or use a parameter.",
            )
        };
        let start = usize::try_from(location).map_err(|_| other_form())?;
        let end = plain_literal_end(self.text, start).ok_or_else(other_form)?;
        let source = self.text.get(start..end).ok_or_else(other_form)?;
        let decoded = literal_value(source).ok_or_else(other_form)?;
        let escaped = !self.conforming && source.contains(&b'\\');
        if escaped || decoded.as_slice() != value.as_bytes() {
            return Err(other_form());
        }
        let known = self.literals.insert(start, LiteralUse { span: start..end, field });
        match known {
            Some(known) if self.field(known.field)?.domain != self.field(field)?.domain => Err(refuse(
                "domain-differs",
                "one literal stands for values of two domains",
                "Write the literal once for each column.",
            )),
            _ => Ok(()),
        }
    }
}

fn of_source(source: &Source<'_>) -> Proven<Outputs> {
    source.all_fit()?;
    Ok(source.star())
}

fn constant_flow(constant: &protobuf::AConst) -> Flow<'_> {
    match &constant.val {
        Some(protobuf::a_const::Val::Sval(string)) => {
            Flow::Text { location: constant.location, value: &string.sval }
        }
        None if constant.isnull => Flow::Null,
        // A zero or false constant decodes to no value at all; it is a value like any.
        Some(_) | None => Flow::Plain(BTreeSet::new()),
    }
}
