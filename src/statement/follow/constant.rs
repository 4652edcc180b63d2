//! Constants, parameters and casts: what a value is before it meets a column.
//!
//! A cast of a value that is sealed has been done before it is: it is read as a value of that type, and in
//! the text the cast becomes one to text.

use std::ops::Range;

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, Node, a_const};

use crate::catalog::{Base, FieldId, Logical, NO_MODIFIER, QualifiedName};

use super::super::facts::{Edit, Fold, LiteralForm};
use super::super::read::elements::elements;
use super::super::read::literal::{Written, written_constant, written_literal};
use super::super::read::tree::kind;
use super::super::read::typed::{own_type_of, span_of_own_type, span_of_type, type_of, type_of_constant};
use super::super::refusal::{Proven, unsupported};
use super::algebra;
use super::classes::{Class, ConstantArray, Fields, Flow};
use super::flow::{Seen, Walk};

/// Is it a parameter or a constant itself?
pub(in crate::statement) fn is_written(node: &Node) -> bool {
    matches!(kind(node), Some(Kind::ParamRef(_) | Kind::AConst(_)))
}

/// Is it NULL, as a constant?
pub(super) fn is_null(node: &Node) -> bool {
    matches!(kind(node), Some(Kind::AConst(constant)) if constant.isnull)
}

impl<'a> Walk<'a> {
    /// A cast that changes nothing keeps what it is applied to; every other is a value.
    pub(in crate::statement) fn cast(&mut self, cast: &'a protobuf::TypeCast) -> Proven<Flow> {
        let Some(arg) = cast.arg.as_deref() else { return Err(unsupported("a cast of nothing")) };
        let Some(of) = &cast.type_name else { return Err(unsupported("a cast to nothing")) };
        if algebra::keeps_text(of, true) {
            let flow = self.cast_array(arg)?;
            if let Flow::Array(elements) = &flow {
                if let (Flow::Open(class), Some(to)) = (&**elements, type_of(of)) {
                    self.classes.cast(*class, Logical { array: false, ..to }, None);
                    self.cut_alone(*class, &to, arg);
                    let edit = self.cast_to_one(cast, of, &to);
                    self.classes.cast_whole(*class, edit);
                }
                return Ok(flow);
            }
            return match type_of(of) {
                Some(to) => self.cast_of_own_type(flow, cast, of, &to),
                None => self.settle_cast(&flow, cast),
            };
        }
        if let Some(flow) = self.cast_to_own(cast, arg, of)? {
            return Ok(flow);
        }
        let to = type_of(of);
        let flow = if to.is_some_and(|to| to.array) { self.cast_array(arg)? } else { self.flow(arg)? };
        if algebra::keeps_text(of, false) && self.passes_as_text(&flow)? {
            if let Flow::Open(class) = flow {
                let to = to.unwrap_or(Logical::TEXT);
                self.classes.cast(class, to, None);
                self.cut_alone(class, &to, arg);
            }
            return Ok(if let Flow::Field(id) = flow { Flow::Sealed(Fields::from([id])) } else { flow });
        }
        // Its text is made when it is shown, and the cast leaves sealed text as it is.
        if algebra::keeps_text(of, false)
            && let Some(fields) = self.sealed_in(&flow)?
        {
            return Ok(Flow::Folded(Fold::Text, Box::new(Flow::Sealed(fields))));
        }
        if let Some(to) = to
            && let Some(edit) = self.cast_to_text(cast, of, &to)
        {
            match &flow {
                Flow::Open(class) if !to.array => {
                    self.typed(*class, to, edit);
                    self.cut_alone(*class, &to, arg);
                    return Ok(flow);
                }
                Flow::Array(elements) if to.array => {
                    if let Flow::Open(class) = **elements {
                        self.typed(class, Logical { array: false, ..to }, edit);
                        self.cut_alone(class, &to, arg);
                        let edit = self.cast_to_one(cast, of, &to);
                        self.classes.cast_whole(class, edit);
                        return Ok(flow);
                    }
                }
                Flow::Field(_) | Flow::Sealed(_) => return self.cast_of_own_type(flow, cast, of, &to),
                Flow::Plain
                | Flow::Derived(_)
                | Flow::Open(_)
                | Flow::Array(_)
                | Flow::Folded(..)
                | Flow::Default => {}
            }
        }
        self.settle_cast(&flow, cast)
    }

