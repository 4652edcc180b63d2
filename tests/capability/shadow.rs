//! Names that come to mean something else: other schemas, temporary tables, a catalog that
//! changes behind the gate's back, a login that chooses how texts are read. What a value
//! was sealed for yesterday it is sealed for, or refused, today.

use std::net::SocketAddr;

use sealgate::store::postgres::{Options, Throwaway};

use crate::harness::{Frame, Gate, Raw, Setup, Tap, VERSIONS, await_that, pg_with};

const TABLES: &str = "CREATE TABLE customers (id int, email text, note text); \
    CREATE SCHEMA other; CREATE TABLE other.customers (email text, id int); \
    CREATE TABLE harmless (id int, mail text)";

fn server(major: u32) -> Throwaway {
    let server = pg_with(Options { major: Some(major), ..Options::default() });
    server.create_database("shop").unwrap();
    server.execute("shop", "CREATE TABLE customers (id int, email text, note text)").unwrap();
    server
}

/// The gate, with what it sends upstream.
fn gate(server: &Throwaway, lines: &str) -> (Gate, Tap) {
    let tap = Tap::before(server.address());
    let setup = Setup::before(tap.address())
        .field_with("public.customers", "email", "equality", lines)
        .field_with("public.planned", "email", "equality", lines)
        .field_with("public.planned_later", "email", "equality", lines);
    (setup.late().start(), tap)
}

fn holds(tap: &Tap, value: &str) -> bool {
    let bytes = tap.to_server();
    bytes.windows(value.len()).any(|window| window == value.as_bytes())
}

fn state(frames: &[Frame]) -> Option<String> {
    frames.iter().find(|frame| frame.tag == b'E').and_then(|frame| frame.field(b'C'))
}

fn refused(frames: &[Frame]) -> bool {
    matches!(state(frames).as_deref(), Some("SG001" | "SG004"))
}

fn first(frames: &[Frame]) -> Option<Vec<u8>> {
    frames.iter().find(|frame| frame.tag == b'D').and_then(|frame| frame.values()[0].clone())
}

/// Logs in with the parameters as they are given.
fn login(address: SocketAddr, parameters: &[(&str, &str)]) -> (Raw, Vec<Frame>) {
    let mut raw = Raw::connect(address);
    raw.startup(parameters);
    let frames = raw.until_ready();
    (raw, frames)
}

fn secret(what: &str) -> String {
    format!("secret-{what}-{:016x}", rand::random::<u64>())
}

/// What stands in a column, read past the gate.
fn stored(server: &Throwaway, sql: &str) -> Vec<Option<String>> {
    server.query("shop", sql).unwrap().into_iter().flatten().collect()
}

fn is_sealed(stored: &[Option<String>]) -> bool {
    !stored.is_empty() && stored.iter().flatten().all(|text| text.starts_with("SEAL"))
}

