//! The twin: the same statements on a plain database and through the gate to a sealed one. What both
//! say must be the same, or the gate refuses; another answer is never given, and no value of a sealed
//! column reaches the server.
//!
//! `SEALGATE_TWIN=100000 cargo test --release twin` takes its time.

mod audited;
mod definitions;
mod grammar;
pub mod programs;
mod regress;
mod streams;

use sealgate::store::postgres::Throwaway;

use crate::harness::{Frame, Raw, VERSIONS, pg};
use crate::shop::{errors, holds};
use definitions::Definitions;
use grammar::{Grammar, MARK, Statement};
use streams::{Sent, Streams, told};

const SCHEMA: &str = "CREATE TABLE customers \
    (id int PRIMARY KEY, email text UNIQUE, phone text, city text, note text); \
    CREATE TABLE leads (id int PRIMARY KEY, email text, phone text, tag text); \
    CREATE TABLE marks AS SELECT n AS id, 'colour ' || n AS colour FROM generate_series(0, 9) n; \
    CREATE TABLE archive (id int, email text, phone text, city text, note text); \
    CREATE FUNCTION mail_at(int) RETURNS text LANGUAGE sql STABLE AS \
        'SELECT email FROM public.customers WHERE id = $1'; \
    CREATE FUNCTION near(mail text) RETURNS TABLE (n int, m text) LANGUAGE sql STABLE AS \
        'SELECT id, email FROM public.leads WHERE mail IS NULL OR email = mail'; \
    CREATE VIEW people AS SELECT id, email, phone, city, note FROM customers; \
    CREATE VIEW citizens (id, email, phone, note, city) AS \
        SELECT p.id, c.email, c.phone, p.note, c.city FROM people p JOIN customers c USING (id) WHERE c.email IS NOT NULL; \
    CREATE VIEW prospects AS SELECT * FROM leads WHERE id >= 0; \
    CREATE MATERIALIZED VIEW past AS SELECT l.id, COALESCE(l.email, c.email) AS email, l.phone, l.tag \
        FROM leads l LEFT JOIN customers c ON c.email = l.email;";

fn seed() -> Vec<String> {
    let customers = (0..20).map(|n| {
        let mail = if n % 7 == 6 { "NULL".to_owned() } else { format!("'{MARK}-{n}@twin.example'") };
        format!(
            "INSERT INTO customers VALUES ({n}, {mail}, '{MARK}+49{}', 'city {}', 'note {n}')",
            n % 5,
            n % 3
        )
    });
    let leads = (0..20).map(|n| {
        let mail = if n % 9 == 8 { "NULL".to_owned() } else { format!("'{MARK}-{}@twin.example'", n % 12) };
        format!("INSERT INTO leads VALUES ({n}, {mail}, '{MARK}+49{}', 'note {n}')", n % 4)
    });
    customers.chain(leads).collect()
}

/// What a server said of one statement: rows without their order, the tag, or the error.
#[derive(PartialEq, Eq, Debug)]
struct Said {
    rows: Vec<Vec<Option<String>>>,
    types: Vec<u32>,
    tags: Vec<String>,
    error: Option<String>,
    /// Why the gate refused.
    detail: String,
}

fn said(frames: &[Frame]) -> Said {
    let text = |value: Option<Vec<u8>>| value.map(|value| String::from_utf8_lossy(&value).into_owned());
    let mut rows: Vec<Vec<_>> = frames
        .iter()
        .filter(|frame| frame.tag == b'D')
        .map(|frame| frame.values().into_iter().map(text).collect())
        .collect();
    rows.sort();
    let tags = frames.iter().filter(|frame| frame.tag == b'C');
    let tags = tags.map(|frame| String::from_utf8_lossy(&frame.body).into_owned()).collect();
    let types = frames.iter().filter(|frame| frame.tag == b'T').flat_map(types_of).collect();
    let error = errors(frames).into_iter().map(|(state, _)| state).next();
    let refused = error.as_deref().is_some_and(|state| state.starts_with("SG"));
    let first = frames.iter().find(|frame| frame.tag == b'E').filter(|_| refused);
    let detail = first.and_then(|frame| frame.field(b'D')).unwrap_or_default();
    Said { rows, types, tags, error, detail }
}

/// The type OIDs of a RowDescription.
fn types_of(frame: &Frame) -> Vec<u32> {
    let mut rest = frame.body.get(2..).unwrap_or_default();
    let mut types = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        let fixed = &rest[end + 1..];
        types.push(u32::from_be_bytes(fixed[6..10].try_into().unwrap()));
        rest = &fixed[18..];
    }
    types
}

