//! The opened keyring: root keys by version, and the domains as they were fixed when made.
//!
//! A template (`template`) stands there for the domains of all schemas: they have its mode,
//! type and generation, and their keys are derived by their own names, so that a new schema
//! changes nothing here. A domain's mode, type and key generation are decided once. Whoever hands in a domain
//! from a policy has it compared with [`Keyring::agrees`]; nothing here changes one.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fmt;

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::envelope::{TAG_LENGTH, domain_tag};
use super::identity::KeyringIdentity;
use super::template::{
    DOMAIN_NAME_LENGTH_MAX, TEMPLATE_NAME_LENGTH_MAX, is_concrete_name, is_template, template_of,
};
use crate::catalog::{Domain, DomainName, Field, Mode};

/// Most domains that one keyring holds (P6).
pub const DOMAINS_MAX: usize = 1024;

/// Most versions of the root key that one keyring holds (P6).
pub const ROOTS_MAX: usize = 256;

/// 32 random bytes from which the keys of all domains are derived. Wiped when dropped.
pub struct RootKey(Zeroizing<[u8; 32]>);

impl RootKey {
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> RootKey {
        RootKey(Zeroizing::new(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// HKDF-SHA256 without salt, info `sealgate/v1/<mode>/<domain>`, to the length of `key`.
    pub(super) fn derive<const N: usize>(&self, domain: &Domain) -> Zeroizing<[u8; N]> {
        let info = format!("sealgate/v1/{}/{}", domain.mode.name(), domain.name);
        expand(self.bytes(), &info)
    }
}

/// HKDF-SHA256 (RFC 5869) without salt. `N` is at most 64 here, far below HKDF's limit.
pub(super) fn expand<const N: usize>(key: &[u8; 32], info: &str) -> Zeroizing<[u8; N]> {
    const { assert!(N <= 255 * 32) };
    let mut output = Zeroizing::new([0; N]);
    let filled = Hkdf::<Sha256>::new(None, key).expand(info.as_bytes(), output.as_mut_slice());
    debug_assert!(filled.is_ok(), "N is within HKDF's limit");
    output
}

/// One version of the root key.
pub struct Root {
    /// From 1.
    pub version: u16,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub created_unix_s: u64,
    pub key: RootKey,
}

/// A domain as it stands in the keyring.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyedDomain {
    pub domain: Domain,
    /// The one root version under which an equality domain is sealed; None for `random`,
    /// which is sealed under the current version.
    pub generation: Option<u16>,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub created_unix_s: u64,
}

/// Raw material of a [`Keyring`].
pub struct KeyringParts {
    /// None: it was made before keyrings had one, and has one that its oldest root key gives it.
    pub identity: Option<KeyringIdentity>,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub created_unix_s: u64,
    pub roots: Vec<Root>,
    /// Version under which `random` domains are sealed.
    pub current: u16,
    pub domains: Vec<KeyedDomain>,
}

/// See the module's text. It holds keys: neither printed nor cloned; share it in an `Arc`.
pub struct Keyring {
    identity: KeyringIdentity,
    created_unix_s: u64,
    roots: BTreeMap<u16, Root>,
    current: u16,
    domains: BTreeMap<DomainName, KeyedDomain>,
    /// Of all but templates, under which no value is sealed.
    by_tag: HashMap<[u8; TAG_LENGTH], DomainName>,
}

impl Keyring {
    /// Checks everything that the format promises of a keyring.
    ///
    /// # Errors
    /// The first promise that does not hold; see [`KeyringFault`].
    pub fn from_parts(parts: KeyringParts) -> Result<Keyring, KeyringFault> {
        if parts.roots.len() > ROOTS_MAX {
            return Err(KeyringFault::TooManyRoots);
        }
        let mut roots = BTreeMap::new();
        for root in parts.roots {
            let version = root.version;
            if version == 0 || roots.insert(version, root).is_some() {
                return Err(KeyringFault::RootVersion(version));
            }
        }
        if !roots.contains_key(&parts.current) {
            return Err(KeyringFault::NoRoot(parts.current));
        }
        let identity = parts.identity.or_else(|| derived_identity(&roots));
        let mut keyring = Keyring {
            identity: identity.ok_or(KeyringFault::NoRoot(parts.current))?,
            created_unix_s: parts.created_unix_s,
            roots,
            current: parts.current,
            domains: BTreeMap::new(),
            by_tag: HashMap::new(),
        };
        for keyed in parts.domains {
            keyring.insert(keyed)?;
        }
        Ok(keyring)
    }

    fn insert(&mut self, keyed: KeyedDomain) -> Result<(), KeyringFault> {
        let name = keyed.domain.name.clone();
        if !is_template(&name.0) && !is_concrete_name(&name.0) {
            return Err(KeyringFault::DomainName(name));
        }
        if self.domains.len() >= DOMAINS_MAX {
            return Err(KeyringFault::TooManyDomains);
        }
        match (keyed.domain.mode, keyed.generation) {
            (Mode::Random, None) => {}
            (Mode::Equality, Some(generation)) if self.roots.contains_key(&generation) => {}
            (Mode::Equality, Some(generation)) => return Err(KeyringFault::NoRoot(generation)),
            (Mode::Random, Some(_)) | (Mode::Equality, None) => return Err(KeyringFault::Generation(name)),
        }
        if self.domains.contains_key(&name) {
            return Err(KeyringFault::Twice(name));
        }
        if !is_template(&name.0) {
            let tag = domain_tag(&name);
            if let Some(other) = self.by_tag.get(&tag) {
                return Err(KeyringFault::TagCollision(other.clone(), name));
            }
            self.by_tag.insert(tag, name.clone());
        }
        self.domains.insert(name, keyed);
        Ok(())
    }

    /// Adds the domains that are not there yet, at the current root version, and returns
    /// their names. Those that are there must agree and stay as they are; a domain whose
    /// template is there is there, and a template is added before domains that may be its.
    ///
    /// # Errors
    /// On a disagreement, or a name that cannot be added, nothing is added at all.
    pub fn add_domains(
        &mut self,
        wanted: &[Domain],
        created_unix_s: u64,
    ) -> Result<Vec<DomainName>, KeyringFault> {
        let mut added = Vec::new();
        let (templates, others): (Vec<_>, Vec<_>) =
            wanted.iter().partition(|domain| is_template(&domain.name.0));
        for domain in templates.into_iter().chain(others) {
            let outcome = match self.keyed(&domain.name) {
                Some(_) => self.agrees(domain).map_err(KeyringFault::Disagreement),
                None => self
                    .insert(KeyedDomain {
                        domain: domain.clone(),
                        generation: self.generation_of_new(domain.mode),
                        created_unix_s,
                    })
                    .map(|()| added.push(domain.name.clone())),
            };
            if let Err(fault) = outcome {
                for name in added {
                    if !is_template(&name.0) {
                        self.by_tag.remove(&domain_tag(&name));
                    }
                    self.domains.remove(&name);
                }
                return Err(fault);
            }
        }
        Ok(added)
    }

    /// A domain by its own name, or else by that of its template. The order never changes
    /// what a name means: where a template is, none of its domains is added by itself.
    fn keyed(&self, name: &DomainName) -> Option<&KeyedDomain> {
        self.domains.get(name).or_else(|| self.domains.get(&template_of(name)?))
    }

    fn generation_of_new(&self, mode: Mode) -> Option<u16> {
        match mode {
            Mode::Random => None,
            Mode::Equality => Some(self.current),
        }
    }

    /// Does a domain, as a policy has it, or its template, stand in this keyring with the
    /// same mode and type?
    ///
    /// # Errors
    /// What differs, as found in the policy and as the keyring has it.
    pub fn agrees(&self, domain: &Domain) -> Result<(), Disagreement> {
        let disagreement = |key, found: &str, expected: &str| {
            Err(Disagreement {
                domain: domain.name.clone(),
                key,
                found: found.to_owned(),
                expected: expected.to_owned(),
            })
        };
        let Some(known) = self.domain(&domain.name) else {
            return disagreement("domain", &domain.name.0, "a domain of the keyring");
        };
        if known.mode != domain.mode {
            return disagreement("seal", domain.mode.name(), known.mode.name());
        }
        if known.kind != domain.kind {
            return disagreement("type", &domain.kind.to_string(), &known.kind.to_string());
        }
        Ok(())
    }

    /// Compares the domain of every sealed field of a policy; empty where all agree.
    #[must_use]
    pub fn disagreements(&self, fields: &[Field]) -> Vec<FieldDisagreement> {
        fields
            .iter()
            .filter_map(|field| {
                let disagreement = self.agrees(field.domain.as_ref()?).err()?;
                Some(FieldDisagreement { field: field.path(), disagreement })
            })
            .collect()
    }

    /// Which keyring it is: the same in every copy of it, whatever was added since.
    #[must_use]
    pub fn identity(&self) -> KeyringIdentity {
        self.identity
    }

    /// A domain, or that of some schema by its template.
    #[must_use]
    pub fn domain(&self, name: &DomainName) -> Option<Domain> {
        self.keyed(name).map(|keyed| Domain { name: name.clone(), ..keyed.domain.clone() })
    }

    /// The domain that an envelope's header names. None also for domains by template: which
    /// schemas there are, no keyring knows. For people and tests: what opens a value is the
    /// domain of its field, against which the tag is checked.
    #[must_use]
    pub fn domain_by_tag(&self, tag: &[u8; TAG_LENGTH]) -> Option<&Domain> {
        self.domains.get(self.by_tag.get(tag)?).map(|keyed| &keyed.domain)
    }

    /// All domains and templates in the order of their names.
    pub fn domains(&self) -> impl ExactSizeIterator<Item = &KeyedDomain> {
        self.domains.values()
    }

    /// All versions of the root key, ascending.
    pub fn versions(&self) -> impl ExactSizeIterator<Item = u16> {
        self.roots.keys().copied()
    }

    /// All roots, ascending by version.
    pub fn roots(&self) -> impl ExactSizeIterator<Item = &Root> {
        self.roots.values()
    }

    /// The version under which `random` domains are sealed.
    #[must_use]
    pub fn current_version(&self) -> u16 {
        self.current
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn created_unix_s(&self) -> u64 {
        self.created_unix_s
    }

    /// The version under which new values of this domain are sealed. None for a template:
    /// its name is that of no key.
    #[must_use]
    pub fn sealing_version(&self, name: &DomainName) -> Option<u16> {
        let keyed = self.keyed(name).filter(|_| !is_template(&name.0));
        keyed.map(|keyed| keyed.generation.unwrap_or(self.current))
    }

    /// What the salts of users that do not exist are made from. Of the oldest root key: a new
    /// version must not change them, or it would show which those are.
    #[must_use]
    pub fn salt_secret(&self) -> Option<Zeroizing<[u8; 32]>> {
        let (_, oldest) = self.roots.first_key_value()?;
        Some(expand(oldest.key.bytes(), "sealgate/v1/login/salts"))
    }

    /// From which the names of data subjects are made. Of the oldest root key: they are compared across time.
    pub(super) fn subject_secret(&self) -> Option<Zeroizing<[u8; 32]>> {
        let (_, oldest) = self.roots.first_key_value()?;
        Some(expand(oldest.key.bytes(), "sealgate/v1/subjects"))
    }

    pub(super) fn root(&self, version: u16) -> Option<&RootKey> {
        self.roots.get(&version).map(|root| &root.key)
    }
}

/// Of a keyring that was made without one. It is written into the file with the next change, before
/// the root key that it comes from can go.
fn derived_identity(roots: &BTreeMap<u16, Root>) -> Option<KeyringIdentity> {
    let (_, oldest) = roots.first_key_value()?;
    Some(KeyringIdentity::new(*expand(oldest.key.bytes(), "sealgate/v1/keyring/identity")))
}

/// A policy and the keyring say different things of one domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disagreement {
    pub domain: DomainName,
    /// The key of the policy's entry: `domain`, `seal` or `type`.
    pub key: &'static str,
    /// What the policy says.
    pub found: String,
    /// What the keyring fixed when the domain was made.
    pub expected: String,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Disagreement { domain, key, found, expected } = self;
        if *key == "domain" {
            return write!(f, "domain \"{domain}\" is not in the keyring; `sealgate keys init` adds it");
        }
        write!(
            f,
            "domain \"{domain}\": {key} is \"{found}\", expected \"{expected}\", which is fixed since the \
             domain was made; another domain name makes another domain"
        )
    }
}

impl std::error::Error for Disagreement {}

/// The field of a policy whose domain disagrees with the keyring.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldDisagreement {
    /// `schema.table.column`
    pub field: String,
    pub disagreement: Disagreement,
}

