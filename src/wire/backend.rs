//! Messages of the server that the street must understand.

use super::frame::{Frame, put};
use super::reader::{Malformed, Reader};

/// Where one result column comes from, as the server knows it, and its format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// `pg_class.oid`, 0 where the column is not a plain column of a table.
    pub table_oid: u32,
    /// `pg_attribute.attnum`, 0 likewise.
    pub attribute: i16,
    pub type_oid: u32,
    /// 0 text, 1 binary.
    pub format: u16,
}

/// The origins in a RowDescription body, in column order.
///
/// # Errors
/// The body is not a RowDescription.
pub fn read_row_description(body: &[u8]) -> Result<Vec<Origin>, Malformed> {
    let mut origins = Vec::new();
    visit_row_description(body, |origin| origins.push(origin))?;
    Ok(origins)
}

/// Shows each origin in a RowDescription body, in column order, without keeping them.
///
/// # Errors
/// The body is not a RowDescription.
pub fn visit_row_description(body: &[u8], mut visit: impl FnMut(Origin)) -> Result<(), Malformed> {
    let mut reader = Reader::new(body, "invalid RowDescription message");
    let count = reader.u16()?;
    for _ in 0..count {
        reader.cstr()?;
        let table_oid = reader.u32()?;
        let attribute = reader.i16()?;
        let type_oid = reader.u32()?;
        reader.bytes(6)?;
        visit(Origin { table_oid, attribute, type_oid, format: reader.u16()? });
    }
    reader.end()
}

/// What RowDescription says of a column's type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TypeTold {
    /// `pg_type.oid`.
    pub oid: u32,
    /// `pg_type.typlen`.
    pub length: i16,
    /// `pg_attribute.atttypmod`.
    pub modifier: i32,
}

/// Appends a RowDescription with other types for the columns of which `told` says one, by their index.
///
/// # Errors
/// The frame is none.
pub fn put_row_description(
    out: &mut Vec<u8>,
    frame: Frame<'_>,
    told: impl Fn(usize) -> Option<TypeTold>,
) -> Result<(), Malformed> {
    let mut reader = Reader::new(frame.body(), "invalid RowDescription message");
    let start = out.len();
    let count = reader.u16()?;
    let mut written = Ok(());
    put(out, frame.tag(), |out| {
        out.extend_from_slice(&count.to_be_bytes());
        written = (0..usize::from(count)).try_for_each(|index| {
            let name = reader.cstr()?;
            out.extend_from_slice(name);
            out.push(0);
            out.extend_from_slice(reader.bytes(6)?);
            let own = reader.bytes(10)?;
            match told(index) {
                Some(told) => {
                    out.extend_from_slice(&told.oid.to_be_bytes());
                    out.extend_from_slice(&told.length.to_be_bytes());
                    out.extend_from_slice(&told.modifier.to_be_bytes());
                }
                None => out.extend_from_slice(own),
            }
            out.extend_from_slice(reader.bytes(2)?);
            Ok(())
        });
    });
    written.and_then(|()| reader.end()).inspect_err(|_| out.truncate(start))
}

/// The type OIDs of a ParameterDescription body.
///
/// # Errors
/// It is none.
pub fn read_parameter_description(body: &[u8]) -> Result<Vec<u32>, Malformed> {
    let mut reader = Reader::new(body, "invalid ParameterDescription message");
    let count = reader.u16()?;
    let oids = (0..count).map(|_| reader.u32()).collect::<Result<Vec<_>, _>>()?;
    reader.end()?;
    Ok(oids)
}

/// Appends a ParameterDescription.
pub fn put_parameter_description(out: &mut Vec<u8>, oids: &[u32]) {
    put(out, b't', |out| {
        out.extend_from_slice(&u16::try_from(oids.len()).unwrap_or(u16::MAX).to_be_bytes());
        for oid in oids {
            out.extend_from_slice(&oid.to_be_bytes());
        }
    });
}

/// The values of a DataRow body.
pub struct DataRow<'a> {
    reader: Reader<'a>,
    left: usize,
}

