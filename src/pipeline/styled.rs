//! How a session writes dates and times: what is certain of it when values are read, and when they are shown.
//! The server tells it when a batch is over; what comes before is read as it was, where it means one thing.

use super::certainty::Sure;
use super::plan::Plan;
use super::session::Session;
use super::values::{Manner, holds_styled, shows_styled};
use super::{Need, Step};
use crate::policy::Refusal;

impl Session {
    /// How values are written and read.
    pub(super) fn manner(&self, sure: bool) -> Manner<'_> {
        Manner { style: &self.style, sure }
    }

    /// Can nothing have changed how the values of a plan are read since the server said it? An error: what
    /// must come first.
    pub(super) fn reads_surely(&self, plan: &Plan) -> Result<bool, Step> {
        let Some(view) = &self.view else { return Ok(true) };
        if !plan.facts.statements.iter().any(|facts| holds_styled(view, facts)) {
            return Ok(true);
        }
        match self.certainty.of_code(self.queue.boundaries()) {
            Sure::Yes => Ok(true),
            Sure::Later => Err(Step::Need(Need::Settle)),
            Sure::NotInThisBatch => Ok(false),
        }
    }

    /// Refuses to show dates and times behind what changes their form in the same batch or text: the server
    /// says it only at the end.
    pub(super) fn shows_surely(&self, plan: &Plan) -> Result<(), Refusal> {
        let Some(view) = &self.view else { return Ok(()) };
        let changed = self.certainty.encoding(0) == Sure::NotInThisBatch;
        let mut changes = changed;
        for facts in &plan.facts.statements {
            if changes && shows_styled(view, facts) {
                let detail =
                    "DateStyle, IntervalStyle or TimeZone may be changed earlier in the same batch or text.";
                return Err(Refusal::unhandled(
                    "unsettled-reading",
                    detail,
                    "Send it after Sync, in a text of its own.",
                ));
            }
            changes |= facts.effect.reading;
        }
        Ok(())
    }
}
