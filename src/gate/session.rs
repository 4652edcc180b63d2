//! One connection from accept to close.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::admission::Unproven;
use super::cancel::{self, Registered};
use super::flow::{End, Flow, Overhead, Rest};
use super::lane::Lane;
use super::startup::{self, Over, Ready};
use super::worker::Worker;
use super::{Phase, Regime, SharedGate};
use crate::alarm::now_ms;
use crate::audit::{Durability, Record, SessionRecord};
use crate::seal::Keyring;
use crate::seal::wipe_stack;
use crate::transport::{Channel, Peer};
use crate::wire::compose::{ErrorText, put_error};

/// Serves one connection until it ends.
pub async fn serve(gate: &SharedGate, worker: &Worker, mut client: Channel, peer: Peer) {
    let regime = gate.regime.load_full();
    let generation = worker.generation.get();
    let deadline = Instant::now() + Duration::from_millis(regime.settings.timeouts.login_ms);
    let Some(unproven) = Unproven::new(gate, &regime) else {
        let text = "sealgate: too many connections are logging in";
        return startup::tell(&mut client, startup::fatal("53300", text)).await;
    };
    // On the heap, and only as long as it is needed: an idle session is small.
    let starting = Box::pin(startup::start(gate, &regime, worker, &mut client, peer, deadline));
    let mut phase = gate.phase.clone();
    let started = tokio::select! {
        started = starting => started,
        // Who has no session yet does not delay the end.
        _ = phase.wait_for(|phase| *phase != Phase::Serving) => {
            Err(startup::fatal("57P03", "the database system is shutting down"))
        }
    };
    drop((unproven, phase));
    match started {
        Ok(ready) => run(gate, &regime, worker, &mut client, *ready, generation).await,
        Err(Over::Done | Over::Told { .. }) => {}
        Err(over) => startup::tell(&mut client, over).await,
    }
    client.close();
}

async fn run(
    gate: &SharedGate,
    regime: &Regime,
    worker: &Worker,
    client: &mut Channel,
    ready: Ready,
    generation: u64,
) {
    let Ready {
        mut server,
        mut session,
        cancel: registered,
        early,
        server_early,
        admitted,
        judges,
        stay,
        border,
    } = ready;
    let who = session.who().clone();
    let recorded = session.is_recorded();
    let keyring = regime.keyring.as_deref().map(Keyring::identity);
    let durability = worker.records.durability().unwrap_or_default();
    if durability == Durability::Full {
        session.await_outcomes();
    }
    let leasing = worker.records.leasing();
    let lease = leasing.as_ref().map(|(terms, _)| *terms);
    if let Some((terms, tenure)) = leasing {
        session.lease(terms, tenure);
    }
    if recorded {
        let begun = SessionRecord { who: who.clone(), event: "begin", keyring, durability, lease };
        worker.records.leave(Record::Session(begun)).await;
    }
    let listed = gate.roster.enroll(who.clone(), session.underway(), now_ms());
    let mut flow = Flow {
        worker,
        gate,
        client,
        server: &mut server,
        session: &mut session,
        request: Lane::new(early),
        response: Lane::new(server_early),
        mailbox: Rc::default(),
        overhead: Overhead::default(),
        cancelling: registered.as_ref().map(Registered::cancelling),
        fence: None,
        stay,
        process: registered.as_ref().map(|registered| registered.target().process),
        border,
        rest: Rest::new(regime.settings.timeouts, judges, generation),
        listed: &listed,
    };
    let end = flow.run().await;
    wipe_stack();
    if flow.fence.is_none() {
        flow.stay = None;
    }
    end_of(&mut flow, end, registered.as_ref()).await;
    if flow.session.may_have_defined() {
        flow.bar_everything();
    }
    if let Some((fence, catalogs)) = flow.fence.take().zip(gate.catalogs.as_ref()) {
        // What it may have changed is known before the others go on; that it cannot be read is
        // told by the keeper.
        let _ = catalogs.reload(&who.database).await;
        drop(fence);
    }
    for left in session.take_records() {
        worker.records.leave(left).await;
    }
    if recorded {
        worker
            .records
            .leave(Record::Session(SessionRecord { who, event: "end", keyring, durability, lease }))
            .await;
    }
    server.close();
    // Whoever waits for what it had under way looks again.
    listed.underway.ends(true);
    gate.fences.notify();
    drop(admitted);
}

/// Says the last words, and stops what the server still does for the session.
async fn end_of(flow: &mut Flow<'_>, end: End, registered: Option<&Registered>) {
    let busy = !flow.session.is_settled();
    flow.session.close(None);
    flow.count();
    let cancels = match end {
        End::Closed => false,
        End::Refused(refusal) => {
            let words = last_words(refusal.sqlstate, refusal.message, &refusal.detail, &refusal.hint);
            flow.farewell(&words).await;
            true
        }
        End::Terminated(why) => {
            flow.farewell(&last_words(why.sqlstate, why.message, why.detail, "")).await;
            busy
        }
    };
    if let Some(registered) = registered.filter(|_| cancels) {
        cancel::send(registered.target(), &mut false).await;
    }
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
