//! The keyring as a file's text: root keys wrapped under a master key, and an integrity
//! tag over everything, so that nobody without that key can change a domain's mode.
//!
//! Pure text to [`Keyring`] and back; `store::keyfile` has the file. `docs/FORMAT.md`
//! specifies it. Files of version 1 hold no identity: it is derived, and written as version 2 with
//! the next change. Not detected: an older file of the same keyring put back.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hkdf::hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use super::Random;
use super::identity::KeyringIdentity;
use super::keyring::{KeyedDomain, Keyring, KeyringFault, KeyringParts, Root, RootKey, expand};
use super::xaes::{HALF_NONCE_LENGTH, TAG_LENGTH, Xaes};
use crate::catalog::{Domain, DomainName, Kind, Mode};

const FORMAT: &str = "sealgate keyring";
/// The version that is written.
const FORMAT_VERSION: u32 = 2;
/// That of files without an identity, which are read.
const VERSION_WITHOUT_IDENTITY: u32 = 1;

/// nonce | wrapped root key | tag
const WRAPPED_LENGTH: usize = 2 * HALF_NONCE_LENGTH + 32 + TAG_LENGTH;

/// The 32 bytes that wrap the root keys. Kept outside the keyring's file. Wiped when dropped.
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> MasterKey {
        MasterKey(Zeroizing::new(bytes))
    }

    /// Reads base64 of the standard alphabet with padding, as `openssl rand -base64 32`
    /// writes it; white space around it is ignored.
    ///
    /// # Errors
    /// What is wrong with the text, without the text.
    pub fn from_base64(text: &str) -> Result<MasterKey, MasterKeyFault> {
        let text = text.trim();
        if text.is_empty() {
            return Err(MasterKeyFault::Empty);
        }
        if text.len() > 1024 {
            return Err(MasterKeyFault::NotBase64);
        }
        let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_| MasterKeyFault::NotBase64)?);
        let key = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| MasterKeyFault::Length(bytes.len()))?;
        Ok(MasterKey::new(key))
    }

    /// Sixteen hex digits by which a keyring names the master key that wraps it.
    #[must_use]
    pub fn id(&self) -> String {
        let id: Zeroizing<[u8; 8]> = expand(&self.0, "sealgate/v1/keyring/id");
        id.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn wrapping(&self) -> Xaes {
        Xaes::new(&expand(&self.0, "sealgate/v1/keyring/wrap"))
    }

    fn integrity(&self, message: &str) -> Hmac<Sha256> {
        let key: Zeroizing<[u8; 64]> = expand(&self.0, "sealgate/v1/keyring/integrity");
        let mut hmac = <Hmac<Sha256> as KeyInit>::new((&*key).into());
        hmac.update(message.as_bytes());
        hmac
    }
}

/// Why a text is not a master key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MasterKeyFault {
    Empty,
    NotBase64,
    /// The number of bytes that were found.
    Length(usize),
}

impl fmt::Display for MasterKeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the master key ")?;
        match self {
            MasterKeyFault::Empty => f.write_str("is empty; expected")?,
            MasterKeyFault::NotBase64 => f.write_str("is not base64; expected")?,
            MasterKeyFault::Length(length) => write!(f, "has {length} bytes; expected")?,
        }
        f.write_str(" 32 random bytes in base64 (`openssl rand -base64 32` makes one)")
    }
}

