//! Opening on the way out: rows become [`Released`], and only that may be written to the
//! client. It takes the receipt of the very execution the row belongs to, or the permit
//! of what touches nothing.

use std::sync::Arc;

use super::plan::Workshop;
use super::view::View;
use crate::audit::{Execution, Receipt};
use crate::catalog::{Field, FieldId};
use crate::policy::{Permit, Refusal};
use crate::seal::{OpenError, Plaintext, domain_tag, header, wipe};
use crate::statement::{ResultColumn, StatementFacts};
use crate::wire::backend::{DataRow, Origin, visit_row_description};
use crate::wire::copy::{Broken, Format, Value};
use crate::wire::frame::put;
use crate::wire::frontend::put_value;
use crate::wire::{Frame, Malformed};

/// What to do with one column of a result.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Column {
    /// Known to be unclassified: never looked into, whatever it looks like.
    Plain,
    /// It carries this field, by the text and by the server's word where it gives one.
    Field(FieldId),
    /// It carries one of these, sealed in one domain: counts as a value of each.
    Sealed(Arc<[FieldId]>),
    /// Made from fields that are not sealed: counts as a value of each.
    Derived(Arc<[FieldId]>),
}

impl Column {
    /// Of which fields it counts as a value.
    fn fields(&self) -> &[FieldId] {
        match self {
            Column::Plain => &[],
            Column::Field(field) => std::slice::from_ref(field),
            Column::Sealed(fields) | Column::Derived(fields) => fields,
        }
    }
}

/// A row of COPY that is not shown.
struct Unopened(Box<Refusal>);

impl From<Refusal> for Unopened {
    fn from(refusal: Refusal) -> Unopened {
        Unopened(Box::new(refusal))
    }
}

impl From<Broken> for Unopened {
    fn from(_: Broken) -> Unopened {
        Unopened(Box::new(unforeseen()))
    }
}

/// The columns of one result.
pub struct Shape {
    columns: Vec<Column>,
    any: bool,
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
        Ok(Shape { columns, any })
    }

    /// The columns of COPY, of which the server does not say where they come from. None: the text does
    /// not say which they are.
    pub fn of_copy(facts: &StatementFacts) -> Option<Shape> {
        let columns = facts.outputs.iter().map(|column| match column {
            ResultColumn::Plain => Some(Column::Plain),
            ResultColumn::Field(id) => Some(Column::Field(*id)),
            ResultColumn::Sealed(ids) => Some(Column::Sealed(ids.clone())),
            ResultColumn::Derived(ids) => Some(Column::Derived(ids.clone())),
            ResultColumn::Run(_) => None,
        });
        Some(Shape { columns: columns.collect::<Option<_>>()?, any: true })
    }

    /// A statement that returns no rows.
    pub fn empty() -> Shape {
        Shape { columns: Vec::new(), any: false }
    }
}

/// The field that the server names as the origin of a column.
fn field_of(origin: Origin, view: &View) -> Option<FieldId> {
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
        (ResultColumn::Sealed(ids), None) if origin.table_oid == 0 => Ok(Column::Sealed(ids.clone())),
        // A cast that changes nothing leaves it the column of its table.
        (ResultColumn::Sealed(ids), Some(field)) if ids.contains(&field) => Ok(Column::Sealed(ids.clone())),
        (ResultColumn::Derived(ids), None) => Ok(Column::Derived(ids.clone())),
        (ResultColumn::Derived(ids), Some(field)) if ids.contains(&field) => Ok(Column::Derived(ids.clone())),
        (
            ResultColumn::Plain
            | ResultColumn::Field(_)
            | ResultColumn::Sealed(_)
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
            ResultColumn::Sealed(_) => return Err(unforeseen()),
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

/// How many values something that code made may hold, of which nobody knows how it puts them
/// together: as many as there are runs of letters and digits, at least one.
fn words(value: &[u8]) -> u64 {
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || *byte >= 0x80 || b"-_.@+".contains(byte);
    let starts = value.iter().enumerate().filter(|(at, byte)| {
        letter(byte) && !at.checked_sub(1).and_then(|before| value.get(before)).is_some_and(letter)
    });
    (starts.count() as u64).max(1)
}

/// A classified column in a result whose statement did not name it.
pub fn unforeseen() -> Refusal {
    Refusal::unhandled(
        "lineage",
        "The columns of the result are not those that the statement's text accounts for.",
        "The table may have been changed a moment ago: connect again and repeat the statement. Otherwise \
         read the column from its table.",
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

/// Bytes that may go to the client. Made in this file alone.
pub struct Released<'a>(&'a [u8]);

impl Released<'_> {
    pub fn bytes(&self) -> &[u8] {
        self.0
    }
}

/// A row whose classified values are open, waiting for its receipt. No `Debug`; it lies in
/// the thread's one row buffer, and is wiped when it has been released, or has not.
pub struct Opened<'a> {
    row: &'a mut Vec<u8>,
    /// The last of its values.
    value: &'a mut Plaintext,
    execution: Execution,
    /// Classified values in it, by field: aligned with `reads` of the facts.
    pub cells: &'a [u64],
    /// Other values in it, where any may be classified.
    pub others: u64,
    /// Bytes of those values.
    pub bytes: u64,
}

impl Opened<'_> {
    /// Only the receipt of the same execution releases the row.
    pub fn release(&self, receipt: &Receipt) -> Option<Released<'_>> {
        (receipt.execution() == self.execution).then_some(Released(self.row))
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        wipe(self.row);
        self.row.clear();
        self.value.clear();
    }
}

