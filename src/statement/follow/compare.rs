//! Comparisons and assignments: where a literal or a parameter becomes a value of a field.

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, AExprKind, Node};

use crate::catalog::FieldId;

use super::super::read::tree::{self, kind};
use super::super::refusal::{Proven, unsupported};
use super::algebra::{self, Use};
use super::classes::{Fields, Flow, require, same_domain};
use super::flow::Walk;

/// One side of a comparison: a value, or a row of values.
struct Side {
    row: bool,
    flows: Vec<Flow>,
}

impl<'a> Walk<'a> {
    /// Both sides of an equality (`=`, `<>`, IN, IS DISTINCT FROM).
    pub(in crate::statement) fn equal(&mut self, left: &Flow, right: &Flow) -> Proven<Fields> {
        match (self.sealed_in(left)?, self.sealed_in(right)?) {
            (Some(fields), None) => self.equal_to_sealed(fields, right).map(|()| Fields::new()),
            (None, Some(fields)) => self.equal_to_sealed(fields, left).map(|()| Fields::new()),
            (Some(one), Some(other)) => {
                if !same_domain(self.snapshot, &one, &other) {
                    return Err(self.other_domain(&one, &other));
                }
                for (flow, fields) in [(left, &other), (right, &one)] {
                    if let Flow::Open(class) = flow {
                        self.classes.seal(*class, fields)?;
                    }
                    require(self.snapshot, fields, Use::Compare)?;
                    self.searches.extend(fields.iter().copied());
                }
                Ok(Fields::new())
            }
            (None, None) => match (left, right) {
                (Flow::Open(one), Flow::Open(other)) => {
                    self.classes.used(*one, Use::Compare)?;
                    self.classes.unite(*one, *other)?;
                    Ok(Fields::new())
                }
                (_, _) => {
                    let mut reach = self.settle(left)?;
                    reach.extend(self.settle(right)?);
                    Ok(reach)
                }
            },
        }
    }

    fn equal_to_sealed(&mut self, fields: Fields, other: &Flow) -> Proven<()> {
        require(self.snapshot, &fields, Use::Compare)?;
        if !same_domain(self.snapshot, &fields, &fields) {
            return Err(self.other_domain(&fields, &fields));
        }
        let first = fields.first().copied();
        let outcome = match other {
            Flow::Open(class) => {
                self.classes.used(*class, Use::Compare)?;
                self.classes.seal(*class, &fields)
            }
            Flow::Plain
            | Flow::Derived(_)
            | Flow::Field(_)
            | Flow::Sealed(_)
            | Flow::Array(_)
            | Flow::Default => {
                Err(first.map_or_else(|| unsupported("a comparison"), |id| self.unsupported_position(id)))
            }
        };
        self.searches.extend(fields);
        outcome
    }

    /// An expression that is stored in a column: `VALUES`, `SET`.
    pub(in crate::statement) fn assign(&mut self, target: FieldId, node: &'a Node) -> Proven<()> {
        let flow = match self.number(node)? {
            Some(number) if self.is_sealed(target)? => number,
            Some(_) | None => self.flow(node)?,
        };
        self.store(target, &flow)
    }

    /// A value that is stored in a column.
    pub(in crate::statement) fn store(&mut self, target: FieldId, flow: &Flow) -> Proven<()> {
        self.writes.insert(target);
        if !self.is_sealed(target)? {
            self.settle(flow)?;
            return Ok(());
        }
        let own = Fields::from([target]);
        require(self.snapshot, &own, Use::Pass)?;
        match (flow, self.sealed_in(flow)?) {
            (Flow::Open(class), _) => self.classes.seal(*class, &own),
            (Flow::Default, _) => Ok(()),
            (_, Some(fields)) if same_domain(self.snapshot, &own, &fields) => Ok(()),
            (_, Some(fields)) => Err(self.other_domain(&own, &fields)),
            (_, None) => Err(self.unsupported_position(target)),
        }
    }

