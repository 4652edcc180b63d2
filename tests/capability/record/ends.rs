//! A session that ends because the gate has lost what it needs stands in the record, with why.

use super::*;

#[test]
fn a_session_that_ends_since_its_catalog_cannot_be_read_stands_in_the_record() {
    for major in crate::harness::VERSIONS {
        let server = shop::server(major);
        server.execute("postgres", "CREATE ROLE service LOGIN PASSWORD 'service-secret'").unwrap();
        let gate = classified(Setup::before(server.address()).service("service", "service-secret")).start();
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        assert!(errors(&raw.query("SELECT email FROM customers")).is_empty());
        server
            .execute(
                "postgres",
                "ALTER ROLE service NOLOGIN; \
                 SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'service'",
            )
            .unwrap();
        // What the text defines has to be read before anything else is judged.
        raw.try_send(b'Q', b"CREATE FUNCTION later() RETURNS int LANGUAGE sql AS 'SELECT 1'\0");
        await_that("the end of the session", || {
            raw.try_send(b'Q', b"SELECT email FROM customers\0");
            raw.is_closed()
        });
        let records = records_with(&gate, "refusal", 1);
        let refusal = records.iter().find(|record| record["kind"] == "refusal").unwrap();
        assert_eq!((&refusal["rule"], &refusal["sqlstate"]), (&"no-catalog".into(), &"SG001".into()));
        assert_eq!((&refusal["user"], &refusal["client"]), (&"postgres".into(), &"127.0.0.1".into()));
        let all = records_with(&gate, "session", 2);
        let end = all.iter().rposition(|record| record["action"] == "end").unwrap();
        let place = all.iter().position(|record| record["kind"] == "refusal").unwrap();
        assert!(place < end && all[place]["session"] == all[end]["session"], "{all:?}");
        let series = "sealgate_refusals_total{reason=\"no-catalog\"}";
        assert!(gate.metric(series).is_some_and(|count| count >= 1.0));
    }
}
