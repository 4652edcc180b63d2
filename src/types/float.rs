//! Floating-point numbers: the shortest text that means the same number.

use std::io::Write;

use super::fault::ValueFault;
use super::scan::{push_digits, trim};

/// As the server's input function reads it, but for hexadecimal.
pub(super) fn read(text: &[u8], of: &str) -> Result<(f64, f32), ValueFault> {
    let text = trim(text);
    let body = match text {
        [b'+' | b'-', body @ ..] => body,
        body => body,
    };
    let infinite = body.eq_ignore_ascii_case(b"infinity") || body.eq_ignore_ascii_case(b"inf");
    let is_word = infinite || text.eq_ignore_ascii_case(b"nan");
    let begins = body.first().is_some_and(|first| first.is_ascii_digit() || *first == b'.');
    if !is_word && !begins {
        return Err(ValueFault::syntax(of));
    }
    let text = std::str::from_utf8(text).map_err(|_| ValueFault::syntax(of))?;
    let (double, single): (f64, f32) = match (text.parse(), text.parse()) {
        (Ok(double), Ok(single)) => (double, single),
        _ => return Err(ValueFault::syntax(of)),
    };
    // Not zero as it is written, and nevertheless nothing is left of it.
    let mantissa = body.split(|byte| matches!(byte, b'e' | b'E')).next().unwrap_or_default();
    let tiny = mantissa.iter().any(|byte| matches!(byte, b'1'..=b'9'));
    let lost = |infinity: bool, zero: bool| !is_word && (infinity || (zero && tiny));
    let out = if of == "real" {
        lost(single.is_infinite(), single == 0.0)
    } else {
        lost(double.is_infinite(), double == 0.0)
    };
    if out { Err(ValueFault::range(of)) } else { Ok((double, single)) }
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
    write(number, format_args!("{number:e}"), 15, out);
}

pub(super) fn write_single(number: f32, out: &mut Vec<u8>) {
    write(f64::from(number), format_args!("{number:e}"), 6, out);
}

/// Appends the decimal number that the server makes of a float: of 15 digits, or of 6.
pub(super) fn write_decimal(number: f64, single: bool, out: &mut Vec<u8>) {
    if special(number, out) {
        return;
    }
    let digits = if single { 5 } else { 14 };
    let _ = write!(out, "{number:.digits$e}");
}
