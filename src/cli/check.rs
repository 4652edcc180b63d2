//! `sealgate check`: everything that `run` will need, tried without serving.
#![expect(clippy::print_stdout, reason = "a verb prints")]

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};

use super::CONFIGURATION;
use super::house::{self, Fault};
use super::regime;
use crate::catalog::{QualifiedName, Snapshot};
use crate::config::{Endpoint, Settings};
use crate::gate::today;
use crate::store::catalog::{CatalogSource, Catalogs, Timing};
use crate::upstream::dial::Dialer;
use crate::upstream::service::Access;

/// Tables that are named of those a pattern matches.
const TABLES_SHOWN_MAX: usize = 20;

/// One thing that was tried.
#[derive(serde::Serialize)]
struct Finding {
    what: String,
    sound: bool,
    detail: String,
}

/// Runs the verb: 0 sound, 2 not.
pub fn check(config: &Path, json: bool) -> u8 {
    let findings = match house::settings(config) {
        Ok(settings) => match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(look(settings)),
            Err(error) => vec![finding("runtime", false, error.to_string())],
        },
        Err(fault) => faults("configuration", fault),
    };
    let sound = findings.iter().all(|finding| finding.sound);
    if json {
        println!("{}", serde_json::json!({ "sound": sound, "findings": findings }));
    } else {
        for Finding { what, sound, detail } in &findings {
            println!("{}  {what}: {detail}", if *sound { "ok   " } else { "FAULT" });
        }
    }
    if sound { 0 } else { CONFIGURATION }
}

fn finding(what: impl Into<String>, sound: bool, detail: impl Into<String>) -> Finding {
    Finding { what: what.into(), sound, detail: detail.into() }
}

fn faults(what: &str, fault: Fault) -> Vec<Finding> {
    match fault {
        Fault::Configuration(lines) => lines.into_iter().map(|line| finding(what, false, line)).collect(),
        Fault::Start(line) => vec![finding(what, false, line)],
    }
}

async fn look(settings: Settings) -> Vec<Finding> {
    let mut findings =
        vec![finding("configuration", true, format!("{} fields", settings.policy.fields.len()))];
    for warning in settings.warnings(today()) {
        findings.push(finding("configuration", true, format!("warning: {warning}")));
    }
    match house::keyring(&settings) {
        Ok(Some(keyring)) => {
            let detail =
                format!("{} domains, key version {}", keyring.domains().len(), keyring.current_version());
            findings.push(finding("keys", true, detail));
        }
        Ok(None) => findings.push(finding("keys", true, "no field is sealed")),
        Err(fault) => findings.extend(faults("keys", fault)),
    }
    if let Some(audit) = &settings.audit {
        findings.push(match writable(&audit.path) {
            Ok(()) => finding("audit", true, format!("{} can be written", audit.path.display())),
            Err(error) => finding("audit", false, format!("{}: {error}", audit.path.display())),
        });
    }
    for endpoint in &settings.listen.addresses {
        if let Endpoint::Unix { folder, .. } = endpoint
            && !folder.is_dir()
        {
            findings.push(finding("listen", false, format!("{endpoint}: there is no such folder")));
        }
    }
    match regime::server_tls(&settings) {
        Ok(None) => {}
        Ok(Some(tls)) => {
            findings.push(finding("listen.tls", true, "certificates and keys fit"));
            let warnings = tls.warnings().iter();
            findings
                .extend(warnings.map(|warning| finding("listen.tls", true, format!("warning: {warning}"))));
        }
        Err(fault) => findings.extend(faults("listen.tls", fault)),
    }
    match regime::dialer(&settings) {
        Ok(dialer) => {
            let dialer = Arc::new(dialer);
            findings.extend(upstreams(&dialer).await);
            findings.extend(login(&settings, &dialer).await);
            findings.extend(catalogs(&settings, &dialer).await);
        }
        Err(fault) => findings.extend(faults("upstream.tls", fault)),
    }
    findings
}

async fn upstreams(dialer: &Dialer) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, host) in dialer.hosts().iter().enumerate() {
        findings.push(match dialer.reach_host(index, today()).await {
            Err(error) => finding("upstream", false, error.to_string()),
            Ok((channel, route)) => {
                let tls = channel.tls().map(|facts| format!(", {}", facts.version)).unwrap_or_default();
                let region = match &*route.region {
                    "" => String::new(),
                    region => format!(", region {region}"),
                };
                finding("upstream", true, format!("{host} answers{tls}{region}"))
            }
        });
    }
    findings
}

