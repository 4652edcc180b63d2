//! What becomes of a value of one type in a column of another: as the server's assignments and comparisons
//! have it.

#![expect(clippy::wildcard_enum_match_arm, reason = "what no cast leads from is refused")]

use zeroize::Zeroizing;

use super::calendar::{DAY, SECOND, round};
use super::fault::{ValueFault, sql_name};
use super::interval::Interval;
use super::numeric::Number;
use super::purpose::Purpose;
use super::style::Style;
use super::value::{Value, in_range, jsonb};
use super::{float, moment, text};
use crate::catalog::{Base, Family, Logical};

/// Digits that every float of 64 bits tells apart.
const DOUBLE_DIGITS: usize = 15;
/// Largest integer up to which every one is a float of 64 bits.
const DOUBLE_EXACT: f64 = 9_007_199_254_740_992.0;

fn mismatch(from: Base, to: Base, purpose: Purpose) -> ValueFault {
    let (from, to) = (sql_name(from), sql_name(to));
    match purpose {
        Purpose::Assign => {
            ValueFault::new("42804", format!("column is of type {to} but expression is of type {from}"))
        }
        Purpose::Compare => ValueFault::new("42883", format!("operator does not exist: {to} = {from}")),
    }
}

fn inexact() -> ValueFault {
    ValueFault::unsupported(
        "several values of the column equal this one, as it is rounded: compare with one of the column's type",
    )
}

fn integer_range(to: Base) -> ValueFault {
    ValueFault::new("22003", format!("{} out of range", sql_name(to)))
}

/// Both directions that a value takes.
pub(super) struct Cast<'s> {
    pub from: Base,
    pub to: &'s Logical,
    pub purpose: Purpose,
    pub style: &'s Style,
}

