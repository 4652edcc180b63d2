//! `sealgate keys`: makes the keyring, adds the domains that a policy names, lists them.
//!
//! The functions return what happened as a report with a text and a JSON form; printing
//! it is the caller's.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::evidence::SigningKey;
use crate::catalog::{Domain, PolicyField};
use crate::residency::Date;
use crate::seal::{
    FieldDisagreement, Keyring, KeyringFault, KeyringIdentity, KeyringParts, MasterKey, MasterKeyFault,
    Random, Root, RootKey, guard_prefix, is_template,
};
use crate::store::keyfile::{self, KeyfileError, KeyfileFault};

/// Where the configuration says that the master key is.
#[derive(Clone, Debug)]
pub enum MasterKeySource {
    /// The name of an environment variable.
    Env(String),
    /// The path of a file.
    File(String),
}

impl fmt::Display for MasterKeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MasterKeySource::Env(name) => write!(f, "environment variable {name}"),
            MasterKeySource::File(path) => write!(f, "file {path}"),
        }
    }
}

/// Reads the master key from the text that its source holds; None: there is none.
///
/// # Errors
/// [`KeysFault::NoMasterKey`] says how to make one; [`KeysFault::MasterKey`] what is wrong.
pub fn master_key(text: Option<&str>, source: &MasterKeySource) -> Result<MasterKey, KeysFault> {
    let text = text.ok_or_else(|| KeysFault::NoMasterKey(source.clone()))?;
    MasterKey::from_base64(text).map_err(|fault| KeysFault::MasterKey(source.clone(), fault))
}

/// Makes the keyring at `path` with a first root key and the domains of the policy's sealed
/// fields. Where it stands already, only the domains that it lacks are added.
///
/// `now_unix_s` is the time of creation in seconds since 1970-01-01T00:00:00Z.
///
/// # Errors
/// See [`KeysFault`]; the file is then as it was.
pub fn init(
    path: &Path,
    master: &MasterKey,
    fields: &[PolicyField],
    now_unix_s: u64,
    random: &mut dyn Random,
) -> Result<InitReport, KeysFault> {
    let wanted: Vec<Domain> = fields.iter().filter_map(|entry| entry.field.domain.clone()).collect();
    let created = !path.try_exists().unwrap_or(true);
    let (keyring, added) = if created {
        let mut key = [0; 32];
        random.fill(&mut key);
        let root = Root { version: 1, created_unix_s: now_unix_s, key: RootKey::new(key) };
        zeroize::Zeroize::zeroize(&mut key);
        let mut drawn = [0; 16];
        random.fill(&mut drawn);
        let parts = KeyringParts {
            identity: Some(KeyringIdentity::new(drawn)),
            created_unix_s: now_unix_s,
            roots: vec![root],
            current: 1,
            domains: Vec::new(),
        };
        let mut keyring = Keyring::from_parts(parts).map_err(KeysFault::Keyring)?;
        let added = keyring
            .add_domains(&wanted, now_unix_s)
            .map_err(|fault| name_field(fault, fields, KeysFault::Keyring))?;
        keyfile::create(path, &keyring, master, random).map_err(KeysFault::Keyfile)?;
        (keyring, added)
    } else {
        match keyfile::extend(path, master, random, |keyring| keyring.add_domains(&wanted, now_unix_s)) {
            Ok(extended) => extended,
            Err(KeyfileError { path, fault: KeyfileFault::Change(fault) }) => {
                return Err(name_field(fault, fields, |fault| {
                    KeysFault::Keyfile(KeyfileError { path, fault: KeyfileFault::Change(fault) })
                }));
            }
            Err(error) => return Err(KeysFault::Keyfile(error)),
        }
    };
    Ok(InitReport {
        path: path.display().to_string(),
        created,
        identity: keyring.identity(),
        added: added.iter().map(ToString::to_string).collect(),
        keyring: describe(&keyring),
        signing_key: None,
    })
}

