//! The client hop under TLS, by libpq.

use std::fs;

use super::{Certificates, libpq, said, scram_server, scram_setup};
use crate::harness::await_that;

#[test]
fn every_sslmode_meets_every_listen_mode_as_it_would_a_server() {
    let server = scram_server(15);
    let certificates = Certificates::new("modes");
    let other = Certificates::new("modes-other");
    let require = scram_setup(&server).listen(&certificates.listen("")).start();
    let prefer = scram_setup(&server).listen(&certificates.listen(", mode = \"prefer\"")).start();
    let absent = scram_setup(&server).start();
    let modes = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
    for mode in modes {
        let words = format!("user=ada sslmode={mode} sslrootcert={}", certificates.root());
        let verifies = mode.starts_with("verify");
        let needs = verifies || mode == "require";
        for (gate, serves) in [(&require, mode != "disable"), (&prefer, true), (&absent, !needs)] {
            let output = libpq(gate, &words, "ada-secret");
            assert_eq!(output.status.success(), serves, "{mode}: {}", said(&output));
            if serves {
                assert_eq!(said(&output), "ada\n");
            }
        }
        if verifies {
            let words = format!("user=ada sslmode={mode} sslrootcert={}", other.root());
            let output = libpq(&require, &words, "ada-secret");
            assert!(!output.status.success(), "{mode} with a strange root");
        }
    }
}

#[test]
fn versions_of_tls_below_the_minimum_are_refused() {
    let server = scram_server(15);
    let certificates = Certificates::new("versions");
    let strict = scram_setup(&server).listen(&certificates.listen(", min_version = \"1.3\"")).start();
    let usual = scram_setup(&server).listen(&certificates.listen("")).start();
    for (gate, version, serves) in [
        (&usual, "TLSv1.2", true),
        (&usual, "TLSv1.3", true),
        (&strict, "TLSv1.2", false),
        (&strict, "TLSv1.3", true),
    ] {
        let words = format!(
            "user=ada sslmode=require ssl_min_protocol_version={version} ssl_max_protocol_version={version}"
        );
        let output = libpq(gate, &words, "ada-secret");
        assert_eq!(output.status.success(), serves, "{version}: {}", said(&output));
    }
}

#[test]
fn channel_binding_is_served_under_tls_and_not_without() {
    let server = scram_server(15);
    let certificates = Certificates::new("binding");
    let gate = scram_setup(&server).listen(&certificates.listen(", mode = \"prefer\"")).start();
    let bound = libpq(&gate, "user=ada sslmode=require channel_binding=require", "ada-secret");
    assert_eq!(said(&bound), "ada\n");
    let plain = libpq(&gate, "user=ada sslmode=disable channel_binding=require", "ada-secret");
    assert!(!plain.status.success());
    let wrong = libpq(&gate, "user=ada sslmode=require channel_binding=require", "bob-secret");
    assert!(!wrong.status.success());
}

#[test]
fn new_certificates_count_after_a_reload_and_broken_ones_do_not() {
    let server = scram_server(15);
    let (old, new) = (Certificates::new("rotate-old"), Certificates::new("rotate-new"));
    let gate = scram_setup(&server).listen(&old.listen("")).start();
    let connect = |certificates: &Certificates| {
        let words = format!(
            "user=ada sslmode=verify-full channel_binding=require sslrootcert={}",
            certificates.root()
        );
        libpq(&gate, &words, "ada-secret").status.success()
    };
    assert!(connect(&old) && !connect(&new));
    for file in ["server.crt", "server.key"] {
        fs::copy(new.path(file), old.path(file)).unwrap();
    }
    gate.signal("HUP");
    await_that("the new certificate", || connect(&new));
    assert!(!connect(&old));
    fs::write(old.path("server.crt"), "broken").unwrap();
    gate.signal("HUP");
    await_that("the file's name in the log", || gate.log().contains("server.crt"));
    assert!(connect(&new));
}