fn run(raw: &mut Raw, statement: &Statement) -> Said {
    if statement.values.is_empty() {
        return said(&raw.query(&statement.sql));
    }
    raw.parse("", &statement.sql, &[]);
    let values: Vec<Option<&[u8]>> = statement.values.iter().map(|value| Some(value.as_bytes())).collect();
    raw.bind("", "", &[], &values, &[]);
    raw.describe(b'P', "");
    raw.execute("", 0);
    said(&raw.sync())
}

/// How a statement of the grammar is sent: as it is, under a name of SQL's, or as what COPY takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Itself,
    Cursor,
    Prepared,
    Copied,
}

impl Way {
    fn of(number: usize, statement: &Statement) -> Way {
        let sql = statement.sql.trim_start().to_ascii_uppercase();
        let reads = !["INSERT", "UPDATE", "DELETE", "MERGE"].iter().any(|word| sql.contains(word));
        match number % 6 {
            1 if reads => Way::Cursor,
            3 => Way::Prepared,
            5 if reads && statement.values.is_empty() => Way::Copied,
            _ => Way::Itself,
        }
    }
}

fn run_as(raw: &mut Raw, statement: &Statement, way: Way) -> Said {
    let Statement { sql, values } = statement;
    match way {
        Way::Itself => run(raw, statement),
        Way::Copied => {
            let frames = raw.query(&format!("COPY ({sql}) TO STDOUT (FORMAT csv)"));
            let mut copied = said(&frames);
            copied.rows = frames
                .iter()
                .filter(|frame| frame.tag == b'd')
                .map(|frame| vec![Some(String::from_utf8_lossy(&frame.body).into_owned())])
                .collect();
            copied.rows.sort();
            copied
        }
        Way::Cursor => {
            raw.query("BEGIN");
            let declare = Statement { sql: format!("DECLARE tw CURSOR FOR {sql}"), values: values.clone() };
            let mut all = run(raw, &declare);
            if all.error.is_none() {
                let fetched = raw.query("FETCH 3 FROM tw");
                all = said(&[fetched, raw.query("FETCH ALL FROM tw")].concat());
            }
            raw.query("ROLLBACK");
            all
        }
        Way::Prepared => {
            let mut all = said(&raw.query(&format!("PREPARE tw AS {sql}")));
            if all.error.is_none() {
                let given: Vec<String> =
                    values.iter().map(|value| format!("'{}'", value.replace('\'', "''"))).collect();
                let given = if given.is_empty() { String::new() } else { format!("({})", given.join(", ")) };
                all = said(&raw.query(&format!("EXECUTE tw{given}")));
                raw.query("DEALLOCATE tw");
            }
            all
        }
    }
}

/// A script of cursors and COPY on both. The refusal of the gate, where it refuses: then both end what is open.
fn stream(plain: &mut Raw, sealed: &mut Raw, script: &[Sent], place: &str) -> Option<String> {
    let mut before = Vec::new();
    for sent in script {
        let through = told(sealed, sent);
        if let Some(refused) = through.iter().find(|line| line.starts_with("E SG")) {
            for raw in [plain, sealed] {
                raw.query("ROLLBACK; CLOSE ALL");
            }
            return Some(format!("{refused}: {sent:?} behind {before:?}"));
        }
        assert_eq!(told(plain, sent), through, "{place}: {sent:?} behind {before:#?}");
        before.push(sent);
    }
    None
}

fn whole(raw: &mut Raw) -> (Said, Said) {
    (
        said(&raw.query("SELECT id, email, phone, city, note FROM customers")),
        said(&raw.query("SELECT id, email, phone, tag FROM leads")),
    )
}

/// Puts sealed values of other rows, as whoever reads the tables finds them, into columns that are not
/// classified: they must come back as they are, wherever they pass.
fn plant(server: &Throwaway, both: &mut [&mut Raw]) {
    let stolen =
        server.query("postgres", "SELECT id::text, email FROM customers WHERE email IS NOT NULL").unwrap();
    assert!(stolen.len() > 10);
    for row in stolen {
        let [Some(id), Some(sealed)] = row.as_slice() else { panic!("no sealed value") };
        assert!(sealed.starts_with("SEAL"));
        for raw in both.iter_mut() {
            for sql in [
                format!("UPDATE customers SET note = '{sealed}' WHERE id = {id}"),
                format!("UPDATE leads SET tag = '{sealed}' WHERE id = {id}"),
            ] {
                assert_eq!(said(&raw.query(&sql)).error, None, "{sql}");
            }
        }
    }
}

struct Outcome {
    same: usize,
    refused: Vec<String>,
    failed: usize,
}

