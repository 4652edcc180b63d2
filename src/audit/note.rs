//! Checkpoints: how far the record has come, signed, in the form of C2SP's signed-note and
//! tlog-checkpoint, so that what others have for those reads ours.
//!
//! Whoever may write the folder can write the chain anew from any line on; under what was signed
//! and lies elsewhere he cannot. The key's name is made from the key, so that a secret is 32 bytes and
//! nothing else, and two keys never share a name.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::chain::Link;

/// The signature type of Ed25519 in a signed note.
const ALGORITHM: u8 = 1;
const KEY_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 64;
/// What begins a line of signatures: an em dash and a blank.
const DASH: &str = "\u{2014} ";
/// No note is longer, in bytes; no line of it is looked at beyond.
pub const NOTE_BYTES_MAX: usize = 8 << 10;
/// In a text of others (a line of syslog) a note stands as one word: this, and its base64.
pub const WORD: &str = "note=";

/// Why a signing key cannot be used. It never holds a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SigningKeyFault(&'static str);

impl fmt::Display for SigningKeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The secret half: signs checkpoints.
pub struct Signer {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl Signer {
    /// From 32 bytes in base64: the seed of an Ed25519 key, as RFC 8032 has it.
    ///
    /// # Errors
    /// The text is not that.
    pub fn from_base64(text: &str) -> Result<Signer, SigningKeyFault> {
        const NOT_32: SigningKeyFault =
            SigningKeyFault("a signing key is 32 bytes in base64: `openssl rand -base64 32` makes one");
        let mut seed = Zeroizing::new([0; KEY_BYTES]);
        // One byte of room more: a longer text is noticed.
        let mut room = Zeroizing::new([0; KEY_BYTES + 4]);
        let length = STANDARD.decode_slice(text.trim(), &mut *room).map_err(|_| NOT_32)?;
        seed.copy_from_slice(room.get(..length).filter(|key| key.len() == KEY_BYTES).ok_or(NOT_32)?);
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed)
            .map_err(|_| SigningKeyFault("the signing key is no seed of an Ed25519 key"))?;
        let mut key = [0; KEY_BYTES];
        key.copy_from_slice(pair.public_key().as_ref().get(..KEY_BYTES).ok_or(NOT_32)?);
        Ok(Signer { pair, public: PublicKey::new(key) })
    }

    /// The half that may be shown.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The checkpoint as a signed note.
    #[must_use]
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        let text = checkpoint.text();
        let signature = self.pair.sign(text.as_bytes());
        let mut signed = self.public.id().to_vec();
        signed.extend_from_slice(signature.as_ref());
        format!("{text}\n{DASH}{} {}\n", self.public.name(), STANDARD.encode(signed))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.public)
    }
}

/// The public half: all that verifying needs. Shown and read as C2SP's verifier key
/// `<name>+<id>+<base64>`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicKey {
    key: [u8; KEY_BYTES],
    name: String,
}

impl PublicKey {
    fn new(key: [u8; KEY_BYTES]) -> PublicKey {
        let digest = Sha256::digest(key);
        let front: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        PublicKey { key, name: format!("sealgate-record-{front}") }
    }

    /// The name under which it signs, and the origin of its checkpoints.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> [u8; 4] {
        let digest = Sha256::new()
            .chain_update(self.name.as_bytes())
            .chain_update([b'\n', ALGORITHM])
            .chain_update(self.key)
            .finalize();
        std::array::from_fn(|at| digest.get(at).copied().unwrap_or_default())
    }

    /// None: no verifier key, or not one whose name and id are those of its key.
    #[must_use]
    pub fn parse(text: &str) -> Option<PublicKey> {
        // The base64 may hold a plus sign.
        let mut parts = text.trim().splitn(3, '+');
        let (name, id, encoded) = (parts.next()?, parts.next()?, parts.next()?);
        let bytes = STANDARD.decode(encoded).ok()?;
        let key = bytes.strip_prefix(&[ALGORITHM])?.try_into().ok()?;
        let public = PublicKey::new(key);
        let spelt = public.id().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        (public.name == name && spelt == id).then_some(public)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+", self.name)?;
        self.id().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        let mut bytes = vec![ALGORITHM];
        bytes.extend_from_slice(&self.key);
        write!(f, "+{}", STANDARD.encode(bytes))
    }
}

/// How far the record has come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The name of the key.
    pub origin: String,
    /// The number of the last record that it covers.
    pub size: u64,
    /// That record's link.
    pub link: Link,
    /// When it was signed, RFC 3339.
    pub time: String,
    /// The name of the Sealgate that wrote the record.
    pub node: String,
}

