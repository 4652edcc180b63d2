//! Verdicts: may this walsender, may this upstream have what passes through here?

use std::net::IpAddr;
use std::sync::Arc;

use super::date::Date;
use super::place::{Places, Region};
use super::replication::Replication;

/// What is done with a target on one side of the border.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    Allow,
    Deny,
}

/// What the operator decides. Nothing here is a default: the configuration states them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Names of areas or regions.
    pub allowed: Vec<Arc<str>>,
    /// `Allow`: what has no region is treated like what is inside.
    pub unknown: Form,
    pub replication_inside: Form,
    pub replication_outside: Form,
}

/// The outcome. `why` holds addresses, host and region names, never a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// There is no `[residency]`, or nothing to judge.
    NotJudged,
    Allowed {
        region: Arc<str>,
    },
    Denied {
        why: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Inside,
    Outside,
    Unknown,
}

/// The map and the rules; without them nothing is judged.
#[derive(Clone, Debug)]
pub struct Residency {
    judged: Option<(Places, Rules)>,
}

impl Residency {
    #[must_use]
    pub fn new(places: Places, rules: Rules) -> Residency {
        Residency { judged: Some((places, rules)) }
    }

    /// Without `[residency]`.
    #[must_use]
    pub fn unjudged() -> Residency {
        Residency { judged: None }
    }

    /// The name of a region for records and metrics: `unknown` where it is not known, empty
    /// where nothing is judged.
    #[must_use]
    pub fn region_name(&self, address: IpAddr, today: Date) -> Arc<str> {
        match &self.judged {
            Some((places, _)) => places.region_of(address, today).name(),
            None => Arc::from(""),
        }
    }

    /// Judges a session that asks to become a walsender, by its peer's address. A value that
    /// the server cannot read is judged like a walsender: what it means is the server's to say.
    #[must_use]
    pub fn judge_walsender(&self, kind: Replication, peer: IpAddr, today: Date) -> Verdict {
        let Some((places, rules)) = &self.judged else { return Verdict::NotJudged };
        if kind == Replication::No {
            return Verdict::NotJudged;
        }
        let region = places.region_of(peer, today);
        let form = match rules.side(&region) {
            Side::Inside => rules.replication_inside,
            Side::Outside => rules.replication_outside,
            Side::Unknown => Form::Deny,
        };
        match form {
            Form::Allow => Verdict::Allowed { region: region.name() },
            Form::Deny => Verdict::Denied {
                why: format!("replication to {peer} ({}) is not allowed", rules.describe(&region)),
            },
        }
    }

    /// Judges a server before it is dialled. Every address of its name must pass, so that no
    /// later choice among them can leave the allowed regions; dial only these addresses.
    #[must_use]
    pub fn judge_upstream(&self, host: &str, addresses: &[IpAddr], today: Date) -> Verdict {
        let Some((places, rules)) = &self.judged else { return Verdict::NotJudged };
        let mut first = None;
        for address in addresses {
            let region = match places.region_of(*address, today) {
                Region::Unknown => places.region_of_host(host, today),
                known @ Region::Known { .. } => known,
            };
            if rules.side(&region) != Side::Inside {
                let why = format!("{host} has the address {address} ({})", rules.describe(&region));
                return Verdict::Denied { why };
            }
            first.get_or_insert_with(|| region.name());
        }
        match first {
            Some(region) => Verdict::Allowed { region },
            None => Verdict::Denied { why: format!("{host} has no address") },
        }
    }

    /// Judges another server by the host that the database server will dial: an address, or a
    /// name that it will resolve by itself, of which the map must speak.
    #[must_use]
    pub fn judge_link(&self, host: &str, today: Date) -> Verdict {
        let Some((places, rules)) = &self.judged else { return Verdict::NotJudged };
        let region = match host.parse() {
            Ok(address) => places.region_of(address, today),
            Err(_) => places.region_of_host(host, today),
        };
        match rules.side(&region) {
            Side::Inside => Verdict::Allowed { region: region.name() },
            Side::Outside | Side::Unknown => Verdict::Denied {
                why: format!("a way to {host} ({}) is not allowed", rules.describe(&region)),
            },
        }
    }
}

impl Rules {
    fn side(&self, region: &Region) -> Side {
        match region {
            Region::Known { name, area } => {
                let listed = |word: &Arc<str>| self.allowed.contains(word);
                if listed(name) || area.as_ref().is_some_and(listed) { Side::Inside } else { Side::Outside }
            }
            Region::Unknown => match self.unknown {
                Form::Allow => Side::Inside,
                Form::Deny => Side::Unknown,
            },
        }
    }

    fn describe(&self, region: &Region) -> String {
        let allowed = self.allowed.join(", ");
        match region {
            Region::Known { name, area: Some(area) } => {
                format!("region {name} in {area}; allowed: {allowed}")
            }
            Region::Known { name, area: None } => format!("region {name}; allowed: {allowed}"),
            Region::Unknown => {
                format!("no entry of the map that has not expired speaks for it; allowed: {allowed}")
            }
        }
    }
}
