//! Which certificate a client is shown, and whether it can verify it: by libpq and openssl.

use super::certificates::named;
use super::{Certificates, psycopg, s_client, scram_server, scram_setup};

#[test]
fn the_name_that_a_client_asks_for_picks_the_certificate() {
    let server = scram_server(15);
    let certificates = Certificates::new("names");
    certificates.issue("db", named("db", &["db.example"]));
    certificates.issue("apps", named("apps", &["*.apps.example"]));
    let names = format!(
        ", names = [{{ host = \"db.example\", {} }}, {{ host = [\"*.apps.example\"], {} }}]",
        certificates.identity("db"),
        certificates.identity("apps")
    );
    let gate = scram_setup(&server).listen(&certificates.listen(&names)).start();
    let shown = |words: &[&str]| {
        let said = s_client(gate.address(), &[&["-starttls", "postgres"], words].concat());
        let subject = said.lines().find_map(|line| line.strip_prefix("subject=CN = "));
        subject.unwrap_or_else(|| panic!("{said}")).to_owned()
    };
    for (name, subject) in [
        ("db.example", "db"),
        ("DB.Example", "db"),
        ("one.apps.example", "apps"),
        ("two.one.apps.example", "server"),
        ("unknown.example", "server"),
    ] {
        assert_eq!(shown(&["-servername", name]), subject, "{name}");
    }
    assert_eq!(shown(&["-noservername"]), "server");

    // Bound to the certificate that was shown, whichever it was.
    let verified = |host: &str, more: &str| {
        let root = certificates.root();
        format!("host={host} sslmode=verify-full sslrootcert={root} channel_binding=require {more}")
    };
    let said = psycopg(
        gate.address(),
        &[
            verified("db.example", ""),
            verified("one.apps.example", "sslnegotiation=direct"),
            verified("db.example", "ssl_max_protocol_version=TLSv1.2"),
            verified("127.0.0.1", ""),
            verified("unknown.example", ""),
            verified("two.one.apps.example", ""),
            verified("db.example", "sslsni=0"),
        ],
    );
    assert_eq!(said[..4], ["ada"; 4]);
    for refused in &said[4..] {
        assert!(refused.contains("does not match host name"), "{refused}");
    }
}

#[test]
fn a_chain_verifies_by_its_root_alone() {
    let server = scram_server(15);
    let certificates = Certificates::new("chain");
    certificates.issue_below("below", named("below", &["127.0.0.1"]));
    let verified = |mode: &str| format!("sslmode={mode} sslrootcert={}", certificates.root());
    let (whole, bare) = (certificates.identity("below"), certificates.identity("below-bare"));
    let bare = bare.replace("below-bare.key", "below.key");
    for (identity, serves) in [(whole, true), (bare, false)] {
        let gate = scram_setup(&server).listen(&format!("tls = {{ {identity} }}")).start();
        for said in psycopg(gate.address(), &["verify-ca", "verify-full"].map(verified)) {
            assert_eq!(said == "ada", serves, "{said}");
            assert!(serves || said.contains("certificate verify failed"), "{said}");
        }
    }
}
