//! One database's classification, ready for use: the snapshot and what is derived from it once.

use std::sync::Arc;

use aho_corasick::AhoCorasick;

use crate::audit::FieldUse;
use crate::catalog::{FieldId, Snapshot};
use crate::statement::Prefilter;

/// Made once for each snapshot and shared by all sessions of its database.
pub struct View {
    snapshot: Arc<Snapshot>,
    prefilter: Prefilter,
    /// The names that a search path must settle; none where there are none.
    ambiguous: Option<AhoCorasick>,
    uses: Vec<FieldUse>,
    /// Those that the server can read.
    legible: Arc<[FieldUse]>,
    unfollowed: bool,
    /// A column says whose data any of them is.
    subjects: bool,
    own: bool,
}

impl View {
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>) -> View {
        let prefilter = Prefilter::new(&snapshot);
        let uses: Vec<FieldUse> = snapshot.fields().iter().map(FieldUse::of).collect();
        let names: Vec<&str> = snapshot.ambiguous_names().chain(snapshot.reaching_functions()).collect();
        let ambiguous = AhoCorasick::builder().ascii_case_insensitive(true).build(&names);
        let ambiguous = if names.is_empty() { None } else { ambiguous.ok() };
        let unfollowed = snapshot.codes().has_unfollowed();
        let legible = uses.iter().filter(|field| field.mode == "none").cloned().collect();
        let subjects = snapshot.legible().any(|field| field.subject.is_some());
        View { snapshot, prefilter, ambiguous, uses, legible, unfollowed, subjects, own: false }
    }

    /// The same of what one open transaction has defined, and nobody else can see.
    #[must_use]
    pub(super) fn of_transaction(snapshot: Arc<Snapshot>) -> View {
        View { own: true, ..View::new(snapshot) }
    }

    pub(super) fn is_own(&self) -> bool {
        self.own
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

    /// Is anything classified?
    pub(super) fn judges(&self) -> bool {
        !self.snapshot.classifies_nothing()
    }

    /// Has a name that matters characters beyond ASCII?
    pub(super) fn depends_on_encoding(&self) -> bool {
        self.prefilter.depends_on_encoding()
    }

    pub(super) fn has_ambiguous_names(&self) -> bool {
        self.ambiguous.is_some()
    }

    /// Does it hold a name that only a search path settles?
    pub(super) fn has_ambiguous(&self, bytes: &[u8]) -> bool {
        self.ambiguous.as_ref().is_some_and(|ambiguous| ambiguous.is_match(bytes))
    }

    /// Is it one of the names that the catalog knows?
    pub(super) fn knows(&self, name: &str) -> bool {
        self.snapshot.knows(name)
    }

    /// The fields that the server can read, as records name them.
    pub(super) fn legible(&self) -> Arc<[FieldUse]> {
        self.legible.clone()
    }

    /// Is there code of users that cannot be followed?
    pub(super) fn has_unfollowed(&self) -> bool {
        self.unfollowed
    }

    /// Does a column say whose data any is that the server can read?
    pub(super) fn may_tell_whose(&self) -> bool {
        self.subjects
    }

    pub(super) fn has_legible(&self) -> bool {
        !self.legible.is_empty()
    }

    /// How a field is named in records.
    pub(super) fn field_use(&self, id: FieldId) -> Option<&FieldUse> {
        self.uses.get(usize::from(id.0))
    }
}
