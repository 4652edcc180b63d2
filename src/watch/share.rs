//! What proxies tell one another of the watch: who is locked out, who is let in again, and what was counted.
//!
//! Entries lie in a store that is not trusted. Each carries a code under a key that only the proxies have,
//! over the place where it lies, too: the store cannot make one, change one, or put one under another's
//! name. What it still can do is to hold entries back and to show old ones. An old release lets in only
//! whom it let in before, since it names one lock; an old lock ends with [`SKEW_MAX_MS`] after its time;
//! an old count is passed over where a newer one was heard.
//!
//! Users are named by keyed hashes: whoever reads the store learns how many there are, not who.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The form that is written and read here.
const FORM: u8 = 1;
const MAC_BYTES: usize = 32;
const INCIDENT_MAX: usize = 64;
/// As many as a window has, with the one that has just begun.
const SLOTS_MAX: usize = 61;
/// No entry is longer; longer ones are refused before anything of them is read.
pub const ENTRY_MAX: usize = 512;
/// The longest lock that another proxy may ask for, in milliseconds: a day.
pub const LOCK_MAX_MS: u64 = 86_400_000;
/// By how much clocks of proxies may differ before a lock of one is short on another, in milliseconds.
pub const SKEW_MAX_MS: u64 = 300_000;

/// A user's name under the key.
pub type UserTag = [u8; 16];

/// One lock: the proxy that made it, and that proxy's number for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LockId {
    pub sender: u64,
    pub number: u64,
}

/// What is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    Lock {
        lock: LockId,
        /// By the sender's clock, since the Unix epoch.
        until_ms: u64,
        /// How much of it was left when it was sent.
        left_ms: u64,
        /// At most 64 bytes.
        incident: String,
    },
    /// That lock, and no other, is over.
    Release { lock: LockId },
    /// What a window holds of one user.
    Count {
        /// The limit that counts, by its rule.
        limit: u64,
        slot_ms: u32,
        /// From the slot that has just begun to the oldest; at most 61.
        slots: Vec<u32>,
    },
}

/// An entry, as one proxy tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Drawn at random when a proxy starts.
    pub sender: u64,
    /// Grows with each entry of a sender.
    pub sequence: u64,
    pub user: UserTag,
    pub told: Told,
}

/// Why an entry is not heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unheard {
    /// Longer than [`ENTRY_MAX`], or too short to hold a code.
    Size,
    /// Its code is not that of the key, the place and the text.
    Forged,
    /// Ours by its code, in a form that is not known here, or out of bounds.
    Form,
}

/// The keys of those who share.
pub struct ShareKey {
    names: Zeroizing<[u8; 32]>,
    entries: Zeroizing<[u8; 32]>,
}

fn code(key: &[u8; 32], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0_u8; 64]);
    if let Some(start) = block.first_chunk_mut::<32>() {
        *start = *key;
    }
    let mut hmac = Hmac::<Sha256>::new((&*block).into());
    for part in parts {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        hmac.update(&length.to_be_bytes());
        hmac.update(part);
    }
    hmac
}

impl ShareKey {
    /// Keys for names and for entries, each for itself, from one secret.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> ShareKey {
        let derive = |label: &[u8]| Zeroizing::new(code(secret, &[label]).finalize().into_bytes().into());
        ShareKey { names: derive(b"sealgate share names"), entries: derive(b"sealgate share entries") }
    }

    /// The name under which others hear of a user.
    #[must_use]
    pub fn user(&self, name: &str) -> UserTag {
        let whole: [u8; 32] = code(&self.names, &[name.as_bytes()]).finalize().into_bytes().into();
        whole.first_chunk().copied().unwrap_or_default()
    }

    /// The bytes to put at a place. None where the entry is out of its bounds.
    #[must_use]
    pub fn write(&self, place: &str, entry: &Entry) -> Option<Vec<u8>> {
        if !entry.told.is_bounded() {
            return None;
        }
        let mut text = vec![FORM];
        text.extend(entry.sender.to_be_bytes());
        text.extend(entry.sequence.to_be_bytes());
        text.extend(entry.user);
        entry.told.write(&mut text);
        let mac = code(&self.entries, &[place.as_bytes(), &text]).finalize().into_bytes();
        text.extend(mac);
        (text.len() <= ENTRY_MAX).then_some(text)
    }

    /// What lies at a place.
    ///
    /// # Errors
    ///
    /// Whatever no holder of the key has put there, in bounds.
    pub fn read(&self, place: &str, bytes: &[u8]) -> Result<Entry, Unheard> {
        if bytes.len() > ENTRY_MAX {
            return Err(Unheard::Size);
        }
        let (text, mac) = bytes.split_last_chunk::<MAC_BYTES>().ok_or(Unheard::Size)?;
        code(&self.entries, &[place.as_bytes(), text]).verify_slice(mac).map_err(|_| Unheard::Forged)?;
        parse(text).filter(|entry| entry.told.is_bounded()).ok_or(Unheard::Form)
    }
}

