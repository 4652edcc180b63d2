//! `[[watch.detector]]`: what is looked for in what happens, and what is done about it.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::reader::{Reader, Section, Words, shown};
use super::scalar;
use crate::seal;
use crate::watch::{By, Honey, Hours, Kind, LimitAction, Rate, Response, Restraint, Rule, Trap};

/// Most `[[watch.detector]]` entries.
pub const DETECTORS_MAX: usize = 64;
/// Users of a detector.
const USERS_MAX: usize = 256;
/// The highest count.
const COUNT_MAX: u64 = 1_000_000;
const DAY_MS: u64 = 86_400_000;
/// Longest that anything is held against a user: 30 days.
const RESTRAINT_MS_MAX: u64 = 30 * DAY_MS;
/// How long an access waits that is throttled, unless it is said, and at the most.
pub(super) const DELAY_MS: u64 = 1_000;
const DELAY_MS_MAX: u64 = 10_000;
/// Actions that hold for a time, which has their name.
pub(super) const LASTING: [&str; 4] = ["lock", "refuse", "purpose", "throttle"];
/// Days of the week, from Monday on.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

const DETECTOR: Words = Words {
    served: &[
        "kind", "count", "window", "action", "lock", "refuse", "purpose", "throttle", "delay", "severity",
        "users", "by", "from", "until", "days", "zone",
    ],
    later: &[],
};
const HONEY: Words = Words {
    served: &["sealed", "action", "lock", "refuse", "purpose", "throttle", "delay", "by"],
    later: &[],
};
const BY: Words = Words { served: &["user", "end_user"], later: &[] };
const KIND: Words =
    Words { served: &["failed-logins", "refusals", "errors", "hours", "injection"], later: &[] };
const ACTION: Words =
    Words { served: &["alert", "cut", "lock", "refuse", "purpose", "throttle"], later: &[] };
const SEVERITY: Words = Words { served: &["warning", "critical"], later: &[] };

