//! Certificates of every kind, made for one test.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyPair, date_time_ymd,
};

/// A root and a server certificate for 127.0.0.1, in a folder removed with this.
pub struct Certificates {
    folder: PathBuf,
    root: CertifiedIssuer<'static, KeyPair>,
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
        // Two roots of one name would be taken for each other, up to the signature.
        let root = authority(&format!("root of {name}"));
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
        fs::write(folder.join("root.crt"), root.pem()).unwrap();
        let certificates = Certificates { folder, root };
        certificates.issue("server", named("server", &["127.0.0.1"]));
        certificates
    }

    /// Writes `<file>.crt`, certified by the root, and `<file>.key`.
    pub fn issue(&self, file: &str, params: CertificateParams) {
        self.write(file, params, &self.root, "");
    }

    /// The same, certified by an authority below the root that stands in the file too; in
    /// `<file>-bare.crt` it does not.
    pub fn issue_below(&self, file: &str, params: CertificateParams) {
        let key = KeyPair::generate().unwrap();
        let between = CertifiedIssuer::signed_by(authority("between"), key, &self.root).unwrap();
        self.write(file, params, &between, &between.pem());
        let whole = fs::read_to_string(self.path(&format!("{file}.crt"))).unwrap();
        let bare = whole.strip_suffix(&between.pem()).unwrap();
        fs::write(self.path(&format!("{file}-bare.crt")), bare).unwrap();
    }

    fn write(&self, file: &str, params: CertificateParams, issuer: &Issuer<'_, KeyPair>, chain: &str) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, issuer).unwrap();
        fs::write(self.path(&format!("{file}.crt")), format!("{}{chain}", certificate.pem())).unwrap();
        write_key(&self.folder.join(format!("{file}.key")), &key.serialize_pem());
    }

    pub fn path(&self, file: &str) -> String {
        self.folder.join(file).display().to_string()
    }

    pub fn root(&self) -> String {
        self.path("root.crt")
    }

    /// `certificate` and `key` of a table of the configuration.
    pub fn identity(&self, file: &str) -> String {
        let folder = self.folder.display();
        format!("certificate = \"{folder}/{file}.crt\", key = \"{folder}/{file}.key\"")
    }

    /// The `tls` line of `[listen]`, with more words inside.
    pub fn listen(&self, more: &str) -> String {
        format!("tls = {{ {}{more} }}", self.identity("server"))
    }

    /// Words of a connection string that show a certificate.
    pub fn shown(&self, file: &str) -> String {
        let folder = self.folder.display();
        format!("sslcert={folder}/{file}.crt sslkey={folder}/{file}.key")
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = named(name, &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// For a common name, and host names or addresses.
pub fn named(common: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, common);
    params
}

/// The same, of a time that is over.
pub fn expired(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    params
}

/// The same, of a time that is to come.
pub fn later(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(2090, 1, 1);
    params.not_after = date_time_ymd(2091, 1, 1);
    params
}

fn write_key(path: &Path, pem: &str) {
    let mut file =
        fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(path).unwrap();
    file.write_all(pem.as_bytes()).unwrap();
}
