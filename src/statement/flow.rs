//! Expressions: where each classified column, literal and parameter of one ends.
//!
//! [`Flow`] is what an expression *is*; its place decides whether that may stand there.
//! The list of node kinds is an allow-list: what is not on it is refused.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, AExprKind, Node, SubLinkType};

use crate::catalog::{Field, FieldId, Mode, Snapshot};

use super::facts::{LiteralUse, ParameterUse};
use super::literal::{literal_value, plain_literal_end};
use super::refusal::{Proven, refuse, unsupported};
use super::scope::{Carried, Columns, Outputs, Scope, whole_row};
use super::tree::{self, boxed, kind};

/// What an expression is.
pub(super) enum Flow<'a> {
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
pub(super) enum Seen {
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

/// One side of a comparison: a value, or a row of values.
struct Side<'a> {
    row: bool,
    flows: Vec<Flow<'a>>,
}

/// The walk over one statement, and what it has gathered.
pub(super) struct Walk<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) text: &'a [u8],
    /// False where a backslash in a literal would need an escape's meaning.
    pub(super) conforming: bool,
    pub(super) scope: Scope<'a>,
    pub(super) seen: HashSet<(Seen, i32)>,
    pub(super) reads: BTreeSet<FieldId>,
    pub(super) derived_reads: BTreeSet<FieldId>,
    pub(super) searches: BTreeSet<FieldId>,
    pub(super) writes: BTreeSet<FieldId>,
    mentioned: BTreeSet<FieldId>,
    literals: BTreeMap<usize, LiteralUse>,
    parameters: BTreeMap<u16, ParameterMeaning>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, text: &'a [u8], conforming: bool) -> Walk<'a> {
        Walk {
            snapshot,
            text,
            conforming,
            scope: Scope::default(),
            seen: HashSet::new(),
            reads: BTreeSet::new(),
            derived_reads: BTreeSet::new(),
            searches: BTreeSet::new(),
            writes: BTreeSet::new(),
            mentioned: BTreeSet::new(),
            literals: BTreeMap::new(),
            parameters: BTreeMap::new(),
        }
    }

    pub(super) fn field(&self, id: FieldId) -> Proven<&'a Field> {
        self.snapshot
            .field(id)
            .ok_or_else(|| refuse("relation-fault", "the catalog names a field that is not there", ""))
    }

    pub(super) fn is_sealed(&self, id: FieldId) -> Proven<bool> {
        Ok(self.field(id)?.domain.is_some())
    }

    /// Every field that was met is on record: as a search if as nothing else.
    pub(super) fn finish(&mut self) {
        for id in &self.mentioned {
            if !self.reads.contains(id) && !self.writes.contains(id) {
                self.searches.insert(*id);
            }
        }
    }

    pub(super) fn literal_uses(&self) -> Vec<LiteralUse> {
        self.literals.values().cloned().collect()
    }

    /// Refuses a parameter that means a sealed value and something else as well.
    pub(super) fn parameter_uses(&self) -> Proven<Vec<ParameterUse>> {
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

    pub(super) fn flow(&mut self, node: &'a Node) -> Proven<Flow<'a>> {
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
    pub(super) fn value(&mut self, node: &'a Node) -> Proven<BTreeSet<FieldId>> {
        let flow = self.flow(node)?;
        self.settle(&flow)
    }

    pub(super) fn values(&mut self, nodes: &'a [Node]) -> Proven<BTreeSet<FieldId>> {
        let mut reach = BTreeSet::new();
        for node in nodes {
            reach.extend(self.value(node)?);
        }
        Ok(reach)
    }

    pub(super) fn optional(&mut self, node: Option<&'a Node>) -> Proven<BTreeSet<FieldId>> {
        node.map_or_else(|| Ok(BTreeSet::new()), |node| self.value(node))
    }

    /// WHERE, ON, HAVING: whatever unsealed field reaches the answer is searched.
    pub(super) fn predicate(&mut self, node: Option<&'a Node>) -> Proven<()> {
        let reach = self.optional(node)?;
        self.searches.extend(reach);
        Ok(())
    }

    /// Takes a flow as a value like any other.
    pub(super) fn settle(&mut self, flow: &Flow<'a>) -> Proven<BTreeSet<FieldId>> {
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

    pub(super) fn unsupported_position(&self, id: FieldId) -> super::facts::Unproven {
        let path = self.field(id).map_or_else(|_| String::new(), Field::path);
        refuse(
            "unsupported-position",
            format!("{path} is sealed and stands where a sealed value has no meaning"),
            "A sealed column can be selected, assigned, tested for NULL, and with seal = \"equality\" \
             compared by =, <>, IN and ANY with a literal, a parameter or a column of its domain.",
        )
    }

    // ---- columns, constants, parameters ---------------------------------------------

    fn column(&mut self, column: &'a protobuf::ColumnRef) -> Proven<Flow<'a>> {
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

    pub(super) fn carried_flow(&mut self, carried: Carried) -> Flow<'a> {
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

    /// The columns of `*`, `alias.*` or `schema.table.*`.
    pub(super) fn star(&mut self, column: &'a protobuf::ColumnRef) -> Proven<Outputs> {
        self.seen.insert((Seen::Column, column.location));
        let parts: Vec<&str> = column.fields.iter().filter_map(tree::name).collect();
        if parts.len() + 1 != column.fields.len() {
            return Err(unsupported("a column reference of this form"));
        }
        let outputs = match parts.as_slice() {
            [] => {
                let mut all = Outputs::default();
                for source in self.scope.innermost() {
                    let outputs = source.star();
                    all.open |= outputs.open;
                    all.columns.extend(outputs.columns);
                }
                all
            }
            [alias] => self.scope.source(None, alias)?.star(),
            [schema, table] => self.scope.source(Some(schema), table)?.star(),
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
    fn parameter(&mut self, parameter: &protobuf::ParamRef, means: Option<(FieldId, bool)>) -> Proven<()> {
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
    fn literal(&mut self, location: i32, value: &str, field: FieldId) -> Proven<()> {
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
            Some(known) if self.field(known.field)?.domain != self.field(field)?.domain => {
                Err(refuse("domain-differs", "one literal stands for values of two domains", ""))
            }
            _ => Ok(()),
        }
    }

    // ---- comparisons ----------------------------------------------------------------

    /// Both sides of an equality (`=`, `<>`, IN, IS DISTINCT FROM).
    pub(super) fn equal(&mut self, left: &Flow<'a>, right: &Flow<'a>) -> Proven<BTreeSet<FieldId>> {
        if let Flow::Field(id) = left
            && self.is_sealed(*id)?
        {
            return self.equal_to_sealed(*id, right).map(|()| BTreeSet::new());
        }
        if let Flow::Field(id) = right
            && self.is_sealed(*id)?
        {
            return self.equal_to_sealed(*id, left).map(|()| BTreeSet::new());
        }
        let mut reach = self.settle(left)?;
        reach.extend(self.settle(right)?);
        Ok(reach)
    }

    pub(super) fn require_equality(&self, id: FieldId, what: &str) -> Proven<()> {
        let field = self.field(id)?;
        match field.domain.as_ref().map(|domain| domain.mode) {
            Some(Mode::Equality) => Ok(()),
            Some(Mode::Random) | None => Err(refuse(
                "random-compared",
                format!("{} is sealed with seal = \"random\" and cannot be used in {what}", field.path()),
                "Only IS NULL and IS NOT NULL can test it; seal = \"equality\" allows = and IN.",
            )),
        }
    }

    fn equal_to_sealed(&mut self, id: FieldId, other: &Flow<'a>) -> Proven<()> {
        self.require_equality(id, "a comparison")?;
        self.searches.insert(id);
        match other {
            Flow::Text { location, value } => self.literal(*location, value, id),
            Flow::Parameter(parameter) => self.parameter(parameter, Some((id, false))),
            Flow::Null => Ok(()),
            Flow::Field(other) => {
                self.searches.insert(*other);
                self.require_same_domain(id, *other)
            }
            Flow::Plain(_) | Flow::Default => Err(self.unsupported_position(id)),
        }
    }

    pub(super) fn require_same_domain(&self, left: FieldId, right: FieldId) -> Proven<()> {
        let (one, two) = (self.field(left)?, self.field(right)?);
        if one.domain.is_some() && one.domain == two.domain {
            return Ok(());
        }
        Err(refuse(
            "domain-differs",
            format!("{} and {} are not sealed in one domain", one.path(), two.path()),
            "Only columns of the same equality domain can be compared or copied.",
        ))
    }

    /// A value that is stored in a column: `VALUES`, `SET`.
    pub(super) fn assign(&mut self, target: FieldId, node: &'a Node) -> Proven<()> {
        self.writes.insert(target);
        let flow = self.flow(node)?;
        if !self.is_sealed(target)? {
            self.settle(&flow)?;
            return Ok(());
        }
        match flow {
            Flow::Text { location, value } => self.literal(location, value, target),
            Flow::Parameter(parameter) => self.parameter(parameter, Some((target, false))),
            Flow::Null | Flow::Default => Ok(()),
            Flow::Field(source) => self.require_same_domain(target, source),
            Flow::Plain(_) => Err(self.unsupported_position(target)),
        }
    }

    fn operation(&mut self, expression: &'a protobuf::AExpr) -> Proven<BTreeSet<FieldId>> {
        let left = expression.lexpr.as_deref();
        let right = expression.rexpr.as_deref();
        let equality = matches!(tree::operator(&expression.name), Some("=" | "<>"));
        let (Some(l), Some(r), true) = (left, right, equality) else {
            return self.plain_sides(left, right);
        };
        match AExprKind::try_from(expression.kind) {
            Ok(AExprKind::AexprOp | AExprKind::AexprDistinct | AExprKind::AexprNotDistinct) => {
                self.equal_nodes(l, r)
            }
            Ok(AExprKind::AexprIn) => {
                let Some(Kind::List(list)) = kind(r) else { return Err(unsupported("this form of IN")) };
                let left = self.side(l)?;
                let mut reach = BTreeSet::new();
                for item in &list.items {
                    let right = self.side(item)?;
                    reach.extend(self.equal_sides(&left, &right)?);
                }
                Ok(reach)
            }
            Ok(AExprKind::AexprOpAny | AExprKind::AexprOpAll) => self.equal_any(l, r),
            Ok(
                AExprKind::Undefined
                | AExprKind::AexprNullif
                | AExprKind::AexprLike
                | AExprKind::AexprIlike
                | AExprKind::AexprSimilar
                | AExprKind::AexprBetween
                | AExprKind::AexprNotBetween
                | AExprKind::AexprBetweenSym
                | AExprKind::AexprNotBetweenSym,
            )
            | Err(_) => self.plain_sides(left, right),
        }
    }

    fn plain_sides(&mut self, left: Option<&'a Node>, right: Option<&'a Node>) -> Proven<BTreeSet<FieldId>> {
        let mut reach = self.optional(left)?;
        reach.extend(self.optional(right)?);
        Ok(reach)
    }

    fn equal_nodes(&mut self, left: &'a Node, right: &'a Node) -> Proven<BTreeSet<FieldId>> {
        let left = self.side(left)?;
        let right = self.side(right)?;
        self.equal_sides(&left, &right)
    }

    /// One side of a comparison, walked once however often it is compared.
    fn side(&mut self, node: &'a Node) -> Proven<Side<'a>> {
        if let Some(Kind::RowExpr(row)) = kind(node) {
            let flows = row.args.iter().map(|arg| self.flow(arg)).collect::<Proven<Vec<_>>>()?;
            return Ok(Side { row: true, flows });
        }
        Ok(Side { row: false, flows: vec![self.flow(node)?] })
    }

    /// An equality of two values, or of two rows column by column.
    fn equal_sides(&mut self, left: &Side<'a>, right: &Side<'a>) -> Proven<BTreeSet<FieldId>> {
        let mut reach = BTreeSet::new();
        if left.row == right.row && left.flows.len() == right.flows.len() {
            for (left, right) in left.flows.iter().zip(&right.flows) {
                reach.extend(self.equal(left, right)?);
            }
            return Ok(reach);
        }
        for flow in left.flows.iter().chain(&right.flows) {
            reach.extend(self.settle(flow)?);
        }
        Ok(reach)
    }

    /// `left = ANY(right)`, `left <> ALL(right)`.
    fn equal_any(&mut self, left: &'a Node, right: &'a Node) -> Proven<BTreeSet<FieldId>> {
        let array = match kind(right) {
            Some(Kind::TypeCast(cast))
                if cast.type_name.as_ref().is_some_and(|of| tree::is_plain_text_type(of, true)) =>
            {
                boxed(cast.arg.as_deref())
            }
            other => other,
        };
        let left_flow = self.flow(left)?;
        if let Some(Kind::AArrayExpr(elements)) = array {
            let mut reach = BTreeSet::new();
            for element in &elements.elements {
                let element = self.flow(element)?;
                reach.extend(self.equal(&left_flow, &element)?);
            }
            return Ok(reach);
        }
        if let (Flow::Field(id), Some(Kind::ParamRef(parameter))) = (&left_flow, array)
            && self.is_sealed(*id)?
        {
            self.require_equality(*id, "a comparison")?;
            self.seen.insert((Seen::Parameter, parameter.location));
            self.searches.insert(*id);
            self.parameter(parameter, Some((*id, true)))?;
            return Ok(BTreeSet::new());
        }
        // Not an array that can be looked into: a value like any other on both sides.
        let mut reach = self.settle(&left_flow)?;
        reach.extend(self.value(right)?);
        Ok(reach)
    }

    fn null_test(&mut self, test: &'a protobuf::NullTest) -> Proven<BTreeSet<FieldId>> {
        let Some(arg) = test.arg.as_deref() else { return Ok(BTreeSet::new()) };
        let flow = self.flow(arg)?;
        match flow {
            Flow::Field(id) if self.is_sealed(id)? => {
                self.searches.insert(id);
                Ok(BTreeSet::new())
            }
            // Sealed or not, a parameter is NULL or it is not.
            Flow::Parameter(parameter) => {
                u16::try_from(parameter.number)
                    .map_err(|_| unsupported("a parameter number outside of 1 to 65535"))?;
                Ok(BTreeSet::new())
            }
            Flow::Plain(_) | Flow::Field(_) | Flow::Text { .. } | Flow::Null | Flow::Default => {
                self.settle(&flow)
            }
        }
    }

    // ---- calls and subqueries -------------------------------------------------------

    pub(super) fn call(&mut self, call: &'a protobuf::FuncCall) -> Proven<BTreeSet<FieldId>> {
        self.seen.insert((Seen::Call, call.location));
        if let Some(counted) = self.counted(call)? {
            self.searches.insert(counted);
            return Ok(BTreeSet::new());
        }
        let mut reach = self.values(&call.args)?;
        reach.extend(self.values(&call.agg_order)?);
        reach.extend(self.optional(call.agg_filter.as_deref())?);
        if let Some(window) = &call.over {
            reach.extend(self.window(window)?);
        }
        Ok(reach)
    }

    /// `count(column)` and `count(DISTINCT column)` of a sealed column, and nothing more.
    fn counted(&mut self, call: &'a protobuf::FuncCall) -> Proven<Option<FieldId>> {
        let is_count = match call.funcname.as_slice() {
            [only] => tree::name(only) == Some("count"),
            [schema, name] => tree::name(schema) == Some("pg_catalog") && tree::name(name) == Some("count"),
            _ => false,
        };
        let bare = call.agg_order.is_empty()
            && call.agg_filter.is_none()
            && call.over.is_none()
            && !call.agg_within_group
            && !call.func_variadic;
        let [only] = call.args.as_slice() else { return Ok(None) };
        if !(is_count && bare && matches!(kind(only), Some(Kind::ColumnRef(_)))) {
            return Ok(None);
        }
        let Flow::Field(id) = self.flow(only)? else { return Ok(None) };
        if !self.is_sealed(id)? {
            return Ok(None);
        }
        if call.agg_distinct {
            self.require_equality(id, "count(DISTINCT ...)")?;
        }
        Ok(Some(id))
    }

    pub(super) fn window(&mut self, window: &'a protobuf::WindowDef) -> Proven<BTreeSet<FieldId>> {
        let mut reach = self.values(&window.partition_clause)?;
        reach.extend(self.values(&window.order_clause)?);
        reach.extend(self.optional(window.start_offset.as_deref())?);
        reach.extend(self.optional(window.end_offset.as_deref())?);
        Ok(reach)
    }

    pub(super) fn indirection(&mut self, nodes: &'a [Node]) -> Proven<BTreeSet<FieldId>> {
        let mut reach = BTreeSet::new();
        for node in nodes {
            match kind(node) {
                Some(Kind::String(_) | Kind::AStar(_)) => {}
                Some(Kind::AIndices(indices)) => {
                    reach.extend(self.optional(indices.lidx.as_deref())?);
                    reach.extend(self.optional(indices.uidx.as_deref())?);
                }
                Some(_) | None => return Err(unsupported("a selection of this form")),
            }
        }
        Ok(reach)
    }

    fn sublink(&mut self, link: &'a protobuf::SubLink) -> Proven<BTreeSet<FieldId>> {
        let Some(query) = link.subselect.as_deref() else { return Err(unsupported("this subquery")) };
        let outputs = self.query(query)?;
        let kind_of = SubLinkType::try_from(link.sub_link_type).unwrap_or(SubLinkType::Undefined);
        let equality =
            link.oper_name.is_empty() || matches!(tree::operator(&link.oper_name), Some("=" | "<>"));
        match kind_of {
            SubLinkType::ExistsSublink => {
                // The rows count, their values do not.
                Ok(BTreeSet::new())
            }
            SubLinkType::AnySublink | SubLinkType::AllSublink if equality => {
                self.compare_with_outputs(link.testexpr.as_deref(), &outputs)
            }
            SubLinkType::AnySublink
            | SubLinkType::AllSublink
            | SubLinkType::ExprSublink
            | SubLinkType::ArraySublink
            | SubLinkType::RowcompareSublink => {
                let mut reach = self.optional(link.testexpr.as_deref())?;
                reach.extend(self.settle_outputs(&outputs)?);
                Ok(reach)
            }
            SubLinkType::Undefined | SubLinkType::MultiexprSublink | SubLinkType::CteSublink => {
                Err(unsupported("a subquery of this kind"))
            }
        }
    }

    fn compare_with_outputs(
        &mut self,
        test: Option<&'a Node>,
        outputs: &Outputs,
    ) -> Proven<BTreeSet<FieldId>> {
        let Some(test) = test else { return Err(unsupported("this subquery")) };
        let tests: Vec<&'a Node> = match kind(test) {
            Some(Kind::RowExpr(row)) => row.args.iter().collect(),
            Some(_) | None => vec![test],
        };
        let exact = !outputs.open && outputs.columns.len() == tests.len();
        if !exact {
            let mut reach = self.settle_outputs(outputs)?;
            for test in tests {
                reach.extend(self.value(test)?);
            }
            return Ok(reach);
        }
        let mut reach = BTreeSet::new();
        for (test, output) in tests.into_iter().zip(&outputs.columns) {
            let left = self.flow(test)?;
            let right = self.carried_flow(output.carried.clone());
            reach.extend(self.equal(&left, &right)?);
        }
        Ok(reach)
    }

    /// The values of a subquery, at a place where nothing sealed may stand.
    fn settle_outputs(&mut self, outputs: &Outputs) -> Proven<BTreeSet<FieldId>> {
        let mut reach = BTreeSet::new();
        for output in &outputs.columns {
            let flow = self.carried_flow(output.carried.clone());
            reach.extend(self.settle(&flow)?);
        }
        Ok(reach)
    }

    /// Does any source of these carry classified columns?
    pub(super) fn any_carries(sources: &[super::scope::Source<'a>]) -> bool {
        sources.iter().any(|source| source.carries() || matches!(source.columns, Columns::Table(_)))
    }
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
