//! For whom a session asks, proven: a JSON Web Token (RFC 7519) that somebody has signed whom the
//! configuration trusts.
//!
//! Which algorithm a key is of, the configuration says, never the token. Time is handed in.

use std::collections::HashSet;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

/// Longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8_192;
/// Shortest secret of HS256, in bytes: as long as its hash.
pub const SECRET_BYTES_MIN: usize = 32;
/// How far clocks may be apart where a token is not valid yet.
const LEEWAY_S: u64 = 30;
/// Longest name, in characters; what is longer is cut.
const NAME_CHARS_MAX: usize = 256;

/// How tokens of a key are signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenAlgorithm {
    Hs256,
    Rs256,
    Es256,
    EdDsa,
}

impl TokenAlgorithm {
    const fn registered(self) -> Algorithm {
        match self {
            TokenAlgorithm::Hs256 => Algorithm::HS256,
            TokenAlgorithm::Rs256 => Algorithm::RS256,
            TokenAlgorithm::Es256 => Algorithm::ES256,
            TokenAlgorithm::EdDsa => Algorithm::EdDSA,
        }
    }
}

/// What is asked of tokens of one key, beside its signature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenTerms {
    pub algorithm: TokenAlgorithm,
    /// Of tokens that name this key alone (`kid`).
    pub id: Option<String>,
    /// One of `aud`.
    pub audience: String,
    /// `iss`.
    pub issuer: Option<String>,
    /// The claim that names the end user.
    pub claim: String,
}

/// A key by which tokens are proven.
pub struct TokenKey {
    terms: TokenTerms,
    key: DecodingKey,
    validation: Validation,
}

/// All of them.
#[derive(Default)]
pub struct Tokens(Vec<TokenKey>);

/// Who was proven, and until when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndUser {
    pub name: Arc<str>,
    /// Seconds since the Unix epoch.
    pub expires_s: u64,
}

/// A public key that is none of its algorithm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WrongKey;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

impl TokenKey {
    /// `key`: of HS256 the secret, otherwise a SubjectPublicKeyInfo in DER.
    ///
    /// # Errors
    /// It is none of this algorithm, or a secret that is too short.
    pub fn new(terms: TokenTerms, key: &[u8]) -> Result<TokenKey, WrongKey> {
        let key = match terms.algorithm {
            TokenAlgorithm::Hs256 if key.len() < SECRET_BYTES_MIN => return Err(WrongKey),
            TokenAlgorithm::Hs256 => DecodingKey::from_secret(key),
            TokenAlgorithm::Rs256 => DecodingKey::from_rsa_der(&public(key, RSA, None)?),
            TokenAlgorithm::Es256 => DecodingKey::from_ec_der(&public(key, EC, Some(P_256))?),
            TokenAlgorithm::EdDsa => DecodingKey::from_ed_der(&public(key, ED25519, None)?),
        };
        Ok(TokenKey::of(terms, key))
    }

    /// A key that is known to be of its algorithm.
    pub(super) fn of(terms: TokenTerms, key: DecodingKey) -> TokenKey {
        let mut validation = Validation::new(terms.algorithm.registered());
        // By the time that is handed in, below.
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        validation.set_audience(&[&terms.audience]);
        validation.required_spec_claims = HashSet::from(["exp", "aud"].map(str::to_owned));
        if let Some(issuer) = &terms.issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        TokenKey { terms, key, validation }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else is wrong with it proves nothing")]
    fn prove(&self, token: &str, now_s: u64) -> Result<EndUser, &'static str> {
        use jsonwebtoken::errors::ErrorKind;
        let read = decode::<serde_json::Map<String, serde_json::Value>>(token, &self.key, &self.validation);
        let claims = read.map_err(|error| match error.kind() {
            ErrorKind::InvalidAudience => "it is meant for somebody else (aud)",
            ErrorKind::InvalidIssuer => "it is of another issuer (iss)",
            ErrorKind::MissingRequiredClaim(_) => {
                "a claim is missing: exp, aud, or iss where one is asked for"
            }
            _ => "its signature is not that of a key of the configuration",
        })?;
        let number = |name: &str| claims.claims.get(name).map(serde_json::Value::as_f64);
        let now = std::time::Duration::from_secs(now_s).as_secs_f64();
        let Some(Some(expires)) = number("exp") else { return Err("exp is no number") };
        if expires <= now {
            return Err("it has expired (exp)");
        }
        match number("nbf") {
            None => {}
            Some(Some(from)) if from <= now + std::time::Duration::from_secs(LEEWAY_S).as_secs_f64() => {}
            Some(_) => return Err("it is not valid yet (nbf)"),
        }
        let name = claims.claims.get(&self.terms.claim).and_then(serde_json::Value::as_str);
        let name: String = name.unwrap_or_default().chars().take(NAME_CHARS_MAX).collect();
        if name.is_empty() {
            return Err("it does not say who the end user is");
        }
        Ok(EndUser { name: name.into(), expires_s: expires.floor() as u64 })
    }
}

