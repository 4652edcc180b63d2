//! Which column of a result is what: what the text says of each laid over what the server says, and as which
//! type a client sees it.

use std::sync::Arc;

use super::values::{shown_as, shown_as_own};
use super::view::View;
use crate::catalog::{Field, FieldId, Logical, NO_MODIFIER};
use crate::policy::Refusal;
use crate::statement::{ResultColumn, StatementFacts, SubjectUse, Told};
use crate::types::Format;
use crate::wire::backend::{Origin, TypeTold, put_row_description, visit_row_description};
use crate::wire::frontend::result_format;
use crate::wire::{Frame, Malformed};

/// `pg_type.typlen` of every enumeration.
const ENUMERATION_LENGTH: i16 = 4;

/// What to do with one column of a result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Column {
    /// Known to be unclassified: never looked into, whatever it looks like.
    Plain,
    /// It carries this field, by the text and by the server's word where it gives one.
    Field(FieldId),
    /// It carries one of these, sealed in one domain: counts as a value of each.
    Sealed(Arc<[FieldId]>, Told),
    /// The same, shown as text whatever its type is.
    Text(Arc<[FieldId]>),
    /// Made from fields that are not sealed: counts as a value of each.
    Derived(Arc<[FieldId]>),
}

impl Column {
    /// Is what a client sees of it opened here?
    pub(super) fn is_opened(&self, view: &View) -> bool {
        let sealed = |id: &FieldId| view.snapshot().field(*id).is_some_and(|field| field.domain.is_some());
        match self {
            Column::Field(field) => sealed(field),
            Column::Sealed(fields, _) | Column::Text(fields) => fields.iter().any(sealed),
            Column::Plain | Column::Derived(_) => false,
        }
    }

    /// Of which fields it counts as a value.
    pub(super) fn fields(&self) -> &[FieldId] {
        match self {
            Column::Plain => &[],
            Column::Field(field) => std::slice::from_ref(field),
            Column::Sealed(fields, _) | Column::Text(fields) | Column::Derived(fields) => fields,
        }
    }
}

/// The columns of one result.
pub(super) struct Shape {
    pub(super) columns: Vec<Column>,
    pub(super) any: bool,
    /// Of columns of another type than text: as which they are written. Empty where all are text.
    types: Vec<Option<Logical>>,
    /// The same as a client is told them: without a length that their values have still.
    told: Vec<Option<Logical>>,
    /// Of columns that are an enumeration: its OID. Empty where none is.
    owns: Vec<Option<u32>>,
    /// In which format they come, as far as they were described so.
    binary: Vec<bool>,
    /// Columns that say whose data a row is: which, and of which entry of the facts' `subjects`.
    pub(super) subjects: Vec<(usize, usize)>,
}

impl Shape {
    /// Lays what the text says of each column over what the server says of it.
    ///
    /// # Errors
    /// They do not agree: the text does not account for a classified column, or a field that
    /// it reads is none of the columns, so that the relation is not the one that was judged.
    pub fn new(origins: &[Origin], view: &View, facts: &StatementFacts) -> Result<Shape, Refusal> {
        let told = &facts.outputs;
        let is_run = |column: &ResultColumn| matches!(column, ResultColumn::Run(_));
        let first_run = told.iter().position(is_run).unwrap_or(told.len());
        let behind_last_run = told.iter().rposition(is_run).map_or(told.len(), |last| last + 1);
        let (head, rest) = told.split_at(first_run);
        let (middle, tail) = rest.split_at(behind_last_run.saturating_sub(first_run).min(rest.len()));
        let left = origins.len().checked_sub(head.len() + tail.len()).ok_or_else(unforeseen)?;
        if middle.is_empty() && left > 0 {
            return Err(unforeseen());
        }
        let (before, others) = origins.split_at(head.len());
        let (within, after) = others.split_at(left);
        let mut columns = Vec::with_capacity(origins.len());
        for (column, origin) in head.iter().zip(before) {
            columns.push(lay(column, *origin, view)?);
        }
        lay_runs(middle, within, view, &mut columns)?;
        for (column, origin) in tail.iter().zip(after) {
            columns.push(lay(column, *origin, view)?);
        }
        let any = columns.iter().any(|column| *column != Column::Plain);
        let listed = |of: &dyn Fn(&Column) -> Option<Logical>| {
            let mut types: Vec<Option<Logical>> = columns.iter().map(of).collect();
            if types.iter().all(Option::is_none) {
                types.clear();
            }
            types
        };
        let types = listed(&|column| column.written(view));
        let told_types = listed(&|column| column.told(view));
        let mut owns: Vec<Option<u32>> = columns.iter().map(|column| column.own(view)).collect();
        if owns.iter().all(Option::is_none) {
            owns.clear();
        }
        let binary = origins.iter().map(|origin| origin.format == 1).collect();
        let subjects = subject_columns(origins, facts);
        Ok(Shape { columns, any, types, told: told_types, owns, binary, subjects })
    }

