//! `sealgate keys init` and `list`: what [`super::keys`] reports, printed.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a verb prints")]

use std::path::Path;

use super::CONFIGURATION;
use super::events::{applied, by_account, refused, with_keyring};
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
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let made = prepare(config).and_then(|(settings, path, master)| {
        let allowed = if meant { Ok(()) } else { known::allow_init(&settings, &path, &master) };
        let fields = &settings.policy.fields;
        let made = allowed.and_then(|()| {
            let made = keys::init(&path, &master, fields, now.as_secs(), &mut ThreadRandom);
            made.map_err(|fault| fault.to_string())
        });
        note(&settings, &made, meant);
        made.map_err(|fault| Fault::Configuration(vec![fault]))
    });
    match made {
        Ok(report) => {
            println!("{}", if json { report.json() } else { report.text() });
            0
        }
        Err(fault) => tell(fault),
    }
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
    let listed = prepare(config).and_then(|(_, path, master)| {
        keys::list(&path, &master).map_err(|fault| Fault::Configuration(vec![fault.to_string()]))
    });
    match listed {
        Ok(report) => {
            println!("{}", if json { report.json() } else { report.text() });
            0
        }
        Err(fault) => tell(fault),
    }
}
