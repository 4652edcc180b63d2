//! Messages of the client that the street must understand. Readers borrow; writers
//! append whole frames. Hostile bytes end in [`Malformed`], never in a panic.

use super::frame::put;
use super::reader::{Malformed, Reader};

/// Upper bound on formats, parameters and result columns: the protocol's own (Int16).
pub struct Parse<'a> {
    pub name: &'a [u8],
    pub text: &'a [u8],
    /// Big-endian type OIDs, four bytes each.
    types: &'a [u8],
}

impl<'a> Parse<'a> {
    /// # Errors
    /// The body is not a Parse message.
    pub fn read(body: &'a [u8]) -> Result<Parse<'a>, Malformed> {
        let mut reader = Reader::new(body, "invalid Parse message");
        let name = reader.cstr()?;
        let text = reader.cstr()?;
        let count = usize::from(reader.u16()?);
        let types = reader.bytes(count * 4)?;
        reader.end()?;
        Ok(Parse { name, text, types })
    }

    /// The same with this text.
    #[must_use]
    pub fn with_text<'b>(&self, text: &'b [u8]) -> Parse<'b>
    where
        'a: 'b,
    {
        Parse { name: self.name, text, types: self.types }
    }

    /// Declared type OIDs by parameter, 0 where none was declared.
    pub fn types(&self) -> impl Iterator<Item = u32> + 'a {
        self.types.as_chunks::<4>().0.iter().map(|bytes| u32::from_be_bytes(*bytes))
    }
}

/// Appends a Parse message.
pub fn put_parse(out: &mut Vec<u8>, name: &[u8], text: &[u8], types: &[u32]) {
    put(out, b'P', |out| {
        out.extend_from_slice(name);
        out.push(0);
        out.extend_from_slice(text);
        out.push(0);
        out.extend_from_slice(&u16::try_from(types.len()).unwrap_or(u16::MAX).to_be_bytes());
        for oid in types {
            out.extend_from_slice(&oid.to_be_bytes());
        }
    });
}

/// A zero-terminated Query text, without its zero.
///
/// # Errors
/// No terminator, or bytes behind it.
pub fn read_query(body: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(body, "invalid Query message");
    let text = reader.cstr()?;
    reader.end()?;
    Ok(text)
}

/// Appends a Query message.
pub fn put_query(out: &mut Vec<u8>, text: &[u8]) {
    put(out, b'Q', |out| {
        out.extend_from_slice(text);
        out.push(0);
    });
}

/// The two names at the head of a Bind message, which may not have wholly arrived.
///
/// # Errors
/// The names do not end within `head`.
pub fn bind_names(head: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let mut reader = Reader::new(head, "invalid Bind message");
    Ok((reader.cstr()?, reader.cstr()?))
}

/// A Bind message.
pub struct Bind<'a> {
    pub portal: &'a [u8],
    pub statement: &'a [u8],
    formats: &'a [u8],
    /// None is NULL.
    pub values: Vec<Option<&'a [u8]>>,
    /// Result format codes, kept as they came (count included).
    pub result_formats: &'a [u8],
}

impl<'a> Bind<'a> {
    /// # Errors
    /// The body is not a Bind message.
    pub fn read(body: &'a [u8]) -> Result<Bind<'a>, Malformed> {
        let mut reader = Reader::new(body, "invalid Bind message");
        let portal = reader.cstr()?;
        let statement = reader.cstr()?;
        let format_count = usize::from(reader.u16()?);
        let formats = reader.bytes(format_count * 2)?;
        let count = usize::from(reader.u16()?);
        if format_count > 1 && format_count != count {
            return Err(Malformed("invalid number of parameter formats in Bind message"));
        }
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            let length = reader.i32()?;
            values.push(match usize::try_from(length) {
                Ok(length) => Some(reader.bytes(length)?),
                Err(_) if length == -1 => None,
                Err(_) => return Err(Malformed("invalid parameter length in Bind message")),
            });
        }
        let result_formats = reader.rest();
        let result_count = usize::from(reader.u16()?);
        reader.bytes(result_count * 2)?;
        reader.end()?;
        Ok(Bind { portal, statement, formats, values, result_formats })
    }

