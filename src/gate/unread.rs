//! What a client is told whose database's catalog cannot be used: no catalog, no session (P3).

use crate::policy::Refusal;
use crate::store::catalog::LoadError;

/// Logs the cause, which is the operator's, and says what the client may know.
pub fn unread(database: &str, error: &LoadError) -> Refusal {
    if let LoadError::Guarded { constraint, of } = error {
        tracing::error!(%database, %error, "a database is outside of the policy and holds sealed values; its sessions are refused");
        let detail = format!(
            "The policy does not speak of this database, and {of} has the guard \"{constraint}\" of sealed values: it is a copy of a database of the policy, or has another name since."
        );
        let hint = "Give it [[field]] entries with its name, or give it the name that they have.";
        return Refusal::unhandled("outside-policy", &detail, hint);
    }
    tracing::error!(%database, %error, "the catalog cannot be read; the session is refused or ends");
    let hint = "See the log of the gate; sealgate check names the fault.";
    Refusal::unhandled("no-catalog", "The catalog of this database cannot be read.", hint)
}
