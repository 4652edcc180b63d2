//! What is remembered of a walsender, and of a stream that is under way.

use std::sync::Arc;

use crate::audit::{Execution, FieldUse, Receipt};
use crate::statement::Replication;

/// What a walsender can be sent, as the policy has it.
pub struct Walsender {
    /// It may have a database, and SQL with it.
    pub has_database: bool,
    /// Of every database of the cluster: its WAL and its files hold all of them.
    pub cluster: Arc<[FieldUse]>,
    /// Of its own database.
    pub own: Arc<[FieldUse]>,
}

/// One stream of a walsender.
pub struct Streaming {
    pub execution: Execution,
    pub told: Arc<Replication>,
    pub fields: Arc<[FieldUse]>,
    pub receipt: Option<Receipt>,
    /// Bytes of CopyData that went to the client.
    pub bytes: u64,
}
