//! What the configuration says of checkpoints, made ready: the key, and the ways to the sinks.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use zeroize::Zeroizing;

use super::house::{Fault, host_name, secret};
use crate::audit::Signer;
use crate::config::{
    Audit, AuditBucket, AuditSinkTarget, AuditSinkTls, Secret, Settings, TlsMode, TlsVersion,
};
use crate::seal::Random;
use crate::store::journal::{Bucket, Evidence, Outlet, POST_PATIENCE, Target, Witness};
use crate::transport::tls::{ClientIdentity, ClientTls, ClientTlsSettings};
use crate::transport::web;

/// The key by which checkpoints are signed. None: none are made.
///
/// # Errors
/// It is not there, or no key.
pub fn signer(audit: &Audit) -> Result<Option<Signer>, String> {
    let Some(source) = &audit.signing_key else { return Ok(None) };
    let text = secret(source).map_err(|fault| fault.text())?;
    let Some(text) = text else {
        let named = name(source);
        return Err(format!(
            "{named} is not set: `export {named}=\"$(openssl rand -base64 32)\"` makes a key"
        ));
    };
    Signer::from_base64(&text).map(Some).map_err(|fault| format!("{}: {fault}", name(source)))
}

fn name(source: &Secret) -> String {
    match source {
        Secret::Env(name) => name.clone(),
        Secret::File(path) => path.display().to_string(),
    }
}

/// All of it.
///
/// # Errors
/// What cannot be used.
pub fn evidence(settings: &Settings, audit: &Audit) -> Result<Evidence, Fault> {
    let signer = signer(audit).map_err(|error| Fault::of(settings, "audit.signing_key", &error))?;
    let mut outlets = Vec::new();
    for sink in &audit.sinks {
        let to = match &sink.to {
            AuditSinkTarget::File(path) => Target::File(path.clone()),
            AuditSinkTarget::Syslog { server, tls } => {
                let tls = tls.as_ref().map(towards_log).transpose();
                let tls = tls.map_err(|fault| Fault::of(settings, "audit.sink", &fault))?.map(Arc::new);
                Target::Syslog { server: server.clone(), tls, node: node(audit) }
            }
            AuditSinkTarget::Witness { url, token, ca } => {
                let posted = || -> Result<Witness, String> {
                    let token = token.as_ref().map(named_secret).transpose()?;
                    Ok(Witness {
                        agent: web::agent(url, ca.as_deref(), POST_PATIENCE)?,
                        url: url.clone(),
                        token,
                    })
                };
                Target::Witness(posted().map_err(|fault| Fault::of(settings, "audit.sink", &fault))?)
            }
            AuditSinkTarget::Bucket(of) => {
                let bucket = bucket(of).map_err(|fault| Fault::of(settings, "audit.sink", &fault))?;
                Target::Bucket(Box::new(bucket))
            }
        };
        let every = Duration::from_millis(sink.every_ms);
        outlets.push(Outlet {
            to,
            every,
            required_within: sink.required_within_ms.map(Duration::from_millis),
        });
    }
    let every = Duration::from_millis(audit.checkpoint_every_ms);
    Ok(Evidence { signer: signer.map(Arc::new), every, outlets, packs: audit.compress })
}

fn bucket(of: &AuditBucket) -> Result<Bucket, String> {
    Ok(Bucket {
        agent: web::agent(&of.store, of.ca.as_deref(), POST_PATIENCE)?,
        store: of.store.clone(),
        path: of.path.clone(),
        region: of.region.clone(),
        access_key: named_secret(&of.access_key)?,
        secret_key: named_secret(&of.secret_key)?,
        lock: of.lock,
        retain: Duration::from_millis(of.retain_ms),
    })
}

fn named_secret(source: &Secret) -> Result<Zeroizing<String>, String> {
    let text = secret(source).map_err(|fault| fault.text())?;
    text.ok_or_else(|| format!("{} is not set", name(source)))
}

fn towards_log(tls: &AuditSinkTls) -> Result<ClientTls, String> {
    let identity = tls.certificate.clone().map(|(chain, key)| ClientIdentity { chain, key });
    let settings = ClientTlsSettings {
        mode: TlsMode::VerifyFull,
        ca: Some(tls.ca.clone()),
        crl: None,
        identity,
        version_min: TlsVersion::V1_2,
    };
    ClientTls::load(&settings).map(ClientTls::without_protocol).map_err(|fault| fault.to_string())
}

/// The node's name in records.
pub fn node(audit: &Audit) -> String {
    audit.node.clone().unwrap_or_else(host_name)
}

/// Where the public half stands beside a key that is a file.
pub fn public_file(key: &Path) -> PathBuf {
    let mut name = key.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// The signing key, as `keys init` and `keys list` show it.
#[derive(Serialize, Debug)]
pub struct SigningKey {
    /// Where the secret half stands.
    pub source: String,
    pub created: bool,
    pub public_key: String,
    /// Where the public half stands.
    pub public_file: Option<String>,
}

impl SigningKey {
    pub fn text(&self) -> String {
        let done = if self.created { "made the signing key" } else { "the signing key" };
        let file = self.public_file.as_ref().map(|file| format!(", also in {file}")).unwrap_or_default();
        format!(
            "{done} {}; its public half{file}:\n{}\nkeep the public half where whoever holds this host cannot change it: it \
             verifies the record\n",
            self.source, self.public_key
        )
    }
}

/// The signing key of the configuration, which is made where it is a file that is not there.
/// None: the configuration has none.
///
/// # Errors
/// It cannot be read, or made.
pub fn keep_signing_key(audit: &Audit, random: &mut dyn Random) -> Result<Option<SigningKey>, String> {
    let Some(source) = &audit.signing_key else { return Ok(None) };
    let mut created = false;
    if let Secret::File(path) = source
        && !path.try_exists().unwrap_or(true)
    {
        make(path, random).map_err(|error| format!("{}: it cannot be made: {error}", path.display()))?;
        created = true;
    }
    let Some(signer) = signer(audit)? else { return Ok(None) };
    let public_key = signer.public().to_string();
    let mut public = None;
    if let Secret::File(path) = source {
        let file = public_file(path);
        let is_there = fs::read_to_string(&file).is_ok_and(|text| text.trim() == public_key);
        if !is_there {
            let written = write(&file, 0o644, true, format!("{public_key}\n").as_bytes());
            written.map_err(|error| format!("{}: it cannot be written: {error}", file.display()))?;
        }
        public = Some(file.display().to_string());
    }
    Ok(Some(SigningKey { source: name(source), created, public_key, public_file: public }))
}

fn make(path: &Path, random: &mut dyn Random) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut seed = Zeroizing::new([0; 32]);
    random.fill(&mut *seed);
    let text = Zeroizing::new(STANDARD.encode(*seed) + "\n");
    write(path, 0o600, false, text.as_bytes())
}

/// Durably; what is there is replaced only where it may be.
fn write(path: &Path, mode: u32, replaces: bool, text: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).mode(mode);
    if replaces {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let mut file = options.open(path)?;
    file.write_all(text)?;
    file.sync_all()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}
