//! Walks a TOML document that knows where everything stands, and collects faults.

use std::ops::RangeInclusive;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, nearest, position};

/// What is said of a key or a value that the contract names and nothing here serves.
pub(super) const NOT_SERVED: &str = "is not served by this version yet";
/// Longest piece of the file that is shown in a fault, in characters.
const SHOWN_CHARS_MAX: usize = 80;
/// More faults than this are not collected.
const FAULTS_MAX: usize = 200;

/// Words that may stand somewhere: keys of a section or values of a key.
#[derive(Clone, Copy)]
pub(super) struct Words {
    pub(super) served: &'static [&'static str],
    /// Named by the contract, refused by this version.
    pub(super) later: &'static [&'static str],
}

impl Words {
    fn listed(self, quote: &str) -> String {
        let words: Vec<String> = self.served.iter().map(|word| format!("{quote}{word}{quote}")).collect();
        words.join(", ")
    }

    fn near(self, word: &str) -> Option<&'static str> {
        nearest(word, self.served.iter().chain(self.later).copied())
    }
}

/// A string and the byte at which it stands.
#[derive(Clone, Copy)]
pub(super) struct Text<'d> {
    pub(super) text: &'d str,
    pub(super) at: usize,
}

/// A table of the document whose keys have been checked.
pub(super) struct Section<'d> {
    /// As it stands in the file: `[listen]`.
    pub(super) title: &'static str,
    pub(super) at: usize,
    table: &'d DeTable<'d>,
}

impl<'d> Section<'d> {
    pub(super) fn value(&self, key: &str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.table.get(key)
    }

    /// All of its keys.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'d str, &'d Spanned<DeValue<'d>>)> {
        self.table.iter().map(|(key, value)| (&**key.get_ref(), value))
    }
}

/// The faults so far.
pub(super) struct Reader<'t> {
    text: &'t str,
    origin: Arc<str>,
    faults: Vec<(usize, Fault)>,
}

