//! Which relations that hold nothing classified have columns of the same names as classified ones: those
//! by which NATURAL JOIN would join.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// See the module's text. Temporary relations are not among them: whoever asks knows that it means none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sharing {
    /// The names of columns that are looked at.
    pub columns: BTreeSet<Arc<str>>,
    /// By the bare name of a relation: its schema, and such a column. None: there are too many.
    pub relations: Option<Shared>,
}

/// See [`Sharing::relations`].
pub type Shared = BTreeMap<Arc<str>, BTreeSet<(Arc<str>, Arc<str>)>>;

impl Sharing {
    /// The columns of such names that a relation has, or any of its bare name where no schema is given.
    /// None: nobody knows.
    #[must_use]
    pub fn of(&self, schema: Option<&str>, relation: &str) -> Option<BTreeSet<&Arc<str>>> {
        let known = self.relations.as_ref()?.get(relation);
        let of_schema = |own: &Arc<str>| schema.is_none_or(|schema| **own == *schema);
        let columns = known.into_iter().flatten().filter(|(own, _)| of_schema(own));
        Some(columns.map(|(_, column)| column).collect())
    }
}
