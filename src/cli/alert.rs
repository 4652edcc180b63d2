//! `sealgate alert test`: tells every receiver of alerts that nothing has happened, and what came of it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a verb prints")]

use std::path::Path;

use super::CONFIGURATION;
use super::house::{alarm_places, settings};
use crate::alarm::now_ms;
use crate::watch::Notice;

/// Runs the verb: 0 all have it, 1 one does not, 2 there is none or its entry is wrong.
pub fn test(config: &Path, json: bool) -> u8 {
    let places = match settings(config).and_then(|settings| alarm_places(&settings)) {
        Ok(places) => places,
        Err(fault) => {
            eprintln!("sealgate: {}", fault.text());
            return CONFIGURATION;
        }
    };
    if places.is_empty() {
        eprintln!("sealgate: {}: there is no [[alert]]", config.display());
        return CONFIGURATION;
    }
    let mut failed = false;
    let mut results = Vec::new();
    for place in &places {
        let told = place.tell(&Notice::of_a_test(now_ms())).map_err(|why| why.reason);
        failed |= told.is_err();
        if json {
            let reason = told.as_ref().err();
            results.push(
                serde_json::json!({ "receiver": place.name(), "delivered": told.is_ok(), "reason": reason }),
            );
            continue;
        }
        match told {
            Ok(()) => println!("{}: delivered", place.name()),
            Err(why) => println!("{}: not delivered: {why}", place.name()),
        }
    }
    if json {
        println!("{}", serde_json::json!({ "receivers": results }));
    }
    u8::from(failed)
}
