//! What stands in files: the configuration itself, keys, the audit folder, certificates that fit.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::findings::Findings;
use crate::cli::{evidence, fellows, house, regime};
use crate::config::{Endpoint, Settings};
use crate::gate::today;
use crate::store::journal::{Evidence, Outlet, Target};

pub fn configuration(settings: &Settings, findings: &mut Findings) {
    findings.note("configuration", "configuration", format!("{} fields", settings.policy.fields.len()));
    for warning in settings.warnings(today()) {
        findings.warning_of_file("configuration", "place-expired", warning.to_string());
    }
}

pub fn keys(settings: &Settings, findings: &mut Findings) {
    match house::keyring(settings) {
        Ok(Some(keyring)) => {
            let detail =
                format!("{} domains, key version {}", keyring.domains().len(), keyring.current_version());
            findings.note("keys", "keys", detail);
        }
        Ok(None) => findings.note("keys", "keys", "no field is sealed"),
        Err(fault) => findings.fault("keys", "keys-fault", fault),
    }
}

pub fn audit(settings: &Settings, findings: &mut Findings) {
    let Some(audit) = &settings.audit else { return };
    let shown = audit.path.display();
    match writable(&audit.path) {
        Ok(true) => findings.note("audit", "audit", format!("{shown} can be written")),
        Ok(false) => findings.note("audit", "audit", format!("{shown} can be made")),
        Err(error) => findings.error("audit", "audit-fault", format!("{shown}: {error}")),
    }
    match evidence::evidence(settings, audit) {
        Err(fault) => findings.fault("audit", "audit-fault", fault),
        Ok(Evidence { signer: None, .. }) => findings.note("audit", "audit-unsigned", UNSIGNED),
        Ok(Evidence { signer: Some(signer), outlets, .. }) => {
            findings.note("audit", "audit-signed", format!("signed by {}", signer.public()));
            if outlets.is_empty() {
                findings.note("audit", "audit-no-sink", NO_SINK);
            }
            for Outlet { to, .. } in &outlets {
                sink(&audit.path, to, findings);
            }
        }
    }
}

const UNSIGNED: &str = "without signing_key nobody can prove that the record is what was written";
const NO_SINK: &str =
    "checkpoints go nowhere else: that the end of the record was cut off together with them is not noticed";

/// A file that checkpoints go to: can it be written, and is it on another disk than the record?
fn sink(folder: &Path, to: &Target, findings: &mut Findings) {
    // That a log server answers is no matter of files.
    let Target::File(path) = to else { return };
    let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let opened = OpenOptions::new().append(true).open(path);
    match opened.map(drop) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && beside.is_dir() => {}
        Err(error) => return findings.error("audit", "audit-sink-fault", format!("{to}: {error}")),
        Ok(()) => {}
    }
    let device = |path: &Path| std::fs::metadata(path).map(|facts| facts.dev()).ok();
    let nearest = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    if device(beside).is_some_and(|own| Some(own) == device(nearest)) {
        let says =
            format!("{to} is on the disk of the record itself: whoever changes one can change the other");
        findings.warning("audit", "audit-sink-same-disk", says);
    }
}

/// Can files be written there, now or, where it is not there yet, when it has been made? True: now.
fn writable(folder: &Path) -> std::io::Result<bool> {
    let there = folder.try_exists()?;
    let mut nearest: PathBuf = if folder.is_absolute() { folder.into() } else { Path::new(".").join(folder) };
    while !nearest.try_exists()? && nearest.pop() {}
    if !nearest.is_dir() {
        return Err(std::io::Error::other(format!("{} is not a folder", nearest.display())));
    }
    let probe = nearest.join(format!(".sealgate-check-{}", std::process::id()));
    let written = OpenOptions::new().write(true).create_new(true).open(&probe).and_then(|mut file| {
        // What there is no room for is noticed by the sync.
        file.write_all(b"check").and_then(|()| file.sync_all())
    });
    match written {
        // Somebody else's is not removed.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(error),
        Err(error) => {
            let _ = std::fs::remove_file(&probe);
            Err(error)
        }
        Ok(()) => std::fs::remove_file(&probe).map(|()| there),
    }
}

pub fn tls(settings: &Settings, findings: &mut Findings) {
    match regime::server_tls(settings) {
        Ok(None) => {}
        Ok(Some(_)) => findings.note("listen.tls", "tls", "certificates and keys fit"),
        Err(fault) => findings.fault("listen.tls", "tls-fault", fault),
    }
}

/// The keys by which end users are proven.
pub fn tokens(settings: &Settings, findings: &mut Findings) {
    if let Err(fault) = regime::tokens(settings) {
        findings.fault("token", "token-fault", fault);
    }
}

/// What `[[alert]]` names, and where alerts wait. Nothing is sent.
pub fn alerts(settings: &Settings, findings: &mut Findings) {
    let count = settings.alerting.places.len();
    if count == 0 {
        return;
    }
    match house::alarm_places(settings) {
        Ok(_) => {
            findings.note("alerts", "alerts", format!("{count} receivers; sealgate alert test tells them"))
        }
        Err(fault) => findings.fault("alerts", "alert-fault", fault),
    }
    let spool = &settings.alerting.spool;
    if let Err(error) = writable(spool) {
        findings.error("alerts", "alert-fault", format!("watch.spool: {}: {error}", spool.display()));
    }
}

/// What `[watch.share]` names. No server is asked.
pub fn share(settings: &Settings, findings: &mut Findings) {
    if let Err(fault) = fellows::ready(settings) {
        findings.fault("share", "share-fault", fault);
    }
}

/// The folders of Unix sockets.
pub fn sockets(settings: &Settings, findings: &mut Findings) {
    for endpoint in &settings.listen.addresses {
        if let Endpoint::Unix { folder, .. } = endpoint
            && !folder.is_dir()
        {
            findings.error("listen", "listen-fault", format!("{endpoint}: there is no such folder"));
        }
    }
}
