//! What a statement's form says: does it walk, and is it a known form in whose one literal an expression
//! stands now? Forms are records' `statement`: without literals, `?` in their place.

use std::hash::{Hash as _, Hasher as _};

use rustc_hash::{FxHashMap, FxHasher};
use serde::{Deserialize, Serialize};

/// Words of a form that are looked at.
const WORDS_MAX: usize = 512;
/// Literals of one form that are remembered.
const PLACES_MAX: usize = 16;
/// Beginnings that are remembered.
const BEGINNINGS_MAX: usize = 4_096;
/// Ends of one of them.
const ENDS_MAX: usize = 4;

/// Does it skip rows, or go on with a cursor?
pub(super) fn is_step(statement: &str) -> bool {
    words(statement).any(|word| word.eq_ignore_ascii_case("offset") || word.eq_ignore_ascii_case("fetch"))
}

fn words(statement: &str) -> impl Iterator<Item = &str> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte >= 0x80 || b"_$.\"".contains(&byte);
    let mut rest = statement;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = *rest.as_bytes().first()?;
        let length = if is_word(first) {
            rest.bytes().position(|byte| !is_word(byte)).unwrap_or(rest.len())
        } else {
            // An ASCII character: whatever is not belongs to a word.
            1
        };
        let (word, behind) = rest.split_at(length);
        rest = behind;
        Some(word)
    })
    .take(WORDS_MAX)
}

fn is_literal(word: &str) -> bool {
    word == "?"
        || (word.starts_with('$') && word.len() > 1 && word.bytes().skip(1).all(|byte| byte.is_ascii_digit()))
}

/// What came of a comparison with what is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// Something stands behind a known form's last literal, as when a condition is added.
    Longer,
    /// An expression with words of its own stands where a literal stood.
    Expression,
    /// So does one that no application writes: what is always true, another query, another statement.
    Injection,
}

/// Known forms, by what is before and behind each of their literals.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub(super) struct Forms {
    ends: FxHashMap<u64, Vec<u64>>,
}

fn step(hash: u64, word: &str) -> u64 {
    let mut hasher = FxHasher::default();
    hash.hash(&mut hasher);
    for byte in word.bytes() {
        byte.to_ascii_lowercase().hash(&mut hasher);
    }
    hasher.finish()
}

/// Hashes of what is before each word, and of what is from it on; one more than there are words.
fn sides(words: &[&str]) -> (Vec<u64>, Vec<u64>) {
    let mut before = Vec::with_capacity(words.len() + 1);
    let mut hash = 0;
    before.push(hash);
    for word in words {
        hash = step(hash, if is_literal(word) { "?" } else { word });
        before.push(hash);
    }
    let mut from = vec![0; words.len() + 1];
    let mut hash = 0;
    for (index, word) in words.iter().enumerate().rev() {
        hash = step(hash, if is_literal(word) { "?" } else { word });
        if let Some(place) = from.get_mut(index) {
            *place = hash;
        }
    }
    (before, from)
}

/// What stands where a literal stood.
fn judge(between: &[&str]) -> Change {
    let has = |telling: &[&str]| {
        between.iter().any(|word| telling.iter().any(|telling| word.eq_ignore_ascii_case(telling)))
    };
    let compares = |three: &[&str]| match three {
        [one, by, other] => is_literal(one) && is_literal(other) && ["=", "<", ">"].contains(by),
        _ => false,
    };
    // The literal itself is compared with what is before it.
    let own = between.get(1..).unwrap_or_default();
    if has(&["union", ";", "pg_sleep"]) || own.windows(3).any(compares) {
        Change::Injection
    } else if has(&["or", "select", "case", "exists", "|", "cast"]) {
        Change::Expression
    } else {
        Change::Longer
    }
}

impl Forms {
    pub(super) fn learn(&mut self, statement: &str) {
        let words: Vec<&str> = words(statement).collect();
        let (before, from) = sides(&words);
        let literals = words.iter().enumerate().filter(|(_, word)| is_literal(word));
        for (index, _) in literals.take(PLACES_MAX) {
            let (Some(begin), Some(end)) = (before.get(index), from.get(index + 1)) else { continue };
            if self.ends.len() >= BEGINNINGS_MAX && !self.ends.contains_key(begin) {
                continue;
            }
            let ends = self.ends.entry(*begin).or_default();
            if !ends.contains(end) && ends.len() < ENDS_MAX {
                ends.push(*end);
            }
        }
    }

    /// Is a form that is not known a known one, with something else where one literal stood?
    pub(super) fn change(&self, statement: &str) -> Option<Change> {
        let words: Vec<&str> = words(statement).collect();
        let (before, from) = sides(&words);
        let mut found = None;
        for (index, begin) in before.iter().enumerate().take(words.len()) {
            let Some(ends) = self.ends.get(begin) else { continue };
            for (behind, end) in from.iter().enumerate().skip(index + 2) {
                if !ends.contains(end) {
                    continue;
                }
                let between = words.get(index..behind).unwrap_or_default();
                match judge(between) {
                    Change::Injection => return Some(Change::Injection),
                    Change::Expression => found = Some(Change::Expression),
                    Change::Longer => found = found.or(Some(Change::Longer)),
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_form_with_an_expression_in_place_of_a_literal_is_found() {
        let mut forms = Forms::default();
        forms.learn("SELECT email FROM customers WHERE id = ?");
        forms.learn("SELECT email FROM customers WHERE name = $1 AND active = ? LIMIT ?");
        for (statement, expected) in [
            ("SELECT email FROM customers WHERE id = ? OR ? = ?", Some(Change::Injection)),
            (
                "select email from customers where id = ? UNION SELECT secret FROM keys",
                Some(Change::Injection),
            ),
            (
                "SELECT email FROM customers WHERE name = ? OR true AND active = ? LIMIT ?",
                Some(Change::Expression),
            ),
            (
                "SELECT email FROM customers WHERE id = (SELECT max(id) FROM customers)",
                Some(Change::Expression),
            ),
            ("SELECT email FROM customers WHERE id = ? ; DELETE FROM customers", Some(Change::Injection)),
            ("SELECT email FROM customers WHERE id = ? AND active", Some(Change::Longer)),
            ("SELECT email FROM customers WHERE id = ?", None),
            ("SELECT phone FROM customers WHERE id = ? OR ? = ?", None),
        ] {
            assert_eq!(forms.change(statement), expected, "{statement}");
        }
    }

    #[test]
    fn steps_of_a_walk_are_told_by_their_words() {
        assert!(is_step("SELECT email FROM t ORDER BY id LIMIT ? offset ?") && is_step("FETCH ? FROM c"));
        assert!(!is_step("SELECT \"offset\" FROM t") && !is_step("SELECT fetched FROM t"));
    }
}
