//! Lines in full: what a line names by a number is put in its place, as the line told it that gave the number.
//! For whoever looks at the record: what is verified is the line as it is written.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::numbers::{Bounds, LIST, PLAN, Told, WHO};

/// What a number of each kind stands for: the members that say so, of which the one that always does is the first.
const WHO_MEMBERS: [&str; 12] = [
    "session",
    "node",
    "user",
    "application",
    "client",
    "region",
    "auth",
    "certificate",
    "database",
    "end_user",
    "end_user_auth",
    "purpose",
];
const PLAN_MEMBERS: [&str; 7] =
    ["action", "attribution", "fields", "fingerprint", "statement", "verdict", "rule"];
const LIST_MEMBERS: [&str; 1] = ["fields"];

/// Follows the lines of one segment, from its first.
#[derive(Debug)]
pub struct Expansion {
    kinds: [Kind; 3],
}

#[derive(Debug)]
struct Kind {
    name: &'static str,
    members: &'static [&'static str],
    bytes_max: usize,
    /// Members as they are written, commas between them.
    told: Told<Box<str>>,
}

impl Kind {
    fn new(name: &'static str, bounds: Bounds, members: &'static [&'static str]) -> Kind {
        Kind { name, members, bytes_max: bounds.bytes_max, told: Told::new(bounds) }
    }

    fn is_told_by(&self, line: &Members<'_>) -> bool {
        self.members.first().is_some_and(|first| line.0.iter().any(|(name, _)| name == first))
    }

    /// The members of a line that say what its number stands for. `list_is_told`: its fields are a list's.
    fn words(&self, line: &Members<'_>, list_is_told: bool) -> String {
        let mut words = String::new();
        for (name, value) in &line.0 {
            if self.members.contains(&&**name) && !(list_is_told && self.name == "plan" && name == "fields") {
                put(&mut words, name, value.get());
            }
        }
        words
    }
}

impl Default for Expansion {
    fn default() -> Expansion {
        Expansion {
            kinds: [
                Kind::new("who", WHO, &WHO_MEMBERS),
                Kind::new("plan", PLAN, &PLAN_MEMBERS),
                Kind::new("list", LIST, &LIST_MEMBERS),
            ],
        }
    }
}

impl Expansion {
    /// The line in full. As it is where it names nothing, or is no record; a number that stands for
    /// nothing known stays.
    pub fn line<'l>(&mut self, line: &'l [u8]) -> Cow<'l, [u8]> {
        let Ok(members) = serde_json::from_slice::<Members<'_>>(line) else { return Cow::Borrowed(line) };
        let numbers = self.kinds.each_ref().map(|kind| members.number(kind.name));
        let [_, _, list] = &numbers;
        if numbers.iter().all(Option::is_none) {
            return Cow::Borrowed(line);
        }
        let list_is_told = list.is_some();
        for (kind, number) in self.kinds.iter_mut().zip(&numbers) {
            if let Some(number) = number.filter(|_| kind.is_told_by(&members)) {
                let words = kind.words(&members, list_is_told);
                // Longer than any that was written: it is not kept.
                let words = if words.len() > kind.bytes_max { String::new() } else { words };
                kind.told.tell(number, words.into());
            }
        }
        let mut full = String::with_capacity(2 * line.len());
        for (name, value) in &members.0 {
            let named = self.kinds.iter().zip(&numbers).find(|(kind, _)| kind.name == name);
            let Some((kind, Some(number))) = named else {
                put(&mut full, name, value.get());
                continue;
            };
            if kind.is_told_by(&members) {
                continue;
            }
            match kind.told.named(*number).filter(|words| !words.is_empty()) {
                Some(words) => {
                    if !full.is_empty() {
                        full.push(',');
                    }
                    full.push_str(words);
                }
                None => put(&mut full, name, value.get()),
            }
        }
        Cow::Owned(format!("{{{full}}}").into_bytes())
    }
}

fn put(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push(',');
    }
    out.push_str(&serde_json::Value::from(name).to_string());
    out.push(':');
    out.push_str(value);
}

/// The members of an object, in their order.
struct Members<'l>(Vec<(Cow<'l, str>, &'l RawValue)>);

impl Members<'_> {
    fn number(&self, name: &str) -> Option<u64> {
        let (_, value) = self.0.iter().find(|(own, _)| own == name)?;
        value.get().parse().ok()
    }
}

impl<'l> Deserialize<'l> for Members<'l> {
    fn deserialize<D: Deserializer<'l>>(from: D) -> Result<Members<'l>, D::Error> {
        struct All;
        impl<'l> Visitor<'l> for All {
            type Value = Members<'l>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'l>>(self, mut map: A) -> Result<Members<'l>, A::Error> {
                let mut all = Vec::with_capacity(32);
                while let Some((Name(name), value)) = map.next_entry::<Name<'l>, &'l RawValue>()? {
                    all.push((name, value));
                }
                Ok(Members(all))
            }
        }
        from.deserialize_map(All)
    }
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'l>(#[serde(borrow)] Cow<'l, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn full(expansion: &mut Expansion, line: &str) -> String {
        String::from_utf8(expansion.line(line.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn puts_what_was_told_where_it_is_named() {
        let mut expansion = Expansion::default();
        for (line, expected) in [
            (
                r#"{"seq":1,"who":1,"node":"n","session":7,"user":"a\"b","statement_id":1,"plan":1,"action":"read","fingerprint":"f","list":1,"fields":[{"field":"x"}],"rows":1}"#,
                r#"{"seq":1,"node":"n","session":7,"user":"a\"b","statement_id":1,"action":"read","fingerprint":"f","fields":[{"field":"x"}],"rows":1}"#,
            ),
            (
                r#"{"seq":2,"who":1,"statement_id":2,"plan":1,"list":1,"rows":0,"hash":"00"}"#,
                r#"{"seq":2,"node":"n","session":7,"user":"a\"b","statement_id":2,"action":"read","fingerprint":"f","fields":[{"field":"x"}],"rows":0,"hash":"00"}"#,
            ),
            (r#"{"seq":3,"who":2,"plan":1}"#, r#"{"seq":3,"who":2,"action":"read","fingerprint":"f"}"#),
            // Whatever others write.
            (r#"{"who":"ada","plan":{"a":1},"list":[]}"#, r#"{"who":"ada","plan":{"a":1},"list":[]}"#),
            (r#"{"who":-1}"#, r#"{"who":-1}"#),
            ("[1]", "[1]"),
            ("{\"who\":1", "{\"who\":1"),
            ("", ""),
        ] {
            assert_eq!(full(&mut expansion, line), expected);
        }
        // Another segment.
        assert_eq!(full(&mut Expansion::default(), r#"{"who":1}"#), r#"{"who":1}"#);
    }

    #[test]
    fn what_is_kept_of_a_hostile_folder_is_bounded() {
        let mut expansion = Expansion::default();
        let long = "x".repeat(WHO.bytes_max);
        for number in 1..=WHO.numbers_max + 10 {
            full(&mut expansion, &format!(r#"{{"who":{number},"session":{number},"user":"u"}}"#));
        }
        let last = WHO.numbers_max + 11;
        full(&mut expansion, &format!(r#"{{"who":{last},"session":1,"user":"{long}"}}"#));
        let [who, ..] = &expansion.kinds;
        assert_eq!(who.told.named(last).map(|words| words.len()), Some(0));
        assert_eq!(
            (who.told.named(last - WHO.numbers_max), who.told.named(last - 1).is_some()),
            (None, true)
        );
    }
}
