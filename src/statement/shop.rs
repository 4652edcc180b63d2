//! The sample catalog of this folder's tests: a shop with personal data.

use std::sync::Arc;

use crate::catalog::stock::Stock;
use crate::catalog::{
    Codes, Column, CursorName, Domain, DomainName, Field, FieldId, FieldState, Followed, ForeignServer, Kind,
    Logical, Mode, Opening, QualifiedName, Reaching, Refused, Relation, RelationKind, Sharing, Snapshot,
    SnapshotParts,
};

use super::{Encoding, Limits, Reading, TextFacts, Unproven, analyse};

pub(super) const EMAIL: FieldId = FieldId(0);
pub(super) const PHONE: FieldId = FieldId(1);
pub(super) const NICK: FieldId = FieldId(2);
pub(super) const LEAD: FieldId = FieldId(3);
pub(super) const CITY: FieldId = FieldId(4);

pub(super) const READING: Reading = Reading {
    standard_conforming_strings: true,
    encoding: Encoding::Utf8,
    server_utf8: true,
    declared: crate::catalog::Declared::Nothing,
};

fn name(schema: &str, name: &str) -> QualifiedName {
    QualifiedName { schema: Arc::from(schema), name: Arc::from(name) }
}

fn field(id: FieldId, table: &str, column: &str, domain: Option<(&str, Mode)>) -> Field {
    Field {
        id,
        database: None,
        table: name("public", table),
        column: Arc::from(column),
        class: Arc::from("contact"),
        logical: Logical::TEXT,
        own: None,
        domain: domain.map(|(name, mode)| Domain {
            name: DomainName(Arc::from(name)),
            mode,
            kind: Kind::TEXT,
        }),
        state: FieldState::Sealed,
        guard: None,
        subject: None,
    }
}

fn relation(schema: &str, table: &str, oid: u32, columns: &[(&str, Option<FieldId>)]) -> Relation {
    Relation {
        name: name(schema, table),
        oid,
        kind: RelationKind::Table,
        columns: columns
            .iter()
            .enumerate()
            .map(|(position, (column, field))| Column {
                name: Arc::from(*column),
                number: i16::try_from(position + 1).unwrap(),
                type_oid: 25,
                field: *field,
                fault: None,
                generated: false,
            })
            .collect(),
        attributes: 5,
        keys: vec![vec![Arc::from("id")]],
        behind: Vec::new(),
        reaches: None,
        fault: None,
        refused: Default::default(),
    }
}

/// `customers(id, email =, phone random, nick none, city =, note)`, `leads(id, email =)`
/// of the same domain, a view, an ambiguous and a missing table, a reaching function.
pub(super) fn shop() -> Snapshot {
    shop_with(|field| field)
}

