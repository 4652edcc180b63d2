//! The text and CSV forms of COPY's data.

use memchr::{memchr, memchr2, memchr3};
use zeroize::Zeroizing;

use super::{Broken, Csv, LineEnd, Piece, Plain, Rows, Value};

impl Rows {
    /// The line at the head of the data. In CSV a quoted end of a line is data.
    pub(super) fn line(&mut self, data: &[u8], ended: bool, csv: Option<&Csv>) -> Result<Piece, Broken> {
        let mut scan = self.scan;
        let dot_ends = csv.is_none() || self.dot_ends;
        let found = loop {
            scan.at += passed(data.get(scan.at..).unwrap_or_default(), csv, &scan);
            let Some(byte) = data.get(scan.at).copied() else {
                // What is not ended by a line's end is ended by the data's.
                break if ended && !data.is_empty() { Some(Piece::Row(data.len(), 0)) } else { None };
            };
            if let Some(csv) = csv {
                let escape = (csv.escape != csv.quote).then_some(csv.escape);
                if scan.in_quote && Some(byte) == escape {
                    scan.escaped = !scan.escaped;
                }
                if byte == csv.quote && !scan.escaped {
                    scan.in_quote = !scan.in_quote;
                }
                if Some(byte) != escape {
                    scan.escaped = false;
                }
            }
            match byte {
                b'\n' | b'\r' if !scan.in_quote => {
                    let (kind, length) = match (byte, data.get(scan.at + 1)) {
                        (b'\n', _) => (LineEnd::Feed, 1),
                        (_, Some(b'\n')) if self.line_end != Some(LineEnd::Return) => (LineEnd::Both, 2),
                        (_, None) if !ended && self.line_end != Some(LineEnd::Return) => break None,
                        (_, Some(_) | None) => (LineEnd::Return, 1),
                    };
                    if *self.line_end.get_or_insert(kind) != kind {
                        return Err(Broken("the ends of its lines are not alike"));
                    }
                    break Some(Piece::Row(scan.at, length));
                }
                b'\\' if csv.is_none() || scan.at == 0 && dot_ends => match data.get(scan.at + 1) {
                    None if !ended => break None,
                    Some(b'.') => match self.end_of_data(data, scan.at, ended, csv.is_some())? {
                        Some(Piece::More) => break None,
                        Some(end) => break Some(end),
                        None => scan.at += 2,
                    },
                    // In text it makes the next byte data, whatever that is.
                    Some(_) | None if csv.is_none() => scan.at += 2,
                    Some(_) | None => scan.at += 1,
                },
                _ => scan.at += 1,
            }
        };
        match found {
            Some(piece) => Ok(piece),
            None => {
                self.scan = scan;
                // Its escapes are read again with what comes.
                if csv.is_some() && data.get(scan.at).is_some() {
                    self.scan = super::Scan::default();
                }
                Ok(Piece::More)
            }
        }
    }

    /// Is the `\.` at `at` the end of the data? None: it is data.
    fn end_of_data(
        &self,
        data: &[u8],
        at: usize,
        ended: bool,
        is_csv: bool,
    ) -> Result<Option<Piece>, Broken> {
        let behind = data.get(at + 2..).unwrap_or_default();
        match behind {
            [] if !ended => Ok(Some(Piece::More)),
            [b'\r'] if !ended && self.line_end == Some(LineEnd::Both) => Ok(Some(Piece::More)),
            [] if at == 0 => Ok(Some(Piece::End(data.len()))),
            [byte @ (b'\n' | b'\r'), next @ ..] if at == 0 => match self.line_end {
                None => Ok(Some(Piece::End(data.len()))),
                Some(LineEnd::Feed) if *byte == b'\n' => Ok(Some(Piece::End(data.len()))),
                Some(LineEnd::Return) if *byte == b'\r' => Ok(Some(Piece::End(data.len()))),
                Some(LineEnd::Both) if *byte == b'\r' && next.first() == Some(&b'\n') => {
                    Ok(Some(Piece::End(data.len())))
                }
                // The server looks at both of them first.
                Some(LineEnd::Both) if is_csv => Ok(None),
                Some(_) => Err(Broken("an end of data whose line does not end as the others do")),
            },
            _ if is_csv => Ok(None),
            _ => Err(Broken("an end of data that does not stand alone on its line")),
        }
    }
}

