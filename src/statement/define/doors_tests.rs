use super::super::super::read::prefilter::Prefilter;
use super::super::super::shop::READING;
use super::*;
use crate::catalog::stock::Stock;
use crate::catalog::{
    Codes, Domain, DomainName, Field, FieldId, FieldState, Kind, Logical, Mode, PolicyField, QualifiedName,
    Snapshot, SnapshotParts,
};
use crate::statement::analyse;

fn entry(database: Option<&str>) -> PolicyField {
    let name = DomainName("email".into());
    let field = Field {
        id: FieldId(0),
        database: database.map(Into::into),
        table: QualifiedName { schema: "public".into(), name: "customers".into() },
        column: "email".into(),
        class: "contact".into(),
        logical: Logical::TEXT,
        own: None,
        domain: Some(Domain { name, mode: Mode::Equality, kind: Kind::TEXT }),
        state: FieldState::Sealed,
        guard: None,
        subject: None,
    };
    PolicyField { schemas: None, field }
}

fn doors(databases: &[&str]) -> Doors {
    let entries: Vec<_> = databases.iter().map(|database| entry(Some(database))).collect();
    Doors::of(Bound::of(&entries)).unwrap()
}

/// Why a text is refused in a database in which nothing is classified. None: it passes.
fn refused(doors: &Doors, sql: &str) -> Option<&'static str> {
    if !doors.may_stand_in(sql.as_bytes()) {
        return None;
    }
    doors.judge(sql.as_bytes(), READING, &Limits::default()).err().map(|unproven| unproven.reason)
}

const LEAVES: &[&str] = &[
    "CREATE DATABASE x TEMPLATE shop",
    "CREATE DATABASE x WITH TEMPLATE = shop STRATEGY = file_copy OWNER postgres",
    "CREATE DATABASE x TEMPLATE 'shop'",
    "CREATE DATABASE x TEMPLATE SHOP",
    "CREATE DATABASE x template \"shop\"",
    "CREATE DATABASE x TEMPLATE U&\"sh\\006fp\"",
    "CREATE DATABASE x TEMPLATE U&\"sh!006fp\" UESCAPE '!'",
    "CREATE DATABASE x TEMPLATE E'sh\\x6fp'",
    "CREATE DATABASE x TEMPLATE $$shop$$",
    "CREATE DATABASE x \"template\" shop",
    "CREATE DATABASE x U&\"templ\\0061te\" shop",
    "CREATE DATABASE U&\"\\0078\" TEMPLATE shop",
    "CREATE/**/DATABASE/**/x/**/TEMPLATE/**/shop",
    "ALTER DATABASE shop RENAME TO x",
    "alter database \"shop\" rename to \"X\"",
    "ALTER DATABASE U&\"sh\\006fp\" RENAME TO x",
    "SELECT 1; ALTER DATABASE shop RENAME TO x; SELECT 2",
    "UPDATE pg_database SET datname = 'x' WHERE datname = 'shop'",
    "UPDATE pg_catalog.\"pg_database\" SET datname = 'x'",
    "UPDATE U&\"pg\\005fdatabase\" SET datname = 'x'",
    "WITH w AS (UPDATE pg_database SET datname = 'x' RETURNING 1) SELECT * FROM w",
    "EXPLAIN ANALYZE UPDATE pg_database SET datname = 'x'",
    "PREPARE p AS DELETE FROM pg_database",
    "COPY pg_database FROM STDIN",
    "DO $$ BEGIN ALTER DATABASE shop RENAME TO x; END $$",
    "DO $$ BEGIN EXECUTE 'ALTER DATABASE shop RENAME TO x'; END $$",
    "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'ALTER DATABASE shop RENAME TO x'",
];

const STAYS: &[&str] = &[
    "CREATE DATABASE x",
    "CREATE DATABASE x TEMPLATE template0",
    "CREATE DATABASE x TEMPLATE DEFAULT",
    "CREATE DATABASE x TEMPLATE \"Shop\"",
    "CREATE DATABASE shop TEMPLATE x",
    "CREATE DATABASE branch TEMPLATE shop",
    "ALTER DATABASE x RENAME TO shop",
    "ALTER DATABASE shop RENAME TO branch",
    "ALTER DATABASE shop SET work_mem = '1MB'",
    "ALTER DATABASE shop IS_TEMPLATE true",
    "DROP DATABASE shop",
    "INSERT INTO t VALUES ('CREATE DATABASE x TEMPLATE shop')",
    "UPDATE t SET a = (SELECT datname FROM pg_database LIMIT 1)",
    "SELECT datname FROM pg_database",
];

