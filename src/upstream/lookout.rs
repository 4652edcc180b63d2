//! Looks at every host, again and again: is it there, does it take writes, does it let the service
//! account in? So a session's first attempt goes to the right one, also under a login that cannot be
//! repeated with another host (`relay`), and whoever asks whether the gate is ready is told what was
//! found, and waits for no server. What is wrong is in the log before a client comes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::dial::today;
use super::outlook::Found;
use super::service::{Access, ServiceConnection, ServiceError};
use super::standing::Standing;

/// Between two looks at one host, at least, and the longest that one may take.
const INTERVAL: Duration = Duration::from_secs(1);
const LOOK_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two looks at a single host, of which nobody wants to know anything.
const REST: Duration = Duration::from_secs(5);

/// Keeps what is known of the hosts of the dialer that `access` holds at the time. Ends when it is
/// dropped.
pub async fn keep(access: Arc<ArcSwap<Access>>) {
    let mut looks = JoinSet::new();
    let mut of: Option<Arc<Access>> = None;
    loop {
        let now = access.load_full();
        if !of.as_ref().is_some_and(|before| Arc::ptr_eq(before, &now)) {
            looks.abort_all();
            for index in 0..now.dialer.hosts().len() {
                looks.spawn(look(Arc::clone(&now), index));
            }
            of = Some(now);
        }
        sleep(INTERVAL).await;
        while looks.try_join_next().is_some() {}
    }
}

async fn look(access: Arc<Access>, index: usize) {
    let chooses = access.dialer.chooses();
    let mut kept = None;
    loop {
        let found = match timeout(LOOK_TIMEOUT, find(&access, index, &mut kept)).await {
            Ok(found) => found,
            Err(_) => {
                let host = access.dialer.hosts().get(index).map_or_else(String::new, ToString::to_string);
                Found::Down(format!("{host}: it took too long"))
            }
        };
        if !chooses || matches!(found, Found::Down(_) | Found::NotLetIn(_)) {
            kept = None;
        }
        if chooses {
            access.dialer.standings().set(index, standing(&found), Instant::now());
        }
        if matches!(found, Found::Down(_)) {
            access.dialer.count(index, None);
        }
        access.dialer.outlook().note(access.dialer.hosts(), index, found, Instant::now());
        sleep(INTERVAL).await;
        if !chooses {
            let _ = timeout(REST - INTERVAL, access.dialer.outlook().asked()).await;
        }
    }
}

/// A host that does not let the account in is no place to try first.
fn standing(found: &Found) -> Standing {
    match found {
        Found::Writable => Standing::Writable,
        Found::Standby => Standing::Standby,
        Found::Answers | Found::Nothing => Standing::Unknown,
        Found::NotLetIn(_) | Found::Down(_) => Standing::Down,
    }
}

/// Where nobody needs the account and there is nothing to choose, it is not logged in.
async fn find(access: &Access, index: usize, kept: &mut Option<ServiceConnection>) -> Found {
    if !access.is_needed && !access.dialer.chooses() {
        return reach(access, index).await;
    }
    match ask(access, index, kept).await {
        Ok(true) => Found::Standby,
        Ok(false) => Found::Writable,
        Err(error) => {
            // It is not left open in a state that nobody knows.
            *kept = None;
            match error.sqlstate() {
                None => Found::Down(error.to_string()),
                Some(_) if error.is_refused_login() && access.is_needed => Found::NotLetIn(error.to_string()),
                // It starts up, or shuts down.
                Some(state) if state.starts_with("57P") => Found::Down(error.to_string()),
                // It answers, and this is about the account, the database that is asked, or the moment.
                Some(_) => reach(access, index).await,
            }
        }
    }
}

async fn reach(access: &Access, index: usize) -> Found {
    match access.dialer.reach_host(index, today()).await {
        Ok(_) => Found::Answers,
        Err(error) => Found::Down(error.to_string()),
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
            let Access { dialer, account, database, is_needed: _ } = access;
            let (service, route) =
                ServiceConnection::of_host(dialer, index, account, database, today()).await?;
            dialer.count(index, Some(&route.region));
            service
        }
    };
    let rows = service.rows("SELECT pg_catalog.pg_is_in_recovery()", &[]).await?;
    *kept = Some(service);
    let standby = rows.first().and_then(|row| row.try_get::<_, bool>(0).ok());
    standby.ok_or_else(|| ServiceError::Unreachable("no answer to pg_is_in_recovery()".to_owned()))
}
