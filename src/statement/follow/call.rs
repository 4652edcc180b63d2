//! Function calls and subqueries inside of expressions.

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, Node, SubLinkType};

use crate::catalog::NO_MODIFIER;

use super::super::facts::{Edit, Fold, Unproven};
use super::super::opaque;
use super::super::read::tree::{self, kind};
use super::super::read::typed::{span_of_callee, type_of};
use super::super::refusal::{Proven, refuse, unsupported};
use super::algebra::{self, Passing};
use super::classes::{Fields, Flow};
use super::constant::is_written;
use super::flow::{Seen, Walk};
use super::scope::{Outputs, Place};

/// The same refusal with what would give it a meaning.
pub(in crate::statement) fn needs_normalizing(refused: Unproven) -> Unproven {
    if refused.reason != "unsupported-position" {
        return refused;
    }
    let hint = "With seal = \"equality\" and normalize = \"lowercase\" in its [[field]] the column is kept in lower case: \
                then lower() or upper() on both sides of =, and ILIKE without wildcards, have a meaning.";
    Unproven { hint: hint.to_owned(), ..refused }
}

impl<'a> Walk<'a> {
    pub(in crate::statement) fn call(&mut self, call: &'a protobuf::FuncCall) -> Proven<Flow> {
        if let Some(function) = self.inlined(call)? {
            return self.value_of(function);
        }
        self.seen.insert((Seen::Call, call.location));
        if let Some(fold) = algebra::fold(self.names, call)
            && let Some(only) = call.args.first()
        {
            return self.folded(fold, call, only);
        }
        let passing = algebra::passing(self.names, &call.funcname).filter(|_| {
            call.agg_order.is_empty() && !call.agg_within_group && !call.func_variadic && !call.agg_star
        });
        let Some((passing, first)) = passing.zip(call.args.first()) else { return self.looks(call, None) };
        let value = match (passing, self.flow(first)?) {
            (Passing::Element, Flow::Array(elements)) => *elements,
            (Passing::Element, flow) => return self.looks(call, Some(&flow)),
            (_, flow) => flow,
        };
        if !matches!(value, Flow::Open(_)) && self.sealed_in(&value)?.is_none() {
            return self.looks(call, Some(&value));
        }
        let mut others = call.args.iter().skip(1);
        let mut values = vec![value];
        if passing == Passing::FirstOrThird {
            if let Some(offset) = others.next() {
                self.searched(Some(offset))?;
            }
            if let Some(otherwise) = others.next() {
                values.push(self.flow(otherwise)?);
            }
        }
        for other in others {
            self.searched(Some(other))?;
        }
        self.predicate(call.agg_filter.as_deref())?;
        if let Some(window) = &call.over {
            let reach = self.window(window)?;
            self.searches.extend(reach);
        }
        if passing == Passing::Counts {
            return self.counted(call, &values);
        }
        let joined = self.join(&values)?;
        Ok(match self.sealed_in(&joined)? {
            Some(fields) => Flow::Sealed(fields),
            None => joined,
        })
    }

    /// `lower` or `upper` of what is kept in lower case, or may be, and what is applied to a value before it is
    /// one: the call goes when the value is sealed.
    fn folded(&mut self, fold: Fold, call: &'a protobuf::FuncCall, only: &'a Node) -> Proven<Flow> {
        let flow = self.flow(only)?;
        let start = usize::try_from(call.location).ok();
        let place = start.and_then(|start| span_of_callee(self.text, start));
        let edit = place.map(|span| Edit { span, new: Vec::new(), quotes: false });
        match (edit, flow.folds()) {
            (Some(edit), Some((class, folds)))
                if self.stands_alone(only)
                    && self.classes.may_fold(class)
                    && (fold.is_of_case() || self.is_bare(&edit, only)) =>
            {
                if folds.is_empty() {
                    self.classes.only_folded(class);
                }
                self.classes.when_sealed(class, edit);
            }
            (Some(edit), _) if fold.is_of_case() && self.is_folded(&flow)? => self.edits.push(edit),
            (_, _) if fold.is_of_case() => {
                return self.looks(call, Some(&flow)).map_err(needs_normalizing);
            }
            (_, _) => return self.looks(call, Some(&flow)),
        }
        Ok(Flow::Folded(fold, Box::new(flow)))
    }

