//! Domains by schema: `email@{schema}` is a template, of which every schema has a domain of
//! its own, `email@acme` that of schema `acme`. The keyring holds the template alone.
//!
//! What stands before the `@` has none in it, so that a name tells its template, and no two
//! schemas, of whatever templates, have one name. `docs/FORMAT.md` specifies it.

use base64::Engine;
use sha2::{Digest, Sha256};

use super::envelope::TEXT;
use crate::catalog::{Domain, DomainName};

/// Longest name of a domain, in bytes.
pub const DOMAIN_NAME_LENGTH_MAX: usize = 63;

/// The end of every template.
const SCHEMA: &str = "@{schema}";

/// Before a digest, in place of a schema whose name cannot stand in a domain's.
const DIGEST_SIGN: char = '@';

/// Bytes of SHA-256 that stand for such a schema, and their characters in an envelope's
/// alphabet. Two schemas with one digest are beyond 2^96 tries.
const DIGEST_LENGTH: usize = 24;
const DIGEST_TEXT_LENGTH: usize = DIGEST_LENGTH / 3 * 4;

/// Longest name of a template before its `@`: a digest fits behind it.
pub const TEMPLATE_NAME_LENGTH_MAX: usize = DOMAIN_NAME_LENGTH_MAX - 2 - DIGEST_TEXT_LENGTH;

/// Letters of domains' names, in templates before the `@`.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

fn is_template_name(name: &str) -> bool {
    (1..=TEMPLATE_NAME_LENGTH_MAX).contains(&name.len()) && is_plain(name)
}

/// 1 to 63 ASCII letters, digits, `_`, `-`, `.` and `@`: a domain that has a key.
#[must_use]
pub fn is_concrete_name(name: &str) -> bool {
    (1..=DOMAIN_NAME_LENGTH_MAX).contains(&name.len()) && name.split('@').all(is_plain)
}

/// A name and `@{schema}`: each schema has a domain, and the template itself no key.
#[must_use]
pub fn is_template(name: &str) -> bool {
    name.strip_suffix(SCHEMA).is_some_and(is_template_name)
}

/// The domain of one schema, as the policy has it: a template becomes that schema's own.
#[must_use]
pub fn domain_of(domain: &Domain, schema: &str) -> Domain {
    let Some(name) = domain.name.0.strip_suffix(SCHEMA).filter(|name| is_template_name(name)) else {
        return domain.clone();
    };
    let fits = name.len() + 1 + schema.len() <= DOMAIN_NAME_LENGTH_MAX;
    let concrete = if fits && !schema.is_empty() && is_plain(schema) {
        format!("{name}@{schema}")
    } else {
        format!("{name}@{DIGEST_SIGN}{}", digest_of(schema))
    };
    Domain { name: DomainName(concrete.into()), ..domain.clone() }
}

fn digest_of(schema: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"sealgate schema/");
    hash.update(schema.as_bytes());
    let digest = <[u8; 32]>::from(hash.finalize());
    TEXT.encode(digest.first_chunk::<DIGEST_LENGTH>().map_or(&digest[..], |digest| &digest[..]))
}

/// The template whose domain of some schema has this name. None: it is of no schema.
#[must_use]
pub fn template_of(name: &DomainName) -> Option<DomainName> {
    let (template, schema) = name.0.split_once('@')?;
    let of_schema = match schema.strip_prefix(DIGEST_SIGN) {
        Some(digest) => digest.len() == DIGEST_TEXT_LENGTH && is_plain(digest),
        None => !schema.is_empty() && is_plain(schema),
    };
    let sound = of_schema && is_template_name(template) && name.0.len() <= DOMAIN_NAME_LENGTH_MAX;
    sound.then(|| DomainName(format!("{template}{SCHEMA}").into()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::tests::domain;
    use super::*;
    use crate::catalog::Mode;

    fn name_of(template: &str, schema: &str) -> String {
        domain_of(&domain(template, Mode::Equality), schema).name.to_string()
    }

    #[test]
    fn tells_templates_from_names() {
        let (longest, longer) = ("n".repeat(29) + "@{schema}", "n".repeat(30) + "@{schema}");
        for (name, template, concrete) in [
            ("email", false, true),
            ("email@acme", false, true),
            ("a@b@c", false, true),
            ("email@{schema}", true, false),
            (&longest, true, false),
            (&longer, false, false),
            ("@{schema}", false, false),
            ("{schema}", false, false),
            ("email{schema}", false, false),
            ("email@{schema}.v2", false, false),
            ("a@b@{schema}", false, false),
            ("email@{schema}@{schema}", false, false),
            ("e mail@{schema}", false, false),
            ("", false, false),
            (&"n".repeat(64), false, false),
        ] {
            assert_eq!((is_template(name), is_concrete_name(name)), (template, concrete), "{name}");
        }
    }

    #[test]
    fn a_schema_stands_in_its_domain_by_name_where_it_can_and_by_digest_where_not() {
        assert_eq!(name_of("email@{schema}", "acme"), "email@acme");
        assert_eq!(name_of("email@{schema}", "Acme-2.eu"), "email@Acme-2.eu");
        assert_eq!(name_of("email", "acme"), "email", "one key for all");
        // The example of docs/FORMAT.md.
        assert_eq!(name_of("email@{schema}", "caf\u{e9}"), DIGEST_EXAMPLE);
        for schema in ["a b", "a@b", "\u{e9}", &"s".repeat(58), "{schema}", ""] {
            let name = name_of("email@{schema}", schema);
            assert!(name.starts_with("email@@") && name.len() == 39, "{schema}: {name}");
        }
        assert_eq!(name_of("email@{schema}", &"s".repeat(57)).len(), 63);
    }

    const DIGEST_EXAMPLE: &str = "email@@QjJlHPosN9-RGp41sxK-WgYf72dfTfNb";

    #[test]
    fn no_two_schemas_share_a_domain_and_each_tells_its_template() {
        let long = "n".repeat(29) + "@{schema}";
        let mut seen = BTreeMap::new();
        for template in ["a@{schema}", "ab@{schema}", "a.b@{schema}", &long] {
            let digest = name_of(template, "\u{e9}").split_once("@@").unwrap().1.to_owned();
            let long = "s".repeat(63);
            for schema in
                ["b", "bb", "B", "b.b", "b@b", "@b", "\u{e9}", &digest, &format!("@{digest}"), &long]
            {
                let name = DomainName(name_of(template, schema).into());
                assert!(is_concrete_name(&name.0), "{name}");
                assert_eq!(template_of(&name).unwrap().0.as_ref(), template, "{name}");
                let before = seen.insert(name.clone(), (template.to_owned(), schema.to_owned()));
                assert_eq!(before, None, "{name}");
            }
        }
        for name in ["a", "@b", "a@", "a@@b", "a@b@c", "a@{schema}"] {
            assert_eq!(template_of(&DomainName(name.into())), None, "{name}");
        }
    }
}
