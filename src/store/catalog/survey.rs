//! Looks at all databases of the policy, again and again, whether a session is there or not: one in
//! which nobody is would otherwise tell nobody that the policy does not fit it. Each look is a
//! session of its own that is over in a moment, so that it stands in nobody's way.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::fit;
use super::load::LoadError;
use super::registry::{CatalogSource, Catalogs};
use crate::catalog::Classification;
use crate::upstream::dial::today;
use crate::upstream::service::{Access, ServiceConnection};

/// Between two surveys, and where something does not fit.
const REST: Duration = Duration::from_secs(30);
const REST_TROUBLED: Duration = Duration::from_secs(3);
/// How often it is looked whether something has come not to fit.
const STEP: Duration = Duration::from_secs(1);
/// A survey that takes long is repeated seldom: after so many times as long as it took.
const REST_RATIO: u32 = 3;
/// Databases that are looked at for entries that name none.
const DATABASES_MAX: usize = 256;
/// Databases in a row that do not answer, after which nobody else is asked.
const SILENT_MAX: u32 = 3;
/// One database.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// Surveys until the task is dropped.
pub async fn survey(source: CatalogSource, catalogs: Catalogs) {
    let fitness = Arc::clone(catalogs.fitness());
    loop {
        let (policy, access) = (source.policy.load_full(), source.access.load_full());
        fitness.adopt(&policy);
        let began = Instant::now();
        if policy.fields.is_empty() {
            fitness.surveyed(&policy, &BTreeSet::new(), true);
        } else if let Some((all, complete)) = look_at_all(&policy, &access, &catalogs).await {
            fitness.surveyed(&policy, &all, complete);
        }
        let (rested, took) = (Instant::now(), began.elapsed());
        // Who is there may find trouble meanwhile.
        let rest = || if fitness.is_troubled() { REST_TROUBLED } else { REST };
        while rested.elapsed() < rest().max(took * REST_RATIO) {
            // Another policy is looked at right away.
            if timeout(STEP, fitness.changed()).await.is_ok() {
                break;
            }
        }
    }
}

/// The databases that are there, and whether these are all. None: the server cannot be asked.
async fn look_at_all(
    policy: &Arc<Classification>,
    access: &Access,
    catalogs: &Catalogs,
) -> Option<(BTreeSet<Arc<str>>, bool)> {
    let fitness = catalogs.fitness();
    let named: BTreeSet<Arc<str>> =
        policy.fields.iter().filter_map(|entry| entry.field.database.clone()).collect();
    let (mut all, mut complete) = (named.clone(), true);
    if policy.fields.iter().any(|entry| entry.field.database.is_none()) {
        match timeout(LOOK_TIMEOUT, reached(access)).await.ok()? {
            Ok((reached, are_all)) => {
                all.extend(reached);
                complete = are_all;
            }
            Err(error) => {
                tracing::debug!(%error, "databases cannot be listed");
                return None;
            }
        }
    }
    let mut silent = 0;
    for database in &all {
        // Where a session is, its catalog is looked at all the time.
        if catalogs.held(database).is_some() && fitness.knows(policy, database) {
            continue;
        }
        let why = match timeout(LOOK_TIMEOUT, look(policy, access, database, catalogs)).await {
            Ok(Ok(())) => {
                silent = 0;
                continue;
            }
            Ok(Err(error)) if error.is_final() => {
                fitness.absent(policy, database);
                continue;
            }
            Ok(Err(error)) => {
                silent += u32::from(error.is_silence());
                error.to_string()
            }
            Err(_) => {
                silent += 1;
                "it took too long".to_owned()
            }
        };
        if silent >= SILENT_MAX || silent > 0 && all.len() == 1 {
            return None;
        }
        if named.contains(database) {
            fitness.unseen(policy, database, &why);
        } else {
            // Whether the policy fits there nobody knows.
            complete = false;
        }
    }
    Some((all, complete))
}

async fn reached(access: &Access) -> Result<(BTreeSet<Arc<str>>, bool), LoadError> {
    let (service, _) =
        ServiceConnection::first(&access.dialer, &access.account, &access.database, today()).await?;
    fit::databases(&service, DATABASES_MAX).await
}

async fn look(
    policy: &Arc<Classification>,
    access: &Access,
    database: &Arc<str>,
    catalogs: &Catalogs,
) -> Result<(), LoadError> {
    let fitness = catalogs.fitness();
    let (service, _) = ServiceConnection::first(&access.dialer, &access.account, database, today()).await?;
    let fits = fit::read(&service, database, policy, &fitness.former(database)).await?;
    // Whoever has come meanwhile may know better.
    if catalogs.held(database).is_none() || !fitness.knows(policy, database) {
        fitness.judge(policy, database, &fits);
    }
    Ok(())
}
