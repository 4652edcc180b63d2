//! Both hops and the login as an attacker meets them: negotiation, TLS, SCRAM.

mod cancel;
mod login;
mod negotiation;
mod newest;
mod relay;
mod scram;
mod tls;
mod unix;
mod upstream;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use sealgate::store::postgres::{Authentication, Options, Throwaway, User};

use crate::harness::{Gate, Setup, await_that, pg_with};

/// A root and a server certificate for 127.0.0.1, in a folder removed with this.
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    pub fn new(name: &str) -> Certificates {
        // Tests of one process may use one name at a time.
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("sealgate-hops-{}-{number}-{name}", std::process::id()));
        // A process with this number may have been killed before.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
        authority.distinguished_name.push(DnType::CommonName, "root");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut server = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        server.distinguished_name.push(DnType::CommonName, "server");
        let server = server.signed_by(&key, &root).unwrap();
        fs::write(folder.join("root.crt"), root.pem()).unwrap();
        fs::write(folder.join("server.crt"), server.pem()).unwrap();
        write_key(&folder.join("server.key"), &key.serialize_pem());
        Certificates { folder }
    }

    pub fn root(&self) -> String {
        self.folder.join("root.crt").display().to_string()
    }

    /// The `tls` line of `[listen]`, with more words inside.
    pub fn listen(&self, more: &str) -> String {
        let folder = self.folder.display();
        format!("tls = {{ certificate = \"{folder}/server.crt\", key = \"{folder}/server.key\"{more} }}")
    }
}

/// Makes a server of 15, which is built with TLS, offer it.
pub fn turn_tls_on(server: &Throwaway, certificates: &Certificates) {
    let data = server.data_folder();
    let owner = fs::metadata(&data).unwrap();
    for file in ["server.crt", "server.key"] {
        let path = data.join(file);
        fs::copy(certificates.folder.join(file), &path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    server.execute("postgres", "ALTER SYSTEM SET ssl = on").unwrap();
    server.execute("postgres", "SELECT pg_reload_conf()").unwrap();
    await_that("ssl = on", || server.query("postgres", "SHOW ssl").unwrap() == [[Some("on".to_owned())]]);
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn write_key(path: &Path, pem: &str) {
    use std::io::Write as _;
    let mut file =
        fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(path).unwrap();
    file.write_all(pem.as_bytes()).unwrap();
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

/// Asks who it is by psql with words of a connection string.
fn libpq(gate: &Gate, words: &str, password: &str) -> Output {
    libpq_runs(gate, words, password, "SELECT session_user")
}

fn libpq_runs(gate: &Gate, words: &str, password: &str, sql: &str) -> Output {
    let address = gate.address();
    let target =
        format!("host={} port={} dbname=postgres connect_timeout=10 {words}", address.ip(), address.port());
    // Debian's, which has TLS: the wheel's may have been built without it.
    Command::new("/usr/bin/psql")
        .args(["-XAtq", "-d", &target, "-c", sql])
        .env("PGPASSWORD", password)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
