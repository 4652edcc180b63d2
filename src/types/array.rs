//! One-dimensional arrays: `{a,"b c",NULL}`, whose elements are written as their type writes them.

use zeroize::Zeroizing;

use super::fault::{LENGTH_MAX, ValueFault, sql_name};
use super::purpose::Format;
use super::read::Reading;
use super::scan::{Scan, is_space, trim};
use super::show;
use super::style::Style;
use crate::catalog::{Base, Logical};

/// Elements of one array.
const ELEMENTS_MAX: usize = 1 << 24;

fn malformed() -> ValueFault {
    ValueFault::new("22P02", "malformed array literal")
}

fn dimensions() -> ValueFault {
    ValueFault::unsupported("an array of a sealed column has one dimension, and begins at 1")
}

/// What PostgreSQL finds wrong with the text of an array, before it reads any element; nothing: it may be one.
#[must_use]
pub fn fault_of_array(text: &[u8]) -> Option<ValueFault> {
    let read = || {
        let mut elements = Elements::new(text)?;
        let mut scratch = Zeroizing::new(Vec::new());
        while elements.next(&mut scratch)?.is_some() {}
        Ok(())
    };
    read().err()
}

/// Elements in the order of a text, without their quotes. None: NULL.
struct Elements<'a> {
    scan: Scan<'a>,
    /// Nothing has been read yet.
    first: bool,
}

