//! SQL to [`StatementFacts`]: pure data about what a text does with classified columns.
//!
//! The syntax tree never leaves this folder.

mod facts;

pub use facts::{Action, Effect, LiteralUse, ParameterUse, StatementFacts, TextFacts, Unproven};