fn play(server: &Throwaway, major: u32, seed_of: u64, count: usize, hostile: bool) -> Outcome {
    server.execute("postgres", SCHEMA).unwrap();
    server.execute("postgres", "CREATE DATABASE plain").unwrap();
    server.execute("plain", SCHEMA).unwrap();
    let tap = crate::harness::Tap::before(server.address());
    let gate = crate::harness::Setup::before(tap.address())
        .field_with("public.customers", "email", "equality", "database = \"postgres\"\n")
        .field_with("public.leads", "email", "equality", "database = \"postgres\"\n")
        .field_with("public.customers", "phone", "random", "database = \"postgres\"\n")
        .field_with("public.leads", "phone", "random", "database = \"postgres\"\n")
        .field_with("public.archive", "email", "equality", "database = \"postgres\"\n")
        .field_with("public.archive", "phone", "random", "database = \"postgres\"\n")
        .field_with("public.archive", "city", "none", "database = \"postgres\"\n")
        .field_with("public.customers", "city", "none", "database = \"postgres\"\n")
        .start();
    let mut plain = Raw::login(server.address(), "postgres", "plain");
    let mut sealed = Raw::login(gate.address(), "postgres", "postgres");
    for sql in seed() {
        assert_eq!(said(&plain.query(&sql)), said(&sealed.query(&sql)), "{sql}");
    }
    if hostile {
        plant(server, &mut [&mut plain, &mut sealed]);
    }
    let mut outcome = Outcome { same: 0, refused: Vec::new(), failed: 0 };
    let mut grammar = Grammar::new(seed_of, major, hostile);
    let mut checked = tap.to_server().len();
    for number in 0..count {
        let statement = grammar.statement();
        let way = Way::of(number, &statement);
        let through = run_as(&mut sealed, &statement, way);
        let upstream = tap.to_server();
        let new = upstream.get(checked.saturating_sub(MARK.len())..).unwrap_or_default();
        assert!(
            !holds(new, MARK.as_bytes()),
            "{major}, seed {seed_of}: a value went upstream: {}",
            statement.sql
        );
        checked = upstream.len();
        // A refusal of the gate's own changes nothing.
        if through.error.as_deref().is_some_and(|state| state.starts_with("SG")) {
            let again = sealed.query("SELECT 1");
            assert!(!again.is_empty());
            // What `*` of several tables is, COPY has nobody to say.
            if way != Way::Copied {
                outcome.refused.push(format!("{}: {way:?} {}", through.detail, statement.sql));
            }
            continue;
        }
        let direct = run_as(&mut plain, &statement, way);
        assert_eq!(
            direct, through,
            "{major}, seed {seed_of}: {way:?} {} {:?}",
            statement.sql, statement.values
        );
        outcome.failed += usize::from(direct.error.is_some());
        outcome.same += usize::from(direct.error.is_none());
    }
    let mut streams = Streams::new(seed_of);
    for number in 0..if hostile { 0 } else { count / 3 } {
        let script = streams.script();
        let place = format!("{major}, seed {seed_of}, script {number}");
        match stream(&mut plain, &mut sealed, &script, &place) {
            Some(refused) => outcome.refused.push(refused),
            None => outcome.same += 1,
        }
        let upstream = tap.to_server();
        let new = upstream.get(checked.saturating_sub(MARK.len())..).unwrap_or_default();
        assert!(!holds(new, MARK.as_bytes()), "{place}: a value went upstream: {script:?}");
        checked = upstream.len();
    }
    assert_eq!(whole(&mut plain), whole(&mut sealed), "{major}, seed {seed_of}");
    outcome
}

/// Statements on one pair of databases: what the tap remembers has an end.
const ROUND: usize = 300;

#[test]
#[expect(clippy::print_stdout, reason = "shown with --nocapture by whoever lets it run for long")]
fn a_sealed_database_answers_as_its_plain_twin_does() {
    let count = std::env::var("SEALGATE_TWIN").ok().map_or(ROUND, |count| count.parse::<usize>().unwrap());
    let rounds = count.div_ceil(ROUND).max(1);
    for (round, major) in (0..rounds).flat_map(|round| VERSIONS.map(|major| (round, major))) {
        let count = count.min(ROUND);
        let outcome = play(&pg(major), major, u64::from(major) + 100 * round as u64, count, false);
        println!(
            "{major}: {} same, {} failed alike, {} refused",
            outcome.same,
            outcome.failed,
            outcome.refused.len()
        );
        for sql in outcome.refused.iter().take(20) {
            println!("refused: {sql}");
        }
        assert!(outcome.refused.len() * 50 < count, "{major}: {} of {count} refused", outcome.refused.len());
        assert!(outcome.same * 4 > count * 3, "{major}: {} of {count} ran", outcome.same);
    }
}

