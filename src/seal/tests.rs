//! Claims about the room as a whole: what opens, what does not, and what is refused.

use std::sync::Arc;

use aes_siv::siv::Aes256Siv;
use base64::Engine;

use super::envelope::TEXT;
use super::*;
use crate::catalog::{Domain, DomainName, Kind, Mode};

/// Counts up, so that no two draws are equal and every run is.
pub(super) struct Counting(pub(super) u64);

impl Random for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 += 1;
            chunk.copy_from_slice(&self.0.to_be_bytes()[8 - chunk.len()..]);
        }
    }
}

pub(super) fn domain(name: &str, mode: Mode) -> Domain {
    Domain { name: DomainName(name.into()), mode, kind: Kind::TEXT }
}

pub(super) fn parts(versions: &[u16], domains: &[Domain]) -> KeyringParts {
    let roots = versions.iter().map(|&version| Root {
        version,
        created_unix_s: 1_700_000_000 + u64::from(version),
        key: RootKey::new([version as u8; 32]),
    });
    let domains = domains.iter().map(|domain| KeyedDomain {
        domain: domain.clone(),
        generation: (domain.mode == Mode::Equality).then_some(versions[0]),
        created_unix_s: 1_700_000_100,
    });
    KeyringParts {
        identity: Some(KeyringIdentity::new([7; 16])),
        created_unix_s: 1_700_000_000,
        roots: roots.collect(),
        current: *versions.last().unwrap(),
        domains: domains.collect(),
    }
}

fn sealer_of(versions: &[u16], domains: &[Domain]) -> Sealer {
    let keyring = Keyring::from_parts(parts(versions, domains)).unwrap();
    Sealer::new(Arc::new(keyring), Box::new(Counting(0)))
}

fn both() -> [Domain; 2] {
    [domain("note", Mode::Random), domain("email", Mode::Equality)]
}

fn seal(sealer: &mut Sealer, domain: &Domain, value: &str) -> String {
    let mut out = b"before ".to_vec();
    sealer.seal(domain, value.as_bytes(), &mut out).unwrap();
    String::from_utf8(out).unwrap().strip_prefix("before ").unwrap().to_owned()
}

fn open(sealer: &mut Sealer, domain: &Domain, sealed: &str) -> Result<String, OpenError> {
    let mut value = Plaintext::new(b"of before".to_vec());
    let opened = sealer.open(domain, sealed.as_bytes(), &mut value);
    if opened.is_err() {
        assert_eq!(value.expose(), b"", "nothing is revealed on error");
    }
    opened.map(|()| String::from_utf8(value.expose().to_vec()).unwrap())
}

#[test]
fn opens_what_it_sealed() {
    let mut sealer = sealer_of(&[1], &both());
    let long = "é".repeat(200_000);
    for value in ["", "a", "ada@example.org", "Zoë Łódź 🙂", "exactly 15 byte", "exactly 16 bytes", &long]
    {
        for domain in both() {
            let sealed = seal(&mut sealer, &domain, value);
            assert!(sealed.starts_with(&guard_prefix(&domain)));
            assert!(value.is_empty() || value == "a" || !sealed.contains(value));
            assert_eq!(open(&mut sealer, &domain, &sealed).as_deref(), Ok(value));
            assert_eq!(open(&mut sealer_of(&[1], &both()), &domain, &sealed).as_deref(), Ok(value));
        }
    }
}

#[test]
fn seals_a_value_once_for_equality_and_anew_for_random() {
    let mut sealer = sealer_of(&[1], &both());
    let [note, email] = both();
    assert_eq!(seal(&mut sealer, &email, "x"), seal(&mut sealer_of(&[1], &both()), &email, "x"));
    assert_ne!(seal(&mut sealer, &email, "x"), seal(&mut sealer, &email, "y"));
    assert_ne!(seal(&mut sealer, &note, "x"), seal(&mut sealer, &note, "x"));
}

#[test]
fn a_writer_keeps_half_of_the_nonce_and_draws_the_rest() {
    let mut sealer = sealer_of(&[1], &both());
    let [note, _] = both();
    let bytes: Vec<_> = (0..2).map(|_| TEXT.decode(seal(&mut sealer, &note, "x")).unwrap()).collect();
    assert_eq!(bytes[0][12..24], bytes[1][12..24]);
    assert_ne!(bytes[0][24..36], bytes[1][24..36]);
}

