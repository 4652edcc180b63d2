//! Which keyring it is. A domain's tag is made from its name, so that two keyrings with the same
//! names write the same headers: what tells them apart is this.

use std::fmt;

/// Bytes of an identity.
const LENGTH: usize = 16;

/// What stands before an identity where somebody names a keyring: with `_` behind it in the name of a
/// guard, with a blank in a text.
const WORD: &str = "keyring";

/// 128 random bits that are no secret: drawn when a keyring is made, and never changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyringIdentity([u8; LENGTH]);

impl KeyringIdentity {
    #[must_use]
    pub const fn new(bytes: [u8; LENGTH]) -> KeyringIdentity {
        KeyringIdentity(bytes)
    }

    /// Reads the 32 hexadecimal digits, in lower case, that an identity is written as.
    #[must_use]
    pub fn parse(text: &str) -> Option<KeyringIdentity> {
        let digits = text.as_bytes();
        let mut bytes = [0; LENGTH];
        if digits.len() != 2 * LENGTH {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            for digit in pair {
                *byte = *byte << 4 | nibble(*digit)?;
            }
        }
        Some(KeyringIdentity(bytes))
    }

    /// The identities that a guard's name, a comment or a message names, in order: 32 digits, and no
    /// 33rd, behind `keyring_` or `keyring` and a blank.
    pub fn all_in(text: &str) -> impl Iterator<Item = KeyringIdentity> {
        let pieces = text.match_indices(WORD).filter_map(|(at, word)| text.get(at + word.len()..));
        pieces.filter_map(|rest| alone(rest.strip_prefix(['_', ' '])?))
    }

    /// The first of them.
    #[must_use]
    pub fn named_in(text: &str) -> Option<KeyringIdentity> {
        KeyringIdentity::all_in(text).next()
    }
}

fn alone(rest: &str) -> Option<KeyringIdentity> {
    let further = rest.as_bytes().get(2 * LENGTH).copied().and_then(nibble);
    if further.is_some() { None } else { KeyringIdentity::parse(rest.get(..2 * LENGTH)?) }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for KeyringIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyringIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        let identity = KeyringIdentity::parse(WRITTEN).unwrap();
        assert_eq!(identity.to_string(), WRITTEN);
        let upper = WRITTEN.to_uppercase();
        let long = format!("{WRITTEN}0");
        for other in ["", &WRITTEN[1..], &long, &upper, &WRITTEN.replace('0', "g"), &"\u{e9}".repeat(16)] {
            assert_eq!(KeyringIdentity::parse(other), None, "{other}");
        }
    }

    #[test]
    fn finds_an_identity_in_names_and_comments() {
        let other = "ffffffffffffffffffffffffffffffff";
        for (text, found) in [
            (format!("email_keyring_{WRITTEN}"), true),
            (format!("keyring_{WRITTEN}"), true),
            (format!("sealgate keyring {WRITTEN}"), true),
            (format!("The key: keyring {WRITTEN}, see the wiki; keyring {other}"), true),
            (format!("keyring_short keyring {WRITTEN}."), true),
            (format!("keyring {WRITTEN} keyring_{other}"), true),
            (format!("keyring{WRITTEN}"), false),
            (format!("keyring_{WRITTEN}0"), false),
            (format!("keyring_{}", &WRITTEN[1..]), false),
            (format!("keyring_\u{e9}{WRITTEN}"), false),
            ("email_is_sealed".to_owned(), false),
            (String::new(), false),
        ] {
            let expected = found.then(|| WRITTEN.to_owned());
            assert_eq!(KeyringIdentity::named_in(&text).map(|named| named.to_string()), expected, "{text}");
        }
        let several = format!("keyring {other}; keyring keyring_{WRITTEN} keyring {WRITTEN}0");
        let all: Vec<String> = KeyringIdentity::all_in(&several).map(|named| named.to_string()).collect();
        assert_eq!(all, [other, WRITTEN]);
    }
}
