//! What exists upstream and what of it is personal, as an immutable [`Snapshot`].
//!
//! This room is pure data: `store::catalog` loads it from a server, `statement` reads it.
//! A snapshot carries an epoch; whoever keeps something derived from one (a plan, a
//! shape) keeps the epoch beside it and judges again when it differs.

mod bound;
mod change;
mod code;
mod field;
mod fit;
mod followed;
mod kind;
mod logical;
#[cfg(test)]
mod logical_tests;
mod own;
mod path;
mod pattern;
mod sharing;
mod snapshot;
#[cfg(test)]
mod snapshot_tests;
mod spoken;
pub mod stock;
mod unfit;

pub use bound::Bound;
pub use change::{Change, EPOCHS_APART, Origin};
pub use code::{Called, Code, Codes, Declared, RelationCode, Stranger, Strangers, Verdict};
pub use field::{Domain, DomainName, Field, FieldId, FieldState, Mode, QualifiedName};
pub use fit::{Consequence, Lack, Misfit};
pub use followed::{CursorName, Followed, Opening};
pub use kind::{Kind, Normal, Normalize, PAD_MAX};
pub use logical::{BASES, Base, Family, Logical, NO_MODIFIER};
pub use own::{OwnFound, OwnType};
pub use path::{Creation, Names, Reach, SearchPath, TEMPORARY, is_temporary};
pub use pattern::{Classification, PolicyField, SchemaPattern};
pub use sharing::{Shared, Sharing};
pub use snapshot::{Column, ForeignServer, Named, Reaching, Relation, RelationKind, Snapshot, SnapshotParts};
pub use spoken::Spoken;
pub use unfit::{Refused, Refuses, Unfit, Weight};
