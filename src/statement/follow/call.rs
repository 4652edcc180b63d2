//! Function calls and subqueries inside of expressions.

use std::collections::BTreeSet;

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, Node, SubLinkType};

use crate::catalog::FieldId;

use super::super::opaque;
use super::super::read::tree::{self, kind};
use super::super::refusal::{Proven, refuse, unsupported};
use super::flow::{Flow, Seen, Walk};
use super::scope::{Columns, Outputs};

impl<'a> Walk<'a> {
    pub(in crate::statement) fn call(&mut self, call: &'a protobuf::FuncCall) -> Proven<BTreeSet<FieldId>> {
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
        let name = call.funcname.last().and_then(tree::name).unwrap_or_default();
        let parts: Vec<&str> = call.funcname.iter().filter_map(tree::name).collect();
        // What it is given can be seen where no record and no limit follows.
        if !reach.is_empty() && opaque::shows(self.names, &parts) {
            return Err(refuse(
                "function",
                format!("the function \"{name}\" would carry a classified value out of the result"),
                "Read the column itself.",
            ));
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

    pub(in crate::statement) fn window(
        &mut self,
        window: &'a protobuf::WindowDef,
    ) -> Proven<BTreeSet<FieldId>> {
        let mut reach = self.values(&window.partition_clause)?;
        reach.extend(self.values(&window.order_clause)?);
        reach.extend(self.optional(window.start_offset.as_deref())?);
        reach.extend(self.optional(window.end_offset.as_deref())?);
        Ok(reach)
    }

    pub(in crate::statement) fn indirection(&mut self, nodes: &'a [Node]) -> Proven<BTreeSet<FieldId>> {
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

    pub(in crate::statement) fn sublink(&mut self, link: &'a protobuf::SubLink) -> Proven<BTreeSet<FieldId>> {
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
        let exact = !outputs.is_open() && outputs.columns.len() == tests.len();
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
    pub(in crate::statement) fn any_carries(sources: &[super::scope::Source<'a>]) -> bool {
        sources.iter().any(|source| source.carries() || matches!(source.columns, Columns::Table(_)))
    }
}
