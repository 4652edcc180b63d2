//! Comparisons and assignments: where a literal or a parameter becomes a value of a field.

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, AExprKind, Node, a_const};

use crate::catalog::{Field, FieldId};

use super::super::facts::{Edit, Fold};
use super::super::read::tree::{self, kind};
use super::super::read::typed::span_of_like;
use super::super::refusal::{Proven, refuse, unsupported};
use super::algebra::{self, Use};
use super::call::needs_normalizing;
use super::classes::{Class, Fields, Flow, require, same_domain};
use super::constant::is_written;
use super::flow::Walk;

/// One side of a comparison: a value, or a row of values.
struct Side {
    row: bool,
    flows: Vec<Flow>,
}

/// What makes a value, and where it stands.
#[expect(clippy::wildcard_enum_match_arm, reason = "what else there is has no name")]
fn made_by(node: &Node) -> Option<(String, i32)> {
    match kind(node)? {
        Kind::FuncCall(call) => {
            let name = call.funcname.last().and_then(tree::name)?;
            Some((format!("the function {name}"), call.location))
        }
        Kind::AExpr(expression) => {
            let name = tree::operator(&expression.name)?;
            Some((format!("the operator {name}"), expression.location))
        }
        Kind::SqlvalueFunction(value) => Some(("the current date, time or user".to_owned(), value.location)),
        Kind::TypeCast(cast) => {
            made_by(cast.arg.as_deref()?).or_else(|| Some(("a cast".to_owned(), cast.location)))
        }
        _ => None,
    }
}

