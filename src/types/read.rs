//! From what a client gave to the canonical text, of one value.

use zeroize::Zeroizing;

use super::cast::{Cast, rounded};
use super::fault::ValueFault;
use super::numeric::Number;
use super::purpose::{Format, Purpose};
use super::style::Style;
use super::text;
use super::value::Value;
use crate::catalog::{Kind, Logical};

/// All but the value.
#[derive(Clone, Copy)]
pub(super) struct Reading<'s> {
    pub given: Option<&'s Logical>,
    pub wanted: &'s Logical,
    pub kind: &'s Kind,
    pub purpose: Purpose,
    pub style: &'s Style,
}

impl Reading<'_> {
    pub(super) fn scalar(&self, format: Format, value: &[u8], out: &mut Vec<u8>) -> Result<(), ValueFault> {
        let source = self.given.unwrap_or(self.wanted);
        let mut read = Zeroizing::new(Vec::new());
        let value = match format {
            Format::Text => Value::from_text(source.base, value, self.style, &mut read)?,
            Format::Binary => Value::from_binary(source.base, value, &mut read)?,
        };
        // A declared length or scale of what is given is an explicit cast.
        let mut modified = Zeroizing::new(Vec::new());
        let value = match (self.given, value) {
            (None, value) => value,
            (Some(given), Value::Text(given_text)) => Value::Text(text::cut(given_text, given)),
            (Some(given), Value::Numeric(number)) => match given.decimal() {
                None => value,
                Some((precision, scale)) => {
                    number.write_at(i32::from(scale), Some(usize::from(precision)), &mut modified)?;
                    let number = Number::parse_canonical(&modified);
                    Value::Numeric(number.ok_or_else(|| ValueFault::range("numeric"))?)
                }
            },
            (Some(given), value) => rounded(value, given),
        };
        let cast = Cast { from: source.base, to: self.wanted, purpose: self.purpose, style: self.style };
        let mut converted = Zeroizing::new(Vec::new());
        let value = cast.apply(value, &mut converted)?;
        self.finish(value, source, out)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are written as they are")]
    fn finish(&self, value: Value<'_>, source: &Logical, out: &mut Vec<u8>) -> Result<(), ValueFault> {
        match value {
            Value::Text(given) => {
                let wanted = self.wanted;
                // What is no text becomes text before it becomes what is wanted.
                let from = if source.is_text() { source.base } else { wanted.base };
                text::write(given, from, wanted, self.kind, self.purpose, out)
            }
            Value::Numeric(number) => {
                if self.purpose == Purpose::Assign
                    && let Some((precision, scale)) = self.wanted.decimal()
                {
                    return number.write_at(i32::from(scale), Some(usize::from(precision)), out);
                }
                match self.kind.scale {
                    Some(scale) if number.fits(i32::from(scale)) => {
                        number.write_at(i32::from(scale), None, out)
                    }
                    _ => {
                        number.write(out);
                        Ok(())
                    }
                }
            }
            value => {
                let value = if self.purpose == Purpose::Assign { rounded(value, self.wanted) } else { value };
                value.write(out);
                Ok(())
            }
        }
    }
}
