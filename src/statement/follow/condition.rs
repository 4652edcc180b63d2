//! A truth value that stands where a condition does: `WHERE active`, `NOT active`, `active IS TRUE`.
//!
//! Sealed text is no condition. The server is asked whether it is the sealed form of TRUE, which is so for the
//! same rows and NULL for the same: ` OPERATOR(pg_catalog.=) TRUE` is put behind what stands there, and is sealed as
//! if it had been written. That binds closer than IS, NOT, AND and OR, so no parentheses are needed.

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, Node};

use crate::catalog::{Base, Family, Logical};

use super::super::facts::LiteralForm;
use super::super::read::literal::Written;
use super::super::read::tree::kind;
use super::super::read::typed::{end_of_call, end_of_name};
use super::super::refusal::{Proven, refuse};
use super::classes::{Fields, Flow};
use super::flow::Walk;

impl<'a> Walk<'a> {
    /// An expression that is taken for a truth value.
    pub(in crate::statement) fn condition(&mut self, node: &'a Node) -> Proven<Fields> {
        let flow = self.flow(node)?;
        // What a constant or a parameter becomes elsewhere is no condition.
        if matches!(flow, Flow::Open(_)) {
            return self.settle(&flow);
        }
        match self.sealed_in(&flow)? {
            Some(fields) if self.is_truth(&fields) => self.is_true(node, &flow),
            Some(_) | None => self.settle(&flow),
        }
    }

    fn is_truth(&self, fields: &Fields) -> bool {
        let own = |id| self.snapshot.field(id).map(|field| field.logical);
        fields
            .iter()
            .all(|id| own(*id).is_some_and(|logical| logical.base.family() == Family::Bool && !logical.array))
    }

    fn is_true(&mut self, node: &'a Node, flow: &Flow) -> Proven<Fields> {
        let Some(end) = self.end_of(node) else {
            return Err(refuse(
                "unsupported-position",
                "a sealed truth value stands as a condition that is not the column itself".to_owned(),
                "Compare it: write ... = true, with the expression in parentheses.",
            ));
        };
        let written = Written { span: end..end, form: LiteralForm::Truth };
        let class = self.classes.constant(written, Logical::of(Base::Bool))?;
        self.equal(flow, &Flow::Open(class))
    }

    /// Where the text of a column, or of COALESCE, ends.
    fn end_of(&self, node: &Node) -> Option<usize> {
        match kind(node) {
            Some(Kind::ColumnRef(protobuf::ColumnRef { fields, location })) => {
                end_of_name(self.text, usize::try_from(*location).ok()?, fields.len())
            }
            Some(Kind::CoalesceExpr(call)) => {
                end_of_call(self.text, usize::try_from(call.location).ok()?, self.conforming)
            }
            Some(_) | None => None,
        }
    }
}
