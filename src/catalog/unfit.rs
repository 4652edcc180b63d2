//! What does not fit: a table or a column of the policy that cannot hold sealed values as it is, or of
//! whose values something in the schema expects what sealing takes away.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::field::QualifiedName;

/// What it leads to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Weight {
    /// Answers would be wrong: statements are refused.
    Wrong,
    /// Room, time, or a copy: nothing is refused.
    Costs,
    /// Nothing, but it is worth knowing.
    Tells,
}

/// Which statements on a table are refused, beside those that use the column itself.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Refuses {
    pub reads: bool,
    pub inserts: bool,
    pub updates: bool,
    pub deletes: bool,
}

impl Refuses {
    pub const NOTHING: Refuses = Refuses { reads: false, inserts: false, updates: false, deletes: false };
    pub const INSERTS: Refuses = Refuses { inserts: true, ..Refuses::NOTHING };
    pub const UPDATES: Refuses = Refuses { updates: true, ..Refuses::NOTHING };
    pub const WRITES: Refuses = Refuses { reads: false, inserts: true, updates: true, deletes: true };
    pub const ALL: Refuses = Refuses { reads: true, ..Refuses::WRITES };
}

/// One thing that does not fit. Its texts name objects and hold no expression: those may hold values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unfit {
    /// Lasting, for programs: `docs/OPERATION.md` has them all.
    pub code: &'static str,
    pub weight: Weight,
    pub table: QualifiedName,
    /// None: the table as a whole.
    pub column: Option<Arc<str>>,
    pub says: String,
    /// Statements that mend it, without their `;`. Empty where none can without knowing more.
    pub mends: Vec<String>,
    pub refuses: Refuses,
}

/// Why statements of a kind are refused on a table, whichever columns they use.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Refused {
    pub inserts: Option<Arc<str>>,
    pub updates: Option<Arc<str>>,
    pub deletes: Option<Arc<str>>,
    /// Columns to which UPDATE may assign nothing: with one that is sealed they decide what the schema
    /// holds them to.
    pub assigned: BTreeMap<Arc<str>, Arc<str>>,
    /// Columns that must be given a value: what the schema puts into them otherwise is not sealed.
    pub unfilled: BTreeMap<Arc<str>, Arc<str>>,
    /// The policy has a column that the table does not have (yet).
    pub awaits: bool,
}