/// A run of frames that touch nothing classified.
pub fn untouched(_permit: Permit, run: &[u8]) -> Released<'_> {
    Released(run)
}

impl Workshop {
    /// Opens the classified values of one row.
    pub(super) fn open_row<'a>(
        &'a mut self,
        view: &View,
        facts: &StatementFacts,
        shape: &Shape,
        possibly: bool,
        execution: Execution,
        frame: Frame<'_>,
    ) -> Result<Opened<'a>, Refusal> {
        // It is empty, unless the last one was never dropped: no row begins with another's.
        self.row.clear();
        self.cells.clear();
        if facts.explained {
            return self.hide_row(execution, frame);
        }
        let malformed = |_: Malformed| Refusal::protocol("invalid DataRow message");
        if !shape.any {
            let (mut others, mut bytes) = (0, 0);
            if possibly {
                let mut source = DataRow::read(frame.body()).map_err(malformed)?;
                while source.left() > 0 {
                    let value = source.next().map_err(malformed)?;
                    others += value.map_or(0, words);
                    bytes += value.map_or(0, <[u8]>::len) as u64;
                }
            }
            self.row.extend_from_slice(frame.bytes());
            return Ok(self.opened(execution, others, bytes));
        }
        let mut others = 0;
        let mut source = DataRow::read(frame.body()).map_err(malformed)?;
        self.cells.resize(facts.reads.len(), 0);
        let (mut row, mut cells, mut bytes) =
            (std::mem::take(&mut self.row), std::mem::take(&mut self.cells), 0);
        let mut failed = None;
        put(&mut row, b'D', |out| {
            out.extend_from_slice(&u16::try_from(source.left()).unwrap_or(u16::MAX).to_be_bytes());
            let mut columns = shape.columns.iter();
            while source.left() > 0 {
                let column = columns.next();
                let result = source.next().map_err(malformed).and_then(|value| {
                    let column = column.ok_or_else(unforeseen)?;
                    let Some(stored) = value else {
                        put_value(out, None);
                        return Ok(());
                    };
                    let fields = column.fields();
                    for field in fields {
                        let at = facts.reads.iter().position(|id| id == field);
                        if let Some(count) = at.and_then(|at| cells.get_mut(at)) {
                            *count += 1;
                        }
                    }
                    let shown = match column {
                        Column::Field(field) => self.open_value(view, *field, stored)?,
                        Column::Sealed(fields) => {
                            let field = field_of_value(view, fields, stored).ok_or_else(unforeseen)?;
                            self.open_value(view, field, stored)?
                        }
                        Column::Plain | Column::Derived(_) => stored,
                    };
                    if !fields.is_empty() || possibly {
                        bytes += shown.len() as u64;
                    }
                    if possibly && fields.is_empty() {
                        others += words(shown);
                    }
                    put_value(out, Some(shown));
                    Ok(())
                });
                if let Err(refusal) = result {
                    failed = Some(refusal);
                    return;
                }
            }
        });
        (self.row, self.cells) = (row, cells);
        let opened = self.opened(execution, others, bytes);
        match failed {
            Some(refusal) => Err(refusal),
            None => Ok(opened),
        }
    }

    /// A row of EXPLAIN: what was sealed of the text stands in the plan, and is nobody's to read.
    fn hide_row<'a>(&'a mut self, execution: Execution, frame: Frame<'_>) -> Result<Opened<'a>, Refusal> {
        let malformed = |_: Malformed| Refusal::protocol("invalid DataRow message");
        let mut source = DataRow::read(frame.body()).map_err(malformed)?;
        let mut values = Vec::with_capacity(source.left());
        while source.left() > 0 {
            values.push(source.next().map_err(malformed)?.map(without_sealed));
        }
        put(&mut self.row, b'D', |out| {
            out.extend_from_slice(&u16::try_from(values.len()).unwrap_or(u16::MAX).to_be_bytes());
            values.iter().for_each(|value| put_value(out, value.as_deref()));
        });
        Ok(self.opened(execution, 0, 0))
    }

    /// Opens the classified values of one row of COPY, without the end of its line.
    pub(super) fn open_line<'a>(
        &'a mut self,
        view: &View,
        facts: &StatementFacts,
        shape: &Shape,
        format: &Format,
        possibly: bool,
        execution: Execution,
        line: &[u8],
    ) -> Result<Opened<'a>, Refusal> {
        self.row.clear();
        self.cells.clear();
        self.cells.resize(facts.reads.len(), 0);
        let (mut row, mut cells) = (std::mem::take(&mut self.row), std::mem::take(&mut self.cells));
        let (mut others, mut bytes) = (0, 0);
        let alone = shape.columns.len() == 1;
        format.begin(&mut row, shape.columns.len());
        let wanted =
            |at: usize| possibly || shape.columns.get(at).is_some_and(|column| *column != Column::Plain);
        let visited = format.visit::<Unopened>(
            line,
            |at, raw, value| {
                let column = shape.columns.get(at).ok_or_else(unforeseen)?;
                let Some(Value::Given(stored)) = value else {
                    format.put_as_it_is(&mut row, at, raw);
                    return Ok(());
                };
                let fields = column.fields();
                for field in fields {
                    let at = facts.reads.iter().position(|id| id == field);
                    if let Some(count) = at.and_then(|at| cells.get_mut(at)) {
                        *count += 1;
                    }
                }
                let sealed = match column {
                    Column::Field(field) => Some(*field),
                    Column::Sealed(fields) => {
                        Some(field_of_value(view, fields, &stored).ok_or_else(unforeseen)?)
                    }
                    Column::Plain | Column::Derived(_) => None,
                };
                let is_sealed =
                    |id: &FieldId| view.snapshot().field(*id).is_some_and(|field| field.domain.is_some());
                match sealed.filter(is_sealed) {
                    Some(field) => {
                        let shown = self.open_value(view, field, &stored)?;
                        bytes += shown.len() as u64;
                        format.put(&mut row, at, shown, alone);
                    }
                    None => {
                        bytes += if fields.is_empty() && !possibly { 0 } else { stored.len() as u64 };
                        others += if possibly && fields.is_empty() { words(&stored) } else { 0 };
                        format.put_as_it_is(&mut row, at, raw);
                    }
                }
                Ok(())
            },
            wanted,
        );
        (self.row, self.cells) = (row, cells);
        let columns = shape.columns.len();
        let opened = self.opened(execution, others, bytes);
        match visited {
            Err(Unopened(refusal)) => Err(*refusal),
            Ok(count) if count != columns => Err(unforeseen()),
            Ok(_) => Ok(opened),
        }
    }

    fn opened(&mut self, execution: Execution, others: u64, bytes: u64) -> Opened<'_> {
        Opened { row: &mut self.row, value: &mut self.opened, execution, cells: &self.cells, others, bytes }
    }

    /// The open form of one value of a field; of one that is not sealed, the value itself.
    fn open_value<'a>(
        &'a mut self,
        view: &View,
        field: FieldId,
        stored: &'a [u8],
    ) -> Result<&'a [u8], Refusal> {
        let field: &Field = view.snapshot().field(field).ok_or_else(unforeseen)?;
        let Some(domain) = &field.domain else { return Ok(stored) };
        let Some(sealer) = &mut self.sealer else {
            return Err(Refusal::does_not_open(&field.path(), "no keyring is loaded"));
        };
        let opened: &mut Plaintext = &mut self.opened;
        match sealer.open(domain, stored, opened) {
            Ok(()) => Ok(opened.expose()),
            Err(error) => Err(Refusal::does_not_open(&field.path(), why(&error))),
        }
    }
}

