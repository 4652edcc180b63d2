//! The measured part of `docs/WATCH.md`, and its pictures.

use std::fmt::Write as _;

use crate::attacks::Attack;
use crate::company::Company;
use crate::figures::{Bound, Share, Summary, bootstrapped, median, quantile, summary};
use crate::plot::{self, Curve, Leak};
use crate::trial::{Knowing, Past, Trial, Tried, most_of_day};

/// Rows of one outcome of the record, at the most.
const BATCH: f64 = 10_000.0;

/// Between these the page is written.
pub const BEGIN: &str = "<!-- measured: written by `make eval` -->";
pub const END: &str = "<!-- measured: end -->";

/// Everything that was tried.
pub struct Measured<'m> {
    pub past: &'m Past,
    pub seeds: u64,
    /// The learned detector at one alert a day, and at a tenth of that.
    pub often: &'m Trial,
    pub seldom: &'m Trial,
    /// The first of them with a limit of rows a day beside it, so many times the most of each role's days.
    pub limited: &'m Trial,
    pub limit: f64,
    pub baselines: &'m [Trial],
    pub ablations: &'m [Trial],
    pub knowing: &'m [Knowing],
}

/// What an aim asks of these attacks.
struct Aim {
    words: &'static str,
    share: f64,
    attacks: fn(Attack) -> bool,
    within_a_day: bool,
}

const AIMS: [Aim; 4] = [
    Aim {
        words: "bulk SELECT, COPY, pg_dump: 99 %",
        share: 0.99,
        attacks: |attack| matches!(attack, Attack::Bulk | Attack::Copy | Attack::Dump),
        within_a_day: false,
    },
    Aim {
        words: "enumeration: 99 %",
        share: 0.99,
        attacks: |attack| matches!(attack, Attack::InOrder | Attack::Shuffled),
        within_a_day: false,
    },
    Aim {
        words: "injection: 99 %",
        share: 0.99,
        attacks: |attack| matches!(attack, Attack::Injection(_)),
        within_a_day: false,
    },
    Aim {
        words: "scraping at twice the normal: 90 % within 24 h",
        share: 0.90,
        attacks: |attack| matches!(attack, Attack::Scraping(2.0) | Attack::More(2.0)),
        within_a_day: true,
    },
];

fn of(trial: &Trial, attacks: impl Fn(Attack) -> bool, bound: Bound) -> Summary {
    summary(trial.tried.iter().filter(|one| attacks(one.scene.attack)), bound)
}

fn time(hours: f64) -> String {
    let seconds = hours * 3_600.0;
    if seconds < 1.0 {
        "at once".to_owned()
    } else if seconds < 120.0 {
        format!("{seconds:.0} s")
    } else if hours < 2.0 {
        format!("{:.0} min", hours * 60.0)
    } else {
        format!("{hours:.0} h")
    }
}

