//! The proof of who is there. A [`Principal`] exists only after it.

pub mod binding;
pub mod certificate;
pub mod keyset;
mod principal;
mod relay;
pub mod scram;
pub mod token;

pub use principal::{Claim, Principal, gives_token};
pub use relay::{Progress, Relay};
