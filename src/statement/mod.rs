//! SQL to [`StatementFacts`]: pure data about what a text does with classified columns.
//!
//! The reading order is the order of [`analyse`]: [`Prefilter`] on the raw bytes, then the chambers.
//! `read` makes a tree of a text and has it read twice; `follow` follows classified values through
//! it, by an allow-list; `define` does the rest: definitions, and what leaves the policy whatever
//! it names. `by_name` is about what SQL makes and runs by name, `behind` is what one statement of a text makes
//! of those behind it, `opaque` and `body` say which code nobody can follow, `matters` is what they share,
//! `described` tells the record of what was refused, and `replication` reads a walsender's commands,
//! which are not SQL.
//!
//! The syntax tree never leaves this folder. What is not on a list is refused.

mod behind;
mod body;
mod by_name;
mod copying;
mod define;
mod described;
mod facts;
mod follow;
mod function;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;
mod judge;
mod matters;
mod opaque;
mod opening;
mod read;
mod refusal;
mod replication;
mod stating;
mod subject;
mod view;

pub use body::unfollowed;
pub use by_name::{executed, fetched};
pub use copying::followed_trigger;
pub use define::doors::Doors;
pub use define::standing::{Sealed, Standing, Uses, is_sealed_constant, uses};
pub use described::{Description, describe};
pub use facts::{
    Action, Argument, Boundary, Closes, Compared, CopyFacts, Edit, Effect, Executed, Executes, Fetches, Fold,
    LiteralForm, LiteralUse, NameOf, NamedQuery, ParameterUse, Remedy, Renames, ResultColumn, Said, Stated,
    StatementFacts, States, SubjectUse, SubjectValue, Taken, TextFacts, Told, Unproven,
};
pub use function::{Signature, followed_function};
#[cfg(any(test, feature = "fuzzing"))]
pub use fuzz::fuzz_analyse;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use fuzz::{fuzz_snapshot, fuzz_spelled};
pub use judge::analyse;
pub use opening::followed_opening;
pub use read::bounds::{Limits, STACK_BYTES_MIN};
pub use read::literal::{literal_value, quote_sealed, splice};
pub use read::prefilter::Prefilter;
pub use read::prepare::prepared_names;
pub use read::scan::Scan;
pub use read::signs::Signs;
pub use read::spelling::{NEUTRAL_BYTES_MAX, blanked, is_neutral};
pub use read::tree::{Encoding, Reading};
pub use replication::{PUBLICATIONS_MAX, Replication, ReplicationCommand, Stream, replication_command};
pub use view::{Passed, followed_view};

#[cfg(test)]
mod claims;
#[cfg(test)]
mod evidence;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod shop;
