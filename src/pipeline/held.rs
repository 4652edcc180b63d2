//! Messages that wait for their record: a write goes to the server when its intents are on disk.

use super::about::About;
use super::certainty::Doubt;
use super::owed::Kind;
use super::session::{Held, Session};
use super::transaction::Ended;
use super::{Need, Step};

impl Session {
    /// Sends a cleared message; a write first waits for its intents to be durable.
    pub(super) fn send(&mut self, held: Held, writes: bool, out: &mut Vec<u8>) -> Step {
        if writes {
            self.held = Some(held);
            return Step::Need(Need::Durable);
        }
        self.send_held(held, out)
    }

    fn send_held(&mut self, held: Held, out: &mut Vec<u8>) -> Step {
        out.extend_from_slice(held.cleared.bytes());
        if let Some(describe) = held.describe {
            self.owe(Kind::Describe, describe, Doubt::NONE);
        }
        self.owe(held.kind, held.mark, held.doubt);
        Step::Took(held.consumed)
    }

    /// A held write goes on once each of its intents has its receipt.
    pub(super) fn resume(&mut self, out: &mut Vec<u8>) -> Step {
        let Some(mut held) = self.held.take() else { return Step::Need(Need::Input) };
        if self.discards(0) {
            // An earlier request of the batch failed: the server would discard it.
            self.drop_runs(held.mark.runs, None, Ended::Undone);
            return Step::Took(held.consumed);
        }
        for run in held.mark.runs.iter_mut().flatten() {
            match self.claim_receipt(run) {
                Ok(true) => {}
                Ok(false) => {
                    self.held = Some(held);
                    return Step::Need(Need::Durable);
                }
                Err(refusal) => {
                    self.about = Some(About::run(run));
                    self.drop_recorded(held.mark.runs, Some(*b"SG006"), Ended::Undone);
                    return self.refuse(held.consumed, &held.target, refusal, None, out);
                }
            }
        }
        self.send_held(held, out)
    }
}
