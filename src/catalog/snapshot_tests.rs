//! What a snapshot says of names and fields.

use std::collections::HashSet;

use super::field::FieldState;
use super::field::*;
use super::pattern::{PolicyField, SchemaPattern};
use super::snapshot::*;
use super::unfit::Refused;
use super::{Domain, DomainName, Kind, Logical, Mode};

fn field(schema: &str, name: &str) -> Field {
    Field {
        id: FieldId(0),
        database: None,
        table: QualifiedName { schema: schema.into(), name: name.into() },
        column: "email".into(),
        class: "contact".into(),
        logical: Logical::TEXT,
        own: None,
        domain: Some(Domain { name: DomainName("email".into()), mode: Mode::Equality, kind: Kind::TEXT }),
        state: FieldState::Sealed,
        guard: None,
        subject: None,
    }
}

fn relation(schema: &str, name: &str, oid: u32, field: Option<FieldId>) -> Relation {
    Relation {
        name: QualifiedName { schema: schema.into(), name: name.into() },
        oid,
        kind: RelationKind::Table,
        columns: vec![Column {
            name: "email".into(),
            number: 1,
            type_oid: 25,
            field,
            fault: None,
            generated: false,
        }],
        attributes: 5,
        keys: Vec::new(),
        behind: Vec::new(),
        reaches: None,
        fault: None,
        refused: Refused::default(),
    }
}

fn snapshot() -> Snapshot {
    let by_pattern = |table: &str| PolicyField {
        schemas: SchemaPattern::new(&["tenant_", ""]),
        field: field("tenant_*", table),
    };
    Snapshot::new(SnapshotParts {
        fields: vec![field("tenant_b", "client"), field("gone", "client")],
        patterns: vec![by_pattern("client"), by_pattern("invoice"), by_pattern("lead")],
        relations: vec![
            relation("tenant_b", "client", 2, Some(FieldId(0))),
            relation("other", "client", 1, None),
            relation("other", "lead", 3, None),
        ],
        ..SnapshotParts::default()
    })
}

#[test]
fn a_table_that_a_pattern_covers_is_missing_until_the_catalog_has_it() {
    let snapshot = snapshot();
    for (schema, name, expected) in [
        (Some("tenant_b"), "client", "One"),
        (Some("tenant_a"), "client", "Missing"),
        (Some("other"), "client", "Harmless"),
        (Some("nowhere"), "client", "Missing"),
        (Some("gone"), "client", "Missing"),
        (None, "client", "Missing"),
        (Some("tenant_b"), "invoice", "Missing"),
        (Some("other"), "invoice", "Harmless"),
        (None, "invoice", "Missing"),
        (Some("pg_temp"), "invoice", "Ambiguous"),
        (None, "lead", "Harmless"),
        (Some("tenant_b"), "lead", "Missing"),
        (None, "order", "Harmless"),
    ] {
        let found = format!("{:?}", snapshot.named(schema, name));
        assert!(found.starts_with(expected), "{schema:?} {name}: {found}");
    }
    let watched: HashSet<&str> = snapshot.watched_names().collect();
    assert_eq!(watched, ["client", "invoice", "lead"].into());
    assert_eq!(snapshot.pattern_fields(Some("tenant_x"), "lead").count(), 1);
    assert_eq!(snapshot.pattern_fields(Some("pg_temp_1"), "lead").count(), 0);
    assert_eq!(snapshot.pattern_fields(None, "lead").count(), 1);
    assert!(!snapshot.classifies_nothing());
    assert!(Snapshot::new(SnapshotParts::default()).classifies_nothing());
}
