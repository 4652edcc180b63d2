//! Seals and opens values. One [`Sealer`] a thread: it keeps derived keys and its buffer,
//! and shares nothing but the keyring.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use rustc_hash::FxHashMap;

use super::Random;
use super::envelope::{
    HEADER_LENGTH, Header, MAGIC_TEXT, SEALED_LENGTH_MAX, TEXT, VALUE_LENGTH_MAX, domain_tag, text_length,
};
use super::keyring::Keyring;
use super::plaintext::{Plaintext, wipe};
use super::siv::{SIV_LENGTH, Siv};
use super::xaes::{EpochKey, HALF_NONCE_LENGTH, TAG_LENGTH, Xaes};
use crate::catalog::{Domain, DomainName, Kind, Mode};

/// Values that a writer seals under one first half of the nonce. Their second halves, 96
/// random bits each, then collide with a probability below 2^-41.
const EPOCH_VALUES_MAX: u32 = 1 << 28;

/// Derived keys of other writers' epochs that a reader keeps (P6), about 1 KiB each.
const READER_EPOCHS_MAX: usize = 256;

/// Domain keys, of whatever version, that are kept (P6), about 2 KiB each.
const DOMAIN_KEYS_MAX: usize = 1024;

/// Domains of which something is kept (P6), about 200 bytes each: there may be one for each
/// field and schema.
const DOMAINS_KEPT_MAX: usize = 4096;

/// Beyond this the buffer is given back after use.
const RETAINED_LENGTH_MAX: usize = 64 * 1024;

/// Byte offsets in an envelope.
const NONCE_REST: usize = HEADER_LENGTH + HALF_NONCE_LENGTH;
const RANDOM_BODY: usize = NONCE_REST + HALF_NONCE_LENGTH;
const EQUALITY_BODY: usize = HEADER_LENGTH + SIV_LENGTH;

/// Why a value is not sealed. None of them holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SealError {
    /// Not UTF-8, or it contains a NUL: no value of type text (SG004).
    NotText,
    /// Longer than [`VALUE_LENGTH_MAX`].
    TooLong,
    /// The keyring does not hold this domain with this mode and type.
    UnknownDomain,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SealError::NotText => f.write_str("the value is not valid text (UTF-8 without NUL)"),
            SealError::TooLong => write!(f, "the value is longer than {VALUE_LENGTH_MAX} bytes"),
            SealError::UnknownDomain => {
                f.write_str("the keyring does not hold this domain as the policy has it")
            }
        }
    }
}

impl std::error::Error for SealError {}

/// Why a sealed value does not open. None of them holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenError {
    /// Not the text of an envelope at all.
    NotEnvelope,
    /// An envelope of another domain: it was moved here.
    OtherDomain,
    /// Sealed under a root key that the keyring does not hold.
    UnknownKeyVersion(u16),
    /// It does not verify: altered, cut off, sealed in another mode or under another key.
    Altered,
    /// It verifies, but holds a value of another type than the domain's.
    OtherType,
    /// The keyring does not hold this domain with this mode and type.
    UnknownDomain,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::NotEnvelope => f.write_str("the value is not sealed"),
            OpenError::OtherDomain => f.write_str("the sealed value belongs to another domain"),
            OpenError::UnknownKeyVersion(version) => {
                write!(
                    f,
                    "the sealed value needs root key version {version}, which the keyring does not hold"
                )
            }
            OpenError::Altered => f.write_str("the sealed value was altered or sealed under another key"),
            OpenError::OtherType => f.write_str("the sealed value is of another type than its domain"),
            OpenError::UnknownDomain => {
                f.write_str("the keyring does not hold this domain as the policy has it")
            }
        }
    }
}

impl std::error::Error for OpenError {}

/// A first half of the nonce in use by this writer.
struct Epoch {
    half: [u8; HALF_NONCE_LENGTH],
    key: EpochKey,
    /// 0 <= left <= EPOCH_VALUES_MAX
    left: u32,
}

enum Cipher {
    Random { xaes: Box<Xaes>, writer: Option<Box<Epoch>> },
    Equality(Box<Siv>),
}

/// The key of one domain under one root version.
struct DomainKey {
    version: u16,
    /// Distinguishes the readers' epochs of this key from those of others.
    number: u32,
    header: [u8; HEADER_LENGTH],
    /// header | domain name
    associated: Vec<u8>,
    cipher: Cipher,
}