impl<'a> DataRow<'a> {
    /// # Errors
    /// No column count.
    pub fn read(body: &'a [u8]) -> Result<DataRow<'a>, Malformed> {
        let mut reader = Reader::new(body, "invalid DataRow message");
        let left = usize::from(reader.u16()?);
        Ok(DataRow { reader, left })
    }

    /// Number of columns not yet read.
    #[must_use]
    pub fn left(&self) -> usize {
        self.left
    }

    /// The next value (None is NULL); after the last one, left-over bytes are an error.
    ///
    /// # Errors
    /// The row is shorter or longer than it claims.
    #[expect(clippy::should_implement_trait, reason = "fallible, and ends by count")]
    pub fn next(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        self.left = self.left.checked_sub(1).ok_or(Malformed("invalid DataRow message"))?;
        let length = self.reader.i32()?;
        let value = match usize::try_from(length) {
            Ok(length) => Some(self.reader.bytes(length)?),
            Err(_) if length == -1 => None,
            Err(_) => return Err(Malformed("invalid DataRow message")),
        };
        if self.left == 0 {
            self.reader.end()?;
        }
        Ok(value)
    }
}

/// What an ErrorResponse says that the street needs. No message text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ErrorFacts {
    pub sqlstate: [u8; 5],
    /// The session ends (FATAL or PANIC).
    pub fatal: bool,
}

/// Reads severity and SQLSTATE of an ErrorResponse body.
///
/// # Errors
/// A field without end, or no SQLSTATE of five bytes.
pub fn read_error(body: &[u8]) -> Result<ErrorFacts, Malformed> {
    let mut reader = Reader::new(body, "invalid ErrorResponse message");
    let mut sqlstate = None;
    // `V` (9.6 and later) is never translated; `S` may be.
    let mut severity: &[u8] = b"";
    loop {
        match reader.u8()? {
            0 => break,
            b'C' => sqlstate = reader.cstr()?.first_chunk::<5>().copied(),
            b'V' => severity = reader.cstr()?,
            _ => {
                reader.cstr()?;
            }
        }
    }
    reader.end()?;
    let sqlstate = sqlstate.ok_or(Malformed("ErrorResponse without SQLSTATE"))?;
    Ok(ErrorFacts { sqlstate, fatal: severity == b"FATAL" || severity == b"PANIC" })
}

/// The same from the head of a body that has not wholly arrived; none where it does not tell.
#[must_use]
pub fn read_error_head(head: &[u8]) -> Option<ErrorFacts> {
    let mut reader = Reader::new(head, "invalid ErrorResponse message");
    let (mut sqlstate, mut severity) = (None, None);
    while sqlstate.is_none() || severity.is_none() {
        match reader.u8().ok()? {
            0 => return None,
            b'C' => sqlstate = reader.cstr().ok()?.first_chunk::<5>().copied(),
            b'V' => severity = reader.cstr().ok(),
            _ => drop(reader.cstr().ok()?),
        }
    }
    let fatal = matches!(severity?, b"FATAL" | b"PANIC");
    Some(ErrorFacts { sqlstate: sqlstate?, fatal })
}

/// The number of rows in a CommandComplete body (`INSERT 0 5`, `SELECT 3`), where it says one.
#[must_use]
pub fn rows(body: &[u8]) -> Option<u64> {
    let tag = std::str::from_utf8(body.strip_suffix(b"\0")?).ok()?;
    tag.rsplit(' ').next()?.parse().ok()
}

/// The value of a FunctionCallResponse; none: NULL.
///
/// # Errors
/// It is not whole.
pub fn read_function_result(body: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    let malformed = Malformed("invalid FunctionCallResponse message");
    let (length, rest) = body.split_first_chunk().ok_or(malformed)?;
    match i32::from_be_bytes(*length) {
        -1 if rest.is_empty() => Ok(None),
        length if usize::try_from(length) == Ok(rest.len()) => Ok(Some(rest)),
        _ => Err(Malformed("invalid FunctionCallResponse message")),
    }
}

/// Appends an ErrorResponse or NoticeResponse whose position in the statement (field `P`) is
/// what `position` makes of it.
pub fn put_at(out: &mut Vec<u8>, frame: Frame<'_>, position: impl Fn(usize) -> usize) {
    put(out, frame.tag(), |out| {
        for field in frame.body().split_inclusive(|byte| *byte == 0) {
            let told = field.strip_prefix(b"P").and_then(|told| told.strip_suffix(b"\0"));
            let number = told.and_then(|told| std::str::from_utf8(told).ok()?.parse().ok());
            match number {
                Some(number) => {
                    out.push(b'P');
                    out.extend_from_slice(position(number).to_string().as_bytes());
                    out.push(0);
                }
                None => out.extend_from_slice(field),
            }
        }
    });
}

