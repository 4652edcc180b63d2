//! What is done with Sealgate itself, in the words of the record.

use std::sync::Arc;

use crate::audit::AdminRecord;
use crate::gate::Regime;
use crate::seal::{Keyring, KeyringIdentity};

/// It was done.
pub fn applied(event: &'static str, what: &str) -> AdminRecord {
    AdminRecord { event, verdict: "applied", rule: what.into(), account: None, keyring: None }
}

/// It was not, and what was in force stays so.
pub fn refused(event: &'static str, why: &str) -> AdminRecord {
    AdminRecord { event, verdict: "refused", rule: why.into(), account: None, keyring: None }
}

/// The same of what puts a keyring in use: from then on the record knows it.
pub fn with_keyring(event: AdminRecord, keyring: KeyringIdentity) -> AdminRecord {
    AdminRecord { keyring: Some(keyring), ..event }
}

/// A configuration is in force, with its keyring.
pub fn put_in_force(event: &'static str, regime: &Regime) -> AdminRecord {
    let keyring = regime.keyring.as_deref().map(Keyring::identity);
    AdminRecord { keyring, ..applied(event, &in_force(regime)) }
}

/// The same of a verb that somebody ran on this host.
pub fn by_account(event: AdminRecord) -> AdminRecord {
    let account: Arc<str> = format!("uid {}", rustix::process::getuid().as_raw()).into();
    AdminRecord { account: Some(account), ..event }
}

/// What a configuration comes to, in a line.
fn in_force(regime: &Regime) -> String {
    let fields = regime.settings.policy.fields.len();
    let version = super::VERSION;
    let keys = regime.keyring.as_ref().map_or_else(
        || "no keyring".to_owned(),
        |keyring| {
            let (domains, current) = (keyring.domains().len(), keyring.current_version());
            format!("a keyring of {domains} domains, root key {current}")
        },
    );
    format!("sealgate {version}; {fields} fields; {keys}")
}
