//! Floating-point numbers: the shortest text that means the same number.

use std::io::Write;

use zeroize::Zeroizing;

use super::fault::ValueFault;
use super::scan::{push_digits, trim};

/// A text that the server's input function takes for a number: but for hexadecimal, and for NaN with a sign.
struct Written<'a> {
    text: &'a str,
    /// Infinity or NaN.
    is_word: bool,
    /// Not zero as it is written.
    is_some: bool,
}

fn written<'a>(text: &'a [u8], of: &str) -> Result<Written<'a>, ValueFault> {
    let text = trim(text);
    let body = match text {
        [b'+' | b'-', body @ ..] => body,
        body => body,
    };
    let infinite = body.eq_ignore_ascii_case(b"infinity") || body.eq_ignore_ascii_case(b"inf");
    let is_word = infinite || (body.eq_ignore_ascii_case(b"nan") && text.first() != Some(&b'-'));
    let begins = body.first().is_some_and(|first| first.is_ascii_digit() || *first == b'.');
    if !is_word && !begins {
        return Err(ValueFault::syntax(of));
    }
    let mantissa = body.iter().take_while(|byte| !matches!(byte, b'e' | b'E'));
    let is_some = mantissa.into_iter().any(|byte| matches!(byte, b'1'..=b'9'));
    let text = std::str::from_utf8(text).map_err(|_| ValueFault::syntax(of))?;
    Ok(Written { text, is_word, is_some })
}

impl Written<'_> {
    /// Too large, or too small for anything to be left of it.
    fn is_lost(&self, infinite: bool, zero: bool) -> bool {
        !self.is_word && (infinite || (zero && self.is_some))
    }
}

pub(super) fn read_double(text: &[u8]) -> Result<f64, ValueFault> {
    let of = "double precision";
    let written = written(text, of)?;
    let number: f64 = written.text.parse().map_err(|_| ValueFault::syntax(of))?;
    if written.is_lost(number.is_infinite(), number == 0.0) {
        return Err(ValueFault::range(of));
    }
    Ok(number)
}

pub(super) fn read_single(text: &[u8]) -> Result<f32, ValueFault> {
    let of = "real";
    let written = written(text, of)?;
    let number: f32 = written.text.parse().map_err(|_| ValueFault::syntax(of))?;
    if written.is_lost(number.is_infinite(), number == 0.0) {
        return Err(ValueFault::range(of));
    }
    Ok(number)
}

/// Sign, significant digits, and the exponent of the first.
fn parts<'a>(text: &'a [u8], digits: &'a mut [u8; 32]) -> Option<(bool, &'a [u8], i32)> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let at = text.iter().position(|byte| *byte == b'e')?;
    let (mantissa, exponent) = (text.get(..at)?, text.get(at + 1..)?);
    let exponent = std::str::from_utf8(exponent).ok()?.parse().ok()?;
    let mut count = 0;
    for digit in mantissa.iter().filter(|byte| **byte != b'.') {
        *digits.get_mut(count)? = *digit;
        count += 1;
    }
    Some((negative, digits.get(..count)?, exponent))
}

/// Appends a number written as `-1.5e10` in the server's form: with an exponent from so many digits on.
fn layout(text: &[u8], exponent_from: i32, out: &mut Vec<u8>) -> Option<()> {
    let mut digits = [0; 32];
    let (negative, digits, exponent) = parts(text, &mut digits)?;
    if negative {
        out.push(b'-');
    }
    if (-4..exponent_from).contains(&exponent) {
        if let Ok(zeros) = usize::try_from(-exponent)
            && exponent < 0
        {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + zeros - 1, b'0');
            out.extend_from_slice(digits);
            return Some(());
        }
        let whole = usize::try_from(exponent).ok()? + 1;
        let (before, behind) = digits.split_at_checked(whole).unwrap_or((digits, &[]));
        out.extend_from_slice(before);
        out.resize(out.len() + whole - before.len(), b'0');
        if !behind.is_empty() {
            out.push(b'.');
            out.extend_from_slice(behind);
        }
        return Some(());
    }
    let (first, rest) = digits.split_first()?;
    out.push(*first);
    if !rest.is_empty() {
        out.push(b'.');
        out.extend_from_slice(rest);
    }
    out.push(b'e');
    out.push(if exponent < 0 { b'-' } else { b'+' });
    push_digits(out, u64::from(exponent.unsigned_abs()), 2);
    Some(())
}

fn special(number: f64, out: &mut Vec<u8>) -> bool {
    let text: &[u8] = if number.is_nan() {
        b"NaN"
    } else if number == f64::INFINITY {
        b"Infinity"
    } else if number == f64::NEG_INFINITY {
        b"-Infinity"
    } else {
        return false;
    };
    out.extend_from_slice(text);
    true
}

fn write(number: f64, arguments: std::fmt::Arguments<'_>, exponent_from: i32, out: &mut Vec<u8>) {
    if special(number, out) {
        return;
    }
    let mut text = [0_u8; 40];
    let mut rest = text.as_mut_slice();
    let _ = rest.write_fmt(arguments);
    let unused = rest.len();
    let written = text.len() - unused;
    let _ = layout(text.get(..written).unwrap_or_default(), exponent_from, out);
}