impl Checkpoint {
    fn text(&self) -> String {
        // A name is one line of it.
        let node: String = self.node.chars().filter(|letter| !letter.is_control()).collect();
        let Checkpoint { origin, size, time, .. } = self;
        format!("{origin}\n{size}\n{}\ntime {time}\nnode {node}\n", STANDARD.encode(self.link.0))
    }

    /// Reads the text of a note. Lines of extensions that it does not know are signed all the same.
    fn parse(text: &str) -> Option<Checkpoint> {
        let mut lines = text.lines();
        let (origin, size, root) = (lines.next()?.to_owned(), lines.next()?, lines.next()?);
        let link = Link(STANDARD.decode(root).ok()?.try_into().ok()?);
        let sound = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_digit());
        let size: u64 = size.parse().ok().filter(|read: &u64| sound && read.to_string() == size)?;
        let (mut time, mut node) = (String::new(), String::new());
        for line in lines {
            if let Some(told) = line.strip_prefix("time ") {
                told.clone_into(&mut time);
            } else if let Some(told) = line.strip_prefix("node ") {
                told.clone_into(&mut node);
            }
        }
        Some(Checkpoint { origin, size, link, time, node })
    }
}

/// What a note is, to somebody who has some public keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Opened {
    /// Signed by one of them.
    Signed(Checkpoint),
    /// By a key of its name and id it is said to be signed, and is not.
    Forged,
    /// Of other keys, or no checkpoint.
    Foreign,
}

/// Reads one note.
#[must_use]
pub fn open(note: &str, keys: &[PublicKey]) -> Opened {
    let Some((text, signatures)) = note.split_once(&format!("\n\n{DASH}")) else { return Opened::Foreign };
    let text = format!("{text}\n");
    let mut opened = Opened::Foreign;
    for line in signatures.split('\n') {
        let line = line.strip_prefix(DASH).unwrap_or(line);
        let Some((name, encoded)) = line.split_once(' ') else { continue };
        let Some(key) = keys.iter().find(|key| key.name == name) else { continue };
        let signed = STANDARD.decode(encoded).unwrap_or_default();
        let Some((id, signature)) = signed.split_at_checked(4) else { continue };
        if id != key.id() || signature.len() != SIGNATURE_BYTES {
            continue;
        }
        opened = Opened::Forged;
        if UnparsedPublicKey::new(&ED25519, key.key).verify(text.as_bytes(), signature).is_ok() {
            return match Checkpoint::parse(&text).filter(|checkpoint| checkpoint.origin == key.name) {
                Some(checkpoint) => Opened::Signed(checkpoint),
                None => Opened::Foreign,
            };
        }
    }
    opened
}

/// The notes of a text: those that stand in it as they are, one behind the other, and those that
/// stand as one word in a line of something else.
#[must_use]
pub fn notes_in(text: &str) -> Vec<String> {
    let mut notes = Vec::new();
    let mut current = String::new();
    let mut signed = false;
    for line in text.lines() {
        if let Some(encoded) = line.split(' ').find_map(|word| word.trim_matches('"').strip_prefix(WORD)) {
            if std::mem::take(&mut signed) {
                notes.push(std::mem::take(&mut current));
            }
            current.clear();
            let decoded = STANDARD.decode(encoded).ok().filter(|bytes| bytes.len() <= NOTE_BYTES_MAX);
            notes.extend(decoded.and_then(|bytes| String::from_utf8(bytes).ok()));
            continue;
        }
        let signature = line.starts_with(DASH);
        if signed && !signature {
            notes.push(std::mem::take(&mut current));
            signed = false;
        } else if current.ends_with("\n\n") && !signature {
            // Half of one, which a crash left.
            current.clear();
        }
        if current.is_empty() && line.is_empty() {
            continue;
        }
        signed |= signature;
        current.push_str(line);
        current.push('\n');
        if current.len() > NOTE_BYTES_MAX {
            current.clear();
            signed = false;
        }
    }
    if signed {
        notes.push(current);
    }
    notes
}

