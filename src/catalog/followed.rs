//! Functions in SQL that only pass classified columns on: each is used like a view with arguments. And functions
//! that open a cursor over them.

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

/// A function that opens one cursor for one query, and returns its name; no other function has its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opening {
    pub schema: Arc<str>,
    pub name: Arc<str>,
    /// As it stands in the function.
    pub query: Arc<str>,
    /// The names of its arguments, where they have some, and `pg_type.oid` of each.
    pub arguments: Vec<(Option<Arc<str>>, u32)>,
    pub named: CursorName,
}

/// Who names the cursor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CursorName {
    /// Whoever calls, by the argument of this place; where that is NULL or empty, the server.
    Argument(usize),
    /// The function.
    Constant(Arc<str>),
    Server,
}