#[test]
fn a_sealed_value_in_a_column_that_is_not_classified_is_shown_as_it_is_or_refused() {
    for major in VERSIONS {
        let outcome = play(&pg(major), major, 7_000 + u64::from(major), ROUND, true);
        assert!(outcome.refused.len() > ROUND / 20, "{major}: {} refused", outcome.refused.len());
        assert!(outcome.same > ROUND / 3, "{major}: {} ran", outcome.same);
    }
}

/// What was sent so far, told where it went wrong.
struct Story(Vec<String>);

#[expect(clippy::print_stderr, reason = "shown where the test fails")]
impl Drop for Story {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:#?}", self.0.split_off(self.0.len().saturating_sub(60)));
        }
    }
}

/// Definitions and data in the same transactions, on both.
fn define(server: &Throwaway, major: u32, seed_of: u64, count: usize) -> Outcome {
    let schema = "CREATE SCHEMA other; CREATE TABLE misc (id int, email text, phone text, note text); \
        CREATE TABLE customers (id int, email text UNIQUE, phone text, city text, note text); \
        CREATE VIEW people AS SELECT id, email, phone FROM customers";
    server.execute("postgres", schema).unwrap();
    server.execute("postgres", "CREATE DATABASE plain").unwrap();
    server.execute("plain", schema).unwrap();
    let tap = crate::harness::Tap::before(server.address());
    let of = "database = \"postgres\"\n";
    let setup =
        ["customers", "clients"].iter().fold(crate::harness::Setup::before(tap.address()), |setup, table| {
            let table = format!("public.{table}");
            setup.field_with(&table, "email", "equality", of).field_with(&table, "phone", "random", of)
        });
    let gate = setup.late().start();
    let mut plain = Raw::login(server.address(), "postgres", "plain");
    let mut sealed = Raw::login(gate.address(), "postgres", "postgres");
    let mut outcome = Outcome { same: 0, refused: Vec::new(), failed: 0 };
    let mut generator = Definitions::new(seed_of);
    let mut checked = tap.to_server().len();
    let mut story = Story(Vec::new());
    for _ in 0..count {
        let statement = generator.statement();
        let through = run(&mut sealed, &statement);
        story.0.push(format!(
            "{} {:?}: {:?} {:?}",
            statement.sql, statement.values, through.tags, through.error
        ));
        let upstream = tap.to_server();
        let new = upstream.get(checked.saturating_sub(MARK.len())..).unwrap_or_default();
        assert!(!holds(new, MARK.as_bytes()), "{major}, seed {seed_of}: a value went upstream");
        checked = upstream.len();
        if through.error.as_deref().is_some_and(|state| state.starts_with("SG")) {
            outcome.refused.push(format!("{}: {}", through.detail, statement.sql));
        } else {
            let direct = run(&mut plain, &statement);
            assert_eq!(direct, through, "{major}, seed {seed_of}");
            outcome.failed += usize::from(direct.error.is_some());
            outcome.same += usize::from(direct.error.is_none());
            if direct.error.is_none() {
                continue;
            }
        }
        // Half of what fails is taken back to a savepoint, if one is there, the rest as a whole.
        let back = if outcome.failed.is_multiple_of(5) { "ROLLBACK" } else { "ROLLBACK TO a" };
        story.0.push(back.to_owned());
        if said(&plain.query(back)).error.is_some() {
            assert!(said(&sealed.query(back)).error.is_some(), "{major}, seed {seed_of}");
            plain.query("ROLLBACK");
            sealed.query("ROLLBACK");
            generator.rolled_back();
        } else {
            assert_eq!(said(&sealed.query(back)).error, None, "{major}, seed {seed_of}");
            if back == "ROLLBACK" {
                generator.rolled_back();
            }
        }
    }
    outcome
}

#[test]
#[expect(clippy::print_stdout, reason = "shown with --nocapture by whoever lets it run for long")]
fn what_a_transaction_defines_it_uses_as_on_its_plain_twin() {
    let count = std::env::var("SEALGATE_TWIN").ok().map_or(ROUND, |count| count.parse::<usize>().unwrap());
    let rounds = count.div_ceil(ROUND).max(1);
    for (round, major) in (0..rounds).flat_map(|round| VERSIONS.map(|major| (round, major))) {
        let count = count.min(ROUND);
        let outcome = define(&pg(major), major, u64::from(major) + 100 * round as u64, count);
        println!(
            "{major}: {} same, {} failed alike, {} refused",
            outcome.same,
            outcome.failed,
            outcome.refused.len()
        );
        for sql in outcome.refused.iter().take(30) {
            println!("refused: {sql}");
        }
        assert!(outcome.refused.len() * 3 < count, "{major}: {} of {count} refused", outcome.refused.len());
        assert!(outcome.same * 2 > count, "{major}: {} of {count} ran", outcome.same);
    }
}
