//! What stands in files: the configuration itself, keys, the audit folder, certificates that fit.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::findings::Findings;
use crate::cli::{house, regime};
use crate::config::{Endpoint, Settings};
use crate::gate::today;

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
