//! SQL to [`StatementFacts`]: pure data about what a text does with classified columns.
//!
//! The reading order is the order of [`analyse`]: [`Prefilter`] on the raw bytes, then
//! `bounds`, `tree` (PostgreSQL's own grammar), `census` (what is in the tree, found
//! without knowing it), then an allow-list of what may be done with classified columns
//! (`scope` and `flow`; `compare` and `call` in expressions; `query`, `from` and `change`
//! for clauses; `definition` and `table` for the rest; `doors` for what leaves the policy whatever it
//! names, found by `scan`), `reader` (a second, independent
//! lexer that must agree) and `shape`. `literal` puts sealed text in the place of a literal,
//! `spelling` writes what could be read otherwise so that it cannot; `sort` tells sorts of statements apart; `matters` is what they share.
//! `standing` says what a schema's own expressions do with sealed columns; `named` and `described` tell the record of definitions and of what was refused, and
//! `replication` reads a walsender's commands, which are not SQL.
//!
//! The syntax tree never leaves this folder. What is not on a list is refused.

mod body;
mod bounds;

mod call;
mod census;
mod change;
mod compare;
mod conninfo;
mod definition;
mod described;
mod doors;
mod facts;
mod flow;
mod from;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;
mod judge;
mod links;
mod literal;
mod matters;
mod named;
mod opaque;
mod prefilter;
mod prepare;
mod query;
mod reader;
mod refusal;
mod replication;
mod scan;
mod scope;
mod shape;
mod sort;
mod spelling;
mod standing;
mod table;
mod tree;

pub use body::unfollowed;
pub use bounds::{Limits, STACK_BYTES_MIN};
pub use described::{Description, describe};
pub use doors::Doors;
pub use facts::{
    Action, Edit, Effect, LiteralUse, ParameterUse, Remedy, ResultColumn, StatementFacts, TextFacts, Unproven,
};
#[cfg(any(test, feature = "fuzzing"))]
pub use fuzz::fuzz_analyse;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use fuzz::{fuzz_snapshot, fuzz_spelled};
pub use judge::analyse;
pub use literal::{literal_value, quote_sealed, splice};
pub use prefilter::Prefilter;
pub use prepare::prepared_names;
pub use replication::{PUBLICATIONS_MAX, Replication, ReplicationCommand, Stream, replication_command};
pub use scan::Scan;
pub use spelling::{NEUTRAL_BYTES_MAX, blanked, is_neutral};
pub use standing::{Sealed, Standing, Uses, uses};
pub use tree::{Encoding, Reading};

#[cfg(test)]
mod claims;
#[cfg(test)]
mod evidence;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod shop;
