//! While our session waits in a database in which no client is: does somebody else want it for
//! himself? Who drops, renames or copies a database locks it first, and then waits, a tenth of a
//! second at a time, for its sessions to leave.

use std::sync::Arc;
use std::time::Duration;

use super::presence::Presence;
use crate::upstream::service::ServiceConnection;

/// Often enough that nobody waits for a second tenth.
const INTERVAL: Duration = Duration::from_millis(40);

/// The locks that DROP DATABASE and RENAME, and a copy, take on the database itself.
const WANTED: &str = "SELECT 1 FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid = l.objid \
    WHERE l.locktype = 'object' AND l.classid = 'pg_catalog.pg_database'::pg_catalog.regclass \
      AND d.datname = pg_catalog.current_database() \
      AND l.mode = ANY (ARRAY['ShareLock', 'AccessExclusiveLock']) LIMIT 1";

/// Ends our session as soon as somebody does; returns when it has ended, or a client has come.
pub(super) async fn watch(presence: Arc<Presence>, service: Arc<ServiceConnection>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        if presence.leaves().is_none() {
            return;
        }
        match service.rows(WANTED, &[]).await {
            Ok(rows) if rows.is_empty() => {}
            Ok(_) => return presence.vacate(),
            // It is cut, and the next look tells.
            Err(_) => return,
        }
    }
}