/// A text with a question mark in the place of each sealed value.
fn without_sealed(text: &[u8]) -> Vec<u8> {
    let of_sealed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let parts = text.chunk_by(|one, other| of_sealed(one) == of_sealed(other));
    parts.fold(Vec::with_capacity(text.len()), |mut out, part| {
        out.extend_from_slice(if header(part).is_some() { b"?" } else { part });
        out
    })
}

/// Of which of these fields a value is, as far as it names its domain.
fn field_of_value(view: &View, fields: &[FieldId], stored: &[u8]) -> Option<FieldId> {
    let tag = header(stored).map(|header| header.tag);
    let domain = |id: &FieldId| view.snapshot().field(*id)?.domain.as_ref();
    let own = fields.iter().find(|id| domain(id).map(|domain| domain_tag(&domain.name)) == tag);
    // One that names none of them does not open.
    own.or(fields.first()).copied()
}

fn why(error: &OpenError) -> &'static str {
    match error {
        OpenError::NotEnvelope => "the stored value is not sealed",
        OpenError::OtherDomain => "the stored value is sealed for another domain",
        OpenError::UnknownKeyVersion(_) => "it is sealed under a key version that the keyring lacks",
        OpenError::Altered => "it was altered, or sealed under another key",
        OpenError::OtherType => "it holds a value of another type",
        OpenError::UnknownDomain => "the keyring does not hold this field's domain",
    }
}

