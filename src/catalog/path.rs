//! What an unqualified name means: by the catalog alone where that is enough, otherwise by the
//! session's effective search path, which only the server can tell.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::snapshot::{Named, Relation, Snapshot};

/// The schemas in which the server looks for an unqualified name, in its order, with those that
/// it adds itself (`current_schemas(true)`).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct SearchPath {
    schemas: Vec<Arc<str>>,
    /// Names of which the session has no temporary relation, as the server said.
    not_temporary: BTreeSet<Arc<str>>,
}

impl SearchPath {
    #[must_use]
    pub fn new(schemas: Vec<Arc<str>>) -> SearchPath {
        SearchPath { schemas, not_temporary: BTreeSet::new() }
    }

    #[must_use]
    pub fn contains(&self, schema: &str) -> bool {
        self.schemas.iter().any(|own| **own == *schema)
    }

    /// The schema in which a table is made whose name has none.
    #[must_use]
    pub fn creation(&self) -> Option<&Arc<str>> {
        self.schemas.iter().find(|schema| !is_temporary(schema) && &***schema != "pg_catalog")
    }

    /// The session's own schema of temporary relations, if it has one by now.
    #[must_use]
    pub fn temporary(&self) -> Option<&Arc<str>> {
        self.schemas.iter().find(|schema| is_temporary(schema))
    }

    /// The same, when it is known that no temporary relation of this name exists.
    #[must_use]
    pub fn without_temporary(&self, name: &str) -> SearchPath {
        let mut path = self.clone();
        path.not_temporary.insert(name.into());
        path
    }
}

fn is_temporary(schema: &str) -> bool {
    schema.starts_with("pg_temp")
}

/// What names can be looked up in: a snapshot, and the path where it is certain.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    pub snapshot: &'a Snapshot,
    pub path: Option<&'a SearchPath>,
}

impl<'a> Names<'a> {
    /// What a name in a statement means. An unqualified one that may mean several relations,
    /// one of which matters, is the first on the path that has it; without a path it stays
    /// [`Named::Ambiguous`].
    #[must_use]
    pub fn named(self, schema: Option<&str>, name: &str) -> Named<'a> {
        match (self.snapshot.named(schema, name), schema, self.path) {
            (Named::Ambiguous, None, Some(path)) => self.on_path(path, name),
            (named, _, _) => named,
        }
    }

    fn on_path(self, path: &SearchPath, name: &str) -> Named<'a> {
        for schema in &path.schemas {
            if is_temporary(schema) {
                if path.not_temporary.contains(name) {
                    continue;
                }
                return Named::PerhapsTemporary;
            }
            if let Some(relation) = self.snapshot.relation(schema, name) {
                return Named::Pinned(relation);
            }
        }
        Named::NotOnPath
    }

    /// May a call of this function, or a use of this operator or type, lead to classified
    /// columns? A name without a schema means any that is on the path.
    #[must_use]
    pub fn reaches(self, schema: Option<&str>, name: &str) -> Option<Reach<'a>> {
        let reaching = self.snapshot.reaching(name);
        let mut unsure = None;
        for one in reaching {
            let why = &one.why;
            match (schema, self.path) {
                (Some(schema), _) if *schema != *one.schema => {}
                (None, Some(path)) if !path.contains(&one.schema) => {}
                (Some(_), _) | (None, Some(_)) => return Some(Reach::Surely(why)),
                (None, None) => unsure = unsure.or(Some(Reach::Perhaps(why))),
            }
        }
        unsure
    }
}

/// Why something leads to classified columns.
#[derive(Clone, Copy, Debug)]
pub enum Reach<'a> {
    Surely(&'a Arc<str>),
    /// If its schema is on the path, which is not known.
    Perhaps(&'a Arc<str>),
}

impl Snapshot {
    /// Names as they are looked up on this path.
    #[must_use]
    pub fn names<'a>(&'a self, path: Option<&'a SearchPath>) -> Names<'a> {
        Names { snapshot: self, path }
    }

    /// Bare names of functions that lead to classified columns. Operators and types count
    /// wherever they are.
    pub fn reaching_functions(&self) -> impl Iterator<Item = &str> {
        self.reaching_all().filter(|(_, all)| all.iter().any(|one| one.called)).map(|(name, _)| &**name)
    }

    /// Names that no text can settle by itself: relations of several schemas, one of which
    /// matters.
    pub fn ambiguous_names(&self) -> impl Iterator<Item = &str> {
        self.bare_names().filter(|name| matches!(self.named(None, name), Named::Ambiguous))
    }
}

/// The relation that a [`Named`] stands for, if it is one that is judged as such.
impl<'a> Named<'a> {
    #[must_use]
    pub fn relation(&self) -> Option<&'a Relation> {
        match self {
            Named::One(relation) | Named::Pinned(relation) => Some(relation),
            Named::Harmless
            | Named::Ambiguous
            | Named::Missing
            | Named::NotOnPath
            | Named::PerhapsTemporary => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::field::QualifiedName;
    use super::super::snapshot::{RelationKind, SnapshotParts};
    use super::*;

    fn relation(schema: &str, oid: u32, reaches: bool) -> Relation {
        Relation {
            name: QualifiedName { schema: schema.into(), name: "client".into() },
            oid,
            kind: RelationKind::Table,
            columns: Vec::new(),
            attributes: 5,
            keys: Vec::new(),
            behind: Vec::new(),
            reaches: reaches.then(|| "for the test".into()),
            fault: None,
            refused: Default::default(),
        }
    }

    fn snapshot() -> Snapshot {
        Snapshot::new(SnapshotParts {
            relations: vec![relation("acme", 1, true), relation("zeta", 2, false)],
            ..SnapshotParts::default()
        })
    }

    fn said(path: &[&str], schema: Option<&str>) -> String {
        let snapshot = snapshot();
        let path = SearchPath::new(path.iter().map(|schema| Arc::from(*schema)).collect());
        let named = snapshot.names(Some(&path)).named(schema, "client");
        named.relation().map_or_else(|| format!("{named:?}"), |relation| relation.name.schema.to_string())
    }

    #[test]
    fn the_first_schema_of_the_path_that_has_the_name_is_meant() {
        for (path, meant) in [
            (&["pg_catalog", "acme", "zeta"][..], "acme"),
            (&["zeta", "acme"], "zeta"),
            (&["public", "zeta"], "zeta"),
            (&["public"], "NotOnPath"),
            (&[], "NotOnPath"),
            (&["pg_temp_3", "acme"], "PerhapsTemporary"),
            (&["acme", "pg_temp_3"], "acme"),
        ] {
            assert_eq!(said(path, None), meant, "{path:?}");
        }
        assert_eq!(said(&["zeta"], Some("acme")), "acme", "a schema that is written counts");
        let path = SearchPath::new(vec!["pg_temp_3".into(), "acme".into()]).without_temporary("client");
        assert!(matches!(snapshot().names(Some(&path)).named(None, "client"), Named::Pinned(_)));
        assert!(matches!(snapshot().names(None).named(None, "client"), Named::Ambiguous));
    }
}