impl Told {
    fn is_bounded(&self) -> bool {
        match self {
            Told::Lock { left_ms, incident, .. } => *left_ms <= LOCK_MAX_MS && incident.len() <= INCIDENT_MAX,
            Told::Release { .. } => true,
            Told::Count { slot_ms, slots, .. } => *slot_ms > 0 && slots.len() <= SLOTS_MAX,
        }
    }

    fn write(&self, text: &mut Vec<u8>) {
        match self {
            Told::Lock { lock, until_ms, left_ms, incident } => {
                text.push(b'L');
                for number in [lock.sender, lock.number, *until_ms, *left_ms] {
                    text.extend(number.to_be_bytes());
                }
                text.extend(incident.as_bytes());
            }
            Told::Release { lock } => {
                text.push(b'R');
                text.extend(lock.sender.to_be_bytes());
                text.extend(lock.number.to_be_bytes());
            }
            Told::Count { limit, slot_ms, slots } => {
                text.push(b'C');
                text.extend(limit.to_be_bytes());
                text.extend(slot_ms.to_be_bytes());
                slots.iter().for_each(|slot| text.extend(slot.to_be_bytes()));
            }
        }
    }

    /// Until when a lock that is heard at a time holds here, by the clock here: no longer than was left of
    /// it, and not past its end by more than clocks may differ. None for what is no lock.
    #[must_use]
    pub fn locked_until(&self, now_ms: u64) -> Option<u64> {
        match self {
            Told::Lock { until_ms, left_ms, .. } => {
                Some(now_ms.saturating_add(*left_ms).min(until_ms.saturating_add(SKEW_MAX_MS)))
            }
            Told::Release { .. } | Told::Count { .. } => None,
        }
    }

    /// What a count still adds to a window so long after it was heard. Only the clock here is asked, so a
    /// sender that is gone is forgotten in the course of one window.
    #[must_use]
    pub fn counted(&self, window_ms: u64, since_heard_ms: u64) -> u64 {
        match self {
            Told::Count { slot_ms, slots, .. } => {
                let starts = (0_u64..).map(|age| age.saturating_mul(u64::from(*slot_ms)));
                let fresh = |age: &u64| age.saturating_add(since_heard_ms) <= window_ms;
                let fresh = starts.zip(slots).take_while(|(age, _)| fresh(age));
                fresh.map(|(_, slot)| u64::from(*slot)).sum()
            }
            Told::Lock { .. } | Told::Release { .. } => 0,
        }
    }
}

fn number(text: &mut &[u8]) -> Option<u64> {
    let (number, rest) = text.split_first_chunk()?;
    *text = rest;
    Some(u64::from_be_bytes(*number))
}