/// Says which field of the policy a disagreement is about.
fn name_field(
    fault: KeyringFault,
    fields: &[PolicyField],
    other: impl FnOnce(KeyringFault) -> KeysFault,
) -> KeysFault {
    let KeyringFault::Disagreement(disagreement) = &fault else { return other(fault) };
    let culprit = fields.iter().map(|entry| &entry.field).find(|field| {
        field.domain.as_ref().is_some_and(|domain| {
            domain.name == disagreement.domain
                && (domain.mode.name() == disagreement.found || domain.kind.to_string() == disagreement.found)
        })
    });
    match culprit {
        Some(field) => KeysFault::Disagreement(FieldDisagreement {
            field: field.path(),
            disagreement: disagreement.clone(),
        }),
        None => other(fault),
    }
}

/// Opens the keyring at `path` and describes it, without any key.
///
/// # Errors
/// See [`KeysFault`].
pub fn list(path: &Path, master: &MasterKey) -> Result<ListReport, KeysFault> {
    let keyring = keyfile::read(path, master).map_err(KeysFault::Keyfile)?;
    Ok(ListReport { path: path.display().to_string(), keyring: describe(&keyring), signing_key: None })
}

/// What may be shown of a keyring.
#[derive(Serialize, Debug)]
pub struct KeyringListing {
    pub identity: String,
    pub created: String,
    pub current: u16,
    pub roots: Vec<RootListing>,
    pub domains: Vec<DomainListing>,
}

#[derive(Serialize, Debug)]
pub struct RootListing {
    pub version: u16,
    pub created: String,
}

#[derive(Serialize, Debug)]
pub struct DomainListing {
    pub name: String,
    pub mode: &'static str,
    pub r#type: String,
    /// The root version under which new values are sealed.
    pub version: u16,
    /// The beginning of every sealed text of this domain. None: it is a template, and each
    /// schema's begin otherwise.
    pub guard: Option<String>,
    pub created: String,
}

fn describe(keyring: &Keyring) -> KeyringListing {
    KeyringListing {
        identity: keyring.identity().to_string(),
        created: utc(keyring.created_unix_s()),
        current: keyring.current_version(),
        roots: keyring
            .roots()
            .map(|root| RootListing { version: root.version, created: utc(root.created_unix_s) })
            .collect(),
        domains: keyring
            .domains()
            .map(|keyed| DomainListing {
                name: keyed.domain.name.to_string(),
                mode: keyed.domain.mode.name(),
                r#type: keyed.domain.kind.to_string(),
                version: keyed.generation.unwrap_or(keyring.current_version()),
                guard: (!is_template(&keyed.domain.name.0)).then(|| guard_prefix(&keyed.domain)),
                created: utc(keyed.created_unix_s),
            })
            .collect(),
    }
}

/// What `keys init` did.
#[derive(Serialize, Debug)]
pub struct InitReport {
    pub path: String,
    /// Was the keyring made now?
    pub created: bool,
    #[serde(skip)]
    pub identity: KeyringIdentity,
    /// Names of the domains that were added now.
    pub added: Vec<String>,
    pub keyring: KeyringListing,
    /// What checkpoints of the record are signed by, where they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_key: Option<SigningKey>,
}

