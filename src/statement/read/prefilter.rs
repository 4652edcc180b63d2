//! One pass over raw bytes that decides whether a text must be judged at all.
//!
//! It over-approximates: names of everything that matters, and the words by which a text
//! can hide a name, run SQL given as a value, or change how the next text is read. It
//! needs no lexer; what it lets pass cannot name a classified relation.

use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::super::define::doors;
use crate::catalog::{Bound, Snapshot};

/// Beginnings of the names of functions that run SQL or read tables given as values, or
/// that read what the server stores beside its tables. Calls of them are refused, and so are definitions whose
/// bodies name them, with a reason that says what they do.
///
/// The list is not complete, and nothing rests on it: whatever else is not on the list of what is
/// harmless (`catalog::stock`) is opaque, recorded as a possible read, and given no value; these would
/// be that too, as a test has it.
pub(in crate::statement) const READERS: [&str; 24] = [
    "query_to_xml",
    "cursor_to_xml",
    "table_to_xml",
    "schema_to_xml",
    "database_to_xml",
    "ts_stat",
    "ts_rewrite",
    "dblink",
    "crosstab",
    "connectby",
    "xpath_table",
    "lo_import",
    "lo_export",
    "pg_read_file",
    "pg_read_binary_file",
    "pg_logical_slot_",
    "get_raw_page",
    "heap_page_item",
    "bt_page_item",
    "brin_page_item",
    "gin_leafpage_item",
    "gist_page_item",
    "hash_page_item",
    "tuple_data_split",
];

/// Parts of words: whatever contains one of these must be judged. `u&` hides names in
/// Unicode escapes; `sealgate` states who asks; the rest changes the reading.
const PARTS: [&str; 5] = ["u&", "standard_conforming_strings", "client_encoding", "set_config", "sealgate"];

/// Whole words. EXECUTE, FETCH and MOVE reach prepared statements, portals and cursors by name, which
/// PREPARE and DECLARE make; DO and function definitions hold SQL in a string, which can hide a name; a schema's name
/// decides what a policy's table name means; NAMES changes the encoding; PREPARED ends a
/// transaction whose definitions hold from then on; DROP OWNED drops tables without naming them.
const WORDS: [&str; 14] = [
    "prepare",
    "declare",
    "execute",
    "fetch",
    "move",
    "do",
    "function",
    "procedure",
    "schema",
    "names",
    "foreign",
    "publication",
    "prepared",
    "owned",
];

/// Built once per snapshot.
pub struct Prefilter {
    judge: Judge,
    /// Patterns below this index are names or parts: no word boundary is asked for.
    parts: usize,
    /// From this index on they are signs of doors, which the whole text is scanned for.
    doors: usize,
    bound: Arc<Bound>,
    /// A name that matters has bytes above 0x7F, whose spelling depends on the encoding.
    any_encoding: bool,
}

enum Judge {
    /// Nothing is classified.
    Nothing,
    Matches(AhoCorasick),
    /// The names do not fit a matcher: every text is judged.
    Everything,
}

impl Prefilter {
    #[must_use]
    pub fn new(snapshot: &Snapshot) -> Prefilter {
        let mut all =
            Prefilter::of_names(snapshot, snapshot.watched_names(), snapshot.codes().names(), WORDS.iter());
        if snapshot.codes().implies_strangers() && !snapshot.classifies_nothing() {
            // No name tells what may run.
            all.judge = Judge::Everything;
        }
        all
    }

    /// The same for code that a definition keeps: what else that runs shows when it is called.
    #[must_use]
    pub(in crate::statement) fn of_bodies(snapshot: &Snapshot) -> Prefilter {
        // In a body DECLARE names variables, and a query that it names by a cursor stands there.
        let words = WORDS.iter().filter(|word| **word != "declare");
        Prefilter::of_names(snapshot, snapshot.sealed_names(), std::iter::empty(), words)
    }

