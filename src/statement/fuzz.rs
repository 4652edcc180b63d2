//! The fuzz entry of this folder, which also runs for a moment as an ordinary test.

use std::sync::Arc;

use crate::catalog::stock::Stock;
use crate::catalog::{
    Codes, Column, Domain, DomainName, Field, FieldId, FieldState, Kind, Logical, Mode, QualifiedName,
    Relation, RelationKind, Snapshot, SnapshotParts,
};

use super::judge::analyse;
use super::read::bounds::Limits;
use super::read::literal::splice;
use super::read::spelling;
use super::read::tree::{Encoding, Reading};

/// Any bytes, judged in every reading against a catalog of one field: the fuzz entry.
/// Whatever it proves must be splice-able.
///
/// # Panics
///
/// On a defect of this folder, which is what a fuzzer looks for.
pub fn fuzz_analyse(data: &[u8]) {
    let snapshot = fuzz_snapshot(1);
    for encoding in [Encoding::Utf8, Encoding::SqlAscii, Encoding::Other] {
        for standard_conforming_strings in [true, false] {
            let reading = Reading {
                standard_conforming_strings,
                encoding,
                server_utf8: true,
                declared: crate::catalog::Declared::Nothing,
            };
            let Ok(facts) = analyse(data, reading, snapshot.names(None), &Limits::default()) else {
                continue;
            };
            let literals = facts.statements.iter().flat_map(|statement| &statement.literals);
            let spans: Vec<_> = literals.map(|literal| (literal.span.clone(), Vec::new())).collect();
            assert!(splice(data, &spans).is_some(), "literals are sorted and inside of the text");
        }
    }
}

/// A text in the spelling that every string mode reads as this reading does.
pub(crate) fn fuzz_spelled(text: &[u8], reading: Reading) -> Option<Vec<u8>> {
    let characters = std::str::from_utf8(text).ok()?;
    let mut edits = Vec::new();
    spelling::write_out(characters, reading, &mut edits).ok()?;
    let edits: Vec<_> = edits.into_iter().map(|edit| (edit.span, edit.new)).collect();
    splice(text, &edits)
}

/// The catalog of a database with one table, `customers (id, email, note)`, whose `email` is
/// sealed.
pub(crate) fn fuzz_snapshot(epoch: u64) -> Snapshot {
    let table = QualifiedName { schema: Arc::from("public"), name: Arc::from("customers") };
    let domain = Domain { name: DomainName(Arc::from("email")), mode: Mode::Equality, kind: Kind::TEXT };
    let field = Field {
        id: FieldId(0),
        database: None,
        table: table.clone(),
        column: Arc::from("email"),
        class: Arc::from("contact"),
        logical: Logical::TEXT,
        own: None,
        domain: Some(domain),
        state: FieldState::Sealed,
        guard: None,
        subject: Some(Arc::from("id")),
    };
    let column = |name: &str, number, type_oid, field| Column {
        name: Arc::from(name),
        number,
        type_oid,
        field,
        fault: None,
        generated: false,
    };
    let relation = Relation {
        name: table,
        oid: 16_400,
        kind: RelationKind::Table,
        columns: vec![
            column("id", 1, 23, None),
            column("email", 2, 25, Some(FieldId(0))),
            column("note", 3, 25, None),
        ],
        attributes: 5,
        keys: Vec::new(),
        behind: Vec::new(),
        reaches: None,
        fault: None,
        refused: Default::default(),
    };
    Snapshot::new(SnapshotParts {
        codes: Codes { stock: Stock::of(18), ascii_case: true, ..Codes::default() },
        database: Arc::from("shop"),
        epoch,
        fields: vec![field],
        relations: vec![relation],
        ..SnapshotParts::default()
    })
}