impl fmt::Display for FieldDisagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "field {}: {}", self.field, self.disagreement)
    }
}

impl std::error::Error for FieldDisagreement {}

/// Why a keyring is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyringFault {
    TooManyRoots,
    TooManyDomains,
    /// A root version is 0 or stands there twice.
    RootVersion(u16),
    /// A version that is named has no root key.
    NoRoot(u16),
    DomainName(DomainName),
    Twice(DomainName),
    /// `random` with a generation or `equality` without.
    Generation(DomainName),
    /// Two names with one domain tag: their values could not be told apart.
    TagCollision(DomainName, DomainName),
    Disagreement(Disagreement),
}

impl fmt::Display for KeyringFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyringFault::TooManyRoots => write!(f, "a keyring holds at most {ROOTS_MAX} root keys"),
            KeyringFault::TooManyDomains => write!(f, "a keyring holds at most {DOMAINS_MAX} domains"),
            KeyringFault::RootVersion(version) => {
                write!(f, "root key version {version}: versions are from 1 to 65535 and unique")
            }
            KeyringFault::NoRoot(version) => write!(f, "the keyring has no root key of version {version}"),
            KeyringFault::DomainName(name) => write!(
                f,
                "domain name \"{}\": expected 1 to {DOMAIN_NAME_LENGTH_MAX} of A-Z a-z 0-9 _ - . @, or 1 to \
                 {TEMPLATE_NAME_LENGTH_MAX} of them without @ before @{{schema}}",
                name.0.escape_default()
            ),
            KeyringFault::Twice(name) => write!(f, "domain \"{name}\" stands there twice"),
            KeyringFault::Generation(name) => write!(
                f,
                "domain \"{name}\": an equality domain has exactly one key generation, a random one none"
            ),
            KeyringFault::TagCollision(one, other) => {
                write!(f, "domains \"{one}\" and \"{other}\" have the same tag: rename the new one")
            }
            KeyringFault::Disagreement(disagreement) => disagreement.fmt(f),
        }
    }
}

