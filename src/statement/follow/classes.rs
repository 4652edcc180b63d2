//! Which constants and parameters are values of which field, found as types are inferred.
//!
//! A constant or a parameter is by itself nothing: it becomes what it meets. `email = $1` makes it a value
//! of that field, `$1 IS NULL` nothing at all; in `FROM (VALUES ($1)) v(e)` it is the column `v.e`, which
//! may be compared elsewhere. What must be alike is one [`Class`]; a class is sealed or plain, once for
//! all of the places where its members stand. What stays undecided is plain, but for what only the statement
//! itself asks about, beside sealed values: in `('x' IS NULL OR 'x' = '' OR email = 'x')`, which a client that
//! writes the values into the statement makes of `($1 IS NULL OR $1 = '' OR email = $1)`, all are sealed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::catalog::{Base, Field, FieldId, Logical, QualifiedName, Snapshot};

use super::super::facts::{Edit, Fold, Unproven};
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
    /// `lower` or `upper` of a value that is kept in lower case, or one of [`Fold`] of what is undecided.
    Folded(Fold, Box<Flow>),
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
            Flow::Array(inner) | Flow::Folded(_, inner) => inner.carries(),
            Flow::Plain | Flow::Open(_) | Flow::Default => false,
        }
    }

    /// The classified fields in it.
    pub(in crate::statement) fn fields(&self) -> Fields {
        match self {
            Flow::Derived(fields) | Flow::Sealed(fields) => fields.clone(),
            Flow::Field(id) => Fields::from([*id]),
            Flow::Array(inner) | Flow::Folded(_, inner) => inner.fields(),
            Flow::Plain | Flow::Open(_) | Flow::Default => Fields::new(),
        }
    }

    /// What is undecided, and what is applied to it, the innermost first.
    pub(in crate::statement) fn folds(&self) -> Option<(Class, Vec<Fold>)> {
        match self {
            Flow::Open(class) => Some((*class, Vec::new())),
            Flow::Folded(fold, inner) => {
                let (class, mut folds) = inner.folds()?;
                folds.push(*fold);
                Some((class, folds))
            }
            Flow::Plain
            | Flow::Derived(_)
            | Flow::Field(_)
            | Flow::Sealed(_)
            | Flow::Array(_)
            | Flow::Default => None,
        }
    }

    /// From these legible fields; plain where there is none.
    pub(in crate::statement) fn derived(fields: Fields) -> Flow {
        if fields.is_empty() { Flow::Plain } else { Flow::Derived(fields) }
    }
}

/// A place of the text that holds a value.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum End {
    Literal { start: usize, array: bool },
    Parameter { number: u16, array: bool },
}

#[derive(Clone, Default)]
pub(super) enum Meaning {
    #[default]
    Undecided,
    Plain,
    Sealed(Fields),
}

#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) meaning: Meaning,
    /// It is compared: its domain must allow that.
    pub(super) compared: Option<Use>,
    /// It is tested for NULL, which is answered the same when it is sealed.
    pub(super) tested: bool,
    /// How it is compared, where that is not by `=` alone.
    pub(super) exactly: bool,
    pub(super) like: bool,
    pub(super) equal: bool,
    pub(super) as_text: bool,
    /// The fields in which it is stored.
    pub(super) stored: Fields,
    /// What is applied to it where it becomes a value, and how often it stands in the text without that.
    pub(super) folds: Option<Vec<Fold>>,
    pub(super) bare: i32,
    /// To which type it is cast.
    pub(super) given: Option<Logical>,
    /// To which type of the database it is cast.
    pub(super) own: Option<QualifiedName>,
    /// To several.
    pub(super) torn: bool,
    /// What becomes of the text around it when it is sealed.
    pub(super) edits: Vec<Edit>,
    /// They are the elements of an array that is one value itself.
    pub(super) whole: bool,
    /// It is one of the values of an outermost expression, which does nothing but show them.
    pub(super) shown: bool,
    /// The text has them as such, one by one.
    pub(super) parts: bool,
    /// What becomes of the text then.
    pub(super) edits_of_whole: Vec<Edit>,
    /// Something of it that a message can name.
    pub(super) told: Option<String>,
}

/// All classes of one statement.
pub(in crate::statement) struct Classes<'a> {
    pub(super) snapshot: &'a Snapshot,
    parents: Vec<usize>,
    states: Vec<State>,
    pub(super) ends: HashMap<End, Class>,
    pub(super) written: BTreeMap<usize, Written>,
    /// Types of constants that have one of their own: numbers and truth values.
    pub(super) typed: HashMap<usize, Logical>,
    /// Fields in which something is stored that an expression passes on.
    pub(super) passed: Fields,
    /// Literals that cannot be replaced, and why.
    pub(super) unwritable: HashMap<usize, Unproven>,
    pub(super) nulls: Vec<Class>,
    /// Arrays whose elements are constants of the text.
    pub(super) arrays: Vec<ConstantArray>,
    /// Each place of a parameter is a value by itself, to be told apart by what it is.
    pub(super) apart: Option<Vec<Place>>,
}

