//! `[[token]]`: whose signature proves for whom a session asks.

use super::TOKENS_MAX;
use super::reader::{Reader, Section, Words};
use super::scalar;
use super::settings::{Token, TokenSource};
use crate::login::token::{TokenAlgorithm, TokenTerms};

const TOKEN: Words = Words {
    served: &["algorithm", "public_key", "jwks", "secret", "id", "audience", "issuer", "claim"],
    later: &[],
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
        let (wanted, others, example): (_, &[&str], _) = match algorithm {
            TokenAlgorithm::Hs256 => {
                ("secret", &["public_key", "jwks"], "{ env = \"SEALGATE_TOKEN_SECRET\" }")
            }
            TokenAlgorithm::Rs256 | TokenAlgorithm::Es256 | TokenAlgorithm::EdDsa
                if entry.value("jwks").is_some() =>
            {
                // Each key of a set has its own id.
                ("jwks", &["secret", "public_key", "id"], "\"idp.json\"")
            }
            TokenAlgorithm::Rs256 | TokenAlgorithm::Es256 | TokenAlgorithm::EdDsa => {
                ("public_key", &["secret"], "\"idp.pem\"")
            }
        };
        for other in others {
            if let Some(value) = entry.value(other) {
                let found = format!("[[token]] {other} of this algorithm");
                let found = if wanted == "jwks" { format!("[[token]] {other} beside jwks") } else { found };
                self.fault(value.span().start, found, format!("write {wanted} = {example} alone"));
                return None;
            }
        }
        if entry.value(wanted).is_none() {
            self.missing(entry, wanted, example);
            return None;
        }
        let key = match wanted {
            "secret" => TokenSource::Secret(self.secret(entry, wanted)?),
            "jwks" => TokenSource::KeySet(self.path(entry, wanted, example)?),
            _ => TokenSource::PublicKey(self.path(entry, wanted, example)?),
        };
        let terms = TokenTerms { algorithm, id, audience: audience?, issuer, claim };
        Some(Token { terms, key })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use crate::config::{Settings, TokenSource, load};

    fn with(keys: &str) -> Result<Settings, Vec<String>> {
        let least = "[listen]\naddress = \"127.0.0.1:6432\"\n[upstream]\nhosts = [\"127.0.0.1:5432\"]\n";
        let text = format!("{least}[[token]]\naudience = \"shop\"\n{keys}");
        load(&text, "t.toml").map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_set_stands_in_the_place_of_a_public_key_and_its_id() {
        let read = with("algorithm = \"ES256\"\njwks = \"idp.json\"\n").unwrap();
        assert_eq!(read.tokens[0].key, TokenSource::KeySet(PathBuf::from("idp.json")));
        assert_eq!(read.tokens[0].terms.id, None);
        for (keys, place, said) in [
            ("algorithm = \"ES256\"\njwks = \"idp.json\"\nid = \"k\"\n", "t.toml:9:", "id beside jwks"),
            (
                "algorithm = \"ES256\"\njwks = \"i\"\npublic_key = \"p\"\n",
                "t.toml:9:",
                "public_key beside jwks",
            ),
            ("algorithm = \"HS256\"\njwks = \"idp.json\"\n", "t.toml:8:", "jwks of this algorithm"),
            ("algorithm = \"ES256\"\n", "t.toml:5:", "public_key"),
        ] {
            let faults = with(keys).unwrap_err();
            assert!(faults.len() == 1 && faults[0].contains(place) && faults[0].contains(said), "{faults:?}");
        }
    }
}
