//! The watch learns: a read that no limit forbids is told, since nobody here has done the like.

use std::path::Path;

use serde_json::{Value, json};

use super::record::{await_records, member};
use super::shop::{DATABASE, SUPPORT, Shop};
use super::tour::{Tour, Walked, explain, rows};
use crate::alarm::now_ms;
use crate::audit::{Reading, rfc3339};
use crate::store::baselines;
use crate::watch::{Detector as _, Learned, LearnedSettings, Peers, Seen};

const HOUR_MS: u64 = 3_600_000;
/// So long they have worked here.
const DAYS: u64 = 20;
const APPLICATION_NAME: &str = "desk";

/// What a watch knows that has looked at weeks of support's work: a customer now and then.
///
/// # Errors
/// It cannot be written.
pub fn remember(folder: &Path) -> Result<(), String> {
    let peers = Peers { name: SUPPORT.to_owned(), users: [SUPPORT.to_owned()].into() };
    let mut learned = Learned::new(LearnedSettings { peers: vec![peers], ..LearnedSettings::default() });
    let mut reading = Reading::default();
    let begin_ms = now_ms().saturating_sub(DAYS * 24 * HOUR_MS);
    for number in 0..DAYS * 24 * 4 {
        // Some hours have more than others.
        let at_ms = begin_ms + number * HOUR_MS / 4 + number % 7 * 60_000;
        for kind in ["intent", "outcome"] {
            let record = json!({
                "time": rfc3339(at_ms * 1_000), "kind": kind, "session": 1, "statement_id": number, "user": SUPPORT,
                "database": DATABASE, "client": "127.0.0.1", "application": APPLICATION_NAME, "auth": "relay",
                "action": "read", "fingerprint": "lookup", "rows": 1, "cells": 2,
                "statement": "SELECT name, email FROM customers WHERE email = ?",
                "fields": [{ "field": "public.customers.name" }, { "field": "public.customers.email" }],
            });
            if let Some((record, _)) = reading.read(record.to_string().as_bytes()) {
                learned.see(&Seen::Record(Box::new(record)), at_ms, &mut Vec::new());
            }
        }
    }
    let saved = learned.save().map_err(|error| error.to_string())?;
    baselines::save(folder, &saved).map_err(|error| format!("{}: {error}", folder.display()))
}

/// One customer is nothing to tell, all of them are.
pub async fn look_around(shop: &Shop, tour: &mut Tour) -> Walked {
    tour.page.say(&format!(
        "{SUPPORT} has no limit, and looks at one customer after the other, since {DAYS} days."
    ));
    let support = shop.connect(SUPPORT, APPLICATION_NAME).await?;
    let one = "SELECT name, email FROM customers WHERE email = 'ada@shop.example'";
    tour.page.say(&format!("{SUPPORT}> {one}"));
    let shown = rows(&support, one).await.map_err(|error| explain(&error))?;
    tour.same("it is shown", &shown.len(), &1);
    let all = "SELECT name, email FROM customers";
    tour.page.say(&format!("{SUPPORT}> {all}"));
    let shown = rows(&support, all).await.map_err(|error| explain(&error))?;
    tour.claim(
        shown.len() > 1,
        &format!("so are {} of them: nothing forbids it", shown.len()),
        "no rows",
        "rows",
    );
    let (_, alert) = await_records(shop, "the alert about what is unusual", |records| {
        let unusual = |record: &&Value| record["kind"] == "alert" && record["user"] == SUPPORT;
        records.iter().find(unusual).cloned()
    })
    .await?;
    let score = alert.get("score").and_then(Value::as_u64).unwrap_or(0);
    tour.claim(
        score > 0,
        &format!("told: {}, score {}.{:03}", member(&alert, "rule"), score / 1_000, score % 1_000),
        "no score",
        "a score",
    );
    let reasons: Vec<&str> = alert
        .get("reasons")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for reason in &reasons {
        tour.page.quote(reason);
    }
    let compares = reasons.iter().any(|reason| reason.contains("normal"));
    tour.claim(
        compares,
        "with its reasons, and the normal that they compare with",
        "none",
        "a reason with numbers",
    );
    Ok(())
}
