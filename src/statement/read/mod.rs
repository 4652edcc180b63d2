//! A text becomes a tree: how large it may be, what PostgreSQL's grammar makes of it, what is in
//! the tree, and a second reader that must agree. Also where literals begin and end, how a text is
//! spelled so that it means one thing, and what of it may be written into a record.
//!
//! Nothing here knows what may be done with a sealed value.

pub(in crate::statement) mod bounds;
pub(in crate::statement) mod census;
pub(in crate::statement) mod elements;
pub(in crate::statement) mod literal;
pub(in crate::statement) mod prefilter;
pub(in crate::statement) mod prepare;
pub(in crate::statement) mod reader;
pub(in crate::statement) mod scan;
pub(in crate::statement) mod shape;
pub(in crate::statement) mod signs;
pub(in crate::statement) mod sort;
pub(in crate::statement) mod spelling;
pub(in crate::statement) mod tree;
pub(in crate::statement) mod typed;