/// What this sealer keeps of one domain.
struct Derived {
    domain: Domain,
    tag: [u8; super::TAG_LENGTH],
    sealing_version: u16,
    keys: Vec<DomainKey>,
}

/// See the module's text.
pub struct Sealer {
    keyring: Arc<Keyring>,
    random: Box<dyn Random>,
    /// Index of a domain's name in `derived`.
    domains: FxHashMap<DomainName, usize>,
    /// As many as domains were asked for, at most [`DOMAINS_KEPT_MAX`].
    derived: Vec<Derived>,
    /// 0 <= domain_keys <= DOMAIN_KEYS_MAX
    domain_keys: u32,
    readers: FxHashMap<(u32, [u8; HALF_NONCE_LENGTH]), Box<EpochKey>>,
    /// Holds a value only within [`Sealer::seal`], which encrypts it in place.
    buffer: Vec<u8>,
}

impl Sealer {
    #[must_use]
    pub fn new(keyring: Arc<Keyring>, random: Box<dyn Random>) -> Sealer {
        Sealer {
            keyring,
            random,
            domains: FxHashMap::default(),
            derived: Vec::new(),
            domain_keys: 0,
            readers: FxHashMap::default(),
            buffer: Vec::new(),
        }
    }

    /// The keyring that this sealer was made for.
    #[must_use]
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// Seals the canonical text of a value and appends the envelope's text to `out`.
    ///
    /// # Errors
    /// See [`SealError`]; `out` is then as it was.
    pub fn seal(&mut self, domain: &Domain, value: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        if value.len() > VALUE_LENGTH_MAX {
            return Err(SealError::TooLong);
        }
        check_canonical(value)?;
        let at = self.keep_domain(domain).ok_or(SealError::UnknownDomain)?;
        let version = self.derived.get(at).map(|derived| derived.sealing_version);
        let place = version.and_then(|version| self.keep_key(at, version));
        let Sealer { random, derived, buffer, .. } = self;
        let key = place.and_then(|place| derived.get_mut(at)?.keys.get_mut(place));
        let key = key.ok_or(SealError::UnknownDomain)?;

        let kind = &domain.kind;
        buffer.clear();
        let padding = kind.pad.map_or(0, usize::from);
        buffer.reserve(RANDOM_BODY + 1 + value.len() + padding + TAG_LENGTH);
        buffer.extend_from_slice(&key.header);
        let sealed = match &mut key.cipher {
            Cipher::Random { xaes, writer } => {
                seal_random(xaes, writer, random.as_mut(), &key.associated, kind, value, buffer)
            }
            Cipher::Equality(siv) => seal_equality(siv, kind, value, buffer),
        };
        if sealed.is_none() {
            // The ciphers refuse nothing but lengths, and those only far beyond ours.
            wipe(buffer);
            return Err(SealError::TooLong);
        }
        let start = out.len();
        out.resize(start + text_length(buffer.len()), 0);
        let encoded = out.get_mut(start..).map(|text| TEXT.encode_slice(&*buffer, text));
        debug_assert!(matches!(encoded, Some(Ok(_))), "text_length is the encoder's own");
        if buffer.capacity() > RETAINED_LENGTH_MAX {
            *buffer = Vec::new();
        }
        Ok(())
    }

    /// Opens a sealed text. `out` then holds the value's canonical text and nothing else.
    ///
    /// # Errors
    /// See [`OpenError`]; `out` is then empty.
    pub fn open(&mut self, domain: &Domain, sealed: &[u8], out: &mut Plaintext) -> Result<(), OpenError> {
        out.clear();
        if !sealed.starts_with(MAGIC_TEXT) || sealed.len() > SEALED_LENGTH_MAX {
            return Err(OpenError::NotEnvelope);
        }
        let room = out.lend(base64::decoded_len_estimate(sealed.len()));
        let length = TEXT.decode_slice(sealed, room).map_err(|_| OpenError::NotEnvelope)?;
        let bytes = room.get_mut(..length).unwrap_or_default();
        let header = Header::from_bytes(bytes).ok_or(OpenError::NotEnvelope)?;
        let at = self.keep_domain(domain).ok_or(OpenError::UnknownDomain)?;
        if self.derived.get(at).is_none_or(|derived| derived.tag != header.tag) {
            return Err(OpenError::OtherDomain);
        }
        if header.mode_byte != domain.mode.byte() {
            return Err(OpenError::Altered);
        }
        let place = self.keep_key(at, header.version);
        let Sealer { derived, readers, .. } = self;
        let key = place.and_then(|place| derived.get_mut(at)?.keys.get_mut(place));
        let key = key.ok_or(OpenError::UnknownKeyVersion(header.version))?;
        let (start, end) = match &mut key.cipher {
            Cipher::Random { xaes, .. } => open_random(xaes, key.number, readers, &key.associated, bytes),
            Cipher::Equality(siv) => open_equality(siv, bytes),
        }
        .ok_or(OpenError::Altered)?;
        let type_byte = bytes.get(start).copied();
        let unpadded = unpadded(&domain.kind, bytes.get(start..end).unwrap_or_default());
        out.reveal(start + 1, start + unpadded.unwrap_or(1));
        if type_byte != Some(domain.kind.byte()) || unpadded.is_none() {
            out.clear();
            return Err(OpenError::OtherType);
        }
        Ok(())
    }