#[cfg(test)]
mod tests {
    use super::super::fuzz::{OPENED, sealed, workshop};
    use super::*;
    use crate::statement::fuzz_snapshot;
    use crate::wire::{Peek, peek};

    const EMAIL: FieldId = FieldId(0);

    fn view() -> View {
        View::new(Arc::new(fuzz_snapshot(1)))
    }

    fn facts(outputs: Vec<ResultColumn>) -> StatementFacts {
        StatementFacts { reads: vec![EMAIL], outputs, ..StatementFacts::default() }
    }

    fn origin(table_oid: u32, attribute: i16) -> Origin {
        Origin { table_oid, attribute, type_oid: 25, format: 0 }
    }

    /// The fuzz catalog's `customers.email`, its `id`, and columns of no and of another table.
    fn origins() -> [Origin; 4] {
        [origin(16_400, 2), origin(16_400, 1), origin(0, 0), origin(16_500, 2)]
    }

    /// Every way to lay out up to three columns.
    fn layouts() -> Vec<Vec<ResultColumn>> {
        let kinds = || {
            [
                ResultColumn::Plain,
                ResultColumn::Field(EMAIL),
                ResultColumn::Run(vec![]),
                ResultColumn::Run(vec![EMAIL]),
            ]
        };
        let mut all: Vec<Vec<ResultColumn>> = vec![vec![]];
        for length in 0..3 {
            let longer: Vec<_> = all
                .iter()
                .filter(|layout| layout.len() == length)
                .flat_map(|layout| kinds().map(|kind| [layout.as_slice(), &[kind]].concat()))
                .collect();
            all.extend(longer);
        }
        all
    }

    /// A sealed value in each of so many columns.
    fn row(width: usize) -> Vec<u8> {
        let mut row = Vec::new();
        put(&mut row, b'D', |out| {
            out.extend_from_slice(&u16::try_from(width).unwrap().to_be_bytes());
            (0..width).for_each(|_| put_value(out, Some(&sealed())));
        });
        row
    }

    #[test]
    fn a_value_is_opened_only_where_text_and_server_say_that_it_carries_the_field() {
        let (view, mut shop) = (view(), workshop());
        let (mut accepted, mut opened_some) = (0, 0);
        for outputs in layouts() {
            for width in 0..4_usize {
                for choice in 0..4_usize.pow(u32::try_from(width).unwrap()) {
                    let choose = |at: usize| origins()[choice / 4_usize.pow(u32::try_from(at).unwrap()) % 4];
                    let columns: Vec<Origin> = (0..width).map(choose).collect();
                    let facts = facts(outputs.clone());
                    let Ok(shape) = Shape::new(&columns, &view, &facts) else { continue };
                    accepted += 1;
                    let bytes = row(width);
                    let Ok(Peek::Whole(frame)) = peek(&bytes) else { panic!("a row") };
                    let execution = Execution { session: 1, number: 1 };
                    let Ok(opened) = shop.open_row(&view, &facts, &shape, false, execution, frame) else {
                        panic!("opens")
                    };
                    let count = opened.row.windows(OPENED.len()).filter(|part| *part == OPENED).count();
                    let said = columns.iter().filter(|origin| field_of(**origin, &view).is_some()).count();
                    let unsaid = columns.iter().filter(|origin| origin.table_oid == 0).count();
                    let sure = outputs.iter().filter(|column| **column == ResultColumn::Field(EMAIL)).count();
                    // Where the server says nothing, only the text's own place counts.
                    assert!(count >= said && count <= said + unsaid.min(sure), "{outputs:?} {columns:?}");
                    assert_eq!(opened.cells.iter().sum::<u64>(), count as u64, "{outputs:?} {columns:?}");
                    let carries = outputs.iter().any(|column| {
                        *column == ResultColumn::Field(EMAIL) || *column == ResultColumn::Run(vec![EMAIL])
                    });
                    assert_eq!(
                        count > 0,
                        carries,
                        "a field that is read is answered: {outputs:?} {columns:?}"
                    );
                    opened_some += usize::from(count > 0);
                }
            }
        }
        assert!(
            accepted > 100 && opened_some > 50,
            "the interesting layouts must occur: {accepted} {opened_some}"
        );
    }
}