impl Cast<'_> {
    /// The value that the column is given, or compared with. For a comparison it may be one that the column
    /// cannot hold; it is then written as none of its values is.
    pub(super) fn apply<'a>(
        &self,
        value: Value<'a>,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Value<'a>, ValueFault> {
        let refused = || mismatch(self.from, self.to.base, self.purpose);
        let assign = self.purpose == Purpose::Assign;
        match self.to.base.family() {
            Family::Text => self.to_text(value, scratch),
            Family::Integer => self.to_integer(value),
            Family::Numeric => self.to_numeric(value, scratch),
            Family::Float => self.to_float(value, scratch),
            Family::Date => self.to_date(value),
            Family::Timestamp => self.to_timestamp(value),
            Family::Timestamptz => self.to_timestamptz(value),
            Family::Time => match value {
                Value::Time(_) => Ok(value),
                Value::Timetz(..) if !assign => Err(ValueFault::unsupported(
                    "a time is compared with one that has a zone by the date of today",
                )),
                Value::Timetz(time, _) => Ok(Value::Time(time)),
                Value::Timestamp(local) if assign => Ok(Value::Time(self.time_of(local)?)),
                Value::Timestamptz(instant) if assign => Ok(Value::Time(self.time_of(self.local(instant)?)?)),
                Value::Interval(interval) if assign => Ok(Value::Time(interval.micros.rem_euclid(DAY))),
                Value::Interval(interval) => {
                    let span = interval.span();
                    let time = i64::try_from(span).ok().filter(|span| (0..=DAY).contains(span));
                    Ok(time.map_or(value, Value::Time))
                }
                _ => Err(refused()),
            },
            Family::Timetz => match value {
                Value::Timetz(..) => Ok(value),
                Value::Time(time) => {
                    let east = self.style.zone.fixed().ok_or_else(|| {
                        ValueFault::unsupported("the date of today decides the zone of this time: give it")
                    })?;
                    Ok(Value::Timetz(time, east))
                }
                Value::Timestamptz(instant) if assign => {
                    let time = self.time_of(self.local(instant)?)?;
                    Ok(Value::Timetz(time, self.style.zone.at(instant, |east, _| east)?))
                }
                _ => Err(refused()),
            },
            Family::Interval => match value {
                Value::Interval(_) => Ok(value),
                Value::Time(micros) => Ok(Value::Interval(Interval { micros, ..Interval::default() })),
                _ => Err(refused()),
            },
            Family::Json => match value {
                Value::Json(_) => Ok(value),
                Value::Jsonb(text) if assign => Ok(Value::Json(text)),
                _ => Err(refused()),
            },
            Family::Jsonb => match value {
                Value::Jsonb(_) => Ok(value),
                Value::Json(text) if assign => jsonb(text.as_bytes(), scratch),
                _ => Err(refused()),
            },
            Family::Network => match value {
                Value::Network(network) if assign && self.to.base == Base::Cidr => {
                    Ok(Value::Network(network.without_host()))
                }
                Value::Network(_) => Ok(value),
                _ => Err(refused()),
            },
            Family::Money => self.to_money(value, scratch),
            Family::Bool | Family::Uuid | Family::Bytea | Family::Macaddr => {
                if self.from.family() == self.to.base.family() { Ok(value) } else { Err(refused()) }
            }
        }
    }

    fn to_text<'a>(&self, value: Value<'a>, scratch: &'a mut Vec<u8>) -> Result<Value<'a>, ValueFault> {
        let refused = || mismatch(self.from, self.to.base, self.purpose);
        if let Value::Text(_) = value {
            let (from, to) = (self.from, self.to.base);
            let one = |base: Base| from == base || to == base;
            // By which of the two types these are compared depends on both.
            let unclear = self.purpose == Purpose::Compare
                && ((one(Base::Bpchar) && one(Base::Name))
                    || (from == Base::Bpchar && matches!(to, Base::Varchar | Base::Citext))
                    || (to == Base::Bpchar && from == Base::Citext));
            return if unclear { Err(refused()) } else { Ok(value) };
        }
        if self.purpose == Purpose::Compare {
            return Err(refused());
        }
        scratch.clear();
        match value {
            // These have casts of their own to the character types, but to name.
            Value::Bool(is) if self.to.base != Base::Name => {
                scratch.extend_from_slice(if is { b"true" } else { b"false" });
            }
            Value::Network(network) if self.to.base != Base::Name => network.write(scratch),
            _ => value.show(self.from, self.style, scratch)?,
        }
        Ok(Value::Text(text::read(scratch)?))
    }

    fn to_integer<'a>(&self, value: Value<'a>) -> Result<Value<'a>, ValueFault> {
        let to = self.to.base;
        let number = match value {
            Value::Integer(number) => number,
            Value::Numeric(number) if self.purpose == Purpose::Compare => {
                let exact = number.fits(0).then(|| number.to_integer()).flatten();
                return Ok(exact.map_or(value, Value::Integer));
            }
            Value::Numeric(number @ Number::Finite { .. }) => {
                number.to_integer().ok_or_else(|| integer_range(to))?
            }
            Value::Numeric(_) => {
                let name = sql_name(to);
                return Err(ValueFault::new("0A000", format!("cannot convert NaN or infinity to {name}")));
            }
            Value::Single(_) | Value::Double(_) => {
                let number = match value {
                    Value::Single(number) => f64::from(number),
                    Value::Double(number) => number,
                    _ => f64::NAN,
                };
                if self.purpose == Purpose::Compare {
                    // Integers are compared with it as floats of 64 bits.
                    let held = number.abs() <= 9_223_372_036_854_775_808.0;
                    if number.abs() >= DOUBLE_EXACT && held && to == Base::Int8 {
                        return Err(inexact());
                    }
                    let whole = number.abs() < DOUBLE_EXACT && number.fract() == 0.0;
                    return Ok(if whole { Value::Integer(number as i64) } else { value });
                }
                let rounded = number.round_ties_even();
                let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded);
                if !fits {
                    return Err(integer_range(to));
                }
                rounded as i64
            }
            _ => return Err(mismatch(self.from, to, self.purpose)),
        };
        if self.purpose == Purpose::Assign && !in_range(to, number) {
            return Err(integer_range(to));
        }
        Ok(Value::Integer(number))
    }

    fn to_numeric<'a>(&self, value: Value<'a>, scratch: &'a mut Vec<u8>) -> Result<Value<'a>, ValueFault> {
        let mut digits = Zeroizing::new(Vec::new());
        match value {
            Value::Numeric(_) => return Ok(value),
            Value::Money(hundredths) if self.purpose == Purpose::Assign => {
                super::money::write(hundredths, &mut digits);
                scratch.clear();
                scratch.extend_from_slice(&digits);
                let number = Number::parse_canonical(scratch);
                return Ok(Value::Numeric(number.ok_or_else(|| ValueFault::range("numeric"))?));
            }
            Value::Integer(number) => return Ok(Value::Numeric(Number::from_integer(number, scratch))),
            Value::Double(number) if self.purpose == Purpose::Compare => {
                float::write_double(number, &mut digits);
            }
            Value::Single(number) if self.purpose == Purpose::Compare => {
                // As a float of 64 bits, in which it is compared.
                float::write_double(f64::from(number), &mut digits);
            }
            Value::Double(number) => float::write_decimal(number, false, &mut digits),
            Value::Single(number) => float::write_decimal(f64::from(number), true, &mut digits),
            _ => return Err(mismatch(self.from, self.to.base, self.purpose)),
        }
        let mut shifted = Zeroizing::new(Vec::new());
        let number = Number::parse(&digits, &mut shifted)?.without_zeros_behind();
        if self.purpose == Purpose::Compare
            && let Number::Finite { whole, .. } = number
        {
            let clear = self.to.decimal().is_some_and(|(precision, scale)| {
                let scale = usize::try_from(scale).unwrap_or(0);
                usize::from(precision) <= DOUBLE_DIGITS || whole.len() + scale <= DOUBLE_DIGITS
            });
            if !clear {
                return Err(inexact());
            }
        }
        scratch.clear();
        number.write(scratch);
        let number = Number::parse_canonical(scratch).ok_or_else(|| ValueFault::range("numeric"))?;
        Ok(Value::Numeric(number))
    }

    fn to_float<'a>(&self, value: Value<'a>, scratch: &mut Vec<u8>) -> Result<Value<'a>, ValueFault> {
        let single = self.to.base == Base::Float4;
        Ok(match value {
            Value::Single(number) if single => Value::Single(number),
            Value::Single(number) => Value::Double(f64::from(number)),
            Value::Double(number) if !single => Value::Double(number),
            Value::Double(number) => {
                let less = number as f32;
                if (less.is_infinite() && number.is_finite()) || (less == 0.0 && number != 0.0) {
                    return Err(ValueFault::new("22003", "value out of range for type real"));
                }
                Value::Single(less)
            }
            Value::Integer(number) if single => Value::Single(number as f32),
            Value::Integer(number) => Value::Double(number as f64),
            Value::Numeric(number) => {
                scratch.clear();
                number.write(scratch);
                if single {
                    Value::Single(float::read_single(scratch)?)
                } else {
                    Value::Double(float::read_double(scratch)?)
                }
            }
            _ => return Err(mismatch(self.from, self.to.base, self.purpose)),
        })
    }

    fn to_money<'a>(&self, value: Value<'a>, scratch: &mut Vec<u8>) -> Result<Value<'a>, ValueFault> {
        let assign = self.purpose == Purpose::Assign;
        let range = || ValueFault::new("22003", "bigint out of range");
        Ok(Value::Money(match value {
            Value::Money(_) => return Ok(value),
            Value::Integer(number) if assign && self.from != Base::Int2 => {
                number.checked_mul(100).ok_or_else(range)?
            }
            Value::Numeric(number @ Number::Finite { .. }) if assign => {
                scratch.clear();
                number.write_at(2, None, scratch)?;
                scratch.retain(|byte| *byte != b'.');
                super::numeric::integer(scratch, "money")?.ok_or_else(range)?
            }
            Value::Numeric(_) if assign => {
                return Err(ValueFault::new("0A000", "cannot convert NaN or infinity to money"));
            }
            _ => return Err(mismatch(self.from, self.to.base, self.purpose)),
        }))
    }

    fn local(&self, instant: i64) -> Result<i64, ValueFault> {
        if instant == i64::MAX || instant == i64::MIN {
            return Ok(instant);
        }
        let east = self.style.zone.at(instant, |east, _| east)?;
        moment::instant(Some(instant + i64::from(east) * SECOND))
    }

    fn instant(&self, local: i64) -> Result<i64, ValueFault> {
        if local == i64::MAX || local == i64::MIN {
            return Ok(local);
        }
        moment::instant(Some(local - i64::from(self.style.zone.at_local(local)?) * SECOND))
    }

    fn time_of(&self, local: i64) -> Result<i64, ValueFault> {
        if local == i64::MAX || local == i64::MIN {
            // The server makes NULL of it.
            return Err(ValueFault::unsupported("infinity has no time"));
        }
        Ok(local.rem_euclid(DAY))
    }

    fn to_date<'a>(&self, value: Value<'a>) -> Result<Value<'a>, ValueFault> {
        let local = match value {
            Value::Date(_) => return Ok(value),
            Value::Timestamp(local) => local,
            Value::Timestamptz(instant) => self.local(instant)?,
            _ => return Err(mismatch(self.from, self.to.base, self.purpose)),
        };
        let date = match local {
            i64::MAX => i32::MAX,
            i64::MIN => i32::MIN,
            _ => moment::date(local.div_euclid(DAY))?,
        };
        let infinite = local == i64::MAX || local == i64::MIN;
        if self.purpose == Purpose::Compare && !infinite {
            // The date's midnight is what is compared.
            let midnight = i64::from(date) * DAY;
            let same = match value {
                Value::Timestamptz(instant) => self.instant(midnight)? == instant,
                _ => midnight == local,
            };
            if !same {
                return Ok(Value::Timestamp(if midnight == local { local + 1 } else { local }));
            }
        }
        Ok(Value::Date(date))
    }

    fn midnight(&self, date: i32) -> Result<i64, ValueFault> {
        match date {
            i32::MAX => Ok(i64::MAX),
            i32::MIN => Ok(i64::MIN),
            _ => moment::instant(i64::from(date).checked_mul(DAY))
                .map_err(|_| ValueFault::new("22008", "date out of range for timestamp")),
        }
    }

    fn to_timestamp<'a>(&self, value: Value<'a>) -> Result<Value<'a>, ValueFault> {
        if self.is_beyond(value) {
            return Ok(value);
        }
        Ok(Value::Timestamp(match value {
            Value::Timestamp(local) => local,
            Value::Date(date) => self.midnight(date)?,
            Value::Timestamptz(instant) => {
                let local = self.local(instant)?;
                if self.purpose == Purpose::Compare {
                    let back = self.instant(local)?;
                    // Where clocks are put forward, two local times are one instant; where back, one is none.
                    if back != instant || self.is_doubled(local)? {
                        return Err(inexact());
                    }
                }
                local
            }
            _ => return Err(mismatch(self.from, self.to.base, self.purpose)),
        }))
    }

    /// Is there another local time of the same instant?
    fn is_doubled(&self, local: i64) -> Result<bool, ValueFault> {
        if local == i64::MAX || local == i64::MIN {
            return Ok(false);
        }
        let instant = self.instant(local)?;
        let doubled = |hours: i64| {
            let other = local.saturating_sub(hours * super::calendar::HOUR / 2);
            // One that did not exist is taken as if the clocks had not been put forward.
            let east = self.style.zone.at_local(other)?;
            let then = instant.saturating_add(i64::from(east) * SECOND);
            Ok(then != local && self.instant(then).is_ok_and(|same| same == instant))
        };
        for hours in [1, 2, 4, 6, 48] {
            if doubled(hours)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A date that is compared, and that no timestamp can be.
    fn is_beyond(&self, value: Value<'_>) -> bool {
        match value {
            Value::Date(date) => self.purpose == Purpose::Compare && self.midnight(date).is_err(),
            _ => false,
        }
    }

    fn to_timestamptz<'a>(&self, value: Value<'a>) -> Result<Value<'a>, ValueFault> {
        if self.is_beyond(value) {
            return Ok(value);
        }
        Ok(Value::Timestamptz(match value {
            Value::Timestamptz(instant) => instant,
            Value::Date(date) => self.instant(self.midnight(date)?)?,
            Value::Timestamp(local) => self.instant(local)?,
            _ => return Err(mismatch(self.from, self.to.base, self.purpose)),
        }))
    }
}

/// A time or timestamp with as many digits behind its seconds as the type declares.
pub(super) fn rounded<'a>(value: Value<'a>, logical: &Logical) -> Value<'a> {
    let digits = logical.fraction();
    let finite = |time: i64| {
        if time == i64::MAX || time == i64::MIN { time } else { round(time, digits) }
    };
    match value {
        Value::Time(time) => Value::Time(round(time, digits)),
        Value::Timetz(time, east) => Value::Timetz(round(time, digits), east),
        Value::Timestamp(time) => Value::Timestamp(finite(time)),
        Value::Timestamptz(time) => Value::Timestamptz(finite(time)),
        other => other,
    }
}