pub(super) fn write_double(number: f64, out: &mut Vec<u8>) {
    let bits = number.to_bits();
    let (exponent, fraction) = ((bits >> 52) & 0x7FF, bits & ((1 << 52) - 1));
    let power = i64::from(u16::try_from(exponent.max(1)).unwrap_or(1)) - 1075;
    let mantissa = if exponent == 0 { fraction } else { fraction | 1 << 52 };
    let binary = Binary { mantissa, power, narrow_below: fraction == 0 };
    let start = out.len();
    write(number, format_args!("{number:e}"), 15, out);
    binary.mend(start, 15, out, |digits| {
        let text = Zeroizing::new(format!("{number:.digits$e}"));
        (text.parse() == Ok(number)).then_some(text)
    });
}

pub(super) fn write_single(number: f32, out: &mut Vec<u8>) {
    let bits = number.to_bits();
    let (exponent, fraction) = ((bits >> 23) & 0xFF, bits & ((1 << 23) - 1));
    let power = i64::from(exponent.max(1)) - 150;
    let mantissa = u64::from(if exponent == 0 { fraction } else { fraction | 1 << 23 });
    let binary = Binary { mantissa, power, narrow_below: fraction == 0 };
    let start = out.len();
    write(f64::from(number), format_args!("{number:e}"), 6, out);
    binary.mend(start, 6, out, |digits| {
        let text = Zeroizing::new(format!("{number:.digits$e}"));
        (text.parse() == Ok(number)).then_some(text)
    });
}

/// A float as `mantissa` times two to the power of `power`.
#[derive(Clone, Copy)]
struct Binary {
    mantissa: u64,
    power: i64,
    /// The next number below is only half as far away as the one above.
    narrow_below: bool,
}

/// A decimal number: digits times ten to the power of.
struct Decimal {
    digits: u64,
    ten: i64,
    count: usize,
}

impl Decimal {
    fn of(text: &[u8]) -> Option<Decimal> {
        let text = text.strip_prefix(b"-").unwrap_or(text);
        let at = text.iter().position(|byte| *byte == b'e').unwrap_or(text.len());
        let (head, tail) = text.split_at_checked(at)?;
        let exponent: i64 = match tail {
            [] => 0,
            [_, tail @ ..] => std::str::from_utf8(tail).ok()?.parse().ok()?,
        };
        let point = head.iter().position(|byte| *byte == b'.').map_or(0, |at| head.len() - at - 1);
        let (mut digits, mut count) = (0_u64, 0);
        for digit in head.iter().filter(|byte| **byte != b'.') {
            if !digit.is_ascii_digit() {
                return None;
            }
            digits = digits.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
            count += usize::from(digits > 0);
        }
        let mut ten = exponent - i64::try_from(point).ok()?;
        while digits > 0 && digits.is_multiple_of(10) {
            (digits, ten, count) = (digits / 10, ten + 1, count - 1);
        }
        Some(Decimal { digits, ten, count })
    }

    /// Is it `mantissa` times two to the power of `power`?
    fn is(&self, mantissa: u128, power: i64) -> bool {
        let Ok(ten) = u32::try_from(self.ten.unsigned_abs()) else {
            return false;
        };
        let odd = if self.ten >= 0 {
            5_u128.checked_pow(ten).and_then(|fives| u128::from(self.digits).checked_mul(fives))
        } else {
            // A power that does not fit divides none that does.
            let fives = 5_u64.checked_pow(ten).filter(|fives| self.digits.is_multiple_of(*fives));
            fives.map(|fives| u128::from(self.digits / fives))
        };
        let Some(value) = odd.filter(|value| *value > 0 && mantissa > 0) else {
            return false;
        };
        let (a, b) = (value.trailing_zeros(), mantissa.trailing_zeros());
        value >> a == mantissa >> b && i64::from(a) + self.ten == i64::from(b) + power
    }
}

impl Binary {
    /// Where there are several shortest texts, or where the shortest lies exactly between two numbers, the
    /// server has another one.
    fn mend(
        &self,
        start: usize,
        exponent_from: i32,
        out: &mut Vec<u8>,
        formatted: impl Fn(usize) -> Option<Zeroizing<String>>,
    ) {
        let Some(decimal) = out.get(start..).and_then(Decimal::of) else {
            return;
        };
        let half = |digits: u64| Decimal { digits, ten: decimal.ten - 1, count: 0 };
        let mantissa = u128::from(self.mantissa);
        let Some(tens) = decimal.digits.checked_mul(10).filter(|tens| *tens < u64::MAX - 5) else {
            return;
        };
        let tied =
            half(tens + 5).is(mantissa, self.power) || half(tens.saturating_sub(5)).is(mantissa, self.power);
        let between = self.is_between(&decimal);
        if !tied && !between {
            return;
        }
        for digits in decimal.count.saturating_sub(1)..17 {
            let Some(text) = formatted(digits) else {
                continue;
            };
            if !between || Decimal::of(text.as_bytes()).is_some_and(|other| !self.is_between(&other)) {
                let negative = out.get(start) == Some(&b'-');
                out.truncate(start + usize::from(negative));
                let _ = layout(text.trim_start_matches('-').as_bytes(), exponent_from, out);
                return;
            }
        }
    }

    fn is_between(&self, decimal: &Decimal) -> bool {
        let twice = u128::from(self.mantissa) * 2;
        decimal.is(twice + 1, self.power - 1)
            || decimal.is(twice.saturating_sub(1), self.power - 1)
            || (self.narrow_below && decimal.is((twice * 2).saturating_sub(1), self.power - 2))
    }
}

/// Appends the decimal number that the server makes of a float: of 15 digits, or of 6.
pub(super) fn write_decimal(number: f64, single: bool, out: &mut Vec<u8>) {
    if special(number, out) {
        return;
    }
    let digits = if single { 5 } else { 14 };
    let _ = write!(out, "{number:.digits$e}");
}