/// A piece of the file as it may be shown: quoted, escaped, cut.
pub(super) fn shown(text: &str) -> String {
    let mut front: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if front.len() < text.len() {
        front.push_str("...");
    }
    format!("{front:?}")
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str, origin: &str) -> Reader<'t> {
        Reader { text, origin: Arc::from(origin), faults: Vec::new() }
    }

    pub(super) fn origin(&self) -> Arc<str> {
        self.origin.clone()
    }

    pub(super) fn line(&self, at: usize) -> u32 {
        position(self.text, at).0
    }

    pub(super) fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }

    /// In the order of the file.
    pub(super) fn into_faults(mut self) -> Vec<Fault> {
        self.faults.sort_by_key(|(at, _)| *at);
        self.faults.into_iter().map(|(_, fault)| fault).collect()
    }

    pub(super) fn fault(&mut self, at: usize, found: impl Into<String>, remedy: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            let (line, column) = position(self.text, at);
            let origin = self.origin.clone();
            let fault = Fault { origin, line, column, found: found.into(), remedy: remedy.into() };
            self.faults.push((at, fault));
        }
    }

    /// Checks the keys of a table against those that may stand in it.
    pub(super) fn section<'d>(
        &mut self,
        title: &'static str,
        at: usize,
        table: &'d DeTable<'d>,
        keys: Words,
    ) -> Section<'d> {
        for key in table.keys() {
            let (name, at): (&str, usize) = (key.get_ref(), key.span().start);
            if keys.served.contains(&name) {
                continue;
            }
            let allowed = format!("keys of {title}: {}", keys.listed(""));
            if keys.later.contains(&name) {
                self.fault(at, format!("{title} {name} {NOT_SERVED}"), format!("take it out; {allowed}"));
            } else {
                let near = keys.near(name).map(|near| format!("did you mean {near}? ")).unwrap_or_default();
                self.fault(at, format!("{title} has no key {}", shown(name)), format!("{near}{allowed}"));
            }
        }
        Section { title, at, table }
    }

    /// A table under a key of a table, e.g. `[listen]`.
    pub(super) fn table<'d>(
        &mut self,
        parent: &Section<'d>,
        key: &str,
        title: &'static str,
        keys: Words,
    ) -> Option<Section<'d>> {
        let value = parent.value(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.kind(title, value, "a table");
            return None;
        };
        Some(self.section(title, value.span().start, table, keys))
    }

    /// An array of tables, e.g. `[[field]]`, of at most `count_max`.
    pub(super) fn tables<'d>(
        &mut self,
        parent: &Section<'d>,
        key: &str,
        title: &'static str,
        keys: Words,
        count_max: usize,
    ) -> Vec<Section<'d>> {
        let Some(value) = parent.value(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            self.kind(title, value, "an array of tables");
            return Vec::new();
        };
        if array.len() > count_max {
            self.fault(
                value.span().start,
                format!("{} entries of {title}", array.len()),
                format!("at most {count_max}"),
            );
            return Vec::new();
        }
        let mut sections = Vec::with_capacity(array.len());
        for element in array.iter() {
            match element.get_ref().as_table() {
                Some(table) => sections.push(self.section(title, element.span().start, table, keys)),
                None => self.kind(title, element, "a table"),
            }
        }
        sections
    }

    /// A fault about the kind of a value; the value itself is not shown.
    pub(super) fn kind(&mut self, what: &str, value: &Spanned<DeValue<'_>>, expected: &str) {
        let found = value.get_ref().type_str();
        self.fault(value.span().start, format!("{what} is of type {found}"), format!("expected {expected}"));
    }

    pub(super) fn missing(&mut self, section: &Section<'_>, key: &str, example: &str) {
        self.fault(
            section.at,
            format!("{} {key} is missing", section.title),
            format!("add {key} = {example}"),
        );
    }

    /// A string. None where it is absent or faulty.
    pub(super) fn string<'d>(&mut self, section: &Section<'d>, key: &str) -> Option<Text<'d>> {
        let value = section.value(key)?;
        self.text_of(&format!("{} {key}", section.title), value)
    }

    /// A string that must be there.
    pub(super) fn string_required<'d>(
        &mut self,
        section: &Section<'d>,
        key: &str,
        example: &str,
    ) -> Option<Text<'d>> {
        if section.value(key).is_none() {
            self.missing(section, key, example);
        }
        self.string(section, key)
    }

    fn text_of<'d>(&mut self, what: &str, value: &'d Spanned<DeValue<'d>>) -> Option<Text<'d>> {
        let at = value.span().start;
        let Some(text) = value.get_ref().as_str() else {
            self.kind(what, value, "a string");
            return None;
        };
        if text.contains("${") {
            self.fault(
                at,
                format!("{what} holds ${{...}}"),
                "variables are not expanded: write the value itself",
            );
            return None;
        }
        Some(Text { text, at })
    }

    /// A string or a list of strings, from one to `count_max`. None where it is absent or faulty.
    pub(super) fn strings<'d>(
        &mut self,
        section: &Section<'d>,
        key: &str,
        count_max: usize,
    ) -> Option<Vec<Text<'d>>> {
        let value = section.value(key)?;
        let what = format!("{} {key}", section.title);
        let Some(array) = value.get_ref().as_array() else {
            if value.get_ref().is_str() {
                return Some(vec![self.text_of(&what, value)?]);
            }
            self.kind(&what, value, "a string or a list of strings");
            return None;
        };
        if array.is_empty() || array.len() > count_max {
            let found = format!("{what} has {} entries", array.len());
            self.fault(value.span().start, found, format!("from 1 to {count_max}"));
            return None;
        }
        let texts: Vec<Text<'d>> = array.iter().filter_map(|element| self.text_of(&what, element)).collect();
        (texts.len() == array.len()).then_some(texts)
    }

    /// A word out of a list. None where it is absent or faulty.
    pub(super) fn choice<'d>(&mut self, section: &Section<'d>, key: &str, words: Words) -> Option<Text<'d>> {
        let word = self.string(section, key)?;
        if words.served.contains(&word.text) {
            return Some(word);
        }
        let found = format!("{} {key} = {}", section.title, shown(word.text));
        let allowed = format!("allowed: {}", words.listed("\""));
        if words.later.contains(&word.text) {
            self.fault(word.at, format!("{found} {NOT_SERVED}"), allowed);
        } else {
            let near =
                words.near(word.text).map(|near| format!("did you mean \"{near}\"? ")).unwrap_or_default();
            self.fault(word.at, found, format!("{near}{allowed}"));
        }
        None
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, section: &Section<'_>, key: &str) -> Option<bool> {
        let value = section.value(key)?;
        let read = value.get_ref().as_bool();
        if read.is_none() {
            self.kind(&format!("{} {key}", section.title), value, "true or false");
        }
        read
    }

    /// A whole number within a range. None where it is absent or faulty.
    pub(super) fn integer(
        &mut self,
        section: &Section<'_>,
        key: &str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let value = section.value(key)?;
        let what = format!("{} {key}", section.title);
        let Some(number) = value.get_ref().as_integer() else {
            self.kind(&what, value, "a whole number");
            return None;
        };
        let read = u64::from_str_radix(number.as_str(), number.radix()).ok();
        let fitting = read.filter(|number| range.contains(number));
        if fitting.is_none() {
            let found = format!("{what} = {}", shown(number.as_str()).replace('"', ""));
            self.fault(value.span().start, found, format!("from {} to {}", range.start(), range.end()));
        }
        fitting
    }
}
