//! The public keys of an identity provider, as it publishes them: a JSON Web Key Set (RFC 7517).
//!
//! It has several while it changes from one to the next, and tokens say by `kid` which is theirs.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use super::token::{TokenAlgorithm, TokenKey, TokenTerms};

/// Longest set, in bytes.
pub const SET_BYTES_MAX: usize = 262_144;
/// Most keys of one set.
const KEYS_MAX: usize = 64;
/// From and to how many bytes the modulus of an RSA key is long.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// A key for each of the set that signs by the algorithm of `terms`, whose id becomes that key's. Those of
/// other algorithms and uses are left out.
///
/// # Errors
/// It is no set, has too many keys, a private one or a broken one, one without an id, two with the same, or none
/// of this algorithm. Nothing of the set is told.
pub fn keys(terms: &TokenTerms, text: &[u8]) -> Result<Vec<TokenKey>, &'static str> {
    if text.len() > SET_BYTES_MAX {
        return Err("the set is longer than 262144 bytes");
    }
    let set: Value = serde_json::from_slice(text).map_err(|_| "it is no JSON")?;
    let Some(entries) = set.get("keys").and_then(Value::as_array) else {
        return Err("it is no JSON Web Key Set: an object with an array \"keys\"");
    };
    if entries.len() > KEYS_MAX {
        return Err("the set has more than 64 keys");
    }
    let (mut keys, mut ids) = (Vec::new(), HashSet::new());
    for entry in entries {
        let Some(entry) = entry.as_object() else { return Err("a key of the set is no object") };
        if entry.contains_key("d") {
            return Err("the set has a private key (\"d\"): it belongs to the identity provider alone");
        }
        if !signs_by(terms.algorithm, entry) {
            continue;
        }
        let id = text_of(entry, "kid").filter(|id| !id.is_empty());
        let id = id.ok_or("a key of this algorithm has no id (\"kid\")")?;
        if !ids.insert(id) {
            return Err("two keys of this algorithm have the same id (\"kid\")");
        }
        let key = decoding(terms.algorithm, entry).ok_or("a key of this algorithm is broken or too short")?;
        keys.push(TokenKey::of(TokenTerms { id: Some(id.to_owned()), ..terms.clone() }, key));
    }
    if keys.is_empty() { Err("the set has no key of this algorithm that signs") } else { Ok(keys) }
}

fn text_of<'a>(entry: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    entry.get(name).and_then(Value::as_str)
}

/// Whether the set means this key for signatures of this algorithm. What it does not say, it leaves open.
fn signs_by(algorithm: TokenAlgorithm, entry: &Map<String, Value>) -> bool {
    let (kind, curve, name) = match algorithm {
        // A set is public: it holds no secrets.
        TokenAlgorithm::Hs256 => return false,
        TokenAlgorithm::Rs256 => ("RSA", None, "RS256"),
        TokenAlgorithm::Es256 => ("EC", Some("P-256"), "ES256"),
        TokenAlgorithm::EdDsa => ("OKP", Some("Ed25519"), "EdDSA"),
    };
    let is = |key: &str, wanted: &str| text_of(entry, key) == Some(wanted);
    let open_or = |key: &str, wanted: &str| !entry.contains_key(key) || is(key, wanted);
    let verifies = entry.get("key_ops").is_none_or(|listed| {
        listed.as_array().is_some_and(|listed| listed.iter().any(|one| one.as_str() == Some("verify")))
    });
    let of_kind = is("kty", kind) && curve.is_none_or(|curve| is("crv", curve));
    of_kind && verifies && open_or("use", "sig") && open_or("alg", name)
}

