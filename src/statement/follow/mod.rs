//! A tree is followed: from where each classified value comes, through what it goes, and where it
//! ends. Whatever has no rule is refused.

pub(in crate::statement) mod algebra;
mod apart;
pub(in crate::statement) mod call;
pub(in crate::statement) mod change;
pub(in crate::statement) mod classes;
pub(in crate::statement) mod compare;
pub(in crate::statement) mod condition;
pub(in crate::statement) mod constant;
pub(in crate::statement) mod flow;
pub(in crate::statement) mod from;
pub(in crate::statement) mod inlined;
pub(in crate::statement) mod keyed;
pub(in crate::statement) mod query;
pub(in crate::statement) mod scope;
pub(in crate::statement) mod stars;
pub(in crate::statement) mod told;
pub(in crate::statement) mod uses;