#[test]
fn a_writer_draws_a_new_epoch_when_one_is_spent() {
    let mut sealer = sealer_of(&[1], &both());
    let [note, _] = both();
    let half = |sealer: &mut Sealer| TEXT.decode(seal(sealer, &note, "x")).unwrap()[12..24].to_vec();
    let first = half(&mut sealer);
    sealer.shorten_epochs(1);
    assert_eq!(half(&mut sealer), first, "the last of the epoch");
    let second = half(&mut sealer);
    assert_ne!(second, first);
    assert_eq!(half(&mut sealer), second);
}

#[test]
fn a_reader_keeps_one_key_an_epoch() {
    let [note, _] = both();
    let mut writer = sealer_of(&[1], &both());
    let mut reader = sealer_of(&[1], &both());
    for kept in [1, 2] {
        for _ in 0..3 {
            let sealed = seal(&mut writer, &note, "x");
            assert_eq!(open(&mut reader, &note, &sealed).as_deref(), Ok("x"));
            assert_eq!(reader.kept_keys(), (1, kept));
        }
        writer.shorten_epochs(0);
    }
}

#[test]
fn altering_any_character_or_length_refuses() {
    let mut sealer = sealer_of(&[1], &both());
    for domain in both() {
        let sealed = seal(&mut sealer, &domain, "ada@example.org");
        for place in 0..sealed.len() {
            for with in [b'-', b'A', b'z', b'=', b' ', 0, 0xFF] {
                let mut altered = sealed.clone().into_bytes();
                if altered[place] == with {
                    continue;
                }
                altered[place] = with;
                let opened = sealer.open(&domain, &altered, &mut Plaintext::default());
                assert!(opened.is_err(), "{place} {with}");
            }
            let cut = sealer.open(&domain, &sealed.as_bytes()[..place], &mut Plaintext::default());
            assert!(cut.is_err(), "cut at {place}");
        }
        for more in ["-", "A", "----", "=", "\n", " "] {
            assert!(open(&mut sealer, &domain, &format!("{sealed}{more}")).is_err(), "{more:?}");
        }
    }
}

#[test]
fn altering_any_bit_says_where_it_was_noticed() {
    let mut sealer = sealer_of(&[1], &both());
    for domain in both() {
        let sealed = TEXT.decode(seal(&mut sealer, &domain, "ada@example.org")).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            let expected = match bit / 8 {
                0..3 => OpenError::NotEnvelope,
                3..=8 => OpenError::OtherDomain,
                10 | 11 => OpenError::UnknownKeyVersion(u16::from_be_bytes([altered[10], altered[11]])),
                _ => OpenError::Altered,
            };
            assert_eq!(open(&mut sealer, &domain, &TEXT.encode(&altered)), Err(expected), "bit {bit}");
        }
        assert!(open(&mut sealer, &domain, &TEXT.encode(&sealed)).is_ok(), "the cipher is as before");
    }
}

#[test]
fn plain_and_short_values_are_no_envelopes() {
    let mut sealer = sealer_of(&[1], &both());
    for domain in both() {
        let header = TEXT.encode(header_bytes(&domain));
        for sealed in ["", "S", "SEAL", "SEALED", "ada@example.org", "c2VhbGVk", "SEALé---"] {
            assert_eq!(open(&mut sealer, &domain, sealed), Err(OpenError::NotEnvelope), "{sealed}");
        }
        for length in 0..60 {
            let sealed = format!("{header}{}", TEXT.encode(vec![0; length]));
            assert_eq!(open(&mut sealer, &domain, &sealed), Err(OpenError::Altered), "{length}");
        }
    }
}

fn header_bytes(domain: &Domain) -> [u8; 12] {
    Header { tag: domain_tag(&domain.name), mode_byte: domain.mode.byte(), version: 1 }.to_bytes()
}

#[test]
fn a_value_moved_to_another_domain_does_not_open() {
    for mode in [Mode::Random, Mode::Equality] {
        let (here, there) = (domain("here", mode), domain("there", mode));
        let mut sealer = sealer_of(&[1], &[here.clone(), there.clone()]);
        let sealed = seal(&mut sealer, &here, "ada@example.org");
        assert_eq!(open(&mut sealer, &there, &sealed), Err(OpenError::OtherDomain));
        let mut forged = TEXT.decode(&sealed).unwrap();
        forged[3..9].copy_from_slice(&domain_tag(&there.name));
        assert_eq!(open(&mut sealer, &there, &TEXT.encode(forged)), Err(OpenError::Altered));
        let found = header(sealed.as_bytes()).unwrap();
        assert_eq!(sealer.keyring().domain_by_tag(&found.tag), Some(&here));
    }
}

