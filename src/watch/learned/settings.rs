//! What the learned detector is told: how long it learns, how often it may be wrong, who is like whom.

use std::collections::BTreeSet;

use super::super::detector::Response;
use super::reason::Family;

const DAY_MS: u64 = 86_400_000;

/// Users who do the same work, so that each is a normal for the others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peers {
    pub name: String,
    /// Login users.
    pub users: BTreeSet<String>,
}

/// `[watch.learned]`
#[derive(Clone, PartialEq, Debug)]
pub struct LearnedSettings {
    /// Nothing is told before it has looked for so long, but for what needs no normal.
    pub learn_ms: u64,
    /// False alerts that may be expected a day, of all users together.
    pub alerts_per_day: f64,
    /// How far a normal may rise in a day: 0.05 is five percent.
    pub drift_per_day: f64,
    pub warning: Response,
    /// Where the score would come ten times more rarely than a warning's.
    pub critical: Response,
    /// Without any, users of one database are each other's peers.
    pub peers: Vec<Peers>,
    /// Ids of data subjects, as records have them, whose access is always looked at.
    pub subjects: BTreeSet<String>,
    /// Kinds of reasons that say nothing, to see what each is worth. No configuration has it.
    pub without: Vec<Family>,
}

impl Default for LearnedSettings {
    fn default() -> LearnedSettings {
        LearnedSettings {
            learn_ms: 14 * DAY_MS,
            alerts_per_day: 0.5,
            drift_per_day: 0.05,
            warning: Response::Alert,
            critical: Response::Alert,
            peers: Vec::new(),
            subjects: BTreeSet::new(),
            without: Vec::new(),
        }
    }
}
