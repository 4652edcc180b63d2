//! Both hops and the login as an attacker meets them: negotiation, TLS, SCRAM.

mod cancel;
pub mod certificates;
mod client;
mod direct;
mod failed;
mod login;
mod memory;
mod names;
mod negotiation;
mod newest;
mod prefer;
mod relay;
mod rotation;
mod scram;
mod tls;
mod unix;
mod upstream;
mod upstream_binding;
mod upstream_certificates;
mod wiretap;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Command, Output, Stdio};

pub use certificates::Certificates;
use sealgate::store::postgres::{Authentication, Options, Throwaway, User};

use crate::harness::{Gate, Setup, await_that, pg_with};
use crate::routes::python;

/// Makes a server of 15, which is built with TLS, offer it.
pub fn turn_tls_on(server: &Throwaway, certificates: &Certificates) {
    show(server, certificates, "server");
    server.execute("postgres", "ALTER SYSTEM SET ssl = on").unwrap();
    server.execute("postgres", "SELECT pg_reload_conf()").unwrap();
    await_that("ssl = on", || server.query("postgres", "SHOW ssl").unwrap() == [[Some("on".to_owned())]]);
}

/// Puts a certificate and its key where the server looks for its own.
fn show(server: &Throwaway, certificates: &Certificates, file: &str) {
    for end in ["crt", "key"] {
        let to = server.data_folder().join(format!("server.{end}"));
        give(server, &certificates.path(&format!("{file}.{end}")), &to);
    }
}

/// Changes settings of the server, and its `pg_hba.conf` where there are lines for it, and
/// waits until they count.
fn change(server: &Throwaway, settings: &[(&str, &str)], hba: Option<&str>) {
    if let Some(lines) = hba {
        let file = server.data_folder().join("pg_hba.conf");
        // Written in its place, so that its owner stays.
        fs::write(file, format!("local all all trust\n{lines}\n")).unwrap();
    }
    for (name, value) in settings {
        server.execute("postgres", &format!("ALTER SYSTEM SET {name} = '{value}'")).unwrap();
    }
    let loaded = || server.query("postgres", "SELECT pg_conf_load_time()").unwrap();
    let before = loaded();
    server.execute("postgres", "SELECT pg_reload_conf()").unwrap();
    // A new session has what the postmaster has read.
    await_that("the server's new settings", || loaded() != before);
}

/// Copies a file for the server's account alone.
fn give(server: &Throwaway, from: &str, to: &Path) {
    let owner = fs::metadata(server.data_folder()).unwrap();
    fs::copy(from, to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o600)).unwrap();
    chown(to, Some(owner.uid()), Some(owner.gid())).unwrap();
}

/// A server that asks for SCRAM, with users `ada` and `bob`. Everybody's password is the name
/// and `-secret`.
fn scram_server(major: u32) -> Throwaway {
    scram_server_with(major, &[])
}

/// The same with further users, each with its own method in `pg_hba.conf`.
fn scram_server_with(major: u32, methods: &[(&str, &str)]) -> Throwaway {
    let user = |name: &str, attributes: &str| User {
        name: name.to_owned(),
        password: Some(format!("{name}-secret")),
        attributes: attributes.to_owned(),
    };
    let mut users = vec![user("ada", ""), user("bob", ""), user("service", "SUPERUSER")];
    users.extend(methods.iter().map(|(name, _)| user(name, "")));
    let hba = methods.iter().map(|(name, method)| format!("host all {name} all {method}"));
    pg_with(Options {
        major: Some(major),
        authentication: Authentication::Scram,
        users,
        hba: hba.collect(),
        ..Options::default()
    })
}

fn scram_setup(server: &Throwaway) -> Setup {
    Setup::before(server.address()).auth("scram").service("service", "service-secret")
}

/// The whole packet: its length and 80877103.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Debian's psql, which has TLS: the wheel's may have been built without it.
const LIBPQ_15: &str = "/usr/bin/psql";

/// Runs a query by psql with words of a connection string.
fn libpq(gate: &Gate, words: &str, password: &str) -> Output {
    libpq_at(gate.address(), words, password, "SELECT session_user")
}

fn libpq_at(address: SocketAddr, words: &str, password: &str, sql: &str) -> Output {
    let target =
        format!("host={} port={} dbname=postgres connect_timeout=10 {words}", address.ip(), address.port());
    Command::new(LIBPQ_15)
        .args(["-XAtq", "-d", &target, "-c", sql])
        .env("PGPASSWORD", password)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Logs in by each of its arguments, and says of each in one line what came of it.
const LOGINS: &str = r"
import sys, psycopg
for words in sys.argv[2:]:
    try:
        with psycopg.connect(words) as session:
            print(session.execute(sys.argv[1]).fetchone()[0])
    except psycopg.Error as error:
        print(' '.join(str(error).split()))
";

/// Logs in with psycopg, whose libpq is of 18, at one address with each of these words: `ada`
/// where she is in, otherwise why she is not.
fn psycopg(address: SocketAddr, words: &[String]) -> Vec<String> {
    psycopg_says(address, words, "SELECT session_user")
}

/// The same with what a query says in place of her name.
fn psycopg_says(address: SocketAddr, words: &[String], sql: &str) -> Vec<String> {
    let (ip, port) = (address.ip(), address.port());
    let target = format!("host={ip} hostaddr={ip} port={port} dbname=postgres user=ada");
    let output = Command::new(python())
        .args(["-c", LOGINS, sql])
        .args(words.iter().map(|words| format!("{target} connect_timeout=10 {words}")))
        .env("PGPASSWORD", "ada-secret")
        .output()
        .unwrap();
    let lines: Vec<String> = said(&output).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), words.len(), "{lines:?}");
    lines
}

/// What `openssl s_client` says of a connection, to the end of it.
fn s_client(address: SocketAddr, words: &[&str]) -> String {
    let connect = address.to_string();
    // It waits for a peer that says nothing for ever.
    let command = ["20", "openssl", "s_client", "-connect", &connect];
    let output = Command::new("timeout").args(command).args(words).stdin(Stdio::null()).output().unwrap();
    said(&output)
}

/// Panics unless a connection to a server held an SSLRequest and then records of TLS alone,
/// as far as it came.
fn assert_tls_alone(bytes: &[u8]) {
    assert!(SSL_REQUEST.starts_with(bytes) || bytes.starts_with(&SSL_REQUEST), "{:?}", bytes.get(..64));
    let mut rest = bytes.get(8..).unwrap_or_default();
    while let [kind, 3, 0..=4, high, low, ..] = rest {
        assert!((20..=23).contains(kind), "no record of TLS: {rest:?}");
        rest = rest.get(5 + usize::from(u16::from_be_bytes([*high, *low]))..).unwrap_or_default();
    }
    assert!(rest.len() < 5, "no record of TLS: {rest:?}");
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
