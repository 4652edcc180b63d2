//! `sealgate check`: everything that `run` will need, tried without serving, and all that is found
//! about it. It leaves nothing behind.

mod certificates;
mod files;
mod findings;
mod schema;
mod servers;

use std::path::Path;
use std::sync::Arc;

use self::findings::Findings;
use super::CONFIGURATION;
use super::house;
use super::regime;
use crate::config::Settings;

/// What is wanted of it.
#[derive(Clone, Copy)]
pub struct Wanted {
    /// One JSON object.
    pub json: bool,
    /// Nothing but the statements that mend the schema.
    pub sql: bool,
    /// Files alone: no server, no port.
    pub offline: bool,
}

/// Runs the verb: 0 sound, 2 not.
pub fn check(config: &Path, wanted: Wanted) -> u8 {
    let mut findings = Findings::new(config);
    match house::settings(config) {
        Ok(settings) => match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(look(settings, wanted, &mut findings)),
            Err(error) => findings.error("runtime", "runtime", error.to_string()),
        },
        Err(fault) => findings.fault("configuration", "configuration-fault", fault),
    }
    if wanted.sql {
        findings.print_sql();
    } else if wanted.json {
        findings.print_json();
    } else {
        findings.print();
    }
    if findings.is_sound() { 0 } else { CONFIGURATION }
}

async fn look(settings: Settings, wanted: Wanted, findings: &mut Findings) {
    findings.fields(&settings);
    files::configuration(&settings, findings);
    files::keys(&settings, findings);
    files::audit(&settings, findings);
    files::tls(&settings, findings);
    files::tokens(&settings, findings);
    certificates::look(&settings, findings);
    files::sockets(&settings, findings);
    files::alerts(&settings, findings);
    files::share(&settings, findings);
    if wanted.offline {
        findings.note("servers", "offline", "neither ports nor servers were tried: --offline");
        return;
    }
    servers::ports(&settings, findings).await;
    match regime::dialer(&settings) {
        Ok(dialer) => {
            let dialer = Arc::new(dialer);
            servers::upstreams(&dialer, findings).await;
            servers::login(&settings, &dialer, findings).await;
            schema::look(&settings, &dialer, findings).await;
        }
        Err(fault) => findings.fault("upstream.tls", "tls-fault", fault),
    }
}
