//! Where a walsender's peer is, and whether it may have what is streamed there: decided when it
//! comes, and again whenever the rules or the day change. One that is put outside ends at once.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Regime, today};
use crate::policy::Refusal;
use crate::residency::{Date, Replication, Verdict, replication_kind};
use crate::wire::startup::Start;

const DAY: Duration = Duration::from_secs(86_400);

/// The kind of walsender asked for: every occurrence of the parameter counts, since the
/// server lets a later one take back only half of what an earlier one asked. Whoever once
/// asked for a database has one, and SQL with it.
pub fn replication(start: &Start<'_>) -> Replication {
    let mut asked = Replication::No;
    for (_, value) in start.parameters.iter().filter(|(name, _)| *name == b"replication") {
        let kind = replication_kind(value);
        if kind != Replication::No && asked != Replication::Logical {
            asked = kind;
        }
    }
    asked
}

/// Is this certain to become a walsender without a database, which SQL does not reach? Only
/// where no other occurrence of the parameter could take it back.
pub fn is_physical(start: &Start<'_>) -> bool {
    let mut values = start
        .parameters
        .iter()
        .filter(|(name, _)| *name == b"replication")
        .map(|(_, value)| *value)
        .peekable();
    values.peek().is_some() && values.all(|value| replication_kind(value) == Replication::Physical)
}

/// A walsender whose peer was found inside.
pub struct Border {
    kind: Replication,
    peer: IpAddr,
    /// By whose rules, and on which day.
    regime: Arc<Regime>,
    day: Date,
}

impl Border {
    /// Judges who asks to become a walsender. None: it is none.
    ///
    /// # Errors
    /// Its peer may not have what it asks for.
    pub fn cross(regime: &Arc<Regime>, kind: Replication, peer: IpAddr) -> Result<Option<Border>, Refusal> {
        if kind == Replication::No {
            return Ok(None);
        }
        let border = Border { kind, peer, regime: Arc::clone(regime), day: today() };
        match border.judge() {
            Verdict::NotJudged => {}
            Verdict::Allowed { region } => count("allowed", region),
            Verdict::Denied { why } => return Err(border.refuse(&why)),
        }
        Ok(Some(border))
    }

    /// Judges again where there is another configuration than the last time, or another day.
    ///
    /// # Errors
    /// Its peer may not have any more what it is sent.
    pub fn still_holds(&mut self, regime: &Arc<Regime>, day: Date) -> Result<(), Refusal> {
        if day == self.day && Arc::ptr_eq(regime, &self.regime) {
            return Ok(());
        }
        (self.regime, self.day) = (Arc::clone(regime), day);
        match self.judge() {
            Verdict::NotJudged | Verdict::Allowed { .. } => Ok(()),
            Verdict::Denied { why } => Err(self.refuse(&why)),
        }
    }

    fn judge(&self) -> Verdict {
        self.regime.dialer.residency().judge_walsender(self.kind, self.peer, self.day)
    }

    fn refuse(&self, why: &str) -> Refusal {
        count("denied", self.regime.dialer.residency().region_name(self.peer, self.day));
        Refusal::residency(why)
    }

    /// How long the day lasts yet: places expire with it.
    pub fn until_tomorrow() -> Duration {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let passed = Duration::from_secs(since.as_secs() % DAY.as_secs());
        DAY.saturating_sub(passed)
    }
}

fn count(verdict: &'static str, region: Arc<str>) {
    metrics::gauge!("sealgate_residency_targets", "kind" => "walsender", "region" => region, "verdict" => verdict)
        .increment(1.0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::dial::Dialer;

    #[test]
    fn every_occurrence_of_the_replication_parameter_counts() {
        let start = |values: &[&'static [u8]]| Start {
            minor: 0,
            parameters: values.iter().map(|value| (&b"replication"[..], *value)).collect(),
        };
        assert_eq!(replication(&start(&[b"database", b"false"])), Replication::Logical);
        assert_eq!(replication(&start(&[b"database", b"true"])), Replication::Logical);
        assert_eq!(replication(&start(&[b"true", b"database"])), Replication::Logical);
        assert_eq!(replication(&start(&[b"off"])), Replication::No);
        assert_ne!(replication(&start(&[b"tr", b"0"])), Replication::No);
        let reachable: [&[&[u8]]; 5] =
            [&[], &[b"true", b"false"], &[b"1", b"0"], &[b"on", b"database", b"on"], &[b"on", b""]];
        for values in reachable {
            assert!(!is_physical(&start(values)), "SQL may reach {values:?}");
        }
        assert!(is_physical(&start(&[b"true", b"on"])));
    }

    fn regime(place: &str) -> Arc<Regime> {
        let text = format!(
            "[listen]\naddress = \"127.0.0.1:1\"\n[upstream]\nhosts = [\"127.0.0.1:2\"]\n\
             [residency]\nallowed = [\"EEA\"]\nunknown = \"deny\"\n\
             [[residency.place]]\ncidr = \"10.0.0.0/8\"\nregion = \"near\"\n{place}\n"
        );
        let settings = crate::config::load(&text, "sealgate.toml").unwrap();
        let residency = Arc::new(settings.residency());
        let dialer = Dialer::new(settings.upstream.hosts.clone(), residency, None, DAY);
        Arc::new(Regime {
            tokens: Arc::default(),
            doors: None,
            settings,
            dialer: Arc::new(dialer),
            verifiers: None,
            client_tls: None,
            keyring: None,
            threads: 1,
        })
    }

    #[test]
    fn a_walsender_is_judged_again_when_the_rules_or_the_day_change() {
        let inside = regime("area = \"EEA\"\nexpires = 2999-12-31");
        let outside = regime("area = \"MOON\"");
        let peer = IpAddr::from([10, 0, 0, 9]);
        let cross = || Border::cross(&inside, Replication::Physical, peer).unwrap().unwrap();
        let last = Date::from_unix_days(376_199);
        assert_eq!(last.to_string(), "2999-12-31");
        let mut border = cross();
        assert!(border.still_holds(&inside, today()).is_ok() && border.still_holds(&inside, last).is_ok());
        let expired = border.still_holds(&inside, Date::from_unix_days(376_200)).unwrap_err();
        assert_eq!((expired.sqlstate, expired.reason), ("SG003", "residency"));
        assert!(cross().still_holds(&outside, today()).is_err());
        assert!(Border::cross(&outside, Replication::Logical, peer).is_err());
        assert!(Border::cross(&outside, Replication::No, peer).unwrap().is_none());
    }

    #[test]
    fn a_day_ends_within_a_day() {
        let left = Border::until_tomorrow();
        assert!(left > Duration::ZERO && left <= DAY);
    }
}
