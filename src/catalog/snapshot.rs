//! One consistent view of a database's catalog, reduced to what classification needs.
//!
//! Only relations and functions that are classified, reach a classified column, or share
//! a name with one that does, are kept. Whatever is not named here cannot lead to a
//! classified column by the catalog's own account.

use std::collections::HashMap;
use std::sync::Arc;

use super::field::{Field, FieldId, QualifiedName};
use super::path::Reaching;

/// What `pg_class.relkind` says, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RelationKind {
    /// An ordinary or partitioned table.
    Table,
    /// A view, materialised view, foreign table or anything else.
    Other,
}

/// One live column of a relation (dropped ones are left out).
#[derive(Clone, Debug)]
pub struct Column {
    pub name: Arc<str>,
    /// `pg_attribute.attnum`, from 1.
    pub number: i16,
    /// `pg_attribute.atttypid`.
    pub type_oid: u32,
    pub field: Option<FieldId>,
}

/// A relation whose name matters.
#[derive(Clone, Debug)]
pub struct Relation {
    pub name: QualifiedName,
    /// `pg_class.oid`.
    pub oid: u32,
    pub kind: RelationKind,
    /// In `attnum` order. Filled for relations that hold classified columns.
    pub columns: Vec<Column>,
    /// Why this relation leads to classified columns without holding them by policy (a
    /// view, a partition, a child, a trigger or rule that writes to one): shown in DETAIL.
    /// None: by itself it is harmless, or it is the classified table.
    pub reaches: Option<Arc<str>>,
    /// A policy entry for this relation that does not fit the catalog (no such column, a
    /// type that cannot hold sealed text, a partition key...). Statements on it are refused.
    pub fault: Option<Arc<str>>,
}

impl Relation {
    /// Does any column of this relation belong to the classification?
    #[must_use]
    pub fn is_classified(&self) -> bool {
        self.columns.iter().any(|column| column.field.is_some())
    }

    /// May a statement that names this relation be forwarded without a plan?
    #[must_use]
    pub fn is_harmless(&self) -> bool {
        !self.is_classified() && self.reaches.is_none() && self.fault.is_none()
    }

    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| &*column.name == name)
    }
}

