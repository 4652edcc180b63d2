//! The bytes around a sealed body: header, domain tag and the text form.
//!
//! ```text
//! text   = base64 without padding, alphabet in ASCII order: - 0-9 A-Z _ a-z
//! bytes  = header(12) | body
//! header = magic(3: 74 F2 D6) | domain tag(6) | mode(1) | key version(2, big endian)
//! ```
//!
//! Because the alphabet is ordered, texts compare under collation "C" as the bytes do.

use base64::Engine;
use base64::alphabet::Alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest, Sha256};

use crate::catalog::{Domain, DomainName, Mode, PAD_MAX};

/// First three bytes of every envelope: the four letters `SEAL` of its text.
pub(super) const MAGIC: [u8; 3] = [0x74, 0xF2, 0xD6];

/// What [`MAGIC`] reads as in text.
pub(super) const MAGIC_TEXT: &[u8; 4] = b"SEAL";

/// Bytes of a domain tag.
pub const TAG_LENGTH: usize = 6;

/// Bytes of a header: a multiple of three, so that a header's text stands by itself.
pub(super) const HEADER_LENGTH: usize = 12;

/// Characters of a header's text.
const HEADER_TEXT_LENGTH: usize = HEADER_LENGTH / 3 * 4;

/// Longest value that is sealed, in bytes of its canonical text (P6). PostgreSQL itself
/// ends at 1 GiB; a value is held twice while it is sealed.
pub const VALUE_LENGTH_MAX: usize = 64 * 1024 * 1024;

/// Bytes that the larger of the two bodies adds to a value at most: nonce, type byte, padding, tag.
const BODY_OVERHEAD_MAX: usize = 24 + 1 + 16 + PAD_MAX as usize;

/// Longest sealed text that is opened, in characters.
pub const SEALED_LENGTH_MAX: usize = text_length(HEADER_LENGTH + BODY_OVERHEAD_MAX + VALUE_LENGTH_MAX);

const ALPHABET: Alphabet =
    match Alphabet::new("-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz") {
        Ok(alphabet) => alphabet,
        Err(_) => panic!("64 different ASCII characters"),
    };

/// Strict both ways: no padding, and no bits beyond the last byte.
pub(super) const TEXT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(false),
);

/// Characters that `bytes` bytes take as text.
pub(super) const fn text_length(bytes: usize) -> usize {
    bytes / 3 * 4
        + match bytes % 3 {
            0 => 0,
            1 => 2,
            _ => 3,
        }
}

/// What an envelope says about itself, unauthenticated: only a successful opening proves it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// First six bytes of SHA-256("sealgate domain/" name).
    pub tag: [u8; TAG_LENGTH],
    /// The mode byte; [`Header::mode`] is its meaning.
    pub mode_byte: u8,
    /// Version of the root key, from 1.
    pub version: u16,
}

