//! Which constants and parameters are values of which field, found as types are inferred.
//!
//! A constant or a parameter is by itself nothing: it becomes what it meets. `email = $1` makes it a value
//! of that field, `$1 IS NULL` nothing at all; in `FROM (VALUES ($1)) v(e)` it is the column `v.e`, which
//! may be compared elsewhere. What must be alike is one [`Class`]; a class is sealed or plain, once for
//! all of the places where its members stand. What stays undecided is plain, but for what only the statement
//! itself asks about, beside sealed values: in `('x' IS NULL OR 'x' = '' OR email = 'x')`, which a client that
//! writes the values into the statement makes of `($1 IS NULL OR $1 = '' OR email = $1)`, all are sealed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::catalog::{Base, Family, Field, FieldId, Logical, NO_MODIFIER, QualifiedName, Snapshot};

use super::super::facts::{Compared, Edit, LiteralUse, ParameterUse, Taken, Unproven};
use super::super::read::literal::Written;
use super::super::refusal::{Proven, refuse};
use super::algebra::{self, Fold, Use};

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
    /// `lower` or `upper` of a value that is kept in lower case, or of one that is undecided.
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
    /// How it is compared, where that is not by `=` alone.
    exactly: bool,
    like: bool,
    equal: bool,
    as_text: bool,
    /// The fields in which it is stored.
    stored: Fields,
    /// To which type it is cast.
    given: Option<Logical>,
    /// To which type of the database it is cast.
    own: Option<QualifiedName>,
    /// To several.
    torn: bool,
    /// What becomes of the text around it when it is sealed.
    edits: Vec<Edit>,
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
    /// Types of constants that have one of their own: numbers and truth values.
    typed: HashMap<usize, Logical>,
    /// Fields in which something is stored that an expression passes on.
    passed: Fields,
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
            typed: HashMap::new(),
            passed: Fields::new(),
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
        state.equal |= absorbed.equal;
        state.as_text |= absorbed.as_text;
        state.stored.extend(absorbed.stored);
        state.edits.extend(absorbed.edits);
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

    /// The literals and parameters that are values of sealed fields, and what else changes with them.
    ///
    /// # Errors
    /// One is also something else, cannot be replaced where it stands, or is of a type that the server would
    /// not take there.
    pub(in crate::statement) fn uses(&mut self) -> Proven<Uses> {
        let mut ends: Vec<(End, Class)> =
            self.ends.iter().map(|(end, class)| (end.clone(), *class)).collect();
        ends.sort_by_key(|(end, _)| match end {
            End::Literal { start, array } => (0, *start, *array),
            End::Parameter { number, array } => (1, usize::from(*number), *array),
        });
        let mut edits: Vec<Edit> = Vec::new();
        let (mut literals, mut parameters) = (Vec::new(), Vec::new());
        let mut plain: HashSet<End> = HashSet::new();
        let mut asked: Vec<(End, Class)> = Vec::new();
        for (end, class) in ends {
            let state = self.state(class).clone();
            let State { compared, tested, told, .. } = &state;
            let fields = match &state.meaning {
                Meaning::Sealed(fields) => fields,
                Meaning::Plain => {
                    plain.insert(end);
                    continue;
                }
                Meaning::Undecided => {
                    let typed = matches!(&end, End::Literal { start, .. } if self.typed.contains_key(start));
                    if *tested || compared.is_some() && !typed {
                        asked.push((end, class));
                    }
                    continue;
                }
            };
            let Some(field) = fields.first().copied() else { continue };
            let taken = self.taken(&end, &state, field)?;
            edits.extend(state.edits.iter().cloned());
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
                        taken,
                    });
                }
                End::Parameter { number, array } => {
                    let twice = parameters.last().is_some_and(|last: &ParameterUse| last.number == number);
                    let also = plain.contains(&End::Parameter { number, array: !array });
                    if twice || also {
                        return Err(conflict(told.as_deref(), "a sealed value and for another one"));
                    }
                    parameters.push(ParameterUse { number, field, array, taken });
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
        let mut uses = Uses { literals, parameters, edits };
        self.seal_asked(asked, &mut uses)?;
        let Uses { literals, parameters, mut edits } = uses;
        edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
        edits.dedup();
        Ok(Uses { literals, parameters, edits })
    }

    /// What becomes of a sealed constant or parameter.
    fn taken(&self, end: &End, state: &State, field: FieldId) -> Proven<Taken> {
        let own = match end {
            End::Literal { start, .. } => self.typed.get(start).copied(),
            End::Parameter { .. } => None,
        };
        let otherwise = state.like || state.exactly || state.equal || !state.stored.is_empty();
        if state.as_text {
            let texts = state.given.is_none_or(|given| given.is_text()) && own.is_none() && !state.torn;
            let texts = texts && state.own.is_none();
            if otherwise || !texts {
                return Err(conflict(state.told.as_deref(), "a value and for the text of one"));
            }
            return Ok(Taken { compared: Compared::AsText, ..Taken::default() });
        }
        let compared = match (state.like, state.exactly, state.equal) {
            (true, false, _) => Compared::Like,
            (false, true, false) => Compared::Exactly,
            (false, false, true) => Compared::Equal,
            (false, false, false) => Compared::Not,
            (_, true, _) => {
                return Err(conflict(state.told.as_deref(), "what is normalized and for what is not"));
            }
        };
        let mut stored: Vec<FieldId> = state.stored.iter().copied().collect();
        if state.torn {
            return Err(refuse(
                "type-differs",
                format!("{} is cast to several types", state.told.as_deref().unwrap_or("a constant")),
                "Cast it to one type, or not at all.",
            ));
        }
        let own_domain = Fields::from([field]);
        if stored.is_empty() && compared == Compared::Not {
            let alike = |id: &&FieldId| same_domain(self.snapshot, &own_domain, &Fields::from([**id]));
            stored.extend(self.passed.iter().filter(alike));
        }
        let mut given = given(own, state.given)?;
        let column = |id: FieldId| self.snapshot.field(id).map(|field| field.logical);
        let of_field = column(field).unwrap_or(Logical::TEXT);
        if let Some(of) = given {
            let wanted: Vec<Logical> = stored.iter().filter_map(|id| column(*id)).collect();
            let exact =
                of.modifier == NO_MODIFIER || of == of_field && wanted.iter().all(|other| *other == of);
            let taken = if compared == Compared::Not && !wanted.is_empty() {
                wanted.iter().all(|column| of.assigns_to(column))
            } else {
                of.compares_with(&Logical { array: false, ..of_field })
            };
            if !exact || !taken {
                return Err(self.of_another_type(field, &of));
            }
            // It is rounded as it would be when it is stored.
            if of.modifier != NO_MODIFIER {
                stored = vec![field];
                given = Some(Logical { modifier: NO_MODIFIER, ..of });
            }
        }
        let own_cast = state.own.is_some();
        if let Some(name) = &state.own {
            let meant = |id: &FieldId| {
                let field = self.snapshot.field(*id);
                field.is_some_and(|field| field.is_of(Some(&name.schema), &name.name))
            };
            // Where it is compared the cast would have rounded it, or cut it.
            let cut = compared != Compared::Not && of_field.modifier != NO_MODIFIER;
            if given.is_some() || cut || !meant(&field) || !stored.iter().all(meant) {
                return Err(self.of_another_type(field, &of_field));
            }
        }
        Ok(Taken { given, stored, compared, own: own_cast })
    }

    fn of_another_type(&self, field: FieldId, given: &Logical) -> Unproven {
        let (path, own) = self
            .snapshot
            .field(field)
            .map_or_else(|| (String::new(), String::new()), |field| (field.path(), field.declared()));
        refuse(
            "type-differs",
            format!("{path} is sealed and of type {own}, and meets a value of type {given}"),
            "Give it a value of its own type, without a cast to another type or length.",
        )
    }

    /// What is only tested for NULL or compared with its like, which is answered the same when all of it is
    /// sealed: for want of a field of its own as a value of the first one that is met and allows it.
    fn seal_asked(&mut self, asked: Vec<(End, Class)>, uses: &mut Uses) -> Proven<()> {
        let Uses { literals, parameters, edits } = uses;
        let of_literals = literals.iter().map(|literal| literal.field);
        let met: Fields = of_literals.chain(parameters.iter().map(|parameter| parameter.field)).collect();
        // Whether a parameter is text is known when the client has said it: too late for what it is equal to.
        let mut parametric = HashSet::new();
        for (_, class) in asked.iter().filter(|(end, _)| matches!(end, End::Parameter { .. })) {
            parametric.insert(self.root(*class));
        }
        // A number that is not sealed must meet what is none, either: `1 = '1'`.
        let numbered: Vec<Class> = self
            .ends
            .iter()
            .filter(|(end, _)| matches!(end, End::Literal { start, .. } if self.typed.contains_key(start)))
            .map(|(_, class)| *class)
            .collect();
        let numbered: HashSet<usize> = numbered.into_iter().map(|class| self.root(class)).collect();
        let mut starts: HashSet<usize> = literals.iter().map(|literal| literal.span.start).collect();
        let mut numbers: HashSet<u16> = parameters.iter().map(|parameter| parameter.number).collect();
        for (end, class) in asked {
            let compared = self.state(class).compared;
            let allows = |id: &&FieldId| {
                compared.is_none_or(|place| require(self.snapshot, &Fields::from([**id]), place).is_ok())
            };
            let Some(field) = met.iter().find(allows).copied() else { continue };
            let root = self.root(class);
            if compared.is_some() && (parametric.contains(&root) || numbered.contains(&root)) {
                continue;
            }
            match end {
                End::Literal { start, array } => {
                    if let Some(why) = self.unwritable.get(&start) {
                        return Err(why.clone());
                    }
                    let Some(Written { span, form }) = self.written.get(&start).cloned() else { continue };
                    if starts.insert(span.start) {
                        let taken = Taken { compared: Compared::Asked, ..Taken::default() };
                        edits.extend(self.state(class).edits.iter().cloned());
                        literals.push(LiteralUse { span, field, form, array, taken });
                    }
                }
                End::Parameter { number, array } => {
                    if numbers.insert(number) {
                        let state = self.state(class);
                        let taken =
                            Taken { given: state.given, compared: Compared::Asked, ..Taken::default() };
                        edits.extend(state.edits.iter().cloned());
                        parameters.push(ParameterUse { number, field, array, taken });
                    }
                }
            }
        }
        literals.sort_by_key(|literal| literal.span.start);
        parameters.sort_by_key(|parameter| parameter.number);
        Ok(())
    }
}

