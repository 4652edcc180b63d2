//! `[watch.learned]` and `[[watch.peers]]`: whether what is unusual is looked for, and what is done about it.

use std::collections::BTreeSet;

use super::detectors::{DELAY_MS, LASTING};
use super::reader::{Reader, Section, Words, shown};
use super::scalar;
use super::settings::LearnedWatch;
use crate::watch::{LearnedSettings, Peers, Response, Restraint};

const DAY_MS: u64 = 86_400_000;
/// Most `[[watch.peers]]`, users of one, and subjects that are listed.
const PEERS_MAX: usize = 63;
const USERS_MAX: usize = 1_024;
const SUBJECTS_MAX: usize = 4_096;
/// Longest name of peers, in bytes.
const NAME_BYTES_MAX: usize = 64;

const LEARNED: Words = Words {
    served: &[
        "learn",
        "alerts_per_week",
        "drift",
        "warning",
        "critical",
        "lock",
        "refuse",
        "purpose",
        "throttle",
        "state",
        "save_every",
        "subjects",
    ],
    later: &[],
};
const PEERS: Words = Words { served: &["name", "users"], later: &[] };
const RESPONSE: Words =
    Words { served: &["alert", "cut", "lock", "refuse", "purpose", "throttle"], later: &[] };

impl Reader<'_> {
    /// None: there is no `[watch.learned]`.
    pub(super) fn learned(&mut self, watch: &Section<'_>) -> Option<LearnedWatch> {
        let peers = self.peers(watch);
        let Some(section) = self.table(watch, "learned", "[watch.learned]", LEARNED) else {
            if let (false, Some(value)) = (peers.is_empty(), watch.value("peers")) {
                let remedy = "add the section, or take the peers out";
                self.fault(value.span().start, "[[watch.peers]] without [watch.learned]", remedy);
            }
            return None;
        };
        let usual = LearnedWatch::default();
        let warning = self.reply(&section, "warning");
        let critical = self.reply(&section, "critical");
        for key in LASTING.into_iter().filter(|key| section.value(key).is_some()) {
            if ![warning, critical].iter().flatten().any(|reply| reply.name() == key) {
                let found = format!("[watch.learned] {key} says nothing where no response is \"{key}\"");
                self.fault(section.at, found, "take it out");
            }
        }
        let learn_ms = self.length(&section, "learn", 90 * DAY_MS).unwrap_or(usual.settings.learn_ms);
        let per_week = match section.value("alerts_per_week") {
            None => None,
            Some(_) => self.integer(&section, "alerts_per_week", 1..=10_000),
        };
        let drift = match section.value("drift") {
            None => None,
            Some(_) => self.integer(&section, "drift", 0..=100),
        };
        let number = |number: u64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        let settings = LearnedSettings {
            learn_ms,
            alerts_per_day: per_week.map_or(usual.settings.alerts_per_day, |count| number(count) / 7.0),
            drift_per_day: drift.map_or(usual.settings.drift_per_day, |percent| number(percent) / 100.0),
            warning: warning.unwrap_or(Response::Alert),
            critical: critical.unwrap_or(Response::Alert),
            peers,
            subjects: self.subjects(&section),
            without: Vec::new(),
        };
        let state = match section.value("state") {
            None => usual.state,
            Some(_) => self.path(&section, "state", "\"baselines\"")?,
        };
        let save_every_ms = self.length(&section, "save_every", DAY_MS).unwrap_or(usual.save_every_ms);
        Some(LearnedWatch { settings, state, save_every_ms })
    }

    fn peers(&mut self, watch: &Section<'_>) -> Vec<Peers> {
        let mut all: Vec<Peers> = Vec::new();
        for entry in self.tables(watch, "peers", "[[watch.peers]]", PEERS, PEERS_MAX) {
            let Some(name) = self.string_required(&entry, "name", "\"clerks\"") else { continue };
            if name.text.is_empty()
                || name.text.len() > NAME_BYTES_MAX
                || all.iter().any(|one| one.name == name.text)
            {
                let found = format!("[[watch.peers]] name = {}", shown(name.text));
                self.fault(name.at, found, "a name of its own, of up to 64 bytes");
            }
            if entry.value("users").is_none() {
                self.missing(&entry, "users", "[\"ada\", \"bob\"]");
            }
            let mut users = BTreeSet::new();
            for user in self.strings(&entry, "users", USERS_MAX).unwrap_or_default() {
                if all.iter().any(|one| one.users.contains(user.text)) {
                    let found =
                        format!("[[watch.peers]] users: {} has other peers already", shown(user.text));
                    self.fault(user.at, found, "each user in one entry");
                }
                users.insert(user.text.to_owned());
            }
            all.push(Peers { name: name.text.to_owned(), users });
        }
        all
    }

    /// Ids as records have them.
    fn subjects(&mut self, section: &Section<'_>) -> BTreeSet<String> {
        let mut subjects = BTreeSet::new();
        for text in self.strings(section, "subjects", SUBJECTS_MAX).unwrap_or_default() {
            let is_id = text.text.len() == 32
                && text.text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
            if is_id {
                subjects.insert(text.text.to_owned());
            } else {
                // It may be what somebody is called.
                let remedy = "32 hexadecimal digits, as `subjects.ids` of a record has them";
                self.fault(text.at, "[watch.learned] subjects holds what is no id of a subject", remedy);
            }
        }
        subjects
    }

    fn reply(&mut self, section: &Section<'_>, key: &'static str) -> Option<Response> {
        section.value(key)?;
        match self.choice(section, key, RESPONSE)?.text {
            "cut" => Some(Response::Cut),
            "alert" => Some(Response::Alert),
            lasting => {
                if section.value(lasting).is_none() {
                    self.missing(section, LASTING.into_iter().find(|key| *key == lasting)?, "\"15m\"");
                }
                let ms = self.length(section, lasting, 30 * DAY_MS)?;
                let restraint = match lasting {
                    "lock" => Restraint::Lock,
                    "refuse" => Restraint::Refuse,
                    "purpose" => Restraint::Purpose,
                    _ => Restraint::Throttle { delay_ms: DELAY_MS },
                };
                Some(Response::Restrain { restraint, ms })
            }
        }
    }

    fn length(&mut self, section: &Section<'_>, key: &str, ms_max: u64) -> Option<u64> {
        section.value(key)?;
        let text = self.string(section, key)?;
        let fitting = scalar::duration_ms(text.text).filter(|ms| (1_000..=ms_max).contains(ms));
        if fitting.is_none() {
            let found = format!("[watch.learned] {key} = {}", shown(text.text));
            let remedy = format!("from \"1s\" to \"{}d\": a number and s, m, h or d", ms_max / DAY_MS);
            self.fault(text.at, found, remedy);
        }
        fitting
    }
}