impl InitReport {
    #[must_use]
    pub fn text(&self) -> String {
        let done = if self.created {
            format!(
                "made the keyring {}, identity {}; keep a copy of it, and of the master key in another place: \
                 without both no sealed value opens again\n",
                self.path, self.identity
            )
        } else {
            format!("the keyring {} stands already; its keys and domains are unchanged\n", self.path)
        };
        let added = match self.added.as_slice() {
            [] => "no domain was missing\n".to_owned(),
            [one] => format!("added the domain {one}\n"),
            several => format!("added the domains {}\n", several.join(", ")),
        };
        let reminder = if self.created || self.added.is_empty() {
            ""
        } else {
            "copy the keyring anew: a backup from before does not have them\n"
        };
        let signing = self.signing_key.as_ref().map(SigningKey::text).unwrap_or_default();
        done + &added + reminder + &signing
    }

    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// What `keys list` found.
#[derive(Serialize, Debug)]
pub struct ListReport {
    pub path: String,
    pub keyring: KeyringListing,
    /// The public half of what checkpoints of the record are signed by, where they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_key: Option<String>,
}

impl ListReport {
    #[must_use]
    pub fn text(&self) -> String {
        use fmt::Write;
        let KeyringListing { identity, created, current, roots, domains } = &self.keyring;
        let mut text = format!("keyring {}, made {created}\nidentity {identity}\n\n", self.path);
        for RootListing { version, created } in roots {
            let note = if version == current { "  current" } else { "" };
            let _ = writeln!(text, "root key {version}  {created}{note}");
        }
        let width = domains.iter().map(|domain| domain.name.len()).max().unwrap_or(0).max("domain".len());
        let _ = writeln!(
            text,
            "\n{:width$}  {:8}  {:8}  {:>4}  {:12}  created",
            "domain", "seal", "type", "key", "guard"
        );
        for DomainListing { name, mode, r#type, version, guard, created } in domains {
            let guard = guard.as_deref().unwrap_or("by schema");
            let _ = writeln!(text, "{name:width$}  {mode:8}  {type:8}  {version:>4}  {guard:12}  {created}");
        }
        if let Some(key) = &self.signing_key {
            let _ = writeln!(text, "\nthe record's public key {key}");
        }
        text
    }

    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// Why `keys` refuses. It never holds a key.
#[derive(Debug)]
pub enum KeysFault {
    NoMasterKey(MasterKeySource),
    MasterKey(MasterKeySource, MasterKeyFault),
    Keyring(KeyringFault),
    Keyfile(KeyfileError),
    Disagreement(FieldDisagreement),
}

impl fmt::Display for KeysFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeysFault::NoMasterKey(source) => {
                let make = match source {
                    MasterKeySource::Env(name) => format!("export {name}=\"$(openssl rand -base64 32)\""),
                    MasterKeySource::File(path) => format!("(umask 077; openssl rand -base64 32 > {path})"),
                };
                write!(
                    f,
                    "there is no master key: {source} is not set. It wraps the keys of the keyring; \
                     this makes one:\n\n    {make}\n\nKeep it apart from the keyring and keep a copy: \
                     without it no sealed value opens again."
                )
            }
            KeysFault::MasterKey(source, fault) => write!(f, "{source}: {fault}"),
            KeysFault::Keyring(fault) => fault.fmt(f),
            KeysFault::Keyfile(error) => error.fmt(f),
            KeysFault::Disagreement(disagreement) => disagreement.fmt(f),
        }
    }
}

impl std::error::Error for KeysFault {}