    /// The columns of COPY, of which the server does not say where they come from. None: the text does
    /// not say which they are.
    pub fn of_copy(facts: &StatementFacts, view: &View) -> Option<Shape> {
        let columns = facts.outputs.iter().map(|column| match column {
            ResultColumn::Plain => Some(Column::Plain),
            ResultColumn::Field(id) => Some(Column::Field(*id)),
            ResultColumn::Sealed(ids, told) => Some(Column::Sealed(ids.clone(), *told)),
            ResultColumn::Text(ids) => Some(Column::Text(ids.clone())),
            ResultColumn::Derived(ids) => Some(Column::Derived(ids.clone())),
            ResultColumn::Run(_) => None,
        });
        let columns: Vec<Column> = columns.collect::<Option<_>>()?;
        let types = columns.iter().map(|column| column.written(view)).collect();
        let place = |(at, one): (usize, &SubjectUse)| Some((one.place?, at));
        let subjects = facts.subjects.iter().enumerate().filter_map(place).collect();
        Some(Shape {
            columns,
            any: true,
            types,
            told: Vec::new(),
            owns: Vec::new(),
            binary: Vec::new(),
            subjects,
        })
    }

    /// A statement that returns no rows.
    pub fn empty() -> Shape {
        Shape {
            columns: Vec::new(),
            any: false,
            types: Vec::new(),
            told: Vec::new(),
            owns: Vec::new(),
            binary: Vec::new(),
            subjects: Vec::new(),
        }
    }

    /// Is there a column of another type than text?
    pub fn is_typed(&self) -> bool {
        !(self.types.is_empty() && self.told.is_empty() && self.owns.is_empty())
    }

    /// The description of the result as the client gets it. None: as the server has it.
    pub fn told(&self, frame: Frame<'_>, out: &mut Vec<u8>) -> Result<bool, Malformed> {
        if !self.is_typed() {
            return Ok(false);
        }
        put_row_description(out, frame, |index| {
            if let Some(oid) = self.owns.get(index).copied().flatten() {
                return Some(TypeTold { oid, length: ENUMERATION_LENGTH, modifier: NO_MODIFIER });
            }
            let (oid, length, modifier) = self.told.get(index).copied().flatten()?.described()?;
            Some(TypeTold { oid, length, modifier })
        })?;
        Ok(true)
    }

    /// As which type a column is written. None: as it is.
    pub(super) fn shown(&self, index: usize) -> Option<Logical> {
        self.types.get(index).copied().flatten()
    }

    /// In which format. `formats`: those of the Bind, where there was one.
    pub(super) fn format(&self, index: usize, formats: Option<&[u8]>) -> Format {
        let binary = match formats {
            Some(codes) => result_format(codes, index) == 1,
            None => self.binary.get(index).copied().unwrap_or(false),
        };
        if binary { Format::Binary } else { Format::Text }
    }
}

impl Column {
    /// The enumeration as which a client sees it.
    fn own(&self, view: &View) -> Option<u32> {
        match self {
            Column::Field(field) => shown_as_own(view, std::slice::from_ref(field)),
            Column::Sealed(fields, _) => shown_as_own(view, fields),
            Column::Plain | Column::Text(_) | Column::Derived(_) => None,
        }
    }

    /// As which type its values are written, where that is not text: with the length of the column.
    fn written(&self, view: &View) -> Option<Logical> {
        let (logical, told) = self.shown(view)?;
        Some(Told { lost: false, ..told }.of(logical)).filter(|logical| *logical != Logical::TEXT)
    }

    /// As which type a client is told it, where that is not text.
    fn told(&self, view: &View) -> Option<Logical> {
        let (logical, told) = self.shown(view)?;
        Some(told.of(logical)).filter(|logical| *logical != Logical::TEXT)
    }

    /// The type of the column, and what is made of it.
    fn shown(&self, view: &View) -> Option<(Logical, Told)> {
        let mut told = Told::default();
        let fields = match self {
            Column::Field(field) => std::slice::from_ref(field),
            Column::Sealed(fields, of) => {
                told = *of;
                fields
            }
            // The server's own cast says what it is.
            Column::Plain | Column::Text(_) | Column::Derived(_) => return None,
        };
        let sealed = |id: &FieldId| view.snapshot().field(*id).is_some_and(|field| field.domain.is_some());
        let logical = fields.iter().all(sealed).then(|| shown_as(view, fields)).flatten();
        logical.map(|logical| (logical, told))
    }
}

/// Where the server says that a column is the one that says whose data is in a row.
fn subject_columns(origins: &[Origin], facts: &StatementFacts) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (at, one) in facts.subjects.iter().enumerate() {
        let Some(wanted) = one.origin else { continue };
        let is_it = |origin: &Origin| (origin.table_oid, origin.attribute) == wanted;
        let index = match one.shown {
            Some(index) => Some(index).filter(|index| origins.get(*index).is_some_and(is_it)),
            None => origins.iter().position(is_it),
        };
        found.extend(index.map(|index| (index, at)));
    }
    found
}

