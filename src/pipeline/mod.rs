//! The two streets as one synchronous state machine a session: bytes in, bytes and needs out.
//!
//! [`Session::request`] walks the client's frames towards the server,
//! [`Session::response`] the server's towards the client; [`owed`] ties each answer to the
//! request it belongs to. Frames that touch nothing classified pass as runs of bytes; only
//! the others are read. What the machine cannot know it asks for as a [`Need`]; it has no
//! clock, no socket and no thread.

mod about;
mod accounts;
mod again;
mod by_name;
mod certainty;
#[cfg(any(test, feature = "fuzzing"))]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is what a fuzzer looks for")]
mod changeable;
mod clear;
mod copies;
mod copying;
mod doors;
mod ends;
mod errand;
mod fenced;
#[cfg(any(test, feature = "fuzzing"))]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is what a fuzzer looks for")]
mod fuzz;
mod held;
#[cfg(any(test, feature = "fuzzing"))]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is what a fuzzer looks for")]
mod honest;
#[cfg(test)]
mod hostile;
mod judged;
mod kind;
mod late;
mod leases;
mod letters;
mod names;
mod overlay;
mod owed;
mod pending;
mod plan;
mod question;
mod refusing;
mod release;
mod renewal;
mod replicate;
mod request;
mod response;
mod session;
mod shape;
mod stated;
mod stream;
mod styled;
mod subjects;
mod told;
mod transaction;
mod underway;
mod values;
mod view;
mod watched;

#[cfg(any(test, feature = "fuzzing"))]
pub use changeable::fuzz_changes;
pub use errand::{Errand, Finding};
#[cfg(any(test, feature = "fuzzing"))]
pub use fuzz::fuzz_session;
#[cfg(any(test, feature = "fuzzing"))]
pub use honest::fuzz_answers;
pub use plan::{PlanCache, Workshop};
pub use session::{ANYTHING, Bounds, Event, Session};
pub use stream::Walsender;
pub use underway::{Barred, Underway};
pub use view::View;

use crate::policy::Refusal;

/// What one call did with the head of its input.
pub enum Step {
    /// The first `n` bytes go on as they are, after what is already in `out`.
    Pass(usize),
    /// The first `n` bytes are used up; what takes their place is in `out`.
    Took(usize),
    /// Nothing moves until this is met.
    Need(Need),
    /// The session ends; the client is told why as a FATAL error.
    End(Box<Refusal>),
}

/// What the machine waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// More bytes of the same direction.
    Input,
    /// The server must answer what it already has.
    Settle,
    /// A record must become durable ([`Session::acknowledge`]).
    Durable,
    /// The catalog must be read again ([`Session::renew`]).
    Catalog,
    /// It must be certain that the catalog is as it was read, and that nobody is changing it
    /// ([`Session::confirm`]).
    Confirmation,
    /// This session is about to change tables that others judge by
    /// ([`Session::moving`], [`Session::announce`]).
    Fence,
    /// Another session is changing a table that this one uses ([`Session::bar`], [`Session::deny`]).
    Passage,
    /// A long text must be judged elsewhere ([`Session::take_errand`], [`Session::take_finding`]).
    Judgement,
}
