//! What somebody who listens between gate and server learns under TLS: nothing.

use std::process::Command;

use super::direct::{CANCEL, busy};
use super::{Certificates, LIBPQ_15, assert_tls_alone, said, scram_server, turn_tls_on};
use crate::harness::{Setup, Tap, VERSIONS};
use crate::shop::holds;

/// Long enough that no ciphertext holds one of them by chance.
const DATABASE: &str = "overheard_database";
const USER: &str = "overheard_user";
const NOTE: &str = "overheard-note-7391";

#[test]
fn under_tls_nothing_of_sessions_the_catalog_verifiers_or_cancels_can_be_overheard() {
    let server = scram_server(VERSIONS[0]);
    let certificates = Certificates::new("wiretap");
    turn_tls_on(&server, &certificates);
    server.create_database(DATABASE).unwrap();
    server.execute("postgres", &format!("CREATE ROLE {USER} LOGIN PASSWORD 'hunted'")).unwrap();
    let sql =
        format!("CREATE TABLE customers (id int, email text, note text); GRANT ALL ON customers TO {USER}");
    server.execute(DATABASE, &sql).unwrap();
    // Without TLS each of these is overheard: so the search is known to see.
    for (tls, heard) in [
        (format!("tls = {{ mode = \"verify-full\", ca = \"{}\" }}", certificates.root()), false),
        (String::new(), true),
    ] {
        let tap = Tap::before(server.address());
        let gate = Setup::before(tap.address())
            .auth("scram")
            .service("service", "service-secret")
            .upstream_line(&tls)
            .field_with("public.customers", "email", "equality", &format!("database = \"{DATABASE}\""))
            .start();
        let address = gate.address();
        let target = format!("host={} port={} dbname={DATABASE} user={USER}", address.ip(), address.port());
        let insert = format!("INSERT INTO customers VALUES (1, 'her@example.com', '{NOTE}')");
        let psql = busy(
            &server,
            Command::new(LIBPQ_15)
                .args(["-XAtq", "-d", &target, "-c", &insert])
                .args(["-c", "SELECT email, note FROM customers", "-c", "SELECT pg_sleep(30)"])
                .env("PGPASSWORD", "hunted"),
        );
        let before = tap.connections();
        let interrupted = Command::new("kill").args(["-s", "INT", &psql.id().to_string()]).status();
        assert!(interrupted.unwrap().success());
        let text = said(&psql.wait_with_output().unwrap());
        assert!(text.contains(&format!("her@example.com|{NOTE}")), "{text}");
        assert!(text.contains("canceling statement due to user request"), "{text}");
        assert!(tap.connections() > before, "the cancel request has a connection of its own");
        drop(gate);
        let (to_server, to_client) = (tap.to_server(), tap.to_client());
        let words: [&[u8]; 8] = [
            DATABASE.as_bytes(),
            USER.as_bytes(),
            NOTE.as_bytes(),
            b"SELECT",
            b"INSERT INTO",
            // Of the verifiers, of the catalog, and of both.
            b"rolpassword",
            b"pg_attribute",
            b"service",
        ];
        for word in words {
            assert_eq!(holds(&to_server, word), heard, "{}", String::from_utf8_lossy(word));
        }
        assert_eq!(holds(&to_server, &CANCEL), heard, "the cancel request");
        for word in [NOTE, "SCRAM-SHA-256", "server_version"] {
            assert_eq!(holds(&to_client, word.as_bytes()), heard, "{word}, from the server");
        }
        assert!(!holds(&to_server, b"her@example.com"));
        if !heard {
            assert!(tap.connections() >= 4, "a session, the verifiers, the catalog, a cancel");
            tap.each_to_server().iter().for_each(|bytes| assert_tls_alone(bytes));
        }
        server.execute(DATABASE, "TRUNCATE customers").unwrap();
    }
}
