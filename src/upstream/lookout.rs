//! Looks at every host, again and again. Where there are several: which of them takes writes
//! now? So that a session's first attempt goes to the right one, also under a login that
//! cannot be repeated with another host (`relay`). A single one serves as it is: what is wrong
//! with it is in the log before a client comes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::dial::today;
use super::service::{Access, ServiceConnection, ServiceError};
use super::standing::Standing;

/// Between two looks at one host, and the longest that one may take.
const INTERVAL: Duration = Duration::from_secs(1);
const LOOK_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two looks at a single host.
const REST: Duration = Duration::from_secs(10);

/// Keeps the standings of the dialer that `access` holds at the time. Ends when it is dropped.
pub async fn keep(access: Arc<ArcSwap<Access>>) {
    let mut looks = JoinSet::new();
    let mut of: Option<Arc<Access>> = None;
    loop {
        let now = access.load_full();
        if !of.as_ref().is_some_and(|before| Arc::ptr_eq(before, &now)) {
            looks.abort_all();
            if now.dialer.chooses() {
                for index in 0..now.dialer.hosts().len() {
                    looks.spawn(look(Arc::clone(&now), index));
                }
            } else {
                looks.spawn(look_in(Arc::clone(&now)));
            }
            of = Some(now);
        }
        sleep(INTERVAL).await;
        while looks.try_join_next().is_some() {}
    }
}

/// Whoever finds a fault logs it.
async fn look_in(access: Arc<Access>) {
    loop {
        if let Err(error) = access.knock(0, today()).await {
            tracing::debug!(%error, "the host does not serve");
        }
        sleep(REST).await;
    }
}

async fn look(access: Arc<Access>, index: usize) {
    let mut kept = None;
    loop {
        let standing = match timeout(LOOK_TIMEOUT, ask(&access, index, &mut kept)).await {
            Ok(Ok(true)) => Standing::Standby,
            Ok(Ok(false)) => Standing::Writable,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a host does not answer");
                Standing::Down
            }
            Err(_) => Standing::Down,
        };
        if standing == Standing::Down {
            kept = None;
        }
        let standings = access.dialer.standings();
        let before = standings.of(index, Instant::now());
        standings.set(index, standing, Instant::now());
        if before != standing
            && let Some(host) = access.dialer.hosts().get(index)
        {
            tracing::info!(%host, ?standing, "a host was looked at");
        }
        sleep(INTERVAL).await;
    }
}

/// Is this host a standby?
async fn ask(
    access: &Access,
    index: usize,
    kept: &mut Option<ServiceConnection>,
) -> Result<bool, ServiceError> {
    let service = match kept.take().filter(|service| !service.is_closed()) {
        Some(service) => service,
        None => {
            ServiceConnection::of_host(&access.dialer, index, &access.account, &access.database, today())
                .await?
                .0
        }
    };
    let rows = service.rows("SELECT pg_catalog.pg_is_in_recovery()", &[]).await?;
    *kept = Some(service);
    let standby = rows.first().and_then(|row| row.try_get::<_, bool>(0).ok());
    standby.ok_or_else(|| ServiceError::Unreachable("no answer to pg_is_in_recovery()".to_owned()))
}
