//! Does a statement run code that nobody here can follow, and is that code given a value?
//!
//! A statement is transparent if every function, operator and type in it, and whatever its relations
//! bring with them, is on the list of the server's own harmless objects ([`Codes`]). Any other is
//! opaque: it may read whatever the server can read, so it counts as reading all of that; and a
//! constant or a parameter that is given to such code may end up in a sealed column, so it is refused
//! unless the code is proven to reach none.

use std::sync::Arc;

use pg_query::protobuf::Node;
use pg_query::protobuf::node::Node as Kind;

use crate::catalog::{Called, Code, Codes, Declared, Names, Verdict};

use super::body::unfollowed;
use super::facts::{Compared, LiteralUse, ParameterUse, Remedy, StatementFacts};
use super::matters::{Bench, words};
use super::read::census::{Census, NamePath, Value, census};
use super::read::sort::Sort;
use super::read::tree::kind;
use super::refusal::{Proven, refuse, unless};

/// What code a statement runs, or keeps for later, that nobody can follow.
pub(super) struct Found {
    pub(super) why: Arc<str>,
    /// It is a definition, of something that is not proven to reach no sealed column.
    pub(super) keeps: bool,
    /// It is proven to reach no sealed column.
    pub(super) proven: bool,
}

/// Why a statement is opaque; none where it is transparent.
///
/// # Errors
/// A value is given to code that is not proven to reach no sealed field, or the policy wants no
/// code that cannot be followed.
pub(super) fn judge(
    bench: Bench<'_>,
    node: &Node,
    found: &Census,
    facts: &StatementFacts,
) -> Proven<Option<Found>> {
    let names = bench.names;
    let look = Look { names, declared: bench.reading.declared, node, found, facts };
    look.refuse_leads()?;
    let opaque = look.opaque();
    let Some(opaque) = opaque else { return Ok(None) };
    let snapshot = names.snapshot;
    let legible = snapshot.legible().next().is_some();
    if snapshot.refuses_opaque() && legible {
        return Err(refuse(
            "opaque",
            format!(
                "the statement runs {}, which may read classified columns, and the policy refuses that",
                opaque.code.why
            ),
            "Leave it out, or set opaque = \"record\" under [policy].",
        ));
    }
    if opaque.given && !opaque.code.proven && snapshot.has_sealed() {
        // On a path that does not have it, its name means something else.
        let remedy = match names.path {
            _ if look.names_the_unknown() => Remedy::Server,
            None => Remedy::Path,
            Some(_) => Remedy::Nothing,
        };
        return Err(unless(
            remedy,
            refuse(
                "opaque-value",
                format!(
                    "a value is given to {}, which cannot be followed and might store it in a sealed column",
                    opaque.code.why
                ),
                if snapshot.codes().everything.is_some() {
                    "It stands behind every statement, so that nothing can vouch for it: drop it, or send what is not compared from elsewhere."
                } else {
                    "Name the function, or its extension, under vouch in [policy] if it does not; `sealgate check` prints the line."
                },
            ),
        ));
    }
    let keeps = !Sort::of(node).runs() && !opaque.code.proven;
    Ok(Some(Found { why: opaque.code.why, keeps, proven: opaque.code.proven }))
}

/// Does a definition make of code that nobody can follow what a text does not show: by the body of a
/// function, or by the name of one behind an operator, a cast, a trigger or their like?
pub(super) fn keeps(bench: Bench<'_>, node: &Node, found: &Census) -> bool {
    let code = match kind(node) {
        Some(Kind::CreateFunctionStmt(function)) => {
            let (mut language, mut bodies) = (None, Vec::new());
            for option in &function.options {
                let Some(Kind::DefElem(option)) = kind(option) else { return true };
                match option.defname.as_str() {
                    "language" => language = option.arg.as_deref().and_then(super::read::tree::name),
                    "as" => bodies.extend(option.arg.as_deref().map(census)),
                    _ => {}
                }
            }
            let texts = || bodies.iter().flat_map(|body| body.words.iter().chain(&body.constants));
            let language = language.unwrap_or("sql").to_ascii_lowercase();
            if texts().any(|text| unfollowed(&language, &text.to_lowercase()).is_some()) {
                return true;
            }
            texts().flat_map(|text| words(text)).map(str::to_owned).collect::<Vec<_>>()
        }
        Some(
            Kind::DefineStmt(_)
            | Kind::CreateCastStmt(_)
            | Kind::CreateTrigStmt(_)
            | Kind::CreateEventTrigStmt(_)
            | Kind::CreateOpClassStmt(_)
            | Kind::CreateTransformStmt(_)
            | Kind::CreateConversionStmt(_)
            | Kind::CreateRangeStmt(_),
        ) => found.words.iter().chain(&found.constants).cloned().collect(),
        Some(_) | None => return false,
    };
    let functions = &bench.snapshot.codes().functions;
    let unproven = |name: &str| functions.get(name).is_some_and(|all| all.iter().any(|one| !one.code.proven));
    code.iter().any(|name| unproven(name) || unproven(&name.to_lowercase()))
}

