//! What the gate learns of a client by TLS: its certificate, and what its login is bound to.

use std::process::Command;

use super::certificates::{expired, named};
use super::{Certificates, LIBPQ_15, psycopg, scram_server, scram_setup};
use crate::shop::records_with;

pub const NONE: &str = "sslcert=/none sslkey=/none";

fn with_clients(name: &str) -> (Certificates, Certificates) {
    let (ours, other) = (Certificates::new(name), Certificates::new(&format!("{name}-other")));
    for certificates in [&ours, &other] {
        certificates.issue("ada", named("ada", &[]));
    }
    ours.issue("bob", named("bob", &[]));
    ours.issue("late", expired(named("ada", &[])));
    (ours, other)
}

#[test]
fn certificates_of_clients_are_asked_for_verified_and_matched_as_set() {
    let server = scram_server(15);
    let (ours, other) = with_clients("clients");
    let client_ca = format!(", client_ca = \"{}\"", ours.root());
    let shown =
        [NONE.to_owned(), ours.shown("ada"), ours.shown("bob"), ours.shown("late"), other.shown("ada")];
    let why = [
        "a valid client certificate is required",
        "",
        "does not name this user",
        "certificate expired",
        "unknown ca",
    ];
    let tls = format!("sslmode=verify-full sslrootcert={}", ours.root());
    for (certificate, user, expected) in [
        // None, hers, bob's, hers that has expired, hers of another authority.
        ("none", "any", [true, true, true, true, true]),
        ("optional", "any", [true, true, true, false, false]),
        ("required", "any", [false, true, true, false, false]),
        ("optional", "match", [true, true, false, false, false]),
        ("required", "match", [false, true, false, false, false]),
    ] {
        let gate = scram_setup(&server)
            .listen(&ours.listen(if certificate == "none" { "" } else { &client_ca }))
            .login(&format!("certificate = \"{certificate}\"\ncertificate_user = \"{user}\""))
            .start();
        let words: Vec<String> = ["TLSv1.2", "TLSv1.3"]
            .iter()
            .flat_map(|version| {
                shown.iter().map(move |shown| format!("ssl_max_protocol_version={version} {shown}"))
            })
            .map(|words| format!("{tls} {words}"))
            .collect();
        for (at, said) in psycopg(gate.address(), &words).iter().enumerate() {
            let (expected, why) = (expected[at % 5], why[at % 5]);
            assert_eq!(said == "ada", expected, "{certificate}, {user}, {}: {said}", words[at]);
            assert!(expected || said.contains(why), "{certificate}, {user}, {}: {said}", words[at]);
        }
    }
}

#[test]
fn the_record_says_whose_certificate_it_was_and_what_the_login_was_bound_to() {
    let server = scram_server(15);
    server.execute("postgres", "CREATE TABLE people (id int, email text)").unwrap();
    server.execute("postgres", "GRANT ALL ON people TO ada").unwrap();
    let (ours, _) = with_clients("record");
    let gate = scram_setup(&server)
        .listen(&ours.listen(&format!(", client_ca = \"{}\"", ours.root())))
        .login("certificate = \"optional\"\ncertificate_user = \"match\"")
        .field("public.people", "email", "equality")
        .start();
    let address = gate.address();
    let cases = [
        ("require", ours.shown("ada"), "scram-plus", Some("ada")),
        ("require", NONE.to_owned(), "scram-plus", None),
        ("disable", ours.shown("ada"), "scram", Some("ada")),
        ("disable", NONE.to_owned(), "scram", None),
    ];
    for (at, (binding, shown, auth, certificate)) in cases.into_iter().enumerate() {
        let target = format!(
            "host={} port={} dbname=postgres user=ada sslmode=require channel_binding={binding} {shown}",
            address.ip(),
            address.port()
        );
        let output = Command::new(LIBPQ_15)
            .args(["-XAtq", "-d", &target, "-c", "SELECT email FROM people"])
            .env("PGPASSWORD", "ada-secret")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", super::said(&output));
        let records = records_with(&gate, "intent", at + 1);
        let intent = records.iter().rfind(|record| record["kind"] == "intent").unwrap();
        assert_eq!((intent["user"].as_str(), intent["auth"].as_str()), (Some("ada"), Some(auth)), "{intent}");
        assert_eq!(intent["certificate"].as_str(), certificate, "{intent}");
    }
}
