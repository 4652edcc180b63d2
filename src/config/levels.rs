//! What `[audit]` says of how durable a record is before what it is about goes on.

use std::ops::RangeInclusive;

use super::reader::{Reader, Section, Words, shown};
use super::scalar;
use crate::audit::{Durability, LeaseTerms};

const DURABILITY: Words = Words { served: &["os", "intent", "full"], later: &[] };
const LEASE: Words = Words { served: &["executions", "values", "window"], later: &[] };
const SYNC_EVERY_MS: u64 = 10;
const SYNC_EVERY_MS_MAX: u64 = 1_000;
const EXECUTIONS: u64 = 100;
const EXECUTIONS_MAX: u64 = 10_000;
const VALUES: u64 = 1_000;
const VALUES_MAX: u64 = 1_000_000;
const WINDOW_MS: u64 = 50;
const WINDOW_MS_MAX: u64 = 1_000;
/// As much as the records that a journal holds back at the most.
const RESERVE_BYTES: u64 = 4 << 20;
const RESERVE_BYTES_MAX: u64 = 1 << 30;

impl Reader<'_> {
    pub(super) fn durability(&mut self, section: &Section<'_>) -> Durability {
        let word = self.choice(section, "durability", DURABILITY).map(|word| word.text);
        let every = self.moment(section, "sync_every", 1..=SYNC_EVERY_MS_MAX);
        if word != Some("os")
            && let Some(value) = section.value("sync_every")
        {
            let found = "[audit] sync_every without durability = \"os\"".to_owned();
            self.fault(value.span().start, found, "every other level syncs before anything is shown");
        }
        match word {
            Some("os") => Durability::Os { sync_every_ms: every.unwrap_or(SYNC_EVERY_MS) },
            Some("full") => Durability::Full,
            Some(_) | None => Durability::Intent,
        }
    }

    pub(super) fn lease(&mut self, section: &Section<'_>, durability: Durability) -> Option<LeaseTerms> {
        let at = section.value("lease")?.span().start;
        let lease = self.table(section, "lease", "[audit] lease", LEASE)?;
        let executions = self.integer(&lease, "executions", 1..=EXECUTIONS_MAX).unwrap_or(EXECUTIONS);
        let values = self.integer(&lease, "values", 1..=VALUES_MAX).unwrap_or(VALUES);
        let window_ms = self.moment(&lease, "window", 1..=WINDOW_MS_MAX).unwrap_or(WINDOW_MS);
        if durability != Durability::Intent {
            let found = format!("[audit] lease with durability = \"{}\"", durability.name());
            self.fault(at, found, "a lease saves syncs of durability = \"intent\"; leave one of them out");
            return None;
        }
        Some(LeaseTerms { executions, values, window_ms })
    }

    pub(super) fn reserve(&mut self, section: &Section<'_>) -> u64 {
        self.integer(section, "reserve", 0..=RESERVE_BYTES_MAX).unwrap_or(RESERVE_BYTES)
    }

    /// Milliseconds, or whole seconds.
    fn moment(&mut self, section: &Section<'_>, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let text = self.string(section, key)?;
        let read = match text.text.strip_suffix("ms") {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
            Some(_) => None,
            None => scalar::duration_ms(text.text),
        };
        let fitting = read.filter(|ms| range.contains(ms));
        if fitting.is_none() {
            let found = format!("{} {key} = {}", section.title, shown(text.text));
            self.fault(text.at, found, "from \"1ms\" to \"1s\": a number and ms or s");
        }
        fitting
    }
}
