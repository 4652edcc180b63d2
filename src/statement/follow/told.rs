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
use super::constant::is_null;

/// Functions that hand a value on as it is, without what is known of its length or scale.
const PASSING: [&str; 7] = ["any_value", "first_value", "last_value", "nth_value", "lag", "lead", "unnest"];

/// As which an expression is told.
pub(super) fn told(node: &Node) -> Told {
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
