//! One statement is one number in the record, whatever became of it; and what is refused or alarming
//! says which fields it is about.

use serde_json::Value;

use super::*;
use crate::harness::VERSIONS;

const EMAIL_FIELD: &str = "public.customers.email";
const CITY_FIELD: &str = "public.customers.city";

fn fields(record: &Value) -> Vec<&str> {
    let all = record["fields"].as_array().map(Vec::as_slice).unwrap_or_default().iter();
    all.map(|field| field["field"].as_str().unwrap()).collect()
}

fn of<'r>(records: &'r [Value], kind: &str) -> Vec<&'r Value> {
    records.iter().filter(|record| record["kind"] == kind).collect()
}

#[test]
fn a_refusal_names_its_fields_its_statement_and_no_literal() {
    for major in VERSIONS {
        let server = shop::server(major);
        let (gate, _tap) = shop::open(&server);
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        let text = "SELECT lower(email) FROM customers WHERE city = 'sentinel-of-refusal' AND id = 471104711";
        assert_eq!(states(&raw.query(text)), ["SG001"]);
        raw.parse("", text, &[]);
        assert_eq!(states(&raw.sync()), ["SG001"]);
        // A value, once it is bound.
        raw.parse("", "UPDATE customers SET phone = $1 WHERE id = 1", &[]);
        raw.bind("", "", &[], &[Some(b"sentinel\xff")], &[]);
        assert_eq!(states(&raw.sync()), ["SG004"]);
        // Of code in a string its shape is told, and what nobody reads not at all.
        assert_eq!(states(&raw.query("DO $$ BEGIN PERFORM email FROM customers; END $$")), ["SG001"]);
        assert_eq!(states(&raw.query("SELEKT email FROM customers 'sentinel-of-refusal'")), ["SG001"]);
        let mut other = Raw::login(gate.address(), "postgres", "postgres");
        assert_eq!(states(&other.query("SELECT nothing FROM customers")), ["42703"]);
        let records = records_with(&gate, "refusal", 5);
        let refusals = of(&records, "refusal");
        assert_eq!(refusals.len(), 5, "an error of the client's own is no refusal");
        let shape = "SELECT lower(email) FROM customers WHERE city = ? AND id = ?";
        for refusal in &refusals[..2] {
            assert_eq!(fields(refusal), [EMAIL_FIELD, CITY_FIELD]);
            assert_eq!(refusal["statement"], shape);
            assert_eq!(refusal["fingerprint"].as_str().unwrap().len(), 16);
        }
        assert_eq!(refusals[0]["fingerprint"], refusals[1]["fingerprint"]);
        assert_eq!(fields(refusals[2]), ["public.customers.phone"]);
        assert_eq!(refusals[2]["statement"], "UPDATE customers SET phone = $1 WHERE id = ?");
        for (refusal, shape) in refusals[3..].iter().zip([Some("DO ?"), None]) {
            assert_eq!(refusal["statement"].as_str(), shape);
            assert!(fields(refusal).is_empty(), "{refusal}");
        }
        let mut numbers: Vec<_> = refusals.iter().map(|record| record["statement_id"].as_u64()).collect();
        numbers.dedup();
        assert_eq!(numbers.len(), 5);
        for secret in ["sentinel-of-refusal", "471104711"] {
            assert_eq!(search_folder(&gate.folder().join("audit"), secret.as_bytes()), []);
            assert!(!gate.log().contains(secret));
        }
        let session = refusals[0]["session"].as_u64().unwrap();
        let line = format!("session={session} user=postgres client=127.0.0.1 database=postgres");
        let log = gate.log();
        let told = log.lines().find(|line| line.contains("refused")).unwrap();
        assert!(
            told.contains(&line) && told.contains(&format!("fields={EMAIL_FIELD}, {CITY_FIELD}")),
            "{told}"
        );
    }
}

#[test]
fn what_is_cut_or_does_not_open_is_one_number_in_intent_alert_refusal_and_outcome() {
    for major in VERSIONS {
        let server = shop::server(major);
        let limit = "\n[[watch.limit]]\ncells = 3\nwindow = \"1h\"\naction = \"cut\"\n";
        let gate = classified(Setup::before(server.address())).extra(limit).start();
        let insert = "INSERT INTO customers (id, city) SELECT n, 'city' FROM generate_series(1, 9) n; \
                      INSERT INTO customers (id, email) VALUES (10, 'never-sealed')";
        server.execute("postgres", insert).unwrap();
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        assert_eq!(states(&raw.query("SELECT email FROM customers WHERE id = 10")), ["SG005"]);
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        assert_eq!(states(&raw.query("SELECT city, id FROM customers WHERE id < 10")), ["SG007"]);
        let records = records_with(&gate, "outcome", 2);
        for (at, (state, field, detector)) in
            [("SG005", EMAIL_FIELD, "does-not-open"), ("SG007", CITY_FIELD, "limit")].into_iter().enumerate()
        {
            let kinds = ["intent", "alert", "refusal", "outcome"];
            let all = kinds.map(|kind| of(&records, kind)[at]);
            for (record, kind) in all.iter().zip(kinds) {
                let id = |record: &Value| (record["session"].clone(), record["statement_id"].clone());
                assert_eq!(id(record), id(all[0]), "{kind}");
                assert_eq!(fields(record), [field], "{kind}");
            }
            assert_eq!((&all[2]["sqlstate"], &all[3]["sqlstate"]), (&state.into(), &state.into()));
            assert_eq!(all[2]["statement"], all[0]["statement"]);
            assert!(all[1]["rule"].as_str().unwrap().starts_with(detector));
            let session = all[0]["session"].as_u64().unwrap();
            let line = format!("session={session} user=postgres");
            let log = gate.log();
            let told = log.lines().find(|told| told.contains("alert") && told.contains(&line));
            assert!(told.is_some_and(|told| told.contains(&format!("fields={field}"))), "{told:?}");
        }
    }
}
