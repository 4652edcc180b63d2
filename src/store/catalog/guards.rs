//! Guards where the policy is silent. A guard (`CHECK (starts_with(email COLLATE "C",
//! 'SEAL........'))`) stands where somebody seals: a database that holds one, and of which the
//! policy does not speak, is a copy of one that it speaks of, or has its name changed since.

use super::load::{LoadError, value};
use crate::upstream::service::ServiceConnection;

/// One CHECK, of a table or a domain, that asks for sealed text. The stored tree of an expression
/// has the bytes of its constants in decimal: by these four most are left out before any is
/// written out as text.
const GUARD: &str = "SELECT c.conname::pg_catalog.text, \
        coalesce((SELECT pg_catalog.concat(n.nspname, '.', r.relname) FROM pg_catalog.pg_class r \
                   JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace WHERE r.oid = c.conrelid), \
                 (SELECT pg_catalog.concat(n.nspname, '.', t.typname) FROM pg_catalog.pg_type t \
                   JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = c.contypid), '') \
   FROM pg_catalog.pg_constraint c \
  WHERE c.contype = 'c' AND c.conbin::pg_catalog.text LIKE '% 83 69 65 76 %' \
    AND pg_catalog.pg_get_constraintdef(c.oid) ~ '''SEAL[-0-9A-Z_a-z]{8}' \
  ORDER BY 2, 1 LIMIT 1";

/// Refuses a database that holds a guard, where the policy has nothing for it.
///
/// # Errors
/// It holds one, or the server's error.
pub(super) async fn refuse(service: &ServiceConnection) -> Result<(), LoadError> {
    match service.rows(GUARD, &[]).await?.first() {
        None => Ok(()),
        Some(row) => Err(LoadError::Guarded { constraint: value(row, 0)?, of: value(row, 1)? }),
    }
}
