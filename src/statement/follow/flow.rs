//! Expressions: what each one is, by what it is made of.
//!
//! [`Flow`] is what an expression *is*; its place decides whether that may stand there.
//! The list of node kinds is an allow-list: what is not on it is refused.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, Node};

use crate::catalog::{Called, Field, FieldId, Names, Snapshot, Verdict};

use super::super::facts::{Edit, Fold, ResultColumn, Unproven};
use super::super::matters::Bench;
use super::super::read::tree::{self, kind};
use super::super::refusal::{Proven, refuse, unsupported};
use super::algebra::Use;
use super::classes::{Class, Classes, Fields, Flow, require, same_domain};
use super::from::Cte;
use super::scope::{Outputs, Scope, Source, whole_row};

/// Kinds of things that the census counts and the walk must have visited.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::statement) enum Seen {
    Range,
    Column,
    Parameter,
    Call,
}

/// An expression that is walked once more costs so much more than to look at a source.
const REPEATED_WORK: usize = 16;

/// Most columns of a result, as at the server (`MaxTupleAttributeNumber`).
const COLUMNS_MAX: usize = 1_664;

/// The walk over one statement, and what it has gathered.
pub(in crate::statement) struct Walk<'a> {
    pub(in crate::statement) snapshot: &'a Snapshot,
    pub(in crate::statement) names: Names<'a>,
    pub(in crate::statement) text: &'a str,
    /// A backslash in a plain literal is one.
    pub(in crate::statement) conforming: bool,
    pub(in crate::statement) classes: Classes<'a>,
    /// What WITH defines around here, outermost level first.
    pub(in crate::statement) ctes: Vec<Vec<Cte>>,
    /// Results of subqueries that are assigned to several columns, by place.
    pub(in crate::statement) assigned: HashMap<i32, Outputs>,
    /// In how many queries around here that are walked once more the walk is.
    pub(in crate::statement) again: usize,
    /// The order of the rows of the query that is walked matters to nobody.
    pub(in crate::statement) orderless: bool,
    /// The text is kept in the database and runs as it stands: nothing in it may rest on the order of columns.
    pub(in crate::statement) kept: bool,
    /// Of the query that comes next the place of each column matters.
    pub(in crate::statement) places: bool,
    /// The one INTO that makes a table of the rows, which is judged elsewhere.
    pub(in crate::statement) into: Option<&'a protobuf::IntoClause>,
    pub(in crate::statement) scope: Scope<'a>,
    pub(in crate::statement) seen: HashSet<(Seen, i32)>,
    pub(in crate::statement) reads: BTreeSet<FieldId>,
    /// The columns that reach the client.
    pub(in crate::statement) outputs: Vec<ResultColumn>,
    pub(in crate::statement) searches: BTreeSet<FieldId>,
    pub(in crate::statement) writes: BTreeSet<FieldId>,
    pub(in crate::statement) insertions: BTreeMap<usize, String>,
    /// What else becomes of the text.
    pub(in crate::statement) edits: Vec<Edit>,
    pub(in crate::statement) positional: bool,
    pub(in crate::statement) joins: bool,
    mentioned: BTreeSet<FieldId>,
}

