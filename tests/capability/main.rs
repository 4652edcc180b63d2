//! Claims about the whole program, by capability, each on real servers that the harness
//! starts and removes. One binary, one file a capability.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test panics where it cannot go on, and says why"
)]

mod harness;
mod shop;

mod alerts;
mod apart;
mod behind;
mod bulk;
mod by_name;
mod certainty;
mod checked;
mod commands;
mod copies;
mod copying;
mod demo;
mod detectors;
mod doors;
mod doubted;
mod drivers;
mod dumps;
mod encodings;
mod fidelity;
mod format;
mod foundation;
mod functions;
mod hops;
mod hostile;
mod injected;
mod inspected;
mod keyring;
mod large;
mod late;
mod learned;
mod life;
mod migrations;
mod misconfigured;
mod misfit;
mod models;
mod names;
mod opaque;
mod operations;
mod oracle;
mod overtaken;
mod own_types;
mod plaintext;
mod pooled;
mod record;
mod refusal;
mod relations;
mod residency;
mod routes;
mod shadow;
mod shared;
mod stated;
mod stock;
mod subjects;
mod taken;
mod temporary;
mod tenants;
mod twin;
mod typed;
mod values;
mod verifiers;
mod views;
mod watch;
mod wire;
