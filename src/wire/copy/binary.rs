//! The binary form of COPY's data.

use super::{Broken, Piece, Plain, Value};

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Behind the signature: flags and the length of an extension.
const PREAMBLE_BYTES: usize = 19;
/// Longest extension of the preamble; none is defined.
const EXTENSION_BYTES_MAX: usize = 4_096;

const BROKEN: Broken = Broken("not of COPY's binary form");

fn number<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..at.checked_add(N)?)?.try_into().ok()
}

pub(super) fn piece(data: &[u8], began: bool) -> Result<Piece, Broken> {
    if !began {
        let known = data.len().min(SIGNATURE.len());
        if data.get(..known) != SIGNATURE.get(..known) {
            return Err(BROKEN);
        }
        let Some(length) = number::<4>(data, 15) else { return Ok(Piece::More) };
        let length = usize::try_from(i32::from_be_bytes(length)).map_err(|_| BROKEN)?;
        if length > EXTENSION_BYTES_MAX {
            return Err(BROKEN);
        }
        let whole = PREAMBLE_BYTES + length;
        return Ok(if data.len() >= whole { Piece::Preamble(whole) } else { Piece::More });
    }
    let Some(fields) = number::<2>(data, 0) else { return Ok(Piece::More) };
    let fields = i16::from_be_bytes(fields);
    if fields == -1 {
        return Ok(Piece::End(2));
    }
    let fields = usize::try_from(fields).map_err(|_| BROKEN)?;
    let mut at = 2;
    for _ in 0..fields {
        let Some(length) = number::<4>(data, at) else { return Ok(Piece::More) };
        let length = i32::from_be_bytes(length);
        at += 4;
        match usize::try_from(length) {
            Ok(length) => at = at.checked_add(length).ok_or(BROKEN)?,
            Err(_) if length == -1 => {}
            Err(_) => return Err(BROKEN),
        }
        if at > data.len() {
            return Ok(Piece::More);
        }
    }
    Ok(Piece::Row(at, 0))
}

pub(super) fn visit<'a, E: From<Broken>>(
    row: &'a [u8],
    field: &mut impl FnMut(usize, &'a [u8], Option<Value<'a>>) -> Result<(), E>,
    wanted: impl Fn(usize) -> bool,
) -> Result<usize, E> {
    let fields = usize::from(u16::from_be_bytes(number::<2>(row, 0).ok_or(BROKEN)?));
    let mut at = 2;
    for column in 0..fields {
        let length = i32::from_be_bytes(number::<4>(row, at).ok_or(BROKEN)?);
        let end = at + 4 + usize::try_from(length).unwrap_or(0);
        let raw = row.get(at..end).ok_or(BROKEN)?;
        let value = wanted(column).then(|| match raw.get(4..) {
            Some(value) if length >= 0 => Value::Given(Plain::Stands(value)),
            Some(_) | None => Value::Null,
        });
        field(column, raw, value)?;
        at = end;
    }
    if at == row.len() { Ok(fields) } else { Err(BROKEN.into()) }
}
