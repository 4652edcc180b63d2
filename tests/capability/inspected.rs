//! Tools that look at the catalog, which says `text` of every sealed column: what they make of it, and that what the
//! documentation advises makes them say what they say of plain columns.

use std::process::Command;

use crate::harness::{Frame, Raw, VERSIONS, pg};
use crate::migrations::{opened, python, ruby, transcript};
use crate::routes;
use crate::shop::errors;

/// What a program says on plain columns directly, on sealed ones through the gate, and then with what is advised.
fn said(program: &[String]) -> [Vec<String>; 3] {
    let with = |word: &str| [program, &[word.to_owned()]].concat();
    let server = pg(18);
    let (gate, _tap) = opened(&server);
    let direct = transcript(server.address(), "plain", &with("plain"));
    let through = transcript(gate.address(), "sealed", &with("plain"));
    let advised = transcript(gate.address(), "sealed", &with("advised"));
    [direct, through, advised].map(|said| said.lines().map(str::to_owned).collect())
}

fn beginning(said: &[String], word: &str) -> Vec<String> {
    said.iter().filter(|line| line.starts_with(word)).cloned().collect()
}

#[test]
fn alembic_and_django_find_no_difference_where_types_of_sealed_columns_are_not_compared() {
    let [direct, through, advised] = said(&python("inspected.py"));
    assert_eq!(beginning(&direct, "alembic:"), [""; 0]);
    // What it would change, and what the gate would make of that is nothing.
    let changes = ["email", "phone", "born", "level", "active", "salary"];
    let changes = changes.map(|column| format!("alembic: modify_type people {column}"));
    assert_eq!(beginning(&through, "alembic:"), changes);
    assert_eq!(beginning(&advised, "alembic:"), [""; 0]);
    // Django asks for a row's description, which the gate tells.
    assert_eq!(beginning(&through, "inspectdb:"), beginning(&direct, "inspectdb:"));
    assert_eq!(beginning(&direct, "inspectdb:").len(), 8);
}

#[test]
fn typeorm_would_drop_what_it_does_not_know_and_nothing_where_sealed_columns_are_text_to_it() {
    let [direct, through, advised] = said(&[String::from("node"), routes::driver("node/inspected.js")]);
    assert_eq!(direct, ["typeorm: [[]]", "done"]);
    assert!(through[0].contains("DROP COLUMN \\\"email\\\"") && !through[0].contains("city"), "{through:?}");
    // A CHECK that no entity has is dropped, so the guards too.
    assert!(
        !advised[0].contains("COLUMN") && advised[0].matches("DROP CONSTRAINT").count() == 2,
        "{advised:?}"
    );
    assert!(["people_email_sealed", "people_note_sealed"].iter().all(|guard| advised[0].contains(guard)));
}

#[test]
fn active_record_has_the_types_of_attributes_that_are_declared() {
    let [direct, through, advised] = said(&ruby("inspected.rb"));
    let texts = ["born: \"1815-12-10\"", "level: \"3\"", "active: \"t\""];
    assert!(texts.iter().all(|text| through.iter().any(|line| line == text)), "{through:?}");
    assert_eq!(advised, direct);
}

#[test]
fn sequelize_alters_tables_of_sealed_columns_as_plain_ones() {
    let [direct, through, advised] = said(&[String::from("node"), routes::driver("node/altered.js")]);
    assert!(
        through[0].contains("ALTER COLUMN \\\"born\\\"") && through[0].contains("1815-12-10"),
        "{through:?}"
    );
    assert_eq!(through, direct);
    assert_eq!(advised, direct);
}

#[test]
fn jdbc_says_text_of_sealed_columns_and_hibernate_would_take_what_is_declared_so() {
    let jar = "/usr/share/java/postgresql.jar";
    let classes = std::env::temp_dir().join(format!("sealgate-inspected-{}", std::process::id()));
    let built = Command::new("javac")
        .args(["-cp", jar, "-d", &classes.display().to_string(), &routes::driver("java/Inspected.java")])
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let path = format!("{jar}:{}", classes.display());
    let program = ["java", "-XX:TieredStopAtLevel=1", "-cp", &path, "Inspected"].map(str::to_owned);
    let [direct, through, advised] = said(&program);
    std::fs::remove_dir_all(&classes).unwrap();
    assert_eq!(beginning(&direct, "validate:"), [""; 0]);
    // A text is a string to JDBC: what holds strings is taken as it is.
    let wrong = ["born is text, not date", "level is text, not integer", "active is text, not boolean"];
    let wrong = wrong.map(|what| format!("validate: {what}"));
    assert_eq!(beginning(&through, "validate:")[..3], wrong);
    assert_eq!(beginning(&through, "validate:").len(), 4);
    assert_eq!(beginning(&advised, "validate:"), [""; 0]);
    for word in ["table:", "key:", "reference:", "index:", "stored:", "loaded:"] {
        assert_eq!(beginning(&through, word), beginning(&direct, word));
    }
    assert_eq!(beginning(&direct, "loaded:"), ["loaded: 1815-12-10 3 true 12.50 date 10"]);
}

