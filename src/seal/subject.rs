//! Whose data: a data subject's name in records, which tells whether two are the same and nothing else.
//!
//! The name is a keyed hash (HMAC-SHA-256, cut to 128 bits) of the value in the column that says whose a row
//! is, and of that column. The key comes from the oldest root key, so names can be compared across time,
//! nodes and new versions of the root key. `docs/RECORD.md` tells how to make one by hand.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::keyring::Keyring;

/// Bytes of a name.
const LENGTH: usize = 16;

/// Makes names of subjects. Wiped when dropped.
#[derive(Clone)]
pub struct SubjectKey(Hmac<Sha256>);

/// A data subject, by a name that holds no value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SubjectId(pub [u8; LENGTH]);

impl SubjectKey {
    /// That of a keyring. None: it holds no root key.
    #[must_use]
    pub fn of(keyring: &Keyring) -> Option<SubjectKey> {
        let secret = keyring.subject_secret()?;
        <Hmac<Sha256> as KeyInit>::new_from_slice(&*secret).ok().map(SubjectKey)
    }

    /// The name of whom a value stands for. `column`: `schema.table.column`; `canonical`: the value in its
    /// one canonical form.
    #[must_use]
    pub fn name(&self, column: &str, canonical: &[u8]) -> SubjectId {
        let mut mac = self.0.clone();
        mac.update(column.as_bytes());
        mac.update(&[0]);
        mac.update(canonical);
        let whole = mac.finalize().into_bytes();
        let mut id = [0; LENGTH];
        id.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        SubjectId(id)
    }
}

impl SubjectId {
    /// Its first bytes, which are as good as random.
    #[must_use]
    pub fn bits(&self) -> u64 {
        self.0.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }
}

impl fmt::Display for SubjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
