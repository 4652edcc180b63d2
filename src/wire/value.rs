//! Text and binary forms of values: arrays of text, which a classified parameter may be
//! (`= ANY($1)`). PostgreSQL chapters "Arrays" (text form) and `array_send` (binary form).

use super::frontend::put_value;
use super::reader::{Malformed, Reader};

const ARRAY: Malformed = Malformed("invalid array value");

/// Most elements of one array parameter.
pub const ELEMENTS_MAX: usize = 65_536;

/// Rewrites each non-null element of a one-dimensional text array (`{a,"b c",NULL}`) and
/// appends the new array to `out`. `element` appends the new element, which must need no
/// quotes.
///
/// # Errors
/// More than one dimension, explicit bounds, or not an array; or what `element` says.
pub fn map_text_array<E: From<Malformed>>(
    value: &[u8],
    out: &mut Vec<u8>,
    mut element: impl FnMut(&[u8], &mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let inner =
        value.trim_ascii().strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")).ok_or(ARRAY)?;
    out.push(b'{');
    let mut rest = inner.trim_ascii_start();
    let mut count = 0_usize;
    while !rest.is_empty() {
        if count > 0 {
            out.push(b',');
        }
        count += 1;
        if count > ELEMENTS_MAX {
            return Err(ARRAY.into());
        }
        let (item, quoted, after) = array_item(rest)?;
        if !quoted && item.eq_ignore_ascii_case(b"null") {
            out.extend_from_slice(b"NULL");
        } else {
            element(&item, out)?;
        }
        rest = match after.split_first() {
            None => after,
            Some((b',', tail)) if !tail.trim_ascii_start().is_empty() => tail.trim_ascii_start(),
            Some(_) => return Err(ARRAY.into()),
        };
    }
    out.push(b'}');
    Ok(())
}

type Item<'a> = (zeroize::Zeroizing<Vec<u8>>, bool, &'a [u8]);

/// One element, whether it was quoted, and what follows it.
fn array_item(input: &[u8]) -> Result<Item<'_>, Malformed> {
    let mut item = zeroize::Zeroizing::new(Vec::with_capacity(input.len()));
    let mut bytes = input.iter().enumerate();
    let quoted = input.first() == Some(&b'"');
    if quoted {
        bytes.next();
    }
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => item.push(*bytes.next().ok_or(ARRAY)?.1),
            b'"' if quoted => {
                let after = input.get(at + 1..).unwrap_or(&[]).trim_ascii_start();
                return Ok((item, true, after));
            }
            b'"' | b'{' | b'}' if !quoted => return Err(ARRAY),
            b',' if !quoted => {
                let trimmed = item.trim_ascii_end().len();
                item.truncate(trimmed);
                return if item.is_empty() {
                    Err(ARRAY)
                } else {
                    Ok((item, false, input.get(at..).unwrap_or(&[])))
                };
            }
            _ => item.push(*byte),
        }
    }
    let trimmed = item.trim_ascii_end().len();
    item.truncate(trimmed);
    if quoted || item.is_empty() { Err(ARRAY) } else { Ok((item, false, &[])) }
}

/// The elements of a one-dimensional text array that are not null; none where it is no such
/// array of UTF-8 text.
#[must_use]
pub fn text_array(value: &[u8]) -> Option<Vec<String>> {
    let mut elements = Vec::new();
    let mut put = |element: &[u8], _: &mut Vec<u8>| -> Result<(), Malformed> {
        elements.push(String::from_utf8(element.to_vec()).map_err(|_| ARRAY)?);
        Ok(())
    };
    map_text_array(value, &mut Vec::new(), &mut put).ok()?;
    Some(elements)
}

/// Rewrites each non-null element of a one-dimensional binary array and appends the new
/// array, whose elements are of the type with this OID, to `out`. `element` is given the OID of their
/// type, too.
///
/// # Errors
/// More than one dimension, lengths that do not fit; or what `element` says.
pub fn map_binary_array<E: From<Malformed>>(
    value: &[u8],
    new_type: u32,
    out: &mut Vec<u8>,
    mut element: impl FnMut(u32, &[u8], &mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = Reader::new(value, ARRAY.0);
    let dimensions = reader.u32()?;
    let flags = reader.u32()?;
    let element_type = reader.u32()?;
    out.extend_from_slice(&dimensions.to_be_bytes());
    out.extend_from_slice(&flags.to_be_bytes());
    out.extend_from_slice(&new_type.to_be_bytes());
    match dimensions {
        0 => {}
        1 => {
            let count = reader.u32()?;
            out.extend_from_slice(&count.to_be_bytes());
            out.extend_from_slice(&reader.u32()?.to_be_bytes());
            if usize::try_from(count).unwrap_or(usize::MAX) > ELEMENTS_MAX {
                return Err(ARRAY.into());
            }
            let mut sealed = Vec::new();
            for _ in 0..count {
                match usize::try_from(reader.i32()?) {
                    Err(_) => put_value(out, None),
                    Ok(length) => {
                        sealed.clear();
                        element(element_type, reader.bytes(length)?, &mut sealed)?;
                        put_value(out, Some(&sealed));
                    }
                }
            }
        }
        _ => return Err(ARRAY.into()),
    }
    Ok(reader.end()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(item: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        out.push(b'<');
        out.extend_from_slice(item);
        out.push(b'>');
        Ok(())
    }

    #[test]
    fn text_arrays_are_rewritten_element_by_element() {
        for (from, to) in [
            ("{}", "{}"),
            ("{a}", "{<a>}"),
            ("{a,b c ,NULL,\"NULL\"}", "{<a>,<b c>,NULL,<NULL>}"),
            (r#"{"a,\"b\\","{x}"}"#, r#"{<a,"b\>,<{x}>}"#),
            ("{\"\", a}", "{<>,<a>}"),
        ] {
            let mut out = Vec::new();
            map_text_array(from.as_bytes(), &mut out, mark).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), to, "{from}");
        }
    }

    #[test]
    fn refuses_text_arrays_it_cannot_follow() {
        for bad in
            ["", "a", "{a", "{{a}}", "{a,}", "{,a}", "{\"a}", "[1:1]={a}", "{a\"b\"}", "{a,,b}", "{\"a\"b}"]
        {
            assert!(map_text_array(bad.as_bytes(), &mut Vec::new(), mark).is_err(), "{bad}");
        }
    }

    #[test]
    fn binary_arrays_are_rewritten_and_bounded() {
        let mut array = Vec::new();
        for number in [1_u32, 1, 1043, 2, 1] {
            array.extend_from_slice(&number.to_be_bytes());
        }
        put_value(&mut array, Some(b"a"));
        put_value(&mut array, None);
        let mut out = Vec::new();
        map_binary_array(&array, 25, &mut out, |of, item, out| {
            assert_eq!(of, 1043);
            mark(item, out)
        })
        .unwrap();
        assert_eq!(&out[8..12], 25_u32.to_be_bytes());
        assert_eq!(&out[20..], b"\0\0\0\x03<a>\xff\xff\xff\xff");
        for end in 0..array.len() {
            let cut = map_binary_array(&array[..end], 25, &mut Vec::new(), |_, item, out| mark(item, out));
            assert!(cut.is_err(), "{end}");
        }
    }
}