fn rows(frames: &[Frame]) -> Vec<Vec<Option<String>>> {
    let cells = |frame: &Frame| {
        let text = |cell: Option<Vec<u8>>| cell.map(|cell| String::from_utf8(cell).unwrap());
        frame.values().into_iter().map(text).collect()
    };
    frames.iter().filter(|frame| frame.tag == b'D').map(cells).collect()
}

/// As Prisma's `db pull` and its like ask: of tables, columns, enumerations, constraints and indexes.
const INTROSPECTION: &[&str] = &[
    "SELECT tbl.relname AS table_name, namespace.nspname AS namespace, (tbl.relhassubclass AND tbl.relkind = 'p') AS is_partition, \
     obj_description(tbl.oid, 'pg_class') AS description FROM pg_class AS tbl INNER JOIN pg_namespace AS namespace ON namespace.oid = tbl.relnamespace \
     WHERE tbl.relkind IN ('r', 'p') AND namespace.nspname = ANY ('{public}') ORDER BY namespace, table_name",
    "SELECT info.table_name, info.column_name, format_type(att.atttypid, att.atttypmod) AS formatted_type, info.numeric_precision, \
     info.character_maximum_length, info.data_type, info.udt_name AS full_data_type, pg_get_expr(attdef.adbin, attdef.adrelid) IS NOT NULL AS has_default, \
     info.is_nullable, info.is_identity FROM information_schema.columns info \
     JOIN pg_attribute att ON att.attname = info.column_name AND att.attrelid = (quote_ident(info.table_schema) || '.' || quote_ident(info.table_name))::regclass \
     LEFT OUTER JOIN pg_attrdef attdef ON attdef.adrelid = att.attrelid AND attdef.adnum = att.attnum \
     WHERE info.table_schema = 'public' ORDER BY info.table_name, info.ordinal_position",
    "SELECT t.typname AS name, e.enumlabel AS value FROM pg_type t JOIN pg_enum e ON t.oid = e.enumtypid ORDER BY e.enumsortorder",
    "SELECT con.conname, rel.relname, con.confupdtype, con.confdeltype, con.condeferrable FROM pg_constraint con JOIN pg_class rel ON rel.oid = con.conrelid \
     WHERE con.contype IN ('p', 'u', 'f') AND con.connamespace = 'public'::regnamespace ORDER BY 1",
    "SELECT i.relname, a.attname, ix.indisunique, ix.indisprimary, am.amname FROM pg_index ix JOIN pg_class i ON i.oid = ix.indexrelid \
     JOIN pg_am am ON am.oid = i.relam JOIN pg_attribute a ON a.attrelid = ix.indrelid AND a.attnum = ANY (ix.indkey) \
     WHERE ix.indrelid IN ('people'::regclass, 'guests'::regclass) ORDER BY 1, 2",
];

#[test]
fn introspection_by_the_catalog_is_answered_and_finds_text() {
    for major in VERSIONS {
        let server = pg(major);
        let (gate, _tap) = opened(&server);
        let mut through = Raw::login(gate.address(), "postgres", "sealed");
        let mut directly = Raw::login(server.address(), "postgres", "plain");
        for sql in [
            "CREATE TABLE people (id int PRIMARY KEY, email varchar(254) UNIQUE, born date, level int DEFAULT 3, salary numeric(10,2), city varchar(50))",
            "CREATE TABLE guests (id int PRIMARY KEY, email varchar(254) REFERENCES people (email) ON DELETE CASCADE)",
        ] {
            assert_eq!(errors(&through.query(sql)), [], "{major}: {sql}");
            assert_eq!(errors(&directly.query(sql)), [], "{major}: {sql}");
        }
        for sql in INTROSPECTION {
            let (sealed, plain) = (through.query(sql), directly.query(sql));
            assert_eq!(errors(&sealed), [], "{major}: {sql}");
            for (sealed, plain) in rows(&sealed).iter().zip(&rows(&plain)) {
                let is_sealed = sealed.get(2).is_some_and(|of| of.as_deref() == Some("text"));
                assert!(is_sealed || sealed == plain, "{major}: {sealed:?} {plain:?}");
            }
            assert_eq!(rows(&sealed).len(), rows(&plain).len(), "{major}: {sql}");
        }
        let types = rows(&through.query(INTROSPECTION[1]));
        assert_eq!(
            types.iter().filter(|row| row[2].as_deref() == Some("text")).count(),
            5,
            "{major}: {types:?}"
        );
    }
}
