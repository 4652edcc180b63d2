//! The texts of a session that the server may not have answered yet, for the others: whoever is about to
//! give a new name to what is classified must know that none of them uses it already. They were judged
//! when the name meant nothing.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::plan::Plan;
use super::session::ANYTHING;
use crate::statement::Renames;

/// Bytes of texts that are kept for one session. Beyond them nobody knows what it names.
const TEXTS_BYTES_MAX: usize = 16 * 1024;

/// What a session is changing, as the others see it.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Barred {
    /// Bare names of tables, as sessions judge by them.
    pub tables: BTreeSet<Arc<str>>,
    /// New names that come to be for what is classified, or leads there.
    pub names: BTreeSet<Arc<str>>,
}

/// Could a text use one of these names? Case does not count, nor whether it is a name there.
pub(super) fn may_use<'n>(text: &[u8], mut names: impl Iterator<Item = &'n Arc<str>>) -> bool {
    // By its code point a character can be written where names are.
    text.windows(2).any(|part| part.eq_ignore_ascii_case(b"u&"))
        || names.any(|name| {
            let plain = name.is_ascii() && !name.contains('"') && **name != *ANYTHING;
            !plain || holds(text, name.as_bytes())
        })
}

/// One session's.
#[derive(Default)]
pub struct Underway {
    /// It may be taking something up at this moment.
    takes_up: AtomicBool,
    /// Something is under way of which no text tells what it names.
    unknown: AtomicBool,
    /// A statement without a name was parsed.
    parsed: AtomicBool,
    /// There are texts.
    noted: AtomicBool,
    /// Each with a zero behind it.
    texts: Mutex<Vec<u8>>,
}

impl Underway {
    /// The session begins to look at what has come. It must look behind this at what the others are
    /// changing: so either it sees that, or they see this.
    pub fn begins(&self) {
        self.takes_up.store(true, Ordering::SeqCst);
    }

    /// It is done. `settled`: the server owes it no answer.
    pub fn ends(&self, settled: bool) {
        if settled {
            self.unknown.store(false, Ordering::Relaxed);
            self.parsed.store(false, Ordering::Relaxed);
            if self.noted.swap(false, Ordering::Relaxed) {
                self.texts().clear();
            }
        }
        self.takes_up.store(false, Ordering::SeqCst);
    }

    /// A text goes to the server.
    pub(super) fn text(&self, text: &[u8]) {
        self.noted.store(true, Ordering::Relaxed);
        let mut texts = self.texts();
        if texts.len() + text.len() < TEXTS_BYTES_MAX {
            texts.extend_from_slice(text);
            texts.push(0);
        } else {
            self.unknown();
        }
    }

    /// The text of a statement is parsed.
    pub(super) fn parse(&self, name: &[u8], text: &[u8]) {
        self.text(text);
        if name.is_empty() {
            self.parsed.store(true, Ordering::Relaxed);
        }
    }

    /// A statement is bound, for which the server may look up its names again: that without a name has its
    /// text here, if it was parsed just now.
    pub(super) fn bind(&self, statement: &[u8]) {
        if !statement.is_empty() || !self.parsed.load(Ordering::Relaxed) {
            self.unknown();
        }
    }

    /// A text goes that was judged: what it runs may name what it does not.
    pub(super) fn runs(&self, plan: &Plan) {
        let by_name = |facts: &crate::statement::StatementFacts| {
            facts.renames != Renames::Nothing || facts.effect.executes.is_some()
        };
        if plan.facts.statements.iter().any(by_name) {
            self.unknown();
        }
    }

    /// Something goes to the server that may name anything.
    pub(super) fn unknown(&self) {
        self.unknown.store(true, Ordering::Relaxed);
    }

    /// Could what is under way name any of these? Case does not count, nor whether it is a name there.
    #[must_use]
    pub fn may_name(&self, names: &[Arc<str>]) -> bool {
        if self.takes_up.load(Ordering::SeqCst) || self.unknown.load(Ordering::Relaxed) {
            return true;
        }
        let texts = self.texts();
        !texts.is_empty() && may_use(&texts, names.iter())
    }

    /// Was a statement without a name parsed since it came to rest?
    pub(super) fn has_parsed(&self) -> bool {
        self.parsed.load(Ordering::Relaxed)
    }

    fn texts(&self) -> MutexGuard<'_, Vec<u8>> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does the name stand there as a whole word?
pub(super) fn holds(bytes: &[u8], name: &[u8]) -> bool {
    let in_word = |at: Option<usize>| {
        let byte = at.and_then(|at| bytes.get(at)).copied().unwrap_or_default();
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
    };
    let parts = bytes.windows(name.len().max(1)).enumerate();
    let mut found = parts.filter(|(_, part)| part.eq_ignore_ascii_case(name));
    found.any(|(at, _)| !in_word(at.checked_sub(1)) && !in_word(at.checked_add(name.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_may_be_named_until_the_server_has_answered() {
        let names = [Arc::from("new_part")];
        let underway = Underway::default();
        let takes = |text: &str| {
            underway.begins();
            underway.text(text.as_bytes());
            assert!(underway.may_name(&names), "not known before it is done");
            underway.ends(false);
            underway.may_name(&names)
        };
        assert!(!underway.may_name(&names));
        assert!(!takes("SELECT pg_sleep(1); SELECT * FROM new_parts, a_new_part, new_part$"));
        assert!(takes("SELECT 1; INSERT INTO New_Part VALUES (1)"));
        underway.ends(true);
        assert!(!underway.may_name(&names));
        assert!(takes("SELECT * FROM u&\"new\\005fpart\""));
        underway.ends(true);
        assert!(takes(&" ".repeat(TEXTS_BYTES_MAX)));
        underway.ends(true);
        // The server looks up the names of what was parsed before again.
        for (parsed, bound, expected) in [(None, "", true), (Some(""), "", false), (Some("s"), "s", true)] {
            if let Some(name) = parsed {
                underway.parse(name.as_bytes(), b"SELECT 1");
            }
            underway.bind(bound.as_bytes());
            assert_eq!(underway.may_name(&names), expected, "{parsed:?} {bound}");
            underway.ends(true);
        }
        // Names that a text can hold in more than one spelling.
        for name in [ANYTHING, "größe", "a\"b"] {
            assert!(!underway.may_name(&[Arc::from(name)]));
            takes("SELECT 1");
            assert!(underway.may_name(&[Arc::from(name)]), "{name}");
            underway.ends(true);
        }
    }
}
