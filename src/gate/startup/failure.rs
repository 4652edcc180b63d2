//! A start that came to nothing stands in the record: who the client said it was, from where, and
//! what it was told. Bounded, since whoever can connect can fail.

use std::sync::Arc;
use std::time::Instant;

use super::Over;
use crate::audit::{LoginRecord, Record, RefusalRecord, Who};
use crate::gate::SharedGate;
use crate::gate::worker::Worker;
use crate::login::Claim;

/// The client as it named itself.
pub(super) struct Failure {
    who: Arc<Who>,
}

impl Failure {
    pub fn of(claim: &Claim) -> Failure {
        let who = Who {
            session: claim.session,
            user: claim.user.clone(),
            database: claim.database.clone(),
            application: claim.application.clone(),
            client: claim.client.clone(),
            region: claim.region.clone(),
            auth: "none",
            certificate: claim.certificate.clone(),
            end_user: None,
            end_user_auth: "stated",
            purpose: None,
        };
        Failure { who: Arc::new(who) }
    }

    /// Records it, and logs what only the client has been told. A peer that closed was told nothing.
    pub async fn note(self, gate: &SharedGate, worker: &Worker, over: &Over) {
        let who = self.who;
        let (told, rule) = match over {
            Over::Done => return,
            Over::Told { sqlstate } => {
                let told = String::from_utf8_lossy(sqlstate);
                tracing::info!(user = %who.user, client = %who.client, sqlstate = %told, "the server refused a login");
                (Told::Login(*sqlstate), "server")
            }
            Over::Fatal { sqlstate, reason, .. } if !reason.is_empty() => (Told::Refusal(sqlstate), *reason),
            Over::Fatal { sqlstate, .. } => match sqlstate.as_bytes().first_chunk() {
                Some(sqlstate) => (Told::Login(*sqlstate), "gate"),
                None => return,
            },
        };
        let by = match &told {
            Told::Login(_) => rule,
            Told::Refusal(_) => "refusal",
        };
        metrics::counter!("sealgate_logins_failed_total", "by" => by).increment(1);
        if !worker.failures.may_be_told(gate.ms_at(Instant::now())) {
            return;
        }
        let record = match told {
            Told::Login(sqlstate) => {
                let untold = worker.failures.take_untold();
                Record::Login(LoginRecord { who, sqlstate, rule, untold })
            }
            Told::Refusal(sqlstate) => Record::Refusal(RefusalRecord {
                who,
                statement_id: 0,
                sqlstate,
                rule: rule.into(),
                fields: Arc::default(),
                statement: None,
                fingerprint: None,
            }),
        };
        worker.records.leave(record).await;
    }
}

enum Told {
    Login([u8; 5]),
    Refusal(&'static str),
}
