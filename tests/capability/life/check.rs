//! `sealgate check` names what `run` would miss.

use crate::harness::{Setup, pg};

#[test]
fn check_says_what_scram_needs() {
    let server = pg(15);
    server.execute("postgres", "CREATE ROLE looker LOGIN").unwrap();
    let gate = Setup::before(server.address()).auth("scram").prepare().unwrap();
    gate.configure(|text| text.replace("service_user = \"postgres\"", "service_user = \"looker\""));
    let refused = gate.verb(&["check"]);
    let said = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    let line = said.lines().find(|line| line.contains("login:")).unwrap();
    assert!(line.starts_with("FAULT") && line.contains("42501") && line.contains("grant"), "{line}");
    server.execute("postgres", "GRANT SELECT ON pg_authid TO looker").unwrap();
    let sound = gate.verb(&["check"]);
    let said = String::from_utf8_lossy(&sound.stdout).into_owned();
    assert_eq!(sound.status.code(), Some(0), "{said}");
    assert!(said.contains("login: verifiers of passwords can be read"), "{said}");
}