#[test]
fn a_table_of_the_same_name_in_another_schema_is_never_taken_for_the_classified_one() {
    for major in VERSIONS {
        let server = pg_with(Options { major: Some(major), ..Options::default() });
        server.create_database("shop").unwrap();
        server.execute("shop", TABLES).unwrap();
        server
            .execute(
                "shop",
                "CREATE ROLE turned LOGIN SUPERUSER; ALTER ROLE turned SET search_path = other, public; \
                 CREATE FUNCTION turn() RETURNS text LANGUAGE sql \
                 AS $$ SELECT set_config('search_path', 'other,public', false) $$",
            )
            .unwrap();
        let (gate, tap) = gate(&server, "");
        let base = [("user", "postgres"), ("database", "shop")];
        for (way, parameters, turn) in [
            ("nothing", &base[..], "SELECT 1"),
            ("SET", &base[..], "SET search_path = other, public"),
            ("SET LOCAL", &base[..], "BEGIN; SET LOCAL search_path = other, public"),
            ("set_config", &base[..], "SELECT set_config('search_' || 'path', 'other,public', false)"),
            ("a function", &base[..], "SELECT turn()"),
            ("DO", &base[..], "DO $$ BEGIN SET search_path = other, public; END $$"),
            ("the role", &[("user", "turned"), ("database", "shop")][..], "SELECT 1"),
            (
                "options",
                &[("user", "postgres"), ("database", "shop"), ("options", "-c search_path=other,public")][..],
                "SELECT 1",
            ),
            (
                "a startup parameter",
                &[("user", "postgres"), ("database", "shop"), ("search_path", "other, public")][..],
                "SELECT 1",
            ),
        ] {
            let (mut raw, _) = login(gate.address(), parameters);
            let value = secret("path");
            assert_eq!(state(&raw.query(turn)), None, "{way}");
            // The two tables have their columns in another order; only one of them is classified.
            let elsewhere = way != "nothing";
            let sql = if elsewhere {
                format!("INSERT INTO customers VALUES ('{value}', '1')")
            } else {
                format!("INSERT INTO customers VALUES (1, '{value}')")
            };
            assert_eq!(state(&raw.query(&sql)), None, "{way} on {major}");
            assert_eq!(holds(&tap, &value), elsewhere, "{way} on {major}: on the wire");
            raw.query("COMMIT");
            let there =
                stored(&server, &format!("SELECT id::text FROM other.customers WHERE email = '{value}'"));
            assert_eq!(there.len(), usize::from(elsewhere), "{way} on {major}: as it goes directly");
            let value = secret("whole");
            let whole = format!("INSERT INTO public.customers (id, email) VALUES (1, '{value}')");
            assert_eq!(state(&raw.query(&whole)), None, "{way} on {major}");
            assert!(!holds(&tap, &value), "{way} on {major}: on the wire");
            let other = raw.query("INSERT INTO other.customers VALUES ('not classified', 1)");
            assert_eq!(state(&other), None, "{way} on {major}");
        }
        assert!(is_sealed(&stored(&server, "SELECT email FROM public.customers")));
    }
}

#[test]
fn a_prepared_insert_does_not_follow_a_table_that_shadows() {
    for major in VERSIONS {
        let server = server(major);
        // What a function builds itself, nobody follows.
        let shade = "CREATE FUNCTION shade() RETURNS void LANGUAGE plpgsql AS $$ BEGIN \
            EXECUTE 'CREATE TEMP TABLE cust' || 'omers (note text, email text, id text)'; END $$";
        server.execute("shop", shade).unwrap();
        let (gate, tap) = gate(&server, "");
        let mut raw = Raw::login(gate.address(), "postgres", "shop");
        raw.parse("s", "INSERT INTO customers VALUES ($1, $2, $3)", &[]);
        assert_eq!(state(&raw.sync()), None);
        let value = secret("shadow");
        // The server plans a prepared statement anew when a name means something else.
        assert!(refused(&raw.query("CREATE TEMP TABLE customers (note text, email text, id text)")));
        assert_eq!(state(&raw.query("SELECT shade()")), None);
        raw.bind("", "s", &[], &[Some(b"1"), Some(value.as_bytes()), None], &[]);
        raw.execute("", 0);
        let frames = raw.sync();
        assert!(!holds(&tap, &value), "{major}: {:?}", state(&frames));
        let frames = raw.query(&format!("INSERT INTO customers (email) VALUES ('{value}')"));
        assert!(!holds(&tap, &value), "{major}: {:?}", state(&frames));
    }
}

/// Queries as bytes, for one write.
fn queries(texts: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for text in texts {
        bytes.push(b'Q');
        bytes.extend(u32::try_from(text.len() + 5).unwrap().to_be_bytes());
        bytes.extend(text.as_bytes());
        bytes.push(0);
    }
    bytes
}

/// A statement works, and the value in it does not show.
fn works_on(raw: &mut Raw, tap: &Tap, sql: &str, major: u32) {
    let value = secret("followed");
    let frames = raw.query(&sql.replace("{s}", &value));
    assert_eq!(state(&frames), None, "{sql} on {major}: {:?}", frames[0].field(b'D'));
    assert!(!holds(tap, &value), "{sql} on {major}");
}