/// What an unqualified or qualified relation name can mean.
#[derive(Debug)]
pub enum Named<'a> {
    /// Nothing that matters: no relation of this name is classified or reaches one.
    Harmless,
    /// Exactly this relation, whatever `search_path` says.
    One(&'a Relation),
    /// Several relations, at least one of which matters: the statement must qualify.
    Ambiguous,
    /// One of several, by the search path: its schema must be written into what is sent.
    Pinned(&'a Relation),
    /// Several, none of which is on the search path.
    NotOnPath,
    /// Several, and a temporary one of the session itself may come before them.
    PerhapsTemporary,
    /// The policy names it, the catalog does not have it (yet).
    Missing,
}

/// Raw material of a [`Snapshot`].
#[derive(Debug, Default)]
pub struct SnapshotParts {
    pub database: Arc<str>,
    pub epoch: u64,
    /// Fields of the policy that apply to this database; `Field::id` is its index.
    pub fields: Vec<Field>,
    /// Every relation whose bare name equals that of one that matters.
    pub relations: Vec<Relation>,
    /// By their bare names, functions, procedures, operators and types that lead to classified
    /// columns.
    pub functions: HashMap<Arc<str>, Vec<Reaching>>,
}

/// See the module's text. Immutable; replaced as a whole.
#[derive(Debug)]
pub struct Snapshot {
    database: Arc<str>,
    epoch: u64,
    fields: Vec<Field>,
    relations: HashMap<Arc<str>, Vec<Relation>>,
    policy_tables: HashMap<Arc<str>, Vec<QualifiedName>>,
    by_origin: HashMap<(u32, i16), FieldId>,
    functions: HashMap<Arc<str>, Vec<Reaching>>,
}

impl Snapshot {
    #[must_use]
    pub fn new(parts: SnapshotParts) -> Snapshot {
        let mut relations: HashMap<Arc<str>, Vec<Relation>> = HashMap::new();
        let mut by_origin = HashMap::new();
        for relation in parts.relations {
            for column in &relation.columns {
                if let Some(field) = column.field {
                    by_origin.insert((relation.oid, column.number), field);
                }
            }
            relations.entry(relation.name.name.clone()).or_default().push(relation);
        }
        let mut policy_tables: HashMap<Arc<str>, Vec<QualifiedName>> = HashMap::new();
        for field in &parts.fields {
            let tables = policy_tables.entry(field.table.name.clone()).or_default();
            if !tables.contains(&field.table) {
                tables.push(field.table.clone());
            }
        }
        Snapshot {
            database: parts.database,
            epoch: parts.epoch,
            fields: parts.fields,
            relations,
            policy_tables,
            by_origin,
            functions: parts.functions,
        }
    }

    #[must_use]
    pub fn database(&self) -> &Arc<str> {
        &self.database
    }

    /// Grows with every load that differs from the one before.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    #[must_use]
    pub fn field(&self, id: FieldId) -> Option<&Field> {
        self.fields.get(usize::from(id.0))
    }

    /// The classified field behind a RowDescription's table OID and attribute number.
    #[must_use]
    pub fn field_by_origin(&self, table_oid: u32, attribute: i16) -> Option<FieldId> {
        if table_oid == 0 {
            return None;
        }
        self.by_origin.get(&(table_oid, attribute)).copied()
    }

    /// What leads to classified columns and has this bare name.
    #[must_use]
    pub fn reaching(&self, name: &str) -> &[Reaching] {
        self.functions.get(name).map_or(&[], Vec::as_slice)
    }

    pub(super) fn reaching_all(&self) -> impl Iterator<Item = &Arc<str>> {
        self.functions.keys()
    }

    /// The relation of exactly this name, if it is kept here.
    #[must_use]
    pub fn relation(&self, schema: &str, name: &str) -> Option<&Relation> {
        self.relations.get(name)?.iter().find(|relation| *relation.name.schema == *schema)
    }

    /// The bare names of all relations that are kept here.
    pub fn bare_names(&self) -> impl Iterator<Item = &str> {
        self.relations.keys().map(|name| &**name)
    }

    /// What a name in a statement can mean, whatever the search path is, which a function can
    /// change unseen: an unqualified name with more than one meaning, one of which matters, is
    /// [`Named::Ambiguous`].
    #[must_use]
    pub fn named(&self, schema: Option<&str>, name: &str) -> Named<'_> {
        if schema.is_some_and(|schema| schema.starts_with("pg_temp")) {
            // A temporary table that shadows a name is refused, not told apart.
            return match self.named(None, name) {
                Named::Harmless => Named::Harmless,
                Named::One(_)
                | Named::Ambiguous
                | Named::Pinned(_)
                | Named::NotOnPath
                | Named::PerhapsTemporary
                | Named::Missing => Named::Ambiguous,
            };
        }
        let all = self.relations.get(name).map_or(&[][..], Vec::as_slice);
        let policy = self.policy_tables.get(name);
        let missing = policy.is_some_and(|tables| {
            tables.iter().any(|table| {
                schema.is_none_or(|schema| schema == &*table.schema)
                    && !all.iter().any(|relation| relation.name == *table)
            })
        });
        if missing {
            return Named::Missing;
        }
        let mut fitting =
            all.iter().filter(|relation| schema.is_none_or(|schema| schema == &*relation.name.schema));
        match (fitting.next(), fitting.next()) {
            (None, _) => Named::Harmless,
            (Some(only), None) if only.is_harmless() => Named::Harmless,
            (Some(only), None) => Named::One(only),
            (Some(first), Some(second)) => {
                if first.is_harmless() && second.is_harmless() && fitting.all(Relation::is_harmless) {
                    Named::Harmless
                } else {
                    Named::Ambiguous
                }
            }
        }
    }

    /// Every relation kept in this snapshot.
    pub fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.relations.values().flatten()
    }

    /// Every bare name that the prefilter must look for: relations that matter, policy
    /// tables that are missing, functions that reach.
    pub fn watched_names(&self) -> impl Iterator<Item = &str> {
        let relations = self
            .relations
            .iter()
            .filter(|(_, all)| all.iter().any(|relation| !relation.is_harmless()))
            .map(|(name, _)| &**name);
        let policy = self.policy_tables.keys().map(|name| &**name);
        let functions = self.functions.keys().map(|name| &**name);
        relations.chain(policy).chain(functions)
    }
}
