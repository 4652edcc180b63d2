//! What proxies tell one another of the watch: what is held against whom, what was taken back, and what was
//! counted.
//!
//! Entries lie in a store that is not trusted. Each is sealed under a key that only the proxies have, together
//! with the place where it lies: the store cannot read one, make one, change one, or put one under another's
//! name. What it still can do is to hold entries back and to show old ones. An old release takes back only
//! what it took back before, since it names one lock; an old lock ends with [`SKEW_MAX_MS`] after its time;
//! an old count is passed over where a newer one was heard, and counts for one window at the most.
//!
//! Places are keyed hashes, and entries have few lengths: whoever reads the store learns about how many users
//! there are, not who.

use std::sync::Arc;

use aes_siv::siv::Aes256Siv;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::restraint::Restraint;
use super::whom::{EndUser, Whom};

/// The form that is written and read here.
const FORM: u8 = 1;
/// An entry's own code.
const CODE_BYTES: usize = 16;
/// What is told of a data subject's name.
const MARK_BYTES: usize = 5;
/// Entries are as long as a multiple of this, and their code.
const PAD_BYTES: usize = 256;
const INCIDENT_BYTES_MAX: usize = 256;
/// Longest name of a user or end user, in bytes.
const NAME_BYTES_MAX: usize = 1_024;
/// As many as a window has, with the one that has just begun.
const SLOTS_MAX: usize = 61;
/// Data subjects of one window: more than any limit speaks of.
pub const MET_MAX: usize = 2_048;
/// No entry is longer; longer ones are refused before anything of them is read.
pub const ENTRY_MAX: usize = 54 * PAD_BYTES + CODE_BYTES;
/// The longest that another proxy may have something held here, in milliseconds: 30 days.
pub const LOCK_MAX_MS: u64 = 30 * 86_400_000;
/// By how much clocks of proxies may differ before a lock of one is short on another, in milliseconds.
pub const SKEW_MAX_MS: u64 = 300_000;

/// Something that is held against somebody: the proxy that began it, and that proxy's number for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct LockId {
    pub sender: u64,
    pub number: u64,
}

/// What is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    Hold {
        lock: LockId,
        restraint: Restraint,
        /// By the sender's clock, since the Unix epoch.
        until_ms: u64,
        /// How much of it was left when it was sent.
        left_ms: u64,
        incident: Arc<str>,
    },
    /// That one, and no other, is over.
    Release { lock: LockId, restraint: Restraint },
    /// What a window holds of somebody.
    Count {
        /// Which window; the same for all proxies that count alike.
        span: u64,
        slot_ms: u32,
        /// From the slot that has just begun to the oldest; at most 61.
        slots: Vec<u32>,
        /// Of data subjects: 40 bits of the names of those that are known, and in which slot each was shown last;
        /// at most [`MET_MAX`].
        met: Vec<(u64, u8)>,
    },
    /// Only that the sender is there.
    Beat,
}

/// An entry, as one proxy tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Drawn at random when a proxy starts.
    pub sender: u64,
    /// Grows with each entry of a sender.
    pub sequence: u64,
    /// By the sender's clock, since the Unix epoch.
    pub told_ms: u64,
    pub whom: Whom,
    pub told: Told,
}

/// Why an entry is not heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unheard {
    /// Longer than [`ENTRY_MAX`], or too short to be one.
    Size,
    /// No holder of the key has put it there.
    Forged,
    /// One of ours, in a form that is not known here, or out of bounds.
    Form,
}

/// The keys of those who share.
pub struct ShareKey {
    places: Zeroizing<[u8; 32]>,
    entries: Zeroizing<[u8; 64]>,
}

fn code(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
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
    hmac.finalize().into_bytes().into()
}