#[test]
fn what_the_gate_itself_changes_is_followed_at_once() {
    for major in VERSIONS {
        let server = server(major);
        let (gate, tap) = gate(&server, "");
        let mut other = Raw::login(gate.address(), "postgres", "shop");
        let mut raw = Raw::login(gate.address(), "postgres", "shop");
        raw.query("ALTER TABLE customers ALTER COLUMN id TYPE text");
        raw.parse("s", "INSERT INTO customers VALUES ($1, $2)", &[]);
        assert_eq!(state(&raw.sync()), None);
        let mut works = |sql: &str| works_on(&mut raw, &tap, sql, major);
        works("ALTER TABLE customers ADD COLUMN age int");
        works("INSERT INTO customers VALUES (1, '{s}', 'n', 7)");
        works("ALTER TABLE customers DROP COLUMN id");
        works("INSERT INTO customers VALUES ('{s}', 'n', 7)");
        // Another session, by the time that the first is served again.
        let value = secret("beside");
        raw.query("SELECT 1");
        let frames = other.query(&format!("INSERT INTO customers VALUES ('{value}', 'n', 7)"));
        assert_eq!(state(&frames), None, "another session on {major}");
        assert!(!holds(&tap, &value), "another session on {major}");
        let value = secret("moved");
        raw.bind("", "s", &[], &[Some(value.as_bytes()), Some(b"note")], &[]);
        raw.execute("", 0);
        let frames = raw.sync();
        assert!(!holds(&tap, &value), "a prepared INSERT on {major}: {:?}", state(&frames));
        // Sent together: the catalog is read between them.
        raw.bytes(&queries(&[
            "ALTER TABLE customers DROP COLUMN note, ADD COLUMN note text",
            "SELECT pg_sleep(0.1)",
            &format!("INSERT INTO customers VALUES ('{value}', 8, 'n')"),
        ]));
        for _ in 0..3 {
            assert_eq!(state(&raw.until_ready()), None, "pipelined on {major}");
        }
        assert!(!holds(&tap, &value), "pipelined on {major}");
        let mut works = |sql: &str| works_on(&mut raw, &tap, sql, major);
        works("DROP TABLE customers");
        works("CREATE TABLE customers (note text, email text UNIQUE)");
        works("INSERT INTO customers VALUES ('n', '{s}')");
        works("SELECT note FROM customers WHERE email = '{s}'");
        works("CREATE TABLE planned (x int, email text)");
        works("INSERT INTO planned VALUES (1, '{s}')");
        works("UPDATE planned SET email = '{s}'");
        assert!(is_sealed(&stored(
            &server,
            "SELECT email FROM customers UNION ALL SELECT email FROM planned"
        )));
    }
}

#[test]
fn what_changes_behind_the_gate_is_followed_within_the_poll() {
    // Most of it is waiting: for both versions at once.
    std::thread::scope(|scope| {
        for major in VERSIONS {
            scope.spawn(move || changes_behind_the_gate(major));
        }
    });
}