/// The field that the server names as the origin of a column.
pub(super) fn field_of(origin: Origin, view: &View) -> Option<FieldId> {
    view.snapshot().field_by_origin(origin.table_oid, origin.attribute)
}

/// A column whose place is known.
fn lay(column: &ResultColumn, origin: Origin, view: &View) -> Result<Column, Refusal> {
    let field = field_of(origin, view);
    match (column, field) {
        (ResultColumn::Plain, None) => Ok(Column::Plain),
        (ResultColumn::Field(told), Some(field)) if *told == field => Ok(Column::Field(field)),
        // The server says nothing of an expression that passes the field on.
        (ResultColumn::Field(told), None) if origin.table_oid == 0 => Ok(Column::Field(*told)),
        (ResultColumn::Sealed(ids, told), None) if origin.table_oid == 0 => {
            Ok(Column::Sealed(ids.clone(), *told))
        }
        // A cast that changes nothing leaves it the column of its table.
        (ResultColumn::Sealed(ids, told), Some(field)) if ids.contains(&field) => {
            Ok(Column::Sealed(ids.clone(), *told))
        }
        (ResultColumn::Text(ids), None) if origin.table_oid == 0 => Ok(Column::Text(ids.clone())),
        (ResultColumn::Text(ids), Some(field)) if ids.contains(&field) => Ok(Column::Text(ids.clone())),
        (ResultColumn::Derived(ids), None) => Ok(Column::Derived(ids.clone())),
        (ResultColumn::Derived(ids), Some(field)) if ids.contains(&field) => Ok(Column::Derived(ids.clone())),
        (
            ResultColumn::Plain
            | ResultColumn::Field(_)
            | ResultColumn::Sealed(..)
            | ResultColumn::Text(_)
            | ResultColumn::Derived(_)
            | ResultColumn::Run(_),
            _,
        ) => Err(unforeseen()),
    }
}

/// Columns of which only the server knows how many there are: fields are where it says. Each
/// must be there, and what it says nothing of counts as everything that may be derived.
fn lay_runs(
    runs: &[ResultColumn],
    origins: &[Origin],
    view: &View,
    columns: &mut Vec<Column>,
) -> Result<(), Refusal> {
    let (mut fields, mut derived) = (Vec::new(), Vec::new());
    for column in runs {
        match column {
            ResultColumn::Plain => {}
            ResultColumn::Field(id) => fields.push(*id),
            // Refused by its text: nobody could say which column it is.
            ResultColumn::Sealed(..) | ResultColumn::Text(_) => return Err(unforeseen()),
            ResultColumn::Derived(ids) => derived.extend(ids.iter().copied()),
            ResultColumn::Run(ids) => fields.extend(ids.iter().copied()),
        }
    }
    derived.sort_unstable();
    derived.dedup();
    let derived: Arc<[FieldId]> = derived.into();
    let (mut met, mut met_derived) = (Vec::new(), derived.is_empty());
    for origin in origins {
        columns.push(match field_of(*origin, view) {
            Some(field) if fields.contains(&field) => {
                met.push(field);
                Column::Field(field)
            }
            // A cast that changes nothing leaves it the column of its table (`nick::text`).
            Some(field) if derived.contains(&field) => {
                met_derived = true;
                Column::Derived(derived.clone())
            }
            Some(_) => return Err(unforeseen()),
            None if origin.table_oid == 0 && !derived.is_empty() => {
                met_derived = true;
                Column::Derived(derived.clone())
            }
            None => Column::Plain,
        });
    }
    let all_met = met_derived && fields.iter().all(|field| met.contains(field));
    if all_met { Ok(()) } else { Err(unforeseen()) }
}

/// A classified column in a result whose statement did not name it.
pub(super) fn unforeseen() -> Refusal {
    Refusal::unhandled(
        "lineage",
        "The columns of the result are not those that the statement's text accounts for.",
        "The table may have been changed a moment ago: connect again and repeat the statement. Otherwise \
         read the column from its table, in a query of your own: a cursor that a function has opened shows none.",
    )
}

/// Does a description name a classified column?
pub(super) fn names_classified(frame: Frame<'_>, view: &View) -> Result<bool, Malformed> {
    names_any(frame, view, |_| true)
}

/// Does it name a sealed one?
pub(super) fn names_sealed(frame: Frame<'_>, view: &View) -> Result<bool, Malformed> {
    names_any(frame, view, |field| field.domain.is_some())
}

fn names_any(frame: Frame<'_>, view: &View, counts: impl Fn(&Field) -> bool) -> Result<bool, Malformed> {
    let mut found = false;
    visit_row_description(frame.body(), |origin| {
        let id = view.snapshot().field_by_origin(origin.table_oid, origin.attribute);
        found |= id.and_then(|id| view.snapshot().field(id)).is_some_and(&counts);
    })?;
    Ok(found)
}