    /// Is it a parameter or a constant, maybe under casts and calls that go with this one? A column that stands
    /// for one is that value elsewhere.
    fn stands_alone(&self, node: &Node) -> bool {
        match kind(node) {
            Some(Kind::TypeCast(cast)) => {
                let to = cast.type_name.as_ref().and_then(type_of);
                let whole = to.is_some_and(|to| to.modifier == NO_MODIFIER && !to.array);
                whole && cast.arg.as_deref().is_some_and(|arg| self.stands_alone(arg))
            }
            Some(Kind::FuncCall(call)) => {
                algebra::fold(self.names, call).is_some()
                    && call.args.first().is_some_and(|arg| self.stands_alone(arg))
            }
            Some(_) | None => is_written(node),
        }
    }

    /// Does the argument follow the parenthesis, without a word of SQL between (`trim(BOTH ...)`)?
    fn is_bare(&self, callee: &Edit, only: &Node) -> bool {
        let start = match kind(only) {
            Some(Kind::ParamRef(parameter)) => parameter.location,
            Some(Kind::AConst(constant)) => constant.location,
            Some(Kind::FuncCall(call)) => call.location,
            Some(_) | None => return false,
        };
        let between = usize::try_from(start).ok().and_then(|start| self.text.get(callee.span.end..start));
        between.is_some_and(|between| between.strip_prefix('(').is_some_and(|rest| rest.trim().is_empty()))
    }

    fn counted(&mut self, call: &'a protobuf::FuncCall, values: &[Flow]) -> Proven<Flow> {
        for value in values {
            if call.agg_distinct {
                self.told_apart(value)?;
            }
            if let Some(fields) = self.sealed_in(value)? {
                self.searches.extend(fields);
            }
        }
        Ok(Flow::Plain)
    }

    /// Legible fields that decide about it are searched.
    fn searched(&mut self, node: Option<&'a Node>) -> Proven<()> {
        let reach = self.optional(node)?;
        self.searches.extend(reach);
        Ok(())
    }

    /// A function that looks into what it is given.
    fn looks(&mut self, call: &'a protobuf::FuncCall, first: Option<&Flow>) -> Proven<Flow> {
        let name = call.funcname.last().and_then(tree::name).unwrap_or_default();
        let mut given = || {
            let mut reach = first.map_or_else(|| Ok(Fields::new()), |flow| self.settle(flow))?;
            reach.extend(self.values(call.args.get(usize::from(first.is_some())..).unwrap_or_default())?);
            Ok(reach)
        };
        let mut reach = match given() {
            Ok(reach) => reach,
            Err(refused) => {
                // A value in double quotes is a name to PostgreSQL: only those that it has are repeated.
                let what = algebra::is_known(self.names, name)
                    .map_or_else(|| "a function".to_owned(), |name| format!("the function {name}"));
                return Err(self.placed(refused, &what, call.location));
            }
        };
        reach.extend(self.values(&call.agg_order)?);
        reach.extend(self.optional_condition(call.agg_filter.as_deref())?);
        if let Some(window) = &call.over {
            reach.extend(self.window(window)?);
        }
        let parts: Vec<&str> = call.funcname.iter().filter_map(tree::name).collect();
        // What it is given can be seen where no record and no limit follows.
        if !reach.is_empty() && opaque::shows(self.names, &parts) {
            return Err(refuse(
                "function",
                format!("the function \"{name}\" would carry a classified value out of the result"),
                "Read the column itself.",
            ));
        }
        Ok(Flow::derived(reach))
    }