#[test]
fn a_header_of_the_other_mode_does_not_open() {
    let mut sealer = sealer_of(&[1], &both());
    for (domain, mode_byte) in both().into_iter().zip([2, 1]) {
        for mode_byte in [mode_byte, 0, 3, 16, 255] {
            let mut forged = TEXT.decode(seal(&mut sealer, &domain, "x")).unwrap();
            forged[9] = mode_byte;
            assert_eq!(open(&mut sealer, &domain, &TEXT.encode(forged)), Err(OpenError::Altered));
        }
    }
}

#[test]
fn a_new_root_seals_random_and_leaves_equality() {
    let [note, email] = both();
    let mut before = sealer_of(&[1], &both());
    let mut after = sealer_of(&[1, 2], &both());
    let (old_note, old_email) = (seal(&mut before, &note, "x"), seal(&mut before, &email, "x"));
    let new_note = seal(&mut after, &note, "x");
    assert_eq!(header(new_note.as_bytes()).unwrap().version, 2);
    assert_eq!(seal(&mut after, &email, "x"), old_email, "one value has one text");
    assert_eq!(open(&mut after, &note, &old_note).as_deref(), Ok("x"));
    assert_eq!(open(&mut after, &note, &new_note).as_deref(), Ok("x"));
    assert_eq!(open(&mut before, &note, &new_note), Err(OpenError::UnknownKeyVersion(2)));
}

#[test]
fn another_root_of_the_same_version_does_not_open() {
    let mut sealer = sealer_of(&[1], &both());
    let mut other = parts(&[1], &both());
    other.roots[0].key = RootKey::new([99; 32]);
    let other = Arc::new(Keyring::from_parts(other).unwrap());
    for domain in both() {
        let sealed = seal(&mut sealer, &domain, "x");
        let mut stranger = Sealer::new(other.clone(), Box::new(Counting(0)));
        assert_eq!(open(&mut stranger, &domain, &sealed), Err(OpenError::Altered));
    }
}

