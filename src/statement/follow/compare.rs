//! Comparisons and assignments: where a literal or a parameter becomes a value of a field.

use std::collections::BTreeSet;

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, AExprKind, Node};

use crate::catalog::{FieldId, Mode};

use super::super::read::tree::{self, boxed, kind};
use super::super::refusal::{Proven, refuse, unsupported};
use super::flow::{Flow, Seen, Walk};

/// One side of a comparison: a value, or a row of values.
struct Side<'a> {
    row: bool,
    flows: Vec<Flow<'a>>,
}

impl<'a> Walk<'a> {
    /// Both sides of an equality (`=`, `<>`, IN, IS DISTINCT FROM).
    pub(in crate::statement) fn equal(
        &mut self,
        left: &Flow<'a>,
        right: &Flow<'a>,
    ) -> Proven<BTreeSet<FieldId>> {
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

    pub(in crate::statement) fn require_equality(&self, id: FieldId, what: &str) -> Proven<()> {
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

    fn require_same_domain(&self, left: FieldId, right: FieldId) -> Proven<()> {
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
    pub(in crate::statement) fn assign(&mut self, target: FieldId, node: &'a Node) -> Proven<()> {
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

    pub(in crate::statement) fn operation(
        &mut self,
        expression: &'a protobuf::AExpr,
    ) -> Proven<BTreeSet<FieldId>> {
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

    pub(in crate::statement) fn null_test(
        &mut self,
        test: &'a protobuf::NullTest,
    ) -> Proven<BTreeSet<FieldId>> {
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
}