/// The note as one word.
#[must_use]
pub fn word(note: &str) -> String {
    format!("{WORD}{}", STANDARD.encode(note))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032's first test vector.
    const SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            origin: Signer::from_base64(SEED).unwrap().public().name().to_owned(),
            size: 1234,
            link: Link([5; 32]),
            time: "2026-11-21T22:32:48.000001Z".into(),
            node: "gate 1".into(),
        }
    }

    #[test]
    fn a_key_is_named_by_itself_and_shown_as_others_show_it() {
        let signer = Signer::from_base64(SEED).unwrap();
        let shown = signer.public().to_string();
        assert_eq!(PublicKey::parse(&shown).as_ref(), Some(signer.public()));
        assert!(shown.ends_with("+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"), "{shown}");
        assert!(include_str!("../../docs/RECORD.md").contains(&shown), "not in docs/RECORD.md: {shown}");
        for bad in ["", "x+00000000+AA==", &shown.replacen("sealgate", "other", 1), &shown[..shown.len() - 4]]
        {
            assert_eq!(PublicKey::parse(bad), None, "{bad}");
        }
        for bad in ["", "c2hvcnQ=", "!", &"A".repeat(48), &"A".repeat(400)] {
            assert!(Signer::from_base64(bad).is_err(), "{bad}");
        }
        assert!(!format!("{signer:?}").contains(SEED));
    }

    #[test]
    fn a_note_opens_by_the_public_half_and_no_byte_of_it_can_change() {
        let signer = Signer::from_base64(SEED).unwrap();
        let keys = [signer.public().clone()];
        let note = signer.sign(&checkpoint());
        assert_eq!(open(&note, &keys), Opened::Signed(checkpoint()));
        assert!(include_str!("../../docs/RECORD.md").contains(&note), "not in docs/RECORD.md:\n{note}");
        assert_eq!(open(&note, &[]), Opened::Foreign);
        let other = Signer::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
        assert_eq!(open(&note, &[other.public().clone()]), Opened::Foreign);
        for at in 0..note.len() {
            let mut changed = note.clone().into_bytes();
            changed[at] ^= 1;
            let Ok(changed) = String::from_utf8(changed) else { continue };
            let opened = open(&changed, &keys);
            // The last line end is no part of it.
            assert!(at == note.len() - 1 || !matches!(opened, Opened::Signed(_)), "byte {at}: {changed}");
        }
        // A second signature, of somebody else, does no harm and no good.
        let witnessed = format!("{note}{DASH}witness.example AAAAAAAA\n");
        assert_eq!(open(&witnessed, &keys), Opened::Signed(checkpoint()));
        let posed = note.replace(keys[0].name(), other.public().name());
        assert_eq!(open(&posed, &[other.public().clone()]), Opened::Foreign, "its id is not that key's");
    }

    #[test]
    fn what_is_signed_and_no_checkpoint_is_foreign() {
        let signer = Signer::from_base64(SEED).unwrap();
        let keys = [signer.public().clone()];
        let name = signer.public().name();
        for text in [
            "other\n1\nAAAA\n".to_owned(),
            format!("{name}\n1\nAAAA\n"),
            format!("{name}\n01\n{}\n", STANDARD.encode([0; 32])),
            format!("{name}\n+1\n{}\n", STANDARD.encode([0; 32])),
            format!("elsewhere\n1\n{}\n", STANDARD.encode([0; 32])),
        ] {
            let signature = signer.pair.sign(text.as_bytes());
            let signed = [signer.public.id().as_slice(), signature.as_ref()].concat();
            let note = format!("{text}\n{DASH}{name} {}\n", STANDARD.encode(signed));
            assert_eq!(open(&note, &keys), Opened::Foreign, "{text}");
        }
    }

    #[test]
    fn notes_are_found_one_behind_the_other_and_in_lines_of_a_log() {
        let signer = Signer::from_base64(SEED).unwrap();
        let notes: Vec<String> =
            (0..3).map(|size| signer.sign(&Checkpoint { size, ..checkpoint() })).collect();
        assert_eq!(notes_in(&notes.concat()), notes);
        assert_eq!(notes_in(&notes.join("\n")), notes, "with an empty line between");
        let logged: Vec<String> =
            notes.iter().map(|note| format!("Nov 21 x sealgate: {}\n", word(note))).collect();
        assert_eq!(notes_in(&logged.concat()), notes);
        assert_eq!(notes_in(&(notes[0].clone() + &logged[1] + &notes[2])), notes);
        let torn = &notes[1][..notes[1].len() - 30];
        assert_eq!(notes_in(&(notes[0].clone() + torn)).len(), 2, "which does not open");
        let unsigned = &notes[1][..notes[1].find("\n\n").unwrap() - 5];
        assert_eq!(notes_in(&format!("{unsigned}\n\n{}", notes[2])), notes[2..], "half of one before it");
        assert_eq!(notes_in("\n\nnothing\nnote=!!! \n"), [""; 0]);
        assert_eq!(notes_in(&"x".repeat(NOTE_BYTES_MAX * 3)), [""; 0]);
    }
}
