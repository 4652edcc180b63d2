//! What must be certain of other sessions before a plan is used: what they change, and what they have
//! under way.

use std::sync::Arc;

use super::certainty::Sure;
use super::plan::Plan;
use super::session::Session;
use super::{Need, Step};
use crate::policy::Refusal;

impl Session {
    /// What must be certain of other sessions, too, before a plan is used: where it rests on
    /// the order of a table's columns, that nobody is changing it.
    pub(super) fn settles(&mut self, plan: &Plan, runs: bool) -> Option<Result<Step, Refusal>> {
        if runs && let Some(fence) = self.fence(plan) {
            return Some(fence);
        }
        if let Some(passage) = self.passage(plan) {
            return Some(passage);
        }
        let own =
            |table: &Arc<str>| self.view.as_ref().is_some_and(|view| self.overlay.has_made(table, view));
        if plan.is_positional() && !plan.relations().all(own) || plan.joins() {
            self.rests_on_relations = plan.joins();
            let detail = if plan.joins() {
                "A NATURAL JOIN rests on the names of columns, which may have changed in this batch or transaction."
            } else {
                "An INSERT without a list of columns, or * or an alias where the place of each column counts, rests on their order, which may have changed in this batch or transaction, or be changing in another session."
            };
            let hint = if plan.joins() { "Write JOIN ... ON, or USING." } else { "List the columns." };
            let refused = || Some(Err(Refusal::unhandled("unsettled-columns", detail, hint)));
            match (self.certainty.of_code(self.queue.boundaries()), self.confirmed.take()) {
                (Sure::NotInThisBatch, _) | (Sure::Yes, Some(false)) => return refused(),
                (Sure::Later, _) => return Some(Ok(Step::Need(Need::Settle))),
                (Sure::Yes, None) => return Some(Ok(Step::Need(Need::Confirmation))),
                (Sure::Yes, Some(true)) => {}
            }
        }
        None
    }

    /// Makes known to other sessions what a plan is about to change, before it runs.
    pub(super) fn fence(&mut self, plan: &Plan) -> Option<Result<Step, Refusal>> {
        if !self.naming_anew.is_empty() {
            // It is asked once more, and the others do not know yet.
            return Some(Ok(Step::Need(Need::Fence)));
        }
        if plan.prepares() && !self.coming.is_empty() {
            let detail = "PREPARE TRANSACTION behind a new name of what is classified: anybody could commit it, unseen.";
            return Some(Err(Refusal::unhandled("definition", detail, "COMMIT the definition by itself.")));
        }
        let mut names = self.names_anew(plan);
        names.retain(|name| !self.named_anew.contains(name));
        if names.is_empty() && (!plan.moves() || self.announced) {
            return None;
        }
        if std::mem::take(&mut self.overtaken) {
            let detail =
                "Statements of other sessions are under way, and may use the name that this one gives.";
            let hint = "Send it again when they have ended; \"sealgate watch status\" shows those that are on record.";
            return Some(Err(Refusal::unhandled("definition-underway", detail, hint)));
        }
        self.moving.extend(plan.moved().cloned());
        self.naming_anew = names;
        Some(Ok(Step::Need(Need::Fence)))
    }

    /// Waits for those who are changing a table that this plan uses, unless this transaction
    /// uses it already: then they wait for it.
    pub(super) fn passage(&mut self, plan: &Plan) -> Option<Result<Step, Refusal>> {
        if plan.touches()
            && let Some(barred) = self.barred.clone()
            && let Some(table) =
                plan.relations().find(|table| barred.tables.contains(*table) && !self.in_use.contains(*table))
        {
            if !std::mem::take(&mut self.denied) {
                return Some(Ok(Step::Need(Need::Passage)));
            }
            let detail = format!("Another session is changing \"{table}\" and has not ended.");
            let hint = "Send the statement again when it has.";
            return Some(Err(Refusal::unhandled("definition-underway", &detail, hint)));
        }
        if plan.touches() {
            self.in_use.extend(plan.relations().cloned());
        }
        None
    }
}
