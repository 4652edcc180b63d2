//! Proxies around a store that forgets, repeats and reorders, without a network.

use std::collections::HashMap;

use super::*;
use crate::share::Fellows as _;
use crate::watch::{EndUser, Terms};

/// A proxy, and what it is told.
struct Proxy {
    fellows: Fellows,
    roster: Arc<Roster>,
}

/// By place, the latest; as a bucket has it.
type Store = HashMap<String, Vec<u8>>;

impl Proxy {
    fn new() -> Proxy {
        let roster: Arc<Roster> = Arc::default();
        let ties = Ties {
            roster: roster.clone(),
            watch: Arc::new(Watch::new(Vec::new())),
            alarm: Arc::new(Alarm::silent()),
            journal: None,
            started: Instant::now(),
        };
        Proxy { fellows: Fellows::new(ShareKey::new(&[1; 32]), ties, Arc::default()), roster }
    }

    /// Puts what it has to tell of holds; what it has put.
    fn tell(&mut self, store: &mut Store) -> Vec<Put> {
        let puts = self.fellows.tell(1_000);
        let puts: Vec<Put> = puts.into_iter().filter(|put| put.shelf == Shelf::Held).collect();
        for put in &puts {
            store.insert(put.place.clone(), put.bytes.clone());
            self.fellows.told(put);
        }
        puts
    }

    fn hear(&mut self, puts: &[Put]) {
        puts.iter().for_each(|put| self.fellows.hear(&put.place, &put.bytes));
    }

    fn hear_all(&mut self, store: &Store) {
        store.iter().for_each(|(place, bytes)| self.fellows.hear(place, bytes));
    }

    fn is_locked(&self) -> bool {
        self.roster.is_locked("ada", now_ms())
    }
}

fn ada() -> Whom {
    Whom::user(&"ada".into())
}

fn lock(proxy: &Proxy, ms: u64) {
    proxy.roster.restrain(&ada(), Restraint::Lock, now_ms() + ms, "i".into());
}

#[test]
fn a_release_takes_back_one_lock_and_no_newer_one_whatever_the_order() {
    let (mut first, mut second, mut store) = (Proxy::new(), Proxy::new(), Store::new());
    lock(&first, 60_000);
    let old = first.tell(&mut store);
    second.hear(&old);
    assert!(second.is_locked());
    // Both at once: the one is released there, and a longer one begins here.
    assert!(second.roster.release("ada", None, now_ms()));
    let release = second.tell(&mut store);
    lock(&first, 120_000);
    let new = first.tell(&mut store);
    assert_eq!((old.len(), release.len(), new.len()), (1, 1, 1));
    assert!(old[0].place == release[0].place && old[0].place == new[0].place);
    for order in [[&release, &new], [&new, &release]] {
        let mut third = Proxy::new();
        third.hear(&old);
        order.iter().for_each(|puts| third.hear(puts));
        assert!(third.is_locked(), "the newer one holds");
        third.hear(&old);
        assert!(third.is_locked());
    }
    first.hear(&release);
    assert!(first.is_locked());
    // The release lies where the newer one should, for whoever comes later: it is put there again.
    store.insert(release[0].place.clone(), release[0].bytes.clone());
    first.hear_all(&store);
    first.tell(&mut store);
    let mut late = Proxy::new();
    late.hear_all(&store);
    assert!(late.is_locked());
}

#[test]
fn what_was_taken_back_stays_so_where_the_store_shows_it_again() {
    let (mut first, mut second, mut store) = (Proxy::new(), Proxy::new(), Store::new());
    lock(&first, 60_000);
    let told = first.tell(&mut store);
    second.hear(&told);
    assert!(second.roster.release("ada", None, now_ms()));
    let release = second.tell(&mut store);
    first.hear(&release);
    assert!(!first.is_locked() && !second.is_locked());
    // As after a loss: the one that began it tells everything again, before it has heard of the release.
    store.insert(told[0].place.clone(), told[0].bytes.clone());
    second.hear_all(&store);
    assert!(!second.is_locked(), "known to be over");
    first.hear_all(&store);
    first.tell(&mut store);
    let mut late = Proxy::new();
    late.hear_all(&store);
    assert!(!late.is_locked(), "and said so again");
}

#[test]
fn what_makes_room_here_is_not_taken_back_elsewhere() {
    let (mut first, mut second, mut store) = (Proxy::new(), Proxy::new(), Store::new());
    let bob = EndUser { name: "bob".into(), proven: false };
    let whom = Whom { end_user: Some(bob), ..ada() };
    first.roster.restrain(&whom, Restraint::Refuse, now_ms() + 60_000, "i".into());
    let told = first.tell(&mut store);
    second.hear(&told);
    for number in 0..300 {
        let name = format!("e{number}").into();
        let whom = Whom { end_user: Some(EndUser { name, proven: false }), ..ada() };
        first.roster.restrain(&whom, Restraint::Refuse, now_ms() + 600_000, "i".into());
    }
    let bob = Who { user: "ada".into(), end_user: Some("bob".into()), ..Who::sealgate() };
    let holds = |proxy: &Proxy| Terms::of(&proxy.roster.held(now_ms()), &bob, now_ms()).refuse;
    assert!(!holds(&first), "it made room");
    let more = first.tell(&mut store);
    second.hear(&more);
    // What it has told comes back to it, too.
    first.hear(&told);
    let again = first.tell(&mut store);
    assert!(again.is_empty(), "nothing is taken back");
    let mut late = Proxy::new();
    late.fellows.hear(&told[0].place, &store[&told[0].place]);
    assert!(holds(&late));
}

#[test]
fn one_lock_of_each_proxy_holds_by_itself() {
    let (mut first, mut second, mut store) = (Proxy::new(), Proxy::new(), Store::new());
    lock(&first, 60_000);
    lock(&second, 90_000);
    let (one, other) = (first.tell(&mut store), second.tell(&mut store));
    first.hear(&other);
    second.hear(&one);
    assert_eq!((first.roster.held(now_ms()).len(), second.roster.held(now_ms()).len()), (2, 2));
    // An operator means all of it.
    assert!(first.roster.release("ada", None, now_ms()));
    let releases = first.tell(&mut store);
    assert_eq!(releases.len(), 2);
    second.hear(&releases);
    assert!(!second.is_locked());
}
