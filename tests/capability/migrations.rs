//! Applications' own migrations, as they stand: what ORMs write to make and change tables, and scripts as tools run
//! them. Through the gate sealed columns become text, and everything else is what a direct run makes of it.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use sealgate::store::postgres::Throwaway;

use crate::harness::{Gate, Raw, Setup, Tap, VERSIONS, pg, search_server};
use crate::routes;
use crate::shop::{errors, firsts, holds, states};

/// Tables and columns that are sealed, how, and further lines.
const SEALED: [(&str, &str, &str, &str); 17] = [
    ("people", "email", "equality", "type = \"varchar(254)\"\nnormalize = \"lowercase\"\nguard = true"),
    ("people", "phone", "equality", "type = \"varchar(20)\""),
    ("people", "born", "equality", "type = \"date\""),
    ("people", "level", "equality", "type = \"integer\""),
    ("people", "active", "equality", "type = \"boolean\""),
    ("people", "salary", "equality", "type = \"numeric(10,2)\""),
    ("people", "note", "random", "type = \"text\"\nguard = true"),
    ("people", "nick", "random", "type = \"varchar(40)\""),
    ("people", "place", "equality", "type = \"varchar(20)\"\nguard = true"),
    ("guests", "email", "equality", "type = \"varchar(254)\"\nnormalize = \"lowercase\"\nguard = true"),
    ("auth_user", "username", "equality", "type = \"varchar(150)\""),
    ("auth_user", "first_name", "random", "type = \"varchar(150)\""),
    ("auth_user", "last_name", "random", "type = \"varchar(150)\""),
    ("auth_user", "email", "equality", "type = \"varchar(254)\"\nnormalize = \"lowercase\""),
    ("members", "mail", "equality", "type = \"text\""),
    ("members", "tags", "random", "type = \"text[]\""),
    ("members", "seen", "random", "type = \"timestamptz\""),
];

fn is_sealed(table: &str, column: &str) -> bool {
    SEALED.iter().any(|(of, one, ..)| (*of, *one) == (table, column))
}

/// A gate before both databases, of which one has nothing that is sealed.
pub(crate) fn opened(server: &Throwaway) -> (Gate, Tap) {
    for database in ["sealed", "plain"] {
        server.create_database(database).unwrap();
    }
    let tap = Tap::before(server.address());
    let mut setup = Setup::before(tap.address());
    for (table, column, seal, lines) in SEALED {
        let lines = format!("database = \"sealed\"\n{lines}");
        setup = setup.field_with(&format!("public.{table}"), column, seal, &lines);
    }
    (setup.late().start(), tap)
}

/// What there is in a database: a line for each column, constraint, index and comment.
fn catalog(server: &Throwaway, database: &str) -> Vec<String> {
    let mut raw = Raw::login(server.address(), "postgres", database);
    let mut lines = Vec::new();
    for (what, sql) in [
        (
            "column",
            "SELECT c.relname || '.' || a.attname || '|' || format_type(a.atttypid, a.atttypmod) || '|' || \
             coalesce(pg_get_expr(d.adbin, d.adrelid), '') || '|' || a.attnotnull || '|' || a.attidentity::text || '|' || \
             coalesce(col_description(c.oid, a.attnum), '') || '|' || a.attnum FROM pg_class c \
             JOIN pg_attribute a ON a.attrelid = c.oid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum \
             WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped \
             ORDER BY c.relname, a.attnum",
        ),
        (
            "constraint",
            "SELECT conrelid::regclass || '|' || conname || '|' || pg_get_constraintdef(oid) FROM pg_constraint \
             WHERE connamespace = 'public'::regnamespace AND contype <> 'n' ORDER BY 1",
        ),
        ("index", "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"),
        (
            "comment",
            "SELECT relname || '|' || obj_description(oid, 'pg_class') FROM pg_class \
             WHERE relnamespace = 'public'::regnamespace AND obj_description(oid, 'pg_class') IS NOT NULL ORDER BY 1",
        ),
    ] {
        let found = raw.query(sql);
        assert_eq!(errors(&found), []);
        lines.extend(firsts(&found).into_iter().map(|line| format!("{what}|{line}")));
    }
    lines
}

