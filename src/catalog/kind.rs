//! The kind of value that a key domain seals: what its plaintexts are made of, fixed when it is made.

use std::fmt;

use super::logical::{Family, Logical};

/// What the type byte of an array has beside that of its elements.
pub const ARRAY_BYTE: u8 = 0x80;

/// One thing that is done to a text before it is sealed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Normal {
    Lowercase,
    Trim,
    Nfc,
}

impl Normal {
    pub const ALL: [Normal; 3] = [Normal::Lowercase, Normal::Trim, Normal::Nfc];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Normal::Lowercase => "lowercase",
            Normal::Trim => "trim",
            Normal::Nfc => "nfc",
        }
    }
}

/// What is done, in this order; each at most once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Normalize([Option<Normal>; 3]);

impl Normalize {
    /// None: one of them stands twice.
    #[must_use]
    pub fn new(steps: &[Normal]) -> Option<Normalize> {
        let mut all = [None; 3];
        for (at, step) in steps.iter().enumerate() {
            if all.contains(&Some(*step)) {
                return None;
            }
            *all.get_mut(at)? = Some(*step);
        }
        Some(Normalize(all))
    }

    pub fn steps(&self) -> impl Iterator<Item = Normal> + '_ {
        self.0.iter().flatten().copied()
    }

    #[must_use]
    pub fn has(&self, step: Normal) -> bool {
        self.0.contains(&Some(step))
    }

    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

/// Longest multiple to which values are padded, in bytes.
pub const PAD_MAX: u16 = 4096;

/// What a domain seals, fixed when it is made: only values of one kind are compared with one another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Kind {
    pub family: Family,
    pub array: bool,
    /// Of numeric: digits behind the point of every value. None: as each was given.
    pub scale: Option<i16>,
    pub normalize: Normalize,
    /// Plaintexts are of a multiple of so many bytes, so that lengths tell less. None: as they are.
    pub pad: Option<u16>,
}

impl Kind {
    pub const TEXT: Kind = Kind::plain(Family::Text);

    #[must_use]
    pub const fn plain(family: Family) -> Kind {
        Kind { family, array: false, scale: None, normalize: Normalize([None; 3]), pad: None }
    }

    /// That of a column of this type.
    #[must_use]
    pub fn of(logical: &Logical) -> Kind {
        Kind {
            array: logical.array,
            scale: logical.decimal().map(|(_, scale)| scale),
            ..Kind::plain(logical.base.family())
        }
    }

    /// Type byte at the head of every sealed plaintext.
    #[must_use]
    pub const fn byte(&self) -> u8 {
        if self.array { self.family.byte() | ARRAY_BYTE } else { self.family.byte() }
    }

    /// Why values of it cannot be sealed so that equal ones are alike. None: they can.
    #[must_use]
    pub const fn unequal(&self) -> Option<&'static str> {
        match self.family {
            Family::Interval => Some("1 month equals 30 days, though they are written otherwise"),
            Family::Float => Some("0 equals -0, though they are written otherwise"),
            Family::Json => Some("json has no equality"),
            Family::Jsonb => Some("numbers in it are equal that are written otherwise, as 1 and 1.0"),
            Family::Money => Some("how it is written depends on lc_monetary"),
            Family::Timetz => Some("it is written with the zone that it was given in"),
            Family::Numeric if self.scale.is_none() => {
                Some("1 equals 1.0, though they are written otherwise: declare precision and scale")
            }
            Family::Text
            | Family::Integer
            | Family::Numeric
            | Family::Bool
            | Family::Date
            | Family::Time
            | Family::Timestamp
            | Family::Timestamptz
            | Family::Uuid
            | Family::Bytea
            | Family::Network
            | Family::Macaddr => None,
        }
    }

    /// As the keyring writes it: `text`, `numeric(2)`, `date[]`, `text:lowercase,trim`, `text/16`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Kind> {
        let (rest, pad) = match text.split_once('/') {
            Some((rest, pad)) => (rest, Some(pad.parse().ok().filter(|pad| (2..=PAD_MAX).contains(pad))?)),
            None => (text, None),
        };
        let (rest, normalize) = match rest.split_once(':') {
            Some((rest, steps)) => {
                let named = |name| Normal::ALL.into_iter().find(|step| step.name() == name);
                let steps: Option<Vec<Normal>> = steps.split(',').map(named).collect();
                (rest, Normalize::new(&steps?)?)
            }
            None => (rest, Normalize::default()),
        };
        let (rest, array) = match rest.strip_suffix("[]") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let (name, scale) = match rest.split_once('(') {
            Some((name, scale)) => (name, Some(scale.strip_suffix(')')?.parse::<i16>().ok()?)),
            None => (rest, None),
        };
        let family = Family::all().find(|family| family.name() == name)?;
        let kind = Kind { family, array, scale, normalize, pad };
        // One way to write each.
        (kind.to_string() == text && (scale.is_none() || family == Family::Numeric)).then_some(kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.family.name())?;
        if let Some(scale) = self.scale {
            write!(f, "({scale})")?;
        }
        f.write_str(if self.array { "[]" } else { "" })?;
        for (at, step) in self.normalize.steps().enumerate() {
            write!(f, "{}{}", if at == 0 { ':' } else { ',' }, step.name())?;
        }
        if let Some(pad) = self.pad {
            write!(f, "/{pad}")?;
        }
        Ok(())
    }
}