    /// A cast of a column to what it is.
    fn cast_of_own_type(
        &mut self,
        flow: Flow,
        cast: &protobuf::TypeCast,
        of: &protobuf::TypeName,
        to: &Logical,
    ) -> Proven<Flow> {
        if let Some(fields) = self.sealed_in(&flow)?
            && self.is_own_type(&fields, to)
            && let Some(edit) = self.cast_to_one(cast, of, to)
        {
            self.edits.push(edit);
            return Ok(Flow::Sealed(fields));
        }
        self.settle_cast(&flow, cast)
    }

    /// A cast to an enumeration or a domain that the policy gives to a column: of a value, or of such a column.
    /// None: it is none, or what it is applied to is something else, which is walked then.
    fn cast_to_own(
        &mut self,
        cast: &protobuf::TypeCast,
        arg: &'a Node,
        of: &protobuf::TypeName,
    ) -> Proven<Option<Flow>> {
        let Some((schema, name)) = own_type_of(of) else { return Ok(None) };
        let Some(own) = self.snapshot.own_type(schema, name) else { return Ok(None) };
        let flow = self.flow(arg)?;
        let edit = span_of_own_type(self.text, of).map(|span| self.to_text(cast, span, false));
        match (edit, flow) {
            (Some(edit), Flow::Open(class)) => {
                self.classes.cast_to_own(class, own.clone(), edit);
                Ok(Some(Flow::Open(class)))
            }
            (Some(edit), flow @ (Flow::Field(_) | Flow::Sealed(_))) => match self.sealed_in(&flow)? {
                Some(fields) if fields.iter().all(|id| self.is_of_own(*id, own)) => {
                    self.edits.push(edit);
                    Ok(Some(Flow::Sealed(fields)))
                }
                Some(_) | None => self.settle_cast(&flow, cast).map(Some),
            },
            (_, flow) => self.settle_cast(&flow, cast).map(Some),
        }
    }

    fn is_of_own(&self, id: FieldId, own: &QualifiedName) -> bool {
        self.snapshot.field(id).is_some_and(|field| field.is_of(Some(&own.schema), &own.name))
    }

    fn settle_cast(&mut self, flow: &Flow, cast: &protobuf::TypeCast) -> Proven<Flow> {
        self.settle(flow)
            .map(Flow::derived)
            .map_err(|refused| self.placed(refused, "a cast to another type", cast.location))
    }

    /// A cast that cuts or rounds is of this place alone: of a column that stands for the value it is none of
    /// what the value is elsewhere.
    fn cut_alone(&mut self, class: Class, to: &Logical, arg: &Node) {
        if to.modifier == NO_MODIFIER {
            return;
        }
        let elements = if let Some(Kind::AArrayExpr(array)) = kind(arg) { &*array.elements } else { &[] };
        for _ in std::iter::once(arg).chain(elements).filter(|one| is_written(one) && !is_null(one)) {
            self.classes.not_bare(class);
        }
    }

    /// Is it a value that `::text` leaves as it is? Not a column of another type, whose text is not what
    /// is sealed, nor one whose blanks at the end would go.
    fn passes_as_text(&mut self, flow: &Flow) -> Proven<bool> {
        if matches!(flow, Flow::Open(_)) {
            return Ok(true);
        }
        let Some(fields) = self.sealed_in(flow)? else { return Ok(false) };
        Ok(fields.iter().all(|id| {
            self.snapshot.field(*id).is_some_and(|field| {
                field.logical.is_text() && field.logical.base != Base::Bpchar && !field.is_enumeration()
            })
        }))
    }

    /// Is a cast of these fields to this type one that the server would leave out?
    fn is_own_type(&self, fields: &Fields, to: &Logical) -> bool {
        fields.iter().all(|id| {
            self.snapshot.field(*id).is_some_and(|field| {
                let own = field.logical;
                let wider = own.is_text() && to.is_text() && to.characters().is_none();
                own == *to || own.base == to.base && to.modifier == NO_MODIFIER || wider
            })
        })
    }

