//! What a classified table is, and who may use it, is not changed without a record.

use serde_json::Value;

use super::*;
use crate::harness::VERSIONS;

fn fields(record: &Value) -> String {
    let all = record["fields"].as_array().unwrap().iter();
    all.map(|field| field["field"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[test]
fn definitions_of_classified_tables_stand_in_the_record_before_they_run() {
    const ALL: &str = "public.customers.email public.customers.phone public.customers.city";
    for major in VERSIONS {
        let server = shop::server(major);
        server.execute("postgres", "CREATE SCHEMA other; CREATE TABLE other.customers (id int)").unwrap();
        server.execute("postgres", "CREATE ROLE owner").unwrap();
        let (gate, _tap) = shop::open(&server);
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        let mut expected = Vec::new();
        for (text, defines) in [
            ("CREATE INDEX by_email ON customers (email)", true),
            ("ALTER TABLE customers ADD COLUMN age int", true),
            ("GRANT SELECT ON customers TO owner", true),
            ("GRANT SELECT ON ALL TABLES IN SCHEMA public TO owner", true),
            ("COMMENT ON TABLE customers IS 'a comment'", false),
            ("VACUUM customers", false),
            ("CREATE TABLE unrelated (id int)", false),
            ("DROP TABLE unrelated", false),
            ("DROP TABLE other.customers", false),
            ("DROP OWNED BY owner", true),
            ("CREATE INDEX by_email ON customers (email)", true),
        ] {
            let answer = raw.query(text);
            assert!(
                states(&answer).iter().all(|state| !state.starts_with("SG")),
                "{text}: {:?}",
                errors(&answer)
            );
            if defines {
                expected.push((text.to_owned(), states(&answer)));
            }
        }
        raw.parse("", "DROP TABLE customers", &[]);
        raw.bind("", "", &[], &[], &[]);
        raw.execute("", 0);
        assert_eq!(tags(&raw.sync()), "12CZI");
        expected.push(("DROP TABLE customers".to_owned(), Vec::new()));
        // What the policy names is told of before the catalog has it, too.
        let made = raw.query("CREATE TABLE customers (id int, email text, phone text, city text)");
        assert_eq!(tags(&made), "CZI", "{:?}", errors(&made));
        expected.push((
            "CREATE TABLE customers (id int, email text, phone text, city text)".to_owned(),
            Vec::new(),
        ));
        drop(raw);
        let records = records_with(&gate, "outcome", expected.len());
        let of = |kind: &str| records.iter().filter(|record| record["kind"] == kind).collect::<Vec<_>>();
        let told: Vec<_> = of("intent")
            .iter()
            .zip(of("outcome"))
            .map(|(intent, outcome)| {
                assert_eq!(intent["statement_id"], outcome["statement_id"]);
                assert_eq!((&intent["action"], &outcome["action"]), (&"define".into(), &"define".into()));
                assert_eq!(fields(intent), ALL, "{intent}");
                let state = outcome["sqlstate"].as_str().map(str::to_owned);
                (intent["statement"].as_str().unwrap().to_owned(), state.into_iter().collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(told, expected, "{major}");
    }
}

#[test]
fn no_definition_runs_where_no_record_can_be_written() {
    let server = shop::server(18);
    let (gate, _tap) = shop::open(&server);
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    fs::rename(gate.folder().join("audit"), gate.folder().join("away")).unwrap();
    assert_eq!(states(&raw.query("DROP TABLE customers")), ["SG006"]);
    assert_eq!(tags(&raw.query("DROP TABLE orders")), "CZI");
    let left = server.query("postgres", "SELECT to_regclass('customers') IS NOT NULL").unwrap();
    assert_eq!(left[0][0].as_deref(), Some("t"));
}
