//! What a name means: where a search path decides, it is asked for and written out, so that what
//! was judged is what runs, and so that who makes a table of the same name hurts nobody else.
//! What the server says of faults and of types, a client hears as directly.

use std::net::SocketAddr;

use sealgate::store::postgres::Throwaway;

use crate::harness::{Frame, Gate, Raw, Setup, Tap, VERSIONS, pg};
use crate::shop::{errors, firsts, holds, records, states};

const SCHEMA: &str = "CREATE SCHEMA acme; CREATE SCHEMA zeta; CREATE SCHEMA aside; \
    CREATE TABLE acme.client (id int PRIMARY KEY, email text, note text); \
    CREATE TABLE zeta.client (id int PRIMARY KEY, email text, note text); \
    CREATE TABLE aside.client (email text, id int); \
    CREATE TABLE plain (id int, t varchar(20)); \
    CREATE FUNCTION turn(text) RETURNS text LANGUAGE sql AS 'SELECT set_config(''search_path'', $1, false)'; \
    CREATE ROLE zeta LOGIN SUPERUSER;";

fn start(major: u32) -> (Throwaway, Gate, Tap) {
    let server = pg(major);
    server.create_database("shop").unwrap();
    server.create_database("direct").unwrap();
    server.execute("shop", SCHEMA).unwrap();
    server.execute("direct", &SCHEMA.replace("CREATE ROLE zeta LOGIN SUPERUSER;", "")).unwrap();
    let tap = Tap::before(server.address());
    let setup = Setup::before(tap.address())
        .field("acme.client", "email", "equality")
        .field("zeta.client", "email", "equality")
        .field("public.awaited", "email", "equality");
    let gate = setup.late().start();
    (server, gate, tap)
}

fn login(address: SocketAddr, database: &str, more: &[(&str, &str)]) -> Raw {
    Raw::login_with(address, &[&[("user", "postgres"), ("database", database)], more].concat())
}

/// Types and texts of an answer, without what differs by chance.
fn told(frames: &[Frame]) -> Vec<(char, Vec<u8>)> {
    let of_interest =
        |frame: &&Frame| matches!(frame.tag, b'D' | b'C' | b'E' | b'Z' | b't' | b'n' | b'1' | b'2' | b's');
    let body = |frame: &Frame| match frame.tag {
        b'E' => {
            b"CMPDHc".iter().flat_map(|code| frame.field(*code).unwrap_or_default().into_bytes()).collect()
        }
        _ => frame.body.clone(),
    };
    frames.iter().filter(of_interest).map(|frame| (char::from(frame.tag), body(frame))).collect()
}

/// A name, what must be said at login, and what then.
type Way = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

/// Ways to come to a path.
const WAYS: &[Way] = &[
    ("SET", &[], &["SET search_path TO {p}"]),
    ("SET LOCAL", &[], &["BEGIN", "SET LOCAL search_path TO {p}"]),
    ("set_config", &[], &["SELECT set_config('search_' || 'path', '{p}', false)"]),
    ("a function", &[], &["SELECT turn('{p}')"]),
    ("DO", &[], &["DO $$ BEGIN SET search_path = {p}; END $$"]),
    ("pg_settings", &[], &["UPDATE pg_settings SET setting = '{p}' WHERE name LIKE 'search_p%'"]),
    ("options", &[("options", "-c search_path={p}")], &[]),
    ("a startup parameter", &[("search_path", "{p}")], &[]),
    (
        "a savepoint that is undone",
        &[],
        &["SET search_path TO {p}", "BEGIN", "SAVEPOINT a", "SET search_path TO {o}", "ROLLBACK TO a"],
    ),
    (
        "a transaction that is undone",
        &[],
        &["SET search_path TO {p}", "BEGIN", "SET search_path TO {o}", "ROLLBACK"],
    ),
];