/// The key within a SubjectPublicKeyInfo of this algorithm.
fn public(
    der: &[u8],
    algorithm: ObjectIdentifier,
    curve: Option<ObjectIdentifier>,
) -> Result<Vec<u8>, WrongKey> {
    let info = SubjectPublicKeyInfoOwned::from_der(der).map_err(|_| WrongKey)?;
    let of = &info.algorithm;
    let on_curve = curve.is_none_or(|curve| {
        let named = of.parameters.as_ref().and_then(|named| named.to_der().ok());
        named.is_some_and(|named| ObjectIdentifier::from_der(&named) == Ok(curve))
    });
    let bytes = info.subject_public_key.as_bytes().map(<[u8]>::to_vec);
    bytes.filter(|_| of.oid == algorithm && on_curve).ok_or(WrongKey)
}

impl Tokens {
    /// None is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub fn new(keys: Vec<TokenKey>) -> Tokens {
        Tokens(keys)
    }

    /// Whom a token proves. Why not: without anything of the token.
    ///
    /// # Errors
    /// No key of the configuration proves it now.
    pub fn prove(&self, token: &str, now_s: u64) -> Result<EndUser, &'static str> {
        if self.0.is_empty() {
            return Err("no [[token]] is configured");
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err("it is too long");
        }
        let header = decode_header(token).map_err(|_| "it is no JSON Web Token that is signed")?;
        if header.crit.is_some() {
            return Err("it asks for an extension (crit)");
        }
        let mut why = "no key of the configuration has its algorithm and key id";
        for key in &self.0 {
            let fits = key.terms.algorithm.registered() == header.alg;
            if !fits || key.terms.id.is_some() && key.terms.id != header.kid {
                continue;
            }
            match key.prove(token, now_s) {
                Ok(user) => return Ok(user),
                Err(reason) => why = reason,
            }
        }
        Err(why)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use hmac::{Hmac, KeyInit, Mac};
    use rcgen::{
        KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData as _,
        SigningKey as _,
    };
    use sha2::Sha256;

    use super::*;

    const SECRET: &[u8] = b"a secret of the identity provider";
    const NOW: u64 = 1_795_305_600;

    fn encoded(text: &str) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    fn signed(header: &str, claims: &str, secret: &[u8]) -> String {
        let message = format!("{}.{}", encoded(header), encoded(claims));
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret).unwrap();
        mac.update(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }

    fn terms(algorithm: TokenAlgorithm) -> TokenTerms {
        TokenTerms { algorithm, id: None, audience: "shop".into(), issuer: None, claim: "sub".into() }
    }

    fn hs256(change: impl FnOnce(&mut TokenTerms)) -> Tokens {
        let mut terms = terms(TokenAlgorithm::Hs256);
        change(&mut terms);
        Tokens::new(vec![TokenKey::new(terms, SECRET).unwrap()])
    }

    const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

    fn claims(more: &str) -> String {
        format!(r#"{{"sub":"ada","aud":"shop","exp":{}{more}}}"#, NOW + 60)
    }

    #[test]
    fn proves_whom_a_signed_token_names_until_it_expires() {
        let tokens = hs256(|_| {});
        let token = signed(HEADER, &claims(""), SECRET);
        let ada = EndUser { name: "ada".into(), expires_s: NOW + 60 };
        assert_eq!(tokens.prove(&token, NOW), Ok(ada.clone()));
        assert_eq!(tokens.prove(&token, NOW + 59), Ok(ada));
        for late in [NOW + 60, NOW + 61, u64::MAX] {
            assert_eq!(tokens.prove(&token, late), Err("it has expired (exp)"));
        }
    }

    #[test]
    fn nothing_else_is_proven() {
        let later = claims(&format!(r#","nbf":{}"#, NOW + 31));
        let soon = claims(&format!(r#","nbf":{}"#, NOW + 29));
        let of = |header: &str, claims: &str| signed(header, claims, SECRET);
        for (token, accepted) in [
            (of(HEADER, &claims("")), true),
            (of(HEADER, &soon), true),
            (of(HEADER, &later), false),
            (of(HEADER, &claims(r#","nbf":"x""#)), false),
            (signed(HEADER, &claims(""), b"another secret of the same length"), false),
            (of(r#"{"alg":"HS512"}"#, &claims("")), false),
            (of(r#"{"alg":"none"}"#, &claims("")), false),
            (format!("{}.{}.", encoded(r#"{"alg":"none"}"#), encoded(&claims(""))), false),
            (format!("{}.{}.", encoded(HEADER), encoded(&claims(""))), false),
            (of(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, &claims("")), false),
            (of(HEADER, r#"{"sub":"ada","aud":"shop"}"#), false),
            (of(HEADER, &format!(r#"{{"sub":"ada","exp":{}}}"#, NOW + 60)), false),
            (of(HEADER, &format!(r#"{{"sub":"ada","aud":"other","exp":{}}}"#, NOW + 60)), false),
            (of(HEADER, &format!(r#"{{"sub":"ada","aud":["other","shop"],"exp":{}}}"#, NOW + 60)), true),
            (of(HEADER, &format!(r#"{{"aud":"shop","exp":{}}}"#, NOW + 60)), false),
            (of(HEADER, &format!(r#"{{"sub":"","aud":"shop","exp":{}}}"#, NOW + 60)), false),
            (of(HEADER, &format!(r#"{{"sub":7,"aud":"shop","exp":{}}}"#, NOW + 60)), false),
            (of(HEADER, &format!(r#"{{"sub":"ada","aud":"shop","exp":"{}"}}"#, NOW + 60)), false),
            (of(HEADER, r#"{"sub":"ada","aud":"shop","exp":-1}"#), false),
            (of(HEADER, "[]"), false),
            (String::new(), false),
            ("a.b.c".to_owned(), false),
            ("x".repeat(TOKEN_BYTES_MAX + 1), false),
        ] {
            assert_eq!(hs256(|_| {}).prove(&token, NOW).is_ok(), accepted, "{token}");
        }
        // Any change of one letter.
        let token = of(HEADER, &claims(""));
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            // The last letter of 32 bytes has bits that mean nothing.
            assert!(
                changed == token || at + 1 == token.len() || hs256(|_| {}).prove(&changed, NOW).is_err(),
                "{at}"
            );
        }
        assert_eq!(Tokens::default().prove(&token, NOW), Err("no [[token]] is configured"));
    }

    #[test]
    fn issuer_key_id_and_claim_are_those_of_the_configuration() {
        let with = |header: &str, more: &str| signed(header, &claims(more), SECRET);
        let issued = hs256(|terms| terms.issuer = Some("https://idp.example".into()));
        assert!(issued.prove(&with(HEADER, r#","iss":"https://idp.example""#), NOW).is_ok());
        assert!(issued.prove(&with(HEADER, r#","iss":"https://other.example""#), NOW).is_err());
        assert!(issued.prove(&with(HEADER, ""), NOW).is_err());
        let named = hs256(|terms| terms.id = Some("k1".into()));
        assert!(named.prove(&with(r#"{"alg":"HS256","kid":"k1"}"#, ""), NOW).is_ok());
        assert!(named.prove(&with(r#"{"alg":"HS256","kid":"k2"}"#, ""), NOW).is_err());
        assert!(named.prove(&with(HEADER, ""), NOW).is_err());
        let claimed = hs256(|terms| terms.claim = "email".into());
        let proven = claimed.prove(&with(HEADER, r#","email":"ada@x.example""#), NOW).unwrap();
        assert_eq!(&*proven.name, "ada@x.example");
        assert!(claimed.prove(&with(HEADER, ""), NOW).is_err());
    }

    #[test]
    fn public_keys_prove_what_their_private_keys_sign_and_are_no_secrets() {
        for (name, of, other) in [
            ("EdDSA", &PKCS_ED25519, &PKCS_ECDSA_P256_SHA256),
            ("ES256", &PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384),
        ] {
            let algorithm = if name == "EdDSA" { TokenAlgorithm::EdDsa } else { TokenAlgorithm::Es256 };
            let pair = KeyPair::generate_for(of).unwrap();
            let der = pair.subject_public_key_info();
            let tokens = Tokens::new(vec![TokenKey::new(terms(algorithm), &der).unwrap()]);
            let header = format!(r#"{{"alg":"{name}"}}"#);
            let message = format!("{}.{}", encoded(&header), encoded(&claims("")));
            let signature = pair.sign(message.as_bytes()).unwrap();
            let signature = if name == "ES256" { fixed(&signature) } else { signature };
            let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
            assert!(tokens.prove(&token, NOW).is_ok(), "{name}: {:?}", tokens.prove(&token, NOW));
            // The public key as the secret of HS256, which anybody could use.
            assert!(tokens.prove(&signed(HEADER, &claims(""), &der), NOW).is_err(), "{name}");
            let stranger = KeyPair::generate_for(other).unwrap().subject_public_key_info();
            assert_eq!(TokenKey::new(terms(algorithm), &stranger).err(), Some(WrongKey), "{name}");
        }
        assert_eq!(TokenKey::new(terms(TokenAlgorithm::Hs256), &[7; 31]).err(), Some(WrongKey));
        assert_eq!(TokenKey::new(terms(TokenAlgorithm::Rs256), b"no key").err(), Some(WrongKey));
    }

    /// An ECDSA signature of DER as the two numbers that a token has.
    fn fixed(der: &[u8]) -> Vec<u8> {
        let number = |at: usize| {
            let length = usize::from(der[at + 1]);
            let bytes = &der[at + 2..at + 2 + length];
            let bytes = &bytes[bytes.len().saturating_sub(32)..];
            let mut out = vec![0; 32 - bytes.len()];
            out.extend_from_slice(bytes);
            (out, at + 2 + length)
        };
        let (r, next) = number(2);
        let (s, _) = number(next);
        [r, s].concat()
    }
}