/// `2026-01-31T09:05:00Z`.
fn utc(unix_s: u64) -> String {
    let (date, second) = (Date::from_unix_days(unix_s / 86_400), unix_s % 86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{date}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::catalog::{
        DomainName, Field, FieldId, FieldState, Kind, Logical, Mode, QualifiedName, SchemaPattern,
    };

    struct Thread;

    impl Random for Thread {
        fn fill(&mut self, bytes: &mut [u8]) {
            rand::Rng::fill_bytes(&mut rand::rng(), bytes);
        }
    }

    /// A path that nothing is at, before and after the test.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            Place(std::env::temp_dir().join(format!("sealgate-keys-{}-{name}", std::process::id())))
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn field(column: &str, domain: Option<(&str, Mode)>) -> PolicyField {
        let field = Field {
            id: FieldId(0),
            database: None,
            table: QualifiedName { schema: "public".into(), name: "customers".into() },
            column: column.into(),
            class: "contact".into(),
            logical: Logical::TEXT,
            own: None,
            domain: domain.map(|(name, mode)| Domain {
                name: DomainName(name.into()),
                mode,
                kind: Kind::TEXT,
            }),
            state: FieldState::Sealed,
            guard: None,
            subject: None,
        };
        PolicyField { schemas: None, field }
    }

    fn master() -> MasterKey {
        MasterKey::new([4; 32])
    }

    const NOW: u64 = 1_735_689_600;

    #[test]
    fn makes_a_keyring_then_adds_only_what_is_missing() {
        let place = Place::new("init");
        let email = field("email", Some(("email", Mode::Equality)));
        let login = field("login", Some(("email", Mode::Equality)));
        let fields = [field("id", None), email, login];
        let first = init(&place.0, &master(), &fields, NOW, &mut Thread).unwrap();
        assert!(first.created);
        assert_eq!(first.added, ["email"]);
        assert!(first.text().contains("made the keyring") && first.text().contains("added the domain email"));

        let again = init(&place.0, &master(), &fields, NOW + 1, &mut Thread).unwrap();
        assert!(!again.created && again.added.is_empty());
        assert!(again.text().contains("unchanged") && again.text().contains("no domain was missing"));

        let note = field("note", Some(("note", Mode::Random)));
        let more = init(&place.0, &master(), &[&fields[..], &[note]].concat(), NOW + 1, &mut Thread).unwrap();
        assert_eq!(more.added, ["note"]);
        assert!(more.text().contains("copy the keyring anew") && !again.text().contains("anew"));
        assert_eq!(more.identity, first.identity);
        assert_eq!(more.keyring.domains[0].created, "2025-01-01T00:00:00Z");

        let listed = list(&place.0, &master()).unwrap();
        let text = listed.text();
        assert!(text.contains(&format!("\nidentity {}\n", first.identity)), "{text}");
        assert!(text.contains("root key 1  2025-01-01T00:00:00Z  current"), "{text}");
        assert!(
            text.contains("email   equality  text         1  SEALfyeCwSny  2025-01-01T00:00:00Z"),
            "{text}"
        );
        let json: serde_json::Value = serde_json::from_str(&listed.json()).unwrap();
        assert_eq!(json["keyring"]["domains"][1]["guard"], "SEALPVMe4sZu");
    }

    #[test]
    fn a_policy_that_disagrees_names_field_found_and_expected() {
        let place = Place::new("disagree");
        let fields = [field("email", Some(("email", Mode::Equality)))];
        init(&place.0, &master(), &fields, NOW, &mut Thread).unwrap();
        let before = std::fs::read(&place.0).unwrap();
        let other =
            [field("note", Some(("note", Mode::Random))), field("email", Some(("email", Mode::Random)))];
        let refused = init(&place.0, &master(), &other, NOW, &mut Thread).unwrap_err().to_string();
        let expected =
            "field public.customers.email: domain \"email\": seal is \"random\", expected \"equality\"";
        assert!(refused.starts_with(expected), "{refused}");
        assert_eq!(std::fs::read(&place.0).unwrap(), before, "nothing was added");
        let keyring = keyfile::read(&place.0, &master()).ok().unwrap();
        let fields: Vec<Field> = other.iter().map(|entry| entry.field.clone()).collect();
        let found: Vec<String> = keyring.disagreements(&fields).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("field public.customers.note") && found[0].contains("keys init"));
        assert!(found[1].starts_with(expected));
    }

    #[test]
    fn a_template_stands_in_the_keyring_once_for_all_schemas() {
        let place = Place::new("template");
        let entry = PolicyField {
            schemas: SchemaPattern::new(&["", ""]),
            ..field("email", Some(("email@{schema}", Mode::Equality)))
        };
        let one = field("email", Some(("email@acme", Mode::Equality)));
        let made = init(&place.0, &master(), &[one.clone(), entry], NOW, &mut Thread).unwrap();
        assert_eq!(made.added, ["email@{schema}"]);
        assert!(init(&place.0, &master(), &[one], NOW, &mut Thread).unwrap().added.is_empty());
        let listed = list(&place.0, &master()).unwrap();
        let text = listed.text();
        assert!(text.contains("email@{schema}  equality  text         1  by schema     2025"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&listed.json()).unwrap();
        assert!(json["keyring"]["domains"][0]["guard"].is_null());
    }

    #[test]
    fn says_how_to_make_a_master_key() {
        let source = MasterKeySource::Env("SEALGATE_MASTER_KEY".into());
        let missing = master_key(None, &source).err().map(|fault| fault.to_string()).unwrap_or_default();
        assert!(missing.contains("export SEALGATE_MASTER_KEY=\"$(openssl rand -base64 32)\""), "{missing}");
        let short = master_key(Some("c2hvcnQ="), &source).err().map(|fault| fault.to_string());
        let short = short.unwrap_or_default();
        assert!(short.contains("SEALGATE_MASTER_KEY") && short.contains("has 5 bytes"), "{short}");
    }

    #[test]
    fn another_master_key_opens_nothing() {
        let place = Place::new("master");
        init(&place.0, &master(), &[], NOW, &mut Thread).unwrap();
        let other = MasterKey::new([3; 32]);
        for refused in [list(&place.0, &other).err(), init(&place.0, &other, &[], NOW, &mut Thread).err()] {
            let refused = refused.map(|fault| fault.to_string()).unwrap_or_default();
            assert!(refused.contains("another master key"), "{refused}");
        }
    }

    #[test]
    fn writes_times_in_utc() {
        for (unix_s, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(unix_s), text);
        }
    }
}