    fn of_names<'a>(
        snapshot: &'a Snapshot,
        matter: impl Iterator<Item = &'a str>,
        codes: impl Iterator<Item = &'a str>,
        loaded: impl Iterator<Item = &'a &'static str>,
    ) -> Prefilter {
        if snapshot.classifies_nothing() {
            let bound = Arc::clone(snapshot.bound());
            return Prefilter { judge: Judge::Nothing, parts: 0, doors: 0, bound, any_encoding: false };
        }
        // Names of code are looked for as whole words: there are many, and short ones.
        let word = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let (words, others): (Vec<&str>, Vec<&str>) = codes.partition(|name| word(name));
        let names = Names::new(matter.chain(others));
        let mut patterns = names.patterns;
        patterns.extend(READERS.map(str::to_owned));
        patterns.extend(PARTS.map(str::to_owned));
        let parts = patterns.len();
        patterns.extend(loaded.map(|word| (*word).to_owned()));
        patterns.extend(words.into_iter().map(str::to_owned));
        let doors = patterns.len();
        patterns.extend(doors::SIGNS.map(str::to_owned));
        let judge = match automaton(&patterns) {
            Some(automaton) => Judge::Matches(automaton),
            None => Judge::Everything,
        };
        let bound = Arc::clone(snapshot.bound());
        Prefilter { judge, parts, doors, bound, any_encoding: names.any_encoding }
    }

    /// Has a name that matters bytes above 0x7F?
    #[must_use]
    pub fn depends_on_encoding(&self) -> bool {
        self.any_encoding
    }

    /// True: the text must be judged.
    #[must_use]
    pub fn hits(&self, text: &[u8]) -> bool {
        let automaton = match &self.judge {
            Judge::Nothing => return false,
            Judge::Everything => return true,
            Judge::Matches(automaton) => automaton,
        };
        if self.any_encoding && !text.is_ascii() {
            return true;
        }
        let mut signs = false;
        let hit = automaton.find_overlapping_iter(text).any(|found| {
            let pattern = found.pattern().as_usize();
            signs |= pattern >= self.doors;
            pattern < self.parts || pattern < self.doors && is_loaded_word(text, found.start(), found.end())
        });
        hit || signs && doors::may_stand_in(&self.bound, text)
    }
}

/// Is this the whole word, and not `DO NOTHING` or `DO UPDATE`, which hold no code?
fn is_loaded_word(text: &[u8], start: usize, end: usize) -> bool {
    let before = start.checked_sub(1).and_then(|at| text.get(at));
    let after = text.get(end..).unwrap_or_default();
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'$' || *byte >= 0x80;
    if before.is_some_and(word) || after.first().is_some_and(word) {
        return false;
    }
    if !text.get(start..end).is_some_and(|word| word.eq_ignore_ascii_case(b"do")) {
        return true;
    }
    let next = after.trim_ascii_start();
    !["nothing", "update"].iter().any(|harmless| {
        next.get(..harmless.len()).is_some_and(|head| head.eq_ignore_ascii_case(harmless.as_bytes()))
            && !next.get(harmless.len()).is_some_and(word)
    })
}

/// A DFA where it stays small; otherwise whatever kind can be built.
fn automaton(patterns: &[String]) -> Option<AhoCorasick> {
    const DFA_PATTERNS_MAX: usize = 2_000;
    let small = patterns.len() <= DFA_PATTERNS_MAX;
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .kind(small.then_some(AhoCorasickKind::DFA))
        .build(patterns)
        .ok()
}

struct Names {
    patterns: Vec<String>,
    any_encoding: bool,
}

impl Names {
    fn new<'a>(names: impl Iterator<Item = &'a str>) -> Names {
        let mut patterns = Vec::new();
        let mut any_encoding = false;
        for name in names.filter(|name| !name.is_empty()) {
            any_encoding |= !name.is_ascii();
            patterns.push(name.to_owned());
            if name.contains('"') {
                patterns.push(name.replace('"', "\"\""));
            }
        }
        patterns.sort_unstable();
        patterns.dedup();
        Names { patterns, any_encoding }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::stock::{Kind, Stock};

    #[test]
    fn what_is_refused_by_its_name_would_be_opaque_without_that() {
        for major in 15..=18 {
            let stock = Stock::of(major).unwrap();
            let mut harmless = stock.names(Kind::Function).map(|(name, _)| name);
            let found = harmless.find(|name| READERS.iter().any(|reader| name.starts_with(reader)));
            assert_eq!(found, None, "{major}");
        }
    }
}