impl std::error::Error for KeyringFault {}

#[cfg(test)]
mod tests {
    use super::super::tests::{domain, parts};
    use super::*;

    fn fault(parts: KeyringParts) -> String {
        Keyring::from_parts(parts).err().map_or_else(String::new, |fault| fault.to_string())
    }

    #[test]
    fn refuses_domains_whose_tags_collide() {
        // Found by trying: SHA-256("sealgate domain/" name) begins 628852140c13 for both.
        let (one, other) = (domain("d9480906", Mode::Random), domain("d23583921", Mode::Equality));
        assert_eq!(domain_tag(&one.name), domain_tag(&other.name));
        let refused = fault(parts(&[1], &[one.clone(), other.clone()]));
        assert!(refused.contains("same tag"), "{refused}");
        let mut keyring = Keyring::from_parts(parts(&[1], &[one])).unwrap();
        assert!(matches!(keyring.add_domains(&[other], 0), Err(KeyringFault::TagCollision(_, _))));
    }

    #[test]
    fn refuses_parts_that_break_a_promise() {
        let email = domain("email", Mode::Equality);
        let note = domain("note", Mode::Random);
        let of = |change: &dyn Fn(&mut KeyringParts)| {
            let mut parts = parts(&[1, 2], &[email.clone(), note.clone()]);
            change(&mut parts);
            fault(parts)
        };
        let keyed = |name: &str| KeyedDomain {
            domain: domain(name, Mode::Random),
            generation: None,
            created_unix_s: 0,
        };
        let long = "x".repeat(64);
        assert_eq!(of(&|_| ()), "", "the parts themselves are sound");
        for (expected, refused) in [
            ("unique", of(&|parts| parts.roots[0].version = 2)),
            ("from 1", of(&|parts| parts.roots[0].version = 0)),
            ("no root key of version 3", of(&|parts| parts.current = 3)),
            ("no root key of version 9", of(&|parts| parts.domains[0].generation = Some(9))),
            ("exactly one key generation", of(&|parts| parts.domains[0].generation = None)),
            ("exactly one key generation", of(&|parts| parts.domains[1].generation = Some(1))),
            ("twice", of(&|parts| parts.domains.push(keyed("note")))),
            ("domain name \"\"", of(&|parts| parts.domains.push(keyed("")))),
            ("domain name \"a b\"", of(&|parts| parts.domains.push(keyed("a b")))),
            ("domain name \"a/b\"", of(&|parts| parts.domains.push(keyed("a/b")))),
            ("domain name", of(&|parts| parts.domains.push(keyed(&long)))),
            (
                "at most 1024 domains",
                of(&|parts| {
                    parts.domains.extend((0..1023).map(|n| keyed(&format!("d{n}"))));
                }),
            ),
        ] {
            assert!(refused.contains(expected), "{expected}: {refused}");
        }
    }

