//! Which constants and parameters are values of which field, found as types are inferred.
//!
//! A constant or a parameter is by itself nothing: it becomes what it meets. `email = $1` makes it a value
//! of that field, `$1 IS NULL` nothing at all; in `FROM (VALUES ($1)) v(e)` it is the column `v.e`, which
//! may be compared elsewhere. What must be alike is one [`Class`]; a class is sealed or plain, once for
//! all of the places where its members stand. What stays undecided is plain, but for what only the statement
//! itself asks about, beside sealed values: in `('x' IS NULL OR 'x' = '' OR email = 'x')`, which a client that
//! writes the values into the statement makes of `($1 IS NULL OR $1 = '' OR email = $1)`, all are sealed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::catalog::{Field, FieldId, Snapshot};

use super::super::facts::{LiteralUse, ParameterUse, Unproven};
use super::super::read::literal::Written;
use super::super::refusal::{Proven, refuse};
use super::algebra::{self, Use};

/// Fields, at least one.
pub(in crate::statement) type Fields = BTreeSet<FieldId>;

/// Constants and parameters that mean the same kind of value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(in crate::statement) struct Class(usize);

/// What an expression, or a column of a result, is.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::statement) enum Flow {
    /// Nothing classified.
    Plain,
    /// Made from classified fields that are not sealed.
    Derived(Fields),
    /// A classified column itself, sealed or not.
    Field(FieldId),
    /// A sealed value of one domain: of one of these fields, or given by the statement.
    Sealed(Fields),
    /// What it is given to decides.
    Open(Class),
    /// An array of such.
    Array(Box<Flow>),
    /// DEFAULT.
    Default,
}

impl Flow {
    /// Is there nothing classified in it, whatever becomes of it?
    pub(in crate::statement) fn is_plain(&self) -> bool {
        matches!(self, Flow::Plain | Flow::Default)
    }

    /// Is it classified? What is undecided is not, and whoever cannot say where it stands makes it plain.
    pub(in crate::statement) fn carries(&self) -> bool {
        match self {
            Flow::Derived(_) | Flow::Field(_) | Flow::Sealed(_) => true,
            Flow::Array(inner) => inner.carries(),
            Flow::Plain | Flow::Open(_) | Flow::Default => false,
        }
    }

    /// From these legible fields; plain where there is none.
    pub(in crate::statement) fn derived(fields: Fields) -> Flow {
        if fields.is_empty() { Flow::Plain } else { Flow::Derived(fields) }
    }
}

/// A place of the text that holds a value.
#[derive(Clone, PartialEq, Eq, Hash)]
enum End {
    Literal { start: usize, array: bool },
    Parameter { number: u16, array: bool },
}

#[derive(Clone, Default)]
enum Meaning {
    #[default]
    Undecided,
    Plain,
    Sealed(Fields),
}

#[derive(Clone, Default)]
struct State {
    meaning: Meaning,
    /// It is compared: its domain must allow that.
    compared: Option<Use>,
    /// It is tested for NULL, which is answered the same when it is sealed.
    tested: bool,
    /// Something of it that a message can name.
    told: Option<String>,
}

/// All classes of one statement.
pub(in crate::statement) struct Classes<'a> {
    snapshot: &'a Snapshot,
    parents: Vec<usize>,
    states: Vec<State>,
    ends: HashMap<End, Class>,
    written: BTreeMap<usize, Written>,
    /// Literals that cannot be replaced, and why.
    unwritable: HashMap<usize, Unproven>,
}

/// Most constants, parameters and results of subqueries of one statement.
const CLASSES_MAX: usize = 1_000_000;

