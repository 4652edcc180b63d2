//! Calls of functions that only pass classified columns on: rows, or one value of them.

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, Node};

use crate::catalog::{FieldId, Followed};

use super::super::facts::Told;
use super::super::read::tree::{self, kind};
use super::super::refusal::{Proven, unsupported};
use super::classes::{Fields, Flow, same_domain};
use super::flow::{Seen, Walk};
use super::scope::{Output, Outputs, Place};

impl<'a> Walk<'a> {
    /// The rows of such a function, once its arguments are what they must be. None: it is none.
    pub(in crate::statement) fn inlined(
        &mut self,
        call: &'a protobuf::FuncCall,
    ) -> Proven<Option<&'a Followed>> {
        let parts: Vec<&str> = call.funcname.iter().filter_map(tree::name).collect();
        let snapshot = self.snapshot;
        let Some(function) = snapshot.followed_function(&parts) else { return Ok(None) };
        self.seen.insert((Seen::Call, call.location));
        let protobuf::FuncCall {
            funcname: _,
            args,
            agg_order,
            agg_filter,
            over,
            agg_within_group,
            agg_star,
            agg_distinct,
            func_variadic,
            funcformat: _,
            location: _,
        } = call;
        let aggregates = *agg_within_group || *agg_star || *agg_distinct || !agg_order.is_empty();
        if aggregates || *func_variadic || agg_filter.is_some() || over.is_some() {
            return Err(unsupported("a call of this form"));
        }
        if args.len() != function.arguments.len() {
            return Err(unsupported("a call with another number of arguments than the function has"));
        }
        for (position, arg) in args.iter().enumerate() {
            let (at, value) = placed(function, position, arg)?;
            let field = function.arguments.get(at).and_then(|(_, field)| *field);
            let flow = self.flow(value)?;
            match field {
                Some(field) => self.give(field, &flow)?,
                None => {
                    let reach = self.settle(&flow)?;
                    self.searches.extend(reach);
                }
            }
        }
        self.searches.extend(&function.behind);
        Ok(Some(function))
    }

    /// A value for an argument that meets a sealed column.
    fn give(&mut self, field: FieldId, flow: &Flow) -> Proven<()> {
        let fields = Fields::from([field]);
        self.searches.insert(field);
        if let Flow::Open(class) = flow {
            return self.classes.seal(*class, &fields);
        }
        match self.sealed_in(flow)? {
            Some(given) if same_domain(self.snapshot, &fields, &given) => {
                self.searches.extend(given);
                Ok(())
            }
            Some(given) => Err(self.other_domain(&fields, &given)),
            None => Err(self.unsupported_position(field)),
        }
    }

    /// What it passes on.
    pub(in crate::statement) fn rows_of(&mut self, function: &Followed) -> Proven<Outputs> {
        let mut outputs = Outputs::default();
        for (name, field) in &function.columns {
            let flow = match field {
                None => Flow::Plain,
                Some(id) if self.is_sealed(*id)? => Flow::Sealed(Fields::from([*id])),
                Some(id) => Flow::Derived(Fields::from([*id])),
            };
            let name = name.as_ref().map(ToString::to_string);
            outputs.columns.push(Output { name, flow, place: Place::Sure, told: Told::default() });
        }
        Ok(outputs)
    }

    /// The same as one value.
    pub(in crate::statement) fn value_of(&mut self, function: &Followed) -> Proven<Flow> {
        let mut outputs = self.rows_of(function)?.columns;
        match (outputs.pop(), outputs.is_empty() && !function.row) {
            (Some(only), true) => Ok(self.mention(only.flow)),
            (Some(_) | None, _) => Err(unsupported("the rows of a function as a value")),
        }
    }
}

/// Which argument this one is, by its place or by its name.
fn placed<'a>(function: &Followed, position: usize, arg: &'a Node) -> Proven<(usize, &'a Node)> {
    let Some(Kind::NamedArgExpr(named)) = kind(arg) else { return Ok((position, arg)) };
    let of_name = |(name, _): &(Option<std::sync::Arc<str>>, _)| name.as_deref() == Some(named.name.as_str());
    let at = function.arguments.iter().position(of_name);
    at.zip(named.arg.as_deref()).ok_or_else(|| unsupported("an argument of another name"))
}
