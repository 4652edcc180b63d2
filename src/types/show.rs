//! From a canonical text to what a session sees.

use super::array;
use super::fault::ValueFault;
use super::style::Style;
use super::value::{Value, sql_name};
use super::{Format, text};
use crate::catalog::{Family, Logical};

/// Writes a canonical text as a client sees a column of this type; appends to `out`.
///
/// # Errors
///
/// It is no canonical text of this type, or the session's zone is not known. Nothing has been appended then.
pub fn show(
    logical: &Logical,
    canonical: &[u8],
    format: Format,
    style: &Style,
    out: &mut Vec<u8>,
) -> Result<(), ValueFault> {
    let start = out.len();
    let result = if logical.array {
        array::show_array(logical, canonical, format, style, out)
    } else {
        scalar(logical, canonical, format, style, out)
    };
    if result.is_err() {
        out.truncate(start);
    }
    result
}

pub(super) fn scalar(
    logical: &Logical,
    canonical: &[u8],
    format: Format,
    style: &Style,
    out: &mut Vec<u8>,
) -> Result<(), ValueFault> {
    let base = logical.base;
    let none = || ValueFault::canonical(sql_name(base));
    let value = Value::from_canonical(base, canonical).ok_or_else(none)?;
    if base.family() == Family::Text {
        text::show(logical, canonical, out);
        return Ok(());
    }
    match format {
        Format::Text if value.is_seen_as_written(style) => {
            out.extend_from_slice(canonical);
            Ok(())
        }
        Format::Text => value.show(base, style, out),
        Format::Binary => value.write_binary(base, out),
    }
}