fn parse(text: &[u8]) -> Option<Entry> {
    let (form, mut rest) = text.split_first()?;
    if *form != FORM {
        return None;
    }
    let (sender, sequence) = (number(&mut rest)?, number(&mut rest)?);
    let (user, rest) = rest.split_first_chunk()?;
    let (kind, mut rest) = rest.split_first()?;
    let told = match kind {
        b'L' => Told::Lock {
            lock: LockId { sender: number(&mut rest)?, number: number(&mut rest)? },
            until_ms: number(&mut rest)?,
            left_ms: number(&mut rest)?,
            incident: String::from_utf8(rest.to_vec()).ok()?,
        },
        b'R' => {
            let lock = LockId { sender: number(&mut rest)?, number: number(&mut rest)? };
            if !rest.is_empty() {
                return None;
            }
            Told::Release { lock }
        }
        b'C' => {
            let limit = number(&mut rest)?;
            let (slot_ms, rest) = rest.split_first_chunk()?;
            let (slots, odd) = rest.as_chunks::<4>();
            if !odd.is_empty() {
                return None;
            }
            let slots = slots.iter().map(|slot| u32::from_be_bytes(*slot)).collect();
            Told::Count { limit, slot_ms: u32::from_be_bytes(*slot_ms), slots }
        }
        _ => return None,
    };
    Some(Entry { sender, sequence, user: *user, told })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &ShareKey, told: Told) -> Entry {
        Entry { sender: 7, sequence: 1, user: key.user("ada"), told }
    }

    fn lock() -> Told {
        let lock = LockId { sender: 7, number: 3 };
        Told::Lock { lock, until_ms: 61_000, left_ms: 60_000, incident: "i-1".into() }
    }

    #[test]
    fn what_is_written_is_read_at_its_place_and_by_its_key_only() {
        let (key, other) = (ShareKey::new(&[1; 32]), ShareKey::new(&[2; 32]));
        let release = Told::Release { lock: LockId { sender: 7, number: 3 } };
        let count = Told::Count { limit: 9, slot_ms: 1_000, slots: vec![5; SLOTS_MAX] };
        for told in [lock(), release, count] {
            let entry = entry(&key, told);
            let bytes = key.write("a.b", &entry).unwrap();
            assert_eq!(key.read("a.b", &bytes), Ok(entry));
            assert_eq!(key.read("a.c", &bytes), Err(Unheard::Forged), "moved");
            assert_eq!(other.read("a.b", &bytes), Err(Unheard::Forged), "another key");
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 1;
                assert_eq!(key.read("a.b", &changed), Err(Unheard::Forged), "byte {at}");
            }
        }
        assert_ne!(key.user("ada"), other.user("ada"));
    }

    #[test]
    fn garbage_and_what_is_out_of_bounds_is_not_heard() {
        let key = ShareKey::new(&[1; 32]);
        for length in [0, 1, 31, ENTRY_MAX + 1] {
            assert_eq!(key.read("a", &vec![0; length]), Err(Unheard::Size));
        }
        assert_eq!(key.read("a", &[0; 32]), Err(Unheard::Forged));
        let told = Told::Count { limit: 9, slot_ms: 1, slots: vec![0; SLOTS_MAX + 1] };
        assert_eq!(key.write("a", &entry(&key, told)), None);
        for text in [&[][..], &[FORM], &[FORM + 1; 40], &[FORM; 40]] {
            let mut bytes = text.to_vec();
            bytes.extend(code(&key.entries, &[b"a", text]).finalize().into_bytes());
            assert_eq!(key.read("a", &bytes), Err(Unheard::Form));
        }
    }

    #[test]
    fn a_lock_holds_as_long_as_was_left_whatever_the_clock_and_an_old_one_not_for_long() {
        assert_eq!(lock().locked_until(1_000), Some(61_000));
        assert_eq!(lock().locked_until(200_000), Some(260_000), "a clock that is ahead");
        assert_eq!(lock().locked_until(0), Some(60_000), "a clock that is behind");
        assert_eq!(lock().locked_until(9_000_000), Some(361_000), "shown again long after: in the past");
    }

    #[test]
    fn counts_of_others_leave_the_window_by_the_clock_here() {
        let told = Told::Count { limit: 9, slot_ms: 1_000, slots: vec![1, 10, 100] };
        assert_eq!(told.counted(2_000, 0), 111);
        assert_eq!(told.counted(2_000, 1), 11);
        assert_eq!(told.counted(2_000, 2_000), 1);
        assert_eq!(told.counted(2_000, 2_001), 0);
    }
}