/// What is shown beside sealed values.
pub(in crate::statement) enum Shown {
    Literal(usize),
    Parameter(u16),
}

/// `ARRAY[...]` of constants.
pub(in crate::statement) struct ConstantArray {
    /// Of its elements.
    pub(in crate::statement) class: Class,
    pub(in crate::statement) written: Written,
    /// Where its elements begin, but for NULL.
    pub(in crate::statement) starts: Vec<usize>,
    /// The type of those that have one of their own: numbers and truth values.
    pub(in crate::statement) own: Option<Logical>,
}

/// One place of a parameter.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) number: u16,
    pub(super) array: bool,
    /// Where it stands in the text.
    pub(super) start: usize,
    pub(super) class: Class,
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
            typed: HashMap::new(),
            passed: Fields::new(),
            unwritable: HashMap::new(),
            nulls: Vec::new(),
            arrays: Vec::new(),
            apart: None,
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

    /// NULL: it is nothing, but what it is cast to must be what it meets.
    pub(in crate::statement) fn null(&mut self) -> Proven<Class> {
        let class = self.fresh(None)?;
        self.nulls.push(class);
        Ok(class)
    }

    /// The class of `$number`, or of the elements of the array that it is. `start`: where it stands.
    pub(in crate::statement) fn parameter(
        &mut self,
        number: u16,
        array: bool,
        start: Option<usize>,
    ) -> Proven<Class> {
        if let (Some(start), true) = (start, self.apart.is_some()) {
            let class = self.fresh(Some(format!("${number}")))?;
            self.state(class).bare = 1;
            self.apart.iter_mut().for_each(|places| places.push(Place { number, array, start, class }));
            return Ok(class);
        }
        let end = End::Parameter { number, array };
        let class = match self.ends.get(&end) {
            Some(class) => *class,
            None => self.fresh(Some(format!("${number}")))?,
        };
        self.ends.insert(end, class);
        self.state(class).bare += 1;
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
        self.state(class).bare = 1;
        Ok(class)
    }

    /// The class of a number or a truth value that is written there.
    pub(in crate::statement) fn constant(&mut self, written: Written, own: Logical) -> Proven<Class> {
        let start = written.span.start;
        self.typed.insert(start, own);
        self.literal(start, false, Ok(written))
    }

    /// It is cast to this type. When it is sealed, the cast has been done: `edit` makes one of it that
    /// sealed text passes; none where it is one.
    pub(in crate::statement) fn cast(&mut self, class: Class, to: Logical, edit: Option<Edit>) {
        let state = self.state(class);
        state.torn |= state.own.is_some() || state.given.is_some_and(|given| !is_alike(&given, &to));
        state.given = state.given.or(Some(to));
        state.edits.extend(edit);
    }

    /// The array of it is cast: what becomes of the text where that is one value itself.
    pub(in crate::statement) fn cast_whole(&mut self, class: Class, edit: Option<Edit>) {
        self.state(class).edits_of_whole.extend(edit);
    }

    /// The array of it is one value.
    ///
    /// # Errors
    /// The text has its elements one by one.
    pub(in crate::statement) fn whole(&mut self, class: Class) -> Proven<()> {
        let state = self.state(class);
        state.whole = true;
        if state.parts { Err(array_of_parts()) } else { Ok(()) }
    }

    /// It is an element of `ARRAY[...]`.
    pub(in crate::statement) fn part(&mut self, class: Class) -> Proven<()> {
        let state = self.state(class);
        state.parts = true;
        if state.whole { Err(array_of_parts()) } else { Ok(()) }
    }

    /// The constant or the parameter that stands alone there is shown as one of several values.
    pub(in crate::statement) fn show(&mut self, one: Shown) {
        let end = match one {
            Shown::Literal(start) => End::Literal { start, array: false },
            Shown::Parameter(number) => End::Parameter { number, array: false },
        };
        if let Some(class) = self.ends.get(&end).copied() {
            self.state(class).shown = true;
        }
    }

    /// Its elements stand in an array that can be one value.
    pub(in crate::statement) fn array_of_constants(&mut self, array: ConstantArray) {
        self.arrays.push(array);
    }

    /// The type of the number or the truth value that begins there.
    pub(in crate::statement) fn own_type(&self, start: usize) -> Option<Logical> {
        self.typed.get(&start).copied()
    }

    /// It is cast to an enumeration or a domain that the policy has.
    pub(in crate::statement) fn cast_to_own(&mut self, class: Class, own: QualifiedName, edit: Edit) {
        let state = self.state(class);
        state.torn |= state.given.is_some() || state.own.as_ref().is_some_and(|other| *other != own);
        state.own = Some(own);
        state.edits.push(edit);
    }

    /// The text around it changes when it is sealed.
    pub(in crate::statement) fn when_sealed(&mut self, class: Class, edit: Edit) {
        self.state(class).edits.push(edit);
    }

    /// May something be applied to it: is it not a value by itself already?
    pub(in crate::statement) fn may_fold(&mut self, class: Class) -> bool {
        self.sealed(class).is_none() || self.state(class).folds.is_some()
    }

    /// Where it stood last, something is applied to it that makes a text of a text.
    pub(in crate::statement) fn only_folded(&mut self, class: Class) {
        self.cast(class, Logical::TEXT, None);
        self.not_bare(class);
    }

    /// Where it stood last in the text, it is not the value itself that counts.
    pub(in crate::statement) fn not_bare(&mut self, class: Class) {
        self.state(class).bare -= 1;
    }

    /// It becomes a value when this has been applied to it.
    ///
    /// # Errors
    /// Elsewhere it becomes one otherwise.
    pub(in crate::statement) fn fold(&mut self, class: Class, folds: Vec<Fold>) -> Proven<()> {
        let state = self.state(class);
        if state.folds.as_ref().is_some_and(|other| *other != folds) {
            return Err(conflict(state.told.as_deref(), "what several functions make of it"));
        }
        state.folds = Some(folds);
        Ok(())
    }

    /// Does the text around it change when it is sealed?
    pub(in crate::statement) fn changes_text(&mut self, class: Class) -> bool {
        !self.state(class).edits.is_empty()
    }

    /// It is compared with what is normalized, and is not so itself.
    pub(in crate::statement) fn exactly(&mut self, class: Class) {
        self.state(class).exactly = true;
    }

    /// It is compared with the text of what is none.
    pub(in crate::statement) fn as_text(&mut self, class: Class) {
        self.state(class).as_text = true;
    }

    /// It is compared by LIKE or ILIKE.
    pub(in crate::statement) fn like(&mut self, class: Class) {
        self.state(class).like = true;
    }

    /// It is stored in this field.
    pub(in crate::statement) fn store(&mut self, class: Class, field: FieldId) {
        self.state(class).stored.insert(field);
    }

    /// What an expression passes on is stored in this field: any constant in it may be.
    pub(in crate::statement) fn pass_to(&mut self, field: FieldId) {
        self.passed.insert(field);
    }

    pub(super) fn root(&mut self, class: Class) -> usize {
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

    pub(super) fn state(&mut self, class: Class) -> &mut State {
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
        state.equal |= matches!(place, Use::Compare | Use::Distinguish);
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
        let state = self.state(one);
        state.tested |= absorbed.tested;
        state.exactly |= absorbed.exactly;
        state.like |= absorbed.like;
        state.bare += absorbed.bare;
        // What is applied to some of them is not to the others.
        if let Some(folds) = absorbed.folds {
            state.bare += 1;
            state.folds = Some(folds);
        }
        state.equal |= absorbed.equal;
        state.as_text |= absorbed.as_text;
        state.stored.extend(absorbed.stored);
        state.edits.extend(absorbed.edits);
        // What is alike elsewhere is not this alone.
        state.shown = false;
        state.whole |= absorbed.whole;
        state.parts |= absorbed.parts;
        if state.whole && state.parts {
            return Err(array_of_parts());
        }
        state.edits_of_whole.extend(absorbed.edits_of_whole);
        let both = state.given.zip(absorbed.given);
        let owns = state.own.as_ref().zip(absorbed.own.as_ref());
        state.torn |= absorbed.torn || owns.is_some_and(|(one, other)| one != other);
        state.own = state.own.take().or(absorbed.own);
        state.torn |=
            state.own.is_some() && both.is_some() || both.is_some_and(|(one, other)| !is_alike(&one, &other));
        state.given = state.given.or(absorbed.given);
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
}

/// Does it make no difference to which of both a value is cast?
fn is_alike(one: &Logical, other: &Logical) -> bool {
    let as_it_is = |of: &Logical| matches!(of.base, Base::Text | Base::Varchar) && of.characters().is_none();
    one == other || as_it_is(one) && as_it_is(other) && one.array == other.array
}

fn array_of_parts() -> Unproven {
    refuse(
        "unsupported-position",
        "an array is sealed as a whole, and ARRAY[...] makes it of parts",
        "Give it as one value: as '{...}', as ARRAY[...] of constants, or as one parameter that is an array.",
    )
}

pub(super) fn conflict(told: Option<&str>, as_what: &str) -> Unproven {
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
