//! One connection from accept to close.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::flow::{End, Flow, Overhead};
use super::lane::Lane;
use super::startup::{self, Ready};
use super::worker::Worker;
use super::{SharedGate, cancel};
use crate::audit::{Record, SessionRecord, Who};
use crate::transport::{Channel, Peer};
use crate::wire::compose::{ErrorText, put_error};

/// From accept to ReadyForQuery.
const LOGIN_DEADLINE: Duration = Duration::from_secs(60);

/// Serves one connection until it ends.
pub async fn serve(gate: &SharedGate, worker: &Worker, mut client: Channel, peer: Peer) {
    let Ok(unproven) = worker.unproven.try_acquire() else { return };
    let started = timeout(LOGIN_DEADLINE, startup::start(gate, worker, &mut client, peer)).await;
    drop(unproven);
    match started {
        Ok(Ok(ready)) => {
            let who = ready.session.who().clone();
            run(gate, worker, &mut client, ready, who).await;
        }
        Ok(Err(over)) => startup::tell(&mut client, over).await,
        Err(_) => tracing::info!(client = %peer, "a login was not finished in time"),
    }
}

async fn run(gate: &SharedGate, worker: &Worker, client: &mut Channel, ready: Ready, who: Arc<Who>) {
    let Ready { mut server, mut session, cancel: registered, early, server_early, counted } = ready;
    let recorded = session.epoch().is_some();
    if recorded {
        worker.records.leave(Record::Session(SessionRecord { who: who.clone(), event: "begin" })).await;
    }
    let mut flow = Flow {
        worker,
        gate,
        client,
        server: &mut server,
        session: &mut session,
        request: Lane::new(early),
        response: Lane::new(server_early),
        intents: VecDeque::new(),
        overhead: Overhead::default(),
    };
    let end = flow.run().await;
    flow.session.close(None);
    flow.count();
    match end {
        End::Closed => {}
        End::Refused(refusal) => {
            flow.farewell(&last_words(refusal.sqlstate, refusal.message, &refusal.detail, &refusal.hint))
                .await;
            if let Some(registered) = &registered {
                cancel::send(registered.target()).await;
            }
        }
        End::Drained => {
            let message = "terminating connection due to administrator command";
            flow.farewell(&last_words("57P01", message, "", "")).await;
        }
    }
    for left in session.take_records() {
        worker.records.leave(left).await;
    }
    if recorded {
        worker.records.leave(Record::Session(SessionRecord { who, event: "end" })).await;
    }
    drop(counted);
}

fn last_words(sqlstate: &str, message: &str, detail: &str, hint: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let optional = |text| Some(text).filter(|text: &&str| !text.is_empty());
    put_error(
        &mut out,
        ErrorText { severity: "FATAL", sqlstate, message, detail: optional(detail), hint: optional(hint) },
    );
    out
}
