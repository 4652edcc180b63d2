//! A policy that does not fit is loud: in the log, a metric, the readiness, and by refusing its
//! database, before a session has come and while sessions run. What a test suite drops and makes
//! anew through the gate is no misfit of the policy.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use sealgate::store::postgres::Throwaway;

use crate::harness::{Frame, Gate, Raw, Setup, VERSIONS, await_that, pg};
use crate::shop::{errors, firsts, records_with, states};

const TABLE: &str = "CREATE TABLE customers (id int PRIMARY KEY, email text, phone text)";
/// How the log begins to tell of one whose database is refused, of one that fits again.
const REFUSED: &str = "the policy does not fit: the database is refused";
const AGAIN: &str = "the policy fits again";

/// A server with a database `shop`, in which `sql` was run.
fn server(major: u32, sql: &str) -> Throwaway {
    let server = pg(major);
    server.create_database("shop").unwrap();
    server.execute("shop", sql).unwrap();
    server
}

/// Before it, with one field of the database `shop`.
fn of_shop(server: &Throwaway, table: &str, column: &str) -> Setup {
    Setup::before(server.address()).field_with(table, column, "equality", "database = \"shop\"")
}

/// Status and body of the readiness.
fn readiness(gate: &Gate) -> (bool, String) {
    let answer = gate.get("/health/ready").unwrap();
    let body = answer.rsplit("\r\n\r\n").next().unwrap_or_default().to_owned();
    (answer.starts_with("HTTP/1.1 200"), body)
}

fn is_ready(gate: &Gate) -> bool {
    readiness(gate).0
}

/// Of all codes; none where there is no such series.
fn misfits(gate: &Gate, database: &str) -> Option<f64> {
    let series = format!("sealgate_policy_misfits{{database=\"{database}\",code=\"");
    let metrics = gate.get("/metrics")?;
    let lines: Vec<&str> = metrics.lines().filter(|line| line.starts_with(&series)).collect();
    assert!(lines.is_empty() || lines.len() == 4, "each code, from the start on: {lines:?}");
    lines
        .iter()
        .map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .reduce(|sum, one| Some(sum? + one?))?
}

fn logged(gate: &Gate, text: &str) -> usize {
    gate.log().matches(text).count()
}