impl ShareKey {
    /// Keys for places and for entries, each for itself, from one secret.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> ShareKey {
        let mut entries = Zeroizing::new([0; 64]);
        let halves = [&b"sealgate share entries 1"[..], b"sealgate share entries 2"];
        for (half, label) in entries.as_chunks_mut::<32>().0.iter_mut().zip(halves) {
            *half = code(secret, &[label]);
        }
        ShareKey { places: Zeroizing::new(code(secret, &[b"sealgate share places"])), entries }
    }

    /// From 32 bytes in base64, as `openssl rand -base64 32` writes them. None: it is something else.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<ShareKey> {
        let text = Some(text.trim()).filter(|text| text.len() <= 64)?;
        let bytes = Zeroizing::new(BASE64_STANDARD.decode(text).ok()?);
        bytes.as_slice().try_into().ok().map(ShareKey::new)
    }

    /// The one place of what a sender tells of somebody, for each kind of it: 32 hexadecimal digits. Of what is
    /// held and of its release it is the same.
    #[must_use]
    pub fn place(&self, sender: u64, whom: &Whom, told: &Told) -> String {
        let (sender, kind, which) = match told {
            Told::Hold { lock, restraint, .. } | Told::Release { lock, restraint } => {
                (lock.sender, b"hold", u64::from(restraint_code(*restraint).0))
            }
            Told::Count { span, .. } => (sender, b"many", *span),
            Told::Beat => (sender, b"beat", 0),
        };
        let (mark, name) = marked(whom);
        let parts =
            [&kind[..], &sender.to_be_bytes(), &which.to_be_bytes(), whom.user.as_bytes(), &[mark], name];
        let whole = code(&self.places, &parts);
        whole.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The bytes to put at a place. None where the entry is out of its bounds.
    #[must_use]
    pub fn write(&self, place: &str, entry: &Entry) -> Option<Vec<u8>> {
        if !entry.is_bounded() {
            return None;
        }
        let mut text = vec![0, 0, FORM];
        for number in [entry.sender, entry.sequence, entry.told_ms] {
            text.extend(number.to_be_bytes());
        }
        let (mark, name) = marked(&entry.whom);
        put_text(&mut text, entry.whom.user.as_bytes())?;
        text.push(mark);
        put_text(&mut text, name)?;
        entry.told.write(&mut text)?;
        let length = u16::try_from(text.len()).ok()?.to_be_bytes();
        text.get_mut(..2)?.copy_from_slice(&length);
        text.resize(text.len().next_multiple_of(PAD_BYTES), 0);
        let sealed = Aes256Siv::new((&*self.entries).into()).encrypt([place.as_bytes()], &text).ok()?;
        (sealed.len() <= ENTRY_MAX).then_some(sealed)
    }

    /// What lies at a place.
    ///
    /// # Errors
    ///
    /// Whatever no holder of the key has put there, in bounds.
    pub fn read(&self, place: &str, bytes: &[u8]) -> Result<Entry, Unheard> {
        if bytes.len() > ENTRY_MAX || bytes.len() < CODE_BYTES {
            return Err(Unheard::Size);
        }
        let mut siv = Aes256Siv::new((&*self.entries).into());
        let text = siv.decrypt([place.as_bytes()], bytes).map_err(|_| Unheard::Forged)?;
        parse(&text).filter(Entry::is_bounded).ok_or(Unheard::Form)
    }
}

fn marked(whom: &Whom) -> (u8, &[u8]) {
    match &whom.end_user {
        None => (0, b""),
        Some(end_user) => (if end_user.proven { 2 } else { 1 }, end_user.name.as_bytes()),
    }
}

/// One letter for each, and the measure.
fn restraint_code(restraint: Restraint) -> (u8, u32) {
    match restraint {
        Restraint::Lock => (b'L', 0),
        Restraint::Refuse => (b'R', 0),
        Restraint::Purpose => (b'P', 0),
        Restraint::Throttle { delay_ms } => (b'T', u32::try_from(delay_ms).unwrap_or(u32::MAX)),
    }
}

fn put_text(into: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    into.extend(u16::try_from(text.len()).ok()?.to_be_bytes());
    into.extend(text);
    Some(())
}

fn put_restraint(into: &mut Vec<u8>, restraint: Restraint) {
    let (letter, delay_ms) = restraint_code(restraint);
    into.push(letter);
    into.extend(delay_ms.to_be_bytes());
}

impl Entry {
    fn is_bounded(&self) -> bool {
        let names = self.whom.user.len() + self.whom.end_user.as_ref().map_or(0, |end| end.name.len());
        names <= NAME_BYTES_MAX
            && match &self.told {
                Told::Hold { left_ms, incident, .. } => {
                    *left_ms <= LOCK_MAX_MS && incident.len() <= INCIDENT_BYTES_MAX
                }
                Told::Count { slot_ms, slots, met, .. } => {
                    *slot_ms > 0 && slots.len() <= SLOTS_MAX && met.len() <= MET_MAX
                }
                Told::Release { .. } | Told::Beat => true,
            }
    }

