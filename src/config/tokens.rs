//! `[[token]]`: whose signature proves for whom a session asks.

use super::TOKENS_MAX;
use super::reader::{Reader, Section, Words};
use super::scalar;
use super::settings::{Token, TokenSource};
use crate::login::token::{TokenAlgorithm, TokenTerms};

const TOKEN: Words = Words {
    served: &["algorithm", "public_key", "secret", "id", "audience", "issuer", "claim"],
    later: &["jwks"],
};
const ALGORITHM: Words = Words { served: &["HS256", "RS256", "ES256", "EdDSA"], later: &[] };

impl Reader<'_> {
    pub(super) fn tokens(&mut self, root: &Section<'_>) -> Vec<Token> {
        let entries = self.tables(root, "token", "[[token]]", TOKEN, TOKENS_MAX);
        entries.iter().filter_map(|entry| self.token(entry)).collect()
    }

    fn token(&mut self, entry: &Section<'_>) -> Option<Token> {
        for (key, example) in [("algorithm", "\"EdDSA\""), ("audience", "\"shop\"")] {
            if entry.value(key).is_none() {
                self.missing(entry, key, example);
            }
        }
        let algorithm = self.choice(entry, "algorithm", ALGORITHM).map(|word| match word.text {
            "HS256" => TokenAlgorithm::Hs256,
            "RS256" => TokenAlgorithm::Rs256,
            "ES256" => TokenAlgorithm::Es256,
            _ => TokenAlgorithm::EdDsa,
        });
        let mut text = |key| self.checked(entry, key, scalar::name);
        let (audience, issuer, id) = (text("audience"), text("issuer"), text("id"));
        let claim = text("claim").unwrap_or_else(|| "sub".to_owned());
        let algorithm = algorithm?;
        let (wanted, other, example) = match algorithm {
            TokenAlgorithm::Hs256 => ("secret", "public_key", "{ env = \"SEALGATE_TOKEN_SECRET\" }"),
            TokenAlgorithm::Rs256 | TokenAlgorithm::Es256 | TokenAlgorithm::EdDsa => {
                ("public_key", "secret", "\"idp.pem\"")
            }
        };
        if let Some(value) = entry.value(other) {
            let found = format!("[[token]] {other} of this algorithm");
            self.fault(value.span().start, found, format!("write {wanted} = {example}"));
            return None;
        }
        if entry.value(wanted).is_none() {
            self.missing(entry, wanted, example);
            return None;
        }
        let key = if wanted == "secret" {
            TokenSource::Secret(self.secret(entry, "secret")?)
        } else {
            TokenSource::PublicKey(self.path(entry, "public_key", example)?)
        };
        let terms = TokenTerms { algorithm, id, audience: audience?, issuer, claim };
        Some(Token { terms, key })
    }
}