/// Does a statement give a value to anything, but sealed?
pub(super) fn gives(bench: Bench<'_>, node: &Node, found: &Census, facts: &StatementFacts) -> bool {
    let look = Look { names: bench.names, declared: bench.reading.declared, node, found, facts };
    !Sort::of(node).runs_nothing()
        && Sort::of(node).runs()
        && (look.takes_data() || found.values.iter().any(|value| !look.is_sealed(value)))
}

/// Can what a function of this name is given be seen by others, or later, though it is harmless in
/// itself: a lock, a setting, a notification?
pub(super) fn shows(names: Names<'_>, parts: &[&str]) -> bool {
    let (name, schema) = match parts {
        [name] => (*name, None),
        [.., schema, name] => (*name, Some(*schema)),
        [] => return false,
    };
    let named = Called { schema, name, path: names.path };
    matches!(names.snapshot.codes().function(named), Verdict::Shows)
}

struct Opaque {
    code: Code,
    given: bool,
}

struct Look<'a> {
    names: Names<'a>,
    declared: Declared,
    node: &'a Node,
    found: &'a Census,
    /// Which values are sealed before they go.
    facts: &'a StatementFacts,
}

/// The worse of two: what is given a value and not proven, then what is not proven.
fn worse(one: Option<Code>, other: Option<Code>) -> Option<Code> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if one.proven && !other.proven { other } else { one }),
        (one, other) => one.or(other),
    }
}

