//! Certificates exchanged by a reload: the same files with other contents, or other files. Open
//! sessions go on, new ones meet what is there now, and a file that is no good changes nothing.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::certificates::named;
use super::{Certificates, LIBPQ_15, psycopg, scram_server, scram_setup, turn_tls_on};
use crate::harness::Gate;
use crate::life::reload;

/// A session of ada's by psql that stays open, and has a table of its own.
struct Open {
    psql: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Open {
    fn new(address: SocketAddr, words: &str) -> Open {
        let target = format!(
            "host=127.0.0.1 port={} dbname=postgres user=ada connect_timeout=10 {words}",
            address.port()
        );
        let mut psql = Command::new(LIBPQ_15)
            .args(["-XAtq", "-d", &target])
            .env("PGPASSWORD", "ada-secret")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (psql.stdin.take().unwrap(), BufReader::new(psql.stdout.take().unwrap()));
        let mut open = Open { psql, to, from };
        assert_eq!(open.ask("CREATE TEMP TABLE kept AS SELECT 7 AS n; SELECT n FROM kept;"), "7\n");
        open
    }

    fn ask(&mut self, sql: &str) -> String {
        writeln!(self.to, "{sql}").unwrap();
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        line
    }

    /// It has lost nothing, and still sends and hears much: many records of TLS.
    fn goes_on(mut self) {
        assert_eq!(self.ask("SELECT length(repeat('x', 3000000)) + n FROM kept;"), "3000007\n");
        assert_eq!(self.ask("SELECT repeat('x', 3000000);").len(), 3_000_001);
        assert_eq!(self.ask("SELECT n FROM kept;"), "7\n");
        drop(self.to);
        assert!(self.psql.wait().unwrap().success());
    }
}

fn verified(root: &Certificates) -> String {
    format!("sslmode=verify-full channel_binding=require sslrootcert={}", root.root())
}

/// The last line of the gate's log that has this in it.
fn logged(gate: &Gate, part: &str) -> String {
    let log = gate.log();
    log.lines().rfind(|line| line.contains(part)).unwrap_or_else(|| panic!("{log}")).to_owned()
}

#[test]
fn an_open_session_goes_on_across_a_rotation_and_new_ones_see_the_new_certificate() {
    let server = scram_server(15);
    for by_name in [false, true] {
        let (old, new) = (Certificates::new("across-old"), Certificates::new("across-new"));
        let gate = scram_setup(&server).listen(&old.listen("")).start();
        let open = Open::new(gate.address(), &verified(&old));
        if by_name {
            gate.configure(|text| text.replace(&old.listen(""), &new.listen("")));
        } else {
            for file in ["server.crt", "server.key"] {
                std::fs::copy(new.path(file), old.path(file)).unwrap();
            }
        }
        reload(&gate, "applied");
        let said = psycopg(gate.address(), &[verified(&new), verified(&old)]);
        assert_eq!(said[0], "ada", "{by_name}");
        assert!(said[1].contains("certificate verify failed"), "{by_name}: {}", said[1]);
        open.goes_on();
    }
}

#[test]
fn a_reload_that_names_a_file_that_is_no_good_keeps_the_certificate_and_says_which() {
    let server = scram_server(15);
    let (ours, other) = (Certificates::new("no-good"), Certificates::new("no-good-other"));
    std::fs::write(ours.path("noise.crt"), "no certificate").unwrap();
    let gate = scram_setup(&server).listen(&ours.listen("")).start();
    let (certificate, key) = (ours.path("server.crt"), ours.path("server.key"));
    for (named, found) in [
        (ours.path("missing.crt"), "missing.crt"),
        (ours.path("noise.crt"), "noise.crt"),
        // Of another key.
        (other.path("server.crt"), "server.crt"),
    ] {
        gate.configure(|text| text.replace(&certificate, &named));
        reload(&gate, "refused");
        assert!(logged(&gate, "listen.tls").contains(found), "{}", logged(&gate, "listen.tls"));
        assert_eq!(psycopg(gate.address(), &[verified(&ours)]), ["ada"], "{named}");
        gate.configure(|text| text.replace(&named, &certificate));
    }
    gate.configure(|text| text.replace(&key, &ours.path("missing.key")));
    reload(&gate, "refused");
    assert!(logged(&gate, "listen.tls").contains("missing.key"));
    assert_eq!(psycopg(gate.address(), &[verified(&ours)]), ["ada"]);
}

#[test]
fn another_authority_of_clients_counts_from_the_reload_on() {
    let server = scram_server(15);
    let (ours, theirs) = (Certificates::new("clients-old"), Certificates::new("clients-new"));
    for certificates in [&ours, &theirs] {
        certificates.issue("ada", named("ada", &[]));
    }
    let client_ca = |of: &Certificates| format!(", client_ca = \"{}\"", of.root());
    let gate = scram_setup(&server)
        .listen(&ours.listen(&client_ca(&ours)))
        .login("certificate = \"required\"\ncertificate_user = \"match\"")
        .start();
    let shown = |of: &Certificates| format!("{} {}", verified(&ours), of.shown("ada"));
    let said = psycopg(gate.address(), &[shown(&ours), shown(&theirs)]);
    assert!(said[0] == "ada" && said[1].contains("unknown ca"), "{said:?}");
    let open = Open::new(gate.address(), &shown(&ours));
    gate.configure(|text| text.replace(&client_ca(&ours), &client_ca(&theirs)));
    reload(&gate, "applied");
    let said = psycopg(gate.address(), &[shown(&ours), shown(&theirs)]);
    assert!(said[1] == "ada" && said[0].contains("unknown ca"), "{said:?}");
    open.goes_on();
}

#[test]
fn another_authority_of_the_server_counts_from_the_reload_on() {
    let server = scram_server(15);
    let (old, new) = (Certificates::new("upstream-old"), Certificates::new("upstream-new"));
    let ca = |of: &Certificates| format!("tls = {{ mode = \"verify-full\", ca = \"{}\" }}", of.root());
    turn_tls_on(&server, &old);
    let gate = scram_setup(&server).upstream_line(&ca(&old)).start();
    let open = Open::new(gate.address(), "");
    // The server's certificate is exchanged first: until the gate is told, nobody new gets in.
    turn_tls_on(&server, &new);
    let said = psycopg(gate.address(), &["sslmode=disable".to_owned()]);
    assert!(said[0].contains("cannot be reached"), "{said:?}");
    gate.configure(|text| text.replace(&ca(&old), &ca(&new)));
    reload(&gate, "applied");
    assert_eq!(psycopg(gate.address(), &["sslmode=disable".to_owned()]), ["ada"]);
    open.goes_on();
}