fn count(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

impl Measured<'_> {
    /// The text between the markers.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.table(&mut text);
        self.aims(&mut text);
        self.others(&mut text);
        self.ablated(&mut text);
        self.knows(&mut text);
        text
    }

    fn table(&self, text: &mut String) {
        let calendar = self.past.calendar;
        let (often, seldom) =
            (self.often.false_alerts(calendar, Bound::Own), self.seldom.false_alerts(calendar, Bound::Own));
        let _ = writeln!(
            text,
            "\n### What is found\n\n{} seeds of each attack. In brackets are intervals of 95 % (Wilson; of medians by \
             bootstrap). Alerts where nothing was, in days 22 to 50: **{often:.2} a day** where 0.9 were granted, \
             **{seldom:.2}** where a tenth was (of {:.0} users a day). Beside it stands, in two columns, a limit of rows a \
             day: {:.1} times the most that anybody of the role had on one of the days 1 to 14, set on days 15 to 21 for a \
             tenth of an alert a day; the row beyond it is not shown.\n",
            self.seeds, self.past.users, self.limit
        );
        let _ = writeln!(
            text,
            "| attack | found | time to the alert | subjects met by the alert | by the cut, median / most | found with a \
             limit | by the cut, most | without a watch | found at 0.1 a day |\n|---|---|---|---|---|---|---|---|---|"
        );
        for attack in Attack::ALL {
            let by = |trial: &Trial| of(trial, |one| one == attack, Bound::Own);
            let (at_one, at_tenth, limited) = (by(self.often), by(self.seldom), by(self.limited));
            let (low, high) = bootstrapped(&at_one.leaked);
            let all: Vec<f64> = self
                .often
                .tried
                .iter()
                .filter(|one| one.scene.attack == attack)
                .map(|one| one.leaked_in_all() as f64)
                .collect();
            let hours = if at_one.hours.is_empty() { "-".to_owned() } else { time(median(&at_one.hours)) };
            let _ = writeln!(
                text,
                "| {} | {} | {hours} | {} ({} to {}) | {} / {} | {} | {} | {} | {} |",
                attack.name(),
                at_one.found.words(),
                count(median(&at_one.leaked)),
                count(low),
                count(high),
                count(median(&at_one.leaked_by_cut)),
                count(quantile(&at_one.leaked_by_cut, 1.0)),
                percent(limited.found.value()),
                count(quantile(&limited.leaked_by_cut, 1.0)),
                count(median(&all)),
                percent(at_tenth.found.value()),
            );
        }
        let _ = writeln!(
            text,
            "\nWho is not found counts with all that he meets. An alert has found an attack where it is about its account, \
             within the span of the attack (from its first statement until the hour of its last is over), and one of its \
             three reasons speaks of what the attack does: how much for reads in bulk, enumeration, scraping, snooping, \
             collusion and poisoning; forms and fields, too, for reads in bulk, a masquerade and creeping columns; forms, \
             errors and signs of an injection for injections; how much, and places and hours, for stolen credentials. \
             Baselines give no reasons, so that their span is all that is asked of them.\n\n![Subjects met](watch-leaks.svg)\n\n![False alerts by \
             day](watch-days.svg)"
        );
        let _ = writeln!(
            text,
            "\nWhere nothing was, these were told in days 22 to 50:\n\n| day | whom |\n|---|---|"
        );
        for (day, principal) in self.often.falsely(calendar, Bound::Own) {
            let _ = writeln!(text, "| {} | {} |", day + 1, self.named(principal));
        }
    }

    fn named(&self, principal: usize) -> String {
        let company: Company = self.past.company;
        let role = company.role(principal).name();
        match company.special(principal) {
            Some(what) => format!("{role} {principal}: {what}"),
            None => format!("{role} {principal}"),
        }
    }

    fn aims(&self, text: &mut String) {
        let calendar = self.past.calendar;
        let alerts = self.limited.false_alerts(calendar, Bound::Own);
        let _ = writeln!(
            text,
            "\n### Aims\n\nOf the detector with the limit beside it, as the page asks for.\n\n| aim | measured | \
             |\n|---|---|---|"
        );
        for aim in AIMS {
            let of = of(self.limited, aim.attacks, Bound::Own);
            let share = if aim.within_a_day { of.within_a_day } else { of.found };
            let mark = if share.value() >= aim.share { "met" } else { "**missed**" };
            let _ = writeln!(text, "| {} | {} of {} | {mark} |", aim.words, share.words(), share.whole);
        }
        let mark = if alerts <= 1.0 { "met" } else { "**missed**" };
        let _ = writeln!(text, "| at most one false alert a day | {alerts:.2} | {mark} |");
        // What the account's own work has taken of its limit on that day is not the attack's.
        let most = most_of_day(self.past).map(|rows| rows as f64 * self.limit + BATCH);
        let bulk = |one: &&Tried| {
            matches!(
                one.scene.attack,
                Attack::Bulk | Attack::Copy | Attack::Dump | Attack::InOrder | Attack::Shuffled
            )
        };
        let tried: Vec<&Tried> = self.limited.tried.iter().filter(bulk).collect();
        let within = |one: &&&Tried| {
            let leaked = one.told_ms.map_or(one.leaked_in_all(), |told_ms| one.leaked_by_cut(told_ms));
            leaked as f64 <= most[self.past.company.role(one.scene.victim) as usize]
        };
        let share = Share { part: tried.iter().filter(within).count(), whole: tried.len() };
        let mark = if share.part == share.whole { "met" } else { "**missed**" };
        let _ = writeln!(
            text,
            "| of reads in bulk and enumeration no more than the limit and one buffered batch of the record ({} rows) | {} of \
             {} | {mark} |",
            count(BATCH),
            share.words(),
            share.whole
        );
    }

    fn others(&self, text: &mut String) {
        let calendar = self.past.calendar;
        let _ = writeln!(
            text,
            "\n### Beside what others do\n\nEach baseline's bound is set on days 15 to 21 for one false alert a day (for a \
             tenth in brackets), and a user that was told is not told again for a week. The learned detector has \
             its own bound.\n"
        );
        let mut all: Vec<(&Trial, Bound, &Trial, Bound)> =
            vec![(self.often, Bound::Own, self.seldom, Bound::Own)];
        for one in self.baselines {
            let bound = |alerts| Bound::Score(one.threshold(calendar, alerts));
            all.push((one, bound(1.0), one, bound(0.1)));
        }
        let names: Vec<&str> = all.iter().map(|(trial, ..)| trial.name).collect();
        let _ = writeln!(text, "| found | {} |\n|---|{}", names.join(" | "), "---|".repeat(names.len()));
        let row = |text: &mut String, name: &str, cell: &dyn Fn(&Trial, Bound) -> String| {
            let cells: Vec<String> = all
                .iter()
                .map(|(one, at_one, tenth, at_tenth)| {
                    format!("{} ({})", cell(one, *at_one), cell(tenth, *at_tenth))
                })
                .collect();
            let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
        };
        row(text, "*false alerts a day, days 22 to 50*", &|trial, bound| {
            format!("{:.2}", trial.false_alerts(calendar, bound))
        });
        for attack in Attack::ALL {
            row(text, &attack.name(), &|trial, bound| {
                percent(of(trial, |one| one == attack, bound).found.value())
            });
        }
        let _ = writeln!(
            text,
            "\nWith bounds that would have let through just so many (which nobody can know beforehand):\n\n![What is \
             found](watch-found.svg)"
        );
    }

    fn ablated(&self, text: &mut String) {
        let calendar = self.past.calendar;
        let names: Vec<&str> = self.ablations.iter().map(|one| one.name).collect();
        let _ = writeln!(
            text,
            "\n### What each kind of reason is worth\n\nThe same without one kind, at as many alerts a day. Its bound follows, so \
             that what is missing leaves room for the rest.\n\n| found | all | {} |\n|---|---|{}",
            names.join(" | "),
            "---|".repeat(names.len())
        );
        let all: Vec<&Trial> = std::iter::once(self.often).chain(self.ablations).collect();
        let alerts: Vec<String> =
            all.iter().map(|one| format!("{:.2}", one.false_alerts(calendar, Bound::Own))).collect();
        let _ = writeln!(text, "| *false alerts a day* | {} |", alerts.join(" | "));
        for attack in Attack::ALL {
            let cells: Vec<String> = all
                .iter()
                .map(|trial| percent(of(trial, |one| one == attack, Bound::Own).found.value()))
                .collect();
            let _ = writeln!(text, "| {} | {} |", attack.name(), cells.join(" | "));
        }
    }

    fn knows(&self, text: &mut String) {
        let subjects: Vec<f64> = self.knowing.iter().map(|one| one.subjects as f64).collect();
        let times: Vec<f64> = self.knowing.iter().map(|one| one.times).collect();
        let (low, high) = bootstrapped(&subjects);
        let none = self.knowing.iter().filter(|one| one.subjects == 0).count();
        let _ = writeln!(
            text,
            "\n### Somebody who knows the thresholds\n\nAn attacker with a copy of the detector and of all that it has \
             learned, who looks up anybody for five days at the highest of eight paces (1.1 to 3 times the own normal) of \
             which it tells nothing: he gets {} subjects in the median ({} to {}), {} at the most, at {:.2} times the own \
             normal. {} are told at any of these paces.",
            count(median(&subjects)),
            count(low),
            count(high),
            count(quantile(&subjects, 1.0)),
            median(&times),
            Share { part: none, whole: self.knowing.len() }.words(),
        );
    }

    /// Names and texts of the pictures.
    #[must_use]
    pub fn pictures(&self) -> [(&'static str, String); 3] {
        let calendar = self.past.calendar;
        let curves: Vec<Curve> = std::iter::once(self.often)
            .chain(self.baselines)
            .map(|trial| Curve { name: trial.name, points: curve(trial, self.past) })
            .collect();
        let cap = self.baselines.iter().find(|one| one.name == "static cap");
        let leaks: Vec<Leak> = Attack::ALL
            .into_iter()
            .map(|attack| {
                let by_cut = median(&of(self.often, |one| one == attack, Bound::Own).leaked_by_cut);
                let nobody = Bound::Score(f64::INFINITY);
                let by_cap = cap.map_or(0.0, |cap| {
                    let bound = Bound::Score(cap.threshold(calendar, 1.0));
                    median(&of(cap, |one| one == attack, bound).leaked_by_cut)
                });
                let all = median(&of(self.often, |one| one == attack, nobody).leaked);
                Leak { name: attack.name(), all, by_cap, by_cut }
            })
            .collect();
        let mut alerts = vec![0; (calendar.days - calendar.set) as usize];
        for (day, _) in self.often.told.iter().filter(|(day, _)| *day >= calendar.set) {
            alerts[(*day - calendar.set) as usize] += 1;
        }
        [
            ("watch-found.svg", plot::found(&curves)),
            ("watch-leaks.svg", plot::leaks(&leaks)),
            ("watch-days.svg", plot::days(&alerts, calendar.set + 1, &self.past.company.events())),
        ]
    }
}

/// The share of kinds of attacks found at so many false alerts a day.
fn curve(trial: &Trial, past: &Past) -> Vec<(f64, f64)> {
    let rates = [0.035, 0.07, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0];
    rates
        .into_iter()
        .map(|rate| {
            let bound = Bound::Score(trial.in_hindsight(past.calendar, rate));
            let found = Attack::ALL.map(|attack| of(trial, |one| one == attack, bound).found.value());
            (rate, found.iter().sum::<f64>() / found.len() as f64)
        })
        .collect()
}