/// What a tenant's application says, without a schema.
const STATEMENTS: &[&str] = &[
    "INSERT INTO client (id, email) VALUES ({n}, '{s}')",
    "INSERT INTO client VALUES ({n}1, '{s}1', 'n')",
    "SELECT id, email FROM client WHERE email = '{s}'",
    "UPDATE client AS c SET email = '{s}2' WHERE c.email = '{s}' RETURNING c.id, client_of.n FROM (SELECT 1 AS n) client_of",
    "UPDATE client SET note = 'x' FROM client o WHERE client.id = o.id AND o.email = '{s}1' RETURNING client.email",
    "SELECT c.email, (SELECT count(*) FROM client) FROM ONLY client c",
    "SELECT client.email, o.id FROM client JOIN client o ON o.email = client.email ORDER BY 2 FOR UPDATE OF client",
    "DELETE FROM client USING client o WHERE client.id = o.id AND o.email = '{s}1' RETURNING client.*",
    "SELECT count(*) FROM client WHERE EXISTS (SELECT 1 FROM client i WHERE i.email = '{s}')",
    "SELECT id, gone FROM client WHERE email = '{s}'",
    "SELECT id FROM client WHERE 'x' = 'x' AND id = 'y'",
];

#[test]
fn an_unqualified_name_is_the_one_of_the_search_path_however_it_came_about() {
    for major in VERSIONS {
        let (server, gate, tap) = start(major);
        for (number, (way, parameters, before)) in WAYS.iter().enumerate() {
            for (tenant, other) in [("acme", "zeta"), ("zeta", "aside, acme"), ("aside", "acme")] {
                let fill = |text: &str| text.replace("{p}", tenant).replace("{o}", other);
                let parameters: Vec<_> =
                    parameters.iter().map(|(name, value)| (*name, fill(value))).collect();
                let parameters: Vec<_> =
                    parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let mut ours = login(gate.address(), "shop", &parameters);
                let mut theirs = login(server.address(), "direct", &parameters);
                for sql in *before {
                    assert_eq!(states(&ours.query(&fill(sql))), states(&theirs.query(&fill(sql))), "{way}");
                }
                let secret = format!("secret-{number}-{tenant}-{:08x}", rand::random::<u32>());
                for sql in STATEMENTS.iter().filter(|_| tenant != "aside") {
                    let sql = sql.replace("{s}", &secret).replace("{n}", &(number + 10).to_string());
                    let (here, there) = (ours.query(&sql), theirs.query(&sql));
                    let refused = states(&here).iter().any(|state| state.starts_with("SG"));
                    if refused {
                        // ONLY and such are for later; what is refused says so.
                        continue;
                    }
                    assert_eq!(told(&here), told(&there), "{way}, {tenant}, {major}: {sql}");
                }
                assert!(
                    tenant == "aside" || !holds(&tap.to_server(), secret.as_bytes()),
                    "{way}: on the wire"
                );
                if tenant == "aside" {
                    // Another table of the name, in which nothing is classified.
                    let sql = format!("INSERT INTO client VALUES ('{secret}', {number})");
                    assert_eq!(states(&ours.query(&sql)), [""; 0], "{way} on {major}");
                    let sql = "SELECT email FROM client WHERE email LIKE 'secret-%'";
                    assert!(
                        firsts(&ours.query(sql)).contains(&secret),
                        "{way} on {major}: as it goes directly"
                    );
                }
                ours.query("COMMIT");
            }
        }
        for tenant in ["acme", "zeta"] {
            let stored = server.query("shop", &format!("SELECT email FROM {tenant}.client")).unwrap();
            let stored: Vec<String> = stored.into_iter().flatten().flatten().collect();
            assert!(stored.len() > 5 && stored.iter().all(|text| text.starts_with("SEAL")), "{tenant}");
        }
    }
}