    pub(in crate::statement) fn operation(&mut self, expression: &'a protobuf::AExpr) -> Proven<Flow> {
        let left = expression.lexpr.as_deref();
        let right = expression.rexpr.as_deref();
        let equality = algebra::is_equality(&expression.name);
        let looked = |walk: &mut Self| {
            let name = tree::last_name(&expression.name).unwrap_or_default();
            let reach = walk.plain_sides(left, right);
            reach
                .map_err(|refused| walk.placed(refused, &format!("the operator {name}"), expression.location))
        };
        let (Some(l), Some(r), true) = (left, right, equality) else {
            return looked(self).map(Flow::derived);
        };
        match AExprKind::try_from(expression.kind) {
            Ok(AExprKind::AexprOp | AExprKind::AexprDistinct | AExprKind::AexprNotDistinct) => {
                self.equal_nodes(l, r).map(Flow::derived)
            }
            Ok(AExprKind::AexprIn) => {
                let Some(Kind::List(list)) = kind(r) else { return Err(unsupported("this form of IN")) };
                let left = self.side(l)?;
                let mut reach = Fields::new();
                for item in &list.items {
                    let right = self.side(item)?;
                    reach.extend(self.equal_sides(&left, &right)?);
                }
                Ok(Flow::derived(reach))
            }
            Ok(AExprKind::AexprOpAny | AExprKind::AexprOpAll) => self.equal_any(l, r).map(Flow::derived),
            Ok(AExprKind::AexprNullif) => {
                let (left, right) = (self.flow(l)?, self.flow(r)?);
                let reach = self.equal(&left, &right)?;
                Ok(match self.sealed_in(&left)? {
                    Some(fields) => Flow::Sealed(fields),
                    None if matches!(left, Flow::Open(_)) => left,
                    None => Flow::derived(reach),
                })
            }
            Ok(
                AExprKind::Undefined
                | AExprKind::AexprLike
                | AExprKind::AexprIlike
                | AExprKind::AexprSimilar
                | AExprKind::AexprBetween
                | AExprKind::AexprNotBetween
                | AExprKind::AexprBetweenSym
                | AExprKind::AexprNotBetweenSym,
            )
            | Err(_) => looked(self).map(Flow::derived),
        }
    }

    fn plain_sides(&mut self, left: Option<&'a Node>, right: Option<&'a Node>) -> Proven<Fields> {
        let mut reach = self.optional(left)?;
        reach.extend(self.optional(right)?);
        Ok(reach)
    }

    fn equal_nodes(&mut self, left: &'a Node, right: &'a Node) -> Proven<Fields> {
        let left = self.side(left)?;
        let right = self.side(right)?;
        self.equal_sides(&left, &right)
    }

    /// One side of a comparison, walked once however often it is compared.
    fn side(&mut self, node: &'a Node) -> Proven<Side> {
        if let Some(Kind::RowExpr(row)) = kind(node) {
            let flows = row.args.iter().map(|arg| self.flow(arg)).collect::<Proven<Vec<_>>>()?;
            return Ok(Side { row: true, flows });
        }
        Ok(Side { row: false, flows: vec![self.flow(node)?] })
    }

    /// An equality of two values, or of two rows column by column.
    fn equal_sides(&mut self, left: &Side, right: &Side) -> Proven<Fields> {
        let mut reach = Fields::new();
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
    fn equal_any(&mut self, left: &'a Node, right: &'a Node) -> Proven<Fields> {
        let left = self.flow(left)?;
        if let Flow::Array(elements) = self.array(right)? {
            return self.equal(&left, &elements);
        }
        // Not an array that can be looked into: a value like any other on both sides.
        let mut reach = self.settle(&left)?;
        reach.extend(self.value(right)?);
        Ok(reach)
    }

    pub(in crate::statement) fn null_test(&mut self, test: &'a protobuf::NullTest) -> Proven<Fields> {
        let Some(arg) = test.arg.as_deref() else { return Ok(Fields::new()) };
        let flow = self.flow(arg)?;
        if let Some(fields) = self.sealed_in(&flow)? {
            require(self.snapshot, &fields, Use::TestNull)?;
            self.searches.extend(fields);
            return Ok(Fields::new());
        }
        // Sealed or not, it is NULL or it is not.
        let given = if let Flow::Array(elements) = &flow { &**elements } else { &flow };
        if let Flow::Open(class) = given {
            self.classes.test(*class);
            return Ok(Fields::new());
        }
        self.settle(&flow)
    }
}
