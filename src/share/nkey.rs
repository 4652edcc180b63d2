//! Proof by a key: Ed25519 over what the server sent, the key written as NATS writes seeds.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Of a seed, and of a user's public key.
const SEED: u8 = 18 << 3;
const USER: u8 = 20 << 3;
/// Kind, 32 bytes of seed, check.
const SEED_BYTES: usize = 2 + 32 + 2;

/// The public key, and the signature in base64.
///
/// # Errors
/// It is no seed of a user.
pub(super) fn sign(seed: &str, nonce: &[u8]) -> Result<(String, String), String> {
    let pair = pair(seed).ok_or_else(|| "the nkey is no seed of a user (SU...)".to_owned())?;
    let signature = BASE64_URL_SAFE_NO_PAD.encode(pair.sign(nonce).as_ref());
    let mut public = vec![USER];
    public.extend_from_slice(pair.public_key().as_ref());
    public.extend_from_slice(&check(&public).to_le_bytes());
    Ok((encode(&public), signature))
}

/// Is it one?
pub(super) fn is_seed(seed: &str) -> bool {
    pair(seed).is_some()
}

fn pair(seed: &str) -> Option<Ed25519KeyPair> {
    let bytes = decode(seed)?;
    let (kind, secret, sum) = (bytes.get(..2)?, bytes.get(2..34)?, bytes.get(34..)?);
    let &[first, second] = kind else { return None };
    // Five bits say that it is a seed, the next eight of whom.
    let of = (first & 0b111) << 5 | second >> 3;
    let sound = first & 0b1111_1000 == SEED && of == USER && *sum == check(bytes.get(..34)?).to_le_bytes();
    sound.then(|| Ed25519KeyPair::from_seed_unchecked(secret).ok()).flatten()
}

fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (mut bytes, mut held, mut bits) = (Zeroizing::new(Vec::with_capacity(SEED_BYTES)), 0_u32, 0);
    for letter in text.bytes() {
        let value = LETTERS.iter().position(|known| *known == letter)?;
        held = held << 5 | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).ok()?);
            held &= (1 << bits) - 1;
        }
        if bytes.len() > SEED_BYTES {
            return None;
        }
    }
    (bytes.len() == SEED_BYTES).then_some(bytes)
}

fn encode(bytes: &[u8]) -> String {
    let (mut text, mut held, mut bits) = (String::new(), 0_u32, 0);
    let mut put = |value: u32| {
        let letter = usize::try_from(value & 31).ok().and_then(|at| LETTERS.get(at));
        text.extend(letter.map(|letter| char::from(*letter)));
    };
    for byte in bytes {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            put(held >> bits);
            held &= (1 << bits) - 1;
        }
    }
    if bits > 0 {
        put(held << (5 - bits));
    }
    text
}

/// CRC-16 as XMODEM has it.
fn check(bytes: &[u8]) -> u16 {
    let step = |sum: u16| if sum & 0x8000 == 0 { sum << 1 } else { sum << 1 ^ 0x1021 };
    bytes.iter().fold(0, |sum, byte| (0..8).fold(sum ^ u16::from(*byte) << 8, |sum, _| step(sum)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seed that NATS' own documentation shows, with its public key.
    const KNOWN: (&str, &str) = (
        "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY",
        "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4",
    );

    #[test]
    fn a_seed_gives_its_public_key_and_a_signature_that_holds() {
        let (public, signature) = sign(KNOWN.0, b"nonce").unwrap();
        assert_eq!(public, KNOWN.1);
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        let key = pair(KNOWN.0).unwrap();
        let key = aws_lc_rs::signature::UnparsedPublicKey::new(
            &aws_lc_rs::signature::ED25519,
            key.public_key().as_ref(),
        );
        key.verify(b"nonce", &signature).unwrap();
    }

    #[test]
    fn what_is_no_seed_of_a_user_is_none() {
        for text in
            ["", "SU", KNOWN.1, &KNOWN.0.replace("CSS", "CSV"), &KNOWN.0.to_lowercase(), &"A".repeat(999)]
        {
            assert!(!is_seed(text), "{text}");
        }
    }
}