fn changes_behind_the_gate(major: u32) {
    let server = server(major);
    server.execute("shop", "CREATE TABLE harmless (id int, mail text)").unwrap();
    server.execute("shop", "CREATE TABLE plain (id int, mail text)").unwrap();
    let (gate, tap) = gate(&server, "");
    let mut raw = Raw::login(gate.address(), "postgres", "shop");
    // Sessions that were there before, each for one claim of its own.
    let mut idle = Raw::login(gate.address(), "postgres", "shop");
    let mut prepared = Raw::login(gate.address(), "postgres", "shop");
    prepared.parse("h", "INSERT INTO harmless VALUES (1, $1)", &[]);
    prepared.parse("c", "INSERT INTO customers (id, email) VALUES (9, $1)", &[]);
    assert_eq!(state(&prepared.sync()), None);
    let mut by_sql = Raw::login(gate.address(), "postgres", "shop");
    assert_eq!(state(&by_sql.query("PREPARE p(text) AS INSERT INTO harmless VALUES (1, $1)")), None);
    // The server's own error, of a text without the value.
    assert_eq!(state(&raw.query("INSERT INTO planned VALUES (1, 'too early')")).as_deref(), Some("42P01"));
    assert!(!holds(&tap, "too early"), "{major}");

    server
        .execute(
            "shop",
            "ALTER TABLE customers ADD COLUMN age int; \
                 CREATE TABLE planned_later (email text, x int); \
                 CREATE VIEW seen AS SELECT id, lower(email) AS email FROM customers; \
                 CREATE FUNCTION write_now(m text) RETURNS void LANGUAGE sql \
                     AS 'INSERT INTO customers (email) VALUES (m)'; \
                 CREATE FUNCTION inward() RETURNS trigger LANGUAGE plpgsql \
                     AS 'BEGIN INSERT INTO customers (email) VALUES (NEW.mail); RETURN NEW; END'; \
                 CREATE TRIGGER inward BEFORE INSERT ON harmless FOR EACH ROW EXECUTE FUNCTION inward()",
        )
        .unwrap();
    await_that("the new column", || {
        state(&raw.query("INSERT INTO customers VALUES (1, 'x', 'n', 7)")).is_none()
    });
    let value = secret("poll");
    // The first statement of a session that slept is judged by what is there now.
    let frames = idle.query(&format!("INSERT INTO seen VALUES (1, '{value}')"));
    assert!(refused(&frames) && !holds(&tap, &value), "{major}: {:?}", state(&frames));
    for sql in
        ["SELECT write_now('{s}')", "INSERT INTO harmless VALUES (1, '{s}')", "UPDATE seen SET email = '{s}'"]
    {
        let frames = raw.query(&sql.replace("{s}", &value));
        assert!(refused(&frames) && !holds(&tap, &value), "{sql} on {major}: {:?}", state(&frames));
    }
    prepared.bind("", "h", &[], &[Some(value.as_bytes())], &[]);
    prepared.execute("", 0);
    let frames = prepared.sync();
    assert!(refused(&frames) && !holds(&tap, &value), "prepared on {major}: {:?}", state(&frames));
    prepared.bind("", "c", &[], &[Some(value.as_bytes())], &[]);
    prepared.execute("", 0);
    assert_eq!(state(&prepared.sync()), None, "what still means the same still works");
    assert_eq!(state(&raw.query(&format!("INSERT INTO planned_later VALUES ('{value}', 1)"))), None);
    let frames = by_sql.query(&format!("EXECUTE p('{value}')"));
    assert!(!holds(&tap, &value), "EXECUTE on {major}: {:?}", state(&frames));
    assert!(is_sealed(&stored(&server, "SELECT email FROM planned_later")));

    let trigger = "CREATE FUNCTION aside() RETURNS trigger LANGUAGE plpgsql \
                AS 'BEGIN NEW.email := NEW.note; RETURN NEW; END'; \
            CREATE TRIGGER aside BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION aside()";
    server.execute("shop", trigger).unwrap();
    await_that("a trigger that writes the sealed column to be refused", || {
        refused(&raw.query("INSERT INTO customers (id, note) VALUES (1, 'x')"))
    });
    server
        .execute("shop", "DROP TABLE customers CASCADE; CREATE TABLE customers (note text, email text)")
        .unwrap();
    await_that("the table to be found again", || {
        state(&raw.query("INSERT INTO customers (note, email) VALUES ('a', 'b')")).is_none()
    });
    assert_eq!(state(&raw.query(&format!("INSERT INTO customers VALUES ('x', '{value}')"))), None);
    assert!(!holds(&tap, &value) && is_sealed(&stored(&server, "SELECT email FROM customers")));
}

