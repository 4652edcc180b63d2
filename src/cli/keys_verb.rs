//! `sealgate keys init` and `list`: what [`super::keys`] reports, printed.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a verb prints")]

use std::path::Path;

use super::CONFIGURATION;
use super::events::{applied, by_account, refused, with_keyring};
use super::evidence::{self, SigningKey};
use super::house::{Fault, master_of, note_alone, settings};
use super::keys;
use super::known;
use crate::config::Settings;
use crate::gate::ThreadRandom;
use crate::seal::MasterKey;

fn prepare(config: &Path) -> Result<(Settings, std::path::PathBuf, MasterKey), Fault> {
    let settings = settings(config)?;
    let keys = settings.keys.clone().ok_or_else(|| {
        Fault::Configuration(vec![format!("{}: there is no [keys] section", config.display())])
    })?;
    let master = master_of(&settings, &keys.master_key)?;
    Ok((settings, keys.path, master))
}

fn tell(fault: Fault) -> u8 {
    let (faults, code) = match fault {
        Fault::Configuration(faults) => (faults, CONFIGURATION),
        Fault::Start(fault) => (vec![fault], 1),
    };
    for fault in faults {
        eprintln!("sealgate: {fault}");
    }
    code
}

/// Makes the keyring or adds domains. `meant`: also where another one is known.
pub fn init(config: &Path, meant: bool, json: bool) -> u8 {
    // Where nothing is sealed, the signing key alone is made.
    match settings(config) {
        Ok(settings) if settings.keys.is_none() && signs(&settings) => {
            return match signing_key(&settings) {
                Ok(Some(made)) => {
                    println!("{}", if json { json_of(&made) } else { made.text() });
                    0
                }
                Ok(None) => 0,
                Err(fault) => tell(fault),
            };
        }
        Ok(_) | Err(_) => {}
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let made = prepare(config).and_then(|(settings, path, master)| {
        let allowed = if meant { Ok(()) } else { known::allow_init(&settings, &path, &master) };
        let fields = &settings.policy.fields;
        let made = allowed.and_then(|()| {
            let made = keys::init(&path, &master, fields, now.as_secs(), &mut ThreadRandom);
            made.map_err(|fault| fault.to_string())
        });
        note(&settings, &made, meant);
        let made = made.map_err(|fault| Fault::Configuration(vec![fault]))?;
        Ok(keys::InitReport { signing_key: signing_key(&settings)?, ..made })
    });
    match made {
        Ok(report) => {
            println!("{}", if json { report.json() } else { report.text() });
            0
        }
        Err(fault) => tell(fault),
    }
}

fn signs(settings: &Settings) -> bool {
    settings.audit.as_ref().is_some_and(|audit| audit.signing_key.is_some())
}

/// The key by which checkpoints are signed, made where it is missing.
fn signing_key(settings: &Settings) -> Result<Option<SigningKey>, Fault> {
    let Some(audit) = &settings.audit else { return Ok(None) };
    evidence::keep_signing_key(audit, &mut ThreadRandom)
        .map_err(|error| Fault::of(settings, "audit.signing_key", &error))
}

fn json_of(made: &SigningKey) -> String {
    serde_json::to_string_pretty(&serde_json::json!({ "signing_key": made })).unwrap_or_default()
}

/// What became of the keyring stands in the record, where there is one already.
fn note(settings: &Settings, made: &Result<keys::InitReport, String>, meant: bool) {
    let event = match made {
        Ok(report) if !report.created && report.added.is_empty() && !meant => return,
        Ok(report) => {
            let done = match (report.created, report.added.is_empty()) {
                (true, _) => "made the keyring",
                (false, false) => "added to the keyring",
                (false, true) => "took the keyring",
            };
            let said = if meant { ", whatever was known before" } else { "" };
            let domains = report.added.join(", ");
            let event = applied("keys-init", &format!("{done} {}{said}: domains {domains}", report.path));
            with_keyring(event, report.identity)
        }
        Err(fault) => refused("keys-init", fault),
    };
    if let Err(error) = note_alone(settings.audit.as_ref(), by_account(event)) {
        eprintln!("sealgate: this does not stand in the record: {error}");
    }
}

/// Lists versions and domains.
pub fn list(config: &Path, json: bool) -> u8 {
    let listed = prepare(config).and_then(|(settings, path, master)| {
        let listed =
            keys::list(&path, &master).map_err(|fault| Fault::Configuration(vec![fault.to_string()]))?;
        // That it cannot be read is told by `check`.
        let signer = settings.audit.as_ref().and_then(|audit| evidence::signer(audit).ok().flatten());
        Ok(keys::ListReport { signing_key: signer.map(|signer| signer.public().to_string()), ..listed })
    });
    match listed {
        Ok(report) => {
            println!("{}", if json { report.json() } else { report.text() });
            0
        }
        Err(fault) => tell(fault),
    }
}
