//! Alerts that were told: what operators ask of them, and what follows from "this was fine".

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::meter::{Amount, SPAN, SPANS, percent};
use super::normal::{Normal, amount};
use super::principal::KNOWN_MAX;
use super::{Learned, State};
use crate::audit::rfc3339;

/// Alerts that can be explained and allowed: the newest ones.
const TOLD_MAX: usize = 256;

/// One alert, with what it takes to allow it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) id: String,
    pub(super) incident: String,
    pub(super) principal: String,
    pub(super) severity: String,
    pub(super) at_ms: u64,
    /// In thousandths.
    pub(super) score: u64,
    /// Minus the decimal logarithm of the share of users' days with such a score, and from where on it is told.
    pub(super) rarity: f64,
    pub(super) bound: f64,
    pub(super) reasons: Vec<String>,
    pub(super) was_allowed: bool,
    /// What was counted by then.
    pub(super) logs: Vec<f32>,
    /// By it and its peers together.
    pub(super) together: Vec<f32>,
    /// What was new.
    pub(super) fresh: Vec<u32>,
}

impl State {
    pub(super) fn remember(&mut self, told: Told) {
        if self.told.len() >= TOLD_MAX {
            self.told.pop_front();
        }
        self.told.push_back(told);
    }
}

fn time(ms: u64) -> String {
    rfc3339(ms.saturating_mul(1_000))
}

impl Learned {
    /// An alert has become a part of this incident.
    pub fn is_part_of(&mut self, alert: &str, incident: &str) {
        if let Some(told) = self.state.told.iter_mut().rev().find(|told| told.id == alert) {
            incident.clone_into(&mut told.incident);
        }
    }

    /// Why there was this alert, by its id or that of its incident. None: it is not known, or too old.
    #[must_use]
    pub fn explain(&self, alert: &str) -> Option<Value> {
        let told = self.state.told.iter().rev().find(|told| told.id == alert || told.incident == alert)?;
        Some(json!({
            "alert": told.id,
            "incident": told.incident,
            "time": time(told.at_ms),
            "principal": told.principal,
            "severity": told.severity,
            "score": told.score as f64 / 1_000.0,
            "once_in_user_days": 10_f64.powf(told.rarity).round(),
            "told_from": 10_f64.powf(told.bound).round(),
            "reasons": told.reasons,
            "allowed": told.was_allowed,
        }))
    }

    /// What this alert was about is fine, as much as it was by then; it is learned from here on. False: it
    /// is not known, or too old.
    pub fn allow(&mut self, alert: &str) -> bool {
        let told = self.state.told.iter_mut().rev().find(|told| told.id == alert || told.incident == alert);
        let Some(told) = told else { return false };
        told.was_allowed = true;
        let told = told.clone();
        let Some(principal) = self.state.principals.get_mut(&told.principal) else { return false };
        let day = u32::try_from(told.at_ms / super::meter::DAY_MS).unwrap_or(u32::MAX);
        principal.body.allow(&told.logs);
        for hash in &told.fresh {
            principal.known.meet(*hash, false, day, KNOWN_MAX);
        }
        principal.cool();
        principal.paused_until_ms = 0;
        principal.forget_told();
        principal.day_score = 0.0;
        if let Some(group) = self.state.groups.get_mut(&principal.group) {
            group.paused_until_ms = 0;
            group.body.allow(&told.together);
        }
        self.changed = true;
        true
    }

    /// What is normal for a user, and each end user of it that was proven. None: nobody has been seen.
    pub fn baseline(&mut self, user: &str) -> Option<Value> {
        let mut all = Vec::new();
        let mut names: Vec<String> = self
            .state
            .principals
            .iter()
            .filter(|(name, one)| *name == user || one.user == user)
            .map(|(name, _)| name.clone())
            .collect();
        names.sort_unstable();
        for name in names {
            let Some(principal) = self.state.principals.get_mut(&name) else { continue };
            let Some(group) = self.state.groups.get(&principal.group) else { continue };
            let mut normals = Vec::new();
            for (span, words) in SPAN.iter().enumerate().take(SPANS) {
                let now = principal.body.sums(span);
                for (which, now) in Amount::ALL.into_iter().zip(now) {
                    let at = span * Amount::ALL.len() + which.index();
                    let none = Normal::default();
                    let peers = group.normals.get(at).unwrap_or(&none);
                    let Some(own) = principal.body.normal(span, which.index()) else { continue };
                    let Some((center, scale)) = own.expected(peers, words.scale_min) else { continue };
                    let is_share = which.part().is_some();
                    let shown = |number: u64| if is_share { percent(number) } else { number };
                    normals.push(json!({
                        "span": words.words,
                        "what": if is_share { format!("% {}", which.words()) } else { which.words().to_owned() },
                        "normal": shown(amount(center)),
                        "rarely_above": shown(amount(center + 3.0 * scale)),
                        "latest": shown(now),
                        "samples": own.seen(),
                    }));
                }
            }
            all.push(json!({
                "principal": name,
                "peers": principal.group,
                "since": time(principal.first_ms),
                "latest": time(principal.last_ms),
                "known_things": principal.known.len(),
                "learning_stopped_until":
                    (principal.paused_until_ms > 0).then(|| time(principal.paused_until_ms)),
                "normals": normals,
            }));
        }
        (!all.is_empty()).then_some(Value::Array(all))
    }

    /// How much is known, and what holds.
    #[must_use]
    pub fn standing(&self, now_ms: u64) -> Value {
        let until_ms = self.state.first_ms.saturating_add(self.settings.learn_ms);
        json!({
            "principals": self.state.principals.len(),
            "principals_max": Learned::PRINCIPALS_MAX,
            "forgotten": self.state.forgotten,
            "learning_until": (self.state.first_ms > 0 && now_ms < until_ms).then(|| time(until_ms)),
            "deploying_until":
                (now_ms < self.state.deploy_until_ms).then(|| time(self.state.deploy_until_ms)),
        })
    }
}