impl<'a> Look<'a> {
    fn codes(&self) -> &'a Codes {
        self.names.snapshot.codes()
    }

    fn opaque(&self) -> Option<Opaque> {
        if let Some(why) = &self.codes().everything {
            let code = Code { why: why.clone(), proven: false };
            let travels = self.conditions_travel();
            let given = |value: &Value| (!value.compared || travels) && !self.is_sealed(value);
            return Some(Opaque { code, given: self.found.values.iter().any(given) });
        }
        if Sort::of(self.node).runs_nothing() {
            return None;
        }
        if matches!(kind(self.node), Some(Kind::DoStmt(_))) {
            return Some(self.block());
        }
        let distant = self.distant();
        let relations = self.relations();
        let calls = self.found.calls.iter().filter_map(|call| self.call(call, distant.is_some()));
        let operators = self.operators(distant.is_some());
        let types = self.found.types.iter().filter_map(|name| self.type_of(name));
        let selections = self.selections();
        let samples = self.found.samples.iter().filter_map(|method| self.sample(method));
        let direct = calls
            .chain(samples)
            .chain(operators)
            .chain(types)
            .chain(selections)
            .fold(None, |all, code| worse(all, Some(code)));
        let columns = distant.flatten();
        let bound = self.bound();
        let binds = bound.as_ref().is_some_and(|code| !code.proven);
        let code = worse(bound, worse(worse(direct, relations), columns))?;
        let given = binds
            || Sort::of(self.node).runs() && self.found.values.iter().any(|value| self.is_given(value))
            || self.takes_data();
        Some(Opaque { code, given })
    }

    /// What runs when a parameter of a type that the client has declared is bound.
    fn bound(&self) -> Option<Code> {
        let proven = match self.declared {
            Declared::Nothing | Declared::Own => return None,
            Declared::Proven => true,
            Declared::Unproven | Declared::Unknown => false,
        };
        Some(Code { why: "the type of a parameter".into(), proven })
    }

    /// A DO block: what it names is looked for as in the body of a function. That it builds no SQL and
    /// names nothing sealed is seen to by `definition`.
    fn block(&self) -> Opaque {
        let texts = self.found.words.iter().chain(&self.found.constants);
        let unproven = texts.flat_map(|text| words(text)).any(|word| {
            [word, &word.to_ascii_lowercase()].iter().any(|word| {
                let functions = self.codes().functions.get(*word).into_iter().flatten();
                let relations = self.codes().relations(None, word);
                let codes = relations.flat_map(|one| one.read.iter().chain(&one.written));
                functions.map(|one| &one.code).chain(codes).any(|code| !code.proven)
            })
        });
        Opaque { code: Code { why: "a DO block".into(), proven: !unproven }, given: true }
    }

    /// What triggers and rules would carry on into a sealed column did not pass through here.
    fn refuse_leads(&self) -> Proven<()> {
        let written = self.found.ranges.iter().filter(|_| self.writes());
        for range in written {
            if let Some(why) = self.of(range).find_map(|one| one.leads.as_ref()) {
                return Err(refuse(
                    "relation-reaches",
                    format!("writing to \"{}\" leads to sealed columns: {why}", range.name),
                    "Write to the classified table itself.",
                ));
            }
        }
        Ok(())
    }

    /// Does it name what the catalog does not have: by mistake, or since it was read?
    fn names_the_unknown(&self) -> bool {
        let unknown = |verdict| matches!(verdict, Verdict::Unknown(_));
        let codes = self.codes();
        let called = |name| self.called(name);
        self.declared == Declared::Unknown
            || self.found.calls.iter().filter_map(called).any(|called| unknown(codes.function(called)))
            || self.found.operators.iter().filter_map(called).any(|called| unknown(codes.operator(called)))
    }

    /// COPY from the client: rows that stand in no text.
    fn takes_data(&self) -> bool {
        matches!(kind(self.node), Some(Kind::CopyStmt(copy)) if copy.is_from)
    }

    fn writes(&self) -> bool {
        self.found.writers > 0 || !matches!(kind(self.node), Some(Kind::SelectStmt(_)))
    }

    /// What runs where its relations are used.
    fn relations(&self) -> Option<Code> {
        let writes = self.writes();
        let named = self.found.ranges.iter().flat_map(|range| self.of(range));
        named.fold(None, |all, one| {
            let written = one.written.clone().filter(|_| writes);
            worse(all, worse(one.read.clone(), written))
        })
    }

    fn of(
        &self,
        range: &super::read::census::RangeName,
    ) -> impl Iterator<Item = &'a crate::catalog::RelationCode> {
        let schema = Some(range.schema.as_str()).filter(|schema| !schema.is_empty());
        self.codes().relations(schema, &range.name)
    }

    /// Is a type in play that is not the server's own? Then what code of a column's type runs.
    fn distant(&self) -> Option<Option<Code>> {
        let typed = self.is_typed();
        let columns = self.found.ranges.iter().flat_map(|range| self.of(range)).flat_map(|one| &one.distant);
        let mut used =
            columns.filter(|(column, _)| self.uses(column)).map(|(_, code)| code.clone()).peekable();
        if used.peek().is_none() {
            return typed.then_some(None);
        }
        Some(used.fold(None, worse))
    }

    /// Does it name a type that is not the server's own, or declare a parameter of one, or make what is
    /// taken in the place of one?
    fn is_typed(&self) -> bool {
        let own = |name: &NamePath| name.parts.last().is_some_and(|name| self.codes().is_own_type(name));
        let makes = |name: &NamePath| {
            name.parts.last().is_some_and(|name| self.codes().makers.contains(name.as_str()))
        };
        self.declared != Declared::Nothing
            || self.found.types.iter().any(own)
            || self.found.calls.iter().any(makes)
    }

    /// Is a column of this name surely of one of the server's own types, whichever relation has it?
    fn is_of_stock(&self, column: &str) -> bool {
        let named = |last: &str| self.found.ranges.iter().any(|range| range.name == last);
        let called = |name: &NamePath| name.parts.last().is_some_and(|last| last == column);
        let mut columns =
            self.found.ranges.iter().flat_map(|range| self.of(range)).flat_map(|one| &one.distant);
        !self.is_typed()
            && !named(column)
            && !self.found.defined.iter().any(|own| own == column)
            && !self.found.calls.iter().any(called)
            && !columns.any(|(own, _)| **own == *column)
    }

    /// Does it go to the server sealed?
    fn is_sealed(&self, value: &Value) -> bool {
        // Both are in order.
        let start = |literal: &LiteralUse| i32::try_from(literal.span.start).unwrap_or(i32::MAX);
        let number = |use_of: &ParameterUse| i32::from(use_of.number);
        let parameters = &self.facts.parameters;
        match value.number {
            None => self.facts.literals.binary_search_by_key(&value.location, start).is_ok(),
            Some(wanted) => parameters.binary_search_by_key(&wanted, number).is_ok_and(|at| {
                parameters.get(at).is_some_and(|found| found.taken.compared != Compared::Asked)
            }),
        }
    }

    /// May the statement use a column of this name of one of its relations?
    fn uses(&self, column: &str) -> bool {
        let listed = match kind(self.node) {
            Some(Kind::InsertStmt(insert)) => !insert.cols.is_empty() && self.found.writers == 1,
            Some(Kind::SelectStmt(_) | Kind::UpdateStmt(_) | Kind::DeleteStmt(_)) => true,
            Some(_) | None => false,
        };
        let row = |name: &NamePath| {
            // The row itself, by the name of its table.
            name.parts.last().is_some_and(|last| {
                self.found.ranges.iter().any(|range| range.name == *last) || self.found.defined.contains(last)
            })
        };
        !listed
            || self.found.star
            || self.found.words.iter().any(|word| word == column)
            || self.found.columns.iter().any(|name| row(name) || name.parts.iter().any(|part| part == column))
    }

    fn call(&self, call: &NamePath, distant: bool) -> Option<Code> {
        // What it does is followed.
        let snapshot = self.names.snapshot;
        if snapshot.followed_function(&call.parts).is_some() || snapshot.opening(&call.parts).is_some() {
            return None;
        }
        counted(self.codes().function(self.called(call)?), distant)
    }

    /// A way to take a sample of a table. The server's own are not on the list, since no text calls them,
    /// and only a superuser makes others.
    fn sample(&self, method: &NamePath) -> Option<Code> {
        match self.codes().function(self.called(method)?) {
            Verdict::Opaque(code) | Verdict::Distant(code) => Some(code),
            Verdict::Harmless | Verdict::Shows | Verdict::Unknown(_) => None,
        }
    }

    fn called<'b>(&'b self, name: &'b NamePath) -> Option<Called<'b>> {
        let mut parts = name.parts.iter().rev().map(String::as_str);
        Some(Called { name: parts.next()?, schema: parts.next(), path: self.names.path })
    }

    fn operators(&self, distant: bool) -> impl Iterator<Item = Code> {
        let implied = Codes::IMPLIED.iter().filter_map(move |name| {
            counted(self.codes().operator(Called { schema: None, name, path: self.names.path }), distant)
        });
        let written = self.found.operators.iter().filter_map(move |name| self.operator(name, distant));
        written.chain(implied)
    }

    fn operator(&self, name: &NamePath, distant: bool) -> Option<Code> {
        let called = self.called(name)?;
        // BETWEEN and its kin are words for operators that are implied.
        if called.name.starts_with(|first: char| first.is_ascii_alphabetic()) {
            return None;
        }
        counted(self.codes().operator(called), distant)
    }

    fn type_of(&self, name: &NamePath) -> Option<Code> {
        counted(self.codes().type_named(name.parts.last()?), true)
    }

    /// `row.name` may be a call.
    fn selections(&self) -> impl Iterator<Item = Code> {
        let columns = self.found.columns.iter().filter(|name| name.parts.len() > 1);
        let named = columns.filter_map(|name| name.parts.last()).chain(&self.found.selections);
        named.filter_map(|name| self.codes().selection(name).cloned())
    }

    /// Is a condition on one of its relations sent to another server, or to the code that keeps an index?
    fn conditions_travel(&self) -> bool {
        let leads = |one: &crate::catalog::RelationCode| {
            let unproven = || one.read.as_ref().is_some_and(|code| !code.proven);
            one.takes_conditions || self.codes().conditions_travel && unproven()
        };
        self.found.ranges.iter().flat_map(|range| self.of(range)).any(leads)
    }

    /// Does a value go further than to be compared?
    fn is_given(&self, value: &Value) -> bool {
        if self.is_sealed(value) {
            return false;
        }
        let travels = self.conditions_travel();
        let distant = self.distant().is_some();
        // The server takes the operator of its own type before any that needs a cast.
        let exact = value.beside.as_ref().is_some_and(|column| self.is_of_stock(column));
        !value.compared
            || travels
            || value.through.iter().enumerate().any(|(depth, (function, name))| {
                let distant = distant && !(exact && depth == 0);
                let code = if *function {
                    self.call(name, distant)
                } else if name.parts.is_empty() {
                    self.operators(distant).next()
                } else {
                    self.operator(name, distant)
                };
                code.is_some()
            })
    }
}

/// The code behind a verdict, where it counts.
fn counted(verdict: Verdict, distant: bool) -> Option<Code> {
    match verdict {
        Verdict::Harmless | Verdict::Shows => None,
        Verdict::Opaque(code) | Verdict::Unknown(code) => Some(code),
        Verdict::Distant(code) => distant.then_some(code),
    }
}
