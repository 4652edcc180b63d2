//! What a result and the parameters of a statement are, as the server describes them: laid beside what the
//! text says, kept for the rows to come, and told to the client as it would be told directly.

use std::rc::Rc;

use super::owed::Kind;
use super::response::Fate;
use super::session::Session;
use super::shape::{Shape, names_classified, names_sealed, unforeseen};
use super::values::told_oids;
use crate::wire::backend;
use crate::wire::{Frame, Malformed};

impl Session {
    /// RowDescription or NoData.
    pub(super) fn description(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) -> Result<Fate, Malformed> {
        let Some(view) = self.view.clone() else {
            self.described();
            return Ok(Fate::Pass);
        };
        let of_describe = self.queue.front().is_some_and(|owed| owed.kind == Kind::Describe);
        if of_describe {
            let mark = self.queue.pop().and_then(|owed| owed.mark);
            let described = mark.as_ref().and_then(|mark| mark.describes.as_ref());
            let swallow = mark.as_ref().is_some_and(|mark| mark.swallow);
            match described
                .and_then(|prepared| Some((prepared, prepared.plan.as_ref()?.facts.statements.first()?)))
            {
                Some((prepared, facts)) => {
                    let shape = if frame.tag() == b'T' {
                        match Shape::new(&backend::read_row_description(frame.body())?, &view, facts) {
                            Ok(shape) => shape,
                            Err(refusal) => return Ok(Fate::End(refusal)),
                        }
                    } else {
                        Shape::empty()
                    };
                    let shape = Rc::new(shape);
                    prepared.shape.replace(Some(Rc::clone(&shape)));
                    if !swallow && frame.tag() == b'T' && shape.told(frame, out)? {
                        return Ok(Fate::Took);
                    }
                }
                // Of a statement that only may read: it has its own description.
                None if mark.as_ref().is_some_and(|mark| mark.possibly) => {
                    if frame.tag() == b'T' && names_sealed(frame, &view)? {
                        return Ok(Fate::End(unforeseen()));
                    }
                }
                None => {
                    if frame.tag() == b'T' && names_classified(frame, &view)? {
                        return Ok(Fate::End(unforeseen()));
                    }
                }
            }
            return Ok(if swallow { Fate::Took } else { Fate::Pass });
        }
        if frame.tag() != b'T' {
            return Ok(Fate::Pass);
        }
        let running = self.queue.front().and_then(|owed| owed.mark.as_mut()).and_then(|mark| mark.running());
        let Some(run) = running else {
            return Ok(if names_classified(frame, &view)? { Fate::End(unforeseen()) } else { Fate::Pass });
        };
        let Some(facts) = run.plan.facts.statements.get(run.index) else {
            return Ok(Fate::End(unforeseen()));
        };
        if !facts.touches() {
            // Code shows what it likes of the legible ones, on record.
            return Ok(if names_sealed(frame, &view)? { Fate::End(unforeseen()) } else { Fate::Pass });
        }
        match Shape::new(&backend::read_row_description(frame.body())?, &view, facts) {
            Ok(shape) => {
                let told = shape.told(frame, out)?;
                run.shape = Some(Rc::new(shape));
                Ok(if told { Fate::Took } else { Fate::Pass })
            }
            Err(refusal) => Ok(Fate::End(refusal)),
        }
    }

    /// ParameterDescription: the client is told what it would be told directly.
    pub(super) fn parameters(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) -> Result<Fate, Malformed> {
        let Some(view) = &self.view else { return Ok(Fate::Pass) };
        let mark = self.queue.front().and_then(|owed| owed.mark.as_ref());
        let Some(prepared) = mark.and_then(|mark| mark.describes.as_ref()) else { return Ok(Fate::Pass) };
        let facts = prepared.plan.as_ref().and_then(|plan| plan.facts.statements.first());
        let Some(facts) = facts.filter(|facts| !facts.parameters.is_empty()) else { return Ok(Fate::Pass) };
        let mut oids = backend::read_parameter_description(frame.body())?;
        if let Some(count) = facts.parameters_of_client() {
            oids.truncate(count);
        }
        told_oids(view, facts, &prepared.types, &mut oids);
        backend::put_parameter_description(out, &oids);
        Ok(Fate::Took)
    }
}
