//! Whether the gate can serve, for whoever asks `/health/ready`.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::gate::{Phase, SharedGate, today};
use crate::ops;
use crate::upstream::service::Access;

/// How long whoever asks whether it is ready waits for a server, where nobody looks at them.
const DIAL_PATIENCE: Duration = Duration::from_secs(3);

/// See the module's text.
pub struct Ready {
    pub gate: SharedGate,
    /// None without a service account.
    pub access: Option<Arc<ArcSwap<Access>>>,
}

impl ops::Health for Ready {
    async fn ready(&self) -> Result<String, String> {
        if *self.gate.phase.borrow() != Phase::Serving {
            return Err("draining".to_owned());
        }
        if self.gate.journal.as_ref().is_some_and(|journal| !journal.is_writable()) {
            return Err("the record cannot be written".to_owned());
        }
        if let Some(behind) = self.gate.journal.as_ref().and_then(|journal| journal.standing().behind()) {
            return Err(behind);
        }
        // That nobody is told is no reason to serve nobody.
        let behind = [
            self.gate.alarm.behind(),
            self.gate.fellowship.as_ref().map_or_else(String::new, |fellowship| fellowship.trouble()),
        ];
        let behind = behind.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ");
        let Some(access) = &self.access else {
            let dialer = Arc::clone(&self.gate.regime.load().dialer);
            let first = tokio::time::timeout(DIAL_PATIENCE, dialer.first(today())).await;
            return match first {
                Ok(first) => first.map(|_| behind).map_err(|error| error.to_string()),
                Err(_) => Err("no server answers".to_owned()),
            };
        };
        let dialer = Arc::clone(&access.load().dialer);
        dialer.outlook().readiness(dialer.hosts()).await?;
        let Some(catalogs) = &self.gate.catalogs else { return Ok(behind) };
        let known = catalogs.fitness().readiness()?.into_iter().chain(Some(behind));
        Ok(known.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; "))
    }
}
