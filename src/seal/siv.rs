//! AES-SIV (RFC 5297, `AEAD_AES_SIV_CMAC_512`) for the values of one domain, which all have the same
//! associated data: whatever is the same for each of them is worked out once. A library that is handed the
//! key for each value expands it each time, and puts name and header through CMAC once more, which for a
//! short value is most of the work.

use aes_gcm::KeyInit;
use aes_gcm::aes::cipher::consts::U16;
use aes_gcm::aes::cipher::{BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser};
use aes_gcm::aes::{Aes256, Block};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

pub(super) const KEY_LENGTH: usize = 64;
pub(super) const SIV_LENGTH: usize = 16;

/// Blocks of the key stream that are made at a time, of a short value and of others.
const SHORT_BLOCKS: usize = 8;
const LONG_BLOCKS: usize = 64;

/// Of a synthetic nonce these bits do not count where the key stream begins.
const COUNTER_MASK: u128 = !((1 << 63) | (1 << 31));

/// See the module's text. Blocks are numbers with the first byte on top.
pub(super) struct Siv {
    mac: Aes256,
    cipher: Aes256,
    /// What CMAC puts into the last block: of a whole one, and of one that is filled up.
    whole: u128,
    filled: u128,
    /// What S2V has come to before the plaintext.
    start: u128,
}

impl Siv {
    pub(super) fn new(key: &[u8; KEY_LENGTH], associated: &[u8]) -> Siv {
        let mut halves = Zeroizing::new([[0; KEY_LENGTH / 2]; 2]);
        halves.as_flattened_mut().copy_from_slice(key);
        let [mac, cipher] = &*halves;
        let (mac, cipher) = (Aes256::new(mac.into()), Aes256::new(cipher.into()));
        let whole = double(encrypt(&mac, 0));
        let mut siv = Siv { mac, cipher, whole, filled: double(whole), start: 0 };
        siv.start = double(siv.cmac(&[0; SIV_LENGTH])) ^ siv.cmac(associated);
        siv
    }

    /// Encrypts in place and returns the synthetic nonce.
    pub(super) fn encrypt(&self, bytes: &mut [u8]) -> [u8; SIV_LENGTH] {
        let siv = self.nonce_of(bytes);
        self.apply_stream(siv, bytes);
        siv.to_be_bytes()
    }

    /// Decrypts in place, then verifies. False: the bytes are as they were.
    pub(super) fn decrypt(&self, bytes: &mut [u8], siv: &[u8; SIV_LENGTH]) -> bool {
        let told = u128::from_be_bytes(*siv);
        self.apply_stream(told, bytes);
        let holds = bool::from(self.nonce_of(bytes).to_be_bytes().ct_eq(siv));
        if !holds {
            self.apply_stream(told, bytes);
        }
        holds
    }

    /// S2V of the associated data and this plaintext (RFC 5297, 2.4).
    fn nonce_of(&self, plain: &[u8]) -> u128 {
        let Some(before) = plain.len().checked_sub(SIV_LENGTH) else {
            return encrypt(&self.mac, double(self.start) ^ filled_up(plain) ^ self.whole);
        };
        // The last 16 bytes are mixed with what came before, wherever blocks begin.
        let behind = plain.len() % SIV_LENGTH;
        let (head, tail) = plain.split_at(before - behind);
        let mut last = Zeroizing::new([0; 2 * SIV_LENGTH]);
        for (byte, plain) in last.iter_mut().zip(tail) {
            *byte = *plain;
        }
        for (byte, start) in last.iter_mut().skip(behind).zip(self.start.to_be_bytes()) {
            *byte ^= start;
        }
        let mixed = last.get(..tail.len()).unwrap_or_default();
        self.mac_of(head, mixed)
    }

    fn cmac(&self, bytes: &[u8]) -> u128 {
        self.mac_of(&[], bytes)
    }

    /// CMAC of `head`, which is whole blocks, and of `tail` behind it; of nothing one block that is filled up.
    fn mac_of(&self, head: &[u8], tail: &[u8]) -> u128 {
        let (head, _) = head.as_chunks::<SIV_LENGTH>();
        let (between, last) = tail.split_at(tail.len().saturating_sub(1) / SIV_LENGTH * SIV_LENGTH);
        let (between, _) = between.as_chunks::<SIV_LENGTH>();
        let last = match <[u8; SIV_LENGTH]>::try_from(last) {
            Ok(block) => u128::from_be_bytes(block) ^ self.whole,
            Err(_) => filled_up(last) ^ self.filled,
        };
        let last = Zeroizing::new(last.to_be_bytes());
        let mut state = Block::default();
        let parts = [head, between, std::slice::from_ref(&*last)];
        self.mac.encrypt_with_backend(Absorb { state: &mut state, parts });
        let absorbed = u128::from_be_bytes(state.0);
        state.zeroize();
        absorbed
    }

    fn apply_stream(&self, siv: u128, bytes: &mut [u8]) {
        if bytes.len() <= SHORT_BLOCKS * SIV_LENGTH {
            self.apply_stream_by::<SHORT_BLOCKS>(siv, bytes);
        } else {
            self.apply_stream_by::<LONG_BLOCKS>(siv, bytes);
        }
    }