    /// How many domains are kept now.
    #[cfg(test)]
    pub(super) fn kept_domains(&self) -> usize {
        self.domains.len().max(self.derived.len())
    }

    /// How many domain keys and readers' epochs are kept now.
    #[cfg(test)]
    pub(super) fn kept_keys(&self) -> (usize, usize) {
        (self.derived.iter().map(|derived| derived.keys.len()).sum(), self.readers.len())
    }

    /// Makes the values that are left in every writer's epoch `left`.
    #[cfg(test)]
    pub(super) fn shorten_epochs(&mut self, left: u32) {
        for key in self.derived.iter_mut().flat_map(|derived| &mut derived.keys) {
            if let Cipher::Random { writer: Some(epoch), .. } = &mut key.cipher {
                epoch.left = left;
            }
        }
    }

    /// Index of a domain in `derived`. None: the keyring does not hold it as it was given.
    fn keep_domain(&mut self, domain: &Domain) -> Option<usize> {
        if let Some(&at) = self.domains.get(&domain.name) {
            let known = &self.derived.get(at)?.domain;
            return (known.mode == domain.mode && known.kind == domain.kind).then_some(at);
        }
        self.keyring.agrees(domain).ok()?;
        let sealing_version = self.keyring.sealing_version(&domain.name)?;
        if self.derived.len() >= DOMAINS_KEPT_MAX {
            self.domains.clear();
            self.derived.clear();
            self.readers.clear();
            self.domain_keys = 0;
        }
        let at = self.derived.len();
        self.derived.push(Derived {
            domain: domain.clone(),
            tag: domain_tag(&domain.name),
            sealing_version,
            keys: Vec::new(),
        });
        self.domains.insert(domain.name.clone(), at);
        Some(at)
    }

    /// Index of a version's key in those of the domain at `at`, derived now if it is not
    /// there. None: the keyring has no such root.
    fn keep_key(&mut self, at: usize, version: u16) -> Option<usize> {
        if let Some(place) = self.derived.get(at)?.keys.iter().position(|key| key.version == version) {
            return Some(place);
        }
        let root = self.keyring.root(version)?;
        if self.domain_keys as usize >= DOMAIN_KEYS_MAX {
            self.domain_keys = 0;
            self.readers.clear();
            for derived in &mut self.derived {
                derived.keys.clear();
            }
        }
        let number = self.domain_keys;
        self.domain_keys += 1;
        let Derived { domain, tag, keys, .. } = self.derived.get_mut(at)?;
        let header = Header { tag: *tag, mode_byte: domain.mode.byte(), version }.to_bytes();
        let associated = [&header, domain.name.0.as_bytes()].concat();
        let cipher = match domain.mode {
            Mode::Random => Cipher::Random { xaes: Box::new(Xaes::new(&root.derive(domain))), writer: None },
            Mode::Equality => Cipher::Equality(Box::new(Siv::new(&root.derive(domain), &associated))),
        };
        keys.push(DomainKey { version, number, header, associated, cipher });
        Some(keys.len() - 1)
    }
}

/// Is this text? Every canonical form is; none holds a NUL, which is what padding is made of.
fn check_canonical(value: &[u8]) -> Result<(), SealError> {
    if value.contains(&0) || std::str::from_utf8(value).is_err() { Err(SealError::NotText) } else { Ok(()) }
}