#[test]
fn a_prepared_statement_goes_where_the_path_leads_when_it_is_bound() {
    for major in VERSIONS {
        let (server, gate, tap) = start(major);
        let mut ours = login(gate.address(), "shop", &[]);
        let mut theirs = login(server.address(), "direct", &[]);
        let secret = format!("secret-{:016x}", rand::random::<u64>());
        for raw in [&mut ours, &mut theirs] {
            raw.query("SET search_path TO acme");
            raw.parse("put", "INSERT INTO client (id, email) VALUES ($1::int, $2)", &[0, 25]);
            raw.parse("all", "SELECT id, email FROM client WHERE email = $1", &[]);
            assert_eq!(states(&raw.sync()), [""; 0]);
        }
        let ways = [
            "SET search_path TO zeta",
            "SELECT turn('acme')",
            "SELECT turn('zeta, acme')",
            "BEGIN; SET LOCAL search_path = acme",
            "ROLLBACK",
        ];
        for (number, way) in ways.iter().enumerate() {
            let number = number.to_string();
            let mut answers = Vec::new();
            for raw in [&mut ours, &mut theirs] {
                raw.query(way);
                raw.bind("", "put", &[], &[Some(number.as_bytes()), Some(secret.as_bytes())], &[]);
                raw.execute("", 0);
                raw.sync();
                raw.bind("", "all", &[], &[Some(secret.as_bytes())], &[]);
                raw.describe(b'P', "");
                raw.execute("", 0);
                answers.push(told(&raw.sync()));
            }
            assert_eq!(answers[0], answers[1], "{way} on {major}");
        }
        assert!(!holds(&tap.to_server(), secret.as_bytes()));
        for tenant in ["acme", "zeta"] {
            let count =
                |database| server.query(database, &format!("SELECT count(*) FROM {tenant}.client")).unwrap();
            assert_eq!(count("shop"), count("direct"), "{tenant} on {major}");
        }
    }
}

#[test]
fn drivers_that_begin_a_transaction_in_the_same_batch_reach_their_tenant() {
    for major in VERSIONS {
        let (_server, gate, tap) = start(major);
        let mut raw = login(gate.address(), "shop", &[]);
        for (number, tenant) in [(1, "acme"), (2, "zeta"), (3, "acme")] {
            raw.query(&format!("SET search_path TO {tenant}"));
            // As pgjdbc sends it without autocommit.
            let secret = format!("secret-batch-{number}");
            raw.parse("", "BEGIN", &[]);
            raw.bind("", "", &[], &[], &[]);
            raw.execute("", 0);
            raw.parse("", "INSERT INTO client VALUES ($1::int, $2, 'n')", &[0, 1043]);
            raw.bind("", "", &[], &[Some(number.to_string().as_bytes()), Some(secret.as_bytes())], &[]);
            raw.execute("", 0);
            assert_eq!(states(&raw.sync()), [""; 0], "{tenant} on {major}");
            raw.query("COMMIT");
            let found = raw.query(&format!("SELECT id FROM {tenant}.client WHERE email = '{secret}'"));
            assert_eq!(firsts(&found), [number.to_string()], "{tenant} on {major}");
            assert!(!holds(&tap.to_server(), secret.as_bytes()));
        }
    }
}

#[test]
fn a_statement_may_be_bound_and_prepared_many_times_in_one_batch() {
    for major in VERSIONS {
        let (_server, gate, tap) = start(major);
        let mut raw = login(gate.address(), "shop", &[]);
        for tenant in ["acme", "zeta"] {
            raw.query(&format!("SET search_path TO {tenant}"));
            // As asyncpg's executemany, and as psycopg's pipelines.
            raw.parse("s", "INSERT INTO client (id, email) VALUES ($1::int, $2) RETURNING email", &[]);
            for number in 0..6 {
                let (number, secret) = (number.to_string(), format!("secret-many-{number}"));
                if number == "3" {
                    raw.parse("", "SELECT count(*) FROM client WHERE email = $1", &[]);
                    raw.bind("", "", &[], &[Some(secret.as_bytes())], &[]);
                    raw.execute("", 0);
                }
                raw.bind("", "s", &[], &[Some(number.as_bytes()), Some(secret.as_bytes())], &[]);
                raw.execute("", 0);
            }
            raw.close(b'S', "s");
            let frames = raw.sync();
            assert_eq!((states(&frames), firsts(&frames).len()), (vec![], 7), "{tenant} on {major}");
            let found = raw.query(&format!("SELECT count(*) FROM {tenant}.client"));
            assert_eq!(firsts(&found), ["6"], "{tenant} on {major}");
        }
        assert!(!holds(&tap.to_server(), b"secret-many"));
        // Behind code of the database that may have changed the path, it is not certain any more.
        raw.parse("", "SELECT public.turn('acme')", &[]);
        raw.bind("", "", &[], &[], &[]);
        raw.execute("", 0);
        raw.parse("", "SELECT email FROM client", &[]);
        assert_eq!(states(&raw.sync()), ["SG001"], "on {major}");
    }
}

