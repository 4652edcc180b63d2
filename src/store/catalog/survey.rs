//! Looks at all databases of the policy, again and again, whether a session is there or not: one in
//! which nobody is would otherwise tell nobody that the policy does not fit it. Each look is a
//! session of its own that is over in a moment, so that it stands in nobody's way.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::fit;
use super::fitness::Fitness;
use super::load::LoadError;
use super::registry::{CatalogSource, Catalogs, DATABASES_MAX};
use crate::catalog::Classification;
use crate::upstream::dial::today;
use crate::upstream::service::{Access, ServiceConnection};

/// Between two surveys, and where something does not fit.
const REST: Duration = Duration::from_secs(30);
const REST_TROUBLED: Duration = Duration::from_secs(3);
/// One database.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// Surveys until the task is dropped.
pub async fn survey(source: CatalogSource, catalogs: Catalogs) {
    let fitness = Arc::clone(catalogs.fitness());
    loop {
        let (policy, access) = (source.policy.load_full(), source.access.load_full());
        fitness.adopt(&policy);
        let all = if policy.fields.is_empty() {
            Some(BTreeSet::new())
        } else {
            look_at_all(&policy, &access, &catalogs, &fitness).await
        };
        if let Some(all) = all {
            fitness.surveyed(&policy, &all);
        }
        let rest = if fitness.is_troubled() { REST_TROUBLED } else { REST };
        // Another policy is looked at right away.
        let _ = timeout(rest, fitness.changed()).await;
    }
}

/// The databases that are there. None: the server cannot be asked.
async fn look_at_all(
    policy: &Arc<Classification>,
    access: &Access,
    catalogs: &Catalogs,
    fitness: &Fitness,
) -> Option<BTreeSet<Arc<str>>> {
    let named: BTreeSet<Arc<str>> =
        policy.fields.iter().filter_map(|entry| entry.field.database.clone()).collect();
    let mut all = named.clone();
    if policy.fields.iter().any(|entry| entry.field.database.is_none()) {
        let asked = timeout(LOOK_TIMEOUT, reached(access)).await.ok()?;
        match asked {
            Ok(reached) => all.extend(reached),
            Err(error) => {
                tracing::debug!(%error, "databases cannot be listed");
                return None;
            }
        }
    }
    for database in &all {
        // Where a session is, its catalog is looked at all the time.
        if catalogs.held(database).is_some() && fitness.knows(policy, database) {
            continue;
        }
        let why = match timeout(LOOK_TIMEOUT, look(policy, access, database, catalogs)).await {
            Ok(Ok(())) => continue,
            Ok(Err(LoadError::Service(error))) if error.sqlstate().is_none() => return None,
            Ok(Err(error)) if error.is_final() => {
                fitness.absent(policy, database);
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it took too long".to_owned(),
        };
        if named.contains(database) {
            fitness.unseen(policy, database, &why);
        }
    }
    Some(all)
}

async fn reached(access: &Access) -> Result<BTreeSet<Arc<str>>, LoadError> {
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
    let (service, _) =
        ServiceConnection::first(&access.dialer, &access.account, database, today()).await?;
    let fits = fit::read(&service, database, policy, &fitness.former(database)).await?;
    // Whoever has come meanwhile may know better.
    if catalogs.held(database).is_none() || !fitness.knows(policy, database) {
        fitness.judge(policy, database, &fits);
    }
    Ok(())
}