impl Header {
    /// None: a mode that this version does not know.
    #[must_use]
    pub fn mode(&self) -> Option<Mode> {
        [Mode::Random, Mode::Equality].into_iter().find(|mode| mode.byte() == self.mode_byte)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Header> {
        let [m0, m1, m2, t0, t1, t2, t3, t4, t5, mode_byte, v0, v1] =
            *bytes.first_chunk::<HEADER_LENGTH>()?;
        ([m0, m1, m2] == MAGIC).then_some(Header {
            tag: [t0, t1, t2, t3, t4, t5],
            mode_byte,
            version: u16::from_be_bytes([v0, v1]),
        })
    }

    pub(super) fn to_bytes(self) -> [u8; HEADER_LENGTH] {
        let [m0, m1, m2] = MAGIC;
        let [t0, t1, t2, t3, t4, t5] = self.tag;
        let [v0, v1] = self.version.to_be_bytes();
        [m0, m1, m2, t0, t1, t2, t3, t4, t5, self.mode_byte, v0, v1]
    }
}

/// Reads the header of a sealed text without a key. None: this is not an envelope.
#[must_use]
pub fn header(sealed: &[u8]) -> Option<Header> {
    if !sealed.starts_with(MAGIC_TEXT) {
        return None;
    }
    let mut bytes = [0; HEADER_LENGTH];
    TEXT.decode_slice(sealed.get(..HEADER_TEXT_LENGTH)?, &mut bytes).ok()?;
    Header::from_bytes(&bytes)
}

/// The six bytes by which an envelope names its domain.
#[must_use]
pub fn domain_tag(name: &DomainName) -> [u8; TAG_LENGTH] {
    let mut hash = Sha256::new();
    hash.update(b"sealgate domain/");
    hash.update(name.0.as_bytes());
    let [t0, t1, t2, t3, t4, t5, ..] = <[u8; 32]>::from(hash.finalize());
    [t0, t1, t2, t3, t4, t5]
}

/// The twelve characters, `SEALxxxxxxxx`, that every sealed text of this domain begins
/// with: `CHECK (starts_with(column COLLATE "C", 'SEALxxxxxxxx'))`.
#[must_use]
pub fn guard_prefix(domain: &Domain) -> String {
    let [m0, m1, m2] = MAGIC;
    let [t0, t1, t2, t3, t4, t5] = domain_tag(&domain.name);
    TEXT.encode([m0, m1, m2, t0, t1, t2, t3, t4, t5])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Kind;

    #[test]
    fn guard_is_the_beginning_of_the_header_text() {
        let domain = Domain { name: DomainName("email".into()), mode: Mode::Random, kind: Kind::TEXT };
        let known = Header { tag: domain_tag(&domain.name), mode_byte: 1, version: 258 };
        let text = TEXT.encode(known.to_bytes());
        assert_eq!(text.len(), HEADER_TEXT_LENGTH);
        let guard = guard_prefix(&domain);
        assert_eq!(guard.len(), 12);
        assert!(guard.starts_with("SEAL") && text.starts_with(&guard));
        assert_eq!(header(text.as_bytes()), Some(known));
        assert_eq!(known.mode(), Some(Mode::Random));
    }

    #[test]
    fn reads_no_header_where_there_is_none() {
        let text = TEXT.encode(Header { tag: [9; 6], mode_byte: 2, version: 1 }.to_bytes());
        let cases: [&[u8]; 6] =
            [b"", b"SEAL", b"ada@example.org is not sealed", &text.as_bytes()[..15], b"SEAL============", {
                b"seal000000000000"
            }];
        for case in cases {
            assert_eq!(header(case), None, "{}", String::from_utf8_lossy(case));
        }
    }

    #[test]
    fn order_of_texts_is_the_order_of_bytes() {
        let mut bytes: Vec<Vec<u8>> = Vec::new();
        for first in [0_u8, 1, 62, 63, 64, 127, 128, 254, 255] {
            for second in [0_u8, 3, 4, 15, 16, 128, 252, 255] {
                bytes.push(vec![]);
                bytes.push(vec![first]);
                bytes.push(vec![first, second]);
                bytes.push(vec![first, second, first]);
                bytes.push(vec![second, first, second, first]);
            }
        }
        for a in &bytes {
            for b in &bytes {
                assert_eq!(TEXT.encode(a).cmp(&TEXT.encode(b)), a.cmp(b), "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn refuses_text_that_is_not_the_one_form_of_its_bytes() {
        for case in ["--==", "-", "-0", "--0", "--/-", "-- -", "--\n-", "--é"] {
            assert!(TEXT.decode(case).is_err(), "{case}");
        }
        assert_eq!(TEXT.decode("--").as_deref(), Ok(&[0][..]));
    }

    #[test]
    fn text_length_is_what_the_encoder_writes() {
        for length in 0..20 {
            assert_eq!(TEXT.encode(vec![0; length]).len(), text_length(length));
        }
    }
}