#[test]
fn who_makes_a_table_or_function_of_a_known_name_hurts_nobody_else() {
    for major in VERSIONS {
        let server = crate::shop::server(major);
        server.execute("postgres", "CREATE ROLE low LOGIN; CREATE SCHEMA low AUTHORIZATION low").unwrap();
        let (gate, _tap) = crate::shop::open(&server);
        let mut app = Raw::login(gate.address(), "postgres", "postgres");
        let mut low = Raw::login(gate.address(), "low", "postgres");
        for made in [
            "CREATE TABLE low.customers (x int)",
            "CREATE SEQUENCE low.orders",
            "CREATE FUNCTION low.lower(text) RETURNS text LANGUAGE sql AS $$ SELECT 'low' $$",
        ] {
            low.query(made);
            app.query("SELECT 1 FROM customers");
            for sql in [
                "SELECT id FROM customers WHERE email = 'x'",
                "INSERT INTO customers (id, email) VALUES (1, 'x') ON CONFLICT (id) DO NOTHING",
                "SELECT lower('A'), count(*) FROM orders",
            ] {
                assert_eq!(errors(&app.query(sql)), [], "{sql} after {made} on {major}");
            }
        }
    }
}

/// Texts whose fault is the client's.
const FAULTS: &[&str] = &[
    "SELECT gone FROM acme.client",
    "SELECT c.gone, 'secret-ü' FROM acme.client c WHERE c.email = 'secret-fault'",
    "SELECT x.id FROM acme.client c WHERE c.email = 'secret-fault'",
    "INSERT INTO acme.client (id, gone) VALUES (1, 'secret-fault')",
    "UPDATE acme.client SET gone = 'secret-fault'",
    "SELECT \"client\".\"gone\" FROM \"acme\".\"client\" WHERE \"client\".\"email\" = 'secret-fault'",
    "SELEC email FROM acme.client",
    "SELECT email FROM acme.client WHERE WHERE email = 'secret-fault'",
    "SELECT email FROM acme.client ORDER BY email LIMIT LIMIT 4711",
    "INSERT INTO awaited (email) VALUES ('secret-fault')",
    "SELECT nothing FROM public.awaited WHERE email = 'secret-fault' /* secret-fault */",
];

