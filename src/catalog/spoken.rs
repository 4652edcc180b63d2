//! The words of a database's code that is kept as text: the bodies of functions, the arguments of triggers.
//!
//! Such code finds what it names when it runs. So whatever gets a name that stands there is used by it from
//! then on, before anybody has read the catalog again.

use std::collections::BTreeSet;

/// Distinct words that are kept. Beyond them any name may stand there.
const WORDS_MAX: usize = 200_000;

/// See the module's text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Spoken {
    words: BTreeSet<Box<str>>,
    /// There is code that was not read, or too much of it.
    unread: bool,
}

impl Spoken {
    /// Takes the words of a text that is folded to lower case.
    pub fn hear(&mut self, folded: &str) {
        let is_word = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '$');
        for word in folded.split(|letter: char| !is_word(letter)).filter(|word| !word.is_empty()) {
            // By its code point a character can be written where names are.
            if self.words.len() >= WORDS_MAX || word == "u" && folded.contains("u&") {
                self.unread = true;
                return;
            }
            if !self.words.contains(word) {
                self.words.insert(word.into());
            }
        }
    }

    /// There is code that nobody has read.
    pub fn miss(&mut self) {
        self.unread = true;
    }

    /// May code name this, by itself?
    #[must_use]
    pub fn may_name(&self, name: &str) -> bool {
        let is_word = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '$');
        self.unread || !name.chars().all(is_word) || self.words.contains(&*name.to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_code_is_a_name_that_it_may_use() {
        let mut spoken = Spoken::default();
        spoken.hear("begin update shop.people set note = $1; end");
        for (name, named) in [
            ("people", true),
            ("People", true),
            ("peopl", false),
            ("shop", true),
            ("note2", false),
            ("two words", true),
        ] {
            assert_eq!(spoken.may_name(name), named, "{name}");
        }
        spoken.hear("select * from u&\"\\0061b\"");
        assert!(spoken.may_name("anything"), "a name by its code points");
    }
}
