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
    /// Where a table is made whose name has no schema, once the server has said it.
    made_in: Option<Creation>,
}

/// The schema in which a table is made whose name has none.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Creation {
    /// The schemas alone do not tell: which of them the server has added is to be asked.
    Unasked,
    Nowhere,
    In(Arc<str>),
}

impl SearchPath {
    #[must_use]
    pub fn new(schemas: Vec<Arc<str>>) -> SearchPath {
        SearchPath { schemas, not_temporary: BTreeSet::new(), made_in: None }
    }

    #[must_use]
    pub fn contains(&self, schema: &str) -> bool {
        self.schemas.iter().any(|own| **own == *schema)
    }

    /// The schema in which a table is made whose name has none: the first that is not there by itself.
    #[must_use]
    pub fn creation(&self) -> Creation {
        match (&self.made_in, self.schemas.first()) {
            (Some(said), _) => said.clone(),
            (None, Some(first)) if !is_temporary(first) && &**first != "pg_catalog" => {
                Creation::In(first.clone())
            }
            (None, _) => Creation::Unasked,
        }
    }

    /// The same path, when the server has said in which schema tables are made (`current_schema()`).
    #[must_use]
    pub fn making_in(&self, schema: Option<Arc<str>>) -> SearchPath {
        let said = schema.map_or(Creation::Nowhere, Creation::In);
        SearchPath { made_in: Some(said), ..self.clone() }
    }

    /// The session's own schema of temporary relations, if it has one by now.
    #[must_use]
    pub fn temporary(&self) -> Option<&Arc<str>> {
        self.schemas.iter().find(|schema| is_temporary(schema))
    }

    /// May the session have a temporary relation of this name?
    #[must_use]
    pub fn has_perhaps(&self, name: &str) -> bool {
        self.temporary().is_some() && !self.not_temporary.contains(name)
    }

    /// The same, when it is known that no temporary relation of this name exists.
    #[must_use]
    pub fn without_temporary(&self, name: &str) -> SearchPath {
        let mut path = self.clone();
        path.not_temporary.insert(name.into());
        path
    }
}

/// The session's own schema of temporary relations, by the name that it has in every session.
pub const TEMPORARY: &str = "pg_temp";

/// Is it a session's own schema of temporary relations?
#[must_use]
pub fn is_temporary(schema: &str) -> bool {
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
            // Another one of its name may come before it.
            (Named::Pinned(one), None, Some(path))
                if *one.name.schema == *TEMPORARY && path.temporary() != path.schemas.first() =>
            {
                Named::Ambiguous
            }
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
    fn where_a_table_is_made_is_asked_where_the_path_begins_with_what_the_server_may_have_added() {
        let path = |schemas: &[&str]| SearchPath::new(schemas.iter().map(|one| Arc::from(*one)).collect());
        assert_eq!(path(&["acme", "pg_catalog"]).creation(), Creation::In("acme".into()));
        for schemas in [&["pg_catalog", "acme"][..], &["pg_temp_3", "pg_catalog", "acme"], &[]] {
            assert_eq!(path(schemas).creation(), Creation::Unasked, "{schemas:?}");
        }
        let said = path(&["pg_temp_3", "acme"]).making_in(Some("acme".into()));
        assert_eq!(said.creation(), Creation::In("acme".into()));
        assert_eq!(said.making_in(None).creation(), Creation::Nowhere);
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