/// What [`Classes::uses`] finds.
pub(in crate::statement) struct Uses {
    pub(in crate::statement) literals: Vec<LiteralUse>,
    pub(in crate::statement) parameters: Vec<ParameterUse>,
    pub(in crate::statement) edits: Vec<Edit>,
}

/// Does it make no difference to which of both a value is cast?
fn is_alike(one: &Logical, other: &Logical) -> bool {
    let as_it_is = |of: &Logical| matches!(of.base, Base::Text | Base::Varchar) && of.characters().is_none();
    one == other || as_it_is(one) && as_it_is(other) && one.array == other.array
}

/// The type of a value that has one of its own and is cast to another one.
fn given(own: Option<Logical>, cast: Option<Logical>) -> Proven<Option<Logical>> {
    use Family::{Integer, Numeric};
    let (Some(own), Some(cast)) = (own, cast) else { return Ok(own.or(cast)) };
    let (from, to) = (own.base.family(), cast.base.family());
    // A cast that loses nothing says nothing more.
    let keeps = from == to || (from, to) == (Integer, Numeric);
    if keeps && cast.modifier == NO_MODIFIER && !cast.array {
        return Ok(Some(cast).filter(|_| from != to).or(Some(own)));
    }
    Err(refuse(
        "type-differs",
        "a number is cast to another type",
        "Write it as a value of that type, in quotes.",
    ))
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