/// Login `scram`: asks for the verifier of a user that nobody has, as a login would.
async fn login(settings: &Settings, dialer: &Arc<Dialer>) -> Vec<Finding> {
    const NOBODY: &[u8] = b"sealgate check: nobody";
    match regime::verifiers(settings, dialer) {
        Ok(None) => Vec::new(),
        Ok(Some(verifiers)) => vec![match verifiers.ask(NOBODY).await {
            Ok(_) => finding("login", true, "verifiers of passwords can be read"),
            Err(error) => finding("login", false, error.to_string()),
        }],
        Err(fault) => faults("login", fault),
    }
}

/// Creates and removes a file, as the journal will.
fn writable(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let probe = folder.join(format!(".check-{}", std::process::id()));
    std::fs::write(&probe, b"check")?;
    std::fs::remove_file(&probe)
}

/// Every database that a field names, and the service's own for fields that name none.
async fn catalogs(settings: &Settings, dialer: &Arc<Dialer>) -> Vec<Finding> {
    let access: Access = match house::access(settings, dialer) {
        Ok(Some(access)) if !settings.policy.fields.is_empty() => access,
        Ok(_) => return Vec::new(),
        Err(fault) => return faults("service account", fault),
    };
    let mut databases: Vec<String> = settings
        .policy
        .fields
        .iter()
        .filter_map(|entry| entry.field.database.as_deref().map(str::to_owned))
        .collect();
    databases.sort();
    databases.dedup();
    if settings.policy.fields.iter().any(|entry| entry.field.database.is_none()) {
        // Which databases are reached is known only when clients come: the service's is tried.
        databases.extend(settings.upstream.service.as_ref().map(|service| service.database.clone()));
    }
    let (catalogs, keeper) = Catalogs::new(CatalogSource {
        access: Arc::new(ArcSwap::from_pointee(access)),
        policy: Arc::new(ArcSwap::from_pointee(settings.policy.clone())),
        keyring: Arc::new(ArcSwapOption::new(house::keyring(settings).ok().flatten())),
        timing: Timing::default(),
    });
    let keeping = tokio::spawn(keeper.run());
    let mut findings = Vec::new();
    for database in databases {
        findings.extend(one(&catalogs, &database).await);
    }
    keeping.abort();
    findings
}

async fn one(catalogs: &Catalogs, database: &str) -> Vec<Finding> {
    let what = format!("catalog of {database}");
    match catalogs.current(database).await {
        Err(error) => vec![finding(what, false, error.to_string())],
        Ok(snapshot) => {
            let mut findings =
                vec![finding(&*what, true, format!("{} fields apply", snapshot.fields().len()))];
            findings.extend(matches(&what, &snapshot));
            findings.extend(misfits(&what, &snapshot));
            let notes = catalogs.notes(database);
            findings.extend(notes.iter().map(|note| finding(&*what, true, format!("note: {note}"))));
            findings
        }
    }
}

/// Which tables each pattern has found: the truth is the catalog's, and one that has found
/// nothing may be ahead of its tenants, or misspelt.
fn matches(what: &str, snapshot: &Snapshot) -> Vec<Finding> {
    let mut findings = Vec::new();
    for entry in snapshot.patterns() {
        let tables: BTreeSet<String> = snapshot
            .fields()
            .iter()
            .filter(|field| {
                field.column == entry.field.column
                    && entry.matches(Some(&*field.table.schema), &field.table.name)
            })
            .map(|field| field.table.to_string())
            .collect();
        let shown: Vec<&str> = tables.iter().take(TABLES_SHOWN_MAX).map(String::as_str).collect();
        let detail = match tables.len() {
            0 => "matches no table yet".to_owned(),
            1 => format!("matches {}", shown.join(", ")),
            count if count > shown.len() => {
                format!("matches {count} tables: {} and {} more", shown.join(", "), count - shown.len())
            }
            count => format!("matches {count} tables: {}", shown.join(", ")),
        };
        findings.push(finding(what, true, format!("{}: {detail}", entry.field.path())));
    }
    findings
}

/// Policy entries that the catalog does not bear out.
fn misfits(what: &str, snapshot: &Snapshot) -> Vec<Finding> {
    let mut findings: Vec<Finding> = snapshot
        .relations()
        .filter_map(|relation| {
            Some(finding(what, false, format!("{}: {}", relation.name, relation.fault.as_ref()?)))
        })
        .collect();
    let there: HashSet<&QualifiedName> = snapshot.relations().map(|relation| &relation.name).collect();
    for field in snapshot.fields() {
        if !there.contains(&field.table) {
            findings.push(finding(what, false, format!("{}: there is no such table", field.path())));
        }
    }
    findings
}