impl std::error::Error for MasterKeyFault {}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    format: String,
    version: u32,
    /// Identifier of the master key.
    master: String,
    /// From version 2 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    created: u64,
    current: u16,
    roots: Vec<RootText>,
    domains: Vec<DomainText>,
    integrity: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RootText {
    version: u16,
    created: u64,
    wrapped: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DomainText {
    name: String,
    mode: String,
    r#type: String,
    type_byte: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    generation: Option<u16>,
    created: u64,
}

/// Read before the rest, so that a later format is named as such.
#[derive(Deserialize)]
struct FileKind {
    format: String,
    version: u32,
}

/// What the integrity tag covers: every value of the file, one line each.
fn integrity_message(file: &FileText) -> String {
    use std::fmt::Write;
    let mut message = format!("{FORMAT} {}\nmaster {}\n", file.version, file.master);
    if let Some(identity) = &file.identity {
        let _ = writeln!(message, "identity {identity}");
    }
    let _ = write!(message, "created {}\ncurrent {}\n", file.created, file.current);
    for root in &file.roots {
        let _ = writeln!(message, "root {} {} {}", root.version, root.created, root.wrapped);
    }
    for DomainText { name, mode, r#type, type_byte, generation, created } in &file.domains {
        let generation = generation.map_or_else(|| "-".to_owned(), |generation| generation.to_string());
        let _ = writeln!(message, "domain {name} {mode} {type} {type_byte} {generation} {created}");
    }
    message
}

fn wrapping_associated(version: u16) -> String {
    format!("sealgate/v1/keyring/root/{version}")
}

/// Writes the keyring's file text. Each writing wraps the root keys under new nonces.
#[must_use]
pub fn encode_keyring(keyring: &Keyring, master: &MasterKey, random: &mut dyn Random) -> String {
    let wrapping = master.wrapping();
    let roots = keyring
        .roots()
        .map(|root| RootText {
            version: root.version,
            created: root.created_unix_s,
            wrapped: wrap(&wrapping, root, random),
        })
        .collect();
    let domains = keyring
        .domains()
        .map(|KeyedDomain { domain, generation, created_unix_s }| DomainText {
            name: domain.name.0.to_string(),
            mode: domain.mode.name().to_owned(),
            r#type: domain.kind.to_string(),
            type_byte: domain.kind.byte(),
            generation: *generation,
            created: *created_unix_s,
        })
        .collect();
    let mut file = FileText {
        format: FORMAT.to_owned(),
        version: FORMAT_VERSION,
        master: master.id(),
        identity: Some(keyring.identity().to_string()),
        created: keyring.created_unix_s(),
        current: keyring.current_version(),
        roots,
        domains,
        integrity: String::new(),
    };
    file.integrity = STANDARD.encode(master.integrity(&integrity_message(&file)).finalize().into_bytes());
    // Strings, numbers and lists of them always have a JSON text.
    let mut text = serde_json::to_string_pretty(&file).unwrap_or_default();
    text.push('\n');
    text
}

fn wrap(wrapping: &Xaes, root: &Root, random: &mut dyn Random) -> String {
    let mut nonce = [[0; HALF_NONCE_LENGTH]; 2];
    nonce.iter_mut().for_each(|half| random.fill(half));
    let [half, rest] = nonce;
    let mut key = Zeroizing::new(*root.key.bytes());
    let associated = wrapping_associated(root.version);
    // GCM refuses nothing but lengths far beyond 32 bytes; a zero tag would never open.
    let tag = wrapping.derive(&half).encrypt(&rest, associated.as_bytes(), key.as_mut_slice());
    STANDARD.encode([&half[..], &rest[..], &key[..], &tag.unwrap_or_default()[..]].concat())
}

/// Reads a keyring's file text.
///
/// # Errors
/// See [`KeyringFileFault`]. Nothing of a file is believed before its integrity tag holds.
pub fn decode_keyring(text: &str, master: &MasterKey) -> Result<Keyring, KeyringFileFault> {
    let syntax =
        |error: serde_json::Error| KeyringFileFault::Syntax { line: error.line(), column: error.column() };
    let kind: FileKind = serde_json::from_str(text).map_err(syntax)?;
    if kind.format != FORMAT {
        return Err(KeyringFileFault::Format);
    }
    if ![VERSION_WITHOUT_IDENTITY, FORMAT_VERSION].contains(&kind.version) {
        return Err(KeyringFileFault::Version(kind.version));
    }
    let file: FileText = serde_json::from_str(text).map_err(syntax)?;
    if file.master != master.id() {
        return Err(KeyringFileFault::OtherMaster);
    }
    let integrity = STANDARD.decode(&file.integrity).map_err(|_| KeyringFileFault::Altered)?;
    master
        .integrity(&integrity_message(&file))
        .verify_slice(&integrity)
        .map_err(|_| KeyringFileFault::Altered)?;

    let wrapping = master.wrapping();
    let roots = file.roots.iter().map(|root| unwrap_root(&wrapping, root)).collect::<Result<_, _>>()?;
    let domains = file.domains.iter().map(keyed_domain).collect::<Result<_, _>>()?;
    let identity = identity(&file)?;
    let parts =
        KeyringParts { identity, created_unix_s: file.created, roots, current: file.current, domains };
    Keyring::from_parts(parts).map_err(KeyringFileFault::Content)
}

/// Each version of the format has one, or has none.
fn identity(file: &FileText) -> Result<Option<KeyringIdentity>, KeyringFileFault> {
    match (&file.identity, file.version == VERSION_WITHOUT_IDENTITY) {
        (None, true) => Ok(None),
        (Some(text), false) => KeyringIdentity::parse(text).map(Some).ok_or(KeyringFileFault::Identity),
        (None, false) | (Some(_), true) => Err(KeyringFileFault::Identity),
    }
}

fn unwrap_root(wrapping: &Xaes, root: &RootText) -> Result<Root, KeyringFileFault> {
    let wrapped = STANDARD.decode(&root.wrapped).map_err(|_| KeyringFileFault::Altered)?;
    let wrapped = <[u8; WRAPPED_LENGTH]>::try_from(wrapped).map_err(|_| KeyringFileFault::Altered)?;
    let (half, wrapped) = wrapped.split_first_chunk().ok_or(KeyringFileFault::Altered)?;
    let (rest, wrapped) = wrapped.split_first_chunk().ok_or(KeyringFileFault::Altered)?;
    let (key, tag) = wrapped.split_first_chunk::<32>().ok_or(KeyringFileFault::Altered)?;
    let tag = tag.first_chunk().ok_or(KeyringFileFault::Altered)?;
    let mut key = *key;
    let associated = wrapping_associated(root.version);
    wrapping
        .derive(half)
        .decrypt(rest, associated.as_bytes(), &mut key, tag)
        .map_err(|_| KeyringFileFault::Altered)?;
    let opened = Root { version: root.version, created_unix_s: root.created, key: RootKey::new(key) };
    key.zeroize();
    Ok(opened)
}

fn keyed_domain(domain: &DomainText) -> Result<KeyedDomain, KeyringFileFault> {
    let unknown = |key, found: &str| KeyringFileFault::Unknown {
        domain: domain.name.clone(),
        key,
        found: found.to_owned(),
    };
    let mode = [Mode::Random, Mode::Equality]
        .into_iter()
        .find(|mode| mode.name() == domain.mode)
        .ok_or_else(|| unknown("mode", &domain.mode))?;
    let kind = Kind::parse(&domain.r#type).ok_or_else(|| unknown("type", &domain.r#type))?;
    if kind.byte() != domain.type_byte {
        return Err(unknown("type_byte", &domain.type_byte.to_string()));
    }
    Ok(KeyedDomain {
        domain: Domain { name: DomainName(domain.name.as_str().into()), mode, kind },
        generation: domain.generation,
        created_unix_s: domain.created,
    })
}

/// Why a keyring's file text is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyringFileFault {
    /// Not the JSON of a keyring.
    Syntax { line: usize, column: usize },
    /// JSON, but of something else.
    Format,
    /// A version of the format that this program does not know.
    Version(u32),
    /// Wrapped under another master key than the one given.
    OtherMaster,
    /// The integrity tag, or the wrapping of a root key, does not hold.
    Altered,
    /// It holds together, but its identity is missing, out of place or not one.
    Identity,
    /// A mode or type that this version does not know.
    Unknown { domain: String, key: &'static str, found: String },
    /// It holds together, but promises of the format do not.
    Content(KeyringFault),
}

impl fmt::Display for KeyringFileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyringFileFault::Syntax { line, column } => {
                write!(f, "line {line}, column {column}: not the JSON of a keyring")
            }
            KeyringFileFault::Format => write!(f, "\"format\" is not \"{FORMAT}\""),
            KeyringFileFault::Version(version) => {
                write!(f, "format version {version}; this program knows versions 1 to {FORMAT_VERSION}")
            }
            KeyringFileFault::OtherMaster => {
                f.write_str("the keyring is wrapped under another master key than the one given")
            }
            KeyringFileFault::Altered => f.write_str(
                "the keyring was altered: its integrity tag does not hold; restore it from a backup",
            ),
            KeyringFileFault::Identity => f.write_str(
                "\"identity\" is not 32 hexadecimal digits, as version 2 has it and version 1 does not",
            ),
            KeyringFileFault::Unknown { domain, key, found } => {
                write!(f, "domain \"{domain}\": {key} \"{found}\" is not known to this version")
            }
            KeyringFileFault::Content(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for KeyringFileFault {}

#[cfg(test)]
mod tests {
    use super::super::tests::{Counting, domain, parts};
    use super::*;

    fn written() -> String {
        let domains = [domain("email", Mode::Equality), domain("note", Mode::Random)];
        let keyring = Keyring::from_parts(parts(&[1, 2], &domains)).unwrap();
        encode_keyring(&keyring, &MasterKey::new([9; 32]), &mut Counting(0))
    }

    fn fault(text: &str) -> Option<KeyringFileFault> {
        decode_keyring(text, &MasterKey::new([9; 32])).err()
    }

    #[test]
    fn reads_what_it_wrote() {
        let read = decode_keyring(&written(), &MasterKey::new([9; 32])).unwrap();
        let domains = [domain("email", Mode::Equality), domain("note", Mode::Random)];
        let Ok(expected) = Keyring::from_parts(parts(&[1, 2], &domains)) else { panic!() };
        assert!(read.domains().eq(expected.domains()));
        assert_eq!(read.identity(), expected.identity());
        assert_eq!(read.current_version(), 2);
        assert_eq!(read.created_unix_s(), expected.created_unix_s());
        for (read, expected) in read.roots().zip(expected.roots()) {
            assert_eq!(read.version, expected.version);
            assert_eq!(read.created_unix_s, expected.created_unix_s);
            assert_eq!(read.key.bytes(), expected.key.bytes());
        }
    }

    #[test]
    fn never_writes_one_wrapping_twice() {
        let read = decode_keyring(&written(), &MasterKey::new([9; 32])).unwrap();
        let again = encode_keyring(&read, &MasterKey::new([9; 32]), &mut Counting(1000));
        let [one, other] = [written(), again].map(|text| serde_json::from_str::<FileText>(&text).unwrap());
        for (one, other) in one.roots.iter().zip(&other.roots) {
            assert_ne!(one.wrapped, other.wrapped);
        }
    }

    #[test]
    fn refuses_a_file_in_which_any_value_was_edited() {
        let text = written();
        for (from, to) in [
            ("\"equality\"", "\"random\""),
            ("\"identity\": \"0", "\"identity\": \"1"),
            ("\"identity\": \"0707070707070707", "\"identity\": \"0707"),
            ("\"current\": 2", "\"current\": 1"),
            ("\"generation\": 1", "\"generation\": 2"),
            ("\"name\": \"note\"", "\"name\": \"notes\""),
            ("1700000000", "1700000001"),
            ("\"created\": 1700000002", "\"created\": 1700000003"),
            ("\"created\": 1700000100", "\"created\": 1700000101"),
            ("\"type_byte\": 1", "\"type_byte\": 2"),
            ("\"type\": \"text\"", "\"type\": \"int4\""),
            ("      \"version\": 2,\n", "      \"version\": 3,\n"),
            ("\"wrapped\": \"AAAA", "\"wrapped\": \"AAAB"),
            ("\"integrity\": \"", "\"integrity\": \"AAAA"),
        ] {
            let edited = text.replacen(from, to, 1);
            assert_ne!(edited, text, "{from}");
            assert_eq!(fault(&edited), Some(KeyringFileFault::Altered), "{from}");
        }
        let start = text.find("    {\n      \"name\": \"email\"").unwrap();
        let end = text.find("    {\n      \"name\": \"note\"").unwrap();
        let without = format!("{}{}", &text[..start], &text[end..]);
        assert_eq!(fault(&without), Some(KeyringFileFault::Altered), "a domain left out");
    }

    #[test]
    fn refuses_values_that_run_into_the_next_line_of_the_message() {
        // One domain whose name swallows another: the covered message, and so the tag, is
        // the same, but no name has white space.
        let text = written();
        let start = text.find("\"email\"").unwrap();
        let end = text.find("\"note\"").unwrap() + "\"note\"".len();
        let swallowed = "\"email equality text 1 1 1700000100\\ndomain note\"";
        let merged = format!("{}{swallowed}{}", &text[..start], &text[end..]);
        assert!(matches!(fault(&merged), Some(KeyringFileFault::Content(KeyringFault::DomainName(_)))));
    }

    #[test]
    fn names_what_it_cannot_read() {
        let text = written();
        let master = MasterKey::new([8; 32]);
        assert_eq!(decode_keyring(&text, &master).err(), Some(KeyringFileFault::OtherMaster));
        assert_eq!(fault(&text.replace("sealgate keyring", "other")), Some(KeyringFileFault::Format));
        let later = text.replacen("\"version\": 2", "\"version\": 3", 1);
        assert_eq!(fault(&later), Some(KeyringFileFault::Version(3)));
        let unknown = text.replacen("\"current\"", "\"comment\": \"\",\n  \"current\"", 1);
        for broken in ["", "{", "[]", "null", &unknown, &text[..text.len() / 2]] {
            assert!(matches!(fault(broken), Some(KeyringFileFault::Syntax { .. })), "{broken}");
        }
    }

    #[test]
    fn reads_master_keys_as_openssl_writes_them() {
        let text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
        let key = MasterKey::from_base64(text).unwrap();
        assert_eq!(key.0[31], 31);
        for (text, expected) in [
            ("", MasterKeyFault::Empty),
            (" \n", MasterKeyFault::Empty),
            ("not base64!", MasterKeyFault::NotBase64),
            ("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", MasterKeyFault::NotBase64),
            ("AAECAwQFBgcICQoLDA0ODw==", MasterKeyFault::Length(16)),
        ] {
            let fault = MasterKey::from_base64(text).err();
            assert_eq!(fault, Some(expected), "{text}");
            let shown = expected.to_string();
            assert!(text.trim().is_empty() || !shown.contains(text), "{shown}");
        }
    }
}
