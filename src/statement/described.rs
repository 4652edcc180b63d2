//! What the record tells of a text that was refused: fields, shape, fingerprint, as far as it could
//! be read. Nothing is decided by it.

use std::sync::Arc;

use crate::catalog::{FieldId, Names};

use super::define::named::named;
use super::judge::{agreed, readable};
use super::read::bounds::{self, Limits};
use super::read::census::{Census, census};
use super::read::reader;
use super::read::shape::shape;
use super::read::signs::{Signs, signs};
use super::read::spelling::is_keyword;
use super::read::tree::{self, Reading};

/// See the module's text.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Description {
    pub fields: Vec<FieldId>,
    /// Literal-free. None: both readers did not agree on what its literals are.
    pub shape: Option<Arc<str>>,
    pub fingerprint: Option<Arc<str>>,
    /// Of an injection.
    pub signs: Signs,
}

/// Describes a text that was refused; of one that is no SQL, nothing can be told.
#[must_use]
pub fn describe(text: &[u8], reading: Reading, names: Names<'_>, limits: &Limits) -> Description {
    let characters = bounds::check(text, limits).and_then(|()| readable(text, reading));
    let Ok(characters) = characters else { return Description::default() };
    let parsed = tree::parse(characters, reading).ok().filter(|parsed| !parsed.stmts.is_empty());
    let Some(parsed) = parsed else { return Description::default() };
    let censuses: Vec<Census> = parsed.stmts.iter().map(census).collect();
    let fields = named(names, &censuses);
    let signs = reader::read(characters).map_or(Signs::default(), |tokens| signs(characters, &tokens));
    let Ok(tokens) = agreed(names.snapshot, text, characters, &parsed, &censuses, &[]) else {
        return Description { fields, signs, ..Description::default() };
    };
    let known = |name: &str| {
        names.snapshot.knows(name) || censuses.iter().any(|found| found.defined.iter().any(|own| own == name))
    };
    // No server has said that it knows the names: a word may be a value that lacks its quotes.
    let applied = |name: &str| {
        censuses.iter().any(|found| {
            let named = found.calls.iter().chain(&found.operators).chain(&found.types);
            named.flat_map(|named| &named.parts).any(|own| own == name)
        })
    };
    let bare = |word: &str| known(word) || applied(word) || is_keyword(word);
    Description {
        fields,
        shape: Some(Arc::from(shape(characters, &tokens, known, bare))),
        fingerprint: tree::fingerprint(characters, reading).map(Arc::from),
        signs,
    }
}

#[cfg(test)]
mod tests {
    use super::super::shop::{EMAIL, NICK, PHONE, READING, shop};
    use super::*;

    #[test]
    fn tells_fields_and_shape_of_what_was_refused_and_no_literal() {
        let snapshot = shop();
        let of = |text: &str| describe(text.as_bytes(), READING, snapshot.names(None), &Limits::default());
        let told = of("SELECT lower(email) FROM customers WHERE note = 'Ada' AND id = 7 -- Ada");
        assert_eq!(told.fields, [EMAIL]);
        assert_eq!(
            told.shape.as_deref(),
            Some("SELECT lower(email) FROM customers WHERE note = ? AND id = ?")
        );
        assert_eq!(told.fingerprint.as_deref().map(str::len), Some(16));
        let told =
            of("SELECT lower(c.email) AS mail FROM customers c WHERE note = London AND city = \"Paris\"");
        let shape = "SELECT lower(c.email) AS mail FROM customers c WHERE note = ? AND city = \"?\"";
        assert_eq!(told.shape.as_deref(), Some(shape), "a value without its quotes is no name");
        let told = of("TABLE customers; SELECT 1");
        assert!(told.fields.contains(&EMAIL) && told.fields.contains(&PHONE) && told.fields.contains(&NICK));
        assert_eq!(of("UPDATE public.customers SET phone = lower(phone)").fields, [PHONE]);
        assert_eq!(of("SELECT email FROM orders").fields, []);
        for text in ["SELEKT email FROM customers", "", "SELECT 'a\0b'"] {
            assert_eq!(of(text), Description::default(), "{text:?}");
        }
    }
}
