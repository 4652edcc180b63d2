//! Opening on the way out: rows become [`Released`], and only that may be written to the
//! client. It takes the receipt of the very execution the row belongs to, or the permit
//! of what touches nothing.

use super::letters::{encoded_elements, is_text};
use super::plan::Workshop;
use super::shape::{Column, Shape, unforeseen};
use super::view::View;
use crate::audit::{Cover, Execution};
use crate::catalog::{Field, FieldId, Logical};
use crate::policy::{Permit, Refusal};
use crate::seal::{OpenError, Plaintext, domain_tag, header, wipe};
use crate::statement::StatementFacts;
use crate::types::{Format, Style, ValueFault, show, text_of};
use crate::watch::Trap;
use crate::wire::backend::DataRow;
use crate::wire::charset::{Charset, Unmapped};
use crate::wire::copy::{self, Broken, Layout, Value};
use crate::wire::frame::put;
use crate::wire::frontend::put_value;
use crate::wire::{Frame, Malformed};

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

/// How a client reads the values of a result.
pub(super) struct Look<'a> {
    pub shape: &'a Shape,
    /// The format codes of its Bind.
    pub formats: Option<&'a [u8]>,
    pub style: &'a Style,
    /// In which text is shown, where that is not UTF-8.
    pub charset: Option<&'static Charset>,
    /// Sealed values are given as they are stored.
    pub stored: bool,
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

/// As how many values one counts at the most: what an expression makes may hold those of many rows
/// (`string_agg(city, ',')`), as words.
fn values_in(column: &Column, stored: &[u8]) -> u64 {
    match column {
        Column::Derived(_) => words(stored),
        Column::Plain | Column::Field(_) | Column::Sealed(..) | Column::Text(_) => 1,
    }
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
    /// A honey record is among them: what is done about it.
    pub honey: Option<Trap>,
}

