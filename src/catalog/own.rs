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
    fn own_fields(&self) -> impl Iterator<Item = &Field> {
        self.fields().iter().chain(self.patterns().iter().map(|entry| &entry.field))
    }

    /// The type of the database that the policy gives to a column, by this name.
    #[must_use]
    pub fn own_type(&self, schema: Option<&str>, name: &str) -> Option<&QualifiedName> {
        let mut own = self.own_fields().filter_map(|field| field.own.as_ref());
        own.find(|own| own.is_named(schema, name)).map(|own| &own.name)
    }

    /// Does the policy give a column an enumeration of this name?
    #[must_use]
    pub fn has_enumeration(&self, schema: Option<&str>, name: &str) -> bool {
        self.own_fields().any(|field| field.is_enumeration() && field.is_of(schema, name))
    }

    /// An enumeration of the policy has come to be.
    pub(super) fn enumerate(&mut self, name: &QualifiedName, found: &Arc<OwnFound>) {
        let own = self.fields_mut().filter_map(|field| field.own.as_mut());
        for own in own.filter(|own| own.enumeration && own.name == *name) {
            own.found = Some(Arc::clone(found));
        }
    }
}