/// None where the numbers are missing or have not the length of the algorithm.
fn decoding(algorithm: TokenAlgorithm, entry: &Map<String, Value>) -> Option<DecodingKey> {
    let number = |name: &str| URL_SAFE_NO_PAD.decode(text_of(entry, name)?).ok();
    let of_32 = |name: &str| number(name).filter(|bytes| bytes.len() == 32);
    match algorithm {
        TokenAlgorithm::Hs256 => None,
        TokenAlgorithm::Rs256 => {
            let modulus = number("n").filter(|modulus| MODULUS_BYTES.contains(&modulus.len()))?;
            let exponent = number("e").filter(|exponent| (1..=8).contains(&exponent.len()))?;
            Some(DecodingKey::from_rsa_raw_components(&modulus, &exponent))
        }
        TokenAlgorithm::Es256 => {
            let point = [vec![4], of_32("x")?, of_32("y")?].concat();
            Some(DecodingKey::from_ec_der(&point))
        }
        TokenAlgorithm::EdDsa => Some(DecodingKey::from_ed_der(&of_32("x")?)),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData as _, SigningKey as _};
    use serde_json::json;

    use super::*;
    use crate::login::token::Tokens;

    const NOW: u64 = 1_795_305_600;

    fn terms() -> TokenTerms {
        let (algorithm, audience) = (TokenAlgorithm::EdDsa, "shop".to_owned());
        TokenTerms { algorithm, id: None, audience, issuer: None, claim: "sub".to_owned() }
    }

    fn public(pair: &KeyPair, id: &str) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": URL_SAFE_NO_PAD.encode(pair.der_bytes())})
    }

    fn token(pair: &KeyPair, id: &str) -> String {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = part(json!({"alg": "EdDSA", "kid": id}));
        let message = format!("{header}.{}", part(json!({"sub": "ada", "aud": "shop", "exp": NOW + 60})));
        let signature = pair.sign(message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn read(keys_of_set: &[Value]) -> Result<Vec<TokenKey>, &'static str> {
        keys(&terms(), json!({"keys": keys_of_set}).to_string().as_bytes())
    }

    #[test]
    fn each_key_of_a_set_proves_the_tokens_that_name_it_and_no_others() {
        let [old, new] = [(); 2].map(|()| KeyPair::generate_for(&PKCS_ED25519).unwrap());
        let stranger = json!({"kty": "EC", "crv": "P-256"});
        let tokens = Tokens::new(read(&[public(&old, "old"), stranger, public(&new, "new")]).unwrap());
        for (pair, id, proven) in [
            (&old, "old", true),
            (&new, "new", true),
            (&old, "new", false),
            (&new, "old", false),
            (&new, "", false),
        ] {
            assert_eq!(tokens.prove(&token(pair, id), NOW).is_ok(), proven, "{id}");
        }
    }

    #[test]
    fn what_is_not_meant_for_signatures_of_the_algorithm_is_left_out() {
        let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let none = "the set has no key of this algorithm that signs";
        for (name, value, kept) in [
            ("use", json!("sig"), true),
            ("use", json!("enc"), false),
            ("use", json!(7), false),
            ("alg", json!("EdDSA"), true),
            ("alg", json!("RS256"), false),
            ("key_ops", json!(["verify"]), true),
            ("key_ops", json!(["encrypt"]), false),
            ("crv", json!("Ed448"), false),
            ("kty", json!("oct"), false),
        ] {
            let mut key = public(&pair, "k");
            key[name] = value.clone();
            let expected = if kept { None } else { Some(none) };
            assert_eq!(read(&[key]).err(), expected, "{name} {value}");
        }
        assert_eq!(read(&[]).err(), Some(none));
        let secrets = TokenTerms { algorithm: TokenAlgorithm::Hs256, ..terms() };
        let set = json!({"keys": [{"kty": "oct", "kid": "k", "k": URL_SAFE_NO_PAD.encode([7; 32])}]});
        assert_eq!(keys(&secrets, set.to_string().as_bytes()).err(), Some(none));
    }

    #[test]
    fn a_set_that_is_broken_is_refused_whole() {
        let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let good = public(&pair, "k");
        let with = |name: &str, value: Value| {
            let mut key = public(&pair, "other");
            key[name] = value;
            key
        };
        for broken in [
            with("kid", json!("k")),
            with("kid", json!("")),
            with("kid", Value::Null),
            with("x", json!("AA")),
            with("x", Value::Null),
            with("d", json!("AA")),
            json!("key"),
        ] {
            assert!(read(&[good.clone(), broken.clone()]).is_err(), "{broken}");
        }
        assert!(read(&vec![good.clone(); KEYS_MAX + 1]).is_err());
        for text in ["", "[]", "{}", "{\"keys\": {}}", "keys"] {
            assert!(keys(&terms(), text.as_bytes()).is_err(), "{text}");
        }
        assert!(keys(&terms(), &[b' '; SET_BYTES_MAX + 1]).is_err());
        let rsa = TokenTerms { algorithm: TokenAlgorithm::Rs256, ..terms() };
        for (bytes, usable) in [(128, false), (255, false), (256, true), (1024, true), (1025, false)] {
            let key = json!({"kty": "RSA", "kid": "r", "n": URL_SAFE_NO_PAD.encode(vec![0xc1; bytes]), "e": "AQAB"});
            assert_eq!(keys(&rsa, json!({"keys": [key]}).to_string().as_bytes()).is_ok(), usable, "{bytes}");
        }
    }
}
