//! Decimal numbers of any length, as digits.

use super::fault::ValueFault;
use super::scan::{Scan, is_space, push_digits, trim, trim_start};

/// Digits that `numeric` can have before its point, and behind it.
const WHOLE_MAX: usize = 131_072;
const FRACTION_MAX: usize = 16_383;

/// Digits in decimal ASCII: those before the point without leading zeros, and those behind it, as many as are
/// to be shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Number<'a> {
    NaN,
    Infinite { negative: bool },
    Finite { negative: bool, whole: &'a [u8], fraction: &'a [u8] },
}

fn overflow() -> ValueFault {
    ValueFault::new("22003", "value overflows numeric format")
}

fn field_overflow() -> ValueFault {
    ValueFault::new("22003", "numeric field overflow")
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    let first = digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len());
    digits.get(first..).unwrap_or_default()
}

fn zeros(digits: &[u8]) -> bool {
    digits.iter().all(|digit| *digit == b'0')
}

impl<'a> Number<'a> {
    /// As the server's input function reads it. Digits that an exponent moves go to `scratch`.
    pub(super) fn parse(text: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<Number<'a>, ValueFault> {
        let syntax = || ValueFault::syntax("numeric");
        let text = trim(text);
        if text.eq_ignore_ascii_case(b"nan") {
            return Ok(Number::NaN);
        }
        let mut scan = Scan::new(text);
        let negative = scan.take(b'-');
        if !negative {
            scan.take(b'+');
        }
        if scan.rest.eq_ignore_ascii_case(b"infinity") || scan.rest.eq_ignore_ascii_case(b"inf") {
            return Ok(Number::Infinite { negative });
        }
        let whole = scan.digits();
        let fraction = if scan.take(b'.') { scan.digits() } else { &[] };
        if whole.is_empty() && fraction.is_empty() {
            return Err(syntax());
        }
        let mut exponent = 0;
        if scan.take(b'e') || scan.take(b'E') {
            let below = scan.take(b'-');
            if !below {
                scan.take(b'+');
            }
            let digits = scan.digits();
            if digits.is_empty() || !scan.is_empty() {
                return Err(syntax());
            }
            let most = i64::from(i32::MAX / 2);
            let size = super::scan::number(digits).filter(|size| *size < most).ok_or_else(overflow)?;
            exponent = if below { -size } else { size };
        }
        if !scan.is_empty() {
            return Err(syntax());
        }
        let (whole, fraction) = match exponent {
            0 => (without_zeros(whole), fraction),
            _ => shift(whole, fraction, exponent, scratch)?,
        };
        if whole.len() > WHOLE_MAX || fraction.len() > FRACTION_MAX {
            return Err(overflow());
        }
        Ok(Number::Finite { negative, whole, fraction })
    }

