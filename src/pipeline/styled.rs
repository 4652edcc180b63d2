//! How a session writes text, dates and times: what is certain of it when values are read, and when they are shown.
//! The server tells it when a batch is over; what comes before is read as it was, where it means one thing.

use super::certainty::Sure;
use super::letters::of_copy;
use super::names::Prepared;
use super::plan::Plan;
use super::session::Session;
use super::values::{Manner, holds_styled, shows_sealed, shows_styled};
use super::{Need, Step};
use crate::policy::Refusal;
use crate::statement::{Encoding, StatementFacts};
use crate::wire::frontend::Bind;

impl Session {
    /// How values are written and read.
    pub(super) fn manner(&self, sure: bool) -> Manner<'_> {
        Manner { style: &self.style, sure, charset: self.letters.charset() }
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

    /// Sealed text is UTF-8 inside, and that of few encodings is converted. `plan`: what is about to run.
    pub(super) fn can_write(&self, plan: &Plan) -> Result<(), Refusal> {
        if self.reading.encoding == Encoding::Other && plan.touches() {
            return Err(Refusal::not_converted());
        }
        let mut copies = plan.facts.statements.iter().filter_map(|facts| facts.copy.as_ref());
        if copies.any(|copy| !copy.format.is_ascii() && of_copy(copy, self.letters.charset()).is_some()) {
            let detail = "NULL or DEFAULT of COPY has characters beyond ASCII, and its data is not in UTF8.";
            return Err(Refusal::unhandled("copy", detail, "Write them in ASCII."));
        }
        self.will_speak(plan)
    }

    /// The same of a row that is about to be shown, and of data that is about to be taken: the server has
    /// said by now what it was asked for before them.
    pub(super) fn can_convert(&self) -> Result<(), Refusal> {
        if self.reading.encoding == Encoding::Other { Err(Refusal::not_converted()) } else { Ok(()) }
    }

    /// Is it certain in which encoding the values of a Bind are? What means the same in each is.
    pub(super) fn settles_values(
        &self,
        prepared: &Prepared,
        bind: &Bind<'_>,
    ) -> Option<Result<Step, Refusal>> {
        let mut given = bind.values.iter().flatten();
        let takes = |facts: &StatementFacts| !facts.parameters.is_empty();
        let takes = prepared.plan.iter().flat_map(|plan| &plan.facts.statements).any(takes);
        if !takes || given.all(|value| value.is_ascii()) {
            return None;
        }
        match self.certainty.encoding_of_values() {
            Sure::Yes => None,
            Sure::Later => Some(Ok(Step::Need(Need::Settle))),
            Sure::NotInThisBatch => {
                let detail = "client_encoding may be changed earlier in the same batch.";
                let hint = "Send it after Sync.";
                Some(Err(Refusal::unhandled("unsettled-reading", detail, hint)))
            }
        }
    }

    /// Refuses to show dates and times behind what changes their form in the same batch or text, and what is
    /// sealed behind what may change the encoding: the server says it only at the end.
    pub(super) fn shows_surely(&self, plan: &Plan) -> Result<(), Refusal> {
        let Some(view) = &self.view else { return Ok(()) };
        let refused = |detail| {
            Err(Refusal::unhandled("unsettled-reading", detail, "Send it after Sync, in a text of its own."))
        };
        let mut changes = self.certainty.encoding(0) == Sure::NotInThisBatch;
        let mut converts = self.certainty.converts();
        for facts in &plan.facts.statements {
            let takes = facts.copy.as_ref().is_some_and(|copy| copy.from);
            if changes && (takes || shows_styled(view, facts)) {
                return refused(
                    "DateStyle, IntervalStyle, TimeZone or client_encoding may be changed earlier in the same batch or text.",
                );
            }
            if (converts || facts.effect.converts) && shows_sealed(view, facts) {
                return refused("client_encoding may be changed in the same batch or text.");
            }
            changes |= facts.effect.reading;
            // Back to another one leads whatever ends or undoes a transaction, and RESET.
            converts |= facts.effect.converts || self.letters.has_turned();
        }
        Ok(())
    }

    /// The same of a statement that is bound: behind what has gone before it in its batch.
    pub(super) fn binds_surely(&self, plan: &Plan) -> Result<(), Refusal> {
        let doubted = self.letters.has_turned() && self.certainty.has_doubt();
        let sealed = self
            .view
            .as_ref()
            .is_some_and(|view| plan.facts.statements.iter().any(|facts| shows_sealed(view, facts)));
        if doubted && sealed {
            let detail = "client_encoding may be changed in the same batch or text.";
            return Err(Refusal::unhandled("unsettled-reading", detail, "Send it after Sync."));
        }
        Ok(())
    }
}