    #[test]
    fn adds_what_is_missing_and_changes_nothing() {
        let (email, note) = (domain("email", Mode::Equality), domain("note", Mode::Random));
        let phone = domain("phone", Mode::Equality);
        let mut keyring = Keyring::from_parts(parts(&[1, 2], &[email.clone(), note.clone()])).unwrap();
        let before: Vec<_> = keyring.domains().cloned().collect();
        let added = keyring.add_domains(&[note, phone.clone(), email, phone.clone()], 77);
        assert_eq!(added, Ok(vec![phone.name.clone()]));
        assert_eq!(keyring.sealing_version(&phone.name), Some(2), "a new domain begins at the current root");
        let kept: Vec<_> = keyring.domains().filter(|keyed| keyed.domain != phone).cloned().collect();
        assert_eq!(kept, before);
    }

    #[test]
    fn the_secret_of_salts_outlives_new_versions_and_is_no_other_key() {
        let secret =
            |versions: &[u16]| Keyring::from_parts(parts(versions, &[])).unwrap().salt_secret().unwrap();
        assert_eq!(*secret(&[1]), *secret(&[1, 2]));
        assert_ne!(*secret(&[1]), *secret(&[2]));
        let keyring = Keyring::from_parts(parts(&[1], &[])).unwrap();
        let root = keyring.root(1).unwrap();
        assert_ne!(secret(&[1])[..], root.bytes()[..]);
        assert_ne!(secret(&[1]), root.derive::<32>(&domain("salts", Mode::Random)));
    }

