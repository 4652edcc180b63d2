//! Reads the source text of server-side functions as far as the closure needs it: which
//! names stand in it, and whether it does what no reading of it can follow.
//!
//! Any language counts, so comments and strings are read like code: this finds too much
//! rather than too little. Sources come here folded to lower case, once.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;

use super::load::LoadError;

/// Functions that read relations without naming them.
const READS_BY_CATALOG: [&str; 14] = [
    "table_to_xml",
    "table_to_xmlschema",
    "table_to_xml_and_xmlschema",
    "query_to_xml",
    "query_to_xmlschema",
    "query_to_xml_and_xmlschema",
    "cursor_to_xml",
    "schema_to_xml",
    "schema_to_xml_and_xmlschema",
    "database_to_xml",
    "database_to_xml_and_xmlschema",
    "ts_stat",
    "pg_logical_slot_get_changes",
    "pg_logical_slot_peek_changes",
];

/// Words after which plpgsql's EXECUTE is part of a DDL statement, not dynamic SQL.
const EXECUTE_DDL: [&str; 3] = ["function", "procedure", "on"];

/// Names to look for, folded to lower case: finding `"Users"` for `users` does no harm.
#[derive(Default)]
pub(super) struct Names {
    names: BTreeSet<String>,
}

impl Names {
    pub(super) fn add(&mut self, name: &str) {
        // As it stands within quotes: the same, but for quotes of its own.
        self.names.insert(fold(name).replace('"', "\"\""));
    }

    /// Ready to search.
    ///
    /// # Errors
    /// More names than one search can hold.
    pub(super) fn finder(self) -> Result<Finder, LoadError> {
        let names: Vec<String> = self.names.into_iter().collect();
        let automaton =
            AhoCorasick::new(&names).map_err(|error| LoadError::Unreadable(format!("names: {error}")))?;
        Ok(Finder { names, automaton })
    }
}

/// Searches for many names at once.
pub(super) struct Finder {
    names: Vec<String>,
    automaton: AhoCorasick,
}

impl Finder {
    /// The first of the names that stands in a folded source: as a whole word, if it is
    /// made of identifier characters alone; operators, and names that need quotes, anywhere.
    pub(super) fn first_in(&self, folded: &str) -> Option<&str> {
        self.automaton.find_overlapping_iter(folded).find_map(|found| {
            let name = self.names.get(found.pattern().as_usize())?;
            let before = folded.get(..found.start())?.chars().next_back();
            let after = folded.get(found.end()..)?.chars().next();
            let within = |letter: Option<char>| letter.is_some_and(is_word_character);
            let whole = !(within(before) || within(after)) || !name.chars().all(is_word_character);
            whole.then_some(name.as_str())
        })
    }
}

/// Why a body leads to everything, whatever it names.
pub(super) fn reads_everything(folded: &str) -> Option<String> {
    if folded.contains("u&\"") {
        return Some("its body spells names with Unicode escapes".to_owned());
    }
    // Most bodies hold none of these; looking for them is much cheaper than reading words.
    if !["_to_xml", "ts_stat", "pg_logical_slot_"].iter().any(|part| folded.contains(part)) {
        return None;
    }
    words(folded)
        .find(|word| READS_BY_CATALOG.contains(word))
        .map(|word| format!("its body calls {word}, which reads any table"))
}

/// Does the body build SQL at run time, or is it written in a language in which we cannot
/// tell?
pub(super) fn is_dynamic(language: &str, folded: &str) -> bool {
    if language == "sql" {
        return false;
    }
    if language != "plpgsql" {
        return true;
    }
    if !folded.contains("execute") {
        return false;
    }
    let mut all = words(folded).peekable();
    while let Some(word) = all.next() {
        if word == "execute" && !all.peek().is_some_and(|next| EXECUTE_DDL.contains(next)) {
            return true;
        }
    }
    false
}

