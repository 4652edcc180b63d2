//! From a canonical text to what a session sees, of one value.

use super::fault::{ValueFault, sql_name};
use super::purpose::Format;
use super::style::Style;
use super::text;
use super::value::Value;
use crate::catalog::{Family, Logical};

/// Appends one value.
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
