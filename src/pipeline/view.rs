//! One database's classification, ready for use: the snapshot and what is derived from it once.

use std::sync::Arc;

use crate::audit::FieldUse;
use crate::catalog::{FieldId, Snapshot};
use crate::statement::Prefilter;

/// Made once for each snapshot and shared by all sessions of its database.
pub struct View {
    snapshot: Arc<Snapshot>,
    prefilter: Prefilter,
    uses: Vec<FieldUse>,
}

impl View {
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>) -> View {
        let prefilter = Prefilter::new(&snapshot);
        let uses = snapshot
            .fields()
            .iter()
            .map(|field| FieldUse {
                field: field.path().into(),
                class: field.class.clone(),
                mode: field.domain.as_ref().map_or("none", |domain| domain.mode.name()),
            })
            .collect();
        View { snapshot, prefilter, uses }
    }

    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Grows with every change of the catalog or the policy.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.snapshot.epoch()
    }

    pub(super) fn prefilter_hits(&self, text: &[u8]) -> bool {
        self.prefilter.hits(text)
    }

    /// How a field is named in records.
    pub(super) fn field_use(&self, id: FieldId) -> Option<&FieldUse> {
        self.uses.get(usize::from(id.0))
    }
}
