//! One direction of a session: bytes that came and are not used up, bytes that wait to go.
//!
//! Both buffers are empty while a session is idle; reading happens into a scratch buffer
//! that all sessions of a thread share, and what can be written at once never enters one.

use std::io::{self, ErrorKind};

use zeroize::Zeroize;

use crate::pipeline::{Need, Step};
use crate::policy::Refusal;
use crate::transport::Channel;

/// Bytes read at a time; also the size of a thread's scratch buffer.
pub const READ_BYTES: usize = 64 * 1024;

/// Room that an idle session keeps for each buffer.
const KEPT_BYTES: usize = 4 * 1024;

/// With this much waiting to go, nothing more is taken up.
const WAITING_BYTES_MAX: usize = 256 * 1024;

/// Why a lane stops for good.
pub enum Stop {
    /// A peer is gone.
    Closed,
    /// The machine ended the session.
    Refused(Box<Refusal>),
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Stop {
        Stop::Closed
    }
}

/// One direction.
pub struct Lane {
    inlet: Vec<u8>,
    /// Bytes of `inlet` already used; 0 <= used <= inlet.len().
    used: usize,
    outlet: Vec<u8>,
    /// Bytes of `outlet` already written; 0 <= written <= outlet.len().
    written: usize,
    /// The channel took bytes that its socket did not take yet.
    unsent: bool,
    pub need: Need,
    pub eof: bool,
}

impl Lane {
    /// `early`: bytes that came with the login; they are walked before anything is read.
    pub fn new(early: Vec<u8>) -> Lane {
        let need = if early.is_empty() { Need::Input } else { Need::Settle };
        Lane { inlet: early, used: 0, outlet: Vec::new(), written: 0, unsent: false, need, eof: false }
    }

    pub fn is_waiting_to_write(&self) -> bool {
        self.written < self.outlet.len() || self.unsent
    }

    /// May what waits go now? While a record is awaited it stays, to go with what the
    /// record releases in one write.
    pub fn wants_output(&self) -> bool {
        self.is_waiting_to_write() && self.need != Need::Durable
    }

    /// May more be read? Only if what came before is used up as far as it can be.
    pub fn wants_input(&self) -> bool {
        self.need == Need::Input && !self.eof && !self.is_waiting_to_write()
    }

    /// All that was read has gone as far as it can, and out.
    pub fn is_spent(&self) -> bool {
        self.need == Need::Input && !self.is_waiting_to_write()
    }

    /// The peer has closed, and all that it sent has gone on as far as it can.
    pub fn is_over(&self) -> bool {
        self.eof && self.need == Need::Input && !self.is_waiting_to_write()
    }

    /// What came before is walked again, before more is read.
    pub fn resume(&mut self) {
        if self.need == Need::Input && self.used < self.inlet.len() {
            self.need = Need::Settle;
        }
    }

    /// Called when nothing is under way.
    pub fn rest(&mut self) {
        shrink(&mut self.inlet);
        shrink(&mut self.outlet);
    }

    pub fn outlet(&mut self) -> &mut Vec<u8> {
        &mut self.outlet
    }

