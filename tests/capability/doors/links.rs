//! What carries rows elsewhere by itself: publications, foreign servers, subscriptions.

use sealgate::store::postgres::{Options, Throwaway};

use crate::harness::{Raw, Setup, Tap, VERSIONS, pg_with};
use crate::shop::{classified, errors, states, tags};

const SCHEMA: &str = "CREATE TABLE customers (id int PRIMARY KEY, email text, phone text, city text, note text); \
    CREATE TABLE orders (id int PRIMARY KEY, item text); CREATE SCHEMA beside; CREATE TABLE beside.t (id int)";

fn server(major: u32) -> Throwaway {
    let configuration = vec!["wal_level = logical".to_owned()];
    let server = pg_with(Options { major: Some(major), configuration, ..Options::default() });
    server.execute("postgres", SCHEMA).unwrap();
    server
}

/// The states of each of these statements, told with what they are of.
fn expect(raw: &mut Raw, major: u32, cases: &[(&str, Option<&str>)]) {
    for (sql, state) in cases {
        let frames = raw.query(sql);
        assert_eq!(
            states(&frames).first().map(String::as_str),
            *state,
            "{sql} on {major}: {:?}",
            errors(&frames)
        );
    }
}

#[test]
fn no_publication_carries_what_is_classified_and_not_sealed() {
    for major in VERSIONS {
        let server = server(major);
        let gate = classified(Setup::before(server.address())).start();
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        expect(
            &mut raw,
            major,
            &[
                ("CREATE PUBLICATION a FOR ALL TABLES", Some("SG001")),
                ("CREATE PUBLICATION a FOR TABLES IN SCHEMA public", Some("SG001")),
                ("CREATE PUBLICATION a FOR TABLES IN SCHEMA CURRENT_SCHEMA", Some("SG001")),
                ("CREATE PUBLICATION a FOR TABLE customers", Some("SG001")),
                ("CREATE PUBLICATION a FOR TABLE customers (id, city)", Some("SG001")),
                ("CREATE PUBLICATION a FOR TABLE orders, TABLES IN SCHEMA beside", None),
                ("ALTER PUBLICATION a ADD TABLES IN SCHEMA public", Some("SG001")),
                ("ALTER PUBLICATION a SET TABLE public.customers", Some("SG001")),
                ("ALTER PUBLICATION a DROP TABLE orders", None),
            ],
        );
        // All that is classified here is sealed.
        let sealed = Setup::before(server.address()).field("public.customers", "email", "equality").start();
        let mut raw = Raw::login(sealed.address(), "postgres", "postgres");
        expect(&mut raw, major, &[("CREATE PUBLICATION b FOR ALL TABLES", None)]);
    }
}

const REGIONS: &str = "
[residency]
allowed = [\"EEA\"]
unknown = \"deny\"
[[residency.place]]
cidr = \"127.0.0.1/32\"
region = \"here\"
area = \"EEA\"
[[residency.place]]
cidr = \"192.0.2.0/24\"
region = \"near\"
area = \"EEA\"
[[residency.place]]
host = \"*.near.example\"
region = \"near\"
area = \"EEA\"
[[residency.place]]
cidr = \"198.51.100.0/24\"
region = \"far\"
";

#[test]
fn a_way_to_another_server_leads_neither_back_nor_out_of_the_regions() {
    let server = server(15);
    server.execute("postgres", "CREATE EXTENSION postgres_fdw").unwrap();
    let tap = Tap::before(server.address());
    let gate = classified(Setup::before(tap.address())).extra(REGIONS).start();
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    let wrapper = "FOREIGN DATA WRAPPER postgres_fdw";
    let of = |name: &str, options: &str| format!("CREATE SERVER {name} {wrapper} OPTIONS ({options})");
    let port = server.port();
    for (options, state) in [
        (format!("host '127.0.0.1', port '{port}', dbname 'postgres'"), Some("SG001")),
        ("host 'localhost', port '5433'".to_owned(), Some("SG001")),
        (format!("host '{}'", server.socket_folder().display()), Some("SG001")),
        ("dbname 'postgres'".to_owned(), Some("SG001")),
        ("host '192.0.2.7,127.0.0.1'".to_owned(), Some("SG001")),
        ("hostaddr '198.51.100.7'".to_owned(), Some("SG003")),
        ("host 'db.unknown.example'".to_owned(), Some("SG003")),
        ("host '203.0.113.7'".to_owned(), Some("SG003")),
        ("host 'db.near.example'".to_owned(), None),
    ] {
        let sql = of("near", &options);
        expect(&mut raw, 15, &[(&sql, state)]);
    }
    // One that was made past the gate.
    server.execute("postgres", &of("back", &format!("host '127.0.0.1', port '{port}'"))).unwrap();
    server.execute("postgres", "CREATE SCHEMA mirror").unwrap();
    assert_eq!(tags(&raw.query("CREATE TABLE unrelated (id int)")), "CZI", "the catalog is read anew");
    expect(
        &mut raw,
        15,
        &[
            ("CREATE USER MAPPING FOR PUBLIC SERVER near OPTIONS (user 'a', password 'b')", None),
            ("CREATE FOREIGN TABLE f (id int) SERVER near", None),
            ("CREATE FOREIGN TABLE g (id int) SERVER back", Some("SG001")),
            ("IMPORT FOREIGN SCHEMA public FROM SERVER back INTO mirror", Some("SG001")),
            ("ALTER SERVER near OPTIONS (SET host '127.0.0.1')", Some("SG001")),
            ("ALTER SERVER near OPTIONS (DROP host)", Some("SG001")),
            ("ALTER SERVER near OPTIONS (ADD port '5433')", None),
            (
                "CREATE SUBSCRIPTION s CONNECTION 'host=198.51.100.7' PUBLICATION p WITH (connect = false)",
                Some("SG003"),
            ),
            (
                "CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1' PUBLICATION p WITH (connect = false)",
                Some("SG001"),
            ),
            (
                "CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)",
                Some("SG001"),
            ),
            (
                "CREATE SUBSCRIPTION s CONNECTION 'postgresql://a.near.example,192.0.2.9/x' PUBLICATION p \
                 WITH (connect = false, slot_name = NONE, enabled = false)",
                None,
            ),
            ("ALTER SUBSCRIPTION s CONNECTION 'host=192.0.2.7,198.51.100.7'", Some("SG003")),
            ("DROP SUBSCRIPTION s", None),
        ],
    );
}
