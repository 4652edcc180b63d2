//! How durable a record is before what it is about goes on, and what each level can lose.

/// `[audit] durability`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Durability {
    /// Handed to the operating system before anything is shown, and synced within so many milliseconds.
    Os { sync_every_ms: u64 },
    /// On disk before anything is shown, or any write is sent.
    #[default]
    Intent,
    /// And the end of a result waits until its outcome is on disk, too.
    Full,
}

/// What one durable intent may cover beside its own execution: `[audit] lease`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaseTerms {
    /// Executions, with the one that asked for it.
    pub executions: u64,
    /// Classified values that all of them show.
    pub values: u64,
    /// From when it was asked for, in milliseconds.
    pub window_ms: u64,
}

impl Durability {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Durability::Os { .. } => "os",
            Durability::Intent => "intent",
            Durability::Full => "full",
        }
    }

    /// What of a session's records may be missing, in one sentence for each session's record.
    #[must_use]
    pub fn loss(self, lease: Option<LeaseTerms>) -> String {
        match (self, lease) {
            (Durability::Os { sync_every_ms }, _) => format!(
                "a power cut or a failing disk: accesses of the last {sync_every_ms} ms and two syncs; \
                 a crash of the process: outcomes of the last 10 ms"
            ),
            (Durability::Intent, None) => "a crash: outcomes of the last 10 ms; no access".to_owned(),
            (Durability::Intent, Some(lease)) => format!(
                "a crash: outcomes of the last 10 ms, and so of each statement's open lease which of at most \
                 {} executions and {} values were used within {} ms; no access",
                lease.executions, lease.values, lease.window_ms
            ),
            (Durability::Full, _) => "a crash: outcomes whose end no client was told; no access".to_owned(),
        }
    }
}
