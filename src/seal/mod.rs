//! Pure cryptography of sealed values: turns the canonical text of a value into an
//! envelope and back. Randomness is handed in; nothing here does I/O or reads a clock.
//!
//! `docs/FORMAT.md` specifies every byte of what this room writes, with test vectors;
//! `tests/format/open.py` is an independent reader of it. Reading order: [`Plaintext`],
//! `envelope` (the bytes), `xaes` (the random mode), `template` (domains by schema), `identity` (which
//! keyring), `keyring`, `keyring_file`, `sealer`, `stack` (what ciphers leave there), `subject` (whose
//! data).
//!
//! Absent on purpose: logging, metrics, and any error that holds a value.

mod envelope;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;
mod identity;
mod keyring;
mod keyring_file;
mod plaintext;
mod sealer;
mod siv;
mod stack;
mod subject;
mod template;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
mod xaes;

pub use envelope::{
    Header, SEALED_LENGTH_MAX, TAG_LENGTH, VALUE_LENGTH_MAX, domain_tag, guard_prefix, header,
};
#[cfg(any(test, feature = "fuzzing"))]
pub use fuzz::fuzz_open;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use fuzz::fuzz_sealer;
pub use identity::KeyringIdentity;
pub use keyring::{
    DOMAINS_MAX, Disagreement, FieldDisagreement, KeyedDomain, Keyring, KeyringFault, KeyringParts,
    ROOTS_MAX, Root, RootKey,
};
pub use keyring_file::{KeyringFileFault, MasterKey, MasterKeyFault, decode_keyring, encode_keyring};
pub use plaintext::Plaintext;
pub(crate) use plaintext::wipe;
pub use sealer::{OpenError, SealError, Sealer};
pub use stack::wipe_stack;
pub use subject::{SubjectId, SubjectKey};
pub use template::{
    DOMAIN_NAME_LENGTH_MAX, TEMPLATE_NAME_LENGTH_MAX, domain_of, is_concrete_name, is_template, template_of,
};

/// A source of bytes that nobody can predict, handed in by whoever owns a generator.
///
/// An implementation that repeats itself breaks mode `random`: give it a generator seeded
/// by the operating system, and never share the state of one between processes.
pub trait Random {
    /// Overwrites all of `bytes`.
    fn fill(&mut self, bytes: &mut [u8]);
}
