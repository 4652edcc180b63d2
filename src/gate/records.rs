//! Hands the records of one thread's sessions to the journal.
//!
//! An intent goes at once, since somebody waits for its receipt. Outcomes wait for the next
//! record of this thread, or a moment: so the journal's thread is woken, and the disk
//! synced, once a statement and not twice.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::vigil::Vigil;
use crate::alarm::Alarm;
use crate::audit::{Alert, FieldUse, Intent, Record, RefusalRecord};
use crate::store::journal::{JournalHandle, Pending, Refused};

/// How long an outcome waits at the most; as much a crash may lose.
const LINGER: Duration = Duration::from_millis(10);

/// Outcomes that wait at the most.
const LINGERING_MAX: usize = 256;

/// Fields that one line of the log names.
const FIELDS_LOGGED_MAX: usize = 16;

/// One thread's way to the journal.
pub struct Records {
    /// None where nothing is classified.
    journal: Option<JournalHandle>,
    alarm: Arc<Alarm>,
    vigil: Vigil,
    lingering: RefCell<Vec<Record>>,
    some: Notify,
}

impl Records {
    pub fn new(journal: Option<JournalHandle>, alarm: Arc<Alarm>, vigil: Vigil) -> Records {
        Records { journal, alarm, vigil, lingering: RefCell::new(Vec::new()), some: Notify::new() }
    }

    /// Hands in an intent, behind all that lingers. None where there is no journal.
    ///
    /// # Errors
    /// The journal is closed.
    pub async fn intent(&self, intent: Intent) -> Result<Option<Pending>, Refused> {
        self.flush().await?;
        self.vigil.see_intent(&intent).await;
        match &self.journal {
            Some(journal) => journal.intent_wait(intent).await.map(Some),
            None => Ok(None),
        }
    }

    /// Hands in any other record.
    ///
    /// # Errors
    /// The journal is closed.
    pub async fn hand(&self, mut record: Record) -> Result<(), Refused> {
        if let Record::Alert(alert) = &mut record {
            self.alarm.raise(alert);
        }
        self.vigil.see(&record).await;
        tell(&record);
        let lingers = matches!(record, Record::Outcome(_));
        let full = {
            let mut lingering = self.lingering.borrow_mut();
            lingering.push(record);
            lingering.len() >= LINGERING_MAX
        };
        if lingers && !full {
            self.some.notify_one();
            return Ok(());
        }
        self.flush().await
    }

    /// Hands in a record that nothing depends on; the log tells where it could not.
    pub async fn leave(&self, record: Record) {
        if self.hand(record).await.is_err() {
            tracing::error!("a record was not taken by the journal");
        }
    }

    /// Hands in all that lingers.
    ///
    /// # Errors
    /// The journal is closed.
    pub async fn flush(&self) -> Result<(), Refused> {
        let lingering = std::mem::take(&mut *self.lingering.borrow_mut());
        let Some(journal) = &self.journal else { return Ok(()) };
        for record in lingering {
            journal.submit_wait(record).await?;
        }
        Ok(())
    }

    /// Hands in what nothing else took along, until the task is dropped.
    pub async fn tick(&self) {
        loop {
            self.some.notified().await;
            tokio::time::sleep(LINGER).await;
            if self.flush().await.is_err() {
                tracing::error!("records were not taken by the journal");
            }
        }
    }
}

/// What somebody should look at stands in the log, too: who, in which session, with what.
pub fn tell(record: &Record) {
    match record {
        Record::Alert(alert) => {
            let Alert { who, detector, severity, verdict, rule, fields, incident, .. } = alert;
            tracing::warn!(
                detector, severity, verdict, %rule, %incident, session = who.session, user = %who.user,
                client = %who.client, database = %who.database, fields = %Paths(fields), "alert"
            );
        }
        Record::Refusal(refusal) => {
            let RefusalRecord { who, sqlstate, rule, fields, .. } = refusal;
            tracing::info!(
                sqlstate, %rule, session = who.session, user = %who.user, client = %who.client,
                database = %who.database, fields = %Paths(fields), "refused"
            );
        }
        Record::Intent(_) | Record::Outcome(_) | Record::Session(_) | Record::Login(_) | Record::Admin(_) => {
        }
    }
}

/// The first of them, by their names.
struct Paths<'a>(&'a [FieldUse]);

impl std::fmt::Display for Paths<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, field) in self.0.iter().take(FIELDS_LOGGED_MAX).enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{}", field.field)?;
        }
        if self.0.len() > FIELDS_LOGGED_MAX { f.write_str(", ...") } else { Ok(()) }
    }
}