/// Does the body of a trigger on a classified table put together a row by other means than
/// by assigning single columns? Then it cannot be told what it stores in classified ones.
pub(super) fn replaces_row(folded: &str) -> bool {
    if folded.contains("populate_record") || folded.contains("#=") {
        return true;
    }
    let compact: String = folded.split_whitespace().collect::<Vec<_>>().join(" ");
    if ["new :=", "new =", "new:=", "new=", "into new ", "into new;", "into strict new ", "alias for new"]
        .iter()
        .any(|sign| {
            compact.match_indices(sign).any(|(at, _)| {
                compact
                    .get(..at)
                    .and_then(|before| before.chars().next_back())
                    .is_none_or(|letter| !is_word_character(letter) && letter != '.')
            })
        })
    {
        return true;
    }
    let mut all = words(folded).peekable();
    while let Some(word) = all.next() {
        let returned = all.peek().copied().unwrap_or("null");
        if word == "return" && !["new", "old", "null"].contains(&returned) {
            return true;
        }
    }
    false
}

/// Folds a source for every reading here.
pub(super) fn fold(source: &str) -> String {
    source.to_lowercase()
}

fn words(folded: &str) -> impl Iterator<Item = &str> {
    folded.split(|letter: char| !is_word_character(letter)).filter(|word| !word.is_empty())
}

fn is_word_character(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_' || letter == '$' || !letter.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_names_as_words_in_every_spelling_and_nothing_within_words() {
        let mut names = Names::default();
        for name in ["customers", "Order Lines", "say\"so", "==>"] {
            names.add(name);
        }
        let names = names.finder().unwrap();
        for (source, expected) in [
            ("SELECT * FROM customers", Some("customers")),
            ("select * from PUBLIC.CUSTOMERS;", Some("customers")),
            ("select * from \"customers\"", Some("customers")),
            ("rec customers%ROWTYPE;", Some("customers")),
            ("select * from old_customers_1", None),
            ("select * from \"Order Lines\"", Some("order lines")),
            ("select * from \"say\"\"so\"", Some("say\"\"so")),
            ("select a ==> b", Some("==>")),
            ("select 1", None),
        ] {
            assert_eq!(names.first_in(&fold(source)), expected, "{source}");
        }
    }

    #[test]
    fn tells_bodies_that_cannot_be_followed() {
        for (language, source, expected) in [
            ("plpgsql", "BEGIN EXECUTE format('SELECT %I', x); END", true),
            ("plpgsql", "BEGIN PERFORM 1; END", false),
            ("plpgsql", "CREATE TRIGGER t AFTER INSERT ON x EXECUTE FUNCTION f()", false),
            ("sql", "SELECT 'execute'", false),
            ("plpython3u", "return 1", true),
        ] {
            assert_eq!(is_dynamic(language, &fold(source)), expected, "{source}");
        }
        assert!(reads_everything(&fold("SELECT U&\"\\0063ustomers\".id")).is_some());
        assert!(reads_everything(&fold("SELECT database_to_xml(true, true, '')")).is_some());
        assert!(reads_everything("select xml_to_table").is_none());
    }

    #[test]
    fn tells_triggers_that_replace_the_row() {
        for (source, expected) in [
            ("BEGIN NEW.updated_at := now(); RETURN NEW; END", false),
            ("BEGIN NEW.updated_at = now(); RETURN NEW; END", false),
            ("BEGIN renew := 1; RETURN NULL; END", false),
            ("BEGIN NEW := other; RETURN NEW; END", true),
            ("BEGIN SELECT * INTO NEW FROM stage; RETURN NEW; END", true),
            ("BEGIN r := f(); RETURN r; END", true),
            ("DECLARE n ALIAS FOR NEW; BEGIN n := f(); RETURN NEW; END", true),
            ("BEGIN new:=f(); RETURN NEW; END", true),
            ("BEGIN SELECT 1 INTO STRICT NEW ; RETURN NEW; END", true),
            ("BEGIN NEW.note := 'x'; RETURN jsonb_populate_record(NEW, '{}'); END", true),
        ] {
            assert_eq!(replaces_row(&fold(source)), expected, "{source}");
        }
    }
}