    /// Format code of parameter `index` (from 0): 0 text, 1 binary.
    #[must_use]
    pub fn format(&self, index: usize) -> u16 {
        let codes = self.formats.as_chunks::<2>().0;
        let code = if codes.len() == 1 { codes.first() } else { codes.get(index) };
        code.map_or(0, |bytes| u16::from_be_bytes(*bytes))
    }

    /// Appends this Bind with some values replaced; formats stay. `more`: values behind the client's, with the
    /// place of the client's whose format they have.
    pub fn put(&self, out: &mut Vec<u8>, replaced: &[(usize, Vec<u8>)], more: &[(usize, Option<Vec<u8>>)]) {
        put(out, b'B', |out| {
            out.extend_from_slice(self.portal);
            out.push(0);
            out.extend_from_slice(self.statement);
            out.push(0);
            // One for all, or none, goes on to be so.
            let each = if self.formats.len() > 2 { more } else { &[] };
            let formats = u16::try_from(self.formats.len() / 2 + each.len()).unwrap_or(u16::MAX);
            out.extend_from_slice(&formats.to_be_bytes());
            out.extend_from_slice(self.formats);
            for (of, _) in each {
                out.extend_from_slice(&self.format(*of).to_be_bytes());
            }
            let count = u16::try_from(self.values.len() + more.len()).unwrap_or(u16::MAX);
            out.extend_from_slice(&count.to_be_bytes());
            for (index, value) in self.values.iter().enumerate() {
                let new = replaced.iter().find(|(at, _)| *at == index).map(|(_, new)| new.as_slice());
                put_value(out, new.or(*value));
            }
            for (_, value) in more {
                put_value(out, value.as_deref());
            }
            out.extend_from_slice(self.result_formats);
        });
    }
}

/// The format code of column `index` (from 0) of a result, by the codes of a Bind as they came, their count
/// first: 0 text, 1 binary.
#[must_use]
pub fn result_format(codes: &[u8], index: usize) -> u16 {
    let codes = codes.get(2..).unwrap_or_default().as_chunks::<2>().0;
    let code = if codes.len() == 1 { codes.first() } else { codes.get(index) };
    code.map_or(0, |bytes| u16::from_be_bytes(*bytes))
}

/// Appends a length-prefixed value, -1 for NULL.
pub fn put_value(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(bytes) => {
            out.extend_from_slice(&i32::try_from(bytes.len()).unwrap_or(i32::MAX).to_be_bytes());
            out.extend_from_slice(bytes);
        }
        None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
    }
}

/// Appends a Bind of nothing to a statement: how a refused Bind is sent.
pub fn put_empty_bind(out: &mut Vec<u8>, portal: &[u8], statement: &[u8]) {
    put(out, b'B', |out| {
        out.extend_from_slice(portal);
        out.push(0);
        out.extend_from_slice(statement);
        out.push(0);
        out.extend_from_slice(&[0; 6]);
    });
}

/// What Describe and Close name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Statement,
    Portal,
}

/// The kind and name in a Describe or Close body.
///
/// # Errors
/// Another kind byte, no terminator, bytes behind it.
pub fn read_target(body: &[u8]) -> Result<(Kind, &[u8]), Malformed> {
    let mut reader = Reader::new(body, "invalid Describe or Close message");
    let kind = match reader.u8()? {
        b'S' => Kind::Statement,
        b'P' => Kind::Portal,
        _ => return Err(Malformed("invalid Describe or Close message subtype")),
    };
    let name = reader.cstr()?;
    reader.end()?;
    Ok((kind, name))
}

/// Appends a Describe of a portal.
pub fn put_describe_portal(out: &mut Vec<u8>, portal: &[u8]) {
    put(out, b'D', |out| {
        out.push(b'P');
        out.extend_from_slice(portal);
        out.push(0);
    });
}

/// Close of a statement.
pub fn put_close_statement(out: &mut Vec<u8>, name: &[u8]) {
    put(out, b'C', |out| {
        out.push(b'S');
        out.extend_from_slice(name);
        out.push(0);
    });
}

/// The portal name and row limit of an Execute body.
///
/// # Errors
/// The body is not an Execute message.
pub fn read_execute(body: &[u8]) -> Result<(&[u8], i32), Malformed> {
    let mut reader = Reader::new(body, "invalid Execute message");
    let portal = reader.cstr()?;
    let limit = reader.i32()?;
    reader.end()?;
    Ok((portal, limit))
}

