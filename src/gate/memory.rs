//! What the learned detector knows, and its file: read at the start, written now and then and at the end, by
//! the thread of the detectors alone. Operators' questions come there, too.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::config::LearnedWatch;
use crate::store::baselines;
use crate::watch::Learned;

/// What operators ask of what was learned.
#[derive(Debug)]
pub enum Question {
    /// Why was there this alert?
    Explain(String),
    /// What is normal for this user?
    Baseline(String),
    /// What this alert was about is fine.
    Allow(String),
    /// New forms of statements are no news until then.
    Deploy { until_ms: u64 },
    /// How much is known?
    Standing { now_ms: u64 },
}

/// A question, and where its answer goes; null where there is none.
pub(super) struct Asked {
    pub(super) question: Question,
    pub(super) answer: oneshot::Sender<Value>,
}

/// The detector with its file.
pub(super) struct Memory {
    pub(super) learned: Learned,
    watch: LearnedWatch,
    saved: Instant,
    forgotten: u64,
}

impl Memory {
    /// With what was saved, where that can be read.
    pub(super) fn open(watch: &LearnedWatch) -> Memory {
        let settings = watch.settings.clone();
        let restored = match baselines::load(&watch.state) {
            Ok(None) => None,
            Ok(Some(saved)) => {
                let restored = Learned::restore(settings.clone(), &saved);
                if restored.is_none() {
                    tracing::error!(folder = %watch.state.display(), "what the watch has learned is of another version: it learns anew");
                    aside(watch);
                }
                restored
            }
            Err(error) => {
                tracing::error!(folder = %watch.state.display(), %error, "what the watch has learned cannot be read: it learns anew");
                aside(watch);
                None
            }
        };
        let learned = restored.unwrap_or_else(|| Learned::new(settings));
        Memory { forgotten: learned.forgotten(), learned, watch: watch.clone(), saved: Instant::now() }
    }

    /// What was learned, under another configuration; another folder has other baselines.
    pub(super) fn change(mut self, watch: &LearnedWatch) -> Memory {
        if self.watch.state != watch.state {
            self.save();
            return Memory::open(watch);
        }
        self.watch = watch.clone();
        self.learned = self.learned.with(watch.settings.clone());
        self
    }

    /// Saves what was learned where it is time to.
    pub(super) fn keep(&mut self) {
        if self.saved.elapsed() >= Duration::from_millis(self.watch.save_every_ms) {
            self.save();
        }
    }

    pub(super) fn save(&mut self) {
        self.saved = Instant::now();
        if !self.learned.has_changed() {
            return;
        }
        let forgotten = self.learned.forgotten();
        if forgotten > self.forgotten {
            let most = Learned::PRINCIPALS_MAX;
            tracing::warn!(
                most,
                forgotten,
                "the watch remembers no more users: those away for longest make room"
            );
            metrics::counter!("sealgate_learned_forgotten_total").increment(forgotten - self.forgotten);
            self.forgotten = forgotten;
        }
        metrics::gauge!("sealgate_learned_principals")
            .set(f64::from(u32::try_from(self.learned.principals()).unwrap_or(u32::MAX)));
        let saved = self.learned.save().map_err(std::io::Error::other);
        if let Err(error) = saved.and_then(|saved| baselines::save(&self.watch.state, &saved)) {
            metrics::counter!("sealgate_learned_failures_total").increment(1);
            tracing::error!(folder = %self.watch.state.display(), %error, "what the watch has learned was not saved");
        }
    }

    pub(super) fn answer(&mut self, question: Question) -> Value {
        match question {
            Question::Explain(alert) => self.learned.explain(&alert).unwrap_or_default(),
            Question::Baseline(user) => self.learned.baseline(&user).unwrap_or_default(),
            Question::Allow(alert) => {
                let done = self.learned.allow(&alert);
                self.save();
                json!(done)
            }
            Question::Deploy { until_ms } => {
                self.learned.deploy(until_ms);
                self.save();
                json!(true)
            }
            Question::Standing { now_ms } => self.learned.standing(now_ms),
        }
    }
}

fn aside(watch: &LearnedWatch) {
    match baselines::set_aside(&watch.state) {
        Ok(aside) => tracing::warn!(aside = %aside.display(), "the file was set aside"),
        Err(error) => tracing::error!(%error, "the file could not be set aside"),
    }
}
