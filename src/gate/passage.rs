//! What a session of one task makes known to the others, and learns of them, before it takes up
//! anything: tables and code that are being changed, and catalogs that are newer than its own.

use super::flow::Flow;
use crate::pipeline::ANYTHING;

impl Flow<'_> {
    pub(super) fn look_for_fences(&mut self) {
        if let Some(epoch) = self.session.epoch() {
            let who = self.session.who();
            let held = self.gate.catalogs.as_ref().and_then(|catalogs| catalogs.held(&who.database));
            let newer = held.filter(|snapshot| snapshot.epoch() != epoch);
            self.session.note_newer(newer.is_some());
            if let Some(snapshot) = newer.filter(|_| self.session.is_settled()) {
                self.session.renew(self.worker.view(snapshot));
            }
            let who = self.session.who();
            let barred = self.gate.fences.before(who.session, &who.database);
            self.session.bar(barred);
        }
    }

    /// What this session has defined is there for everybody, and known to nobody here: until the
    /// catalog has been read, no text of others can be told harmless.
    pub fn bar_everything(&mut self) {
        let who = self.session.who();
        let mut all = self.session.moving().to_vec();
        all.push(ANYTHING.into());
        self.fence = Some(self.gate.fences.raise(who.session, &who.database, &all));
    }
}
