//! The arithmetic of RFC 5802 section 3 over SHA-256.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Length of every key, signature and proof.
pub const KEY_BYTES: usize = 32;
/// Block length of SHA-256: HMAC fills a shorter key up with zeros to it.
const BLOCK_BYTES: usize = 64;

pub type Key = [u8; KEY_BYTES];

/// A key in a place of its own, wiped when it is dropped. Whoever moves it moves a pointer: a key
/// that is moved itself leaves a copy on the stack.
pub type Kept = Box<Zeroizing<Key>>;

/// HMAC-SHA-256 over the parts as one text.
pub fn hmac(key: &Key, parts: &[&[u8]]) -> Key {
    let mut block = Zeroizing::new([0_u8; BLOCK_BYTES]);
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let mut hmac = Hmac::<Sha256>::new((&*block).into());
    for part in parts {
        hmac.update(part);
    }
    hmac.finalize().into_bytes().into()
}

pub fn sha256(bytes: &[u8]) -> Key {
    Sha256::digest(bytes).into()
}

/// Keeps a key, whose bytes are written where it stays.
pub fn kept(write: impl FnOnce(&mut Key)) -> Kept {
    let mut kept = Kept::default();
    write(&mut kept);
    kept
}

/// `a XOR b`: proof and key, whichever is known, by the signature.
pub fn xor(a: &Key, b: &Key) -> Kept {
    kept(|out| {
        for ((to, a), b) in out.iter_mut().zip(a).zip(b) {
            *to = a ^ b;
        }
    })
}
