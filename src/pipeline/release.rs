//! Opening on the way out: rows become [`Released`], and only that may be written to the
//! client. It takes the receipt of the very execution the row belongs to, or the permit
//! of what touches nothing.

use super::plan::Workshop;
use super::view::View;
use crate::audit::{Execution, Receipt};
use crate::catalog::{Field, FieldId};
use crate::policy::{Permit, Refusal};
use crate::seal::{OpenError, Plaintext, header, wipe};
use crate::statement::StatementFacts;
use crate::wire::backend::{DataRow, Origin};
use crate::wire::frame::put;
use crate::wire::frontend::put_value;
use crate::wire::{Frame, Malformed};

/// What to do with one column of a result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Column {
    /// Known to be unclassified: never looked into.
    Plain,
    /// The server says it is this field.
    Field(FieldId),
    /// The server does not say where it comes from (DISTINCT over a set, a derived
    /// column): opened if its own header names the domain of a field that is read.
    Unsaid,
}

/// The columns of one result.
pub struct Shape {
    columns: Vec<Column>,
    any: bool,
}

impl Shape {
    /// Combines the server's truth with the plan's.
    ///
    /// # Errors
    /// A classified field stands in the result that the plan did not foresee.
    pub fn new(origins: &[Origin], view: &View, facts: &StatementFacts) -> Result<Shape, Refusal> {
        let mut columns = Vec::with_capacity(origins.len());
        for origin in origins {
            columns.push(match view.snapshot().field_by_origin(origin.table_oid, origin.attribute) {
                Some(field) if facts.reads.contains(&field) => Column::Field(field),
                Some(_) => return Err(unforeseen()),
                None if origin.table_oid == 0 && !facts.reads.is_empty() => Column::Unsaid,
                None => Column::Plain,
            });
        }
        let any = columns.iter().any(|column| *column != Column::Plain);
        Ok(Shape { columns, any })
    }

    /// A statement that returns no rows.
    pub fn empty() -> Shape {
        Shape { columns: Vec::new(), any: false }
    }
}

/// A classified column in a result whose statement did not name it.
pub fn unforeseen() -> Refusal {
    Refusal::unhandled(
        "lineage",
        "The result holds a classified column that the statement's text does not account for.",
        "Read the column from its table.",
    )
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
        execution: Execution,
        frame: Frame<'_>,
    ) -> Result<Opened<'a>, Refusal> {
        // It is empty, unless the last one was never dropped: no row begins with another's.
        self.row.clear();
        self.cells.clear();
        if !shape.any {
            self.row.extend_from_slice(frame.bytes());
            return Ok(self.opened(execution, 0));
        }
        let malformed = |_: Malformed| Refusal::protocol("invalid DataRow message");
        let mut source = DataRow::read(frame.body()).map_err(malformed)?;
        self.cells.resize(facts.reads.len(), 0);
        let (mut row, mut cells, mut bytes) =
            (std::mem::take(&mut self.row), std::mem::take(&mut self.cells), 0);
        let mut failed = None;
        put(&mut row, b'D', |out| {
            out.extend_from_slice(&u16::try_from(source.left()).unwrap_or(u16::MAX).to_be_bytes());
            let mut columns = shape.columns.iter();
            while source.left() > 0 {
                let column = columns.next().copied().unwrap_or(Column::Unsaid);
                let result = source.next().map_err(malformed).and_then(|value| {
                    let Some(sealed) = value else {
                        put_value(out, None);
                        return Ok(());
                    };
                    let opened = self.open_value(view, facts, column, sealed)?;
                    if let Some((field, plain)) = opened {
                        let at = facts.reads.iter().position(|id| *id == field);
                        if let Some(count) = at.and_then(|at| cells.get_mut(at)) {
                            *count += 1;
                        }
                        bytes += plain.len() as u64;
                        put_value(out, Some(plain));
                    } else {
                        put_value(out, Some(sealed));
                    }
                    Ok(())
                });
                if let Err(refusal) = result {
                    failed = Some(refusal);
                    return;
                }
            }
        });
        (self.row, self.cells) = (row, cells);
        let opened = self.opened(execution, bytes);
        match failed {
            Some(refusal) => Err(refusal),
            None => Ok(opened),
        }
    }

    fn opened(&mut self, execution: Execution, bytes: u64) -> Opened<'_> {
        Opened { row: &mut self.row, value: &mut self.opened, execution, cells: &self.cells, bytes }
    }

    /// The field and the open form of one value; none where it is not classified.
    fn open_value<'a>(
        &'a mut self,
        view: &View,
        facts: &StatementFacts,
        column: Column,
        sealed: &'a [u8],
    ) -> Result<Option<(FieldId, &'a [u8])>, Refusal> {
        let field = match column {
            Column::Plain => None,
            Column::Field(field) => view.snapshot().field(field),
            Column::Unsaid => {
                let by_header = header(sealed).and_then(|header| {
                    let of_domain = |field: &&Field| {
                        field
                            .domain
                            .as_ref()
                            .is_some_and(|domain| crate::seal::domain_tag(&domain.name) == header.tag)
                    };
                    facts.reads.iter().filter_map(|id| view.snapshot().field(*id)).find(of_domain)
                });
                // An expression over what is not sealed shows it all the same.
                let derived = || view.snapshot().field(*facts.derived_reads.first()?);
                by_header.or_else(derived)
            }
        };
        let Some(field) = field else { return Ok(None) };
        let Some(domain) = &field.domain else { return Ok(Some((field.id, sealed))) };
        let Some(sealer) = &mut self.sealer else {
            return Err(Refusal::does_not_open(&field.path(), "no keyring is loaded"));
        };
        let opened: &mut Plaintext = &mut self.opened;
        match sealer.open(domain, sealed, opened) {
            Ok(()) => Ok(Some((field.id, opened.expose()))),
            Err(error) => Err(Refusal::does_not_open(&field.path(), why(&error))),
        }
    }
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
