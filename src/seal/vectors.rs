//! The vectors of `docs/FORMAT.md`: what this program writes under fixed keys and nonces is
//! what `tests/format/` holds, and opens again.
//!
//! Where the format is meant to change, the failing test shows the new text of the file.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::envelope::TEXT;
use super::tests::domain;
use super::*;
use crate::catalog::{Domain, DomainName, Mode};

const KEYRING: &str = include_str!("../../tests/format/keyring.json");
/// The same of version 1, which has no identity.
const KEYRING_1: &str = include_str!("../../tests/format/keyring-1.json");
const SPECIFICATION: &str = include_str!("../../docs/FORMAT.md");
const VECTORS: &str = include_str!("../../tests/format/vectors.json");

/// Gives `first`, `first` + 1, ... without end.
struct Sequence(u8);

impl Random for Sequence {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.0;
            self.0 = self.0.wrapping_add(1);
        }
    }
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Vectors {
    master_key: String,
    root_keys_hex: Vec<String>,
    values: Vec<Vector>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Vector {
    domain: String,
    mode: String,
    key_version: u16,
    domain_key_hex: String,
    value: String,
    envelope_hex: String,
    sealed: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn master_bytes() -> [u8; 32] {
    std::array::from_fn(|at| at as u8)
}

fn root(version: u16) -> [u8; 32] {
    [version as u8 * 0x11; 32]
}

fn keyring(current: u16) -> Keyring {
    let roots = (1..=2).map(|version| Root {
        version,
        created_unix_s: 1_735_689_600 + u64::from(version),
        key: RootKey::new(root(version)),
    });
    let keyed = |name, mode, generation| KeyedDomain {
        domain: domain(name, mode),
        generation,
        created_unix_s: 1_735_689_600,
    };
    let parts = KeyringParts {
        identity: Some(KeyringIdentity::new(std::array::from_fn(|at| 0x60 + at as u8))),
        created_unix_s: 1_735_689_600,
        roots: roots.collect(),
        current,
        domains: vec![
            keyed("email", Mode::Equality, Some(1)),
            keyed("email@{schema}", Mode::Equality, Some(1)),
            keyed("note", Mode::Random, None),
        ],
    };
    Keyring::from_parts(parts).unwrap()
}

fn vector(domain: &Domain, version: u16, value: &str) -> Vector {
    // The writer's version of `random` is the current one.
    let mut sealer = Sealer::new(Arc::new(keyring(version)), Box::new(Sequence(0xA0)));
    let mut sealed = Vec::new();
    sealer.seal(domain, value.as_bytes(), &mut sealed).unwrap();
    let root = RootKey::new(root(version));
    Vector {
        domain: domain.name.to_string(),
        mode: domain.mode.name().to_owned(),
        key_version: version,
        domain_key_hex: match domain.mode {
            Mode::Random => hex(&*root.derive::<32>(domain)),
            Mode::Equality => hex(&*root.derive::<64>(domain)),
        },
        value: value.to_owned(),
        envelope_hex: hex(&TEXT.decode(&sealed).unwrap()),
        sealed: String::from_utf8(sealed).unwrap(),
    }
}

fn vectors() -> Vectors {
    let (email, note) = (domain("email", Mode::Equality), domain("note", Mode::Random));
    let long = "0123456789".repeat(30);
    let values = ["", "a", "ada@example.org", "Zoë Łódź 🙂", "exactly 15 byte", "exactly 16 bytes", &long];
    let equality = values.iter().map(|value| vector(&email, 1, value));
    let random = values.iter().map(|value| vector(&note, 2, value));
    let template = domain("email@{schema}", Mode::Equality);
    let tenants =
        ["acme", "caf\u{e9}"].map(|schema| vector(&domain_of(&template, schema), 1, "ada@example.org"));
    Vectors {
        master_key: STANDARD.encode(master_bytes()),
        root_keys_hex: [1, 2].map(|version| hex(&root(version))).to_vec(),
        values: equality
            .chain(random)
            .chain([vector(&note, 1, "under the older root")])
            .chain(tenants)
            .collect(),
    }
}

#[test]
fn writes_the_vectors_of_the_format() {
    let text = serde_json::to_string_pretty(&vectors()).unwrap();
    assert_eq!(text.trim(), VECTORS.trim(), "tests/format/vectors.json would be:\n{text}\n");
}

#[test]
fn writes_the_keyring_of_the_format() {
    let text = encode_keyring(&keyring(2), &MasterKey::new(master_bytes()), &mut Sequence(0x40));
    assert_eq!(text, KEYRING, "tests/format/keyring.json would be:\n{text}\n");
}

/// Of the oldest root key alone: whatever else the file holds, it is the same.
#[test]
fn a_keyring_of_version_1_has_an_identity_and_writes_it_with_the_next_change() {
    let master = || MasterKey::new(master_bytes());
    let read = decode_keyring(KEYRING_1, &master()).unwrap();
    let identity = read.identity().to_string();
    assert!(SPECIFICATION.contains(&identity), "{identity}");
    assert_ne!(identity, keyring(2).identity().to_string());
    let mut changed = read;
    changed.add_domains(&[domain("more", Mode::Random)], 2).unwrap();
    let written = encode_keyring(&changed, &master(), &mut Sequence(0));
    assert!(written.contains("\"version\": 2") && written.contains(&format!("\"identity\": \"{identity}\"")));
    assert_eq!(decode_keyring(&written, &master()).unwrap().identity().to_string(), identity);
    // No version's file passes for the other's, though its tag were sound.
    for (text, from, to) in [(KEYRING_1, 1, 2), (KEYRING, 2, 1)] {
        let other = text.replacen(&format!("\"version\": {from}"), &format!("\"version\": {to}"), 1);
        let passed = decode_keyring(&other, &master()).err();
        assert_eq!(passed, Some(KeyringFileFault::Altered));
    }
}

#[test]
fn opens_the_vectors_with_the_keyring_file() {
    let vectors: Vectors = serde_json::from_str(VECTORS).unwrap();
    let keyring = decode_keyring(KEYRING, &MasterKey::from_base64(&vectors.master_key).unwrap()).unwrap();
    let mut sealer = Sealer::new(Arc::new(keyring), Box::new(Sequence(0)));
    assert_eq!(vectors.values.len(), 17);
    for vector in vectors.values {
        let domain = sealer.keyring().domain(&DomainName(vector.domain.as_str().into())).unwrap();
        assert_eq!(domain.mode.name(), vector.mode);
        let mut value = Plaintext::default();
        sealer.open(&domain, vector.sealed.as_bytes(), &mut value).unwrap();
        assert_eq!(value.expose(), vector.value.as_bytes());
    }
}

#[test]
fn the_specification_shows_the_vectors() {
    let vectors = vectors();
    let shown = vectors.values.iter().filter(|vector| vector.value == "ada@example.org");
    for vector in shown {
        for number in [&vector.sealed, &vector.domain_key_hex, &vector.envelope_hex[..24].to_owned()] {
            assert!(SPECIFICATION.contains(number), "{number}");
        }
    }
    for key in ["master", "identity", "integrity"] {
        let file: serde_json::Value = serde_json::from_str(KEYRING).unwrap();
        assert!(SPECIFICATION.contains(file[key].as_str().unwrap()), "{key}");
    }
}
