//! What statements on classified data cost here in time.

use std::time::{Duration, Instant};

use crate::pipeline::Event;

/// Time that statements on classified data spend here (`sealgate_overhead_seconds`): in
/// judging, sealing and opening, and in waiting for the record.
#[derive(Default)]
pub struct Overhead {
    spent: Duration,
    judged: bool,
}

impl Overhead {
    /// So much time has been spent since then.
    pub fn spend(&mut self, began: Option<Instant>) {
        self.spent += began.map_or(Duration::ZERO, |began| began.elapsed());
    }

    /// Something happened: was it about classified data?
    pub fn note(&mut self, event: &Event) {
        self.judged |= matches!(event, Event::Statement { .. });
    }

    /// Where nothing is under way, what was spent belongs to what was judged since the last time.
    pub fn settle(&mut self, settled: bool, told: &metrics::Histogram) {
        if settled {
            if self.judged {
                told.record(self.spent.as_secs_f64());
            }
            *self = Overhead::default();
        }
    }
}