#[test]
fn a_login_that_chooses_its_database_or_its_reading_gains_nothing() {
    for major in VERSIONS {
        let server = server(major);
        server.create_database("mall").unwrap();
        server.execute("postgres", "CREATE ROLE shop LOGIN SUPERUSER").unwrap();
        let long = "l".repeat(63);
        server.create_database(&long).unwrap();
        server.execute(&long, "CREATE TABLE customers (id int, email text, note text)").unwrap();
        let (gate, tap) = gate(&server, "database = \"shop\"");
        let insert = |raw: &mut Raw, value: &str| {
            raw.query(&format!("INSERT INTO public.customers (id, email) VALUES (1, '{value}')"))
        };
        for (way, parameters) in [
            ("plainly", &[("user", "postgres"), ("database", "shop")][..]),
            ("by its user's name", &[("user", "shop")]),
            ("by an empty name", &[("user", "shop"), ("database", "")]),
            ("last of two", &[("user", "postgres"), ("database", "mall"), ("database", "shop")]),
            ("by the last user", &[("user", "postgres"), ("user", "shop")]),
            (
                "with a harmless option",
                &[("user", "postgres"), ("database", "shop"), ("options", "-c geqo=off")],
            ),
            ("for replication", &[("user", "postgres"), ("database", "shop"), ("replication", "database")]),
            (
                "with loose strings",
                &[
                    ("user", "postgres"),
                    ("database", "shop"),
                    ("options", "-c standard_conforming_strings=off"),
                ],
            ),
        ] {
            let value = secret("login");
            let (mut raw, frames) = login(gate.address(), parameters);
            assert_eq!(
                frames.last().map(|frame| frame.tag),
                Some(b'Z'),
                "{way} on {major}: {:?}",
                state(&frames)
            );
            let frames = insert(&mut raw, &value);
            assert_eq!(state(&frames), None, "{way} on {major}");
            let found = raw.query("SELECT email FROM public.customers WHERE id = 1");
            assert_eq!(first(&found), Some(value.clone().into_bytes()), "{way} on {major}");
            // Under loose strings this is one value, under others two and a bracket.
            raw.query(&format!(
                "INSERT INTO customers (id, email, note) VALUES (1, '\\', '{value}\\', '\\')"
            ));
            raw.query(&format!("INSERT INTO customers (id, note, email) VALUES (1, '\\'', '{value}')"));
            raw.query("DELETE FROM customers");
            assert!(!holds(&tap, &value), "{way} on {major}: on the wire");
        }
        let sjis = [("user", "postgres"), ("database", "shop"), ("client_encoding", "SJIS")];
        let (_, frames) = login(gate.address(), &sjis);
        assert_eq!(state(&frames).as_deref(), Some("SG001"), "another encoding on {major}");
        // A name that the server would cut is another database than it says.
        let (mut raw, frames) =
            login(gate.address(), &[("user", "postgres"), ("database", &format!("{long}x"))]);
        if frames.last().is_some_and(|frame| frame.tag == b'Z') {
            let value = secret("cut");
            insert(&mut raw, &value);
            panic!("the gate let a name of 64 bytes pass on {major}");
        }
        assert!(is_sealed(&stored(&server, "SELECT email FROM customers UNION ALL SELECT 'SEAL'")));
    }
}

const HIDDEN: &str = "CREATE FUNCTION turn_columns() RETURNS int LANGUAGE plpgsql AS $$ BEGIN \
    EXECUTE 'ALTER TABLE cust' || 'omers DROP COLUMN id, ADD COLUMN id int'; RETURN 1; END $$";

#[test]
fn a_server_that_reads_its_configuration_anew_reads_every_text_as_it_was_judged() {
    for major in VERSIONS {
        let server = server(major);
        server.execute("shop", "INSERT INTO customers (id, note) VALUES (7, 'legible-note')").unwrap();
        let tap = Tap::before(server.address());
        let gate = Setup::before(tap.address())
            .field("public.customers", "email", "equality")
            .field("public.customers", "note", "none")
            .start();
        let mut raw = Raw::login(gate.address(), "postgres", "shop");
        let mut shown = 0;
        for round in 0..8 {
            let (mode, before) = (["off", "on"][round % 2], ["on", "off"][round % 2]);
            // The session has heard of the last one, and so has its client.
            await_that("the mode to be told", || {
                first(&raw.query("SHOW standard_conforming_strings")).as_deref() == Some(before.as_bytes())
            });
            server
                .execute("shop", &format!("ALTER SYSTEM SET standard_conforming_strings = {mode}"))
                .unwrap();
            server.execute("shop", "SELECT pg_reload_conf()").unwrap();
            // Of the last ReadyForQuery the server has told the other mode; the next message comes
            // before it looks again, or after: either way it reads what was judged.
            let value = secret("reload");
            let texts = [
                "SELECT '\\'', note || '' FROM customers --'".to_owned(),
                format!("INSERT INTO customers (note, email) VALUES ('\\', /*', '{value}') --*/ '{value}')"),
                format!("INSERT INTO customers (note, email) VALUES ('a\\\\', '{value}')"),
            ];
            let frames = raw.query(&texts[round % 3]);
            let legible = frames
                .iter()
                .filter(|frame| frame.tag == b'D' && frame.body.ends_with(b"legible-note"))
                .count();
            shown += legible;
            let known = ["on", "off"][round % 2] == "on";
            // In the mode that the client knows, the second text holds a value in a comment.
            assert!(round % 3 == 1 && known || !holds(&tap, &value), "{mode} on {major}");
        }
        let read = |record: &serde_json::Value| record["kind"] == "outcome" && record["action"] == "read";
        let counted: u64 = crate::shop::records(&gate)
            .iter()
            .filter(|one| read(one))
            .filter_map(|one| one["cells"].as_u64())
            .sum();
        assert!(shown as u64 <= counted, "{shown} shown, {counted} on record on {major}");
    }
}