#[test]
fn an_unknown_column_or_a_syntax_error_is_the_servers_own_with_its_place_and_no_refusal() {
    for major in VERSIONS {
        let (server, gate, tap) = start(major);
        let mut ours = login(gate.address(), "shop", &[]);
        let mut theirs = login(server.address(), "direct", &[]);
        for sql in FAULTS {
            let mut answers = Vec::new();
            for raw in [&mut ours, &mut theirs] {
                let mut all = vec![told(&raw.query(sql))];
                for name in ["", "s"] {
                    raw.parse(name, sql, &[]);
                    raw.bind("", name, &[], &[], &[]);
                    raw.execute("", 0);
                    all.push(told(&raw.sync()));
                }
                raw.query("BEGIN");
                all.push(told(&raw.query(sql)));
                all.push(told(&raw.query("SELECT 1")));
                all.push(told(&raw.query("ROLLBACK")));
                answers.push(all);
            }
            assert_eq!(answers[0], answers[1], "{sql} on {major}");
        }
        assert!(!holds(&tap.to_server(), b"secret-fault") && !holds(&tap.to_server(), b"4711"), "on {major}");
        assert!(records(&gate).iter().all(|record| record["kind"] != "refusal"), "on {major}");
        let metrics = gate.get("/metrics").unwrap();
        let mut refusals =
            metrics.lines().filter(|line| line.starts_with("sealgate_refusals_total{")).peekable();
        assert!(refusals.peek().is_some() && refusals.all(|line| line.ends_with(" 0")), "{metrics}");
        // What is not the client's fault alone is refused as ever.
        let frames = ours.query("SELECT gone FROM acme.client WHERE email = \"secret-fault\"");
        assert_eq!(states(&frames), ["SG001"], "a value between the wrong quotes");
        let frames = ours.query("SELECT email FROM acme.client WHERE email = 'secret-fault's'");
        assert_eq!(states(&frames), ["SG001"], "a quote too many");
        assert!(!holds(&tap.to_server(), b"secret-fault"));
    }
}

#[test]
fn a_table_without_a_schema_is_made_where_the_server_would_make_it() {
    for major in VERSIONS {
        let (server, gate, tap) = start(major);
        let made = |schema: &str| {
            let sql = format!("SELECT to_regclass('{schema}.awaited') IS NOT NULL");
            server.query("shop", &sql).unwrap()[0][0].as_deref() == Some("t")
        };
        let (bare, copied) =
            ("CREATE TABLE awaited (email text)", "CREATE TABLE awaited AS SELECT 'x' AS email");
        for (number, (path, temporary, schema)) in [
            ("pg_temp, public", false, None),
            ("pg_temp, public", true, None),
            ("pg_temp, pg_catalog, public", true, None),
            ("pg_catalog, public", false, None),
            ("public, pg_temp", true, Some("public")),
            ("public", true, Some("public")),
            ("\"$user\", public", false, Some("public")),
            ("public, pg_catalog", false, Some("public")),
        ]
        .into_iter()
        .enumerate()
        {
            for sql in [bare, copied] {
                for prepared in if sql == bare { &[false, true][..] } else { &[false] } {
                    let mut raw = login(gate.address(), "shop", &[]);
                    if temporary {
                        raw.query("CREATE TEMP TABLE own (id int)");
                    }
                    raw.query(&format!("SET search_path TO {path}"));
                    let frames = if *prepared {
                        raw.parse("make", sql, &[]);
                        raw.bind("", "make", &[], &[], &[]);
                        raw.execute("", 0);
                        raw.sync()
                    } else {
                        raw.query(sql)
                    };
                    let answer = errors(&frames);
                    assert_eq!(made("public"), schema.is_some(), "{path}, {sql} on {major}: {answer:?}");
                    assert_eq!(answer.is_empty(), schema.is_some(), "{path}, {sql} on {major}: {answer:?}");
                    let temporary = path.starts_with("pg_temp").then(|| states(&frames));
                    assert!(temporary.is_none_or(|states| states == ["SG001"]), "{number} on {major}");
                    raw.query("DROP TABLE IF EXISTS public.awaited");
                }
            }
        }
        assert!(!holds(&tap.to_server(), b"'x' AS email"));
    }
}

#[test]
fn the_place_of_an_error_is_that_of_the_clients_text() {
    for major in VERSIONS {
        let (server, gate, _tap) = start(major);
        let mut ours = login(gate.address(), "shop", &[]);
        let mut theirs = login(server.address(), "direct", &[]);
        for raw in [&mut ours, &mut theirs] {
            raw.query("SET search_path TO acme, public");
        }
        for sql in [
            "SELECT id FROM client WHERE email = 'a' AND id = 'ä'",
            "SELECT c.id FROM client c, client d WHERE c.email = 'käse' AND nosuch(c.id) = 1",
            "INSERT INTO client VALUES (1, 'ä', nosuch())",
            "UPDATE client SET email = 'x', note = 1 + 'y' WHERE email = 'z'",
        ] {
            assert_eq!(told(&ours.query(sql)), told(&theirs.query(sql)), "{sql} on {major}");
            for raw in [&mut ours, &mut theirs] {
                raw.parse("", sql, &[]);
            }
            assert_eq!(told(&ours.sync()), told(&theirs.sync()), "{sql} on {major}");
        }
    }
}