impl Opened<'_> {
    /// How many values it shows that must be covered.
    pub fn values(&self) -> u64 {
        self.cells.iter().sum::<u64>().saturating_add(self.others)
    }

    /// Only what covers the same execution releases the row; of a lease its values are reserved.
    pub fn release(&self, cover: &Cover, now_ms: u64) -> Option<Released<'_>> {
        cover.reserve(self.execution, self.values(), now_ms).then_some(Released(self.row))
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
        look: &Look<'_>,
        possibly: bool,
        execution: Execution,
        frame: Frame<'_>,
    ) -> Result<Opened<'a>, Refusal> {
        let shape = look.shape;
        self.met_honey = None;
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
        let mut as_text = zeroize::Zeroizing::new(Vec::new());
        put(&mut row, b'D', |out| {
            out.extend_from_slice(&u16::try_from(source.left()).unwrap_or(u16::MAX).to_be_bytes());
            let mut columns = shape.columns.iter();
            let mut index = 0;
            while source.left() > 0 {
                let column = columns.next();
                let result = source.next().map_err(malformed).and_then(|value| {
                    let column = column.ok_or_else(unforeseen)?;
                    let Some(stored) = value else {
                        put_value(out, None);
                        return Ok(());
                    };
                    let fields = column.fields();
                    let held = values_in(column, stored);
                    for field in fields {
                        let at = facts.reads.iter().position(|id| id == field);
                        if let Some(count) = at.and_then(|at| cells.get_mut(at)) {
                            *count += held;
                        }
                    }
                    let shown = match column {
                        Column::Field(field) => self.open_value(view, *field, stored)?,
                        Column::Sealed(fields, _) => {
                            let field = field_of_value(view, fields, stored).ok_or_else(unforeseen)?;
                            self.open_value(view, field, stored)?
                        }
                        Column::Text(fields) => {
                            let field = field_of_value(view, fields, stored).ok_or_else(unforeseen)?;
                            let shown = self.open_value(view, field, stored)?;
                            as_text.clear();
                            put_text(view, field, shown, look.style, &mut as_text)?;
                            as_text.as_slice()
                        }
                        Column::Plain | Column::Derived(_) => stored,
                    };
                    if !fields.is_empty() || possibly {
                        bytes += shown.len() as u64;
                    }
                    if possibly && fields.is_empty() {
                        others += words(shown);
                    }
                    let at = out.len();
                    match shape.shown(index) {
                        None => put_value(out, Some(shown)),
                        Some(logical) => put_shown(out, &logical, shown, look, index)
                            .map_err(|fault| does_not_show(view, fields, &fault))?,
                    }
                    match look.charset.filter(|_| column.is_opened(view)) {
                        Some(charset) => {
                            let format = shape.format(index, look.formats);
                            put_in_place(out, at, charset, format, shape.shown(index))
                                .map_err(|_| has_no_form(view, fields, charset))
                        }
                        None => Ok(()),
                    }
                });
                index += 1;
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
        look: &Look<'_>,
        format: &copy::Format,
        possibly: bool,
        execution: Execution,
        line: &[u8],
    ) -> Result<Opened<'a>, Refusal> {
        self.met_honey = None;
        self.row.clear();
        self.cells.clear();
        self.cells.resize(facts.reads.len(), 0);
        let (mut row, mut cells) = (std::mem::take(&mut self.row), std::mem::take(&mut self.cells));
        let (mut others, mut bytes) = (0, 0);
        let shape = look.shape;
        let form = if format.layout == Layout::Binary { Format::Binary } else { Format::Text };
        let mut written = zeroize::Zeroizing::new(Vec::new());
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
                let sealed_in =
                    |id: &FieldId| view.snapshot().field(*id).is_some_and(|field| field.domain.is_some());
                let fields = column.fields();
                if look.stored && !fields.is_empty() && fields.iter().all(sealed_in) {
                    bytes += stored.len() as u64;
                    format.put_as_it_is(&mut row, at, raw);
                    return Ok(());
                }
                let held = values_in(column, &stored);
                for field in fields {
                    let at = facts.reads.iter().position(|id| id == field);
                    if let Some(count) = at.and_then(|at| cells.get_mut(at)) {
                        *count += held;
                    }
                }
                let sealed = match column {
                    Column::Field(field) => Some(*field),
                    Column::Sealed(fields, _) | Column::Text(fields) => {
                        Some(field_of_value(view, fields, &stored).ok_or_else(unforeseen)?)
                    }
                    Column::Plain | Column::Derived(_) => None,
                };
                match sealed.filter(sealed_in) {
                    Some(field) => {
                        let mut shown = self.open_value(view, field, &stored)?;
                        bytes += shown.len() as u64;
                        if matches!(column, Column::Text(_)) {
                            written.clear();
                            put_text(view, field, shown, look.style, &mut written)?;
                            shown = written.as_slice();
                        } else if let Some(logical) = shape.shown(at) {
                            written.clear();
                            show(&logical, shown, form, look.style, &mut written)
                                .map_err(|fault| does_not_show(view, fields, &fault))?;
                            shown = written.as_slice();
                        }
                        let mut converted = zeroize::Zeroizing::new(Vec::new());
                        if let Some(charset) = look.charset.filter(|_| !shown.is_ascii()) {
                            let text = is_text(form, &shape.shown(at).unwrap_or(Logical::TEXT));
                            let no_form = |_| has_no_form(view, fields, charset);
                            match text {
                                Some(true) => {
                                    converted.extend_from_slice(shown);
                                    charset.encode_from(&mut converted, 0).map_err(no_form)?;
                                    shown = converted.as_slice();
                                }
                                Some(false) => {}
                                None => {
                                    converted = encoded_elements(charset, shown).map_err(no_form)?;
                                    shown = converted.as_slice();
                                }
                            }
                        }
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
        let honey = self.met_honey;
        Opened {
            row: &mut self.row,
            value: &mut self.opened,
            execution,
            cells: &self.cells,
            others,
            bytes,
            honey,
        }
    }

    /// The open form of one value of a field; of one that is not sealed, the value itself.
    pub(super) fn open_value<'a>(
        &'a mut self,
        view: &View,
        field: FieldId,
        stored: &'a [u8],
    ) -> Result<&'a [u8], Refusal> {
        let field: &Field = view.snapshot().field(field).ok_or_else(unforeseen)?;
        let Some(domain) = &field.domain else { return Ok(stored) };
        self.look_for_honey(stored);
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

/// Appends an opened value as a client sees a value of this type.
fn put_shown(
    out: &mut Vec<u8>,
    logical: &Logical,
    canonical: &[u8],
    look: &Look<'_>,
    index: usize,
) -> Result<(), ValueFault> {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    show(logical, canonical, look.shape.format(index, look.formats), look.style, out)?;
    let length = i32::try_from(out.len() - at - 4).unwrap_or(i32::MAX);
    if let Some(slot) = out.get_mut(at..at + 4) {
        slot.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

/// Puts a value that stands from `at` on, with its length before it, into the client's own form.
fn put_in_place(
    out: &mut Vec<u8>,
    at: usize,
    charset: &Charset,
    format: Format,
    shown: Option<Logical>,
) -> Result<(), Unmapped> {
    if out.get(at + 4..).is_none_or(<[u8]>::is_ascii) {
        return Ok(());
    }
    match is_text(format, &shown.unwrap_or(Logical::TEXT)) {
        Some(true) => charset.encode_from(out, at + 4)?,
        Some(false) => return Ok(()),
        None => {
            // No longer than what it takes the place of.
            let array = encoded_elements(charset, out.get(at + 4..).unwrap_or_default())?;
            out.truncate(at + 4);
            out.extend_from_slice(&array);
        }
    }
    let length = i32::try_from(out.len() - at - 4).unwrap_or(i32::MAX);
    if let Some(slot) = out.get_mut(at..at + 4) {
        slot.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

/// A client whose encoding has no form for a character of a value.
fn has_no_form(view: &View, fields: &[FieldId], charset: &Charset) -> Refusal {
    let field = fields.first().and_then(|id| view.snapshot().field(*id));
    Refusal::has_no_form(&field.map_or_else(String::new, Field::path), charset.name())
}

/// Appends the text that the server makes of a value of this field.
fn put_text(
    view: &View,
    field: FieldId,
    canonical: &[u8],
    style: &Style,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let logical = view.snapshot().field(field).ok_or_else(unforeseen)?.logical;
    text_of(&logical, canonical, style, out).map_err(|fault| does_not_show(view, &[field], &fault))
}

fn does_not_show(view: &View, fields: &[FieldId], fault: &ValueFault) -> Refusal {
    let field = fields.first().and_then(|id| view.snapshot().field(*id));
    Refusal::does_not_open(&field.map_or_else(String::new, Field::path), &fault.message)
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
    use std::sync::Arc;

    use super::super::fuzz::{OPENED, sealed, workshop};
    use super::super::shape::field_of;
    use super::*;
    use crate::statement::{ResultColumn, fuzz_snapshot};
    use crate::wire::backend::Origin;
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
                    let look = Look {
                        shape: &shape,
                        formats: None,
                        style: &Style::default(),
                        charset: None,
                        stored: false,
                    };
                    let Ok(opened) = shop.open_row(&view, &facts, &look, false, execution, frame) else {
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
