//! The character types: what a column of each does with a text.

use super::fault::ValueFault;
use super::normalize::normalize;
use super::purpose::Purpose;
use super::scan::without_blanks;
use crate::catalog::{Base, Kind, Logical};

/// Bytes of the type `name`, without the zero at its end.
pub(super) const NAME_MAX: usize = 63;

/// A text that the server takes: UTF-8 without zeros.
pub(super) fn read(value: &[u8]) -> Result<&str, ValueFault> {
    match std::str::from_utf8(value) {
        Ok(text) if !value.contains(&0) => Ok(text),
        _ => Err(ValueFault::new("22021", "invalid byte sequence for encoding \"UTF8\"")),
    }
}

/// Appends the canonical text that `text` has in a column of type `wanted`.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others keep a text as it is")]
pub(super) fn write(
    text: &str,
    given: Base,
    wanted: &Logical,
    kind: &Kind,
    purpose: Purpose,
    out: &mut Vec<u8>,
) -> Result<(), ValueFault> {
    // A name has never more.
    let text = if given == Base::Name { clip(text, NAME_MAX) } else { text };
    let text = match wanted.base {
        Base::Bpchar => match (purpose, given) {
            // Compared as text, its blanks count, and no stored value has any.
            (Purpose::Compare, Base::Text) => text,
            _ => blankless(text),
        },
        Base::Name if purpose == Purpose::Assign => clip(text, NAME_MAX),
        _ => text,
    };
    // bpchar becomes another character type without its blanks.
    let text = if given == Base::Bpchar && wanted.base != Base::Bpchar { blankless(text) } else { text };
    if purpose == Purpose::Compare {
        return finish(text, wanted, kind, out);
    }
    let start = out.len();
    finish(fit(text, wanted)?, wanted, kind, out)?;
    // Composing may lengthen a text.
    if kind.normalize.is_nothing() || wanted.characters().is_none() {
        return Ok(());
    }
    let length = match out.get(start..).map(std::str::from_utf8) {
        Some(Ok(stored)) => fit(stored, wanted)?.len(),
        _ => return Err(ValueFault::canonical("text")),
    };
    out.truncate(start + length);
    Ok(())
}

fn finish(text: &str, wanted: &Logical, kind: &Kind, out: &mut Vec<u8>) -> Result<(), ValueFault> {
    if kind.normalize.is_nothing() {
        out.extend_from_slice(text.as_bytes());
        return Ok(());
    }
    let start = out.len();
    normalize(kind, text, out)?;
    if wanted.base == Base::Bpchar && out.len() > start {
        let kept = out.get(start..).map_or(0, |stored| without_blanks(stored).len());
        out.truncate(start + kept);
    }
    Ok(())
}

/// What fits into the declared length: blanks beyond it go, and nothing else.
fn fit<'a>(text: &'a str, wanted: &Logical) -> Result<&'a str, ValueFault> {
    let Some(most) = wanted.characters().and_then(|most| usize::try_from(most).ok()) else {
        return Ok(text);
    };
    let Some((cut, _)) = text.char_indices().nth(most) else {
        return Ok(text);
    };
    match text.split_at_checked(cut) {
        Some((kept, beyond)) if beyond.bytes().all(|byte| byte == b' ') => Ok(kept),
        _ => {
            let name = if wanted.base == Base::Bpchar { "character" } else { "character varying" };
            Err(ValueFault::new("22001", format!("value too long for type {name}({most})")))
        }
    }
}

/// The first characters of a text: what an explicit cast leaves.
pub(super) fn cut<'a>(text: &'a str, given: &Logical) -> &'a str {
    let Some(most) = given.characters().and_then(|most| usize::try_from(most).ok()) else {
        return text;
    };
    text.char_indices().nth(most).and_then(|(cut, _)| text.get(..cut)).unwrap_or(text)
}

fn clip(text: &str, bytes: usize) -> &str {
    // A character has four bytes at most.
    (bytes.saturating_sub(3)..=bytes).rev().find_map(|end| text.get(..end)).unwrap_or(text)
}

fn blankless(text: &str) -> &str {
    text.trim_end_matches(' ')
}

/// Appends what a client sees: `char(n)` has all its blanks.
pub(super) fn show(logical: &Logical, canonical: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(canonical);
    if logical.base == Base::Bpchar
        && let Some(most) = logical.characters().and_then(|most| usize::try_from(most).ok())
    {
        // Continuation bytes of UTF-8 begin with 10.
        let characters = canonical.iter().filter(|byte| **byte & 0xC0 != 0x80).count();
        out.resize(out.len() + most.saturating_sub(characters), b' ');
    }
}