    fn typed(&mut self, class: Class, to: Logical, edit: Edit) {
        let to = if to.base == Base::Citext { Logical::TEXT } else { to };
        self.classes.cast(class, to, Some(edit));
    }

    /// What makes a cast, also one to an array, one to a text. None: it is not written in a way that is followed.
    fn cast_to_one(&self, cast: &protobuf::TypeCast, of: &protobuf::TypeName, to: &Logical) -> Option<Edit> {
        let span = span_of_type(self.text, usize::try_from(of.location).ok()?, to)?;
        Some(self.to_text(cast, span, false))
    }

    /// What makes a cast one to text. None: it is not written in a way that is followed.
    fn cast_to_text(&self, cast: &protobuf::TypeCast, of: &protobuf::TypeName, to: &Logical) -> Option<Edit> {
        let start = usize::try_from(of.location).ok()?;
        let span = span_of_type(self.text, start, to)?;
        Some(self.to_text(cast, span, to.array))
    }

    fn to_text(&self, cast: &protobuf::TypeCast, span: Range<usize>, array: bool) -> Edit {
        let new: &[u8] = if array { b"text[]" } else { b"text" };
        // `DATE '2000-01-01'` begins with the type: of a literal in another form none can be written.
        let literal = if let Some(Kind::AConst(constant)) = cast.arg.as_deref().and_then(kind) {
            usize::try_from(constant.location).ok()
        } else {
            None
        };
        let new = if literal
            .is_some_and(|literal| literal >= span.end && self.is_typed_literal(span.end, literal))
        {
            b""
        } else {
            new
        };
        Edit { span, new: new.to_vec(), quotes: false }
    }

    /// Does a type stand directly before its literal?
    fn is_typed_literal(&self, end: usize, literal: usize) -> bool {
        self.text.get(end..literal).is_some_and(|between| between.trim().is_empty())
    }

    pub(in crate::statement) fn collated(&mut self, clause: &'a protobuf::CollateClause) -> Proven<Flow> {
        let Some(arg) = clause.arg.as_deref() else { return Err(unsupported("COLLATE of nothing")) };
        let flow = self.flow(arg)?;
        let stays = matches!(flow, Flow::Open(_)) || self.sealed_in(&flow)?.is_some();
        if stays && algebra::keeps_equality(clause) {
            return Ok(flow);
        }
        self.settle(&flow).map(Flow::derived)
    }

    /// A value that is taken for an array of text.
    pub(in crate::statement) fn array(&mut self, node: &'a Node) -> Proven<Flow> {
        match kind(node) {
            Some(Kind::ParamRef(parameter)) => self.parameter(parameter, true),
            Some(Kind::AConst(constant)) => self.constant(constant, true),
            Some(_) | None => self.flow(node),
        }
    }

    /// The same of what is cast to one.
    fn cast_array(&mut self, node: &'a Node) -> Proven<Flow> {
        match kind(node) {
            Some(Kind::AArrayExpr(array)) => self.array_of(array, true),
            Some(_) | None => self.array(node),
        }
    }

    /// `ARRAY[...]`. Its elements are values by themselves; all of it can be one where they are constants.
    pub(in crate::statement) fn array_of(
        &mut self,
        array: &'a protobuf::AArrayExpr,
        is_cast: bool,
    ) -> Proven<Flow> {
        let flows = array.elements.iter().map(|item| self.flow(item)).collect::<Proven<Vec<_>>>()?;
        let element = self.join(&flows)?;
        if let Flow::Open(class) = element {
            match self.array_of_constants(array, class, is_cast) {
                Some(constants) => self.classes.array_of_constants(constants),
                None => self.classes.part(class)?,
            }
        }
        Ok(Flow::Array(Box::new(element)))
    }