impl Reader<'_> {
    pub(super) fn detectors(&mut self, watch: &Section<'_>) -> Vec<Rule> {
        let entries = self.tables(watch, "detector", "[[watch.detector]]", DETECTOR, DETECTORS_MAX);
        entries.iter().filter_map(|entry| self.detector(entry)).collect()
    }

    fn detector(&mut self, entry: &Section<'_>) -> Option<Rule> {
        if entry.value("kind").is_none() {
            self.missing(entry, "kind", "\"refusals\"");
        }
        let word = self.choice(entry, "kind", KIND)?.text;
        let goes_with: &[&str] = match word {
            "hours" => &["from", "until", "days", "zone"],
            "injection" => &[],
            _ => &["count", "window"],
        };
        for key in ["count", "window", "from", "until", "days", "zone"] {
            if entry.value(key).is_some() && !goes_with.contains(&key) {
                let found = format!("[[watch.detector]] {key} says nothing of {word}");
                self.fault(entry.at, found, format!("beside {word}: {}", goes_with.join(", ")));
            }
        }
        let kind = match word {
            "failed-logins" => Kind::FailedLogins(self.rate(entry, 10)?),
            "refusals" => Kind::Refusals(self.rate(entry, 20)?),
            "errors" => Kind::Errors(self.rate(entry, 20)?),
            "injection" => Kind::Injection,
            _ => Kind::Hours(self.hours(entry)?),
        };
        let response = self.response(entry)?;
        if matches!(kind, Kind::FailedLogins(_)) && response != Response::Alert {
            self.fault(
                entry.at,
                "[[watch.detector]] failed-logins with an action beside alert",
                "take action out: whoever can connect could lock anybody out",
            );
        }
        let by = self.by(entry);
        if matches!(kind, Kind::FailedLogins(_)) && by == By::EndUser {
            let remedy = "take by out: before a login nobody asks for anybody";
            self.fault(entry.at, "[[watch.detector]] failed-logins by end user", remedy);
        }
        let severity = self.choice(entry, "severity", SEVERITY).map(|word| match word.text {
            "critical" => "critical",
            _ => "warning",
        });
        let severity = severity.unwrap_or(if response == Response::Alert { "warning" } else { "critical" });
        let users = self.strings(entry, "users", USERS_MAX);
        let users = users.map(|users| users.iter().map(|user| user.text.to_owned()).collect());
        Some(Rule { kind, response, severity, users, by })
    }

    /// `[[watch.honey]]`: sealed values, whose opening is an alarm.
    pub(super) fn honey(&mut self, watch: &Section<'_>) -> Option<Arc<Honey>> {
        let mut honey = Honey::default();
        for entry in self.tables(watch, "honey", "[[watch.honey]]", HONEY, DETECTORS_MAX) {
            if entry.value("sealed").is_none() {
                self.missing(&entry, "sealed", "[\"SEAL...\"], as the server has it");
            }
            let Some(trap) = self.trap(&entry) else { continue };
            for text in self.strings(&entry, "sealed", Honey::VALUES_MAX).unwrap_or_default() {
                if seal::header(text.text.as_bytes()).is_none() {
                    // It may be the value itself, which is not shown.
                    self.fault(
                        text.at,
                        "[[watch.honey]] sealed holds what is not sealed",
                        "the value as the server has it: read it there, past Sealgate",
                    );
                } else if !honey.add(text.text.as_bytes(), trap) {
                    let most = format!("at most {}", Honey::VALUES_MAX);
                    self.fault(text.at, "too many values of [[watch.honey]]", most);
                }
            }
        }
        (!honey.is_empty()).then(|| Arc::new(honey))
    }

    fn trap(&mut self, entry: &Section<'_>) -> Option<Trap> {
        let word = match entry.value("action") {
            None => "alert",
            Some(_) => self.choice(entry, "action", ACTION)?.text,
        };
        let action = match self.restraint(entry, "[[watch.honey]]", word)? {
            Some((restraint, ms)) => LimitAction::Restrain { restraint, ms },
            None if word == "cut" => LimitAction::Cut,
            None => LimitAction::Alert,
        };
        Some(Trap { action, by: self.by(entry) })
    }

    /// Of whom it is counted, and against whom something is held.
    pub(super) fn by(&mut self, entry: &Section<'_>) -> By {
        match self.choice(entry, "by", BY) {
            Some(word) if word.text == "end_user" => By::EndUser,
            Some(_) | None => By::User,
        }
    }

    fn rate(&mut self, entry: &Section<'_>, usual: u32) -> Option<Rate> {
        let count = match entry.value("count") {
            None => usual,
            Some(_) => u32::try_from(self.integer(entry, "count", 1..=COUNT_MAX)?).ok()?,
        };
        let window_ms = match entry.value("window") {
            None => 60_000,
            Some(_) => {
                self.span(entry, "window", DAY_MS, "from \"1s\" to \"1d\": a number and s, m, h or d")?
            }
        };
        Some(Rate { count, window_ms })
    }

    fn response(&mut self, entry: &Section<'_>) -> Option<Response> {
        let action = match entry.value("action") {
            None => "alert",
            Some(_) => self.choice(entry, "action", ACTION)?.text,
        };
        match self.restraint(entry, "[[watch.detector]]", action)? {
            Some((restraint, ms)) => Some(Response::Restrain { restraint, ms }),
            None if action == "cut" => Some(Response::Cut),
            None => Some(Response::Alert),
        }
    }

    /// What an action holds against a user, and for how long. `Some(None)`: it is done at once, and holds nothing.
    pub(super) fn restraint(
        &mut self,
        entry: &Section<'_>,
        section: &str,
        action: &str,
    ) -> Option<Option<(Restraint, u64)>> {
        for key in LASTING.into_iter().filter(|key| *key != action && entry.value(key).is_some()) {
            let found = format!("{section} {key} without action = \"{key}\"");
            self.fault(entry.at, found, format!("add the action, or take {key} out"));
        }
        if action != "throttle" && entry.value("delay").is_some() {
            let found = format!("{section} delay without action = \"throttle\"");
            self.fault(entry.at, found, "add the action, or take delay out");
        }
        let Some(key) = LASTING.into_iter().find(|key| *key == action) else { return Some(None) };
        if entry.value(key).is_none() {
            self.missing(entry, key, "\"15m\"");
            return None;
        }
        let allowed = "from \"1s\" to \"30d\": a number and s, m, h or d";
        let ms = self.span(entry, key, RESTRAINT_MS_MAX, allowed)?;
        let restraint = match key {
            "lock" => Restraint::Lock,
            "refuse" => Restraint::Refuse,
            "purpose" => Restraint::Purpose,
            _ => {
                let delay_ms = match entry.value("delay") {
                    None => DELAY_MS,
                    Some(_) => self.span(entry, "delay", DELAY_MS_MAX, "from \"1s\" to \"10s\"")?,
                };
                Restraint::Throttle { delay_ms }
            }
        };
        Some(Some((restraint, ms)))
    }

    fn hours(&mut self, entry: &Section<'_>) -> Option<Hours> {
        for (key, example) in [("from", "\"08:00\""), ("until", "\"18:00\""), ("zone", "\"Europe/Berlin\"")] {
            if entry.value(key).is_none() {
                self.missing(entry, key, example);
            }
        }
        let (from, until) = (self.minute(entry, "from"), self.minute(entry, "until"));
        let zone = self.string(entry, "zone").and_then(|text| {
            let found = TimeZone::get(text.text).ok();
            if found.is_none() {
                let found = format!("[[watch.detector]] zone = {}", shown(text.text));
                self.fault(text.at, found, "a time zone by its name: \"Europe/Berlin\", \"UTC\"");
            }
            found
        });
        let mut days = [true; 7];
        if let Some(named) = self.strings(entry, "days", DAYS.len()) {
            days = [false; 7];
            for text in named {
                match DAYS.iter().position(|day| *day == text.text).and_then(|index| days.get_mut(index)) {
                    Some(day) => *day = true,
                    None => {
                        let found = format!("[[watch.detector]] days = {}", shown(text.text));
                        self.fault(text.at, found, format!("allowed: {}", DAYS.join(", ")));
                    }
                }
            }
        }
        Some(Hours { zone: zone?, days, from: from?, until: until? })
    }

    /// `08:00`, as minutes since midnight.
    fn minute(&mut self, entry: &Section<'_>, key: &str) -> Option<u16> {
        let text = self.string(entry, key)?;
        let parts = text.text.split_once(':').filter(|(hour, minute)| hour.len() == 2 && minute.len() == 2);
        let read = parts.and_then(|(hour, minute)| {
            let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
            let (hour, minute) = (digits(hour).then_some(hour)?, digits(minute).then_some(minute)?);
            Some((hour.parse::<u16>().ok()?, minute.parse::<u16>().ok()?))
        });
        let fitting = read.filter(|(hour, minute)| *hour < 24 && *minute < 60);
        if fitting.is_none() {
            let found = format!("[[watch.detector]] {key} = {}", shown(text.text));
            self.fault(text.at, found, "a time of day, from \"00:00\" to \"23:59\"");
        }
        fitting.map(|(hour, minute)| hour * 60 + minute)
    }

    fn span(&mut self, entry: &Section<'_>, key: &str, ms_max: u64, remedy: &'static str) -> Option<u64> {
        let text = self.string(entry, key)?;
        let fitting = scalar::duration_ms(text.text).filter(|ms| (1_000..=ms_max).contains(ms));
        if fitting.is_none() {
            let found = format!("[[watch.detector]] {key} = {}", shown(text.text));
            self.fault(text.at, found, remedy);
        }
        fitting
    }
}

#[cfg(test)]
#[path = "detectors_tests.rs"]
mod tests;
