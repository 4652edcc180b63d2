//! Types that a database has beside the server's own, and of which a sealed column may be: enumerations, and
//! domains over types that can be sealed. The policy names them, and the catalog says what they are.

use std::sync::Arc;

use super::field::{Field, QualifiedName};
use super::snapshot::Snapshot;

/// As the policy has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnType {
    pub name: QualifiedName,
    /// Its values are labels; else it is a domain.
    pub enumeration: bool,
    /// None: the database has none of this name (yet).
    pub found: Option<Arc<OwnFound>>,
}

/// As the catalog has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnFound {
    /// `pg_type.oid`; 0 where it is not known.
    pub oid: u32,
    /// Of an enumeration: all that a value may be.
    pub labels: Vec<Arc<str>>,
}

impl OwnType {
    /// Does a text mean it by this name?
    #[must_use]
    pub fn is_named(&self, schema: Option<&str>, name: &str) -> bool {
        *self.name.name == *name && schema.is_none_or(|schema| *self.name.schema == *schema)
    }

    /// Those of these fields, each once, without what the catalog says of them.
    pub(super) fn all<'a>(fields: impl Iterator<Item = &'a Field>) -> Arc<[OwnType]> {
        let mut all: Vec<OwnType> = fields
            .filter_map(|field| field.own.as_ref())
            .map(|own| OwnType { found: None, ..own.clone() })
            .collect();
        all.sort_by(|one, other| (&one.name, one.enumeration).cmp(&(&other.name, other.enumeration)));
        all.dedup();
        all.into()
    }

    /// Its OID, where that is known.
    #[must_use]
    pub fn oid(&self) -> Option<u32> {
        self.found.as_ref().map(|found| found.oid).filter(|oid| *oid != 0)
    }

    /// Is a value one of its labels? None: nobody knows them.
    #[must_use]
    pub fn has_label(&self, value: &[u8]) -> Option<bool> {
        let found = self.found.as_ref()?;
        Some(found.labels.iter().any(|label| label.as_bytes() == value))
    }
}

impl Snapshot {
    /// The type of the database that the policy gives to a column, by this name.
    #[must_use]
    pub fn own_type(&self, schema: Option<&str>, name: &str) -> Option<&QualifiedName> {
        self.owns().iter().find(|own| own.is_named(schema, name)).map(|own| &own.name)
    }

    /// Does the policy give a column an enumeration of this name?
    #[must_use]
    pub fn has_enumeration(&self, schema: Option<&str>, name: &str) -> bool {
        self.owns().iter().any(|own| own.enumeration && own.is_named(schema, name))
    }

    /// An enumeration of the policy has come to be.
    pub(super) fn enumerate(&mut self, name: &QualifiedName, found: &Arc<OwnFound>) {
        let own = self.fields_mut().filter_map(|field| field.own.as_mut());
        for own in own.filter(|own| own.enumeration && own.name == *name) {
            own.found = Some(Arc::clone(found));
        }
    }
}
