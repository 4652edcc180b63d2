//! The entry for fuzzing what reads bytes of others: envelopes and keyring files.

use std::sync::Arc;

use super::keyring::{KeyedDomain, Keyring, KeyringParts, Root, RootKey};
use super::{MasterKey, Plaintext, Random, Sealer, decode_keyring, header};
use crate::catalog::{Domain, DomainName, Kind, Mode};

/// Gives the same bytes again and again: for fuzzing alone.
struct Constant;

impl Random for Constant {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

fn domain(name: &str, mode: Mode) -> Domain {
    Domain { name: DomainName(name.into()), mode, kind: Kind::TEXT }
}

/// A sealer that knows these domains and seals the same each time.
pub(crate) fn fuzz_sealer(domains: &[Domain]) -> Option<Sealer> {
    let parts = KeyringParts {
        identity: None,
        created_unix_s: 0,
        roots: vec![Root { version: 1, created_unix_s: 0, key: RootKey::new([1; 32]) }],
        current: 1,
        domains: domains
            .iter()
            .map(|domain| KeyedDomain {
                domain: domain.clone(),
                generation: (domain.mode == Mode::Equality).then_some(1),
                created_unix_s: 0,
            })
            .collect(),
    };
    Some(Sealer::new(Arc::new(Keyring::from_parts(parts).ok()?), Box::new(Constant)))
}

/// Opens arbitrary bytes as an envelope of either mode and as a keyring file.
///
/// # Panics
/// On any panic below it, and where an opened equality value does not seal to the same
/// text again: then one value would have two texts.
pub fn fuzz_open(data: &[u8]) {
    let domains = [domain("fuzz-random", Mode::Random), domain("fuzz-equality", Mode::Equality)];
    let Some(mut sealer) = fuzz_sealer(&domains) else { return };
    let mut value = Plaintext::default();
    for domain in &domains {
        if sealer.open(domain, data, &mut value).is_ok() {
            assert!(header(data).is_some(), "what opens has a header");
            let mut again = Vec::new();
            let sealed = sealer.seal(domain, value.expose(), &mut again);
            let same = sealed.is_ok() && again == data;
            assert!(same || domain.mode == Mode::Random, "one value has one text");
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = decode_keyring(text, &MasterKey::new([2; 32]));
    }
}