impl<'a> Elements<'a> {
    fn new(text: &'a [u8]) -> Result<Elements<'a>, ValueFault> {
        let text = trim(text);
        if text.starts_with(b"[") {
            return Err(dimensions());
        }
        let inner = text.strip_prefix(b"{").ok_or_else(malformed)?;
        Ok(Elements { scan: Scan::new(inner), first: true })
    }

    /// The next one, in `scratch`. None: there is no other.
    fn next(&mut self, scratch: &mut Vec<u8>) -> Result<Option<Element>, ValueFault> {
        self.scan.run(is_space);
        let first = std::mem::replace(&mut self.first, false);
        if first && self.scan.take(b'}') {
            return self.end().map(|()| None);
        }
        if !first {
            match self.scan.next() {
                Some(b',') => {}
                Some(b'}') => return self.end().map(|()| None),
                _ => return Err(malformed()),
            }
            self.scan.run(is_space);
        }
        scratch.clear();
        if self.scan.take(b'"') {
            self.quoted(scratch)?;
            self.scan.run(is_space);
            return Ok(Some(Element::Value));
        }
        self.bare(scratch)
    }

    fn end(&mut self) -> Result<(), ValueFault> {
        self.scan.run(is_space);
        if self.scan.is_empty() { Ok(()) } else { Err(malformed()) }
    }

    fn quoted(&mut self, scratch: &mut Vec<u8>) -> Result<(), ValueFault> {
        loop {
            match self.scan.next() {
                Some(b'"') => return Ok(()),
                Some(b'\\') => scratch.push(self.scan.next().ok_or_else(malformed)?),
                Some(byte) => scratch.push(byte),
                None => return Err(malformed()),
            }
        }
    }

    fn bare(&mut self, scratch: &mut Vec<u8>) -> Result<Option<Element>, ValueFault> {
        // Blanks at its end do not count, unless they are escaped.
        let mut kept = 0;
        let mut escaped = false;
        loop {
            match self.scan.peek() {
                Some(b'{') if scratch.is_empty() => return Err(dimensions()),
                Some(b'"' | b'{') | None => return Err(malformed()),
                Some(b',' | b'}') => break,
                Some(b'\\') => {
                    self.scan.next();
                    scratch.push(self.scan.next().ok_or_else(malformed)?);
                    (kept, escaped) = (scratch.len(), true);
                }
                Some(byte) => {
                    self.scan.next();
                    scratch.push(byte);
                    if !is_space(byte) {
                        kept = scratch.len();
                    }
                }
            }
        }
        scratch.truncate(kept);
        if scratch.is_empty() {
            return Err(malformed());
        }
        let null = !escaped && scratch.eq_ignore_ascii_case(b"null");
        Ok(Some(if null { Element::Null } else { Element::Value }))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Element {
    Null,
    Value,
}

/// Appends an element, with quotes where it would be read otherwise without them.
fn push(out: &mut Vec<u8>, element: &[u8]) {
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | b'{' | b'}' | b',') || is_space(*byte);
    if !element.is_empty() && !element.eq_ignore_ascii_case(b"null") && !element.iter().any(special) {
        out.extend_from_slice(element);
        return;
    }
    out.push(b'"');
    for byte in element {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

fn bounded(out: &[u8], start: usize) -> Result<(), ValueFault> {
    if out.len() - start > LENGTH_MAX { Err(ValueFault::length()) } else { Ok(()) }
}

/// What is written of an array, element by element.
struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    count: usize,
}

impl<'a> Writer<'a> {
    fn new(out: &'a mut Vec<u8>) -> Writer<'a> {
        let start = out.len();
        out.push(b'{');
        Writer { out, start, count: 0 }
    }

    /// None: NULL.
    fn element(&mut self, element: Option<&[u8]>) -> Result<(), ValueFault> {
        if self.count >= ELEMENTS_MAX {
            return Err(ValueFault::new("54000", "array size exceeds the maximum allowed"));
        }
        if self.count > 0 {
            self.out.push(b',');
        }
        self.count += 1;
        match element {
            Some(element) => push(self.out, element),
            None => self.out.extend_from_slice(b"NULL"),
        }
        bounded(self.out, self.start)
    }

    fn end(self) {
        self.out.push(b'}');
    }
}

/// Appends the canonical text of an array.
pub(super) fn canonical(
    reading: &Reading<'_>,
    format: Format,
    value: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), ValueFault> {
    let source = reading.given.unwrap_or(reading.wanted);
    if !source.array || !reading.wanted.array {
        let name = |logical: &Logical| {
            format!("{}{}", sql_name(logical.base), if logical.array { "[]" } else { "" })
        };
        return Err(ValueFault::new(
            "42804",
            format!("column is of type {} but expression is of type {}", name(reading.wanted), name(source)),
        ));
    }
    let (mut one, mut element) = (Zeroizing::new(Vec::new()), Zeroizing::new(Vec::new()));
    let mut writer = Writer::new(out);
    let mut write = |writer: &mut Writer<'_>, format, value: &[u8]| {
        one.clear();
        reading.scalar(format, value, &mut one)?;
        writer.element(Some(&one))
    };
    match format {
        Format::Text => {
            super::text::read(value)?;
            let mut elements = Elements::new(value)?;
            while let Some(next) = elements.next(&mut element)? {
                match next {
                    Element::Null => writer.element(None)?,
                    Element::Value => write(&mut writer, Format::Text, &element)?,
                }
            }
        }
        Format::Binary => {
            let mut elements = Binary::new(value, source.base)?;
            while let Some(next) = elements.next()? {
                match next {
                    None => writer.element(None)?,
                    Some(value) => write(&mut writer, Format::Binary, value)?,
                }
            }
        }
    }
    writer.end();
    Ok(())
}

/// Elements in the order of the binary format.
struct Binary<'a> {
    scan: Scan<'a>,
    left: usize,
}

fn short() -> ValueFault {
    ValueFault::new("08P01", "insufficient data left in message")
}

impl<'a> Binary<'a> {
    fn new(value: &'a [u8], base: Base) -> Result<Binary<'a>, ValueFault> {
        let mut scan = Scan::new(value);
        let mut field = || scan.array().map(i32::from_be_bytes).ok_or_else(short);
        let (of_dimensions, flags, element) = (field()?, field()?, field()?);
        if !(0..=6).contains(&of_dimensions) {
            return Err(ValueFault::new("54000", "number of array dimensions exceeds the maximum allowed"));
        }
        if flags != 0 && flags != 1 {
            return Err(ValueFault::new("22P03", "invalid array flags"));
        }
        let known = base.oids().is_none_or(|(oid, _)| u32::try_from(element) == Ok(oid));
        if !known {
            return Err(ValueFault::new("42804", "binary data has another array element type"));
        }
        let left = match of_dimensions {
            0 => 0,
            1 => {
                let (count, lower) = (field()?, field()?);
                if lower != 1 {
                    return Err(dimensions());
                }
                usize::try_from(count).map_err(|_| ValueFault::new("54000", "invalid array size"))?
            }
            _ => return Err(dimensions()),
        };
        Ok(Binary { scan, left })
    }

    fn next(&mut self) -> Result<Option<Option<&'a [u8]>>, ValueFault> {
        let Some(left) = self.left.checked_sub(1) else {
            return if self.scan.is_empty() { Ok(None) } else { Err(ValueFault::binary("array")) };
        };
        self.left = left;
        match self.scan.array().map(i32::from_be_bytes).ok_or_else(short)? {
            -1 => Ok(Some(None)),
            length => {
                let bytes = usize::try_from(length).ok().and_then(|length| self.scan.bytes(length));
                Ok(Some(Some(bytes.ok_or_else(|| ValueFault::binary("array"))?)))
            }
        }
    }
}

/// Appends an array as a client sees it.
pub(super) fn show_array(
    logical: &Logical,
    canonical: &[u8],
    format: Format,
    style: &Style,
    out: &mut Vec<u8>,
) -> Result<(), ValueFault> {
    let of = Logical { array: false, ..*logical };
    let none = |_| ValueFault::canonical(&format!("{}[]", sql_name(logical.base)));
    let mut elements = Elements::new(canonical).map_err(none)?;
    let mut element = Zeroizing::new(Vec::new());
    if format == Format::Text {
        let mut one = Zeroizing::new(Vec::new());
        let mut writer = Writer::new(out);
        while let Some(next) = elements.next(&mut element).map_err(none)? {
            if next == Element::Null {
                writer.element(None)?;
                continue;
            }
            one.clear();
            show::scalar(&of, &element, format, style, &mut one)?;
            writer.element(Some(&one))?;
        }
        writer.end();
        return Ok(());
    }
    let Some((oid, _)) = logical.base.oids() else {
        return Err(ValueFault::unsupported("an array of this type is sent as text alone"));
    };
    let start = out.len();
    // Dimensions, flags, type, count and lower bound.
    for field in [1, 0, oid, 0, 1] {
        out.extend(field.to_be_bytes());
    }
    let (mut count, mut nulls) = (0_u32, 0_u32);
    while let Some(next) = elements.next(&mut element).map_err(none)? {
        count += 1;
        let at = out.len();
        out.extend((-1_i32).to_be_bytes());
        if next == Element::Null {
            nulls = 1;
            continue;
        }
        show::scalar(&of, &element, format, style, out)?;
        bounded(out, start)?;
        let length = i32::try_from(out.len() - at - 4).map_err(|_| ValueFault::range("array"))?;
        put(out, at, length.cast_unsigned());
    }
    put(out, start + 4, nulls);
    if count == 0 {
        put(out, start, 0);
        out.truncate(start + 12);
    } else {
        put(out, start + 12, count);
    }
    Ok(())
}

fn put(out: &mut [u8], at: usize, value: u32) {
    for (place, byte) in out.iter_mut().skip(at).zip(value.to_be_bytes()) {
        *place = byte;
    }
}
