//! Sealgate: a PostgreSQL wire-protocol proxy that seals personal data, records every
//! access to it, watches for unusual ones and keeps it in its regions.
//!
//! # A map of this house
//!
//! Bytes of a client walk down one street, rows of the server walk back up the other.
//! Each stage mints a type that only it can make, and the next takes only that type:
//!
//! ```text
//! client   -> Frame -> Principal -> StatementFacts -> Permit -> Cleared -> upstream
//! upstream -> Frame + Receipt (classified) or Permit (untouched) -> Released -> client
//! ```
//!
//! The rooms, in reading order. A room may name only rooms above it; rooms on one line
//! are strangers. `tests/house.rs` fails on an import against this order.
//!
//! | room | knows |
//! |---|---|
//! | [`wire`] | bytes and messages, no meaning |
//! | [`catalog`] | what exists upstream and what of it is personal |
//! | [`seal`], [`statement`], [`residency`], [`types`] | cryptography; SQL; places; how values are written |
//! | [`login`] | the proof of who is there: mints [`login::Principal`] |
//! | [`audit`] | records, the journal: mints [`audit::Receipt`] |
//! | [`watch`] | limits on what is opened, detectors, incidents |
//! | [`policy`] | the only place that says yes: mints [`policy::Permit`] |
//! | [`pipeline`] | the two streets as synchronous state machines |
//! | [`config`] | text to settings, with spans for errors |
//! | [`transport`] | bytes over sockets, plain or under TLS |
//! | [`upstream`] | dial and log in to the server |
//! | [`store`] | files, threads, loaders: the journal's thread, the catalogs, the keyring's file |
//! | [`alarm`], [`share`] | brings alerts to where somebody looks; what proxies tell one another to a store |
//! | [`gate`], [`ops`] | sockets; metrics and health |
//! | [`cli`] | one file a verb |
//!
//! From `wire` to `config` nothing names tokio, the file system, the environment, the
//! clock or a random generator: time and randomness are handed in as values.
//! `docs/ARCHITECTURE.md` tells the same at more length.

pub mod alarm;
pub mod audit;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod gate;
pub mod login;
pub mod ops;
pub mod pipeline;
pub mod policy;
pub mod residency;
pub mod seal;
pub mod share;
pub mod statement;
pub mod store;
pub mod transport;
pub mod types;
pub mod upstream;
pub mod watch;
pub mod wire;