    /// For how long it has surely been told already, by a clock here.
    #[must_use]
    pub fn age_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.told_ms).saturating_sub(SKEW_MAX_MS)
    }
}

impl Told {
    fn write(&self, text: &mut Vec<u8>) -> Option<()> {
        match self {
            Told::Hold { lock, restraint, until_ms, left_ms, incident } => {
                text.push(b'H');
                for number in [lock.sender, lock.number, *until_ms, *left_ms] {
                    text.extend(number.to_be_bytes());
                }
                put_restraint(text, *restraint);
                put_text(text, incident.as_bytes())?;
            }
            Told::Release { lock, restraint } => {
                text.push(b'R');
                text.extend(lock.sender.to_be_bytes());
                text.extend(lock.number.to_be_bytes());
                put_restraint(text, *restraint);
            }
            Told::Count { span, slot_ms, slots, met } => {
                text.push(b'C');
                text.extend(span.to_be_bytes());
                text.extend(slot_ms.to_be_bytes());
                text.extend(u16::try_from(slots.len()).ok()?.to_be_bytes());
                slots.iter().for_each(|slot| text.extend(slot.to_be_bytes()));
                text.extend(u16::try_from(met.len()).ok()?.to_be_bytes());
                for (mark, age) in met {
                    text.extend(mark.to_be_bytes().last_chunk::<MARK_BYTES>()?);
                    text.push(*age);
                }
            }
            Told::Beat => text.push(b'B'),
        }
        Some(())
    }

    /// Until when what is heard at a time holds here, by the clock here: no longer than was left of
    /// it, and not past its end by more than clocks may differ. None for what holds nothing.
    #[must_use]
    pub fn held_until(&self, now_ms: u64) -> Option<u64> {
        match self {
            Told::Hold { until_ms, left_ms, .. } => {
                Some(now_ms.saturating_add(*left_ms).min(until_ms.saturating_add(SKEW_MAX_MS)))
            }
            Told::Release { .. } | Told::Count { .. } | Told::Beat => None,
        }
    }

    /// What a count still adds to a window so long after it was told: with the slot that the window has begun to
    /// leave, as at the sender. Only the clock here is asked for what was heard here, so a sender that is gone is
    /// forgotten in the course of one window.
    #[must_use]
    pub fn counted(&self, window_ms: u64, since_ms: u64) -> u64 {
        match self {
            Told::Count { slot_ms, slots, .. } => {
                let ages = (0_u64..).zip(slots);
                let fresh = ages.take_while(|(age, _)| is_fresh(*age, *slot_ms, window_ms, since_ms));
                fresh.map(|(_, slot)| u64::from(*slot)).sum()
            }
            Told::Hold { .. } | Told::Release { .. } | Told::Beat => 0,
        }
    }

    /// The marks of the data subjects that are still in it.
    pub fn met(&self, window_ms: u64, since_ms: u64) -> impl Iterator<Item = u64> {
        let (met, slot_ms) = match self {
            Told::Count { met, slot_ms, .. } => (met.as_slice(), *slot_ms),
            Told::Hold { .. } | Told::Release { .. } | Told::Beat => (&[][..], 1),
        };
        let fresh = move |(_, age): &&(u64, u8)| is_fresh((*age).into(), slot_ms, window_ms, since_ms);
        met.iter().filter(fresh).map(|(mark, _)| *mark)
    }
}

fn is_fresh(age: u64, slot_ms: u32, window_ms: u64, since_ms: u64) -> bool {
    let slot_ms = u64::from(slot_ms);
    age.saturating_mul(slot_ms).saturating_add(since_ms) <= window_ms.saturating_add(slot_ms)
}

/// What is left of a text.
struct Rest<'t>(&'t [u8]);

impl<'t> Rest<'t> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn short(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn met(&mut self) -> Option<(u64, u8)> {
        let [mark @ .., age] = self.take::<{ MARK_BYTES + 1 }>()?;
        Some((mark.iter().fold(0, |mark, byte| mark << 8 | u64::from(*byte)), age))
    }

    fn text(&mut self) -> Option<&'t str> {
        let length = usize::from(u16::from_be_bytes(self.take()?));
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    fn restraint(&mut self) -> Option<Restraint> {
        let ([letter], delay_ms) = (self.take()?, self.short()?);
        match letter {
            b'L' => Some(Restraint::Lock),
            b'R' => Some(Restraint::Refuse),
            b'P' => Some(Restraint::Purpose),
            b'T' => Some(Restraint::Throttle { delay_ms: delay_ms.into() }),
            _ => None,
        }
    }

    fn lock(&mut self) -> Option<LockId> {
        Some(LockId { sender: self.number()?, number: self.number()? })
    }
}

