//! What changes the schema, or makes a way out of it: definitions, tables, links to other servers,
//! and what a schema's own expressions do with sealed columns.

pub(in crate::statement) mod block;
pub(in crate::statement) mod changes;
#[cfg(test)]
mod changes_tests;
#[cfg(test)]
mod claims;
pub(in crate::statement) mod conninfo;
pub(in crate::statement) mod copy;
pub(in crate::statement) mod definition;
pub(in crate::statement) mod doors;
mod draft;
#[cfg(test)]
mod draft_tests;
mod indexes;
pub(in crate::statement) mod links;
pub(in crate::statement) mod moving;
pub(in crate::statement) mod named;
mod opclass;
pub(in crate::statement) mod standing;
pub(in crate::statement) mod table;
mod target;
mod temporary;
mod views;
