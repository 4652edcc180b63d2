//! What becomes of constants and parameters when a whole text has been followed: which of them are sealed, as
//! values of which field, and read as what.

use std::collections::HashSet;

use crate::catalog::{Base, Family, FieldId, Logical, NO_MODIFIER};

use super::super::facts::{Compared, Edit, LiteralUse, ParameterUse, Remedy, Taken, Unproven};
use super::super::read::literal::Written;
use super::super::refusal::{Proven, refuse, unless};
use super::algebra;
use super::apart::Apart;
use super::classes::{
    Class, Classes, ConstantArray, End, Fields, Meaning, State, conflict, require, same_domain,
};

/// What [`Classes::uses`] finds.
pub(in crate::statement) struct Uses {
    pub(in crate::statement) literals: Vec<LiteralUse>,
    pub(in crate::statement) parameters: Vec<ParameterUse>,
    pub(in crate::statement) edits: Vec<Edit>,
    /// Where a parameter begins that has another number at the server, and that number.
    pub(in crate::statement) renumbered: Vec<(usize, u16)>,
}

impl Classes<'_> {
    /// The literals and parameters that are values of sealed fields, and what else changes with them.
    ///
    /// # Errors
    /// One is also something else, cannot be replaced where it stands, or is of a type that the server would
    /// not take there.
    pub(in crate::statement) fn uses(&mut self) -> Proven<Uses> {
        let Apart { given: clients, renumbered } = self.join_places()?;
        let mut edits: Vec<Edit> = Vec::new();
        let mut ends: Vec<(End, Class)> =
            self.ends.iter().map(|(end, class)| (end.clone(), *class)).collect();
        ends.sort_by_key(|(end, _)| match end {
            End::Literal { start, array } => (0, *start, *array),
            End::Parameter { number, array } => (1, usize::from(*number), *array),
        });
        let (mut literals, mut parameters) = (Vec::new(), Vec::new());
        let arrays = self.sealed_arrays();
        let within: HashSet<usize> = arrays.iter().flat_map(|array| &array.starts).copied().collect();
        let mut plain: HashSet<End> = HashSet::new();
        let mut asked: Vec<(End, Class)> = Vec::new();
        for (end, class) in ends {
            if matches!(&end, End::Literal { start, array: false } if within.contains(start)) {
                continue;
            }
            let mut state = self.state(class).clone();
            let end = whole(end, &mut state)?;
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
                    let given = clients.get(&number).copied().unwrap_or(number);
                    parameters.push(ParameterUse { number, given, field, array, taken });
                }
            }
        }
        for array in arrays {
            let (literal, around) = self.array_as_one(array)?;
            literals.push(literal);
            edits.extend(around);
        }
        literals.sort_by_key(|literal| literal.span.start);
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
        for class in std::mem::take(&mut self.nulls) {
            let state = self.state(class).clone();
            if matches!(state.meaning, Meaning::Sealed(_)) {
                edits.extend(if state.whole { state.edits_of_whole } else { state.edits });
            }
        }
        let mut uses = Uses { literals, parameters, edits, renumbered };
        self.seal_asked(asked, &mut uses)?;
        let Uses { literals, parameters, mut edits, renumbered } = uses;
        edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
        edits.dedup();
        Ok(Uses { literals, parameters, edits, renumbered })
    }

    /// Arrays of constants that are one sealed value.
    fn sealed_arrays(&mut self) -> Vec<ConstantArray> {
        let arrays = std::mem::take(&mut self.arrays);
        let is_one = |array: &ConstantArray| {
            let state = self.state(array.class);
            state.whole && matches!(state.meaning, Meaning::Sealed(_))
        };
        // Which a query that is walked once more has told again.
        let mut known = HashSet::new();
        arrays.into_iter().filter(is_one).filter(|array| known.insert(array.written.span.start)).collect()
    }

    /// Such an array as the literal that it is, and what becomes of the text around it.
    fn array_as_one(&mut self, array: ConstantArray) -> Proven<(LiteralUse, Vec<Edit>)> {
        let ConstantArray { class, written, own, .. } = array;
        let mut state = self.state(class).clone();
        let element = |of: Logical| Logical { array: false, modifier: NO_MODIFIER, ..of };
        let text = || Logical::TEXT;
        let own = match (own, state.given) {
            (own, None) => Some(Logical { array: true, ..own.unwrap_or_else(text) }),
            (None, Some(_)) => None,
            (Some(own), Some(cast)) => given(Some(own), Some(element(cast))).map(|_| None)?,
        };
        let start = written.span.start;
        if let Some(own) = own {
            self.typed.insert(start, own);
        }
        let end = whole(End::Literal { start, array: true }, &mut state)?;
        let field = if let Meaning::Sealed(fields) = &state.meaning { fields.first().copied() } else { None };
        let field = field.ok_or_else(|| conflict(None, "an array of no field"))?;
        let taken = self.taken(&end, &state, field)?;
        Ok((LiteralUse { span: written.span, field, form: written.form, array: false, taken }, state.edits))
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
            let texts = texts && state.own.is_none() && state.folds.is_none();
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
            // An explicit cast to varchar cuts, whatever it is used for then.
            let cut = of.base == Base::Varchar
                && wanted.iter().chain([&of_field]).all(|other| is_cut_as(&of, other));
            let exact = cut
                || of.modifier == NO_MODIFIER
                || of == of_field && wanted.iter().all(|other| *other == of);
            let taken = if compared == Compared::Not && !wanted.is_empty() {
                wanted.iter().all(|column| of.assigns_to(column))
            } else {
                of.compares_with(&Logical { array: of.array, ..of_field })
            };
            if !exact || !taken {
                return Err(self.of_another_type(field, &of));
            }
            // It is rounded as it would be when it is stored.
            if of.modifier != NO_MODIFIER && !cut {
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
        let mut folds = state.folds.clone().unwrap_or_default();
        if algebra::is_folded(self.snapshot, &Fields::from([field])) {
            folds.retain(|fold| !fold.is_of_case());
        }
        let cut = state.given.is_some_and(|given| given.modifier != NO_MODIFIER);
        if cut && (state.bare > 0 || !folds.is_empty()) {
            return Err(conflict(state.told.as_deref(), "itself and for what a cast leaves of it"));
        }
        if !folds.is_empty() && state.bare > 0 {
            return Err(conflict(state.told.as_deref(), "itself and for what a function makes of it"));
        }
        if !folds.is_empty() && !self.snapshot.codes().ascii_case {
            return Err(refuse(
                "function",
                "a function is applied to a value, and this database changes letters otherwise than ASCII does",
                "Apply it in the application.",
            ));
        }
        let shown = state.shown && compared == Compared::Not && stored.is_empty() && state.bare == 1;
        Ok(Taken { given, stored, compared, folds, own: own_cast, shown })
    }

    /// What the server itself says of two types where the column is text to it, too: it is asked.
    fn of_another_type(&self, field: FieldId, given: &Logical) -> Unproven {
        let field = self.snapshot.field(field);
        let (path, own) = field.map_or_else(Default::default, |field| (field.path(), field.declared()));
        let refused = refuse(
            "type-differs",
            format!("{path} is sealed and of type {own}, and meets a value of type {given}"),
            "Give it a value of its own type, without a cast to another type or length.",
        );
        if field.is_some_and(|field| field.logical.is_text() && !field.logical.array) {
            unless(Remedy::Server, refused)
        } else {
            refused
        }
    }

    /// What is only tested for NULL or compared with its like, which is answered the same when all of it is
    /// sealed: for want of a field of its own as a value of the first one that is met and allows it.
    fn seal_asked(&mut self, asked: Vec<(End, Class)>, uses: &mut Uses) -> Proven<()> {
        let Uses { literals, parameters, edits, .. } = uses;
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
                        parameters.push(ParameterUse { number, given: number, field, array, taken });
                    }
                }
            }
        }
        literals.sort_by_key(|literal| literal.span.start);
        parameters.sort_by_key(|parameter| parameter.number);
        Ok(())
    }
}

/// Of the elements of an array that is one value: the array itself.
fn whole(end: End, state: &mut State) -> Proven<End> {
    if !state.whole || !matches!(state.meaning, Meaning::Sealed(_)) {
        return Ok(end);
    }
    state.edits = std::mem::take(&mut state.edits_of_whole);
    state.given = state.given.map(|of| Logical { array: true, ..of });
    match end {
        End::Literal { start, array: true } => Ok(End::Literal { start, array: false }),
        End::Parameter { number, array: true } => Ok(End::Parameter { number, array: false }),
        End::Literal { .. } | End::Parameter { .. } => {
            Err(conflict(state.told.as_deref(), "a value and for an array of them"))
        }
    }
}

/// Is what a cast to a length has left of a text, or of each element of an array, a value of this type as it is?
fn is_cut_as(cast: &Logical, column: &Logical) -> bool {
    column.base.family() == Family::Text && column.base != Base::Bpchar && column.array == cast.array
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
