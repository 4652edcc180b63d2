//! What SQL makes and runs by name: cursors (DECLARE, FETCH, MOVE, CLOSE) and prepared statements
//! (PREPARE, EXECUTE, DEALLOCATE).
//!
//! A name means what the session has made of it, which no text tells. So a text tells the name, and what
//! it gives to it; whoever keeps the names puts the facts of what they mean in their place, by
//! [`fetched`] and [`executed`].

use std::collections::BTreeSet;
use std::sync::Arc;

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, DiscardMode, Node};

use crate::catalog::{Base, FieldId, Logical};

use super::facts::{
    Argument, Closes, Effect, Executed, Executes, Fetches, LiteralUse, NameOf, NamedQuery, ParameterUse,
    ResultColumn, StatementFacts, Taken, Unproven,
};
use super::follow::algebra;
use super::matters::Bench;
use super::read::census::Census;
use super::read::literal::{Written, written_constant, written_literal};
use super::read::tree::{self, kind};
use super::refusal::{Proven, refuse};
use super::subject;

/// Arguments of one EXECUTE, and elements of one of them, that are looked at.
const ARGUMENTS_MAX: usize = 65_535;

// ---- what a text says ---------------------------------------------------------------------

/// The facts of what holds a query and gives it a name. `facts`: of the query.
pub(super) fn named(name: &str, of: NameOf, facts: StatementFacts) -> StatementFacts {
    let inner = StatementFacts { effect: Effect::default(), ..facts.clone() };
    let names = Some(Arc::new(NamedQuery { name: Arc::from(name), of, facts: inner }));
    StatementFacts { effect: Effect { names, ..facts.effect }, ..facts }
}

/// Nothing of the query runs yet: its columns are looked at, not shown, and the parameters of PREPARE
/// are its own.
pub(super) fn defer(facts: &mut StatementFacts) {
    let Some(names) = facts.effect.names.clone() else { return };
    facts.searches = united([&facts.searches, &facts.reads, &facts.writes]);
    facts.reads.clear();
    facts.writes.clear();
    facts.outputs.clear();
    let mut names = NamedQuery::clone(&names);
    match names.of {
        NameOf::Portal { .. } => names.facts.parameters.clear(),
        NameOf::Statement { .. } => facts.parameters.clear(),
    }
    facts.effect.names = Some(Arc::new(names));
}

/// The plan's text is shown, and no row.
pub(super) fn explained(mut facts: StatementFacts, runs: bool) -> StatementFacts {
    if !runs {
        facts.searches = united([&facts.searches, &facts.reads]);
        facts.reads.clear();
    }
    facts.outputs = vec![ResultColumn::Run(Vec::new())];
    facts.explained = true;
    subject::forget(&mut facts.subjects, subject::EXPLAINED);
    facts.effect.names = None;
    facts
}

fn united<const N: usize>(of: [&Vec<FieldId>; N]) -> Vec<FieldId> {
    of.into_iter().flatten().copied().collect::<BTreeSet<_>>().into_iter().collect()
}

/// Does EXPLAIN run what it explains?
pub(super) fn runs(explain: &protobuf::ExplainStmt) -> bool {
    explain
        .options
        .iter()
        .any(|option| matches!(kind(option), Some(Kind::DefElem(option)) if option.defname == "analyze"))
}

pub(super) fn fetches(fetch: &protobuf::FetchStmt) -> StatementFacts {
    let fetches = Fetches { portal: Arc::from(fetch.portalname.as_str()), moves: fetch.ismove, known: false };
    let effect = Effect { fetches: Some(Arc::new(fetches)), ..Effect::default() };
    StatementFacts { effect, ..StatementFacts::default() }
}

/// What a statement takes from the names of its session.
pub(super) fn closes(node: &Node) -> Option<Closes> {
    let one = |name: &str| Some(Arc::from(name)).filter(|_| !name.is_empty());
    match kind(node) {
        Some(Kind::ClosePortalStmt(close)) => Some(Closes::Portals(one(&close.portalname))),
        Some(Kind::DeallocateStmt(close)) => Some(Closes::Statements(one(&close.name))),
        Some(Kind::DiscardStmt(discard)) if discard.target == DiscardMode::DiscardAll as i32 => {
            Some(Closes::Everything)
        }
        Some(_) | None => None,
    }
}

/// The EXECUTE that a statement is, or has somewhere in it.
pub(super) fn executes(bench: Bench<'_>, node: &Node, found: &Census) -> Option<Executes> {
    let execute = |node: &Node| match kind(node) {
        Some(Kind::ExecuteStmt(execute)) => Some(arguments(bench, execute)),
        Some(_) | None => None,
    };
    let own = match kind(node) {
        Some(Kind::ExplainStmt(explain)) => explain
            .query
            .as_deref()
            .and_then(execute)
            .map(|found| Executes { how: Executed::Explained { runs: runs(explain) }, ..found }),
        Some(_) | None => execute(node),
    };
    let elsewhere = || {
        let statement = Arc::from(found.executes.first()?.as_str());
        Some(Executes { statement, how: Executed::Kept, arguments: Vec::new(), known: false })
    };
    own.or_else(elsewhere)
}

