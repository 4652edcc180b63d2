//! Functions in SQL that only pass classified columns on: each is used like a view with arguments.

use std::sync::Arc;

use super::field::FieldId;

/// One such function, of which no other has the name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Followed {
    pub schema: Arc<str>,
    /// The columns of its rows, where they have names of their own, and the field that each passes on.
    pub columns: Vec<(Option<Arc<str>>, Option<FieldId>)>,
    /// Its result is a row, also where that has one column.
    pub row: bool,
    /// The names of its arguments, where they have some, and the field with which each is compared or which
    /// it stands in for: it is given sealed.
    pub arguments: Vec<(Option<Arc<str>>, Option<FieldId>)>,
    /// Classified fields that its rows depend on beside those.
    pub behind: Vec<FieldId>,
}