/// How many bytes at the head of what is left of a line mean nothing for where it ends.
fn passed(rest: &[u8], csv: Option<&Csv>, scan: &super::Scan) -> usize {
    let next = match csv {
        None => memchr3(b'\n', b'\r', b'\\', rest),
        // The first byte may begin an end of data.
        Some(_) if scan.at == 0 || scan.escaped => return 0,
        Some(csv) if scan.in_quote => memchr2(csv.quote, csv.escape, rest),
        Some(csv) => memchr3(b'\n', b'\r', csv.quote, rest),
    };
    next.unwrap_or(rest.len())
}

pub(super) fn visit_text<'a, E: From<Broken>>(
    row: &'a [u8],
    delimiter: u8,
    null: &[u8],
    default: Option<&[u8]>,
    field: &mut impl FnMut(usize, &'a [u8], Option<Value<'a>>) -> Result<(), E>,
    wanted: impl Fn(usize) -> bool,
) -> Result<usize, E> {
    let mut rest = row;
    let mut column = 0;
    loop {
        let (mut at, mut escapes) = (0, false);
        loop {
            let ahead = rest.get(at..).unwrap_or_default();
            let Some(next) = memchr2(delimiter, b'\\', ahead) else {
                at = rest.len();
                break;
            };
            at += next;
            if rest.get(at) == Some(&delimiter) {
                break;
            }
            escapes = true;
            at += 2;
        }
        let (raw, behind) = rest.split_at(at);
        let value = wanted(column).then(|| {
            // The markers are compared as they stand.
            if raw == null {
                Value::Null
            } else if default == Some(raw) {
                Value::Default
            } else if escapes {
                Value::Given(Plain::Read(unescaped(raw)))
            } else {
                Value::Given(Plain::Stands(raw))
            }
        });
        field(column, raw, value)?;
        column += 1;
        match behind.split_first() {
            Some((_, behind)) => rest = behind,
            None => return Ok(column),
        }
    }
}

/// What a field of the text form means (table "COPY Backslash Sequences").
fn unescaped(raw: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut value = Zeroizing::new(Vec::with_capacity(raw.len()));
    let mut rest = raw;
    loop {
        let (plain, behind) = rest.split_at(memchr(b'\\', rest).unwrap_or(rest.len()));
        value.extend_from_slice(plain);
        let Some((escaped, behind)) = behind.get(1..).and_then(<[u8]>::split_first) else { break };
        rest = behind;
        match escaped {
            b'b' => value.push(8),
            b'f' => value.push(12),
            b'n' => value.push(b'\n'),
            b'r' => value.push(b'\r'),
            b't' => value.push(b'\t'),
            b'v' => value.push(11),
            b'0'..=b'7' => {
                let mut code = u32::from(*escaped - b'0');
                for _ in 0..2 {
                    let Some((digit @ b'0'..=b'7', behind)) = rest.split_first() else { break };
                    code = code * 8 + u32::from(digit - b'0');
                    rest = behind;
                }
                value.push(u8::try_from(code & 0xFF).unwrap_or_default());
            }
            b'x' => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                match rest.split_first().and_then(|(byte, behind)| Some((digit(byte)?, behind))) {
                    None => value.push(b'x'),
                    Some((first, behind)) => {
                        rest = behind;
                        let mut code = first;
                        if let Some((second, behind)) =
                            rest.split_first().and_then(|(byte, behind)| Some((digit(byte)?, behind)))
                        {
                            code = code * 16 + second;
                            rest = behind;
                        }
                        value.push(u8::try_from(code).unwrap_or_default());
                    }
                }
            }
            other => value.push(*other),
        }
    }
    value
}

/// Bytes that are looked at together: most values have none that must be escaped.
const CHUNK: usize = 32;

pub(super) fn put_text(out: &mut Vec<u8>, value: &[u8], delimiter: u8) {
    for chunk in value.chunks(CHUNK) {
        let escapes = chunk
            .iter()
            .fold(false, |any, byte| any | (8..=13).contains(byte) | (*byte == b'\\') | (*byte == delimiter));
        if escapes {
            put_escaped(out, chunk, delimiter);
        } else {
            out.extend_from_slice(chunk);
        }
    }
}