    /// What the server has written, or we have: nothing around it, no exponent, no needless zero.
    pub(super) fn parse_canonical(text: &'a [u8]) -> Option<Number<'a>> {
        match text {
            b"NaN" => return Some(Number::NaN),
            b"Infinity" => return Some(Number::Infinite { negative: false }),
            b"-Infinity" => return Some(Number::Infinite { negative: true }),
            _ => {}
        }
        let mut scan = Scan::new(text);
        let negative = scan.take(b'-');
        let whole = scan.digits();
        let point = scan.take(b'.');
        let fraction = if point { scan.digits() } else { &[] };
        let well = scan.is_empty()
            && !whole.is_empty()
            && (whole == b"0" || whole.first() != Some(&b'0'))
            && point != fraction.is_empty()
            && !(negative && zeros(whole) && zeros(fraction));
        well.then_some(Number::Finite { negative, whole: without_zeros(whole), fraction })
    }

    pub(super) fn from_integer(number: i64, scratch: &'a mut Vec<u8>) -> Number<'a> {
        scratch.clear();
        push_digits(scratch, number.unsigned_abs(), 1);
        Number::Finite { negative: number < 0, whole: without_zeros(scratch), fraction: &[] }
    }

    /// The binary format: count of digits, weight, sign, scale, and digits of base 10000.
    pub(super) fn from_binary(value: &[u8], scratch: &'a mut Vec<u8>) -> Result<Number<'a>, ValueFault> {
        let bad = || ValueFault::binary("numeric");
        let short = || ValueFault::new("08P01", "insufficient data left in message");
        let mut scan = Scan::new(value);
        let mut field = || scan.array().map(u16::from_be_bytes).ok_or_else(short);
        let (count, weight, sign, scale) = (field()?, field()?.cast_signed(), field()?, field()?);
        let negative = match sign {
            0x0000 => false,
            0x4000 => true,
            0xC000 | 0xD000 | 0xF000 => false,
            _ => return Err(ValueFault::new("22P03", "invalid sign in external \"numeric\" value")),
        };
        if scale & !0x3FFF != 0 {
            return Err(ValueFault::new("22P03", "invalid scale in external \"numeric\" value"));
        }
        scratch.clear();
        for _ in 0..count {
            let digit = field()?;
            if digit >= 10_000 {
                return Err(ValueFault::new("22P03", "invalid digit in external \"numeric\" value"));
            }
            push_digits(scratch, u64::from(digit), 4);
        }
        if !scan.is_empty() {
            return Err(bad());
        }
        match sign {
            0xC000 => return Ok(Number::NaN),
            0xD000 | 0xF000 => return Ok(Number::Infinite { negative: sign == 0xF000 }),
            _ => {}
        }
        let scale = usize::from(scale);
        let point = (i64::from(weight) + 1) * 4;
        if let Ok(missing) = usize::try_from(-point) {
            // Digits beyond the scale are cut anyway.
            let missing = missing.min(scale + 4);
            scratch.splice(0..0, std::iter::repeat_n(b'0', missing));
        }
        let point = usize::try_from(point).unwrap_or(0);
        scratch.resize(point + scale, b'0');
        let (whole, fraction) = scratch.split_at_checked(point).ok_or_else(bad)?;
        Ok(Number::Finite { negative, whole: without_zeros(whole), fraction })
    }

    /// Without the zeros at its end.
    pub(super) fn without_zeros_behind(self) -> Number<'a> {
        match self {
            Number::Finite { negative, whole, fraction } => {
                let end = fraction.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
                Number::Finite { negative, whole, fraction: fraction.get(..end).unwrap_or_default() }
            }
            Number::NaN | Number::Infinite { .. } => self,
        }
    }

    pub(super) fn is_zero(&self) -> bool {
        matches!(self, Number::Finite { whole, fraction, .. } if whole.is_empty() && zeros(fraction))
    }

    /// Has it, without rounding, no more than so many digits behind the point?
    pub(super) fn fits(&self, scale: i32) -> bool {
        let Number::Finite { whole, fraction, .. } = self else {
            return true;
        };
        match usize::try_from(scale) {
            Ok(scale) => fraction.get(scale..).is_none_or(zeros),
            Err(_) => {
                let ending = usize::try_from(-scale).unwrap_or(0);
                let kept = whole.len().saturating_sub(ending);
                zeros(fraction) && whole.get(kept..).is_none_or(zeros)
            }
        }
    }

    /// Appends it as it is.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Number::NaN => out.extend_from_slice(b"NaN"),
            Number::Infinite { negative } => {
                out.extend_from_slice(if *negative { b"-Infinity" } else { b"Infinity" });
            }
            Number::Finite { negative, whole, fraction } => {
                if *negative && !self.is_zero() {
                    out.push(b'-');
                }
                out.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
                if !fraction.is_empty() {
                    out.push(b'.');
                    out.extend_from_slice(fraction);
                }
            }
        }
    }

    /// Appends it with so many digits behind the point, rounded half away from zero; negative ones count
    /// before it. With a precision, as a column that declares both takes it.
    pub(super) fn write_at(
        &self,
        scale: i32,
        precision: Option<usize>,
        out: &mut Vec<u8>,
    ) -> Result<(), ValueFault> {
        let Number::Finite { negative, whole, fraction } = self else {
            if precision.is_some() && matches!(self, Number::Infinite { .. }) {
                return Err(field_overflow());
            }
            self.write(out);
            return Ok(());
        };
        if *negative {
            out.push(b'-');
        }
        let start = out.len();
        let behind = usize::try_from(scale).unwrap_or(0);
        let dropped = usize::try_from(-scale).unwrap_or(0);
        // All kept digits without the point, and the first that is not.
        let next = if dropped > 0 {
            let kept = whole.len().checked_sub(dropped);
            out.extend_from_slice(kept.and_then(|kept| whole.get(..kept)).unwrap_or_default());
            kept.and_then(|kept| whole.get(kept))
        } else {
            out.extend_from_slice(whole);
            let kept = behind.min(fraction.len());
            out.extend_from_slice(fraction.get(..kept).unwrap_or_default());
            out.resize(out.len() + behind - kept, b'0');
            fraction.get(kept)
        };
        if next.is_some_and(|digit| *digit >= b'5') && !out.get_mut(start..).is_some_and(increment) {
            out.insert(start, b'1');
        }
        let digits = out.get(start..).unwrap_or_default();
        let significant = without_zeros(digits).len();
        if precision.is_some_and(|precision| significant > precision) {
            return Err(field_overflow());
        }
        if significant == 0 && *negative {
            out.remove(start - 1);
        }
        if dropped > 0 && significant > 0 {
            out.resize(out.len() + dropped, b'0');
        }
        let start = if significant == 0 && *negative { start - 1 } else { start };
        if out.len() - start <= behind {
            out.insert(start, b'0');
        }
        if behind > 0 {
            out.insert(out.len() - behind, b'.');
        }
        Ok(())
    }