    #[test]
    fn adds_nothing_where_one_domain_disagrees() {
        let email = domain("email", Mode::Equality);
        let mut keyring = Keyring::from_parts(parts(&[1], &[email])).unwrap();
        let wanted = [domain("new", Mode::Random), domain("email", Mode::Random)];
        let refused = keyring.add_domains(&wanted, 0).err().map(|fault| fault.to_string());
        let refused = refused.unwrap_or_default();
        assert!(
            refused.starts_with("domain \"email\": seal is \"random\", expected \"equality\""),
            "{refused}"
        );
        assert_eq!(keyring.domains().len(), 1);
        assert!(keyring.domain_by_tag(&domain_tag(&wanted[0].name)).is_none());
    }

    #[test]
    fn a_template_serves_its_schemas_and_is_never_contradicted_by_one() {
        let template = domain("email@{schema}", Mode::Equality);
        let (acme, zeta) = (domain("email@acme", Mode::Equality), domain("email@zeta", Mode::Random));
        // Whatever the order of the policy, the template comes first.
        let mut keyring = Keyring::from_parts(parts(&[1], &[])).unwrap();
        let wanted = [acme.clone(), template.clone()];
        assert_eq!(keyring.add_domains(&wanted, 7), Ok(vec![template.name.clone()]));
        assert_eq!(keyring.domain(&acme.name), Some(acme.clone()));
        assert_eq!((keyring.agrees(&acme), keyring.agrees(&template)), (Ok(()), Ok(())));
        assert_eq!(keyring.agrees(&zeta).err().map(|found| found.key), Some("seal"));
        assert!(keyring.add_domains(&[zeta], 7).is_err());
        assert_eq!(keyring.sealing_version(&acme.name), Some(1));
        assert_eq!(keyring.sealing_version(&template.name), None);
        assert!(keyring.domain_by_tag(&domain_tag(&template.name)).is_none());
        assert_eq!(
            keyring.agrees(&domain("note@acme", Mode::Random)).err().map(|found| found.key),
            Some("domain")
        );
        // One that was there before keeps what was fixed with it.
        let mut keyring = Keyring::from_parts(parts(&[1, 2], std::slice::from_ref(&acme))).unwrap();
        keyring.add_domains(std::slice::from_ref(&template), 7).unwrap();
        let versions =
            ["email@acme", "email@zeta"].map(|name| keyring.sealing_version(&DomainName(name.into())));
        assert_eq!(versions, [Some(1), Some(2)]);
        let twice = [template.clone(), template];
        assert!(fault(parts(&[1], &twice)).contains("twice"));
    }
}
