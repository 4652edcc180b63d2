//! The socket at which operators see who is here, end sessions and let users in again.
//!
//! One request a connection, one line of JSON each way. Who may connect is the file's mode to say: its owner
//! alone. What is done stands in the record with the account that asked.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::events::{applied, refused};
use crate::alarm::now_ms;
use crate::audit::{AdminRecord, Record, rfc3339};
use crate::gate::{Order, Question, SharedGate};
use crate::watch::{Restrained, Restraint, Whom};

/// Longest request, in bytes.
const REQUEST_BYTES_MAX: usize = 4 * 1024;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest window of a deployment: seven days.
pub(super) const DEPLOY_MS_MAX: u64 = 7 * 86_400_000;
/// Entries of one list of an answer.
const LISTED_MAX: usize = 10_000;

/// The file goes with the process.
struct Socket {
    listener: UnixListener,
    file: PathBuf,
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

/// Serves at the file until the runtime ends.
///
/// # Errors
/// It cannot be listened at: another process does, or what is there is no socket.
pub fn serve(gate: SharedGate, file: &Path) -> io::Result<()> {
    let socket = Socket { listener: bind(file)?, file: file.to_owned() };
    tokio::spawn(async move {
        loop {
            match socket.listener.accept().await {
                Ok((stream, _)) => {
                    // One after the other: operators are few.
                    if timeout(PATIENCE, answer(&gate, stream)).await.is_err() {
                        tracing::warn!("a request at the admin socket took too long");
                    }
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    });
    Ok(())
}

/// Nobody can connect before the file has its mode: it has another name until then.
fn bind(file: &Path) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(facts) if !facts.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is no socket"));
        }
        Ok(_) => match std::os::unix::net::UnixStream::connect(file) {
            // Nobody listens any more.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Ok(_) | Err(_) => return Err(io::ErrorKind::AddrInUse.into()),
        },
    }
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let closed = PathBuf::from(name);
    let _ = std::fs::remove_file(&closed);
    let listener = UnixListener::bind(&closed)?;
    let opened = std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o600))
        .and_then(|()| std::fs::rename(&closed, file));
    if let Err(error) = opened {
        let _ = std::fs::remove_file(&closed);
        return Err(error);
    }
    Ok(listener)
}

async fn answer(gate: &SharedGate, mut stream: UnixStream) {
    let account =
        stream.peer_cred().map_or_else(|_| "unknown".to_owned(), |peer| format!("uid {}", peer.uid()));
    let mut request = Vec::new();
    while !request.ends_with(b"\n") {
        let read = stream.read_buf(&mut request).await;
        if request.len() > REQUEST_BYTES_MAX || !read.is_ok_and(|count| count > 0) {
            return;
        }
    }
    let request: Value = serde_json::from_slice(&request).unwrap_or_default();
    let word = |key: &str| request.get(key).and_then(Value::as_str).unwrap_or_default();
    let told = match word("ask") {
        "status" => {
            let learned = asked(gate, Question::Standing { now_ms: now_ms() }).await;
            let mut told = status(gate);
            if let Some(members) = told.as_object_mut() {
                members.insert("learned".to_owned(), learned);
            }
            told
        }
        "release" => {
            let user = word("user");
            let end_user = request.get("end_user").and_then(Value::as_str);
            let done = gate.roster.release(user, end_user, now_ms());
            let whom = end_user.map(|end_user| format!(" for {end_user}")).unwrap_or_default();
            note(gate, "watch-release", &format!("user {user}{whom}"), done, &account).await;
            json!({ "done": done })
        }
        "end" => {
            let session = request.get("session").and_then(Value::as_u64).unwrap_or(0);
            let done = gate.roster.end(session, Order::Leave);
            note(gate, "watch-end", &format!("session {session}"), done, &account).await;
            json!({ "done": done })
        }
        "explain" => {
            let alert = word("alert").to_owned();
            json!({ "told": asked(gate, Question::Explain(alert)).await })
        }
        "baseline" => {
            let user = word("user").to_owned();
            json!({ "told": asked(gate, Question::Baseline(user)).await })
        }
        "allow" => {
            let alert = word("alert");
            let told = asked(gate, Question::Allow(alert.to_owned())).await;
            let done = told == Value::Bool(true);
            note(gate, "watch-allow", &format!("alert {alert}"), done, &account).await;
            json!({ "done": done, "told": told })
        }
        "deploy" => {
            let ms = request.get("ms").and_then(Value::as_u64).unwrap_or(0).min(DEPLOY_MS_MAX);
            let until_ms = now_ms().saturating_add(ms);
            let told = asked(gate, Question::Deploy { until_ms }).await;
            let done = told == Value::Bool(true);
            note(
                gate,
                "watch-deploy",
                &format!("until {}", rfc3339(until_ms.saturating_mul(1_000))),
                done,
                &account,
            )
            .await;
            json!({ "done": done, "told": told })
        }
        _ => json!({ "fault": "ask for status, release, end, explain, baseline, allow or deploy" }),
    };
    let _ = stream.write_all(format!("{told}\n").as_bytes()).await;
}