impl<'a> Walk<'a> {
    pub(in crate::statement) fn new(bench: Bench<'a>, conforming: bool) -> Walk<'a> {
        Walk {
            snapshot: bench.snapshot,
            names: bench.names,
            // It was read as characters before it was parsed.
            text: std::str::from_utf8(bench.text).unwrap_or_default(),
            conforming,
            classes: Classes::new(bench.snapshot),
            ctes: Vec::new(),
            assigned: HashMap::new(),
            again: 0,
            orderless: false,
            kept: false,
            places: false,
            into: None,
            scope: Scope::default(),
            seen: HashSet::new(),
            reads: BTreeSet::new(),
            outputs: Vec::new(),
            searches: BTreeSet::new(),
            writes: BTreeSet::new(),
            insertions: BTreeMap::new(),
            edits: Vec::new(),
            positional: false,
            joins: false,
            mentioned: BTreeSet::new(),
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
    pub(in crate::statement) fn finish(&mut self) -> Proven<()> {
        for class in self.scope.take_uncertain() {
            self.classes.make_plain(class)?;
        }
        for id in &self.mentioned {
            if !self.reads.contains(id) && !self.writes.contains(id) {
                self.searches.insert(*id);
            }
        }
        Ok(())
    }

    // ---- what an expression is ------------------------------------------------------

    pub(in crate::statement) fn flow(&mut self, node: &'a Node) -> Proven<Flow> {
        // The first walk is as long as the text; those that repeat parts of it multiply where they nest.
        if self.again > 0 {
            self.scope.spend(REPEATED_WORK)?;
        }
        match kind(node) {
            Some(kind) => self.flow_of(kind),
            None => Ok(Flow::Plain),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "an allow-list: every other kind is refused")]
    fn flow_of(&mut self, kind: &'a Kind) -> Proven<Flow> {
        match kind {
            Kind::ColumnRef(column) => self.column(column),
            Kind::ParamRef(parameter) => self.parameter(parameter, false),
            Kind::AConst(constant) => self.constant(constant, false),
            Kind::SetToDefault(_) => Ok(Flow::Default),
            Kind::TypeCast(cast) => self.cast(cast),
            Kind::CollateClause(clause) => self.collated(clause),
            Kind::AExpr(expression) => self.operation(expression),
            Kind::SubLink(link) => self.sublink(link),
            Kind::FuncCall(call) => self.call(call),
            Kind::CaseExpr(case) => self.case(case),
            Kind::CoalesceExpr(expression) => {
                let flows = expression.args.iter().map(|arg| self.flow(arg)).collect::<Proven<Vec<_>>>()?;
                self.join(&flows)
            }
            Kind::AArrayExpr(array) => self.array_of(array, false),
            Kind::NullTest(test) => self.null_test(test).map(Flow::derived),
            Kind::BoolExpr(expression) => {
                let mut reach = Fields::new();
                for condition in &expression.args {
                    reach.extend(self.condition(condition)?);
                }
                Ok(Flow::derived(reach))
            }
            Kind::BooleanTest(test) => self.optional_condition(test.arg.as_deref()).map(Flow::derived),
            Kind::MinMaxExpr(expression) => self
                .values(&expression.args)
                .map(Flow::derived)
                .map_err(|refused| self.placed(refused, "GREATEST or LEAST", expression.location)),
            Kind::RowExpr(row) => self.values(&row.args).map(Flow::derived),
            Kind::List(list) => self.values(&list.items).map(Flow::derived),
            Kind::GroupingFunc(grouping) => self.grouped(&grouping.args).map(Flow::derived),
            Kind::NamedArgExpr(argument) => self.optional(argument.arg.as_deref()).map(Flow::derived),
            // Which row, a cursor says.
            Kind::SqlvalueFunction(_) | Kind::MergeSupportFunc(_) | Kind::CurrentOfExpr(_) => Ok(Flow::Plain),
            Kind::AIndirection(selection) => {
                let mut reach = self.optional(selection.arg.as_deref())?;
                reach.extend(self.indirection(&selection.indirection)?);
                Ok(Flow::derived(reach))
            }
            Kind::SortBy(sort) => self.optional(sort.node.as_deref()).map(Flow::derived),
            _ => Err(unsupported("an expression of this kind")),
        }
    }

    /// An expression at a place where nothing sealed may stand.
    pub(in crate::statement) fn value(&mut self, node: &'a Node) -> Proven<Fields> {
        let flow = self.flow(node)?;
        self.settle(&flow)
    }

    pub(in crate::statement) fn values(&mut self, nodes: &'a [Node]) -> Proven<Fields> {
        let mut reach = Fields::new();
        for node in nodes {
            reach.extend(self.value(node)?);
        }
        Ok(reach)
    }

    pub(in crate::statement) fn optional(&mut self, node: Option<&'a Node>) -> Proven<Fields> {
        node.map_or_else(|| Ok(Fields::new()), |node| self.value(node))
    }

    /// WHERE, ON, HAVING: whatever unsealed field reaches the answer is searched.
    pub(in crate::statement) fn predicate(&mut self, node: Option<&'a Node>) -> Proven<()> {
        let reach = self.optional_condition(node)?;
        self.searches.extend(reach);
        Ok(())
    }

    pub(in crate::statement) fn optional_condition(&mut self, node: Option<&'a Node>) -> Proven<Fields> {
        node.map_or_else(|| Ok(Fields::new()), |node| self.condition(node))
    }

    /// The fields of a sealed value, so far as it is known to be one.
    pub(in crate::statement) fn sealed_in(&mut self, flow: &Flow) -> Proven<Option<Fields>> {
        Ok(match flow {
            Flow::Field(id) if self.is_sealed(*id)? => Some(Fields::from([*id])),
            Flow::Sealed(fields) => Some(fields.clone()),
            Flow::Open(class) => self.classes.sealed(*class),
            // What is kept in lower case is its own.
            Flow::Folded(Fold::Lower, inner) if !matches!(**inner, Flow::Open(_)) => self.sealed_in(inner)?,
            Flow::Plain
            | Flow::Derived(_)
            | Flow::Field(_)
            | Flow::Array(_)
            | Flow::Folded(..)
            | Flow::Default => None,
        })
    }

    /// Takes a flow as a value like any other.
    pub(in crate::statement) fn settle(&mut self, flow: &Flow) -> Proven<Fields> {
        match flow {
            Flow::Plain | Flow::Default => Ok(Fields::new()),
            Flow::Derived(fields) => Ok(fields.clone()),
            Flow::Field(id) if !self.is_sealed(*id)? => Ok(Fields::from([*id])),
            Flow::Field(id) => Err(self.unsupported_position(*id)),
            Flow::Sealed(fields) => {
                let first = fields.first().copied();
                Err(first
                    .map_or_else(|| unsupported("a value of no field"), |id| self.unsupported_position(id)))
            }
            Flow::Open(class) => {
                self.classes.make_plain(*class)?;
                Ok(Fields::new())
            }
            Flow::Array(elements) => self.settle(elements),
            Flow::Folded(_, inner) => self.settle(inner),
        }
    }

    /// One value of several, as it is: the branches of CASE, the arguments of COALESCE, a column of
    /// UNION. A sealed one makes constants beside it sealed; beside anything else it has no meaning,
    /// since a column that nobody watches could hold somebody's sealed value.
    pub(in crate::statement) fn join(&mut self, flows: &[Flow]) -> Proven<Flow> {
        if let [only] = flows {
            return Ok(only.clone());
        }
        if !flows.is_empty() && flows.iter().all(|flow| matches!(flow, Flow::Array(_))) {
            let inner: Vec<Flow> = flows
                .iter()
                .filter_map(
                    |flow| if let Flow::Array(inner) = flow { Some(Flow::clone(inner)) } else { None },
                )
                .collect();
            return Ok(Flow::Array(Box::new(self.join(&inner)?)));
        }
        let mut sealed = Fields::new();
        for flow in flows {
            if let Some(fields) = self.sealed_in(flow)? {
                // Values of several domains can only be shown: each says of which it is.
                let given = flows.iter().any(|flow| matches!(flow, Flow::Open(_)));
                if given && !sealed.is_empty() && !same_domain(self.snapshot, &sealed, &fields) {
                    return Err(self.other_domain(&sealed, &fields));
                }
                sealed.extend(fields);
            }
        }
        if let Some(first) = sealed.first().copied() {
            for flow in flows {
                match flow {
                    Flow::Open(class) => self.classes.seal(*class, &sealed)?,
                    Flow::Array(elements) if let Some(class) = self.whole(elements, &sealed)? => {
                        self.classes.seal(class, &sealed)?;
                    }
                    Flow::Sealed(_) => {}
                    Flow::Field(id) if self.is_sealed(*id)? => {}
                    Flow::Folded(..) if self.sealed_in(flow)?.is_some() => {}
                    Flow::Plain
                    | Flow::Derived(_)
                    | Flow::Field(_)
                    | Flow::Array(_)
                    | Flow::Folded(..)
                    | Flow::Default => {
                        return Err(self.beside_sealed(first));
                    }
                }
            }
            return Ok(Flow::Sealed(sealed));
        }
        let opens: Vec<Class> = flows
            .iter()
            .filter_map(|flow| if let Flow::Open(class) = flow { Some(*class) } else { None })
            .collect();
        if opens.len() == flows.len() {
            let Some((first, rest)) = opens.split_first() else {
                return Ok(Flow::Open(self.classes.fresh(None)?));
            };
            rest.iter().try_for_each(|class| self.classes.unite(*first, *class))?;
            return Ok(Flow::Open(*first));
        }
        let mut reach = Fields::new();
        for flow in flows {
            reach.extend(self.settle(flow)?);
        }
        Ok(Flow::derived(reach))
    }

    fn case(&mut self, case: &'a protobuf::CaseExpr) -> Proven<Flow> {
        let subject = case.arg.as_deref().map(|arg| self.flow(arg)).transpose()?;
        let (mut conditions, mut results) = (Fields::new(), Vec::new());
        for when in &case.args {
            let Some(Kind::CaseWhen(when)) = kind(when) else { return Err(unsupported("this CASE")) };
            match (&subject, when.expr.as_deref()) {
                (Some(subject), Some(expression)) => {
                    let candidate = self.flow(expression)?;
                    conditions.extend(self.equal(subject, &candidate)?);
                }
                (None, expression) => conditions.extend(self.optional_condition(expression)?),
                (Some(_), None) => return Err(unsupported("this CASE")),
            }
            let Some(result) = when.result.as_deref() else { return Err(unsupported("this CASE")) };
            results.push(self.flow(result)?);
        }
        // Without ELSE it is NULL.
        if let Some(otherwise) = case.defresult.as_deref() {
            results.push(self.flow(otherwise)?);
        }
        let joined = self.join(&results)?;
        Ok(match joined {
            Flow::Plain => Flow::derived(conditions),
            Flow::Derived(mut fields) => {
                fields.extend(conditions);
                Flow::Derived(fields)
            }
            // One constant alone tells which condition held.
            Flow::Open(class) if !conditions.is_empty() => {
                self.classes.make_plain(class)?;
                Flow::Derived(conditions)
            }
            Flow::Field(id) if !self.is_sealed(id)? => {
                conditions.insert(id);
                Flow::Derived(conditions)
            }
            Flow::Field(_)
            | Flow::Sealed(_)
            | Flow::Open(_)
            | Flow::Array(_)
            | Flow::Folded(..)
            | Flow::Default => {
                self.searches.extend(conditions);
                if let Flow::Field(id) = joined { Flow::Sealed(Fields::from([id])) } else { joined }
            }
        })
    }

    pub(in crate::statement) fn unsupported_position(&self, id: FieldId) -> Unproven {
        match require(self.snapshot, &Fields::from([id]), Use::Look) {
            Err(refused) => refused,
            Ok(()) => unsupported("a classified column at this place"),
        }
    }

    fn beside_sealed(&self, id: FieldId) -> Unproven {
        let path = self.field(id).map_or_else(|_| String::new(), Field::path);
        refuse(
            "unsupported-position",
            format!(
                "{path} is sealed and stands beside another value, one of which would be taken for the other"
            ),
            "Beside a sealed value in COALESCE, CASE, VALUES or UNION only values of its domain, constants and \
             parameters have a meaning.",
        )
    }

    pub(in crate::statement) fn other_domain(&self, left: &Fields, right: &Fields) -> Unproven {
        let path = |fields: &Fields| {
            fields.first().and_then(|id| self.snapshot.field(*id)).map_or_else(String::new, Field::path)
        };
        let last = |fields: &Fields| {
            fields.last().and_then(|id| self.snapshot.field(*id)).map_or_else(String::new, Field::path)
        };
        refuse(
            "domain-differs",
            format!("{} and {} are not sealed in one domain", path(left), last(right)),
            "Only columns of the same equality domain can be compared or copied.",
        )
    }

    /// The same refusal with what looks into the value, and where.
    pub(in crate::statement) fn placed(&self, refused: Unproven, what: &str, location: i32) -> Unproven {
        let is_whole = refused.reason == "unsupported-position" && !refused.detail.contains(" at character ");
        let before = usize::try_from(location).ok().and_then(|at| self.text.get(..at));
        match before {
            Some(before) if is_whole => {
                let position = before.chars().count() + 1;
                Unproven { detail: format!("{}: {what} at character {position}", refused.detail), ..refused }
            }
            Some(_) | None => refused,
        }
    }

    // ---- columns, constants, parameters ---------------------------------------------

    pub(in crate::statement) fn column(&mut self, column: &'a protobuf::ColumnRef) -> Proven<Flow> {
        self.seen.insert((Seen::Column, column.location));
        if column.fields.last().and_then(kind).is_some_and(|last| matches!(last, Kind::AStar(_))) {
            let outputs = self.star(column)?;
            if outputs.carries() {
                return Err(whole_row("*"));
            }
            self.undecided(&outputs)?;
            return Ok(Flow::Plain);
        }
        let parts: Vec<&str> = column.fields.iter().filter_map(tree::name).collect();
        if parts.len() != column.fields.len() {
            return Err(unsupported("a column reference of this form"));
        }
        let found = match parts.as_slice() {
            [name] => self.scope.unqualified(name)?,
            [alias, name] => self.qualified(None, alias, name)?,
            [schema, table, name] => self.qualified(Some(schema), table, name)?,
            [database, schema, table, name] if *database == &**self.snapshot.database() => {
                self.qualified(Some(schema), table, name)?
            }
            _ => return Err(unsupported("a column name with a database")),
        };
        self.found(found)
    }

    /// A column by the name of its relation. One that nobody knows, of a relation that has columns of unclassified
    /// tables, is one of those, unless it could be a call of a function with the whole row.
    fn qualified(&self, schema: Option<&str>, alias: &str, name: &str) -> Proven<Flow> {
        let found = self.scope.qualified(schema, alias, name);
        let Err(refused) = &found else { return found };
        let codes = self.snapshot.codes();
        let called = codes.function(Called { schema: None, name, path: None });
        let free = codes.stock.is_some() && matches!(called, Verdict::Unknown(_));
        let source = self.scope.source(schema, alias).ok().filter(|source| source.is_open());
        match source.filter(|_| refused.reason == "column-unknown" && free) {
            // A function of that name that comes to be is given what is legible.
            Some(source) => {
                let outputs = source.star().columns;
                let fields = outputs.iter().flat_map(|output| output.flow.fields());
                let legible =
                    |id: &FieldId| self.snapshot.field(*id).is_none_or(|field| field.domain.is_none());
                Ok(Flow::derived(fields.filter(legible).collect()))
            }
            None => found,
        }
    }

    /// A flow that a name stands for. What it may stand for besides is plain.
    pub(in crate::statement) fn found(&mut self, found: Flow) -> Proven<Flow> {
        for class in self.scope.take_uncertain() {
            self.classes.make_plain(class)?;
        }
        Ok(self.mention(found))
    }

    /// Makes plain what nobody can say which of these columns is.
    fn undecided(&mut self, outputs: &Outputs) -> Proven<()> {
        outputs.columns.iter().try_for_each(|output| self.settle(&output.flow).map(|_| ()))
    }

    pub(in crate::statement) fn mention(&mut self, flow: Flow) -> Flow {
        match &flow {
            Flow::Field(id) => {
                self.mentioned.insert(*id);
            }
            Flow::Derived(fields) | Flow::Sealed(fields) => self.mentioned.extend(fields.iter().copied()),
            Flow::Array(inner) | Flow::Folded(_, inner) => {
                self.mention(Flow::clone(inner));
            }
            Flow::Plain | Flow::Open(_) | Flow::Default => {}
        }
        flow
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
                    let mut outputs = source.star();
                    // The columns of USING come once.
                    outputs.columns.retain(|output| {
                        let is = |hidden: &String| output.name.as_ref() == Some(hidden);
                        output.flow.is_plain() || !source.hidden.iter().any(is)
                    });
                    if source.using
                        && outputs.columns.iter().any(|output| matches!(output.flow, Flow::Sealed(_)))
                    {
                        return Err(unsupported("* over a full join by a sealed column"));
                    }
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
            self.mention(output.flow.clone());
        }
        Ok(outputs)
    }
}

fn of_source(source: &Source<'_>) -> Proven<Outputs> {
    source.all_fit()?;
    Ok(source.star())
}
