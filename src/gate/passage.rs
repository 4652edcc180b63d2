//! What a session of one task makes known to the others, and learns of them, before it takes up
//! anything: tables and code that are being changed, and catalogs that are newer than its own.

use super::flow::Flow;
use crate::pipeline::{ANYTHING, Barred};
use crate::policy::Refusal;

impl Flow<'_> {
    pub(super) fn look_for_fences(&mut self) {
        if let Some(epoch) = self.session.epoch() {
            let who = self.session.who();
            // First: whoever lowers a fence has made the catalog known that has the change.
            let barred = self.gate.fences.before(who.session, &who.database);
            let held = self.gate.catalogs.as_ref().and_then(|catalogs| catalogs.held(&who.database));
            let held_unfit = held.as_ref().and_then(|held| held.unfit()).map(Refusal::misfit);
            let newer = held.filter(|snapshot| snapshot.epoch() != epoch);
            self.rest.unfit = held_unfit;
            self.session.note_newer(newer.is_some());
            if let Some(snapshot) = newer.filter(|_| self.session.is_settled()) {
                self.session.renew(self.worker.view(snapshot));
            }
            self.session.bar(barred);
        }
    }

    /// What this session has defined is there for everybody, and known to nobody here: until the
    /// catalog has been read, no text of others can be told harmless.
    pub fn bar_everything(&mut self) {
        let mut barred = self.session.bars();
        barred.tables.insert(ANYTHING.into());
        self.raise_fence(barred);
    }

    /// Makes known to others, and to whoever compares the policy with the database, that this session
    /// is changing something.
    pub fn raise_fence(&mut self, barred: Barred) {
        let who = self.session.who();
        let fence = self.gate.fences.raise(who.session, &who.database, barred);
        let definer = self.gate.catalogs.as_ref().map(|catalogs| catalogs.define(&who.database));
        self.fence = Some(fence.of(definer));
    }

    /// A database that the policy does not fit any more is not served any longer: what is under way
    /// may hear its answers, as where the policy has changed.
    pub(super) fn look_at_fit(&mut self) -> Result<(), Refusal> {
        let Some(refusal) = self.rest.unfit.take() else {
            // It fits again; another policy would be another matter.
            if std::mem::take(&mut self.rest.leaves) && self.rest.generation == self.worker.generation.get() {
                (self.rest.overruled, self.rest.flushed) = (None, false);
                self.request.resume();
            }
            return Ok(());
        };
        self.rest.leaves = true;
        let at_rest = self.session.is_settled() && !self.request.is_waiting_to_write();
        if at_rest || self.must_end() {
            let who = self.session.who();
            tracing::warn!(session = who.session, user = %who.user, database = %who.database, "a session ends: the policy does not fit its database");
            self.session.overrule(&refusal);
            return Err(refusal);
        }
        Ok(())
    }
}
