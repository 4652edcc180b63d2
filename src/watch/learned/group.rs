//! Peers: what is normal for all of them, and what they do together.

use serde::{Deserialize, Serialize};

use super::known::{Freshness, Known, Met};
use super::normal::{Normal, Tail};
use super::principal::{Body, normals, tails};
use super::shape::Forms;

/// Things that one group is known by.
pub(super) const KNOWN_MAX: usize = 8_192;
/// Bytes of one of its two filters of subjects.
const MET_BYTES: usize = 65_536;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Group {
    /// Samples of every member.
    pub(super) normals: Vec<Normal>,
    /// How far above the own normal its members come, and how often.
    pub(super) tails: Vec<Tail>,
    /// Of the highest score of each of its members' days.
    pub(super) days: Tail,
    /// What all of them meet together.
    pub(super) body: Body,
    pub(super) known: Known,
    pub(super) met: Met,
    /// How often something new comes to a member.
    pub(super) freshness: Freshness,
    pub(super) forms: Forms,
    /// Principals that came, of those that are remembered.
    pub(super) members: u32,
    /// Of what they do together nothing is learned, and nothing told, until then.
    pub(super) paused_until_ms: u64,
}

impl Group {
    pub(super) fn new() -> Group {
        Group {
            normals: normals(),
            tails: tails(),
            days: Tail::default(),
            body: Body::new(),
            known: Known::default(),
            met: Met::new(MET_BYTES),
            freshness: Freshness::default(),
            forms: Forms::default(),
            members: 0,
            paused_until_ms: 0,
        }
    }

    pub(super) fn fits(&self) -> bool {
        self.body.fits()
            && self.met.fits(MET_BYTES)
            && self.normals.len() == normals().len()
            && self.tails.len() == tails().len()
    }
}