#[test]
fn types_are_told_as_a_plain_server_tells_them() {
    for major in VERSIONS {
        let (server, gate, _tap) = start(major);
        let mut ours = login(gate.address(), "shop", &[]);
        let mut theirs = login(server.address(), "direct", &[]);
        for (sql, types) in [
            ("SELECT id, email FROM acme.client WHERE email = $1", &[][..]),
            ("SELECT id, email FROM acme.client WHERE email = $1", &[1043]),
            ("SELECT id, email FROM acme.client WHERE email = $1", &[25]),
            ("SELECT id FROM acme.client WHERE email = $1 AND note = $2", &[705, 0]),
            ("SELECT id FROM acme.client WHERE email IN ($1, $2::varchar, $3::text)", &[]),
            ("SELECT id FROM acme.client WHERE email = ANY($1)", &[]),
            ("SELECT id FROM acme.client WHERE email = ANY($1)", &[1015]),
            ("SELECT id FROM acme.client WHERE email = ANY($1::varchar[])", &[]),
            ("INSERT INTO acme.client VALUES ($1, $2, $3) RETURNING *", &[0, 1043]),
            ("UPDATE acme.client SET email = $2 WHERE id = $1", &[20, 0]),
        ] {
            for raw in [&mut ours, &mut theirs] {
                raw.parse("", sql, types);
                raw.describe(b'S', "");
            }
            assert_eq!(told(&ours.sync()), told(&theirs.sync()), "{sql} {types:?} on {major}");
        }
        // And values of them arrive, in both formats.
        ours.query("INSERT INTO acme.client (id, email) VALUES (77, 'typed')");
        let binary = [
            &1_u32.to_be_bytes()[..],
            &0_u32.to_be_bytes(),
            &1043_u32.to_be_bytes(),
            &1_u32.to_be_bytes(),
            &1_u32.to_be_bytes(),
            &5_u32.to_be_bytes(),
            b"typed",
        ]
        .concat();
        for (types, format, value) in
            [(&[1015_u32][..], 1_u16, binary.as_slice()), (&[1015], 0, b"{typed}"), (&[1009], 0, b"{typed}")]
        {
            ours.parse("", "SELECT id FROM acme.client WHERE email = ANY($1)", types);
            ours.bind("", "", &[format], &[Some(value)], &[]);
            ours.execute("", 0);
            assert_eq!(firsts(&ours.sync()), ["77"], "{types:?} {format} on {major}");
        }
    }
}

