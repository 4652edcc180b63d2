//! Folders by a generator that knows the page, sound ones and such that break a rule of it with every link
//! right: both verifiers say the same of each, also what it leaves open.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::super::tests::Scratch;
use super::tests::{asked, by_the_page, chain_anew, put};
use super::*;
use crate::audit::{LIST, PLAN, WHO};

const FOLDERS: usize = 120;

/// Numbers of one kind that the segment has told.
struct Numbers {
    name: &'static str,
    numbers_max: u64,
    told: u64,
}

impl Numbers {
    /// A number, and whether it is told here; now and then one that breaks the rule.
    fn next(&mut self, random: &mut StdRng, breaks: bool) -> (u64, bool) {
        let tells = self.told == 0 || random.random_range(0..4) == 0;
        if breaks {
            let far = self.told.saturating_sub(self.numbers_max);
            return match random.random_range(0..4) {
                0 => (self.told + 2, true),
                1 => (self.told, true),
                2 => (self.told + 1, false),
                _ => (far, false),
            };
        }
        if tells {
            self.told += 1;
            return (self.told, true);
        }
        let oldest = self.told.saturating_sub(self.numbers_max - 1).max(1);
        (random.random_range(oldest..=self.told), false)
    }
}

fn line(random: &mut StdRng, seq: u64, kinds: &mut [Numbers; 3], breaks: bool) -> String {
    let mut line = format!("{{\"seq\":{seq}");
    let kind = ["intent", "intent", "outcome", "outcome", "outcome", "session", "alert"];
    let kind = kind[random.random_range(0..kind.len())];
    line += &format!(",\"kind\":\"{kind}\"");
    let broken = breaks.then(|| random.random_range(0..3));
    let [who, plan, list] = kinds;
    match (kind, broken) {
        ("alert", None) => line += ",\"session\":1",
        (_, _) if broken.is_none() && random.random_range(0..10) == 0 => line += ",\"session\":2",
        (_, _) => {
            let (number, tells) = who.next(random, broken == Some(0));
            line += &format!(",\"{}\":{number}", who.name);
            if tells {
                line += &format!(",\"session\":{}", random.random_range(0..2));
            }
        }
    }
    // Each execution has one intent; outcomes are of the latest, or of none that is known.
    let earlier = |random: &mut StdRng| seq.saturating_sub(random.random_range(0..12));
    if random.random_range(0..20) > 0 {
        let statement = if kind == "intent" { seq } else { earlier(random) };
        line += &format!(",\"statement_id\":{statement}");
    }
    for (index, (numbers, sign)) in
        [(list, "fields\":[]"), (plan, "action\":\"read\"")].into_iter().enumerate()
    {
        let breaks = broken == Some(index + 1);
        if breaks || (["intent", "outcome"].contains(&kind) && random.random_range(0..8) > 0) {
            let (number, tells) = numbers.next(random, breaks);
            line += &format!(",\"{}\":{number}", numbers.name);
            if tells {
                line += &format!(",\"{sign}");
            }
        }
    }
    match (kind, random.random_range(0..4)) {
        ("intent", 0) => line += ",\"lease\":{\"executions\":1,\"values\":2,\"window_ms\":3}",
        ("outcome", 0) => line += &format!(",\"lease\":{}", earlier(random)),
        ("outcome", 1) => {
            line += &format!(",\"lease\":{},\"executions\":{}", earlier(random), seq % 3);
        }
        ("outcome", 2) => line += ",\"partial\":true",
        (_, _) => {}
    }
    line + "}"
}

/// Chained as it must be, and of several segments.
fn generate(folder: &Path, random: &mut StdRng, breaks: bool) {
    fs::create_dir_all(folder).unwrap();
    let segments = random.random_range(1..4_u64);
    let each = random.random_range(1..150_u64);
    let broken = random.random_range(1..=segments * each);
    for segment in 0..segments {
        let bounds = [("who", WHO), ("plan", PLAN), ("list", LIST)];
        let mut kinds =
            bounds.map(|(name, bounds)| Numbers { name, numbers_max: bounds.numbers_max, told: 0 });
        let first = segment * each + 1;
        let lines = (first..first + each).map(|seq| {
            let line = line(random, seq, &mut kinds, breaks && seq == broken);
            format!("{},\"hash\":\"\"}}", line.strip_suffix('}').unwrap())
        });
        let path = folder.join(format!("audit-20260101T000000.000000Z-{first:020}.jsonl"));
        put(&path, &lines.collect::<Vec<_>>());
    }
    chain_anew(folder);
}

#[test]
fn both_verifiers_say_the_same_of_numbers_and_of_what_is_open() {
    let scratch = Scratch::new("agreed");
    // `SEALGATE_TAMPER=5000 cargo test agreed` takes its time, another way each time.
    let rounds: Option<usize> = std::env::var("SEALGATE_TAMPER").ok().map(|rounds| rounds.parse().unwrap());
    let seed = rounds.map_or(23, |_| rand::random());
    let mut random = StdRng::seed_from_u64(seed);
    let folders: Vec<PathBuf> =
        (0..rounds.unwrap_or(FOLDERS)).map(|round| scratch.0.join(round.to_string())).collect();
    for (round, folder) in folders.iter().enumerate() {
        generate(folder, &mut random, round % 2 == 1);
    }
    let (mut open, mut leases, mut bad) = (0, 0, 0);
    for ((round, folder), page) in folders.iter().enumerate().zip(by_the_page(&folders, &[])) {
        let told = verify(&Asked { keys: Vec::new(), ..asked(folder) }).unwrap();
        assert_eq!(told.bad.is_empty(), round % 2 == 0, "{round}, seed {seed}: {told:?}");
        if !told.bad.is_empty() {
            assert!(!page.starts_with("intact"), "{round}, seed {seed}: {told:?}");
            bad += 1;
            continue;
        }
        let named = told.open_intents.iter().map(|open| {
            leases += u64::from(open.is_lease);
            format!("{}{}", if open.is_lease { "lease " } else { "" }, open.seq)
        });
        let named: Vec<String> = named.collect();
        let of_page: Vec<&str> = match page.strip_prefix("intact, open: ") {
            Some(list) => list.split(", ").collect(),
            None => Vec::new(),
        };
        assert!(page.starts_with("intact"), "{round}, seed {seed}: {page}");
        // One of them names the first alone.
        assert_eq!(of_page.len() as u64, told.open, "{round}, seed {seed}: {page}");
        assert_eq!(of_page[..named.len()], named, "{round}, seed {seed}");
        open += told.open;
    }
    assert!(bad == folders.len() / 2 && open > 100 && leases > 10, "{bad} {open} {leases}");
}
