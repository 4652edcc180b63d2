//! How many may be here at one time: connections without a proof, sessions in all, sessions
//! of one user. What is counted in is counted out however it ends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Regime, SharedGate};

/// The counts of one gate.
#[derive(Default)]
pub struct Admission {
    unproven: AtomicUsize,
    sessions: AtomicUsize,
    /// Only where there is a limit by user.
    by_user: Mutex<HashMap<Arc<str>, u32>>,
}

impl Admission {
    /// Open sessions, those that log in included.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }
}

/// A connection that has not proven who it is.
pub struct Unproven(SharedGate);

impl Unproven {
    /// None where there are too many.
    pub fn new(gate: &SharedGate, regime: &Regime) -> Option<Unproven> {
        let before = gate.admission.unproven.fetch_add(1, Ordering::Relaxed);
        let counted = Unproven(Arc::clone(gate));
        (before < regime.settings.limits.unproven_max as usize).then_some(counted)
    }
}

impl Drop for Unproven {
    fn drop(&mut self) {
        self.0.admission.unproven.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A session, from its StartupMessage on.
pub struct Admitted(SharedGate);

impl Admitted {
    /// None where there are too many.
    pub fn new(gate: &SharedGate, regime: &Regime) -> Option<Admitted> {
        let before = gate.admission.sessions.fetch_add(1, Ordering::Relaxed);
        let counted = Admitted(Arc::clone(gate));
        metrics::gauge!("sealgate_sessions", "state" => "open").increment(1.0);
        (before < regime.settings.limits.sessions_max as usize).then_some(counted)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.admission.sessions.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("sealgate_sessions", "state" => "open").decrement(1.0);
    }
}

/// A session of a proven user.
pub struct OfUser {
    gate: SharedGate,
    /// None where nobody counts.
    user: Option<Arc<str>>,
}

impl OfUser {
    /// None where there are too many of this user.
    pub fn new(gate: &SharedGate, regime: &Regime, user: &Arc<str>) -> Option<OfUser> {
        let Some(limit) = regime.settings.limits.sessions_per_user_max else {
            return Some(OfUser { gate: Arc::clone(gate), user: None });
        };
        let mut by_user = gate.admission.by_user.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_user.entry(Arc::clone(user)).or_insert(0);
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(OfUser { gate: Arc::clone(gate), user: Some(Arc::clone(user)) })
    }
}

impl Drop for OfUser {
    fn drop(&mut self) {
        let Some(user) = &self.user else { return };
        let mut by_user = self.gate.admission.by_user.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_user.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                by_user.remove(user);
            }
        }
    }
}