impl<'a> Classes<'a> {
    pub(in crate::statement) fn new(snapshot: &'a Snapshot) -> Classes<'a> {
        Classes {
            snapshot,
            parents: Vec::new(),
            states: Vec::new(),
            ends: HashMap::new(),
            written: BTreeMap::new(),
            unwritable: HashMap::new(),
        }
    }

    /// One of which nothing is known, such as NULL.
    pub(in crate::statement) fn fresh(&mut self, told: Option<String>) -> Proven<Class> {
        if self.parents.len() >= CLASSES_MAX {
            return Err(refuse("too-costly", "a statement has too many constants", "Send it in parts."));
        }
        self.parents.push(self.parents.len());
        self.states.push(State { told, ..State::default() });
        Ok(Class(self.parents.len() - 1))
    }

    /// The class of `$number`, or of the elements of the array that it is.
    pub(in crate::statement) fn parameter(&mut self, number: u16, array: bool) -> Proven<Class> {
        let end = End::Parameter { number, array };
        if let Some(class) = self.ends.get(&end) {
            return Ok(*class);
        }
        let class = self.fresh(Some(format!("${number}")))?;
        self.ends.insert(end, class);
        Ok(class)
    }

    /// The class of the literal that starts there, or of the elements of the array that it is.
    pub(in crate::statement) fn literal(
        &mut self,
        start: usize,
        array: bool,
        written: Proven<Written>,
    ) -> Proven<Class> {
        let end = End::Literal { start, array };
        if let Some(class) = self.ends.get(&end) {
            return Ok(*class);
        }
        match written {
            Ok(written) => {
                self.written.insert(start, written);
            }
            Err(why) => {
                self.unwritable.insert(start, why);
            }
        }
        let class = self.fresh(Some("one literal".to_owned()))?;
        self.ends.insert(end, class);
        Ok(class)
    }

    fn root(&mut self, class: Class) -> usize {
        let mut at = class.0;
        while let Some(parent) = self.parents.get(at).copied().filter(|parent| *parent != at) {
            // Halves the way for the next one.
            let beyond = self.parents.get(parent).copied().unwrap_or(parent);
            if let Some(entry) = self.parents.get_mut(at) {
                *entry = beyond;
            }
            at = beyond;
        }
        at
    }

    fn state(&mut self, class: Class) -> &mut State {
        let root = self.root(class);
        if root >= self.states.len() {
            self.states.resize(root + 1, State::default());
        }
        // It was made with its number.
        #[expect(clippy::indexing_slicing, reason = "resized to hold it just above")]
        &mut self.states[root]
    }

    /// What was decided so far: the fields of a sealed one.
    pub(in crate::statement) fn sealed(&mut self, class: Class) -> Option<Fields> {
        match &self.state(class).meaning {
            Meaning::Sealed(fields) => Some(fields.clone()),
            Meaning::Undecided | Meaning::Plain => None,
        }
    }

    /// It stands where nothing sealed may stand.
    pub(in crate::statement) fn make_plain(&mut self, class: Class) -> Proven<()> {
        let state = self.state(class);
        if matches!(state.meaning, Meaning::Sealed(_)) {
            return Err(conflict(state.told.as_deref(), "a sealed value and for another one"));
        }
        state.meaning = Meaning::Plain;
        Ok(())
    }

    /// It is a value of these fields, which are sealed in one domain.
    pub(in crate::statement) fn seal(&mut self, class: Class, fields: &Fields) -> Proven<()> {
        let snapshot = self.snapshot;
        let state = self.state(class);
        if !same_domain(snapshot, fields, fields) {
            return Err(conflict(state.told.as_deref(), "values of two domains"));
        }
        match &mut state.meaning {
            Meaning::Undecided => state.meaning = Meaning::Sealed(fields.clone()),
            Meaning::Plain => {
                return Err(conflict(state.told.as_deref(), "a sealed value and for another one"));
            }
            Meaning::Sealed(known) => {
                if !same_domain(snapshot, known, fields) {
                    return Err(conflict(state.told.as_deref(), "values of two domains"));
                }
                known.extend(fields.iter().copied());
            }
        }
        match state.compared {
            Some(place) => require(snapshot, fields, place),
            None => Ok(()),
        }
    }

    /// It is used so, whatever it will be.
    pub(in crate::statement) fn used(&mut self, class: Class, place: Use) -> Proven<()> {
        let snapshot = self.snapshot;
        let state = self.state(class);
        // What asks for an order asks for more.
        if state.compared != Some(Use::Order) {
            state.compared = Some(place);
        }
        match &state.meaning {
            Meaning::Sealed(fields) => require(snapshot, &fields.clone(), place),
            Meaning::Undecided | Meaning::Plain => Ok(()),
        }
    }

    /// It is tested for NULL, whatever it will be.
    pub(in crate::statement) fn test(&mut self, class: Class) {
        self.state(class).tested = true;
    }

    /// Both are the same kind of value.
    pub(in crate::statement) fn unite(&mut self, one: Class, other: Class) -> Proven<()> {
        let (one_root, other_root) = (self.root(one), self.root(other));
        if one_root == other_root {
            return Ok(());
        }
        let absorbed = std::mem::take(self.state(other));
        if let Some(parent) = self.parents.get_mut(other_root) {
            *parent = one_root;
        }
        self.state(one).tested |= absorbed.tested;
        match absorbed.meaning {
            Meaning::Undecided => {}
            Meaning::Plain => self.make_plain(one)?,
            Meaning::Sealed(fields) => self.seal(one, &fields)?,
        }
        match absorbed.compared {
            Some(place) => self.used(one, place),
            None => Ok(()),
        }
    }

    /// The literals and parameters that are values of sealed fields.
    ///
    /// # Errors
    /// One is also something else, or cannot be replaced where it stands.
    pub(in crate::statement) fn uses(&mut self) -> Proven<(Vec<LiteralUse>, Vec<ParameterUse>)> {
        let mut ends: Vec<(End, Class)> =
            self.ends.iter().map(|(end, class)| (end.clone(), *class)).collect();
        ends.sort_by_key(|(end, _)| match end {
            End::Literal { start, array } => (0, *start, *array),
            End::Parameter { number, array } => (1, usize::from(*number), *array),
        });
        let (mut literals, mut parameters) = (Vec::new(), Vec::new());
        let mut plain: HashSet<End> = HashSet::new();
        let mut asked: Vec<(End, Class)> = Vec::new();
        for (end, class) in ends {
            let State { meaning, compared, tested, told } = self.state(class).clone();
            let fields = match meaning {
                Meaning::Sealed(fields) => fields,
                Meaning::Plain => {
                    plain.insert(end);
                    continue;
                }
                Meaning::Undecided => {
                    if tested || compared.is_some() {
                        asked.push((end, class));
                    }
                    continue;
                }
            };
            let Some(field) = fields.first().copied() else { continue };
            match end {
                End::Literal { start, array } => {
                    if let Some(why) = self.unwritable.get(&start) {
                        return Err(why.clone());
                    }
                    let twice = literals.last().is_some_and(|last: &LiteralUse| last.span.start == start);
                    let also = plain.contains(&End::Literal { start, array: !array });
                    if twice || also {
                        return Err(conflict(told.as_deref(), "a value and for an array of them"));
                    }
                    let Some(written) = self.written.get(&start) else { continue };
                    literals.push(LiteralUse {
                        span: written.span.clone(),
                        field,
                        form: written.form,
                        array,
                    });
                }
                End::Parameter { number, array } => {
                    let twice = parameters.last().is_some_and(|last: &ParameterUse| last.number == number);
                    let also = plain.contains(&End::Parameter { number, array: !array });
                    if twice || also {
                        return Err(conflict(told.as_deref(), "a sealed value and for another one"));
                    }
                    parameters.push(ParameterUse { number, field, array, tested: false });
                }
            }
        }
        // A plain one may come behind the sealed one of its place.
        for parameter in &parameters {
            if plain.contains(&End::Parameter { number: parameter.number, array: !parameter.array }) {
                let told = format!("${}", parameter.number);
                return Err(conflict(Some(&told), "a sealed value and for another one"));
            }
        }
        for literal in &literals {
            if plain.contains(&End::Literal { start: literal.span.start, array: !literal.array }) {
                return Err(conflict(Some("one literal"), "a value and for an array of them"));
            }
        }
        self.seal_asked(asked, &mut literals, &mut parameters)?;
        Ok((literals, parameters))
    }

    /// What is only tested for NULL or compared with its like, which is answered the same when all of it is
    /// sealed: for want of a field of its own as a value of the first one that is met and allows it.
    fn seal_asked(
        &mut self,
        asked: Vec<(End, Class)>,
        literals: &mut Vec<LiteralUse>,
        parameters: &mut Vec<ParameterUse>,
    ) -> Proven<()> {
        let of_literals = literals.iter().map(|literal| literal.field);
        let met: Fields = of_literals.chain(parameters.iter().map(|parameter| parameter.field)).collect();
        // Whether a parameter is text is known when the client has said it: too late for what it is equal to.
        let mut parametric = HashSet::new();
        for (_, class) in asked.iter().filter(|(end, _)| matches!(end, End::Parameter { .. })) {
            parametric.insert(self.root(*class));
        }
        let mut starts: HashSet<usize> = literals.iter().map(|literal| literal.span.start).collect();
        let mut numbers: HashSet<u16> = parameters.iter().map(|parameter| parameter.number).collect();
        for (end, class) in asked {
            let compared = self.state(class).compared;
            let allows = |id: &&FieldId| {
                compared.is_none_or(|place| require(self.snapshot, &Fields::from([**id]), place).is_ok())
            };
            let Some(field) = met.iter().find(allows).copied() else { continue };
            if compared.is_some() && parametric.contains(&self.root(class)) {
                continue;
            }
            match end {
                End::Literal { start, array } => {
                    if let Some(why) = self.unwritable.get(&start) {
                        return Err(why.clone());
                    }
                    let Some(Written { span, form }) = self.written.get(&start).cloned() else { continue };
                    if starts.insert(span.start) {
                        literals.push(LiteralUse { span, field, form, array });
                    }
                }
                End::Parameter { number, array } => {
                    if numbers.insert(number) {
                        parameters.push(ParameterUse { number, field, array, tested: true });
                    }
                }
            }
        }
        literals.sort_by_key(|literal| literal.span.start);
        parameters.sort_by_key(|parameter| parameter.number);
        Ok(())
    }
}

fn conflict(told: Option<&str>, as_what: &str) -> Unproven {
    refuse(
        "parameter-conflict",
        format!("{} stands for {as_what}", told.unwrap_or("a constant")),
        "Give each place a value of its own.",
    )
}

/// Are all of these fields sealed in one domain?
pub(in crate::statement) fn same_domain(snapshot: &Snapshot, left: &Fields, right: &Fields) -> bool {
    let mut domains =
        left.iter().chain(right).map(|id| snapshot.field(*id).and_then(|field| field.domain.as_ref()));
    let Some(Some(first)) = domains.next() else { return false };
    domains.all(|domain| domain == Some(first))
}

/// Refuses a place that the mode of these fields does not serve.
pub(in crate::statement) fn require(snapshot: &Snapshot, fields: &Fields, place: Use) -> Proven<()> {
    for id in fields {
        let Some(field) = snapshot.field(*id) else {
            return Err(refuse(
                "relation-fault",
                "the catalog names a field that is not there",
                "Reload the policy.",
            ));
        };
        let Some(domain) = &field.domain else { continue };
        if !algebra::allows(domain.mode, place) {
            return Err(not_served(field, place));
        }
    }
    Ok(())
}

fn not_served(field: &Field, place: Use) -> Unproven {
    let path = field.path();
    match place {
        Use::Compare | Use::Distinguish => refuse(
            "random-compared",
            format!(
                "{path} is sealed with seal = \"random\" and cannot be used in a comparison, or told apart"
            ),
            "Only IS NULL and IS NOT NULL can test it; seal = \"equality\" allows = and IN.",
        ),
        Use::Order => refuse(
            "order-by",
            format!("ORDER BY {path}: sealed values have no order"),
            "Order by another column, or sort in the application.",
        ),
        Use::Pass | Use::TestNull | Use::Look => refuse(
            "unsupported-position",
            format!("{path} is sealed and stands where a sealed value has no meaning"),
            LOOKED_INTO,
        ),
    }
}

pub(in crate::statement) const LOOKED_INTO: &str = "A sealed column can be selected, assigned, passed on by COALESCE, CASE, subqueries and WITH, tested for NULL, \
     and with seal = \"equality\" compared by =, <>, IN and ANY, grouped and joined, with values of its domain.";
