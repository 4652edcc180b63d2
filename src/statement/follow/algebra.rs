//! What may be done with a sealed value: the one table that decides it.
//!
//! A sealed value is text that the server can store, pass on and, where its domain has a mode for it,
//! compare. Each place of a statement is a [`Use`]; [`allows`] says which modes serve it, and the
//! lists below name the few functions, types and collations that pass a value on as it is.
//! `docs/STATEMENTS.md` shows the same to users. What has no entry here has no meaning on sealed values.

use std::collections::BTreeSet;

use pg_query::protobuf::{self, Node};

use crate::catalog::{Called, FieldId, Mode, Names, Normal, Snapshot, Verdict};

use super::super::read::tree;

/// What a place does with the value that stands there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::statement) enum Use {
    /// It is stored, fetched, or becomes the value of a larger expression as it is.
    Pass,
    /// It is NULL, or it is not.
    TestNull,
    /// It is equal to another, or it is not: `=`, IN, joins, keys.
    Compare,
    /// Equal values become one: GROUP BY, DISTINCT, UNION, PARTITION BY.
    Distinguish,
    /// It is less than another: ORDER BY, `<`, min.
    Order,
    /// Anything else that looks into it.
    Look,
}

/// The table.
pub(in crate::statement) fn allows(mode: Mode, place: Use) -> bool {
    match place {
        Use::Pass | Use::TestNull => true,
        Use::Compare | Use::Distinguish => match mode {
            Mode::Equality => true,
            Mode::Random => false,
        },
        Use::Order | Use::Look => match mode {
            Mode::Equality | Mode::Random => false,
        },
    }
}

/// What a function of PostgreSQL does with the values that it is given, of those that do not look into them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::statement) enum Passing {
    /// `count`: tells of none.
    Counts,
    /// The result is one of the values of its first argument.
    First,
    /// The same, and the third argument is what there is where there is none (`lag`, `lead`).
    FirstOrThird,
    /// The result is one of the elements of its argument, which is an array.
    Element,
}

const PASSING: [(&str, Passing); 8] = [
    ("count", Passing::Counts),
    ("any_value", Passing::First),
    ("first_value", Passing::First),
    ("last_value", Passing::First),
    ("nth_value", Passing::First),
    ("lag", Passing::FirstOrThird),
    ("lead", Passing::FirstOrThird),
    ("unnest", Passing::Element),
];

/// What the function of this name does with values, where it surely is PostgreSQL's own.
pub(in crate::statement) fn passing(names: Names<'_>, function: &[Node]) -> Option<Passing> {
    let parts: Vec<&str> = function.iter().filter_map(tree::name).collect();
    let (schema, name) = match parts.as_slice() {
        [name] => (None, *name),
        ["pg_catalog", name] => (Some("pg_catalog"), *name),
        _ => return None,
    };
    let (_, passing) = PASSING.iter().find(|(known, _)| *known == name)?;
    let called = Called { schema, name, path: names.path };
    // The name of a count matters to nobody: nothing comes out of it that was sealed.
    let own = matches!(names.snapshot.codes().function(called), Verdict::Harmless);
    (own || *passing == Passing::Counts).then_some(*passing)
}

/// Is this a type to which sealed text can be cast and stay what it is: `text`, or `varchar` without a
/// length? With `array`, the array of one.
pub(in crate::statement) fn keeps_text(of: &protobuf::TypeName, array: bool) -> bool {
    tree::is_plain_text_type(of, array)
}

/// Is this a collation under which text is equal where its bytes are, as every sealed value needs it?
pub(in crate::statement) fn keeps_equality(clause: &protobuf::CollateClause) -> bool {
    let parts: Vec<&str> = clause.collname.iter().filter_map(tree::name).collect();
    matches!(
        parts.as_slice(),
        ["C" | "POSIX" | "default" | "ucs_basic"] | ["pg_catalog", "C" | "POSIX" | "default" | "ucs_basic"]
    )
}

/// Does an operator of this name ask whether two values are equal?
pub(in crate::statement) fn is_equality(name: &[Node]) -> bool {
    matches!(tree::operator(name), Some("=" | "<>"))
}

/// A function that a normalization to lower case stands for: what it makes of two values is equal where
/// these are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::statement) enum Fold {
    /// It leaves what is normalized as it is.
    Lower,
    Upper,
    /// `::text` of a value of another type: it is shown, or compared with what is written alike.
    Text,
}

/// Which one the function of this name is, where it surely is PostgreSQL's own.
pub(in crate::statement) fn fold(names: Names<'_>, call: &protobuf::FuncCall) -> Option<Fold> {
    let parts: Vec<&str> = call.funcname.iter().filter_map(tree::name).collect();
    let (schema, name) = match parts.as_slice() {
        [name] => (None, *name),
        ["pg_catalog", name] => (Some("pg_catalog"), *name),
        _ => return None,
    };
    let fold = match name {
        "lower" => Fold::Lower,
        "upper" => Fold::Upper,
        _ => return None,
    };
    let bare = call.args.len() == 1
        && call.agg_order.is_empty()
        && call.agg_filter.is_none()
        && call.over.is_none()
        && !call.agg_distinct
        && !call.agg_star
        && !call.func_variadic
        && !call.agg_within_group;
    let called = Called { schema, name, path: names.path };
    (bare && matches!(names.snapshot.codes().function(called), Verdict::Harmless)).then_some(fold)
}

/// Are all of these fields kept in lower case?
pub(in crate::statement) fn is_folded(snapshot: &Snapshot, fields: &BTreeSet<FieldId>) -> bool {
    fields.iter().all(|id| {
        let domain = snapshot.field(*id).and_then(|field| field.domain.as_ref());
        domain.is_some_and(|domain| domain.kind.normalize.has(Normal::Lowercase))
    })
}

/// The name of a function, where the database is known to have one of it.
pub(in crate::statement) fn is_known<'n>(names: Names<'_>, name: &'n str) -> Option<&'n str> {
    let called = Called { schema: Some("pg_catalog"), name, path: names.path };
    let known = match names.snapshot.codes().function(called) {
        Verdict::Harmless | Verdict::Shows | Verdict::Distant(_) => true,
        Verdict::Opaque(_) | Verdict::Unknown(_) => false,
    };
    known.then_some(name)
}
