//! Reads the source text of server-side functions as far as the closure needs it: which
//! names stand in it, and whether it does what no reading of it can follow.
//!
//! Any language counts, so comments and strings are read like code: this finds too much
//! rather than too little. Sources come here folded to lower case, once.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;

use super::load::LoadError;

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
    pub(super) fn first_in<'a>(&'a self, folded: &'a str) -> Option<&'a str> {
        self.all_in(folded).next().map(|(_, name)| name)
    }

    /// Every place where one of the names stands, and which.
    pub(super) fn all_in<'a>(&'a self, folded: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
        self.automaton.find_overlapping_iter(folded).filter_map(move |found| {
            let name = self.names.get(found.pattern().as_usize())?;
            let before = folded.get(..found.start())?.chars().next_back();
            let after = folded.get(found.end()..)?.chars().next();
            let within = |letter: Option<char>| letter.is_some_and(is_word_character);
            let whole = !(within(before) || within(after)) || !name.chars().all(is_word_character);
            whole.then_some((found.start(), name.as_str()))
        })
    }
}

/// Relations that a body writes to, of those in `names`: what it was given may stand there.
pub(super) fn written<'a>(folded: &'a str, names: &'a Finder) -> impl Iterator<Item = &'a str> {
    names
        .all_in(folded)
        .filter(|(start, _)| {
            let before = folded.get(..*start).unwrap_or_default();
            // Behind INTO, UPDATE and COPY, past ONLY and a schema.
            let before = before.trim_end_matches('"').trim_end();
            let before = before.strip_suffix('.').map_or(before, |qualified| {
                qualified
                    .trim_end()
                    .trim_end_matches(|letter: char| is_word_character(letter) || letter == '"')
                    .trim_end()
            });
            let before = before.strip_suffix("only").map_or(before, str::trim_end);
            ["into", "update", "copy"].iter().any(|word| before.ends_with(word))
        })
        .map(|(_, name)| name)
}

/// May a trigger's body hand a whole row on, or one of these columns?
pub(super) fn hands_on(folded: &str, columns: &Finder) -> bool {
    if columns.first_in(folded).is_some() || words(folded).any(|word| word == "execute") {
        return true;
    }
    ["new", "old"].iter().any(|row| {
        folded.match_indices(row).any(|(at, _)| {
            let before = folded.get(..at).and_then(|before| before.chars().next_back());
            let after = folded.get(at + row.len()..).unwrap_or_default();
            let whole_word = !before.is_some_and(|letter| is_word_character(letter) || letter == '.')
                && !after.chars().next().is_some_and(is_word_character);
            let returned = folded.get(..at).is_some_and(|before| before.trim_end().ends_with("return"));
            whole_word && !returned && !after.trim_start().starts_with('.')
        })
    })
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
    use crate::statement::unfollowed;

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
            ("plpgsql", "BEGIN INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING; END", false),
            ("plpgsql", "BEGIN DO 'BEGIN END'; END", true),
            ("plpgsql", "BEGIN COPY t FROM PROGRAM 'x'; END", true),
            ("plpgsql", "BEGIN CREATE TABLE t AS SELECT 1; END", true),
            ("sql", "SELECT 'executed'", false),
            ("sql", "SELECT U&\"\\0063ustomers\".id", true),
            ("plpython3u", "return 1", true),
        ] {
            assert_eq!(unfollowed(language, &fold(source)).is_some(), expected, "{source}");
        }
    }

    #[test]
    fn tells_which_relations_a_body_writes_to() {
        let mut names = Names::default();
        for name in ["trail", "bag", "Odd One", "read_only"] {
            names.add(name);
        }
        let names = names.finder().unwrap();
        for (source, expected) in [
            ("INSERT INTO trail VALUES (1)", &["trail"][..]),
            ("insert into public.trail select * from bag", &["trail"]),
            ("INSERT INTO \"public\".\"Odd One\" VALUES (1)", &["odd one"]),
            ("UPDATE ONLY bag SET t = 1; SELECT 1 FROM trail", &["bag"]),
            ("MERGE INTO bag USING trail ON true", &["bag"]),
            ("SELECT x INTO y FROM read_only", &[]),
        ] {
            let source = fold(source);
            assert_eq!(written(&source, &names).collect::<Vec<_>>(), expected, "{source}");
        }
    }

    #[test]
    fn tells_triggers_that_hand_rows_or_legible_columns_on() {
        let mut columns = Names::default();
        columns.add("nick");
        let columns = columns.finder().unwrap();
        for (source, expected) in [
            ("BEGIN NEW.updated_at := now(); RETURN NEW; END", false),
            ("BEGIN INSERT INTO trail VALUES (to_jsonb(NEW)); RETURN NEW; END", true),
            ("BEGIN INSERT INTO trail VALUES (OLD.*); RETURN NULL; END", false),
            ("BEGIN x := NEW . nick; RETURN NEW; END", true),
            ("BEGIN EXECUTE 'x' USING NEW.id; RETURN NEW; END", true),
            ("BEGIN RETURN OLD; END", false),
        ] {
            assert_eq!(hands_on(&fold(source), &columns), expected, "{source}");
        }
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