/// The same of plain columns, as it is to be of sealed ones.
fn as_sealed(line: &str, renamed: &[(&str, &str)]) -> String {
    let parts: Vec<&str> = line.split('|').collect();
    if let ["column", name, _, default, rest @ ..] = parts.as_slice()
        && let Some((table, column)) = name.split_once('.')
        && is_sealed(table, column)
    {
        let default = if default.is_empty() { "" } else { "(sealed)" };
        return format!("column|{name}|text|{default}|{}", rest.join("|"));
    }
    renamed.iter().fold(line.to_owned(), |line, (plain, sealed)| line.replace(plain, sealed))
}

/// What is sealed in a line, without the values, and without guards.
fn without_values(line: &str) -> Option<String> {
    if line.contains("starts_with(") {
        return None;
    }
    let mut pieces = line.split("'SEAL");
    let mut told = pieces.next().unwrap().to_owned();
    for piece in pieces {
        told.push_str("(sealed)");
        let (_, rest) = piece.split_once('\'').unwrap();
        let plain = ["::text", "::character varying"].iter().find_map(|cast| rest.strip_prefix(cast));
        told.push_str(plain.unwrap_or(rest));
    }
    Some(told)
}

fn same(server: &Throwaway, renamed: &[(&str, &str)]) {
    let plain: Vec<String> = catalog(server, "plain").iter().map(|line| as_sealed(line, renamed)).collect();
    let found = catalog(server, "sealed");
    let guards = found.iter().filter(|line| line.contains("starts_with(")).count();
    // The classes of operators are of one kind.
    let told =
        |line: &String| without_values(line).map(|line| line.replace("varchar_pattern", "text_pattern"));
    let sealed: Vec<String> = found.iter().filter_map(told).collect();
    let sort = |mut lines: Vec<String>| {
        lines.sort();
        lines
    };
    pretty(&sort(plain), &sort(sealed));
    let wanted = found.iter().filter(|line| {
        SEALED.iter().any(|(table, column, _, lines)| {
            lines.contains("guard") && line.starts_with(&format!("column|{table}.{column}|"))
        })
    });
    assert_eq!(guards, wanted.count(), "{found:#?}");
}

fn pretty(plain: &[String], sealed: &[String]) {
    let lacking: Vec<_> = plain.iter().filter(|line| !sealed.contains(line)).collect();
    let other: Vec<_> = sealed.iter().filter(|line| !plain.contains(line)).collect();
    assert!(lacking.is_empty() && other.is_empty(), "directly alone: {lacking:#?}\nsealed alone: {other:#?}");
}

