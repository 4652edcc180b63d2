//! The databases that the policy speaks of: whether its fields are there, and what of the schema does
//! not fit them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::findings::{Findings, Severity};
use crate::catalog::{Field, Lack, QualifiedName, Snapshot};
use crate::cli::house;
use crate::config::Settings;
use crate::gate::today;
use crate::seal::Keyring;
use crate::store::catalog::{LoadError, databases, inspect, judge_once, lacks, load};
use crate::upstream::dial::Dialer;
use crate::upstream::service::{Access, ServiceConnection};

/// Databases that are looked at for fields that name none.
const DATABASES_MAX: usize = 64;
/// The server's SQLSTATE of a database that is not there.
const NO_DATABASE: &str = "3D000";
/// Tables that are named of those a pattern matches.
const TABLES_SHOWN_MAX: usize = 20;

/// Every database that a field names, and all that the service account may enter for fields that name
/// none.
pub async fn look(settings: &Settings, dialer: &Arc<Dialer>, findings: &mut Findings) {
    let access = match house::access(settings, dialer) {
        Ok(Some(access)) if !settings.policy.fields.is_empty() => access,
        Ok(_) => return,
        Err(fault) => return findings.fault("service account", "service-account-fault", fault),
    };
    let fields = || settings.policy.fields.iter().map(|entry| &entry.field);
    let named: BTreeSet<String> =
        fields().filter_map(|field| field.database.as_deref().map(str::to_owned)).collect();
    let mut all = named.clone();
    let anywhere = fields().any(|field| field.database.is_none());
    if anywhere {
        all.extend(everywhere(&access, findings).await);
    }
    let shown: Vec<&str> = all.iter().map(String::as_str).collect();
    findings.note("fields", "databases", format!("looked for in {}", shown.join(", ")));
    // Of entries without a database, by place in the policy: what comes nearest; none, where one fits.
    let mut nearest: BTreeMap<usize, Option<Lack>> = BTreeMap::new();
    let mut unread = false;
    // That it does not open is told of elsewhere.
    let keyring = house::keyring(settings).ok().flatten();
    for database in &all {
        match one(settings, (&access, keyring.as_ref()), database, named.contains(database), findings).await {
            Ok(lacks) => {
                for (place, lack) in lacks {
                    let known = nearest.entry(place).or_insert(lack);
                    *known = known.and_then(|known| lack.map(|lack| known.max(lack)));
                }
            }
            Err(LoadError::Service(error)) if error.sqlstate() == Some(NO_DATABASE) => {
                for entry in &settings.policy.fields {
                    if entry.field.database.as_deref() == Some(database) {
                        findings.misfit(settings, entry, Lack::Database);
                    }
                }
            }
            Err(error) => {
                unread = true;
                findings.of_database(Severity::Error, "catalog-fault", database, error.to_string());
            }
        }
    }
    for (place, entry) in settings.policy.fields.iter().enumerate() {
        if entry.field.database.is_some() || unread {
            continue;
        }
        if let Some(lack) = nearest.get(&place).copied().unwrap_or(Some(Lack::Table)) {
            findings.misfit(settings, entry, lack);
        }
    }
}

/// The databases that the service account may enter, within a bound.
async fn everywhere(access: &Access, findings: &mut Findings) -> Vec<String> {
    let listed = async {
        let service = connect(access, &access.database).await?;
        databases(&service, DATABASES_MAX).await
    };
    match listed.await {
        Ok((all, 0)) => all,
        Ok((all, more)) => {
            let says = format!("{more} more databases were not looked at: name the field's database");
            findings.warning("fields", "databases-unseen", says);
            all
        }
        Err(error) => {
            findings.of_database(Severity::Error, "catalog-fault", &access.database, error.to_string());
            Vec::new()
        }
    }
}

async fn connect(access: &Access, database: &str) -> Result<ServiceConnection, LoadError> {
    let connected = ServiceConnection::first(&access.dialer, &access.account, database, today()).await;
    Ok(connected.map(|(service, _)| service)?)
}

async fn one(
    settings: &Settings,
    (access, keyring): (&Access, Option<&Arc<Keyring>>),
    database: &str,
    named: bool,
    findings: &mut Findings,
) -> Result<Vec<(usize, Option<Lack>)>, LoadError> {
    let service = connect(access, database).await?;
    let mut loaded = load(&service, database, &settings.policy, &mut Default::default()).await?;
    if let Some(keyring) = keyring {
        judge_once(&service, keyring, &mut loaded.parts).await?;
    }
    let snapshot = Snapshot::new(loaded.parts);
    let there: HashSet<&QualifiedName> = snapshot.relations().map(|relation| &relation.name).collect();
    let fields = snapshot.fields();
    let mine = |field: &&Field| there.contains(&field.table);
    let count = fields.iter().filter(mine).count();
    if count > 0 || named {
        findings.of_database(Severity::Note, "catalog", database, format!("{count} fields apply"));
    }
    for unfit in snapshot.faults() {
        findings.unfit(database, unfit, fields);
    }
    let lacks = lacks(&service, database, &settings.policy).await?;
    for (place, lack) in &lacks {
        if let (Some(entry), Some(lack)) = (settings.policy.fields.get(*place), lack)
            && entry.field.database.is_some()
        {
            findings.misfit(settings, entry, *lack);
        }
    }
    for unfit in inspect(&service, &snapshot).await? {
        findings.unfit(database, &unfit, fields);
    }
    matches(database, &snapshot, findings);
    for note in loaded.notes.iter().filter(|_| count > 0 || named) {
        findings.of_database(Severity::Note, "code", database, note);
    }
    Ok(lacks)
}

/// Which tables each pattern has found: the truth is the catalog's, and one that has found
/// nothing may be ahead of its tenants, or misspelt.
fn matches(database: &str, snapshot: &Snapshot, findings: &mut Findings) {
    for entry in snapshot.patterns() {
        let of_entry = |field: &&Field| {
            field.column == entry.field.column && entry.matches(Some(&*field.table.schema), &field.table.name)
        };
        let all = snapshot.fields().iter().filter(of_entry);
        let sound = all.filter(|field| !findings.has_error(database, field));
        let tables: BTreeSet<String> = sound.map(|field| field.table.to_string()).collect();
        let faulty = snapshot.fields().iter().filter(of_entry).count() - tables.len();
        let shown: Vec<&str> = tables.iter().take(TABLES_SHOWN_MAX).map(String::as_str).collect();
        let detail = match tables.len() {
            0 if faulty > 0 || findings.has_told(&entry.field) => continue,
            0 => "matches no table yet".to_owned(),
            1 => format!("matches {}", shown.join(", ")),
            count if count > shown.len() => {
                format!("matches {count} tables: {} and {} more", shown.join(", "), count - shown.len())
            }
            count => format!("matches {count} tables: {}", shown.join(", ")),
        };
        let message = format!("{}: {detail}", entry.field.path());
        findings.of_field(Severity::Note, "pattern", Some(database), &entry.field, message);
    }
}
