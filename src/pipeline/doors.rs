//! Sessions of databases in which nothing is classified. Their bytes pass as they are, but for a
//! text that would give another database a name of which the policy does not speak: that is looked
//! for in every Query and Parse, and refused as elsewhere.

use std::sync::Arc;

use super::Step;
use super::owed::Target;
use super::plan::Workshop;
use super::session::Session;
use crate::policy::Refusal;
use crate::statement::{Doors, Scan};
use crate::wire::frontend::{self, Parse};
use crate::wire::{Frame, Malformed};

/// A message of this length is waited for, so that it can be refused by itself; a longer one
/// passes as it comes, and ends the session where it must not.
const WAITED_BYTES_MAX: usize = 64 * 1024;

/// What to do with a message that has not wholly arrived.
pub(super) enum Watched {
    No,
    Wait,
    /// It passes, and is scanned meanwhile.
    Scan,
}

/// What a session looks for where nothing is classified.
#[derive(Default)]
pub(super) struct Watch {
    doors: Option<Arc<Doors>>,
    /// Of the message that is passing.
    scan: Option<Scan>,
}

impl Watch {
    /// What becomes of a message of which a part is there.
    pub fn part(&self, tag: u8, length: usize) -> Watched {
        match tag {
            b'Q' | b'P' if self.doors.is_some() && length <= WAITED_BYTES_MAX => Watched::Wait,
            b'Q' | b'P' if self.doors.is_some() => Watched::Scan,
            _ => Watched::No,
        }
    }

    /// Must a message be judged?
    pub fn concerns(&self, frame: Frame<'_>) -> bool {
        matches!(frame.tag(), b'Q' | b'P')
            && self.doors.as_ref().is_some_and(|doors| doors.may_stand_in(frame.body()))
    }

    /// A long message begins to pass.
    pub fn begin(&mut self) {
        self.scan = Some(Scan::default());
    }

    /// Some of it is about to: may it? `last`: the rest of it.
    ///
    /// # Errors
    /// What came so far may be a door.
    pub fn pass(&mut self, bytes: &[u8], last: bool) -> Result<(), Refusal> {
        let Some((scan, doors)) = self.scan.as_mut().zip(self.doors.as_ref()) else { return Ok(()) };
        scan.feed(bytes);
        if doors.may_stand(scan) {
            let detail =
                "A message of more than 64 kB may give another name to a database that the policy names.";
            let hint = "Send CREATE DATABASE and ALTER DATABASE by themselves; send values as parameters.";
            return Err(Refusal::unhandled("database", detail, hint));
        }
        if last {
            self.scan = None;
        }
        Ok(())
    }
}

impl Session {
    /// What to look for in a database in which nothing is classified; none: nothing.
    pub fn watch_doors(&mut self, doors: Option<Arc<Doors>>) {
        self.doors.doors = doors;
    }

    /// A text that may have a door.
    pub(super) fn take_watched(
        &mut self,
        shop: &Workshop,
        frame: Frame<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Step, Malformed> {
        let (text, target) = if frame.tag() == b'P' {
            let parse = Parse::read(frame.body())?;
            (parse.text, Target::Parse(parse.name.into()))
        } else {
            (frontend::read_query(frame.body())?, Target::Query)
        };
        let doors = self.doors.doors.clone();
        let text = match self.in_utf8(text) {
            Ok(text) => text,
            Err(refusal) => return Ok(self.refuse(frame.len(), &target, refusal, None, out)),
        };
        match doors.map(|doors| shop.judge_doors(&doors, &text, self.reading)) {
            Some(Ok(wanted)) => self.wanted.extend(wanted),
            None => {}
            Some(Err(unproven)) => {
                let refusal = Refusal::unproven(&unproven);
                return Ok(self.refuse(frame.len(), &target, refusal, None, out));
            }
        }
        out.extend_from_slice(frame.bytes());
        self.note(frame.tag(), frame.bytes());
        Ok(Step::Took(frame.len()))
    }
}
