//! XAES-256-GCM (C2SP): AES-256-GCM with a 192-bit nonce, under a key derived from the
//! first half of the nonce. <https://c2sp.org/XAES-256-GCM>
//!
//! The derived key is a value of its own here, since a writer keeps the first half of the
//! nonce for an epoch and both sides may then keep the derived key.

use aes_gcm::aes::cipher::BlockCipherEncrypt;
use aes_gcm::aes::{Aes256, Block};
use aes_gcm::{AeadInOut, Aes256Gcm, Error, Key, KeyInit, Nonce, Tag};
use zeroize::{Zeroize, Zeroizing};

pub(super) const KEY_LENGTH: usize = 32;
pub(super) const TAG_LENGTH: usize = 16;

/// Bytes of the nonce from which the key is derived, and bytes that are left.
pub(super) const HALF_NONCE_LENGTH: usize = 12;

/// A key of XAES-256-GCM, ready to derive from.
pub(super) struct Xaes {
    cipher: Aes256,
    /// The CMAC subkey K1.
    subkey: Zeroizing<[u8; 16]>,
}

impl Xaes {
    pub(super) fn new(key: &[u8; KEY_LENGTH]) -> Xaes {
        let cipher = Aes256::new(key.into());
        let mut block = Block::default();
        cipher.encrypt_block(&mut block);
        let doubled = u128::from_be_bytes(block.0) << 1;
        let carry = if block.0.first().is_some_and(|byte| byte & 0x80 != 0) { 0x87 } else { 0 };
        block.zeroize();
        Xaes { cipher, subkey: Zeroizing::new((doubled ^ carry).to_be_bytes()) }
    }

    /// The AES-256-GCM key for every nonce that begins with `half`.
    pub(super) fn derive(&self, half: &[u8; HALF_NONCE_LENGTH]) -> EpochKey {
        let mut key = Key::<Aes256Gcm>::default();
        for (counter, part) in [1, 2].into_iter().zip(key.chunks_exact_mut(16)) {
            let mut block = Block::default();
            let prefix = [0, counter, b'X', 0];
            let message = prefix.iter().chain(half);
            for ((byte, subkey), message) in block.iter_mut().zip(self.subkey.iter()).zip(message) {
                *byte = subkey ^ message;
            }
            self.cipher.encrypt_block(&mut block);
            part.copy_from_slice(&block);
            block.zeroize();
        }
        let epoch = EpochKey(Aes256Gcm::new(&key));
        key.zeroize();
        epoch
    }
}

/// AES-256-GCM under a derived key; its nonces are the second halves.
pub(super) struct EpochKey(Aes256Gcm);

impl EpochKey {
    /// Encrypts in place and returns the tag. The only error is a length beyond GCM's.
    pub(super) fn encrypt(
        &self,
        half: &[u8; HALF_NONCE_LENGTH],
        associated: &[u8],
        bytes: &mut [u8],
    ) -> Result<[u8; TAG_LENGTH], Error> {
        self.0.encrypt_inout_detached(<&Nonce<_>>::from(half), associated, bytes.into()).map(Into::into)
    }

    /// Verifies, then decrypts in place. On error the bytes are as they were.
    pub(super) fn decrypt(
        &self,
        half: &[u8; HALF_NONCE_LENGTH],
        associated: &[u8],
        bytes: &mut [u8],
        tag: &[u8; TAG_LENGTH],
    ) -> Result<(), Error> {
        self.0.decrypt_inout_detached(<&Nonce<_>>::from(half), associated, bytes.into(), <&Tag<_>>::from(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The two vectors of the C2SP document; the second takes the other branch of the
    /// subkey's doubling.
    #[test]
    fn agrees_with_the_published_vectors() {
        let cases: [(u8, &[u8], &str); 2] = [
            (1, b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
            (3, b"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
        ];
        for (key, associated, expected) in cases {
            let epoch = Xaes::new(&[key; 32]).derive(b"ABCDEFGHIJKL");
            let mut bytes = *b"XAES-256-GCM";
            let tag = epoch.encrypt(b"MNOPQRSTUVWX", associated, &mut bytes).unwrap();
            assert_eq!(hex(&bytes) + &hex(&tag), expected);
            epoch.decrypt(b"MNOPQRSTUVWX", associated, &mut bytes, &tag).unwrap();
            assert_eq!(&bytes, b"XAES-256-GCM");
        }
    }
}
