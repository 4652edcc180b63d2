//! What is known of keyrings here: by the record of the audit folder, and by the databases. Other
//! keys under the same names open nothing and find nothing of what is sealed, so nobody is given them
//! unasked: not in place of a keyring that is gone, and not because somebody put another one there.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::house::{self, Fault};
use super::regime;
use crate::config::Settings;
use crate::seal::{Keyring, KeyringIdentity, MasterKey};
use crate::store::catalog::{Trace, reachable, traces};
use crate::store::journal::{KnownKeyrings, known_keyrings};
use crate::store::keyfile::{self, KeyfileError, KeyfileFault};

/// How long all databases together may take to tell.
const DATABASES_WITHIN: Duration = Duration::from_secs(20);
/// Columns that a message names.
const TRACES_SHOWN_MAX: usize = 5;

const MEANT: &str = "restore the backup of that keyring, with the owner and mode that it had. Under other keys \
    nothing that it sealed opens or is found, and unique indexes let duplicates past. Who means it all the \
    same: `sealgate keys init --new-identity`";

/// Opens the keyring at `path`: one that the record of the audit folder knows, where that knows any.
///
/// # Errors
/// It is not there, cannot be opened, or is another's; what to do about it.
pub fn open(settings: &Settings, path: &Path, master: &MasterKey) -> Result<Keyring, Fault> {
    let refuse = |line: String| Fault::Configuration(vec![line]);
    let keyring = match keyfile::read(path, master) {
        Ok(keyring) => keyring,
        Err(KeyfileError { fault: KeyfileFault::Missing, .. }) => {
            let known = recorded(settings).map_err(refuse)?;
            let lost = || format!("keyring {}: there is no such file, and {}", path.display(), told(&known));
            let missing = KeyfileError { path: path.to_owned(), fault: KeyfileFault::Missing };
            return Err(refuse(if known.is_empty() { missing.to_string() } else { lost() }));
        }
        Err(error) => return Err(refuse(error.to_string())),
    };
    another(settings, path, keyring.identity()).map_err(refuse)?;
    Ok(keyring)
}

/// May `keys init` write this keyring, whose file may be there?
///
/// # Errors
/// Another one is known: where, and what to do.
pub fn allow_init(settings: &Settings, path: &Path, master: &MasterKey) -> Result<(), String> {
    if path.try_exists().unwrap_or(true) {
        // One that does not open is told of by who extends it.
        let Ok(keyring) = keyfile::read(path, master) else { return Ok(()) };
        return another(settings, path, keyring.identity());
    }
    let known = recorded(settings)?;
    if !known.is_empty() {
        return Err(format!("keyring {}: there is no such file, and {}", path.display(), told(&known)));
    }
    let found = look_into_databases(settings);
    if found.is_empty() {
        return Ok(());
    }
    let shown: Vec<&str> = found.iter().take(TRACES_SHOWN_MAX).map(String::as_str).collect();
    let more = match found.len().saturating_sub(shown.len()) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let found = shown.join("; ");
    Err(format!("keyring {}: there is no such file, and {found}{more}: {MEANT}", path.display()))
}

fn another(settings: &Settings, path: &Path, ours: KeyringIdentity) -> Result<(), String> {
    let known = recorded(settings)?;
    if known.are_others_than(ours) {
        let known = told(&known);
        return Err(format!("keyring {}: its identity is {ours}, and {known}", path.display()));
    }
    Ok(())
}

/// Nothing where there is no folder.
fn recorded(settings: &Settings) -> Result<KnownKeyrings, String> {
    let Some(audit) = &settings.audit else { return Ok(KnownKeyrings::default()) };
    known_keyrings(&audit.path).map_err(|error| {
        let folder = audit.path.display();
        format!("audit.path: {folder}: it cannot be read, and may know of a keyring: {error}")
    })
}

fn told(known: &KnownKeyrings) -> String {
    let named: Vec<String> = known
        .named
        .iter()
        .map(|(identity, file)| format!("the record knows keyring {identity} (last in {})", file.display()))
        .collect();
    let unnamed = known.unnamed.as_ref().filter(|_| named.is_empty());
    let unnamed = unnamed.map(|file| format!("the record tells of sealed fields (in {})", file.display()));
    let all: Vec<String> = named.into_iter().chain(unnamed).collect();
    format!("{}: {MEANT}", all.join("; "))
}

/// What the databases of the policy tell that can be reached; the others are named on standard
/// error.
fn look_into_databases(settings: &Settings) -> Vec<String> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let looked =
        runtime.block_on(async { tokio::time::timeout(DATABASES_WITHIN, look(settings, &mut found)).await });
    match looked {
        Ok(Ok(())) => {}
        Ok(Err(why)) => skip(&why),
        Err(_) => skip("the server took too long"),
    }
    found
}

#[expect(clippy::print_stderr, reason = "a verb prints")]
fn skip(why: &str) {
    eprintln!(
        "sealgate: whether a database holds values that are sealed already could not be looked at: {why}. \
         If one does, they open with the keyring that they were sealed with, and with no other"
    );
}

async fn look(settings: &Settings, found: &mut Vec<String>) -> Result<(), String> {
    if !settings.seals() {
        return Ok(());
    }
    let dialer = Arc::new(regime::dialer(settings).map_err(|fault| fault.text())?);
    let access = house::access(settings, &dialer).map_err(|fault| fault.text())?;
    let Some(access) = access else { return Ok(()) };
    let sealed =
        || settings.policy.fields.iter().map(|entry| &entry.field).filter(|field| field.domain.is_some());
    let mut names: Vec<String> =
        sealed().filter_map(|field| field.database.as_deref().map(str::to_owned)).collect();
    if sealed().any(|field| field.database.is_none()) {
        names.extend(reachable(&access).await.map_err(|error| error.to_string())?);
    }
    names.sort();
    names.dedup();
    let mut unread = Vec::new();
    for database in names {
        match traces(&access, &database, &settings.policy).await {
            Ok(traces) => {
                found.extend(traces.iter().map(|trace: &Trace| format!("in database {database} {trace}")))
            }
            Err(error) => unread.push(format!("{database}: {error}")),
        }
    }
    if unread.is_empty() { Ok(()) } else { Err(unread.join("; ")) }
}
