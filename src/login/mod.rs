//! The proof of who is there. A [`Principal`] exists only after it.

mod principal;
mod relay;

pub use principal::{Claim, Principal};
pub use relay::{Progress, Relay};