    pub(in crate::statement) fn window(&mut self, window: &'a protobuf::WindowDef) -> Proven<Fields> {
        for node in &window.partition_clause {
            self.distinguish(node, &Outputs::default())?;
        }
        self.sort(&window.order_clause, &Outputs::default(), false)?;
        let mut reach = self.optional(window.start_offset.as_deref())?;
        reach.extend(self.optional(window.end_offset.as_deref())?);
        Ok(reach)
    }

    pub(in crate::statement) fn indirection(&mut self, nodes: &'a [Node]) -> Proven<Fields> {
        let mut reach = Fields::new();
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

    pub(in crate::statement) fn sublink(&mut self, link: &'a protobuf::SubLink) -> Proven<Flow> {
        let Some(query) = link.subselect.as_deref() else { return Err(unsupported("this subquery")) };
        let kind_of = SubLinkType::try_from(link.sub_link_type).unwrap_or(SubLinkType::Undefined);
        self.orderless = kind_of == SubLinkType::ExistsSublink;
        let outputs = self.query(query)?;
        self.orderless = false;
        let equality = link.oper_name.is_empty() || algebra::is_equality(&link.oper_name);
        match (kind_of, outputs.columns.as_slice()) {
            // The rows count, their values do not.
            (SubLinkType::ExistsSublink, _) => Ok(Flow::Plain),
            (SubLinkType::AnySublink | SubLinkType::AllSublink | SubLinkType::RowcompareSublink, _)
                if equality =>
            {
                self.compare_with_outputs(link.testexpr.as_deref(), &outputs).map(Flow::derived)
            }
            (SubLinkType::ExprSublink | SubLinkType::ArraySublink, [only]) if only.place == Place::Sure => {
                let value = match self.sealed_in(&only.flow)? {
                    Some(fields) => Flow::Sealed(fields),
                    None => only.flow.clone(),
                };
                let value = self.mention(value);
                Ok(match (kind_of, value) {
                    (SubLinkType::ArraySublink, value) => Flow::Array(Box::new(value)),
                    (_, Flow::Field(id)) => Flow::Derived(Fields::from([id])),
                    (_, value) => value,
                })
            }
            (
                SubLinkType::AnySublink
                | SubLinkType::AllSublink
                | SubLinkType::ExprSublink
                | SubLinkType::ArraySublink
                | SubLinkType::RowcompareSublink,
                _,
            ) => {
                let mut reach = self.optional(link.testexpr.as_deref())?;
                reach.extend(self.settle_outputs(&outputs)?);
                Ok(Flow::derived(reach))
            }
            (SubLinkType::Undefined | SubLinkType::MultiexprSublink | SubLinkType::CteSublink, _) => {
                Err(unsupported("a subquery of this kind"))
            }
        }
    }

    fn compare_with_outputs(&mut self, test: Option<&'a Node>, outputs: &Outputs) -> Proven<Fields> {
        let Some(test) = test else { return Err(unsupported("this subquery")) };
        let tests: Vec<&'a Node> = match kind(test) {
            Some(Kind::RowExpr(row)) => row.args.iter().collect(),
            Some(_) | None => vec![test],
        };
        let exact = !outputs.is_open() && outputs.columns.len() == tests.len();
        if !exact {
            let mut reach = self.settle_outputs(outputs)?;
            for test in tests {
                reach.extend(self.value(test)?);
            }
            return Ok(reach);
        }
        let mut reach = Fields::new();
        for (test, output) in tests.into_iter().zip(&outputs.columns) {
            let left = self.flow(test)?;
            let right = self.mention(output.flow.clone());
            reach.extend(self.equal(&left, &right)?);
        }
        Ok(reach)
    }

    /// The values of a subquery, at a place where nothing sealed may stand.
    pub(in crate::statement) fn settle_outputs(&mut self, outputs: &Outputs) -> Proven<Fields> {
        let mut reach = Fields::new();
        for output in &outputs.columns {
            let flow = self.mention(output.flow.clone());
            reach.extend(self.settle(&flow)?);
        }
        Ok(reach)
    }
}
