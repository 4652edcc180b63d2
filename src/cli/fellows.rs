//! What `[watch.share]` names, made ready: the key, and the way to the store.

use std::sync::Arc;

use super::house::{Fault, secret_text};
use crate::config::{Settings, ShareSettings};
use crate::gate::{Fellows, Fellowship, Ties};
use crate::share::{Access, ShareThread};
use crate::watch::ShareKey;

const KEY: &str = "watch.share";

/// The thread that tells other proxies and hears them. None: they are not told anything.
///
/// # Errors
/// A secret or a certificate that cannot be used, a thread that cannot be started.
pub fn start(settings: &Settings, ties: Ties) -> Result<Option<(Arc<Fellowship>, ShareThread)>, Fault> {
    let Some((access, key)) = ready(settings)? else { return Ok(None) };
    let fellowship: Arc<Fellowship> = Arc::default();
    let fellows = Fellows::new(key, ties, Arc::clone(&fellowship));
    let thread = ShareThread::start(access, fellows).map_err(|error| {
        Fault::Start(format!("the thread that tells other proxies cannot be started: {error}"))
    })?;
    Ok(Some((fellowship, thread)))
}

/// The same without starting anything.
///
/// # Errors
/// As [`start`].
pub fn ready(settings: &Settings) -> Result<Option<(Access, ShareKey)>, Fault> {
    let Some(share) = &settings.share else { return Ok(None) };
    let fault = |why: String| Fault::of(settings, KEY, &why);
    let access = Access::new(share, &secret_text).map_err(fault)?;
    Ok(Some((access, key(share).map_err(fault)?)))
}

fn key(share: &ShareSettings) -> Result<ShareKey, String> {
    const REMEDY: &str = "32 bytes in base64, the same on all proxies: `openssl rand -base64 32`";
    let text = secret_text(&share.key)?.ok_or_else(|| format!("key is not set: {REMEDY}"))?;
    ShareKey::from_base64(&text).ok_or_else(|| format!("key is not {REMEDY}"))
}
