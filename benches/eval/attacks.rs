//! What an attacker does with one account, or five: made from a seed, beside the usual work of the day.

use crate::company::{BEGIN_MS, DAY_MS, Event, HOUR_MS, Random, Role, SUBJECTS};

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Attack {
    Bulk,
    Copy,
    Dump,
    InOrder,
    Shuffled,
    /// Times one's own normal, over three days.
    Scraping(f64),
    Stolen,
    /// Five people whom the account does not work for, four times each.
    Snooping,
    /// Another role's statements, for a day.
    Masquerade,
    /// Five accounts, a part of one slice each.
    Colluding,
    /// Four percent more each day for twenty days, then five times the normal.
    Poisoning,
}

impl Attack {
    pub const ALL: [Attack; 14] = [
        Attack::Bulk,
        Attack::Copy,
        Attack::Dump,
        Attack::InOrder,
        Attack::Shuffled,
        Attack::Scraping(1.2),
        Attack::Scraping(1.5),
        Attack::Scraping(2.0),
        Attack::Scraping(5.0),
        Attack::Stolen,
        Attack::Snooping,
        Attack::Masquerade,
        Attack::Colluding,
        Attack::Poisoning,
    ];

    /// Days that it takes.
    #[must_use]
    pub const fn days(self) -> u64 {
        match self {
            Attack::Scraping(_) => 3,
            Attack::Poisoning => 21,
            _ => 1,
        }
    }
}

/// A principal's statements of a usual day, as the attacker has counted them.
pub type Normal = f64;

/// What the attack adds on its n-th day, in order of time. `day` is of the company; `victim` one of support.
#[must_use]
pub fn day(attack: Attack, seed: u64, victim: usize, normal: Normal, day: u64, nth: u64) -> Vec<Event> {
    let mut random = Random::of(&[seed, 5, victim as u64, day]);
    let begin_ms = BEGIN_MS + day * DAY_MS;
    let morning_ms = begin_ms + 10 * HOUR_MS;
    let plain = |at_ms: u64, principal: usize, template: u32, subjects: Vec<u64>| Event {
        at_ms,
        principal,
        template,
        subjects,
        further: 0,
        sqlstate: None,
        network: (principal % 4) as u8,
        is_attack: true,
    };
    let much = |template: u32, at_ms: u64, count: u64| {
        let first = plain(at_ms, victim, template, (0..1_000).collect());
        Event { further: count - 1_000, ..first }
    };
    let spread = |random: &mut Random, count: f64| {
        (0..count.round() as u64)
            .map(|_| {
                let at_ms = begin_ms + 8 * HOUR_MS + random.below(8 * HOUR_MS);
                let whom = random.below(SUBJECTS);
                plain(at_ms, victim, random.below(3) as u32, vec![whom])
            })
            .collect::<Vec<Event>>()
    };
    let start = random.below(SUBJECTS / 2);
    let mut all = match attack {
        Attack::Bulk => vec![much(60, morning_ms, 20_000 + random.below(200_000))],
        Attack::Copy => vec![much(61, morning_ms, 300_000)],
        Attack::Dump => (0..12).map(|n| much(70 + n, morning_ms + u64::from(n) * 4_000, SUBJECTS)).collect(),
        Attack::InOrder | Attack::Shuffled => (0..5_000)
            .map(|n| {
                let is_shuffled = attack == Attack::Shuffled;
                let whom = if is_shuffled { random.below(SUBJECTS) } else { start + n };
                let found = !(is_shuffled && random.happens(0.3));
                plain(morning_ms + n * 1_000, victim, 0, if found { vec![whom] } else { Vec::new() })
            })
            .collect(),
        Attack::Scraping(times) => spread(&mut random, normal * (times - 1.0)),
        Attack::Stolen => (0..60)
            .map(|n| {
                let whom = random.below(SUBJECTS);
                let event = plain(begin_ms + 23 * HOUR_MS + n * 20_000, victim, (n % 5) as u32, vec![whom]);
                Event { network: 200, ..event }
            })
            .collect(),
        Attack::Snooping => {
            let of = spread(&mut random, 20.0).into_iter().enumerate();
            of.map(|(n, event)| Event { subjects: vec![start + n as u64 % 5], ..event }).collect()
        }
        Attack::Masquerade => {
            let of = spread(&mut random, 30.0).into_iter();
            of.map(|event| Event { template: Role::Sales as u32 * 100 + event.template, ..event }).collect()
        }
        Attack::Colluding => (0..2_000)
            .map(|n| plain(morning_ms + n * 9_000, victim + (n % 5) as usize, 0, vec![start + n]))
            .collect(),
        Attack::Poisoning => {
            let more = if nth >= 20 { 4.0 } else { 1.04_f64.powf(nth as f64 + 1.0) - 1.0 };
            spread(&mut random, normal * more)
        }
    };
    all.sort_by_key(|event| event.at_ms);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attack_does_something_in_its_day_and_only_by_its_accounts() {
        for attack in Attack::ALL {
            for nth in 0..attack.days() {
                let all = day(attack, 3, 10, 45.0, 22 + nth, nth);
                assert!(!all.is_empty(), "{attack:?}");
                for event in all {
                    assert_eq!((event.at_ms - BEGIN_MS) / DAY_MS, 22 + nth, "{attack:?}");
                    let last = if attack == Attack::Colluding { 14 } else { 10 };
                    assert!((10..=last).contains(&event.principal) && event.is_attack, "{attack:?}");
                }
            }
        }
    }
}
