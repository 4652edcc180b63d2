//! Dialling and logging in to the server.

pub mod service;