/// The same with other fields.
pub(super) fn shop_with(with: impl Fn(Field) -> Field) -> Snapshot {
    let email = Some(("email", Mode::Equality));
    let mut view = relation("public", "customer_list", 3, &[]);
    view.reaches = Some(Arc::from("view over public.customers"));
    view.kind = RelationKind::Other;
    let mut faulty = relation("public", "broken", 6, &[]);
    faulty.fault = Some(Arc::from("no such column"));
    let columns = [("id", None), ("email", Some(EMAIL)), ("low", None), ("note", None), ("rank", None)];
    let mut partly = relation("public", "partly", 7, &columns);
    for column in partly.columns.iter_mut().filter(|column| matches!(&*column.name, "email" | "low")) {
        column.fault = Some(Arc::from("it does not fit"));
    }
    let mut guarded = relation("public", "guarded", 8, &[("id", None), ("email", Some(EMAIL))]);
    let why = || Some(Arc::from("a trigger would change it"));
    guarded.refused = Refused { inserts: why(), updates: why(), deletes: why(), ..Refused::default() };
    partly.refused.assigned = [(Arc::from("rank"), Arc::from("it is unique with email"))].into();
    Snapshot::new(SnapshotParts {
        database: Arc::from("shop"),
        epoch: 1,
        meant_since: 1,
        names: ["orders", "who"].map(Arc::from).into(),
        fields: vec![
            field(EMAIL, "customers", "email", email),
            field(PHONE, "customers", "phone", Some(("phone", Mode::Random))),
            field(NICK, "customers", "nick", None),
            field(LEAD, "leads", "email", email),
            field(CITY, "customers", "city", Some(("city", Mode::Equality))),
            field(FieldId(5), "planned", "email", email),
        ]
        .into_iter()
        .map(with)
        .collect(),
        patterns: Vec::new(),
        servers: [("far", "postgres_fdw", "host=db.example"), ("loop", "postgres_fdw", "dbname=shop")]
            .map(|(name, wrapper, option)| ForeignServer {
                name: name.into(),
                wrapper: wrapper.into(),
                options: vec![option.into()],
            })
            .into(),
        bound: Arc::default(),
        relations: vec![
            relation(
                "public",
                "customers",
                1,
                &[
                    ("id", None),
                    ("email", Some(EMAIL)),
                    ("phone", Some(PHONE)),
                    ("nick", Some(NICK)),
                    ("city", Some(CITY)),
                    ("note", None),
                ],
            ),
            relation("public", "leads", 2, &[("id", None), ("email", Some(LEAD)), ("source", None)]),
            view,
            relation("public", "twins", 4, &[("id", None), ("email", Some(EMAIL))]),
            relation("other", "twins", 5, &[("id", None)]),
            faulty,
            partly,
            guarded,
        ],
        followed: [
            ("mail_of", &[(None, Some(EMAIL))][..], &[(Some("number"), None)][..], &[][..]),
            (
                "people_by",
                &[(Some("id"), None), (Some("mail"), Some(EMAIL)), (Some("nick"), Some(NICK))],
                &[(None, Some(EMAIL))],
                &[CITY],
            ),
        ]
        .map(|(name, columns, arguments, behind)| {
            let named = |(name, field): &(Option<&str>, _)| (name.map(Arc::from), *field);
            let function = Followed {
                schema: "public".into(),
                columns: columns.iter().map(named).collect(),
                row: columns.len() > 1,
                arguments: arguments.iter().map(named).collect(),
                behind: behind.to_vec(),
            };
            (Arc::from(name), function)
        })
        .into(),
        openings: [
            (
                "listed",
                CursorName::Argument(0),
                "SELECT id, email FROM customers WHERE email = wanted AND id > least",
            ),
            ("all_of", CursorName::Server, "SELECT id, email FROM customers"),
            ("fixed", CursorName::Constant("mine".into()), "SELECT id, email FROM customers"),
        ]
        .map(|(name, named, query)| {
            let arguments = match &named {
                CursorName::Argument(_) => {
                    vec![(Some("c".into()), 1790), (Some("wanted".into()), 25), (Some("least".into()), 23)]
                }
                CursorName::Constant(_) | CursorName::Server => Vec::new(),
            };
            let (schema, name, query) = ("public".into(), Arc::<str>::from(name), query.into());
            (name.clone(), Opening { schema, name, query, arguments, named })
        })
        .into(),
        functions: ["reach_all", "<~~", "reach_type", "mail_of", "people_by", "listed", "all_of", "fixed"]
            .into_iter()
            .map(|name| {
                let why = Arc::from("reads public.customers");
                (Arc::from(name), vec![Reaching { schema: Arc::from("public"), called: true, why }])
            })
            .collect(),
        sharing: Sharing {
            columns: ["email", "phone", "nick", "city"].map(Arc::from).into(),
            relations: Some(
                [("letters", "nick"), ("mails", "email")]
                    .map(|(name, column)| (name.into(), [("public".into(), column.into())].into()))
                    .into(),
            ),
        },
        codes: Codes { stock: Stock::of(18), ascii_case: true, ..Codes::default() },
        refuses_opaque: false,
        copies_sealed: Vec::new(),
        faults: Vec::new(),
        misfits: Vec::new(),
    })
}

pub(super) fn judged(sql: &str) -> Result<TextFacts, Unproven> {
    analyse(sql.as_bytes(), READING, shop().names(None), &Limits::default())
}