    /// So many blocks at a time.
    fn apply_stream_by<const BLOCKS: usize>(&self, siv: u128, bytes: &mut [u8]) {
        let mut counter = siv & COUNTER_MASK;
        let mut stream = [Block::default(); BLOCKS];
        for run in bytes.chunks_mut(BLOCKS * SIV_LENGTH) {
            let blocks = stream.get_mut(..run.len().div_ceil(SIV_LENGTH)).unwrap_or_default();
            for block in blocks.iter_mut() {
                *block = Block::from(counter.to_be_bytes());
                counter = counter.wrapping_add(1);
            }
            self.cipher.encrypt_blocks(blocks);
            let (whole, rest) = run.as_chunks_mut::<SIV_LENGTH>();
            for (part, key) in whole.iter_mut().zip(blocks.iter()) {
                *part = (u128::from_ne_bytes(*part) ^ u128::from_ne_bytes(key.0)).to_ne_bytes();
            }
            let key = blocks.get(whole.len()).into_iter().flat_map(|block| block.iter());
            for (byte, key) in rest.iter_mut().zip(key) {
                *byte ^= key;
            }
        }
    }
}

impl Drop for Siv {
    fn drop(&mut self) {
        self.whole.zeroize();
        self.filled.zeroize();
        self.start.zeroize();
    }
}

/// All blocks by one call: each puts the expanded key where the processor wants it.
struct Absorb<'a> {
    state: &'a mut Block,
    parts: [&'a [[u8; SIV_LENGTH]]; 3],
}

impl BlockSizeUser for Absorb<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Absorb<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        for block in self.parts.into_iter().flatten() {
            for (byte, own) in self.state.iter_mut().zip(block) {
                *byte ^= own;
            }
            backend.encrypt_block((&mut *self.state).into());
        }
    }
}

fn encrypt(cipher: &Aes256, block: u128) -> u128 {
    let mut block = Block::from(block.to_be_bytes());
    cipher.encrypt_block(&mut block);
    u128::from_be_bytes(block.0)
}

/// In the field of CMAC, without a branch on what is secret.
fn double(block: u128) -> u128 {
    (block << 1) ^ (0x87 & 0_u128.wrapping_sub(block >> 127))
}

/// A block of less than 16 bytes, with a bit behind them.
fn filled_up(bytes: &[u8]) -> u128 {
    let mut block = [0; SIV_LENGTH];
    for (place, byte) in block.iter_mut().zip(bytes.iter().chain(&[0x80])) {
        *place = *byte;
    }
    let filled = u128::from_be_bytes(block);
    block.zeroize();
    filled
}

#[cfg(test)]
mod tests {
    use aes_siv::siv::Aes256Siv;

    use super::*;

    /// A generator that gives the same in every run.
    fn bytes(count: usize, seed: &mut u64) -> Vec<u8> {
        let mut next = || {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*seed >> 56) as u8
        };
        (0..count).map(|_| next()).collect()
    }

    /// Of every length around the borders of blocks and of runs, against another implementation, which
    /// `seal::tests` holds against the vectors of RFC 5297.
    #[test]
    fn agrees_with_another_implementation_at_every_length_and_gives_back_what_was_sealed() {
        let mut seed = 17;
        for length in (0..300).chain([1_023, 1_024, 1_025, 65_537]) {
            let key: [u8; KEY_LENGTH] = bytes(KEY_LENGTH, &mut seed).try_into().unwrap();
            let associated = bytes(length % 70, &mut seed);
            let plain = bytes(length, &mut seed);
            let siv = Siv::new(&key, &associated);
            let mut sealed = plain.clone();
            let nonce = siv.encrypt(&mut sealed);
            let expected = Aes256Siv::new((&key).into()).encrypt([&associated], &plain).unwrap();
            assert_eq!([&nonce[..], &sealed].concat(), expected, "{length} bytes");
            assert!(siv.decrypt(&mut sealed, &nonce));
            assert_eq!(sealed, plain, "{length} bytes");
        }
    }

    #[test]
    fn what_was_changed_anywhere_does_not_open_and_stays_as_it_was() {
        let mut seed = 4;
        let key: [u8; KEY_LENGTH] = bytes(KEY_LENGTH, &mut seed).try_into().unwrap();
        for length in [1, 15, 16, 17, 31, 32, 33, 150] {
            let siv = Siv::new(&key, b"associated");
            let mut sealed = bytes(length, &mut seed);
            let nonce = siv.encrypt(&mut sealed);
            for bit in 0..8 * (SIV_LENGTH + length) {
                let (mut changed, mut told) = (sealed.clone(), nonce);
                match bit / 8 {
                    at @ 0..SIV_LENGTH => told[at] ^= 1 << (bit % 8),
                    at => changed[at - SIV_LENGTH] ^= 1 << (bit % 8),
                }
                let before = changed.clone();
                assert!(!siv.decrypt(&mut changed, &told), "bit {bit} of {length} bytes");
                assert_eq!(changed, before);
            }
            assert!(!Siv::new(&key, b"other").decrypt(&mut sealed.clone(), &nonce));
        }
    }
}
