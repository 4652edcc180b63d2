//! Amounts of money, as the locales C and en_US write them. Which locale a session has, its server does not
//! tell.

use zeroize::Zeroizing;

use super::fault::ValueFault;
use super::numeric::Number;
use super::scan::{Scan, is_space, push_digits, push_two};

/// Hundredths.
pub(super) fn read(text: &[u8]) -> Result<i64, ValueFault> {
    let mut scan = Scan::new(text);
    let symbol = |scan: &mut Scan<'_>| {
        scan.run(is_space);
        scan.take(b'$');
        scan.run(is_space);
    };
    symbol(&mut scan);
    let mut negative = scan.take(b'-') || scan.take(b'(');
    if !negative {
        scan.take(b'+');
    }
    symbol(&mut scan);
    let range = || ValueFault::range("money");
    // Counted below zero, where there is one more.
    let mut value = 0_i64;
    let (mut point, mut behind) = (false, 0);
    let push = |value: i64, digit: u8| {
        value.checked_mul(10).and_then(|value| value.checked_sub(i64::from(digit - b'0'))).ok_or_else(range)
    };
    while let Some(next) = scan.peek() {
        if next.is_ascii_digit() && (!point || behind < 2) {
            value = push(value, next)?;
            behind += u8::from(point);
        } else if next == b'.' && !point {
            point = true;
        } else if next != b',' {
            break;
        }
        scan.next();
    }
    if scan.peek().is_some_and(|next| matches!(next, b'5'..=b'9')) {
        value = value.checked_sub(1).ok_or_else(range)?;
    }
    for _ in behind..2 {
        value = push(value, b'0')?;
    }
    scan.digits();
    while let Some(next) = scan.next() {
        match next {
            b'-' => negative = true,
            b')' | b'+' | b'$' => {}
            next if is_space(next) => {}
            _ => return Err(ValueFault::syntax("money")),
        }
    }
    if negative { Ok(value) } else { value.checked_neg().ok_or_else(range) }
}

/// A decimal number with two digits behind its point.
pub(super) fn write(hundredths: i64, out: &mut Vec<u8>) {
    if hundredths < 0 {
        out.push(b'-');
    }
    let size = hundredths.unsigned_abs();
    push_digits(out, size / 100, 1);
    out.push(b'.');
    push_two(out, size % 100);
}

/// Of what [`write`] wrote.
pub(super) fn canonical(text: &[u8]) -> Option<i64> {
    match Number::parse_canonical(text)? {
        Number::Finite { negative, whole, fraction } if fraction.len() == 2 => {
            let mut digits = whole.iter().chain(fraction);
            let size = digits.try_fold(0_i128, |size, digit| {
                size.checked_mul(10)?.checked_add(i128::from(digit - b'0'))
            })?;
            i64::try_from(if negative { -size } else { size }).ok()
        }
        Number::NaN | Number::Infinite { .. } | Number::Finite { .. } => None,
    }
}

pub(super) fn show(hundredths: i64, out: &mut Vec<u8>) {
    if hundredths < 0 {
        out.push(b'-');
    }
    out.push(b'$');
    let size = hundredths.unsigned_abs();
    let mut whole = Zeroizing::new(Vec::with_capacity(20));
    push_digits(&mut whole, size / 100, 1);
    for (at, digit) in whole.iter().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            out.push(b',');
        }
        out.push(*digit);
    }
    out.push(b'.');
    push_two(out, size % 100);
}