#[test]
fn a_name_that_another_encoding_could_fold_to_a_classified_one_is_refused_unless_quoted() {
    for major in VERSIONS {
        let server = pg(major);
        for (database, encoding) in [("latin", "LATIN5"), ("euc", "EUC_JP"), ("unicode", "UTF8")] {
            server
                .execute(
                    "postgres",
                    &format!(
                        "CREATE DATABASE {database} TEMPLATE template0 ENCODING '{encoding}' \
                         LC_COLLATE 'C' LC_CTYPE 'C'"
                    ),
                )
                .unwrap();
            let letter = if database == "euc" { "\u{304b}" } else { "\u{e9}" };
            server
                .execute(
                    database,
                    &format!(
                        "CREATE TABLE client (id int, mail text); \
                         CREATE TABLE \"caf{letter}\" (id int, mail text); \
                         CREATE TABLE \"stra{letter}e\" (mail text)"
                    ),
                )
                .unwrap();
        }
        let tap = Tap::before(server.address());
        let gate = Setup::before(tap.address())
            .field("public.client", "mail", "equality")
            .field("public.\\\"caf\u{e9}\\\"", "mail", "equality")
            .start();
        for database in ["latin", "euc", "unicode"] {
            for encoding in ["UTF8", "SQL_ASCII"] {
                let mut raw = login(gate.address(), database, &[("client_encoding", encoding)]);
                // By its locale a server of one byte a letter may fold a letter to another, to one
                // of ASCII as well (Turkish).
                for name in [
                    "CL\u{130}ENT",
                    "\u{e7}lient",
                    "CAF\u{c9}",
                    "caf\u{e9}",
                    "public.CAF\u{c9}",
                    "PUBL\u{130}C.client",
                ] {
                    let value = format!("secret-{:016x}", rand::random::<u64>());
                    let frames = raw.query(&format!("INSERT INTO {name} (id, mail) VALUES (1, '{value}')"));
                    let refused = states(&frames).iter().any(|state| state.starts_with("SG"));
                    // To a server of LATIN1 these bytes are other letters, which are read as that.
                    let known = database == "unicode" || database == "latin" && encoding == "SQL_ASCII";
                    assert!(
                        refused || known,
                        "{name} in {database}, {encoding}, on {major}: {:?}",
                        states(&frames)
                    );
                    let served = states(&frames).is_empty();
                    assert!(
                        !served || !holds(&tap.to_server(), value.as_bytes()),
                        "{name} in {database} on {major}"
                    );
                }
                if (database, encoding) == ("latin", "UTF8") {
                    let value = format!("secret-{:016x}", rand::random::<u64>());
                    for sql in [
                        format!("INSERT INTO \"caf\u{e9}\" (id, mail) VALUES (1, '{value}')"),
                        format!("INSERT INTO client (id, mail) VALUES (1, '{value}\u{e9}')"),
                        format!("SELECT mail AS \u{fc}ber FROM client WHERE mail = '{value}\u{e9}'"),
                        // A name of other letters at other places is no other's.
                        "SELECT mail FROM stra\u{e9}e".to_owned(),
                    ] {
                        assert_eq!(states(&raw.query(&sql)), [""; 0], "{sql} on {major}");
                    }
                    assert!(!holds(&tap.to_server(), value.as_bytes()), "on {major}");
                }
            }
        }
    }
}

/// A statement that is prepared anew may fail at that, with nothing behind it that would end the batch.
#[test]
fn what_fails_when_it_is_prepared_anew_is_answered_and_so_is_what_comes_behind() {
    for major in VERSIONS {
        let (server, gate, _tap) = start(major);
        server.execute("shop", "CREATE TABLE acme.orders (id int, total int)").unwrap();
        let mut raw = login(gate.address(), "shop", &[]);
        raw.query("SET search_path TO acme");
        let text = "SELECT c.id, c.email, o.total FROM client c JOIN orders o ON o.id = c.id";
        for name in ["one", "two", "three"] {
            raw.parse(name, text, &[]);
        }
        assert_eq!(states(&raw.sync()), [""; 0]);
        raw.query("SET search_path TO zeta");
        assert_eq!(states(&raw.query("EXECUTE one")), ["42P01"], "{major}");
        assert_eq!(firsts(&raw.query("SELECT 1")), ["1"], "{major}");
        raw.bind("", "two", &[], &[], &[]);
        raw.execute("", 0);
        assert_eq!(states(&raw.sync()), ["42P01"], "{major}");
        raw.query("BEGIN");
        assert_eq!(states(&raw.query("EXECUTE three")), ["42P01"], "{major}");
        assert_eq!(states(&raw.query("SELECT 1")), ["25P02"], "{major}");
        raw.query("ROLLBACK");
        raw.query("SET search_path TO acme");
        assert_eq!(firsts(&raw.query("SELECT 1")), ["1"], "{major}");
    }
}