    /// Writes what waits, as far as the peer takes it. True if anything moved.
    pub fn flush(&mut self, sink: &mut Channel) -> Result<bool, Stop> {
        let mut moved = false;
        while self.written < self.outlet.len() {
            match sink.try_write(self.outlet.get(self.written..).unwrap_or(&[])) {
                Ok(count) => {
                    self.written += count;
                    moved = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        if self.written > 0 && self.written == self.outlet.len() {
            release(&mut self.outlet, &mut self.written);
        }
        match sink.try_flush() {
            Ok(()) => moved |= std::mem::take(&mut self.unsent),
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.unsent = true,
            Err(error) => return Err(error.into()),
        }
        Ok(moved)
    }

    /// Reads once, walks what is there, writes once. True if anything moved.
    pub fn pump(
        &mut self,
        source: &mut Channel,
        sink: &mut Channel,
        scratch: &mut [u8],
        mut walk: impl FnMut(&[u8], &mut Vec<u8>) -> Step,
    ) -> Result<bool, Stop> {
        let mut moved = false;
        if self.wants_output() {
            moved = self.flush(sink)?;
            if self.is_waiting_to_write() {
                return Ok(moved);
            }
        }
        if self.need != Need::Input {
            moved |= self.walk_inlet(sink, &mut walk)?;
        }
        if self.wants_input() {
            moved |= self.read(source, sink, scratch, &mut walk)?;
        }
        if self.wants_output() {
            moved |= self.flush(sink)?;
        }
        Ok(moved)
    }

    fn read(
        &mut self,
        source: &mut Channel,
        sink: &mut Channel,
        scratch: &mut [u8],
        walk: &mut impl FnMut(&[u8], &mut Vec<u8>) -> Step,
    ) -> Result<bool, Stop> {
        let count = match source.try_read(scratch) {
            Ok(0) => {
                self.eof = true;
                return Ok(true);
            }
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let fresh = scratch.get_mut(..count).unwrap_or(&mut []);
        if self.used < self.inlet.len() {
            self.inlet.extend_from_slice(fresh);
            self.walk_inlet(sink, walk)?;
        } else {
            let used = self.walk(fresh, sink, walk)?;
            self.inlet.extend_from_slice(fresh.get(used..).unwrap_or(&[]));
        }
        // The scratch buffer outlives this call, so a plain fill is not optimised away.
        fresh.fill(0);
        Ok(true)
    }

    /// Takes up to `most` bytes of a message that passes as it comes, to be written: those that
    /// came before, else what is there to be read. 0: nothing is.
    pub fn take(&mut self, source: &mut Channel, scratch: &mut [u8], most: usize) -> Result<usize, Stop> {
        let before = self.inlet.get(self.used..).unwrap_or(&[]);
        if !before.is_empty() {
            let count = before.len().min(most);
            self.outlet.extend_from_slice(before.get(..count).unwrap_or(before));
            self.used += count;
            return Ok(count);
        }
        let room = scratch.len().min(most);
        let buffer = scratch.get_mut(..room).unwrap_or(&mut []);
        match source.try_read(buffer) {
            Ok(0) => Err(Stop::Closed),
            Ok(count) => {
                let fresh = buffer.get_mut(..count).unwrap_or(&mut []);
                self.outlet.extend_from_slice(fresh);
                fresh.fill(0);
                Ok(count)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Walks what came before.
    pub fn walk_inlet(
        &mut self,
        sink: &mut Channel,
        walk: &mut impl FnMut(&[u8], &mut Vec<u8>) -> Step,
    ) -> Result<bool, Stop> {
        let inlet = std::mem::take(&mut self.inlet);
        let before = self.used;
        let walked = self.walk(inlet.get(before..).unwrap_or(&[]), sink, walk);
        self.inlet = inlet;
        let count = walked?;
        self.used += count;
        if self.used == self.inlet.len() {
            release(&mut self.inlet, &mut self.used);
        } else if self.used >= READ_BYTES {
            // What a long run of frames has used up gives its room back.
            let left = self.inlet.len() - self.used;
            self.inlet.copy_within(self.used.., 0);
            self.inlet.get_mut(left..).unwrap_or(&mut []).zeroize();
            self.inlet.truncate(left);
            self.used = 0;
        }
        Ok(count > 0)
    }

    /// Steps through `input` until the machine needs something; says how much was used.
    fn walk(
        &mut self,
        input: &[u8],
        sink: &mut Channel,
        walk: &mut impl FnMut(&[u8], &mut Vec<u8>) -> Step,
    ) -> Result<usize, Stop> {
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or(&[]);
            match walk(rest, &mut self.outlet) {
                Step::Pass(count) => {
                    let run = rest.get(..count).unwrap_or(&[]);
                    let direct = count == rest.len() && self.outlet.is_empty();
                    let sent = if direct { try_write(sink, run)? } else { 0 };
                    self.unsent |= sink.has_unsent();
                    self.outlet.extend_from_slice(run.get(sent..).unwrap_or(&[]));
                    at += count;
                }
                Step::Took(count) => at += count,
                Step::Need(need) => {
                    self.need = need;
                    return Ok(at);
                }
                Step::End(refusal) => return Err(Stop::Refused(refusal)),
            }
            if self.outlet.len() - self.written > WAITING_BYTES_MAX {
                self.flush(sink)?;
                if self.is_waiting_to_write() {
                    // Any need but Input: the rest is walked again once this is written.
                    self.need = Need::Settle;
                    return Ok(at);
                }
            }
        }
    }
}

fn try_write(sink: &mut Channel, bytes: &[u8]) -> Result<usize, Stop> {
    match sink.try_write(bytes) {
        Ok(count) => Ok(count),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Wipes a buffer that is used up and keeps its room.
fn release(buffer: &mut Vec<u8>, mark: &mut usize) {
    buffer.fill(0);
    buffer.clear();
    *mark = 0;
}

/// Gives a large buffer back that is not in use; it was wiped when it was used up.
fn shrink(buffer: &mut Vec<u8>) {
    if buffer.is_empty() && buffer.capacity() > KEPT_BYTES {
        *buffer = Vec::new();
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.inlet.zeroize();
        self.outlet.zeroize();
    }
}
