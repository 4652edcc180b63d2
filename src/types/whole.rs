//! What others ask of this room: a value, or an array of them, in either direction.

use super::fault::ValueFault;
use super::purpose::{Format, Purpose};
use super::read::Reading;
use super::style::Style;
use super::{array, show as shown};
use crate::catalog::{Base, Family, Kind, Logical};

/// Reads what a client gave as a value of type `given` for a column of type `wanted`, whose domain normalizes
/// by `kind`; appends the canonical text to `out`. `given` is None for a constant or parameter of type
/// unknown, which the input function of the wanted type reads; numbers and booleans that are written as
/// constants come as their own types, in text.
///
/// # Errors
///
/// What the server would say of the value, or that it is not known here what it would make of it. Nothing has
/// been appended then.
pub fn canonical(
    given: Option<&Logical>,
    format: Format,
    value: &[u8],
    wanted: &Logical,
    kind: &Kind,
    purpose: Purpose,
    style: &Style,
    out: &mut Vec<u8>,
) -> Result<(), ValueFault> {
    let start = out.len();
    let reading = Reading { given, wanted, kind, purpose, style };
    let result = if wanted.array || given.is_some_and(|given| given.array) {
        array::canonical(&reading, format, value, out)
    } else {
        reading.scalar(format, value, out)
    };
    if result.is_err() {
        out.truncate(start);
    }
    result
}

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
        shown::scalar(logical, canonical, format, style, out)
    };
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Writes a canonical text as `::text` of a value of this type; appends to `out`.
///
/// # Errors
///
/// As of [`show`].
pub fn text_of(
    logical: &Logical,
    canonical: &[u8],
    style: &Style,
    out: &mut Vec<u8>,
) -> Result<(), ValueFault> {
    match (logical.array, logical.base.family(), canonical) {
        // These have casts of their own, which write otherwise than they are shown.
        (false, Family::Bool, b"t") => out.extend_from_slice(b"true"),
        (false, Family::Bool, b"f") => out.extend_from_slice(b"false"),
        (false, Family::Network, _) => out.extend_from_slice(canonical),
        // Without the blanks that fill it.
        (false, Family::Text, _) if logical.base == Base::Bpchar => out.extend_from_slice(canonical),
        _ => return show(logical, canonical, Format::Text, style, out),
    }
    Ok(())
}