impl<'a> Walk<'a> {
    /// Both sides of an equality (`=`, `<>`, IN, IS DISTINCT FROM).
    pub(in crate::statement) fn equal(&mut self, left: &Flow, right: &Flow) -> Proven<Fields> {
        if let Some(compared) = self.equal_folded(left, right)? {
            return Ok(compared);
        }
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
            Flow::Array(elements) if let Some(class) = self.whole(elements, &fields)? => {
                self.classes.used(class, Use::Compare)?;
                self.classes.seal(class, &fields)
            }
            Flow::Folded(..) if let Some((class, folds)) = other.folds() => {
                self.classes.fold(class, folds)?;
                self.classes.used(class, Use::Compare)?;
                self.classes.seal(class, &fields)
            }
            Flow::Plain
            | Flow::Derived(_)
            | Flow::Field(_)
            | Flow::Sealed(_)
            | Flow::Array(_)
            | Flow::Folded(..)
            | Flow::Default => {
                Err(first.map_or_else(|| unsupported("a comparison"), |id| self.unsupported_position(id)))
            }
        };
        self.searches.extend(fields);
        outcome
    }

    /// An expression that is stored in a column: `VALUES`, `SET`.
    pub(in crate::statement) fn assign(&mut self, target: FieldId, node: &'a Node) -> Proven<()> {
        let flow = self.flow(node)?;
        self.store(target, &flow).map_err(|refused| match made_by(node) {
            Some((what, location)) => self.placed(refused, &what, location),
            None => refused,
        })
    }

    /// The same of `lower` and `upper`, where these have a meaning: on both sides, or `lower` on one. None:
    /// neither side is such a call.
    fn equal_folded(&mut self, left: &Flow, right: &Flow) -> Proven<Option<Fields>> {
        if let Some(compared) = self.equal_as_text(left, right)? {
            return Ok(Some(compared));
        }
        let (fold, inner, other) = match (left, right) {
            (Flow::Folded(one, left), Flow::Folded(other, right)) if one == other => {
                let folded = self.is_folded(left)? || self.is_folded(right)?;
                return if folded { self.equal(left, right).map(Some) } else { Ok(None) };
            }
            (Flow::Folded(fold, inner), other) | (other, Flow::Folded(fold, inner)) => (*fold, inner, other),
            _ => return Ok(None),
        };
        match (fold, self.is_folded(inner)?, other) {
            // What is not in lower case equals none of them.
            (Fold::Lower, true, Flow::Open(class)) if self.classes.sealed(*class).is_none() => {
                let fields = self.sealed_in(inner)?.unwrap_or_default();
                require(self.snapshot, &fields, Use::Compare)?;
                self.classes.exactly(*class);
                self.classes.seal(*class, &fields)?;
                self.searches.extend(fields);
                Ok(Some(Fields::new()))
            }
            (Fold::Lower, true, _) => self.equal(inner, other).map(Some),
            (Fold::Lower, false, _) if matches!(**inner, Flow::Open(_)) && self.is_folded(other)? => {
                self.equal(inner, other).map(Some)
            }
            (Fold::Upper, true, _) => Err(refuse(
                "function",
                "upper() of a column that is kept in lower case is compared with what is not upper() of something",
                "Write upper() on both sides, or compare the column itself.",
            )),
            (Fold::Lower | Fold::Upper, false, _)
            | (Fold::Trim | Fold::LeftTrim | Fold::RightTrim | Fold::Text, _, _) => Ok(None),
        }
    }

    /// The same of `::text` of what is no text: with another such, or with a constant or a parameter, which is
    /// then the value that is written so. None: neither side is one.
    fn equal_as_text(&mut self, left: &Flow, right: &Flow) -> Proven<Option<Fields>> {
        let (inner, other) = match (left, right) {
            (Flow::Folded(Fold::Text, one), Flow::Folded(Fold::Text, other)) => {
                return self.equal(one, other).map(Some);
            }
            (Flow::Folded(Fold::Text, inner), other) | (other, Flow::Folded(Fold::Text, inner)) => {
                (inner, other)
            }
            _ => return Ok(None),
        };
        let Flow::Open(class) = other else { return Ok(None) };
        let fields = self.sealed_in(inner)?.unwrap_or_default();
        if fields.iter().any(|id| self.snapshot.field(*id).is_none_or(|field| field.logical.array)) {
            return Ok(None);
        }
        require(self.snapshot, &fields, Use::Compare)?;
        self.classes.as_text(*class);
        self.classes.seal(*class, &fields)?;
        self.searches.extend(fields);
        Ok(Some(Fields::new()))
    }

    /// Is it a sealed value that is kept in lower case?
    pub(in crate::statement) fn is_folded(&mut self, flow: &Flow) -> Proven<bool> {
        let fields = self.sealed_in(flow)?;
        Ok(fields.is_some_and(|fields| algebra::is_folded(self.snapshot, &fields)))
    }

    /// LIKE or ILIKE of a sealed value with what may turn out to hold no wildcards: then it is equality.
    fn like(&mut self, expression: &'a protobuf::AExpr, any_case: bool) -> Proven<Option<Fields>> {
        let (Some(left), Some(right)) = (expression.lexpr.as_deref(), expression.rexpr.as_deref()) else {
            return Ok(None);
        };
        let (left, right) = (self.flow(left)?, self.flow(right)?);
        let (value, pattern) = match (&left, &right) {
            (Flow::Folded(one, value), Flow::Folded(other, pattern)) if one == other => {
                (&**value, &**pattern)
            }
            (value, pattern) => (value, pattern),
        };
        let sealed = self.sealed_in(value)?;
        let served = sealed.as_ref().is_some_and(|fields| {
            (!any_case || algebra::is_folded(self.snapshot, fields))
                && require(self.snapshot, fields, Use::Compare).is_ok()
        });
        let class = if let Flow::Open(class) = pattern { Some(*class) } else { None };
        let start = usize::try_from(expression.location).ok();
        let place = start.and_then(|start| span_of_like(self.text, start));
        let whole = expression.rexpr.as_deref().is_some_and(|pattern| !has_wildcards(pattern));
        let (Some(fields), Some(class), Some((span, negated)), true) =
            (sealed, class, place, served && whole)
        else {
            let mut reach = self.settle(&left)?;
            reach.extend(self.settle(&right)?);
            return Ok(Some(reach));
        };
        self.classes.like(class);
        self.classes.seal(class, &fields)?;
        self.searches.extend(fields);
        let new: &[u8] = if negated { b"<>" } else { b"=" };
        self.edits.push(Edit { span, new: new.to_vec(), quotes: false });
        Ok(Some(Fields::new()))
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
            (Flow::Open(class), _) => {
                self.classes.store(*class, target);
                self.classes.seal(*class, &own)
            }
            (Flow::Array(elements), None) if let Some(class) = self.whole(elements, &own)? => {
                self.classes.store(class, target);
                self.classes.seal(class, &own)
            }
            (Flow::Folded(Fold::Lower, inner), None) if algebra::is_folded(self.snapshot, &own) => {
                self.store(target, inner)
            }
            (Flow::Folded(..), None) if let Some((class, folds)) = flow.folds() => {
                self.classes.fold(class, folds)?;
                self.classes.store(class, target);
                self.classes.seal(class, &own)
            }
            (Flow::Default, _) => Ok(()),
            (_, Some(fields)) if same_domain(self.snapshot, &own, &fields) => {
                self.classes.pass_to(target);
                Ok(())
            }
            (_, Some(fields)) => Err(self.other_domain(&own, &fields)),
            (_, None) => {
                let path = self.snapshot.field(target).map_or_else(String::new, Field::path);
                Err(refuse(
                    "unsupported-position",
                    format!(
                        "{path} is sealed, and the server makes what is stored in it, which it cannot seal"
                    ),
                    "Give the value itself, as a constant or a parameter.",
                ))
            }
        }
    }

    /// The elements of an array that is one value, as the columns of these fields have them.
    pub(in crate::statement) fn whole(&mut self, elements: &Flow, fields: &Fields) -> Proven<Option<Class>> {
        let Flow::Open(class) = elements else { return Ok(None) };
        let are_arrays =
            fields.iter().all(|id| self.snapshot.field(*id).is_some_and(|field| field.logical.array));
        are_arrays.then(|| self.classes.whole(*class).map(|()| *class)).transpose()
    }

    pub(in crate::statement) fn operation(&mut self, expression: &'a protobuf::AExpr) -> Proven<Flow> {
        let left = expression.lexpr.as_deref();
        let right = expression.rexpr.as_deref();
        let kind_of = AExprKind::try_from(expression.kind);
        if let Ok(AExprKind::AexprLike | AExprKind::AexprIlike) = kind_of {
            let any_case = kind_of == Ok(AExprKind::AexprIlike);
            let liked = self.like(expression, any_case).map_err(|refused| {
                let name = if any_case { "ILIKE" } else { "LIKE" };
                let refused = self.placed(refused, &format!("the operator {name}"), expression.location);
                if any_case { needs_normalizing(refused) } else { refused }
            });
            if let Some(reach) = liked? {
                return Ok(Flow::derived(reach));
            }
        }
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
        match kind_of {
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
        let flow = if let Flow::Folded(Fold::Text, inner) = flow { *inner } else { flow };
        if let Flow::Open(class) = &flow
            && is_written(arg)
        {
            self.classes.not_bare(*class);
        }
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

/// Does a pattern that the text tells match more than itself?
fn has_wildcards(pattern: &Node) -> bool {
    match kind(pattern) {
        Some(Kind::AConst(constant)) => match &constant.val {
            Some(a_const::Val::Sval(text)) => text.sval.contains(['%', '_', '\\']),
            Some(_) | None => false,
        },
        Some(Kind::TypeCast(cast)) => cast.arg.as_deref().is_some_and(has_wildcards),
        Some(Kind::FuncCall(call)) => call.args.iter().any(has_wildcards),
        Some(_) | None => false,
    }
}
