//! A refusal, as the server itself answers it: in its order, and with what it does to a transaction.

use std::rc::Rc;

use super::Step;
use super::certainty::Doubt;
use super::names::{Change, Prepared};
use super::owed::{Kind, Mark, Target};
use super::plan::Plan;
use super::session::{Session, too_many_names};
use crate::policy::Refusal;
use crate::wire::frontend;

impl Session {
    /// Refuses a text as the client wrote it.
    pub(super) fn refuse_own_text(
        &mut self,
        consumed: usize,
        target: &Target,
        refusal: Refusal,
        text: &[u8],
        out: &mut Vec<u8>,
    ) -> Step {
        match self.in_utf8(text) {
            Ok(text) => self.refuse_text(consumed, target, refusal, &text, out),
            Err(_) => {
                self.fails_unseen();
                self.refuse(consumed, target, refusal, None, out)
            }
        }
    }

    /// Refuses a text, in UTF-8; the names that its PREPAREs would have made mean nothing that a value
    /// may be given to.
    pub(super) fn refuse_text(
        &mut self,
        consumed: usize,
        target: &Target,
        refusal: Refusal,
        text: &[u8],
        out: &mut Vec<u8>,
    ) -> Step {
        if !self.fails_to_prepare(text) {
            return self.end(too_many_names());
        }
        self.about_text(text);
        self.refuse(consumed, target, refusal, None, out)
    }

    /// Sends, in place of what is refused, a message that the server itself must refuse; its
    /// error is dressed on the way back.
    pub(super) fn refuse(
        &mut self,
        consumed: usize,
        target: &Target,
        refusal: Refusal,
        plan: Option<&Plan>,
        out: &mut Vec<u8>,
    ) -> Step {
        self.note_refusal(&refusal, plan);
        self.probe = None;
        let mut poison = b"sealgate refused ".to_vec();
        poison.extend_from_slice(&self.mark);
        let kind = match target {
            Target::Query => {
                frontend::put_query(out, &poison);
                Kind::Query
            }
            Target::Parse(name) => {
                frontend::put_parse(out, name, &poison, &[]);
                Kind::Parse
            }
            Target::Bind(portal) => {
                frontend::put_empty_bind(out, portal, &poison);
                Kind::Bind
            }
            Target::Execute => {
                frontend::put_execute(out, &poison, 0);
                Kind::Execute
            }
            Target::Describe => {
                frontend::put_describe_portal(out, &poison);
                Kind::Describe
            }
        };
        let change = match target {
            Target::Parse(name) => {
                self.judging = true;
                Some(Change::Statement(name.clone(), Some(Rc::new(Prepared::failed()))))
            }
            Target::Query | Target::Bind(_) | Target::Execute | Target::Describe => None,
        };
        // The server runs nothing of it.
        self.owe(kind, Mark { refusal: Some(refusal), change, ..Mark::default() }, Doubt::NONE);
        self.queue.refused();
        Step::Took(consumed)
    }
}
