//! What the server keeps instead of a password, and what is recovered with its help.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::arithmetic::{Kept, Key, hmac, kept};

/// Iterations of a verifier that a server makes, where nobody set `scram_iterations`.
pub const ITERATIONS_DEFAULT: u32 = 4096;

/// Longest verifier read, in bytes. The server's own have 133; a salt may be longer.
const TEXT_BYTES_MAX: usize = 1024;
/// Length of the salts that the server makes, and of the mock ones.
const MOCK_SALT_BYTES: usize = 16;

/// A SCRAM-SHA-256 verifier (`pg_authid.rolpassword`). Whoever has it can pose as the
/// server and try passwords: no `Debug`, no `Clone`, and its keys wipe themselves.
pub struct Verifier {
    pub(super) iterations: u32,
    pub(super) salt: Vec<u8>,
    pub(super) stored_key: Kept,
    pub(super) server_key: Kept,
}

impl Verifier {
    /// Reads `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`. None is anything
    /// else: an MD5 hash, no verifier, a damaged one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Verifier> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let (parameters, keys) = text.strip_prefix("SCRAM-SHA-256$")?.split_once('$')?;
        let (iterations, salt) = parameters.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let salt = STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?;
        Some(Verifier {
            iterations: iterations_in(iterations.as_bytes())?,
            salt,
            stored_key: key_in(stored_key.as_bytes())?,
            server_key: key_in(server_key.as_bytes())?,
        })
    }

    /// Stands where there is none: it looks the same from outside, always the same for the
    /// same name, and no proof fits it.
    pub(super) fn mock(secret: &MockSecret, user: &[u8], iterations: u32) -> Verifier {
        let code = hmac(&secret.0, &[user]);
        let salt = code.iter().take(MOCK_SALT_BYTES).copied().collect();
        Verifier { iterations, salt, stored_key: Kept::default(), server_key: Kept::default() }
    }
}

/// A number of iterations as the messages and verifiers write it.
pub(super) fn iterations_in(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: i32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    u32::try_from(number).ok().filter(|number| *number > 0)
}

/// A key, signature or proof in base64.
pub(super) fn key_in(base64: &[u8]) -> Option<Kept> {
    let bytes = Zeroizing::new(STANDARD.decode(base64).ok()?);
    let bytes: &Key = bytes.as_slice().try_into().ok()?;
    Some(kept(|key| key.copy_from_slice(bytes)))
}

/// What the salts of mock exchanges are made from: chance, and the same for as long as it
/// should not show which users exist.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct MockSecret(Key);

impl MockSecret {
    #[must_use]
    pub fn new(random: [u8; 32]) -> MockSecret {
        MockSecret(random)
    }
}

/// Enough to log in as the user without the password. No `Debug`; its keys wipe themselves.
pub struct RecoveredKeys {
    pub(super) client_key: Kept,
    pub(super) verifier: Verifier,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    #[test]
    fn reads_what_the_server_writes() {
        let verifier = Verifier::parse(SOUND).unwrap();
        assert_eq!((verifier.iterations, verifier.salt.len()), (4096, 16));
        assert_eq!(verifier.stored_key[0], 0x58);
        assert_eq!(verifier.server_key[31], 0xd5);
    }

    #[test]
    fn refuses_everything_else() {
        let long_salt = SOUND.replace("W22ZaJ0SNY7soEsUEjb6gQ==", &"AAAA".repeat(240));
        assert!(long_salt.len() > TEXT_BYTES_MAX);
        let cases = [
            "",
            "md5a3556571e93b0d20722ba62be61e8c2d",
            "pencil",
            "SCRAM-SHA-256",
            &SOUND.replace("SCRAM-SHA-256", "SCRAM-SHA-1"),
            &SOUND.replace("SCRAM-SHA-256", "scram-sha-256"),
            &SOUND.replace("4096", "0"),
            &SOUND.replace("4096", "-1"),
            &SOUND.replace("4096", "+4096"),
            &SOUND.replace("4096", " 4096"),
            &SOUND.replace("4096", ""),
            &SOUND.replace("4096", "2147483648"),
            &SOUND.replace("W22ZaJ0SNY7soEsUEjb6gQ==", ""),
            &SOUND.replace("W22ZaJ0SNY7soEsUEjb6gQ==", "W22ZaJ0SNY7soEsUEjb6gQ"),
            &SOUND.replace("WG5d", "!!!!"),
            &SOUND.replace("WG5d", ""),
            &SOUND.replace("wfPL", "wfPLwfPL"),
            &SOUND.replace("$WG5d", ":WG5d"),
            &format!("{SOUND}\n"),
            &long_salt,
        ];
        for text in cases {
            assert!(Verifier::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        for length in 0..SOUND.len() {
            assert!(Verifier::parse(&SOUND[..length]).is_none(), "{length}");
        }
    }

    #[test]
    fn a_mock_is_the_same_for_a_name_and_differs_by_name_and_secret() {
        let salt =
            |secret: u8, user: &[u8]| Verifier::mock(&MockSecret::new([secret; 32]), user, 4096).salt.clone();
        assert_eq!(salt(1, b"ada"), salt(1, b"ada"));
        assert_ne!(salt(1, b"ada"), salt(1, b"bob"));
        assert_ne!(salt(1, b"ada"), salt(2, b"ada"));
        assert_eq!(salt(1, b"ada").len(), MOCK_SALT_BYTES);
    }
}