#[test]
fn an_insert_without_columns_waits_for_another_sessions_definition_and_means_what_is_then() {
    for major in VERSIONS {
        for through in [true, false] {
            let server = server(major);
            let (gate, tap) = gate(&server, "");
            let mut raw = Raw::login(gate.address(), "postgres", "shop");
            raw.query("SELECT id FROM customers");
            let other = if through { gate.address() } else { server.address() };
            let mut definer = Raw::login(other, "postgres", "shop");
            for sql in ["BEGIN", "ALTER TABLE customers DROP COLUMN id"] {
                assert_eq!(state(&definer.query(sql)), None, "{sql} on {major}");
            }
            let value = secret("fenced");
            raw.bytes(&crate::harness::frame(
                b'Q',
                &crate::harness::string(&format!("INSERT INTO customers VALUES ('{value}', 'n')")),
            ));
            assert!(raw.within(std::time::Duration::from_millis(300)).is_empty(), "it waits, on {major}");
            assert_eq!(state(&definer.query("COMMIT")), None);
            assert_eq!(state(&raw.until_ready()), None, "through the gate: {through}, on {major}");
            assert!(!holds(&tap, &value), "through the gate: {through}, on {major}");
            assert!(is_sealed(&stored(&server, "SELECT email FROM customers")));
        }
    }
}

#[test]
fn what_a_transaction_has_changed_by_code_that_nobody_read_is_no_order_of_columns() {
    for major in VERSIONS {
        let server = server(major);
        server.execute("shop", HIDDEN).unwrap();
        let (gate, tap) = gate(&server, "");
        let mut raw = Raw::login(gate.address(), "postgres", "shop");
        let value = secret("hidden");
        for before in [
            &["BEGIN", "SELECT turn_columns()"][..],
            &["SELECT turn_columns()"],
            &["BEGIN", "SAVEPOINT a", "SELECT turn_columns()"],
        ] {
            for sql in before {
                assert_eq!(state(&raw.query(sql)), None, "{sql} on {major}");
            }
            // By now email comes first.
            let frames = raw.query(&format!("INSERT INTO customers VALUES ('{value}', 'n', 1)"));
            assert!(!holds(&tap, &value), "{before:?} on {major}: {:?}", state(&frames));
            raw.query("ROLLBACK");
            let frames = raw.query(&format!("INSERT INTO customers (email, id) VALUES ('{value}', 1)"));
            assert_eq!(state(&frames), None, "with its columns, {before:?} on {major}");
        }
        assert!(!holds(&tap, &value));
    }
}

#[test]
fn a_table_that_is_made_anew_through_the_gate_ends_no_session_that_reads_it() {
    for major in VERSIONS {
        let server = server(major);
        let (gate, _tap) = gate(&server, "");
        let mut definer = Raw::login(gate.address(), "postgres", "shop");
        let mut readers: Vec<Raw> = (0..4).map(|_| Raw::login(gate.address(), "postgres", "shop")).collect();
        for round in 0..5 {
            for reader in &mut readers {
                assert_eq!(state(&reader.query("SELECT email, note FROM customers")), None);
            }
            for sql in
                ["BEGIN", "DROP TABLE customers", "CREATE TABLE customers (id int, email text, note text)"]
            {
                assert_eq!(state(&definer.query(sql)), None, "{sql} on {major}");
            }
            for reader in &mut readers {
                reader.bytes(&crate::harness::frame(
                    b'Q',
                    &crate::harness::string("SELECT *, id + 1 FROM customers"),
                ));
            }
            assert_eq!(state(&definer.query("COMMIT")), None);
            for reader in &mut readers {
                assert_eq!(state(&reader.until_ready()), None, "round {round} on {major}");
            }
        }
    }
}