fn parse(text: &[u8]) -> Option<Entry> {
    let (length, _) = text.split_first_chunk()?;
    let mut rest = Rest(text.get(2..usize::from(u16::from_be_bytes(*length)))?);
    if rest.take()? != [FORM] {
        return None;
    }
    let (sender, sequence, told_ms) = (rest.number()?, rest.number()?, rest.number()?);
    let user = rest.text()?.into();
    let [mark] = rest.take()?;
    let name: Arc<str> = rest.text()?.into();
    let end_user = match mark {
        0 => None,
        1 => Some(EndUser { name, proven: false }),
        2 => Some(EndUser { name, proven: true }),
        _ => return None,
    };
    let told = match rest.take()? {
        [b'H'] => {
            let (lock, until_ms, left_ms) = (rest.lock()?, rest.number()?, rest.number()?);
            let restraint = rest.restraint()?;
            Told::Hold { lock, restraint, until_ms, left_ms, incident: rest.text()?.into() }
        }
        [b'R'] => Told::Release { lock: rest.lock()?, restraint: rest.restraint()? },
        [b'C'] => {
            let (span, slot_ms) = (rest.number()?, rest.short()?);
            let count = usize::from(u16::from_be_bytes(rest.take()?));
            let slots: Option<Vec<u32>> = (0..count.min(SLOTS_MAX + 1)).map(|_| rest.short()).collect();
            let slots = slots?;
            let count = usize::from(u16::from_be_bytes(rest.take()?));
            let met: Option<Vec<(u64, u8)>> = (0..count.min(MET_MAX + 1)).map(|_| rest.met()).collect();
            Told::Count { span, slot_ms, slots, met: met? }
        }
        [b'B'] => Told::Beat,
        _ => return None,
    };
    rest.0.is_empty().then_some(Entry { sender, sequence, told_ms, whom: Whom { user, end_user }, told })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(told: Told) -> Entry {
        let whom = Whom::user(&"ada".into());
        Entry { sender: 7, sequence: 1, told_ms: 5, whom, told }
    }

    fn lock() -> Told {
        let lock = LockId { sender: 7, number: 3 };
        Told::Hold {
            lock,
            restraint: Restraint::Lock,
            until_ms: 61_000,
            left_ms: 60_000,
            incident: "i".into(),
        }
    }

    #[test]
    fn what_is_written_is_read_at_its_place_and_by_its_key_only() {
        let (key, other) = (ShareKey::new(&[1; 32]), ShareKey::new(&[2; 32]));
        let release = Told::Release { lock: LockId { sender: 7, number: 3 }, restraint: Restraint::Lock };
        let met = (0..MET_MAX as u64).map(|mark| (mark << 28, 60)).collect();
        let count = Told::Count { span: 9, slot_ms: 1_000, slots: vec![5; SLOTS_MAX], met };
        let slow = Told::Hold {
            lock: LockId { sender: 1, number: 2 },
            restraint: Restraint::Throttle { delay_ms: 1_500 },
            until_ms: 3,
            left_ms: 4,
            incident: "x".repeat(INCIDENT_BYTES_MAX).into(),
        };
        for told in [lock(), release, count, slow, Told::Beat] {
            let mut entry = entry(told);
            for end_user in [None, Some(false), Some(true)] {
                entry.whom.end_user = end_user.map(|proven| EndUser { name: "bob \u{e4}".into(), proven });
                let bytes = key.write("a.b", &entry).unwrap();
                assert_eq!(key.read("a.b", &bytes), Ok(entry.clone()));
                assert_eq!(key.read("a.c", &bytes), Err(Unheard::Forged), "moved");
                assert_eq!(other.read("a.b", &bytes), Err(Unheard::Forged), "another key");
                let holds = |name: &[u8]| bytes.windows(name.len()).any(|window| window == name);
                assert!(!holds(b"ada") && !holds(b"bob"), "no name lies there");
                for at in (0..bytes.len()).step_by(bytes.len().div_ceil(40)) {
                    let mut changed = bytes.clone();
                    changed[at] ^= 1;
                    assert_eq!(key.read("a.b", &changed), Err(Unheard::Forged), "byte {at}");
                }
            }
        }
    }

    #[test]
    fn places_differ_by_whom_and_by_what_and_say_neither() {
        let (key, ada) = (ShareKey::new(&[1; 32]), Whom::user(&"ada".into()));
        let of = |name: &str, proven| Whom {
            end_user: Some(EndUser { name: name.into(), proven }),
            ..ada.clone()
        };
        let mut places: Vec<String> = [ada.clone(), of("", false), of("bob", false), of("bob", true)]
            .iter()
            .flat_map(|whom| [Told::Beat, lock()].map(|told| key.place(7, whom, &told)))
            .chain([key.place(8, &ada, &Told::Beat)])
            .collect();
        assert!(
            places
                .iter()
                .all(|place| place.len() == 32 && place.bytes().all(|byte| byte.is_ascii_hexdigit()))
        );
        let release = Told::Release { lock: LockId { sender: 7, number: 9 }, restraint: Restraint::Lock };
        assert_eq!(key.place(8, &ada, &release), places[1], "in the place of what it takes back");
        places.sort();
        places.dedup();
        assert_eq!(places.len(), 9);
    }

    #[test]
    fn garbage_and_what_is_out_of_bounds_is_not_heard() {
        let key = ShareKey::new(&[1; 32]);
        for length in [0, 1, 15, ENTRY_MAX + 1] {
            assert_eq!(key.read("a", &vec![0; length]), Err(Unheard::Size));
        }
        for length in [16, 17, 272, ENTRY_MAX] {
            assert_eq!(key.read("a", &vec![7; length]), Err(Unheard::Forged));
        }
        for (slots, met) in [(SLOTS_MAX + 1, 0), (0, MET_MAX + 1)] {
            let told = Told::Count { span: 9, slot_ms: 1, slots: vec![0; slots], met: vec![(1, 1); met] };
            assert_eq!(key.write("a", &entry(told)), None);
        }
        let mut long = entry(Told::Beat);
        long.whom.user = "u".repeat(NAME_BYTES_MAX + 1).into();
        assert_eq!(key.write("a", &long), None);
        let sealed = |text: &[u8]| Aes256Siv::new((&*key.entries).into()).encrypt([b"a"], text).unwrap();
        for text in [&[][..], &[FORM], &[0, 40, FORM + 1], &[FORM; 40], &[0, 2], &[0, 0, FORM]] {
            assert_eq!(key.read("a", &sealed(text)), Err(Unheard::Form));
        }
        // Whatever stands behind the length is heeded by nobody, whatever within is read to its end.
        for told in [lock(), Told::Beat] {
            let text = Aes256Siv::new((&*key.entries).into())
                .decrypt([b"a"], &key.write("a", &entry(told)).unwrap())
                .unwrap();
            for length in 0..text.len() {
                assert!(parse(&text[..length]).is_none_or(|read| read.sender == 7));
            }
            let mut longer = text.clone();
            longer[1] += 1;
            assert_eq!(parse(&longer), None);
        }
    }

    #[test]
    fn a_lock_holds_as_long_as_was_left_whatever_the_clock_and_an_old_one_not_for_long() {
        assert_eq!(lock().held_until(1_000), Some(61_000));
        assert_eq!(lock().held_until(200_000), Some(260_000), "a clock that is ahead");
        assert_eq!(lock().held_until(0), Some(60_000), "a clock that is behind");
        assert_eq!(lock().held_until(9_000_000), Some(361_000), "shown again long after: in the past");
    }

    #[test]
    fn counts_of_others_leave_the_window_by_the_clock_here() {
        let met = vec![(7, 0), (8, 1), (9, 2)];
        let told = Told::Count { span: 9, slot_ms: 1_000, slots: vec![1, 10, 100], met };
        assert_eq!(told.counted(2_000, 0), 111);
        assert_eq!((told.counted(2_000, 1_000), told.counted(2_000, 1_001)), (111, 11));
        assert_eq!((told.counted(2_000, 3_000), told.counted(2_000, 3_001)), (1, 0));
        assert_eq!(told.met(2_000, 1_001).collect::<Vec<_>>(), [7, 8]);
        assert_eq!((entry(told.clone()).age_ms(4), entry(told).age_ms(SKEW_MAX_MS + 9)), (0, 4));
    }
}
