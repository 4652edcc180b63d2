//! What is unusual for a user, by what that user and others like it have done before.
//!
//! Each principal has its normals (`normal`, of what `meter` counts) and what it has done before (`known`);
//! peers have them together (`group`). What is seen is compared with them (`principal`), by how rare the
//! like has been for anybody, and becomes one score; how rare that is in a day of one user decides.
//! Whatever raised an alert is not learned, unless an operator says that it was fine.

mod group;
mod judging;
mod known;
mod meter;
mod normal;
mod packed;
mod principal;
mod reason;
mod settings;
mod shape;
mod told;

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

pub use reason::Family;
pub use settings::{LearnedSettings, Peers};

use self::group::Group;
use self::meter::DAY_MS;
use self::normal::{Drift, Tail};
use self::principal::{Principal, tails};
use self::told::Told;
use crate::audit::Who;

/// Groups that are told apart; whoever belongs to a further one belongs to the crowd.
const GROUPS_MAX: usize = 64;
const CROWD: &str = "all others";

/// How unusual the latest thing seen was.
#[derive(Clone, PartialEq, Debug)]
pub struct Scored {
    /// Login user, or it and the end user whom a token has proven.
    pub principal: String,
    /// 0 is usual. Comparable across users.
    pub score: f64,
    /// How often a day of one user shows such a score, or a higher one: 0 to 1.
    pub tail: f64,
}

/// The learned detector. Memory: at most 64 KiB a principal, and [`Learned::PRINCIPALS_MAX`] of them.
#[derive(Clone)]
pub struct Learned {
    settings: LearnedSettings,
    state: State,
    /// Score and tail of the latest thing seen; its principal is in `name`.
    last: Option<(f64, f64)>,
    /// Holds a principal's name while it is looked up.
    name: String,
    /// Of the subjects of one outcome.
    subjects: Vec<u64>,
    changed: bool,
}

/// What survives a restart.
#[derive(Clone, Serialize, Deserialize)]
struct State {
    version: u32,
    principals: FxHashMap<String, Principal>,
    groups: FxHashMap<String, Group>,
    tails: Vec<Tail>,
    /// Of the highest score of each principal's day.
    days: Tail,
    first_ms: u64,
    /// Until when forms are learned without being told.
    deploy_until_ms: u64,
    /// The day that goes on, who came on it, and how many come on one.
    day: u64,
    today: u32,
    a_day: f64,
    told: VecDeque<Told>,
    /// Principals that had to make room.
    forgotten: u64,
}

/// Of what a file was written by.
const VERSION: u32 = 3;

impl State {
    fn new() -> State {
        State {
            version: VERSION,
            principals: FxHashMap::default(),
            groups: FxHashMap::default(),
            tails: tails(),
            days: Tail::default(),
            first_ms: 0,
            deploy_until_ms: 0,
            day: 0,
            today: 0,
            a_day: 0.0,
            told: VecDeque::new(),
            forgotten: 0,
        }
    }

    fn fits(&self) -> bool {
        self.version == VERSION
            && self.tails.len() == tails().len()
            && self.principals.len() <= Learned::PRINCIPALS_MAX
            && self.groups.len() <= GROUPS_MAX + 1
            && self.principals.values().all(Principal::fits)
            && self.principals.values().all(|one| self.groups.contains_key(&one.group))
            && self.groups.values().all(Group::fits)
    }
}

impl Learned {
    /// Principals that are remembered; the one that has been away for longest makes room.
    pub const PRINCIPALS_MAX: usize = 1_024;

    #[must_use]
    pub fn new(settings: LearnedSettings) -> Learned {
        Learned {
            settings,
            state: State::new(),
            last: None,
            name: String::new(),
            subjects: Vec::new(),
            changed: false,
        }
    }

    /// With what an earlier one has learned, as [`Learned::save`] gave it. None: it is not that.
    #[must_use]
    pub fn restore(settings: LearnedSettings, saved: &[u8]) -> Option<Learned> {
        let state: State = serde_json::from_slice(saved).ok()?;
        state.fits().then(|| Learned { state, ..Learned::new(settings) })
    }

    /// Everything that was learned. Nothing of it is a value, an id of a subject or a text of a statement.
    ///
    /// # Errors
    /// None that is known.
    pub fn save(&mut self) -> Result<Vec<u8>, serde_json::Error> {
        let saved = serde_json::to_vec(&self.state)?;
        self.changed = false;
        Ok(saved)
    }

    /// Something was learned since it was saved.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.changed
    }

    /// Other settings, with what was learned by these.
    #[must_use]
    pub fn with(self, settings: LearnedSettings) -> Learned {
        Learned { settings, ..self }
    }

    #[must_use]
    pub fn settings(&self) -> &LearnedSettings {
        &self.settings
    }

    /// Of the latest thing seen; none where it says nothing (no principal, a login that failed).
    #[must_use]
    pub fn last_score(&self) -> Option<Scored> {
        self.last.map(|(score, tail)| Scored { principal: self.name.clone(), score, tail })
    }

    /// Principals that had to make room for others.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.state.forgotten
    }

    /// Principals that are remembered now.
    #[must_use]
    pub fn principals(&self) -> usize {
        self.state.principals.len()
    }

    /// From here until then new forms of statements are learned and not told.
    pub fn deploy(&mut self, until_ms: u64) {
        self.state.deploy_until_ms = until_ms;
        self.changed = true;
    }

    fn drift(&self) -> Drift {
        let free_days = u32::try_from(self.settings.learn_ms / DAY_MS).unwrap_or(u32::MAX);
        Drift { per_day: self.settings.drift_per_day.ln_1p() as f32, free_days }
    }

    fn group_of(&self, who: &Who) -> String {
        let peers = self.settings.peers.iter().find(|peers| peers.users.contains(&*who.user));
        let name = peers.map_or_else(|| format!("database {}", who.database), |peers| peers.name.clone());
        let is_there = self.state.groups.contains_key(&name);
        if is_there || self.state.groups.len() < GROUPS_MAX { name } else { CROWD.to_owned() }
    }

    /// Makes the principal and its group, where they are new; the name is in `self.name` then.
    fn enlist(&mut self, who: &Who, now_ms: u64) {
        self.name.clear();
        self.name.push_str(&who.user);
        if let Some(end_user) = who.end_user.as_ref().filter(|_| who.end_user_auth == "token") {
            self.name.push_str(" for ");
            self.name.push_str(end_user);
        }
        if self.state.principals.contains_key(&self.name) {
            return;
        }
        if self.state.principals.len() >= Self::PRINCIPALS_MAX {
            let oldest = self.state.principals.iter().min_by_key(|(_, one)| one.last_ms);
            if let Some(name) = oldest.map(|(name, _)| name.clone())
                && let Some(gone) = self.state.principals.remove(&name)
            {
                self.state.forgotten += 1;
                if let Some(group) = self.state.groups.get_mut(&gone.group) {
                    group.members = group.members.saturating_sub(1);
                }
            }
        }
        let group = self.group_of(who);
        self.state.groups.entry(group.clone()).or_insert_with(Group::new).members += 1;
        self.state.principals.insert(self.name.clone(), Principal::new(&who.user, &group, now_ms));
    }
}

#[cfg(test)]
mod tests;
