//! As which type an expression over sealed columns is told, where that is not the type of the column: the server
//! sees text there, and says nothing of it.
//!
//! What is not listed is told as its column. Nothing but what a client is told rests on it.

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, AExprKind, Node};

use crate::catalog::Logical;

use super::super::facts::Told;
use super::super::read::tree::{self, kind};
use super::super::read::typed::type_of;
use super::classes::Shown;
use super::constant::is_null;

/// Functions that hand a value on as it is, without what is known of its length or scale.
const PASSING: [&str; 7] = ["any_value", "first_value", "last_value", "nth_value", "lag", "lead", "unnest"];

/// Constants and parameters that an outermost query shows in place of a column's value, and does nothing else
/// with: whoever sees one sees it as it was given.
pub(in crate::statement) fn shown(query: &Node) -> Vec<Shown> {
    let mut all = Vec::new();
    let Some(Kind::SelectStmt(select)) = kind(query) else { return all };
    let told_apart = !select.distinct_clause.is_empty() || !select.group_clause.is_empty();
    if told_apart || select.larg.is_some() || select.into_clause.is_some() {
        return all;
    }
    for target in &select.target_list {
        if let Some(Kind::ResTarget(target)) = kind(target)
            && let Some(value) = target.val.as_deref()
            && matches!(kind(value), Some(Kind::CoalesceExpr(_) | Kind::CaseExpr(_)))
        {
            gather(value, &mut all);
        }
    }
    all
}

fn gather(node: &Node, all: &mut Vec<Shown>) {
    match kind(node) {
        Some(Kind::CoalesceExpr(coalesce)) => coalesce.args.iter().for_each(|arg| gather(arg, all)),
        Some(Kind::CaseExpr(case)) => {
            for when in &case.args {
                if let Some(Kind::CaseWhen(when)) = kind(when)
                    && let Some(result) = when.result.as_deref()
                {
                    gather(result, all);
                }
            }
            if let Some(otherwise) = case.defresult.as_deref() {
                gather(otherwise, all);
            }
        }
        Some(Kind::AConst(constant)) => {
            all.extend(usize::try_from(constant.location).ok().map(Shown::Literal))
        }
        Some(Kind::ParamRef(parameter)) => {
            all.extend(u16::try_from(parameter.number).ok().map(Shown::Parameter));
        }
        Some(_) | None => {}
    }
}

/// As which an expression is told.
pub(in crate::statement) fn told(node: &Node) -> Told {
    match kind(node) {
        // A constant has the type of what it meets, and no length of its own.
        Some(Kind::AConst(_) | Kind::ParamRef(_)) => Told { lost: true, ..Told::default() },
        Some(Kind::TypeCast(cast)) => {
            Told { cast: cast.type_name.as_ref().and_then(type_of), ..Told::default() }
        }
        Some(Kind::CollateClause(clause)) => clause.arg.as_deref().map_or_else(Told::default, told),
        // The server leaves NULL out.
        Some(Kind::CoalesceExpr(coalesce)) => {
            let given = coalesce.args.iter().filter(|arg| !is_null(arg));
            given.map(told).reduce(Told::beside).unwrap_or_default()
        }
        Some(Kind::CaseExpr(case)) => of_case(case),
        Some(Kind::AExpr(nullif)) if nullif.kind == AExprKind::AexprNullif as i32 => {
            let left = nullif.lexpr.as_deref().map_or_else(Told::default, told);
            Told { operand: true, ..left }
        }
        Some(Kind::FuncCall(call)) => match tree::last_name(&call.funcname) {
            Some("lower" | "upper") => Told { cast: Some(Logical::TEXT), ..Told::default() },
            Some(name) if PASSING.contains(&name) => {
                let of = call.args.first().map_or_else(Told::default, told);
                Told { lost: true, ..of }
            }
            Some(_) | None => Told::default(),
        },
        _ => Told::default(),
    }
}

fn of_case(case: &protobuf::CaseExpr) -> Told {
    let results = case.args.iter().map(|when| match kind(when) {
        Some(Kind::CaseWhen(when)) => when.result.as_deref().map_or_else(Told::default, told),
        Some(_) | None => Told::default(),
    });
    // Without ELSE it is NULL, a constant.
    let otherwise = case.defresult.as_deref().map_or(Told { lost: true, ..Told::default() }, told);
    results.fold(otherwise, Told::beside)
}