/// What the learned detector says. Null: nothing is learned, or what is asked for is not known.
async fn asked(gate: &SharedGate, question: Question) -> Value {
    if gate.regime.load().settings.learned.is_none() {
        return json!({ "fault": "nothing is learned: the configuration has no [watch.learned]" });
    }
    gate.vigil.ask(question).await.unwrap_or_default()
}

async fn note(gate: &SharedGate, event: &'static str, what: &str, done: bool, account: &str) {
    let record = if done { applied(event, what) } else { refused(event, &format!("{what}: there is none")) };
    tracing::info!(event, what, done, account, "an operator");
    let Some(journal) = &gate.journal else { return };
    let record = AdminRecord { account: Some(account.into()), ..record };
    if journal.submit_wait(Record::Admin(record)).await.is_err() {
        tracing::error!("a record was not taken by the journal");
    }
}

/// Its name; null of a login user.
fn end_user(whom: &Whom) -> Option<&str> {
    whom.end_user.as_ref().map(|end_user| &*end_user.name)
}

fn status(gate: &SharedGate) -> Value {
    let time = |ms: u64| rfc3339(ms.saturating_mul(1_000));
    let sessions: Vec<Value> = gate
        .roster
        .open()
        .iter()
        .take(LISTED_MAX)
        .map(|listed| {
            let who = &listed.who;
            let doing = listed
                .doing()
                .map(|doing| json!({ "statement": *doing.shape, "since": time(doing.since_ms) }));
            json!({
                "session": who.session,
                "user": *who.user,
                "database": *who.database,
                "application": *who.application,
                "client": *who.client,
                "since": time(listed.since_ms),
                "doing": doing,
            })
        })
        .collect();
    let near = gate.watch.standing(gate.ms_at(Instant::now()));
    let limits: Vec<Value> = near
        .iter()
        .take(LISTED_MAX)
        .map(|used| json!({ "user": *used.whom.user, "end_user": end_user(&used.whom), "rule": *used.rule, "used": used.used, "most": used.most }))
        .collect();
    let held = gate.roster.held(now_ms());
    let told = |one: &Restrained| {
        json!({
            "user": *one.whom.user,
            "end_user": end_user(&one.whom),
            "by": if one.lock.is_some() { "another proxy" } else { "this one" },
            "what": one.restraint.name(),
            "until": time(one.until_ms),
            "incident": *one.incident,
        })
    };
    let (locked, others): (Vec<&Restrained>, Vec<&Restrained>) =
        held.iter().partition(|one| one.restraint == Restraint::Lock);
    let list = |all: Vec<&Restrained>| all.into_iter().map(told).collect::<Vec<Value>>();
    json!({
        "sessions": sessions,
        "limits": limits,
        "locked": list(locked),
        "restrained": list(others),
        "alerts": gate.alarm.behind(),
        "shared": gate.fellowship.as_ref().map(|fellowship| {
            json!({ "proxies": fellowship.others(), "trouble": fellowship.trouble() })
        }),
    })
}