/// Name and value of a ParameterStatus body.
///
/// # Errors
/// The body is not a ParameterStatus.
pub fn read_parameter_status(body: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let mut reader = Reader::new(body, "invalid ParameterStatus message");
    let pair = (reader.cstr()?, reader.cstr()?);
    reader.end()?;
    Ok(pair)
}

/// Process id and secret of a BackendKeyData body.
///
/// # Errors
/// A secret shorter than 4 or longer than 256 bytes.
pub fn read_backend_key(body: &[u8]) -> Result<(i32, &[u8]), Malformed> {
    let mut reader = Reader::new(body, "invalid BackendKeyData message");
    let process = reader.i32()?;
    let secret = reader.rest();
    if (4..=256).contains(&secret.len()) {
        Ok((process, secret))
    } else {
        Err(Malformed("invalid length of cancel key"))
    }
}

/// The authentication code, and what follows it.
///
/// # Errors
/// Fewer than four bytes.
pub fn read_authentication(body: &[u8]) -> Result<(u32, &[u8]), Malformed> {
    let mut reader = Reader::new(body, "invalid Authentication message");
    let code = reader.u32()?;
    Ok((code, reader.rest()))
}

/// The mechanisms of an AuthenticationSASL body behind its code.
///
/// # Errors
/// A name without end, no end of the list, bytes behind it.
pub fn read_sasl_mechanisms(list: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    let mut reader = Reader::new(list, "invalid AuthenticationSASL message");
    let mut mechanisms = Vec::new();
    loop {
        let name = reader.cstr()?;
        if name.is_empty() {
            break;
        }
        mechanisms.push(name);
    }
    reader.end()?;
    Ok(mechanisms)
}

/// Fuzz entry: every reader on any body.
#[cfg(any(test, feature = "fuzzing"))]
pub fn fuzz_backend(data: &[u8]) -> bool {
    let mut fine = read_row_description(data).is_ok() | read_error(data).is_ok();
    if let Ok(mut row) = DataRow::read(data) {
        while row.left() > 0 {
            if row.next().is_err() {
                break;
            }
        }
        fine |= row.left() == 0;
    }
    fine | read_parameter_status(data).is_ok()
        | read_backend_key(data).is_ok()
        | read_authentication(data).is_ok_and(|(_, rest)| read_sasl_mechanisms(rest).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_tag_tells_its_rows() {
        for (tag, expected) in
            [("INSERT 0 5\0", Some(5)), ("SELECT 3\0", Some(3)), ("BEGIN\0", None), ("DELETE 2", None)]
        {
            assert_eq!(rows(tag.as_bytes()), expected, "{tag}");
        }
    }

    #[test]
    fn reads_origins() {
        let body = b"\0\x01email\0\0\0\x40\x01\0\x02\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\x01";
        let origins = read_row_description(body).unwrap();
        assert_eq!(origins, [Origin { table_oid: 0x4001, attribute: 2, type_oid: 25, format: 1 }]);
        for end in 0..body.len() {
            assert!(read_row_description(&body[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn a_data_row_says_null_and_refuses_left_overs() {
        let mut row = DataRow::read(b"\0\x02\xff\xff\xff\xff\0\0\0\x01a").ok().unwrap();
        assert_eq!(row.next(), Ok(None));
        assert_eq!(row.next(), Ok(Some(&b"a"[..])));
        assert!(row.next().is_err());
        let mut row = DataRow::read(b"\0\x01\0\0\0\x01ab").ok().unwrap();
        assert!(row.next().is_err());
    }

    #[test]
    fn errors_tell_their_code_and_whether_they_are_fatal() {
        let error = read_error(b"SFEHLER\0VERROR\0C42601\0Mx\0\0").unwrap();
        assert_eq!((&error.sqlstate, error.fatal), (b"42601", false));
        assert!(read_error(b"SFATAL\0VFATAL\0C57P01\0Mx\0\0").unwrap().fatal);
        assert!(read_error(b"SERROR\0Mx\0\0").is_err());
        assert_eq!(read_error_head(b"SFEHLER\0VERROR\0C42601\0Mbegins"), Some(error));
        assert_eq!(read_error_head(b"SFEHLER\0VERROR\0C426"), None);
        assert_eq!(read_error_head(b"SERROR\0Mx\0\0"), None);
    }
}