pub(crate) fn transcript(address: SocketAddr, database: &str, program: &[String]) -> String {
    let mut command = Command::new(&program[0]);
    command.args(&program[1..]).stdin(Stdio::null());
    for (name, value) in [
        ("PGHOST", address.ip().to_string().as_str()),
        ("PGPORT", &address.port().to_string()),
        ("PGUSER", "postgres"),
        ("PGPASSWORD", "unused"),
        ("PGDATABASE", database),
        ("PGSSLMODE", "disable"),
        ("LC_ALL", "C.UTF-8"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
    ] {
        command.env(name, value);
    }
    let output = command.output().unwrap_or_else(|error| panic!("{program:?}: {error}: run .ci/setup test"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.ends_with("done\n"), "{program:?} on {database}\n{out}\n{err}");
    out.into_owned()
}

/// An index of what `lower` makes of a column is one of the column, and a constant is sealed where it is compared.
const RENAMED: [(&str, &str); 6] = [
    ("lower((email)::text)", "email"),
    ("lower(email::text)", "email"),
    ("(level = 3)", "(level = (sealed))"),
    ("CHECK ((level = ANY (ARRAY[1, 2, 3])))", "CHECK ((level = ANY (ARRAY[(sealed), (sealed), (sealed)])))"),
    (
        "((level <> 31337) AND ((phone)::text <> ALL ((ARRAY['sentinel none'::character varying, 'sentinel ''no'::character varying])::text[])))",
        "((level <> (sealed)) AND (phone <> ALL (ARRAY[(sealed), (sealed)])))",
    ),
    ("varchar_pattern", "text_pattern"),
];

fn migrates(major: u32, program: &[String]) {
    let server = pg(major);
    let (gate, tap) = opened(&server);
    let ours = transcript(gate.address(), "sealed", program);
    for value in ["sentinel", "somewhere"] {
        assert!(!holds(&tap.to_server(), value.as_bytes()), "{value} is on the way to the server");
        assert_eq!(search_server(&server, value.as_bytes()), [], "{value} {program:?}");
    }
    let direct = transcript(server.address(), "plain", program);
    assert_eq!(direct, ours, "{program:?}");
    same(&server, &RENAMED);
}

pub(crate) fn python(file: &str) -> Vec<String> {
    vec![routes::python(), routes::driver(&format!("python/{file}"))]
}

pub(crate) fn ruby(file: &str) -> Vec<String> {
    vec!["/usr/bin/ruby".to_owned(), routes::driver(&format!("ruby/{file}"))]
}

fn node(program: &str) -> Vec<String> {
    vec!["node".to_owned(), routes::driver("node/migrations.js"), program.to_owned()]
}

#[test]
fn django_makes_its_tables_and_those_of_its_applications() {
    migrates(18, &python("django_migrations.py"));
}

#[test]
fn sqlalchemy_makes_its_tables() {
    migrates(18, &python("sqlalchemy_migrations.py"));
}

#[test]
fn active_record_makes_its_tables() {
    migrates(15, &ruby("active_record_migrations.rb"));
}

#[test]
fn sequelize_makes_its_tables() {
    migrates(18, &node("sequelize"));
}

#[test]
fn typeorm_makes_its_tables() {
    migrates(18, &node("typeorm"));
}

#[test]
fn knex_makes_its_tables() {
    migrates(18, &node("knex"));
}

/// As Prisma, Drizzle, Flyway, Liquibase and dumps write them.
const SCRIPTS: &[&str] = &[
    // Prisma, which sends a script as one text.
    "-- CreateEnum\nCREATE TYPE \"Mood\" AS ENUM ('OK', 'it''s', 'email');\n\n-- CreateTable\nCREATE TABLE \"people\" (\n    \"id\" SERIAL NOT NULL,\n    \"email\" VARCHAR(254) NOT NULL,\n    \
     \"phone\" VARCHAR(20) NOT NULL DEFAULT '',\n    \"born\" DATE DEFAULT '2000-01-01'::date,\n    \
     \"level\" INTEGER NOT NULL DEFAULT 3,\n    \"active\" BOOLEAN NOT NULL DEFAULT false,\n    \
     \"salary\" DECIMAL(10,2) NOT NULL DEFAULT -1.50,\n    \"note\" TEXT,\n    \
     \"created\" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,\n\n    CONSTRAINT \"people_pkey\" PRIMARY KEY (\"id\")\n)",
    "CREATE UNIQUE INDEX \"people_email_key\" ON \"people\"(\"email\")",
    "CREATE TABLE \"guests\" (\"id\" SERIAL PRIMARY KEY, \"email\" character varying(254))",
    "ALTER TABLE \"guests\" ADD CONSTRAINT \"guests_email_fkey\" FOREIGN KEY (\"email\") REFERENCES \"people\"(\"email\") \
     ON DELETE SET NULL ON UPDATE CASCADE",
    // Drizzle.
    "CREATE TABLE IF NOT EXISTS \"members\" (\"id\" integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name \"members_id_seq\" \
     INCREMENT BY 1 MINVALUE 1 MAXVALUE 2147483647 START WITH 1 CACHE 1),\"mail\" text DEFAULT 'none'::text NOT NULL,\
     \"tags\" text[],CONSTRAINT \"members_mail_unique\" UNIQUE(\"mail\"))",
    "DO $$ BEGIN\n CREATE TYPE \"public\".\"status\" AS ENUM('email', 'phone');\nEXCEPTION\n WHEN duplicate_object THEN null;\nEND $$;\n",
    // Sequelize writes it so.
    "DO 'BEGIN CREATE TYPE \"public\".\"enum_people_email\" AS ENUM(''email'', ''phone''); EXCEPTION WHEN duplicate_object THEN null; END';",
    // Flyway and Liquibase.
    "DO $do$\nBEGIN\n  IF NOT EXISTS (SELECT 1 FROM information_schema.columns WHERE table_name = 'members' AND column_name = 'seen') THEN\n    \
     ALTER TABLE members ADD COLUMN seen timestamp with time zone; -- when\n  END IF;\nEND\n$do$",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS people_phone_like ON public.people (phone varchar_pattern_ops)",
    "BEGIN",
    "DO $$ BEGIN\n ALTER TABLE \"guests\" ADD CONSTRAINT \"guests_people_fk\" FOREIGN KEY (\"email\") REFERENCES \"public\".\"people\"(\"email\") \
     ON DELETE no action ON UPDATE no action DEFERRABLE INITIALLY DEFERRED;\nEXCEPTION\n WHEN duplicate_object THEN null;\nEND $$;",
    "DO $$ BEGIN\n ALTER TABLE \"guests\" ADD CONSTRAINT \"guests_people_fk\" FOREIGN KEY (\"email\") REFERENCES \"public\".\"people\"(\"email\") \
     ON DELETE no action ON UPDATE no action DEFERRABLE INITIALLY DEFERRED;\nEXCEPTION\n WHEN duplicate_object THEN null;\nEND $$;",
    "ALTER TABLE public.people ADD nick VARCHAR(40) DEFAULT 'x' NOT NULL, ADD COLUMN IF NOT EXISTS place character varying(20) \
     DEFAULT NULL::character varying",
    "ALTER TABLE public.people ADD CONSTRAINT uc_people_phone UNIQUE (phone, born), ADD CONSTRAINT level_known CHECK (level IN (1, 2, 3))",
    "INSERT INTO public.people (email, note) VALUES ('Ada@sentinel.example', 'sentinel note')",
    "ALTER TABLE public.people ALTER COLUMN place SET DEFAULT 'somewhere'",
    // Constants within a block.
    "DO $$ BEGIN\n  ALTER TABLE people ALTER COLUMN phone SET DEFAULT 'sentinel ''phone';\nEXCEPTION WHEN undefined_table THEN NULL;\nEND $$",
    "DO $do$\nBEGIN\n  IF NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conname = 'level_set') THEN\n    \
     ALTER TABLE \"people\" ADD CONSTRAINT level_set CHECK (level <> 31337 AND \"phone\" NOT IN ('sentinel none', 'sentinel ''no')); -- sometimes\n  \
     END IF;\nEND\n$do$",
    "COMMENT ON COLUMN public.people.email IS 'as it was given'",
    "COMMIT",
];

#[test]
fn scripts_of_migration_tools_run_as_they_stand() {
    for major in VERSIONS {
        let server = pg(major);
        let (gate, tap) = opened(&server);
        let mut through = Raw::login(gate.address(), "postgres", "sealed");
        let mut directly = Raw::login(server.address(), "postgres", "plain");
        for sql in SCRIPTS {
            assert_eq!(errors(&through.query(sql)), [], "{major}: {sql}");
        }
        assert_eq!(search_server(&server, b"somewhere"), [], "{major}");
        for sql in SCRIPTS {
            assert_eq!(errors(&directly.query(sql)), [], "{major}: {sql}");
        }
        same(&server, &RENAMED);
        let asked = "SELECT phone || '' FROM (SELECT 1) x, LATERAL (SELECT 'a' AS phone) y";
        assert_eq!(firsts(&through.query(asked)), ["a"]);
        for column in ["phone", "born", "level", "active", "salary", "nick"] {
            let sql = format!("SELECT {column} FROM people WHERE email = lower('ADA@sentinel.example')");
            let plain = format!("SELECT {column} FROM people WHERE email = 'Ada@sentinel.example'");
            assert_eq!(firsts(&through.query(&sql)), firsts(&directly.query(&plain)), "{major}: {sql}");
        }
        // Rows are held to what the definitions say.
        for (sql, state) in [
            ("INSERT INTO people (email) VALUES ('ADA@sentinel.example')", "23505"),
            ("INSERT INTO people (email, level) VALUES ('eve@sentinel.example', 4)", "23514"),
            ("INSERT INTO people (email, phone) VALUES ('eve@sentinel.example', 'sentinel ''no')", "23514"),
            ("INSERT INTO people (email) VALUES (NULL)", "23502"),
            ("INSERT INTO guests (email) VALUES ('nobody@sentinel.example')", "23503"),
        ] {
            assert_eq!(states(&through.query(sql)), [state], "{major}: {sql}");
        }
        // A guard keeps out what is not sealed.
        let mut direct = Raw::login(server.address(), "postgres", "sealed");
        assert_eq!(
            states(&direct.query("INSERT INTO guests (email) VALUES ('plain')")),
            ["23514"],
            "{major}"
        );
        assert!(!holds(&tap.to_server(), b"sentinel"), "{major}");
        assert!(!holds(&tap.to_server(), b"somewhere"), "{major}");
    }
}

#[test]
fn what_sealed_text_cannot_hold_is_refused_and_nothing_is_made() {
    let server = pg(18);
    let (gate, tap) = opened(&server);
    let mut raw = Raw::login(gate.address(), "postgres", "sealed");
    let hint = |frames: &[crate::harness::Frame]| {
        frames.iter().find(|frame| frame.tag == b'E').and_then(|frame| frame.field(b'H')).unwrap_or_default()
    };
    for (sql, told) in [
        ("CREATE TABLE people (id int, email varchar(300) DEFAULT 'sentinel')", "type = \"varchar(300)\""),
        ("CREATE TABLE people (id int, level serial)", "Declare int4"),
        ("CREATE TABLE people (id int, born date DEFAULT now())", "Leave the default out"),
        ("CREATE TABLE people (id int, born date DEFAULT current_date)", "Leave the default out"),
        ("CREATE TABLE people (id int, phone varchar(20) CHECK (length(phone) > 3))", "A CHECK"),
        ("CREATE TABLE people (id int, salary numeric(10,2) CHECK (salary >= 0))", "A CHECK"),
        ("CREATE TABLE people (id int, level int GENERATED ALWAYS AS IDENTITY)", "Leave GENERATED out"),
    ] {
        let frames = raw.query(sql);
        assert_eq!(states(&frames), ["SG001"], "{sql}");
        assert!(hint(&frames).contains(told), "{sql}: {}", hint(&frames));
    }
    assert_eq!(catalog(&server, "sealed"), [""; 0]);
    for sql in [
        "CREATE TABLE people (id int, phone varchar(20), born date, level int)",
        "CREATE TABLE members (id int, mail text) PARTITION BY RANGE (id)",
        "CREATE TABLE members_1 PARTITION OF members FOR VALUES FROM (1) TO (10)",
        "INSERT INTO members (id, mail) VALUES (1, 'ada@sentinel.example')",
    ] {
        assert_eq!(errors(&raw.query(sql)), [], "{sql}");
    }
    for (sql, told) in [
        ("CREATE INDEX ON people USING gin (phone gin_trgm_ops)", "Write a btree"),
        ("CREATE INDEX ON people (lower(phone))", "normalize = \"lowercase\""),
        ("CREATE INDEX ON people (phone) WHERE phone > 'sentinel'", "A CHECK"),
        ("ALTER TABLE people ALTER phone TYPE varchar(20) USING upper(phone)", "Leave USING out"),
        ("ALTER TABLE people ALTER phone SET DEFAULT random()::text", "Leave the default out"),
        (
            "DO 'BEGIN ALTER TABLE people ALTER phone SET DEFAULT ''sentinel''; END'",
            "Write the block as $$...$$",
        ),
        (
            "INSERT INTO members_1 (id, mail) VALUES (2, 'bob@sentinel.example')",
            "Use the classified table itself",
        ),
    ] {
        let frames = raw.query(sql);
        assert_eq!(states(&frames), ["SG001"], "{sql}");
        assert!(hint(&frames).contains(told), "{sql}: {}", hint(&frames));
    }
    // And in the transaction that makes the partition.
    for sql in ["BEGIN", "CREATE TABLE members_2 PARTITION OF members FOR VALUES FROM (10) TO (20)"] {
        assert_eq!(errors(&raw.query(sql)), [], "{sql}");
    }
    let sql = "INSERT INTO members_2 (id, mail) VALUES (11, 'bob@sentinel.example')";
    assert_eq!(states(&raw.query(sql)), ["SG001"]);
    assert!(!holds(&tap.to_server(), b"sentinel"));
}
