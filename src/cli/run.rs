//! `sealgate run`: the proxy, until SIGTERM or Ctrl-C.

use std::path::Path;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::CONFIGURATION;
use super::house::{Fault, House, settings};
use crate::ops;

/// Runs the verb and returns its exit code: 0 drained, 2 a fault that another start does not
/// mend, 1 otherwise.
pub fn run(config: &Path) -> u8 {
    std::panic::set_hook(Box::new(|panic| tracing::error!("{}", place(panic))));
    forbid_core_dumps();
    let settings = match settings(config) {
        Ok(settings) => settings,
        Err(fault) => return tell(&fault),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tell(&Fault::Start(format!("the runtime cannot be started: {error}"))),
    };
    runtime.block_on(async {
        // First of all: a signal that comes while the house is opened waits for it.
        let Some(mut signals) = Signals::take() else {
            return tell(&Fault::Start("signals cannot be taken".to_owned()));
        };
        let metrics = match ops::install() {
            Ok(metrics) => metrics,
            Err(error) => return tell(&Fault::Start(format!("metrics cannot be recorded: {error}"))),
        };
        let house = match House::open(settings, metrics).await {
            Ok(house) => house,
            Err(fault) => return tell(&fault),
        };
        for address in &house.addresses {
            tracing::info!(%address, "listening");
        }
        if let Some(address) = house.admin {
            tracing::info!(%address, "metrics and health");
        }
        serve(&house, config, &mut signals).await;
        tracing::info!("draining");
        tell_manager(&[NotifyState::Stopping]);
        u8::from(!house.drain(signals.end()).await)
    })
}

/// The signals that the process answers to. Once taken they do nothing else any more: a
/// SIGHUP while the gate drains is not noticed.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

#[derive(PartialEq, Eq)]
enum Asked {
    End,
    Reload,
}

impl Signals {
    fn take() -> Option<Signals> {
        let terminate = signal(SignalKind::terminate()).ok()?;
        let interrupt = signal(SignalKind::interrupt()).ok()?;
        Some(Signals { terminate, interrupt, hangup: signal(SignalKind::hangup()).ok()? })
    }

    /// SIGTERM or Ctrl-C.
    async fn end(&mut self) {
        while self.next().await != Asked::End {}
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }
}

/// Until the process shall end: reloads where it is asked to, and tells the service manager.
async fn serve(house: &House, config: &Path, signals: &mut Signals) {
    if let Some(within) = sd_notify::watchdog_enabled() {
        tokio::spawn(stay_alive(within / 2));
    }
    tell_manager(&[NotifyState::Ready]);
    while signals.next().await == Asked::Reload {
        // A reload waits for servers; the end does not wait for it.
        let mut again = true;
        while std::mem::take(&mut again) {
            let mut reloading = std::pin::pin!(reload(house, config));
            loop {
                tokio::select! {
                    () = &mut reloading => break,
                    asked = signals.next() => match asked {
                        Asked::End => return,
                        // The file may have changed since it was read.
                        Asked::Reload => again = true,
                    },
                }
            }
        }
    }
}

/// Tells the service manager, again and again, that this thread is not stuck.
async fn stay_alive(interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    loop {
        ticks.tick().await;
        tell_manager(&[NotifyState::Watchdog]);
    }
}

/// Reads the configuration again. A faulty one changes nothing.
async fn reload(house: &House, config: &Path) {
    let now = NotifyState::monotonic_usec_now();
    match now {
        Ok(now) => tell_manager(&[NotifyState::Reloading, now]),
        Err(_) => tell_manager(&[NotifyState::Reloading]),
    }
    let result = match house.reload(settings(config)).await {
        Ok(later) => {
            for section in later {
                tracing::warn!("{section} has changed and counts only from the next start on");
            }
            tracing::info!("the configuration was read again");
            "applied"
        }
        Err(fault) => {
            tell(&fault);
            tracing::error!("the configuration in use stays in use");
            "refused"
        }
    };
    metrics::counter!("sealgate_reloads_total", "result" => result).increment(1);
    tell_manager(&[NotifyState::Ready]);
}

/// A service manager that listens (`NOTIFY_SOCKET`) is told how it stands; else nobody.
fn tell_manager(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager was not told");
    }
}

/// Where a panic began, without its message: that of a library may quote the text it was
/// working on.
fn place(panic: &std::panic::PanicHookInfo<'_>) -> String {
    match panic.location() {
        Some(at) => format!("a panic at {}:{}:{}", at.file(), at.line(), at.column()),
        None => "a panic".to_owned(),
    }
}

/// Keys and values in memory must not end in a core file (P5).
pub fn forbid_core_dumps() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let limited = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let dumpable = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if limited.is_err() || dumpable.is_err() {
        tracing::warn!("core dumps could not be switched off");
    }
}

/// Logs a fault and returns its exit code.
pub fn tell(fault: &Fault) -> u8 {
    match fault {
        Fault::Configuration(faults) => {
            for fault in faults {
                tracing::error!("{fault}");
            }
            CONFIGURATION
        }
        Fault::Start(fault) => {
            tracing::error!("{fault}");
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    #[test]
    fn a_panic_is_told_of_by_its_place_alone() {
        let told = Arc::new(Mutex::new(String::new()));
        let (kept, before) = (Arc::clone(&told), std::panic::take_hook());
        std::panic::set_hook(Box::new(move |panic| kept.lock().unwrap().push_str(&super::place(panic))));
        let ended = std::panic::catch_unwind(|| {
            let text = String::from("secret-\u{e4}");
            let _ = std::hint::black_box(&text[..8]);
        });
        std::panic::set_hook(before);
        assert!(ended.is_err(), "the standard library quotes the text that it cannot cut");
        let told = told.lock().unwrap();
        assert!(told.starts_with("a panic at src/cli/run.rs:") && !told.contains("secret"), "{told}");
    }
}