/// Appends type byte, canonical text and padding.
fn put_plaintext(kind: &Kind, value: &[u8], bytes: &mut Vec<u8>) {
    bytes.push(kind.byte());
    bytes.extend_from_slice(value);
    if let Some(pad) = kind.pad.map(usize::from) {
        let padding = (1 + value.len()).next_multiple_of(pad) - (1 + value.len());
        bytes.resize(bytes.len() + padding, 0);
    }
}

/// How long a plaintext is without its padding. None: it is not padded as its kind is.
fn unpadded(kind: &Kind, plaintext: &[u8]) -> Option<usize> {
    let Some(pad) = kind.pad.map(usize::from) else { return Some(plaintext.len()) };
    let length = plaintext.iter().rposition(|byte| *byte != 0)? + 1;
    (plaintext.len() == length.next_multiple_of(pad)).then_some(length)
}

/// Appends nonce, ciphertext and tag to the header in `bytes`.
fn seal_random(
    xaes: &Xaes,
    writer: &mut Option<Box<Epoch>>,
    random: &mut dyn Random,
    associated: &[u8],
    kind: &Kind,
    value: &[u8],
    bytes: &mut Vec<u8>,
) -> Option<()> {
    if writer.as_ref().is_none_or(|epoch| epoch.left == 0) {
        let mut half = [0; HALF_NONCE_LENGTH];
        random.fill(&mut half);
        *writer = Some(Box::new(Epoch { half, key: xaes.derive(&half), left: EPOCH_VALUES_MAX }));
    }
    let epoch = writer.as_mut()?;
    epoch.left = epoch.left.checked_sub(1)?;
    let mut rest = [0; HALF_NONCE_LENGTH];
    random.fill(&mut rest);
    bytes.extend_from_slice(&epoch.half);
    bytes.extend_from_slice(&rest);
    put_plaintext(kind, value, bytes);
    let tag = epoch.key.encrypt(&rest, associated, bytes.get_mut(RANDOM_BODY..)?).ok()?;
    bytes.extend_from_slice(&tag);
    Some(())
}

/// Appends synthetic nonce and ciphertext to the header in `bytes`.
fn seal_equality(siv: &Siv, kind: &Kind, value: &[u8], bytes: &mut Vec<u8>) -> Option<()> {
    bytes.extend_from_slice(&[0; SIV_LENGTH]);
    put_plaintext(kind, value, bytes);
    let (head, body) = bytes.split_at_mut_checked(EQUALITY_BODY)?;
    head.get_mut(HEADER_LENGTH..)?.copy_from_slice(&siv.encrypt(body));
    Some(())
}

/// Decrypts in place and returns where the plaintext, its type byte first, lies.
fn open_random(
    xaes: &Xaes,
    number: u32,
    readers: &mut FxHashMap<(u32, [u8; HALF_NONCE_LENGTH]), Box<EpochKey>>,
    associated: &[u8],
    bytes: &mut [u8],
) -> Option<(usize, usize)> {
    let end = bytes.len().checked_sub(TAG_LENGTH)?;
    let (head, tag) = bytes.split_at_mut_checked(end)?;
    let (head, body) = head.split_at_mut_checked(RANDOM_BODY)?;
    let (head, rest) = head.split_last_chunk::<HALF_NONCE_LENGTH>()?;
    let half = *head.last_chunk::<HALF_NONCE_LENGTH>()?;
    let tag = tag.first_chunk::<TAG_LENGTH>()?;
    if body.is_empty() {
        return None;
    }
    if let Some(key) = readers.get(&(number, half)) {
        key.decrypt(rest, associated, body, tag).ok()?;
    } else {
        let key = xaes.derive(&half);
        key.decrypt(rest, associated, body, tag).ok()?;
        // Kept only once proven, so that forged nonces push no real one out.
        if readers.len() >= READER_EPOCHS_MAX {
            readers.clear();
        }
        readers.insert((number, half), Box::new(key));
    }
    Some((RANDOM_BODY, end))
}

/// Decrypts in place and returns where the plaintext, its type byte first, lies. On a
/// mismatch the cipher puts the ciphertext back.
fn open_equality(siv: &Siv, bytes: &mut [u8]) -> Option<(usize, usize)> {
    let end = bytes.len();
    let (head, body) = bytes.split_at_mut_checked(EQUALITY_BODY)?;
    if body.is_empty() {
        return None;
    }
    siv.decrypt(body, head.last_chunk::<SIV_LENGTH>()?).then_some((EQUALITY_BODY, end))
}