#[test]
fn refuses_values_that_are_no_text() {
    let mut sealer = sealer_of(&[1], &both());
    let cases: [&[u8]; 5] = [b"a\0b", b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80"];
    for domain in both() {
        for value in cases {
            let mut out = b"kept".to_vec();
            assert_eq!(sealer.seal(&domain, value, &mut out), Err(SealError::NotText));
            assert_eq!(out, b"kept");
        }
    }
}

#[test]
fn refuses_what_is_longer_than_the_maximum() {
    let mut sealer = sealer_of(&[1], &both());
    let [note, _] = both();
    let value = vec![b'x'; VALUE_LENGTH_MAX + 1];
    assert_eq!(sealer.seal(&note, &value, &mut Vec::new()), Err(SealError::TooLong));
    let mut sealed = TEXT.encode(header_bytes(&note)).into_bytes();
    sealed.resize(SEALED_LENGTH_MAX + 1, b'-');
    assert_eq!(sealer.open(&note, &sealed, &mut Plaintext::default()), Err(OpenError::NotEnvelope));
}

#[test]
fn refuses_a_domain_that_the_keyring_has_otherwise() {
    let mut sealer = sealer_of(&[1], &both());
    let sealed = seal(&mut sealer, &domain("email", Mode::Equality), "x");
    for stranger in [domain("email", Mode::Random), domain("phone", Mode::Random)] {
        assert_eq!(sealer.seal(&stranger, b"x", &mut Vec::new()), Err(SealError::UnknownDomain));
        assert_eq!(open(&mut sealer, &stranger, &sealed), Err(OpenError::UnknownDomain));
    }
}

#[test]
fn keeps_a_bounded_number_of_derived_keys() {
    let [note, _] = both();
    let mut reader = sealer_of(&[1], &both());
    let keyring = reader.keyring().clone();
    for writer in 0..600 {
        let mut writer = Sealer::new(keyring.clone(), Box::new(Counting(writer * 1000)));
        let sealed = seal(&mut writer, &note, "x");
        assert_eq!(open(&mut reader, &note, &sealed).as_deref(), Ok("x"));
        assert!(reader.kept_keys().1 <= 256);
    }
    let versions: Vec<u16> = (1..=200).collect();
    let domains: Vec<Domain> = (0..10).map(|n| domain(&format!("d{n}"), Mode::Random)).collect();
    let mut reader = sealer_of(&versions, &domains);
    for &version in &versions {
        let mut writer = sealer_of(&versions[..usize::from(version)], &domains);
        for domain in &domains {
            let sealed = seal(&mut writer, domain, "x");
            assert_eq!(open(&mut reader, domain, &sealed).as_deref(), Ok("x"));
            assert!(reader.kept_keys().0 <= 1024);
        }
    }
}

#[test]
fn each_schema_of_a_template_has_a_key_of_its_own_over_every_new_start() {
    for mode in [Mode::Random, Mode::Equality] {
        let template = domain("email@{schema}", mode);
        let mut sealer = sealer_of(&[1], std::slice::from_ref(&template));
        let [acme, zeta] = ["acme", "zeta"].map(|schema| domain_of(&template, schema));
        let sealed = seal(&mut sealer, &acme, "ada@example.org");
        assert!(sealed.starts_with(&guard_prefix(&acme)) && !sealed.starts_with(&guard_prefix(&zeta)));
        assert_ne!(seal(&mut sealer, &zeta, "ada@example.org")[16..], sealed[16..]);
        let mut later = sealer_of(&[1, 2], std::slice::from_ref(&template));
        assert_eq!(open(&mut later, &acme, &sealed).as_deref(), Ok("ada@example.org"));
        let version = header(seal(&mut later, &acme, "x").as_bytes()).unwrap().version;
        assert_eq!(version, if mode == Mode::Random { 2 } else { 1 }, "the template's own");
        if mode == Mode::Equality {
            assert_eq!(seal(&mut later, &acme, "ada@example.org"), sealed);
        }
        // Moved to another tenant, as it is and with the tag put right.
        assert_eq!(open(&mut sealer, &zeta, &sealed), Err(OpenError::OtherDomain));
        let mut forged = TEXT.decode(&sealed).unwrap();
        forged[3..9].copy_from_slice(&domain_tag(&zeta.name));
        assert_eq!(open(&mut sealer, &zeta, &TEXT.encode(forged)), Err(OpenError::Altered));
    }
}

#[test]
fn a_template_seals_nothing_itself_and_gives_nothing_beyond_its_schemas() {
    let template = domain("email@{schema}", Mode::Equality);
    let mut sealer = sealer_of(&[1], std::slice::from_ref(&template));
    let other_mode = domain_of(&domain("email@{schema}", Mode::Random), "acme");
    for stranger in [template, other_mode, domain("email", Mode::Equality), domain("a@acme", Mode::Equality)]
    {
        assert_eq!(sealer.seal(&stranger, b"x", &mut Vec::new()), Err(SealError::UnknownDomain));
    }
}

/// Schemas whose domains have the tag 36f5c347e2eb.
const COLLIDING: [&str; 2] = ["t9154556", "t29766141"];

#[test]
fn tags_that_collide_between_tenants_open_nothing_under_the_wrong_key() {
    // Found by trying: SHA-256("sealgate domain/email@" schema) begins alike for both.
    let template = domain("email@{schema}", Mode::Equality);
    let mut sealer = sealer_of(&[1], std::slice::from_ref(&template));
    let [one, other] = COLLIDING.map(|schema| domain_of(&template, schema));
    assert_eq!(domain_tag(&one.name), domain_tag(&other.name));
    let sealed = seal(&mut sealer, &one, "ada@example.org");
    assert_eq!(open(&mut sealer, &other, &sealed), Err(OpenError::Altered));
    assert_eq!(open(&mut sealer, &one, &sealed).as_deref(), Ok("ada@example.org"));
}

#[test]
fn keeps_a_bounded_number_of_tenants() {
    let template = domain("note@{schema}", Mode::Random);
    let mut sealer = sealer_of(&[1], std::slice::from_ref(&template));
    let first = domain_of(&template, "t0");
    let sealed = seal(&mut sealer, &first, "x");
    for number in 0..5000 {
        seal(&mut sealer, &domain_of(&template, &format!("t{number}")), "x");
        assert!(sealer.kept_domains() <= 4096 && sealer.kept_keys().0 <= 1024);
    }
    assert_eq!(open(&mut sealer, &first, &sealed).as_deref(), Ok("x"));
}

#[test]
fn does_not_keep_keys_for_forged_nonces() {
    let [note, _] = both();
    let mut sealer = sealer_of(&[1], &both());
    let mut forged = TEXT.decode(seal(&mut sealer, &note, "x")).unwrap();
    forged[40] ^= 1;
    for byte in 0..=255 {
        forged[12] = byte;
        let _ = open(&mut sealer, &note, &TEXT.encode(&forged));
    }
    assert_eq!(sealer.kept_keys().1, 0);
}

#[test]
fn equality_is_aes_siv_of_rfc_5297() {
    // RFC 5297 appendix A.1, with AES-128; the crate's Aes256Siv is the same code over
    // AES-256, and `tests/format/open.py` checks it against another implementation.
    use aes_siv::KeyInit;
    let unhex = |text: &str| -> Vec<u8> {
        (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
    };
    let key: [u8; 32] =
        unhex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff").try_into().unwrap();
    let sealed = aes_siv::siv::Aes128Siv::new(&key.into())
        .encrypt(
            [unhex("101112131415161718191a1b1c1d1e1f2021222324252627")],
            &unhex("112233445566778899aabbccddee"),
        )
        .unwrap();
    assert_eq!(sealed, unhex("85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c"));
    // Ours: key of 64 bytes, one component of associated data, body = siv | ciphertext.
    let email = domain("email", Mode::Equality);
    let key: [u8; 64] = *RootKey::new([1; 32]).derive(&email);
    let associated = [&header_bytes(&email)[..], b"email"].concat();
    let expected = Aes256Siv::new(&key.into()).encrypt([associated], b"\x01ada@example.org").unwrap();
    let sealed = TEXT.decode(seal(&mut sealer_of(&[1], &both()), &email, "ada@example.org")).unwrap();
    assert_eq!(sealed[12..], expected);
}

#[test]
fn survives_mutated_input() {
    let keyring = [domain("fuzz-random", Mode::Random), domain("fuzz-equality", Mode::Equality)];
    let mut sealer = sealer_of(&[1], &keyring);
    let mut seeds: Vec<Vec<u8>> =
        keyring.iter().map(|domain| seal(&mut sealer, domain, "ada@example.org").into_bytes()).collect();
    let file = encode_keyring(sealer.keyring(), &MasterKey::new([2; 32]), &mut Counting(0));
    seeds.push(file.into_bytes());
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut draw = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize % below
    };
    for round in 0..6000 {
        let mut data = seeds[round % seeds.len()].clone();
        for _ in 0..draw(4) {
            let place = draw(data.len());
            match draw(4) {
                0 => data[place] = draw(256) as u8,
                1 => data.truncate(place.max(1)),
                2 => data.insert(place, b"-Az=\"{\0"[draw(7)]),
                _ => data.extend_from_within(place..),
            }
        }
        fuzz_open(&data);
    }
}

#[test]
fn what_is_padded_is_as_long_as_its_neighbours_and_opens_without_its_padding() {
    for mode in [Mode::Random, Mode::Equality] {
        let plain = domain("plain", mode);
        let padded = Domain { kind: Kind { pad: Some(16), ..Kind::TEXT }, ..domain("padded", mode) };
        let mut sealer = sealer_of(&[1], &[plain, padded.clone()]);
        let mut opened = Plaintext::default();
        let mut lengths = Vec::new();
        for length in 0..40 {
            let value = "v".repeat(length);
            let sealed = seal(&mut sealer, &padded, &value);
            sealer.open(&padded, sealed.as_bytes(), &mut opened).unwrap();
            assert_eq!(opened.expose(), value.as_bytes(), "{length}");
            lengths.push(sealed.len());
        }
        // Type byte and value: 1 to 16 bytes, 17 to 32, 33 to 40.
        lengths.dedup();
        assert_eq!(lengths.len(), 3, "{mode:?}");
        // The same keyring with another padding is another one.
        let other = Domain { kind: Kind { pad: Some(32), ..Kind::TEXT }, ..padded.clone() };
        let sealed = seal(&mut sealer, &padded, "v");
        assert_eq!(sealer.open(&other, sealed.as_bytes(), &mut opened), Err(OpenError::UnknownDomain));
        let mut elsewhere = sealer_of(&[1], std::slice::from_ref(&other));
        assert_eq!(elsewhere.open(&other, sealed.as_bytes(), &mut opened), Err(OpenError::OtherType));
        assert_eq!(opened.expose(), b"", "nothing of it is shown");
    }
}