fn arguments(bench: Bench<'_>, execute: &protobuf::ExecuteStmt) -> Executes {
    let arguments = execute.params.iter().take(ARGUMENTS_MAX).map(|node| argument(bench, node));
    Executes {
        statement: Arc::from(execute.name.as_str()),
        how: Executed::Shown,
        arguments: arguments.collect(),
        known: false,
    }
}

pub(super) fn argument(bench: Bench<'_>, node: &Node) -> Argument {
    match kind(node) {
        Some(Kind::AConst(constant)) => constant_argument(bench, constant),
        Some(Kind::AArrayExpr(array)) if array.elements.len() <= ARGUMENTS_MAX => {
            let elements = array.elements.iter().map(|item| match kind(item) {
                Some(Kind::AConst(constant)) => constant_argument(bench, constant),
                Some(_) | None => Argument::Other,
            });
            Argument::Elements(elements.collect())
        }
        Some(Kind::TypeCast(cast)) => {
            let stays =
                |of: &protobuf::TypeName| algebra::keeps_text(of, false) || algebra::keeps_text(of, true);
            let inner = cast.arg.as_deref().filter(|inner| !matches!(kind(inner), Some(Kind::TypeCast(_))));
            match (inner, &cast.type_name) {
                (Some(inner), Some(of)) if stays(of) => argument(bench, inner),
                (_, _) => Argument::Other,
            }
        }
        Some(_) | None => Argument::Other,
    }
}

fn constant_argument(bench: Bench<'_>, constant: &protobuf::AConst) -> Argument {
    use protobuf::a_const::Val;
    let text = std::str::from_utf8(bench.text).unwrap_or_default();
    let start = usize::try_from(constant.location).ok();
    let written: Option<Written> = match (&constant.val, start) {
        (None, _) if constant.isnull => return Argument::Null,
        (Some(Val::Sval(string)), Some(start)) => {
            written_literal(text, start, &string.sval, bench.reading.standard_conforming_strings).ok()
        }
        (Some(Val::Ival(_) | Val::Fval(_)), Some(start)) => written_constant(text, start),
        (Some(_) | None, _) => None,
    };
    written.map_or(Argument::Other, |written| Argument::Literal(written.span, written.form))
}

/// The types of PREPARE's parameters, by their names.
pub(super) fn parameter_types(types: &[Node]) -> Vec<u32> {
    types
        .iter()
        .map(|of| if let Some(Kind::TypeName(of)) = kind(of) { type_oid(of) } else { u32::MAX })
        .collect()
}

/// Types of the server's own by name, with their OIDs and those of arrays of them.
const TYPES: [(&str, u32, u32); 17] = [
    ("text", 25, 1009),
    ("varchar", 1043, 1015),
    ("unknown", 705, 705),
    ("bool", 16, 1000),
    ("int2", 21, 1005),
    ("int4", 23, 1007),
    ("int8", 20, 1016),
    ("float4", 700, 1021),
    ("float8", 701, 1022),
    ("numeric", 1700, 1231),
    ("date", 1082, 1182),
    ("time", 1083, 1183),
    ("timestamp", 1114, 1115),
    ("timestamptz", 1184, 1185),
    ("interval", 1186, 1187),
    ("uuid", 2950, 2951),
    ("oid", 26, 1028),
];

/// What is not on the list is no type in which a sealed value can stand.
fn type_oid(of: &protobuf::TypeName) -> u32 {
    let names: Vec<&str> = of.names.iter().filter_map(tree::name).collect();
    let ([name] | ["pg_catalog", name]) = names.as_slice() else { return u32::MAX };
    let known = TYPES.iter().find(|(known, _, _)| known == name).filter(|_| !of.setof && !of.pct_type);
    match (known, of.array_bounds.as_slice()) {
        (Some((_, oid, _)), []) => *oid,
        (Some((_, _, array)), [_]) => *array,
        (_, _) => u32::MAX,
    }
}

/// The literals among the arguments of EXECUTE, for the second reader to confirm: of no field yet.
pub(super) fn written_arguments(facts: &StatementFacts) -> Vec<LiteralUse> {
    let arguments = facts.effect.executes.iter().flat_map(|executes| &executes.arguments);
    let flat = arguments.flat_map(|argument| match argument {
        Argument::Elements(elements) => elements.as_slice(),
        Argument::Null | Argument::Literal(..) | Argument::Other => std::slice::from_ref(argument),
    });
    flat.filter_map(|argument| match argument {
        Argument::Literal(span, form) => {
            let taken = Taken::default();
            Some(LiteralUse { span: span.clone(), field: FieldId(0), form: *form, array: false, taken })
        }
        Argument::Null | Argument::Elements(_) | Argument::Other => None,
    })
    .collect()
}

/// The second reader has seen others: none of them is certain.
pub(super) fn doubt_arguments(facts: &mut StatementFacts) {
    if let Some(executes) = &mut facts.effect.executes {
        let mut doubted = Executes::clone(executes);
        doubted.arguments.fill(Argument::Other);
        *executes = Arc::new(doubted);
    }
}

