//! The vocabulary of classification: which column is personal, how it is sealed, and
//! what the application believes its type to be.

use std::fmt;
use std::sync::Arc;

use super::kind::Kind;
use super::logical::Logical;
use super::own::OwnType;

/// Index of a [`Field`] in the classification it belongs to (`Snapshot::field`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct FieldId(pub u16);

/// How the values of a field are sealed. The numbers are those of the envelope's mode byte.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mode {
    /// XAES-256-GCM with a random nonce (C2SP): store and fetch.
    Random,
    /// AES-256-SIV, deterministic (RFC 5297): also `=`, `<>`, IN, JOIN, UNIQUE.
    Equality,
}

impl Mode {
    /// The mode byte of the envelope.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Mode::Random => 1,
            Mode::Equality => 2,
        }
    }

    /// The name used in configuration, records and the key derivation's info string.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Random => "random",
            Mode::Equality => "equality",
        }
    }
}

/// Name of a key domain: fields of one domain share key, tag, mode and type. In a policy and
/// in the keyring it may be a template (`seal::template`), by which each schema has its own.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct DomainName(pub Arc<str>);

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is fixed when a key domain is made, and kept in the keyring.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Domain {
    pub name: DomainName,
    pub mode: Mode,
    pub kind: Kind,
}

/// A schema-qualified relation name, in the server's own spelling (already case-folded,
/// without quotes).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct QualifiedName {
    pub schema: Arc<str>,
    pub name: Arc<str>,
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// `sealed`: every stored value is an envelope. `sealing` is for a later version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldState {
    Sealed,
}

/// One classified column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field {
    pub id: FieldId,
    /// None: every database that is reached through this gate.
    pub database: Option<Arc<str>>,
    pub table: QualifiedName,
    pub column: Arc<str>,
    /// Free text of the policy, e.g. `contact`; `special` marks Article 9 data.
    pub class: Arc<str>,
    pub logical: Logical,
    /// The enumeration or the domain of the database as which it is declared; `logical` is what that is over.
    pub own: Option<OwnType>,
    /// None: classified and recorded, not sealed (`seal = "none"`).
    pub domain: Option<Domain>,
    pub state: FieldState,
    /// With what its sealed values begin, where columns that are made through here are to be held to that.
    pub guard: Option<Arc<str>>,
    /// The column that says whose data this is.
    pub subject: Option<Arc<str>>,
}

impl Field {
    /// `schema.table.column`, as it stands in records, metrics and messages.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}.{}", self.table, self.column)
    }

    /// Its type as a policy writes it.
    #[must_use]
    pub fn declared(&self) -> String {
        match &self.own {
            Some(own) if own.enumeration => format!("{} AS ENUM", own.name),
            Some(own) => format!("{} AS {}", own.name, self.logical),
            None => self.logical.to_string(),
        }
    }

    /// Is it declared as this enumeration or domain, as a text names it?
    #[must_use]
    pub fn is_of(&self, schema: Option<&str>, name: &str) -> bool {
        self.own.as_ref().is_some_and(|own| own.is_named(schema, name))
    }

    /// Is it an enumeration?
    #[must_use]
    pub fn is_enumeration(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.enumeration)
    }
}
