//! What limits and detectors take of memory for one principal: reckoned before they hold, so that a configuration
//! that would take too much is refused. `tests/memory.rs` counts what they do take.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::size_of;
use std::sync::Arc;

use super::burst::Burst;
use super::counts::{UserWatch, Watch};
use super::limit::{Limit, Measure};
use super::span::{Others, Rule, Span};
use super::subjects::Subjects;
use super::whom::By;
use super::window::Window;
use crate::audit::Attribution;

/// The two counts before what is shared.
const SHARED: usize = 2 * size_of::<usize>();
/// The longest name of a login user, of an end user, and an address.
const NAME: usize = 256;
/// The longest name of a limit.
const RULE: usize = 80;
/// A vector or a table that grows has up to twice as many places as it needs, and a byte for each.
const GROWN: usize = 2;
/// A vector begins with so many places.
const FIRST: usize = 4;

impl Watch {
    /// Of limits and of the detectors that learn nothing, in bytes.
    pub const PRINCIPAL_BYTES_MAX: usize = 65_536;

    /// At the most, in bytes, for the principal for whom most limits hold: a login user, or one of those for whom
    /// it asks. `shared`: other proxies tell what they count. Whoever is counted together with others, because there
    /// are too many, is under all limits and not looked at.
    #[must_use]
    pub fn principal_bytes(limits: &[Limit], detectors: usize, shared: bool) -> usize {
        let everybody: u128 = places(limits, |limit| limit.users.is_none());
        let mut named: BTreeMap<&str, u128> = BTreeMap::new();
        for (at, limit) in limits.iter().enumerate() {
            for name in limit.users.iter().flat_map(|users| users.iter()) {
                *named.entry(name).or_insert(everybody) |= bit(at);
            }
        }
        let kinds: BTreeSet<u128> = named.into_values().chain([everybody]).collect();
        let of_detectors = detectors * of_detector();
        let of_kind = |kind: u128| {
            let held = limits.iter().enumerate().filter(|(at, _)| kind & bit(*at) != 0);
            let (own, of_end_users): (Vec<&Limit>, Vec<&Limit>) =
                held.map(|(_, limit)| limit).partition(|limit| limit.by == By::User);
            let user = of_limits(&own, shared) + of_end_users.len() * size_of::<Limit>();
            user.max(of_limits(&of_end_users, shared)) + of_detectors
        };
        kinds.into_iter().map(of_kind).max().unwrap_or(0)
    }
}

fn bit(at: usize) -> u128 {
    u32::try_from(at).ok().and_then(|at| 1_u128.checked_shl(at)).unwrap_or(0)
}

fn places(limits: &[Limit], wanted: impl Fn(&Limit) -> bool) -> u128 {
    limits.iter().enumerate().filter(|(_, limit)| wanted(limit)).fold(0, |all, (at, _)| all | bit(at))
}

/// One user's or one address's place in a detector.
fn of_detector() -> usize {
    GROWN * (size_of::<(Arc<str>, Burst)>() + 1) + SHARED + NAME
}

fn of_limits(limits: &[&Limit], shared: bool) -> usize {
    let mut spans: BTreeMap<(bool, u8, u64), u64> = BTreeMap::new();
    for limit in limits {
        let known = limit.attribution == Attribution::Known;
        let measure = match limit.measure {
            Measure::Cells => 0,
            Measure::Rows => 1,
            Measure::Subjects => 2,
        };
        let most = spans.entry((known, measure, limit.window_ms)).or_default();
        *most = (*most).max(limit.most);
    }
    let of_span = |((_, measure, window_ms), most): (&(bool, u8, u64), &u64)| {
        let span = GROWN * size_of::<Span>() + SHARED + size_of::<Others>();
        // What nobody has told.
        let heard = SHARED + size_of::<Arc<[u64]>>() + SHARED;
        let rules = FIRST * size_of::<Arc<Rule>>();
        let window = Window::new(*window_ms).bytes();
        let subjects = if *measure == 2 { Subjects::new(*window_ms, *most).bytes(shared) } else { 0 };
        span + heard + rules + SHARED + size_of::<Window>() + window + subjects
    };
    let rule = GROWN * size_of::<Arc<Rule>>() + SHARED + size_of::<Rule>() + SHARED + RULE;
    let table = GROWN * (size_of::<(String, Arc<UserWatch>)>() + 1);
    let lists = 2 * (SHARED + size_of::<Vec<Span>>()) + 2 * FIRST * size_of::<Span>();
    let own = SHARED + size_of::<UserWatch>() + table + lists + 3 * (SHARED + NAME);
    own + spans.iter().map(of_span).sum::<usize>() + limits.len() * rule
}