#[test]
fn a_database_of_the_policy_gets_no_name_of_which_the_policy_does_not_say_the_same() {
    let doors = doors(&["shop", "branch"]);
    for sql in LEAVES {
        assert_eq!(refused(&doors, sql), Some("database"), "{sql}");
    }
    for sql in STAYS {
        assert_eq!(refused(&doors, sql), None, "{sql}");
    }
}

#[test]
fn the_same_is_judged_where_something_is_classified() {
    let policy = [entry(Some("shop")), entry(Some("branch"))];
    let snapshot = Snapshot::new(SnapshotParts {
        codes: Codes { stock: Stock::of(18), ..Codes::default() },
        database: "shop".into(),
        fields: vec![entry(Some("shop")).field],
        bound: Arc::new(Bound::of(&policy)),
        ..SnapshotParts::default()
    });
    let prefilter = Prefilter::new(&snapshot);
    let judged = |sql: &str| {
        let hits = prefilter.hits(sql.as_bytes());
        hits.then(|| analyse(sql.as_bytes(), READING, snapshot.names(None), &Limits::default()))
    };
    for sql in LEAVES {
        let reason = judged(sql).unwrap_or_else(|| panic!("{sql}")).expect_err(sql).reason;
        assert!(matches!(reason, "database" | "definition"), "{reason}: {sql}");
    }
    for sql in STAYS {
        assert!(judged(sql).is_none_or(|judged| judged.is_ok()), "{sql}");
    }
}

#[test]
fn what_a_new_database_is_made_of_where_nothing_is_said_counts_too() {
    let doors = doors(&["template1"]);
    for sql in
        ["CREATE DATABASE x", "CREATE DATABASE x TEMPLATE DEFAULT", "CREATE DATABASE x ENCODING 'UTF8'"]
    {
        assert_eq!(refused(&doors, sql), Some("database"), "{sql}");
    }
    assert_eq!(refused(&doors, "CREATE DATABASE x TEMPLATE template0"), None);
    assert!(
        Doors::of(Bound::of(&[entry(None)])).is_none(),
        "a field of every database stays one of the copy"
    );
}

#[test]
fn a_text_is_read_in_either_string_mode() {
    let (doors, limits) = (doors(&["shop"]), Limits::default());
    let hidden = "SELECT '\\'; ALTER DATABASE shop RENAME TO x --'";
    for standard_conforming_strings in [true, false] {
        let reading = Reading { standard_conforming_strings, ..READING };
        assert!(doors.may_stand_in(hidden.as_bytes()));
        let judged = doors.judge(hidden.as_bytes(), reading, &limits);
        assert_eq!(judged.expect_err("one mode of two").reason, "database");
    }
}

#[test]
fn what_cannot_be_read_is_refused_where_it_may_be_a_door_and_passes_where_not() {
    let doors = doors(&["shop"]);
    let long = format!("SELECT '{}'; ALTER DATABASE shop RENAME TO x", "y".repeat(2 << 20));
    assert_eq!(refused(&doors, &long), Some("too-long"));
    assert_eq!(refused(&doors, "ALTER DATABASE shop RENAME x TO"), Some("unparsed"));
    assert_eq!(refused(&doors, &format!("INSERT INTO t VALUES ('{} database')", "y".repeat(2 << 20))), None);
    let reading = Reading { encoding: Encoding::Other, ..READING };
    let elsewhere = doors.judge("ALTER DATABASE shöp RENAME TO x".as_bytes(), reading, &Limits::default());
    assert_eq!(elsewhere.expect_err("an encoding that is not followed").reason, "encoding");
}

#[test]
fn files_and_programs_of_the_server_are_out_of_reach_where_something_is_classified() {
    let snapshot = super::super::super::shop::shop();
    let prefilter = Prefilter::new(&snapshot);
    for (sql, refused) in [
        ("COPY orders FROM PROGRAM 'strings base/*'", true),
        ("COPY orders TO PROGRAM 'cat'", true),
        ("COPY orders TO '/tmp/x'", true),
        ("COPY orders FROM E'/tmp/x'", true),
        ("COPY (SELECT 1) TO $$/tmp/x$$", true),
        ("COPY orders FROM STDIN", false),
        ("COPY orders TO STDOUT WITH (DELIMITER ';')", false),
    ] {
        let hit = prefilter.hits(sql.as_bytes());
        let judged = analyse(sql.as_bytes(), READING, snapshot.names(None), &Limits::default());
        assert_eq!(hit && judged.is_err(), refused, "{sql}");
        assert!(!refused || judged.is_err_and(|unproven| unproven.reason == "server-file"), "{sql}");
    }
}