    /// Rounded half away from zero. None: beyond 64 bits, or no number.
    pub(super) fn to_integer(self) -> Option<i64> {
        let Number::Finite { negative, whole, fraction } = self else {
            return None;
        };
        let mut size = whole
            .iter()
            .try_fold(0_i128, |size, digit| size.checked_mul(10)?.checked_add(i128::from(digit - b'0')))?;
        size += i128::from(fraction.first().is_some_and(|digit| *digit >= b'5'));
        i64::try_from(if negative { -size } else { size }).ok()
    }

    /// Appends the binary format.
    pub(super) fn write_binary(&self, out: &mut Vec<u8>) {
        let Number::Finite { negative, whole, fraction } = self else {
            let sign: u16 = match self {
                Number::NaN => 0xC000,
                Number::Infinite { negative: true } => 0xF000,
                Number::Infinite { .. } | Number::Finite { .. } => 0xD000,
            };
            // The scale of an infinity is what the server sends of its own form of it.
            for field in [0, 0, sign, if sign == 0xC000 { 0 } else { 0x20 }] {
                out.extend_from_slice(&field.to_be_bytes());
            }
            return;
        };
        let start = out.len();
        out.extend_from_slice(&[0; 8]);
        let groups = whole.len().div_ceil(4);
        let lead = groups * 4 - whole.len();
        let (mut weight, mut count, mut zeros_behind) = (groups as i64 - 1, 0_u16, 0_u16);
        let mut group = 0_u16;
        let places = std::iter::repeat_n(&b'0', lead).chain(*whole).chain(*fraction);
        let total = groups * 4 + fraction.len();
        let padding = std::iter::repeat_n(&b'0', total.div_ceil(4) * 4 - total);
        for (at, digit) in places.chain(padding).enumerate() {
            group = group * 10 + u16::from(digit - b'0');
            if at % 4 != 3 {
                continue;
            }
            if group == 0 && count == 0 {
                weight -= 1;
            } else {
                out.extend_from_slice(&group.to_be_bytes());
                count += 1;
                zeros_behind = if group == 0 { zeros_behind + 1 } else { 0 };
            }
            group = 0;
        }
        out.truncate(out.len() - 2 * usize::from(zeros_behind));
        count -= zeros_behind;
        let zero = count == 0;
        let fields = [
            count,
            if zero { 0 } else { weight as u16 },
            if *negative && !zero { 0x4000 } else { 0 },
            fraction.len() as u16,
        ];
        if let Some(head) = out.get_mut(start..start + 8) {
            for (place, byte) in head.iter_mut().zip(fields.iter().flat_map(|field| field.to_be_bytes())) {
                *place = byte;
            }
        }
    }
}

/// Moves the point to the right.
fn shift<'a>(
    whole: &[u8],
    fraction: &[u8],
    exponent: i64,
    scratch: &'a mut Vec<u8>,
) -> Result<(&'a [u8], &'a [u8]), ValueFault> {
    let limit = (WHOLE_MAX + FRACTION_MAX) as i64;
    let scale = (fraction.len() as i64 - exponent).max(0);
    if scale > FRACTION_MAX as i64 {
        return Err(overflow());
    }
    let zero = zeros(whole) && zeros(fraction);
    let point = whole.len() as i64 + exponent;
    if !zero && point - (whole.len() - without_zeros(whole).len()) as i64 > limit {
        return Err(overflow());
    }
    scratch.clear();
    if zero {
        scratch.resize(usize::try_from(scale).unwrap_or(0), b'0');
        return Ok((&[], scratch));
    }
    if let Ok(missing) = usize::try_from(-point) {
        scratch.resize(missing, b'0');
    }
    scratch.extend_from_slice(whole);
    scratch.extend_from_slice(fraction);
    let point = usize::try_from(point).unwrap_or(0);
    scratch.resize(point + usize::try_from(scale).unwrap_or(0), b'0');
    let (whole, fraction) = scratch.split_at_checked(point).unwrap_or_default();
    Ok((without_zeros(whole), fraction))
}

/// Adds one in the last place. False: all were nines and are zeros now.
fn increment(digits: &mut [u8]) -> bool {
    for digit in digits.iter_mut().rev() {
        if *digit == b'9' {
            *digit = b'0';
        } else {
            *digit += 1;
            return true;
        }
    }
    false
}

/// A whole number as the input functions of integers read it. None within: it does not fit into 64 bits.
pub(super) fn integer(text: &[u8], of: &str) -> Result<Option<i64>, ValueFault> {
    let mut scan = Scan::new(trim_start(text));
    let negative = scan.take(b'-');
    if !negative {
        scan.take(b'+');
    }
    let digits = scan.digits();
    if digits.is_empty() {
        return Err(ValueFault::syntax(of));
    }
    let whole = scan.rest.iter().all(|byte| is_space(*byte));
    let size = digits.iter().try_fold(0_i128, |size, digit| {
        Some(size * 10 + i128::from(digit - b'0')).filter(|size| *size <= 1 << 64)
    });
    let number = size.and_then(|size| i64::try_from(if negative { -size } else { size }).ok());
    // Too many digits are found before what stands behind them.
    if whole || number.is_none() { Ok(number) } else { Err(ValueFault::syntax(of)) }
}