fn put_escaped(out: &mut Vec<u8>, value: &[u8], delimiter: u8) {
    for byte in value {
        let letter = match byte {
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            11 => b'v',
            b'\\' => b'\\',
            byte if *byte == delimiter => delimiter,
            byte => {
                out.push(*byte);
                continue;
            }
        };
        out.push(b'\\');
        out.push(letter);
    }
}

pub(super) fn visit_csv<'a, E: From<Broken>>(
    row: &'a [u8],
    csv: &Csv,
    field: &mut impl FnMut(usize, &'a [u8], Option<Value<'a>>) -> Result<(), E>,
    wanted: impl Fn(usize) -> bool,
) -> Result<usize, E> {
    let mut rest = row;
    let mut column = 0;
    loop {
        let wants = wanted(column);
        let mut value = Zeroizing::new(Vec::new());
        let (mut at, mut in_quote, mut quoted) = (0, false, false);
        loop {
            let ahead = rest.get(at..).unwrap_or_default();
            let mark = if in_quote { csv.escape } else { csv.delimiter };
            let next = memchr2(mark, csv.quote, ahead).unwrap_or(ahead.len());
            let (plain, marks) = ahead.split_at(next);
            let first = marks.first().copied();
            let ends = first.is_none() || !in_quote && first == Some(csv.delimiter);
            // Without quotes it is what stands there, of which no copy is made.
            if wants && (quoted || !ends) {
                if value.capacity() == 0 {
                    // Once, so that none is left behind where it grows.
                    value.reserve_exact(rest.len());
                }
                value.extend_from_slice(plain);
            }
            at += next;
            let Some(byte) = first.filter(|_| !ends) else { break };
            if !in_quote && byte == csv.quote {
                (in_quote, quoted) = (true, true);
            } else if in_quote
                && byte == csv.escape
                && let Some(next) =
                    rest.get(at + 1).filter(|next| **next == csv.escape || **next == csv.quote)
            {
                if wants {
                    value.push(*next);
                }
                at += 1;
            } else if in_quote && byte == csv.quote {
                in_quote = false;
            } else if wants {
                value.push(byte);
            }
            at += 1;
        }
        if in_quote {
            return Err(Broken("a quote that is not closed").into());
        }
        let (raw, behind) = rest.split_at(at);
        let forced = |of: &[bool]| of.get(column).copied().unwrap_or(false);
        let value = wants.then(|| {
            let is_default = !quoted && csv.default.as_deref() == Some(raw);
            let plain_null = !quoted && *raw == *csv.null && !forced(&csv.force_not_null);
            // What stands there unquoted is a value where FORCE_NOT_NULL has it so.
            let quoted_null = quoted && forced(&csv.force_null) && **value == *csv.null;
            if is_default {
                Value::Default
            } else if plain_null || quoted_null {
                Value::Null
            } else if quoted {
                Value::Given(Plain::Read(value))
            } else {
                Value::Given(Plain::Stands(raw))
            }
        });
        field(column, raw, value)?;
        column += 1;
        match behind.split_first() {
            Some((_, behind)) => rest = behind,
            None => return Ok(column),
        }
    }
}

pub(super) fn put_csv(out: &mut Vec<u8>, value: &[u8], csv: &Csv, column: usize, alone: bool) {
    let special = |byte: u8| byte == csv.delimiter || byte == csv.quote || matches!(byte, b'\n' | b'\r');
    let any_special = |chunk: &[u8]| chunk.iter().fold(false, |any, byte| any | special(*byte));
    let quotes = csv.force_quote.get(column).copied().unwrap_or(false)
        || *value == *csv.null
        || csv.default.as_deref() == Some(value)
        || alone && value == b"\\."
        || value.chunks(CHUNK).any(any_special);
    if !quotes {
        out.extend_from_slice(value);
        return;
    }
    out.push(csv.quote);
    for byte in value {
        if *byte == csv.quote || *byte == csv.escape {
            out.push(csv.escape);
        }
        out.push(*byte);
    }
    out.push(csv.quote);
}