    /// An array as one value. None: it has other elements than constants, or none and no type.
    fn array_of_constants(
        &self,
        array: &protobuf::AArrayExpr,
        class: Class,
        is_cast: bool,
    ) -> Option<ConstantArray> {
        let start = usize::try_from(array.location).ok()?;
        let (read, length) = elements(self.text.get(start..)?, self.conforming)?;
        if read.len() != array.elements.len() || read.is_empty() && !is_cast {
            return None;
        }
        let (mut starts, mut own, mut casts, mut strings) = (Vec::new(), None, false, false);
        for (read, node) in read.iter().zip(&array.elements) {
            let (constant, cast) = constant_of(node)?;
            casts |= cast;
            let Some(read) = read else { if constant.isnull { continue } else { return None } };
            let at = usize::try_from(constant.location).ok()?;
            starts.push(at);
            if let Some(a_const::Val::Sval(string)) = &constant.val {
                strings = true;
                (string.sval.as_bytes() == read.as_slice()).then_some(())?;
                continue;
            }
            let of = self.classes.own_type(at)?;
            own = Some(joined(own, of)?);
        }
        // Of a number that is cast, or beside what is, the type is not its own.
        if own.is_some() && (casts || strings && !is_cast) {
            return None;
        }
        let span = start..start + length;
        let form = LiteralForm::Array { conforming: self.conforming };
        Some(ConstantArray { class, written: Written { span, form }, starts, own })
    }

    /// One place of a parameter.
    pub(in crate::statement) fn parameter(
        &mut self,
        parameter: &'a protobuf::ParamRef,
        array: bool,
    ) -> Proven<Flow> {
        self.seen.insert((Seen::Parameter, parameter.location));
        let number = u16::try_from(parameter.number)
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| unsupported("a parameter number outside of 1 to 65535"))?;
        let start = usize::try_from(parameter.location).ok();
        let open = Flow::Open(self.classes.parameter(number, array, start)?);
        Ok(if array { Flow::Array(Box::new(open)) } else { open })
    }

    pub(in crate::statement) fn constant(
        &mut self,
        constant: &'a protobuf::AConst,
        array: bool,
    ) -> Proven<Flow> {
        let open = match &constant.val {
            Some(a_const::Val::Sval(string)) => self.literal(constant.location, &string.sval, array)?,
            None if constant.isnull => Flow::Open(self.classes.null()?),
            Some(_) | None if !array => return self.number(constant),
            Some(_) | None => return Ok(Flow::Plain),
        };
        Ok(if array { Flow::Array(Box::new(open)) } else { open })
    }

    fn literal(&mut self, location: i32, value: &str, array: bool) -> Proven<Flow> {
        let start = usize::try_from(location).map_err(|_| unsupported("a literal without a place"))?;
        let written = written_literal(self.text, start, value, self.conforming);
        Ok(Flow::Open(self.classes.literal(start, array, written)?))
    }

    /// A number or a truth value. In a form that is not followed it is a value like any other.
    fn number(&mut self, constant: &protobuf::AConst) -> Proven<Flow> {
        let Some(own) = type_of_constant(constant, self.text) else { return Ok(Flow::Plain) };
        let written = usize::try_from(constant.location).ok().and_then(|at| written_constant(self.text, at));
        match written {
            Some(written) => Ok(Flow::Open(self.classes.constant(written, own)?)),
            None => Ok(Flow::Plain),
        }
    }
}

/// A constant, and whether it is a cast of one: without a length, which would cut it.
#[expect(clippy::wildcard_enum_match_arm, reason = "what else there is is no constant")]
fn constant_of(node: &Node) -> Option<(&protobuf::AConst, bool)> {
    match kind(node)? {
        Kind::AConst(constant) => Some((constant, false)),
        Kind::TypeCast(cast) => {
            let Some(Kind::AConst(constant)) = cast.arg.as_deref().and_then(kind) else { return None };
            let of = cast.type_name.as_ref()?;
            let kept = type_of(of).is_some_and(|to| !to.array && to.modifier == NO_MODIFIER);
            (kept && constant.location < of.location).then_some((constant, true))
        }
        _ => None,
    }
}

/// The type of an array of two types that have one: of a whole number and another one it is the other's.
fn joined(one: Option<Logical>, other: Logical) -> Option<Logical> {
    let Some(one) = one else { return Some(other) };
    let rank =
        |of: &Logical| [Base::Int4, Base::Int8, Base::Numeric].iter().position(|base| *base == of.base);
    match (rank(&one), rank(&other)) {
        (Some(left), Some(right)) => Some(if left < right { other } else { one }),
        (None, None) if one == other => Some(one),
        (_, _) => None,
    }
}