/// Appends an Execute message.
pub fn put_execute(out: &mut Vec<u8>, portal: &[u8], limit: i32) {
    put(out, b'E', |out| {
        out.extend_from_slice(portal);
        out.push(0);
        out.extend_from_slice(&limit.to_be_bytes());
    });
}

/// The function OID at the head of a FunctionCall body.
///
/// # Errors
/// Fewer than four bytes.
pub fn function_oid(body: &[u8]) -> Result<u32, Malformed> {
    Reader::new(body, "invalid FunctionCall message").u32()
}

/// CopyFail.
pub fn put_copy_fail(out: &mut Vec<u8>, why: &[u8]) {
    put(out, b'f', |out| {
        out.extend_from_slice(why);
        out.push(0);
    });
}

/// Sync.
pub fn put_sync(out: &mut Vec<u8>) {
    put(out, b'S', |_| {});
}

/// FunctionCall of one text argument, whose result shall be text.
pub fn put_function_call(out: &mut Vec<u8>, oid: u32, argument: &[u8], binary: bool) {
    put(out, b'F', |out| {
        out.extend_from_slice(&oid.to_be_bytes());
        // No format codes: text, all of it; one argument.
        out.extend_from_slice(&[0, 0, 0, 1]);
        put_value(out, Some(argument));
        out.extend_from_slice(&u16::from(binary).to_be_bytes());
    });
}

/// Appends a FunctionCall without arguments, which wants its result as text.
pub fn put_nullary_call(out: &mut Vec<u8>, oid: u32) {
    put(out, b'F', |out| {
        out.extend_from_slice(&oid.to_be_bytes());
        out.extend_from_slice(&[0; 6]);
    });
}

/// Appends a call of the function that does not exist (OID 0), without arguments.
pub fn put_no_function(out: &mut Vec<u8>) {
    put(out, b'F', |out| out.extend_from_slice(&[0; 10]));
}

/// Fuzz entry: every reader on any body.
#[cfg(any(test, feature = "fuzzing"))]
pub fn fuzz_frontend(data: &[u8]) -> bool {
    let parse = Parse::read(data).map(|parse| parse.types().count()).is_ok();
    let mut round = Vec::new();
    if let Ok(bind) = Bind::read(data) {
        bind.put(&mut round, &[], &[]);
        assert_eq!(round.get(5..), Some(data), "an unchanged Bind is written as it was read");
    }
    parse | read_query(data).is_ok() | read_target(data).is_ok() | read_execute(data).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bind_round_trips_and_replaces() {
        let body = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01a\xff\xff\xff\xff\0\x01\0\x01";
        let bind = Bind::read(body).ok().unwrap();
        assert_eq!((bind.portal, bind.statement, bind.format(1)), (&b"p"[..], &b"s"[..], 1));
        assert_eq!(bind.values, [Some(&b"a"[..]), None]);
        let mut out = Vec::new();
        bind.put(&mut out, &[], &[]);
        assert_eq!(&out[5..], body);
        out.clear();
        bind.put(&mut out, &[(0, b"xyz".to_vec())], &[]);
        assert_eq!(Bind::read(&out[5..]).ok().unwrap().values, [Some(&b"xyz"[..]), None]);
    }

    #[test]
    fn refuses_what_is_cut_or_left_over() {
        let body = b"p\0s\0\0\0\0\x01\0\0\0\x01a\0\0";
        for end in 0..body.len() {
            assert!(Bind::read(&body[..end]).is_err(), "{end}");
        }
        assert!(Bind::read(b"p\0s\0\0\0\0\0\0\0x").is_err());
        assert!(
            Bind::read(b"p\0s\0\0\x02\0\0\0\0\0\x01\xff\xff\xff\xff\0\0").is_err(),
            "two formats, one value"
        );
        assert!(Bind::read(b"p\0s\0\0\0\0\x01\xff\xff\xff\xfe\0\0").is_err(), "length -2");
        assert!(Parse::read(b"s\0select\0\0\x01\0\0").is_err());
        assert!(read_query(b"a\0b").is_err());
        assert!(read_target(b"Xa\0").is_err());
        assert!(read_execute(b"p\0\0\0\0").is_err());
    }
}
