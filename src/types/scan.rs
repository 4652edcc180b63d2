//! Reading bytes from the left.

/// What has not been read yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan<'a> {
    pub rest: &'a [u8],
}

/// What C calls a space.
pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

impl<'a> Scan<'a> {
    pub(super) const fn new(rest: &'a [u8]) -> Scan<'a> {
        Scan { rest }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(super) fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// Takes this byte, if it is the next one.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    pub(super) fn run(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self.rest.iter().position(|byte| !wanted(*byte)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, &[]));
        self.rest = rest;
        run
    }

    pub(super) fn digits(&mut self) -> &'a [u8] {
        self.run(|byte| byte.is_ascii_digit())
    }

    /// So many bytes.
    pub(super) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    pub(super) fn array<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        self.bytes(LENGTH)?.try_into().ok()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

/// Without spaces at its ends.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    trim_end(trim_start(text))
}

pub(super) fn trim_start(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !is_space(*byte)).unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}

pub(super) fn trim_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !is_space(*byte)).map_or(0, |last| last + 1);
    text.get(..end).unwrap_or_default()
}

/// Without blanks at its end, as `char(n)` has it.
pub(super) fn without_blanks(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    text.get(..end).unwrap_or_default()
}

/// The number that these digits are. None: more than fits, or none.
pub(super) fn number(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_i64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Appends a number in decimal, at least so many digits wide.
pub(super) fn push_digits(out: &mut Vec<u8>, mut number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut count = 0;
    for place in digits.iter_mut().rev() {
        if number == 0 && count >= width.max(1) {
            break;
        }
        let digit = (number % 10) as u8;
        *place = b'0' + digit;
        number /= 10;
        count += 1;
    }
    out.extend_from_slice(digits.get(digits.len() - count..).unwrap_or_default());
}

pub(super) fn push_integer(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    push_digits(out, number.unsigned_abs(), 1);
}

/// Two digits, of a number that has no more.
pub(super) fn push_two(out: &mut Vec<u8>, number: u64) {
    match u8::try_from(number) {
        Ok(small @ 0..100) => out.extend_from_slice(&[b'0' + small / 10, b'0' + small % 10]),
        _ => push_digits(out, number, 2),
    }
}

fn nibble(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// A byte of two hexadecimal digits.
pub(super) fn hex_byte(scan: &mut Scan<'_>) -> Option<u8> {
    Some(nibble(scan.next()?)? << 4 | nibble(scan.next()?)?)
}

pub(super) fn push_hex(out: &mut Vec<u8>, byte: u8) {
    for half in [byte >> 4, byte & 15] {
        out.push(if half < 10 { b'0' + half } else { b'a' + half - 10 });
    }
}