// ---- what it comes to ---------------------------------------------------------------------

/// What FETCH or MOVE does that reads on from what has these facts.
#[must_use]
pub fn fetched(own: &StatementFacts, of: &StatementFacts) -> StatementFacts {
    let moves = own.effect.fetches.as_ref().is_none_or(|fetches| fetches.moves);
    let mut facts = run(own, of);
    if moves {
        facts.searches = united([&facts.searches, &facts.reads]);
        facts.reads.clear();
        facts.outputs.clear();
    }
    facts
}

/// What EXECUTE does of a statement with these facts. `parameters`: those of it that are sealed.
///
/// # Errors
/// A value for a sealed column cannot be sealed where it stands, or the rows would be stored.
pub fn executed<'a>(
    own: &StatementFacts,
    of: &StatementFacts,
    parameters: impl Iterator<Item = &'a ParameterUse>,
) -> Result<StatementFacts, Unproven> {
    let Some(executes) = own.effect.executes.clone() else { return Ok(own.clone()) };
    if of.effect != Effect::default() || of.boundary.is_some() {
        return Err(refuse(
            "sql-execute",
            "EXECUTE names a statement that is not a query",
            "Prepare and execute it through the protocol.",
        ));
    }
    let mut facts = run(own, of);
    for parameter in parameters {
        if parameter.is_own() {
            return Err(refuse(
                "parameter-conflict",
                format!("${} stands for values of two domains, in EXECUTE by SQL", parameter.given),
                "Execute it through the protocol, or give each place a value of its own.",
            ));
        }
        let at = usize::from(parameter.number).saturating_sub(1);
        // Without one the server refuses it.
        let Some(argument) = executes.arguments.get(at) else { continue };
        given(parameter, argument, &mut facts.literals)?;
    }
    facts.literals.sort_by_key(|literal| literal.span.start);
    match executes.how {
        Executed::Shown => Ok(facts),
        Executed::Explained { runs } => Ok(explained(facts, runs)),
        Executed::Kept if facts.touches() => Err(refuse(
            "definition",
            "EXECUTE of a statement that touches classified columns stands within another statement",
            "Write the query itself in its place.",
        )),
        Executed::Kept => Ok(facts),
    }
}

/// What `own` does where it runs what has the facts `of`.
fn run(own: &StatementFacts, of: &StatementFacts) -> StatementFacts {
    let mut relations = [own.relations.as_slice(), of.relations.as_slice()].concat();
    relations.sort_unstable();
    relations.dedup();
    let mut effect = own.effect.clone();
    effect.fetches =
        effect.fetches.map(|fetches| Arc::new(Fetches { known: true, ..Fetches::clone(&fetches) }));
    effect.executes =
        effect.executes.map(|executes| Arc::new(Executes { known: true, ..Executes::clone(&executes) }));
    // The places of its values are those of another text.
    let mut subjects = of.subjects.clone();
    for one in subjects.iter_mut().filter(|one| !one.named.is_empty()) {
        one.named.clear();
        one.why = subject::BY_NAME;
    }
    StatementFacts {
        effect,
        subjects,
        reads: of.reads.clone(),
        outputs: of.outputs.clone(),
        searches: of.searches.clone(),
        writes: of.writes.clone(),
        shape: of.shape.clone(),
        fingerprint: of.fingerprint.clone(),
        relations,
        is_quiet: of.is_quiet,
        opaque: own.opaque.clone().or_else(|| of.opaque.clone()),
        renames: own.renames.max(of.renames),
        ..own.clone()
    }
}

/// Takes an argument for a value of a field.
pub(super) fn given(
    parameter: &ParameterUse,
    argument: &Argument,
    literals: &mut Vec<LiteralUse>,
) -> Proven<()> {
    let number = super::facts::LiteralForm::Number;
    let literal = |span: &std::ops::Range<usize>, form, array| {
        let of_number = (form == number).then(|| Logical::of(Base::Numeric));
        LiteralUse {
            span: span.clone(),
            field: parameter.field,
            form,
            array,
            taken: Taken { given: of_number.or(parameter.taken.given), ..parameter.taken.clone() },
        }
    };
    match argument {
        Argument::Null => return Ok(()),
        Argument::Literal(span, form) if !parameter.array || *form != number => {
            literals.push(literal(span, *form, parameter.array));
            return Ok(());
        }
        Argument::Elements(elements) if parameter.array => {
            for element in elements {
                match element {
                    Argument::Null => {}
                    Argument::Literal(span, form) => literals.push(literal(span, *form, false)),
                    Argument::Elements(_) | Argument::Other => return Err(not_a_literal(parameter)),
                }
            }
            return Ok(());
        }
        Argument::Literal(..) | Argument::Elements(_) | Argument::Other => {}
    }
    Err(not_a_literal(parameter))
}

fn not_a_literal(parameter: &ParameterUse) -> Unproven {
    refuse(
        "literal-form",
        format!(
            "the argument of EXECUTE for ${} is a value of a sealed column and no literal",
            parameter.given
        ),
        "Write it as '...', E'...' or $$...$$, or prepare and bind the statement through the protocol.",
    )
}
