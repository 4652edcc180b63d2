//! By which catalog a session judges, and since when; and what it and others are changing in it.

use std::rc::Rc;
use std::sync::Arc;

use super::names::{Change, Meaning, Prepared};
use super::owed::Probe;
use super::plan::Plan;
use super::session::{ANYTHING, Session};
use super::underway::Barred;
use super::view::View;

/// New names of one transaction that are kept. With more it could be any.
const COMING_MAX: usize = 256;

impl Session {
    /// The epoch of the catalog that this session judges by, but for what its transaction has defined.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        self.base.as_ref().map(|base| base.epoch())
    }

    /// Takes the catalog as it is now; every prepared text is judged again when it is used.
    pub fn renew(&mut self, view: Arc<View>) {
        if self.epoch() != Some(view.epoch()) {
            self.since = self.since.or(Some(view.epoch()));
            self.base = Some(Arc::clone(&view));
            self.overlay.renewed();
            if !self.overlay.is_stale() {
                self.show(view);
            }
        }
        self.refresh();
        self.certainty.renewed();
        if !self.certainty.is_underway() {
            self.coming.clear();
            self.copies = false;
        }
        if self.probe == Some(Probe::Readable) {
            self.probe = Some(Probe::Renewed);
        }
    }

    /// Takes the view that is made of what its transaction has defined since. Nothing is under way.
    pub(super) fn refresh(&mut self) {
        if let Some(base) = self.base.as_ref().filter(|_| self.overlay.is_stale()) {
            let view = self.overlay.view(base);
            self.show(view);
        }
    }

    fn show(&mut self, view: Arc<View>) {
        let before = self.view.replace(Arc::clone(&view));
        // At the login nothing has been prepared yet, by no catalog.
        if before.is_some_and(|before| before.epoch() != view.epoch()) {
            // The unnamed statement's text is not kept: it must be parsed anew.
            let unnamed = Rc::new(Prepared::unknown());
            self.queue.names.apply(Change::Statement(Box::default(), Some(unnamed)), 0);
            self.judging = true;
            self.renewed = true;
            self.has_old_portals |= self.certainty.in_transaction();
            // What its statements and cursors run may be other code now.
            self.opaque_since = true;
            self.end_leases();
        }
    }

    /// The answer to [`Need::Confirmation`]: is the catalog as this session knows it?
    pub fn confirm(&mut self, holds: bool) {
        self.confirmed = Some(holds);
    }

    /// Does what is to be confirmed rest on relations that are not the policy's, too?
    #[must_use]
    pub fn rests_on_relations(&self) -> bool {
        self.rests_on_relations
    }

    /// What this session is about to change, or has changed and nobody has read yet
    /// ([`Need::Fence`](super::Need::Fence)).
    #[must_use]
    pub fn bars(&self) -> Barred {
        let names = self.named_anew.iter().chain(&self.naming_anew).cloned().collect();
        Barred { tables: self.moving.iter().cloned().collect(), names }
    }

    /// New names that it is about to give to what is classified, or leads there: what others have under way
    /// must not use them yet.
    #[must_use]
    pub fn naming_anew(&self) -> &[Arc<str>] {
        &self.naming_anew
    }

    /// The others know of [`Session::bars`].
    pub fn announce(&mut self) {
        self.announced = true;
        self.named_anew.append(&mut self.naming_anew);
    }

    /// Others have something under way that may use a name of [`Session::naming_anew`].
    pub fn withdraw(&mut self) {
        if !self.announced {
            self.moving.clear();
        }
        self.naming_anew.clear();
        self.overtaken = true;
    }

    /// The new names of what is classified, or leads there, that will be anybody's once this plan has run.
    /// Until the catalog has been read, any text of others may use them.
    pub(super) fn names_anew(&self, plan: &Plan) -> Vec<Arc<str>> {
        let own = || self.view.iter().flat_map(|view| plan.coming(view));
        if !self.certainty.in_transaction() {
            return own().collect();
        }
        // Of one that has failed nothing stays.
        let stays = plan.ends() && !self.certainty.has_failed();
        if stays { self.coming.iter().cloned().chain(own()).collect() } else { Vec::new() }
    }

    /// Notes them when the plan goes to the server.
    pub(super) fn note_coming(&mut self, plan: &Plan) {
        let names: Vec<_> = self.view.iter().flat_map(|view| plan.coming(view)).collect();
        if self.coming.len() + names.len() <= COMING_MAX {
            self.coming.extend(names);
        } else if !names.is_empty() {
            self.coming = vec![ANYTHING.into()];
        }
    }

    /// Nothing is left of what it changed that the others need wait for. True where something
    /// was.
    pub fn is_through(&mut self) -> bool {
        let through = self.announced && self.is_settled() && !self.certainty.is_underway();
        if through {
            self.moving.clear();
            self.named_anew.clear();
            self.announced = false;
        }
        through
    }

    /// What others are changing; none: nothing.
    pub fn bar(&mut self, barred: Option<Arc<Barred>>) {
        self.barred = barred;
    }

    /// The others have not come through in time.
    pub fn deny(&mut self) {
        self.denied = true;
    }

    /// Takes the catalog by another policy. What was opened under the old one (portals, SQL's
    /// cursors, prepared statements) shows nothing any more that was not judged again.
    pub fn renew_policy(&mut self, view: Arc<View>) {
        self.policy_since = Some(view.epoch());
        self.judging = true;
        self.renewed = true;
        self.renew(view);
    }

    /// What a portal is remembered as when it is bound: after a change of policy those that
    /// touch nothing classified, too, so that they differ from those that came before it.
    pub(super) fn bound(&self, judged: Option<Rc<Prepared>>) -> Option<Rc<Prepared>> {
        let remembered = || self.policy_since.map(|epoch| Rc::new(Prepared::new(None, epoch, None)));
        judged.or_else(remembered)
    }

    /// Was a portal opened under another policy than the one that holds?
    pub(super) fn is_outlived(&self, portal: &Meaning) -> bool {
        self.policy_since.is_some_and(|since| match portal {
            Meaning::Plain => true,
            Meaning::Judged(prepared) => prepared.epoch < since,
            Meaning::Unsettled => false,
        })
    }

    /// This session has changed the catalog, and it can be read again.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        self.certainty.is_outdated()
    }

    /// Might SQL's EXECUTE of this name reach a text that was judged by an older catalog, or
    /// by none: one of SQL's own PREPARE?
    pub(super) fn has_outlived(&self, name: &[u8]) -> bool {
        let Some(view) = &self.view else { return self.renewed };
        // Where somebody's code cannot be followed, what was harmless may run it now.
        let unchanged = if view.has_unfollowed() { view.epoch() } else { view.snapshot().meant_since() };
        let prepared = self.queue.names.prepared_at(name).or(self.since);
        self.renewed && prepared.is_none_or(|prepared| prepared < unchanged)
    }

    /// Has this session changed the catalog, or may it have, and the catalog was not read since?
    #[must_use]
    pub fn may_have_defined(&self) -> bool {
        self.certainty.may_have_defined()
    }

    /// There is a newer catalog than the one that this session judges by, and it can take that only when
    /// nothing is under way: until then nobody knows what a new text means.
    pub fn note_newer(&mut self, newer: bool) {
        self.newer = newer && !self.is_settled();
    }

    /// Is anybody else's definition about to be known here?
    pub(super) fn is_barred(&self) -> bool {
        self.barred.as_ref().is_some_and(|barred| barred.tables.contains(ANYTHING))
    }

    /// Has its transaction defined what nobody but the server knows before COMMIT, so that any name may
    /// stand for code that shows what is legible?
    pub(super) fn shows_anything(&self) -> bool {
        self.has_unknown() && self.view.as_ref().is_some_and(|view| view.has_legible())
    }

    /// Has its open transaction defined what nobody but the server knows?
    pub(super) fn has_unknown(&self) -> bool {
        self.certainty.defines() && self.overlay.is_unknown()
    }
}