/// A catalog is looked at every five seconds, or seldom where a look takes long: on a machine that
/// has much else to do.
fn await_look(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(80);
    while !condition() {
        assert!(Instant::now() < until, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What a startup is answered.
fn started(gate: &Gate, database: &str) -> (Raw, Vec<Frame>) {
    let mut raw = Raw::connect(gate.address());
    raw.startup(&[("user", "postgres"), ("database", database)]);
    let frames = raw.until_ready();
    (raw, frames)
}

fn open(gate: &Gate, database: &str) -> Raw {
    let (raw, frames) = started(gate, database);
    assert!(errors(&frames).is_empty(), "{:?}", errors(&frames));
    raw
}

fn succeeds(raw: &mut Raw, sql: &str) {
    let frames = raw.query(sql);
    assert!(errors(&frames).is_empty(), "{sql}: {:?}", errors(&frames));
}

/// Is this the FATAL error of a database that is refused for this field?
fn refuses(frames: &[Frame], field: &str) -> bool {
    let error = frames.iter().find(|frame| frame.tag == b'E');
    error.is_some_and(|error| {
        let part = |code| error.field(code).unwrap_or_default();
        assert!(part(b'M').contains("sealgate: database refused"), "{}", part(b'M'));
        assert!(part(b'H').contains("missing = \"serve\""), "{}", part(b'H'));
        part(b'S') == "FATAL" && part(b'C') == "SG001" && part(b'D').contains(&format!("field {field}: "))
    })
}

/// The times that a database was compared with the policy, as its server has it.
fn looks(server: &Throwaway) -> usize {
    std::fs::read_to_string(server.log_file())
        .unwrap_or_default()
        .matches("relkind IN ('r','p','v','m','f')")
        .count()
}

/// What the policy says beside what is there, what is found, and what makes it fit.
const CASES: &[(&str, &str, &str, &str)] = &[
    ("public.custmers.email", "table-missing", "has no table", "ALTER TABLE customers RENAME TO custmers"),
    (
        "shop.customers.email",
        "table-missing",
        "has no table",
        "CREATE SCHEMA shop CREATE TABLE customers (email text)",
    ),
    ("public.customers.emial", "column-missing", "no column", "ALTER TABLE customers RENAME email TO emial"),
    (
        "public.people.email",
        "table-kind",
        "is no table",
        "DROP VIEW people; ALTER TABLE customers RENAME TO people",
    ),
    (
        "tenant_*.customers.email",
        "table-missing",
        "has no table",
        "CREATE SCHEMA tenant_1 CREATE TABLE customers (email text)",
    ),
    ("pub*.customers.emial", "column-missing", "no column", "ALTER TABLE customers RENAME email TO emial"),
];

/// `check` finds it too, by the same name.
fn is_checked(gate: &Gate, code: &str) {
    let checked = gate.verb(&["check", "--json"]);
    let all: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    let errors = all["findings"].as_array().unwrap().iter().filter(|one| one["severity"] == "error");
    let codes: Vec<_> = errors.map(|one| one["code"].as_str().unwrap()).collect();
    // Of a pattern, that it fits nothing, and what does not fit in each table that it matches.
    assert!(!codes.is_empty() && codes.iter().all(|one| *one == code), "{code}: {all}");
    assert_eq!(checked.status.code(), Some(2));
}

#[test]
fn a_field_that_fits_nothing_refuses_its_database_until_it_fits() {
    for (index, (field, code, found, cure)) in CASES.iter().enumerate() {
        let (table, column) = field.rsplit_once('.').unwrap();
        let view = "CREATE VIEW people AS SELECT id, email FROM customers";
        let server = server(VERSIONS[index % 2], &format!("{TABLE}; {view}"));
        let mut gate = of_shop(&server, table, column).prepare().unwrap();
        gate.run_until_logged(REFUSED);
        let (ready, body) = readiness(&gate);
        assert!(!ready && body.contains(found) && body.contains(&format!("[{code}]")), "{field}: {body}");
        assert!(gate.log().contains(&format!("code=\"{code}\"")), "{field}: {}", gate.log());
        let series = format!("sealgate_policy_misfits{{database=\"shop\",code=\"{code}\"}}");
        assert_eq!(gate.metric(&series), Some(1.0), "{field}");
        is_checked(&gate, code);
        assert_eq!((misfits(&gate, "shop"), misfits(&gate, "*")), (Some(1.0), Some(0.0)), "{field}");
        let (_, frames) = started(&gate, "shop");
        assert!(refuses(&frames, field), "{field}: {frames:?}", frames = errors(&frames));
        let refused = frames.iter().find(|frame| frame.tag == b'E').unwrap();
        let told = refused.field(b'D').unwrap_or_default();
        assert!(told.ends_with(&format!(" [{code}].")), "{told}");
        open(&gate, "postgres");
        if index == 0 {
            let before = looks(&server);
            await_that("further looks", || looks(&server) > before + 1);
        }
        assert_eq!(logged(&gate, REFUSED), 1, "once, not at each look");

        server.execute("shop", cure).unwrap();
        await_that("readiness", || is_ready(&gate));
        assert_eq!((misfits(&gate, "shop"), logged(&gate, AGAIN)), (Some(0.0), 1), "{field}");
        open(&gate, "shop");
        let refusals = records_with(&gate, "refusal", 1);
        assert!(refusals.iter().any(|record| record["rule"] == "policy-misfit"), "{refusals:?}");
        let series = "sealgate_refusals_total{reason=\"policy-misfit\"}";
        assert!(gate.metric(series).is_some_and(|count| count >= 1.0));
    }
}

#[test]
fn a_database_that_is_not_there_is_a_misfit() {
    let server = server(18, TABLE);
    let setup = of_shop(&server, "public.customers", "email");
    let mut gate =
        setup.field_with("public.customers", "phone", "random", "database = \"shpo\"").prepare().unwrap();
    gate.run_until_logged(REFUSED);
    let (ready, body) = readiness(&gate);
    assert!(!ready && body.contains("there is no database \"shpo\" [database-missing]"), "{body}");
    is_checked(&gate, "database-missing");
    assert_eq!((misfits(&gate, "shop"), misfits(&gate, "shpo")), (Some(0.0), Some(1.0)));
    // The other one is served.
    succeeds(&mut open(&gate, "shop"), "SELECT email FROM customers");
    server.execute("postgres", "CREATE DATABASE shpo TEMPLATE shop").unwrap();
    await_that("readiness", || is_ready(&gate));
    assert_eq!(misfits(&gate, "shpo"), Some(0.0));
}

#[test]
fn where_the_policy_says_so_a_misfit_is_served_and_visible() {
    let server = server(15, TABLE);
    let mut gate = of_shop(&server, "public.planned", "email").prepare().unwrap();
    gate.run_until_logged(REFUSED);
    assert!(refuses(&started(&gate, "shop").1, "public.planned.email"));
    // The hint is true.
    gate.configure(|text| text + "\n[policy]\nmissing = \"serve\"\n");
    gate.signal("HUP");
    await_that("readiness", || is_ready(&gate));
    let (_, body) = readiness(&gate);
    assert!(body.starts_with("ready: ") && body.contains("has no table public.planned"), "{body}");
    assert_eq!(misfits(&gate, "shop"), Some(1.0), "it stays visible");
    assert_eq!(logged(&gate, "served, since [policy] missing = \"serve\""), 1);
    let mut raw = open(&gate, "shop");
    succeeds(&mut raw, "CREATE TABLE planned (id int, email text)");
    succeeds(&mut raw, "INSERT INTO planned (id, email) VALUES (1, 'ada@sentinel.example')");
    let stored = server.query("shop", "SELECT email FROM planned").unwrap();
    assert!(stored[0][0].as_ref().is_some_and(|text| text.starts_with("SEAL")), "{stored:?}");
    assert_eq!((misfits(&gate, "shop"), readiness(&gate).1.as_str()), (Some(0.0), "ready\n"));
    // And the way back.
    gate.configure(|text| text.replace("\"serve\"", "\"refuse\""));
    gate.signal("HUP");
    await_that("the reload", || logged(&gate, "the configuration was read again") == 2);
    await_that("readiness", || is_ready(&gate));
    succeeds(&mut raw, "SELECT email FROM planned");
}

/// Sessions that are there already, when a table goes past the gate.
fn put_out(major: u32, deed: &str, undo: &str) {
    let server = server(major, TABLE);
    let gate = of_shop(&server, "public.customers", "email").start();
    let (mut idle, mut busy) = (open(&gate, "shop"), open(&gate, "shop"));
    succeeds(&mut idle, "SELECT email FROM customers");
    succeeds(&mut busy, "BEGIN; SELECT 1");
    server.execute("shop", deed).unwrap();
    await_look("the misfit to be noticed", || logged(&gate, REFUSED) == 1);
    // It is in the log a moment before the catalog that has it is in use.
    await_that("new sessions to be refused", || !errors(&started(&gate, "shop").1).is_empty());
    for raw in [&mut idle, &mut busy] {
        let frames = raw.query("INSERT INTO clients (id, email) VALUES (1, 'ada@sentinel.example')");
        assert!(refuses(&frames, "public.customers.email"), "{:?}", errors(&frames));
        assert!(raw.is_closed());
    }
    assert!(!is_ready(&gate) && refuses(&started(&gate, "shop").1, "public.customers.email"));
    server.execute("shop", undo).unwrap();
    await_that("readiness", || is_ready(&gate));
    succeeds(&mut open(&gate, "shop"), "SELECT email FROM customers");
}

#[test]
fn sessions_that_run_are_put_out_when_a_table_is_named_otherwise_past_the_gate() {
    put_out(15, "ALTER TABLE customers RENAME TO clients", "ALTER TABLE clients RENAME TO customers");
}

#[test]
fn sessions_that_run_are_put_out_when_a_table_is_dropped_past_the_gate() {
    put_out(18, "DROP TABLE customers", TABLE);
}

/// What a test suite does to its database: parts by a session each (`|`).
const SUITES: &[&str] = &[
    "BEGIN; DROP TABLE customers; CREATE TABLE customers (id int PRIMARY KEY, email text, phone text); COMMIT",
    "DROP TABLE customers; CREATE TABLE customers (id int PRIMARY KEY, email text, phone text)",
    "DROP TABLE customers|CREATE TABLE customers (id int PRIMARY KEY, email text, phone text)",
    "DROP SCHEMA public CASCADE|CREATE SCHEMA public|CREATE TABLE customers (id int PRIMARY KEY, email text, phone text)",
];

#[test]
fn what_is_dropped_through_the_gate_and_made_anew_refuses_nobody() {
    for major in VERSIONS {
        let server = server(major, TABLE);
        let gate = of_shop(&server, "public.customers", "email").start();
        let mut other = open(&gate, "shop");
        for (round, suite) in SUITES.iter().enumerate() {
            for part in suite.split('|') {
                let mut raw = open(&gate, "shop");
                for statement in part.split("; ") {
                    succeeds(&mut raw, statement);
                    // Others go on meanwhile.
                    if !part.starts_with("BEGIN") {
                        succeeds(&mut other, "SELECT 1");
                    }
                }
                drop(raw);
                succeeds(&mut open(&gate, "shop"), "SELECT 1");
                assert!(is_ready(&gate), "{suite}: {}", readiness(&gate).1);
            }
            let mut insert = String::new();
            write!(insert, "INSERT INTO customers (id, email) VALUES ({round}, 'ada@sentinel.example')")
                .unwrap();
            succeeds(&mut other, &insert);
            let open =
                server.query("shop", "SELECT count(*) FROM customers WHERE email LIKE 'ada%'").unwrap();
            assert_eq!(open[0][0].as_deref(), Some("0"), "{suite}");
            assert_eq!(misfits(&gate, "shop"), Some(0.0), "{suite}");
        }
        assert_eq!((logged(&gate, REFUSED), logged(&gate, "is awaited") > 0), (0, true), "{}", gate.log());
        // What goes past the gate afterwards is another matter.
        server.execute("shop", "ALTER TABLE customers RENAME TO clients").unwrap();
        await_look("the misfit to be noticed", || logged(&gate, REFUSED) == 1);
    }
}

#[test]
fn a_name_that_opaque_code_changes_through_the_gate_is_a_misfit() {
    let rename = "CREATE FUNCTION move() RETURNS void LANGUAGE plpgsql AS \
                  $$ BEGIN EXECUTE 'ALTER TABLE cust' || 'omers RENAME TO clients'; END $$";
    let server = server(18, &format!("{TABLE}; {rename}"));
    let gate = of_shop(&server, "public.customers", "email").start();
    let mut raw = open(&gate, "shop");
    raw.query("SELECT move()");
    // A definition of its own, too, so that it counts as one who defines.
    raw.query("CREATE TABLE other (id int)");
    await_look("the misfit to be noticed", || logged(&gate, REFUSED) == 1);
    assert!(refuses(&started(&gate, "shop").1, "public.customers.email"));
}

#[test]
fn a_database_that_is_dropped_through_the_gate_and_made_anew_is_awaited() {
    let server = server(15, TABLE);
    let gate = of_shop(&server, "public.customers", "email").start();
    drop(open(&gate, "shop"));
    let mut admin = open(&gate, "postgres");
    succeeds(&mut admin, "DROP DATABASE shop");
    succeeds(&mut admin, "CREATE DATABASE shop");
    let mut raw = open(&gate, "shop");
    assert!(is_ready(&gate), "{}", readiness(&gate).1);
    succeeds(&mut raw, TABLE);
    succeeds(&mut raw, "INSERT INTO customers (id, email) VALUES (1, 'ada@sentinel.example')");
    assert_eq!(firsts(&raw.query("SELECT email FROM customers")), ["ada@sentinel.example"]);
    assert_eq!((misfits(&gate, "shop"), logged(&gate, REFUSED)), (Some(0.0), 0));
    drop(raw);
    // Past the gate nobody knows why the table is not there.
    await_that("nobody to be in it", || server.execute("postgres", "DROP DATABASE shop").is_ok());
    server.create_database("shop").unwrap();
    await_that("the refusal", || refuses(&started(&gate, "shop").1, "public.customers.email"));
}

#[test]
fn a_field_without_a_database_must_fit_one_and_refuses_none() {
    let server = server(18, TABLE);
    let mut gate = Setup::before(server.address()).field("public.customers", "email", "equality").start();
    assert_eq!((misfits(&gate, "*"), readiness(&gate).1.as_str()), (Some(0.0), "ready\n"));
    open(&gate, "postgres");
    succeeds(&mut open(&gate, "shop"), "SELECT email FROM customers");
    gate.configure(|text| text.replace("public.customers", "public.custmers"));
    gate.run_until_logged("the field protects nothing");
    let (ready, body) = readiness(&gate);
    assert!(!ready && body.contains("no database has a table public.custmers"), "{body}");
    assert_eq!(misfits(&gate, "*"), Some(1.0));
    open(&gate, "postgres");
    server.execute("shop", "ALTER TABLE customers RENAME TO custmers").unwrap();
    await_that("readiness", || is_ready(&gate));
    assert_eq!(misfits(&gate, "*"), Some(0.0));
}

/// How often the log says that the service account is not let in.
fn not_let_in(gate: &Gate) -> usize {
    logged(gate, "the service account is not let in")
}

#[test]
fn without_its_service_account_the_gate_is_not_ready_under_relay_either() {
    for major in VERSIONS {
        let server = server(major, TABLE);
        server.execute("postgres", "CREATE ROLE service NOLOGIN").unwrap();
        let setup = of_shop(&server, "public.customers", "email").service("service", "secret");
        let mut gate = setup.prepare().unwrap();
        gate.run_until_logged("the service account is not let in");
        let (ready, body) = readiness(&gate);
        assert!(
            !ready && body.contains("does not let the service account in") && body.contains("28000"),
            "{body}"
        );
        await_that("further attempts", || {
            let log = std::fs::read_to_string(server.log_file()).unwrap_or_default();
            assert!(!is_ready(&gate));
            log.matches("\"service\" is not permitted to log in").count() > 3
        });
        assert_eq!(not_let_in(&gate), 1, "once, not at each look");
        server.execute("postgres", "ALTER ROLE service LOGIN").unwrap();
        await_that("readiness", || is_ready(&gate));
        // It is looked at, too, when it was in once.
        server.execute("postgres", "ALTER ROLE service NOLOGIN").unwrap();
        await_that("it to be not ready", || !is_ready(&gate));
        await_that("the log", || not_let_in(&gate) == 2);
        server.execute("postgres", "ALTER ROLE service LOGIN").unwrap();
        await_that("readiness", || is_ready(&gate));
        assert_eq!(states(&started(&gate, "shop").1), Vec::<String>::new());
    }
}

#[test]
fn a_database_that_the_service_account_may_not_enter_is_told() {
    let server = server(15, TABLE);
    server
        .execute("postgres", "CREATE ROLE service LOGIN; REVOKE CONNECT ON DATABASE shop FROM PUBLIC")
        .unwrap();
    let setup = of_shop(&server, "public.customers", "email").service("service", "secret");
    let mut gate = setup.prepare().unwrap();
    gate.run_until_logged("a database of the policy cannot be looked at");
    let (ready, body) = readiness(&gate);
    assert!(!ready && body.contains("\"shop\"") && body.contains("42501"), "{body}");
    server.execute("postgres", "GRANT CONNECT ON DATABASE shop TO service").unwrap();
    await_that("readiness", || is_ready(&gate));
}

/// Devise makes `email varchar NOT NULL DEFAULT ''`: what the schema would put into the column is not sealed, so
/// only rows that leave it to the schema are refused.
#[test]
fn a_default_that_is_not_sealed_stops_only_the_rows_that_would_have_it() {
    for major in VERSIONS {
        let server = server(
            major,
            "CREATE TABLE account (id int PRIMARY KEY, email varchar NOT NULL DEFAULT '', state text); \
             CREATE VIEW seen AS SELECT id, email FROM account",
        );
        let gate = of_shop(&server, "public.account", "email").start();
        let mut client = Raw::login(gate.address(), "postgres", "shop");
        let state = |frames: &[Frame]| states(frames).join(" ");
        for sql in [
            "INSERT INTO account (id, email) VALUES (1, 'dev.ise@post.example')",
            "INSERT INTO account VALUES (2, 'a@post.example', NULL), (3, 'b@post.example', 'x')",
            "INSERT INTO account (id, email) SELECT 4, 'c@post.example'",
            "UPDATE account SET state = 'x' WHERE id = 1",
            "UPDATE account SET state = DEFAULT, email = 'd@post.example' WHERE id = 2",
            "COPY account (id, email) FROM STDIN",
        ] {
            if sql.starts_with("COPY") {
                client.send(b'Q', &[sql.as_bytes(), b"\0"].concat());
                client.send(b'd', b"5\te@post.example\n");
                client.send(b'c', b"");
                assert_eq!(state(&client.until_ready()), "", "{major}: {sql}");
                continue;
            }
            assert_eq!(state(&client.query(sql)), "", "{major}: {sql}");
        }
        for sql in [
            "INSERT INTO account (id) VALUES (9)",
            "INSERT INTO account VALUES (9)",
            "INSERT INTO account DEFAULT VALUES",
            "INSERT INTO account (id, email) VALUES (9, 'x'), (10, DEFAULT)",
            "INSERT INTO account VALUES (9, DEFAULT)",
            "INSERT INTO account (id, state) SELECT 9, 'x'",
            "INSERT INTO account (id, email) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET email = DEFAULT",
            "UPDATE account SET email = DEFAULT",
            "UPDATE account SET (state, email) = ROW('x', DEFAULT)",
            "MERGE INTO account a USING (VALUES (9)) v(i) ON a.id = v.i WHEN NOT MATCHED THEN INSERT (id) VALUES (v.i)",
            "MERGE INTO account a USING (VALUES (1)) v(i) ON a.id = v.i WHEN MATCHED THEN UPDATE SET email = DEFAULT",
            "INSERT INTO seen (id) VALUES (9)",
            "COPY account (id) FROM STDIN",
        ] {
            assert_eq!(state(&client.query(sql)), "SG001", "{major}: {sql}");
        }
        let found = client.query(
            "SELECT id FROM account WHERE email IN ('dev.ise@post.example', 'e@post.example') ORDER BY id",
        );
        assert_eq!(firsts(&found), ["1", "5"], "{major}");
        assert_eq!(
            state(&client.query("ALTER TABLE account ALTER COLUMN email SET DEFAULT ''")),
            "",
            "{major}"
        );
        assert_eq!(state(&client.query("INSERT INTO account (id) VALUES (9)")), "", "{major}");
        assert_eq!(firsts(&client.query("SELECT id FROM account WHERE email = ''")), ["9"], "{major}");
        let stored =
            server.query("shop", "SELECT count(*) FROM account WHERE email NOT LIKE 'SEAL%'").unwrap();
        assert_eq!(stored, [[Some("0".to_owned())]], "{major}");
    }
}
