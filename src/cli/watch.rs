//! `sealgate watch`: asks a running gate who is here, ends sessions, lets users in again.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a verb prints")]

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::audit::is_disguise;

use super::CONFIGURATION;
use super::house::settings;

/// How long the gate may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Prints who is here, who is near a limit, who is locked out. 0 it was told, 1 the gate does not answer, 2
/// there is nothing to ask.
pub fn status(config: &Path, json: bool) -> u8 {
    match ask(config, &json!({ "ask": "status" })) {
        Ok(told) if json => println!("{told}"),
        Ok(told) => print(&told),
        Err(code) => return code,
    }
    0
}

/// Takes back what is held against a user. 1 where nothing is.
pub fn release(config: &Path, user: &str, end_user: Option<&str>) -> u8 {
    let request = json!({ "ask": "release", "user": user, "end_user": end_user });
    let whom = end_user.map(|end_user| format!(" for {end_user}")).unwrap_or_default();
    act(config, &request, &format!("nothing is held against {user}{whom}"))
}

/// Ends a session. 1 where there is none of that number.
pub fn end(config: &Path, session: u64) -> u8 {
    act(config, &json!({ "ask": "end", "session": session }), &format!("there is no session {session}"))
}

/// Prints why there was an alert. 1 where it is not known.
pub fn explain(config: &Path, alert: &str, json: bool) -> u8 {
    let request = json!({ "ask": "explain", "alert": alert });
    told(config, &request, json, &format!("no alert {alert} is known: the newest 256 are"), print_alert)
}

/// Prints what is normal for a user. 1 where nobody of that name has been seen.
pub fn baseline(config: &Path, user: &str, json: bool) -> u8 {
    let request = json!({ "ask": "baseline", "user": user });
    told(config, &request, json, &format!("{user} has not been seen"), print_baseline)
}

/// Has what an alert was about learned. 1 where it is not known.
pub fn allow(config: &Path, alert: &str) -> u8 {
    let request = json!({ "ask": "allow", "alert": alert });
    act(config, &request, &format!("no alert {alert} is known: the newest 256 are"))
}

/// New forms of statements are learned and not told for so long.
pub fn deploy(config: &Path, ms: u64) -> u8 {
    act(config, &json!({ "ask": "deploy", "ms": ms }), "it was not taken")
}

fn told(config: &Path, request: &Value, json: bool, otherwise: &str, print: impl Fn(&Value)) -> u8 {
    let answer = match ask(config, request) {
        Ok(answer) => answer,
        Err(code) => return code,
    };
    let told = of(&answer, "told");
    if let Some(fault) = of(told, "fault").as_str() {
        eprintln!("sealgate: {fault}");
        return CONFIGURATION;
    }
    if told.is_null() {
        eprintln!("sealgate: {otherwise}");
        return 1;
    }
    if json {
        println!("{told}");
    } else {
        print(told);
    }
    0
}

fn word(value: &Value, key: &str) -> String {
    let value = of(value, key);
    value.as_str().map_or_else(|| value.to_string(), shown)
}

fn print_alert(told: &Value) {
    let allowed = if *of(told, "allowed") == true { ", allowed since" } else { "" };
    println!("{} {} ({}{allowed})", word(told, "time"), word(told, "principal"), word(told, "severity"));
    println!(
        "score {}: once in {} days of one user; told from once in {} on",
        word(told, "score"),
        word(told, "once_in_user_days"),
        word(told, "told_from")
    );
    for reason in of(told, "reasons").as_array().into_iter().flatten() {
        println!("  {}", reason.as_str().map(shown).unwrap_or_default());
    }
    println!("alert {}, incident {}", word(told, "alert"), word(told, "incident"));
}

fn print_baseline(told: &Value) {
    for one in told.as_array().into_iter().flatten() {
        println!(
            "{}: since {}, latest {}, peers: {}",
            word(one, "principal"),
            word(one, "since"),
            word(one, "latest"),
            word(one, "peers")
        );
        if of(one, "learning_stopped_until").is_string() {
            println!("  nothing is learned until {}", word(one, "learning_stopped_until"));
        }
        println!(
            "  {:<8} {:<38} {:>10} {:>14} {:>10} {:>8}",
            "span", "", "normal", "rarely above", "latest", "samples"
        );
        for normal in of(one, "normals").as_array().into_iter().flatten() {
            println!(
                "  {:<8} {:<38} {:>10} {:>14} {:>10} {:>8}",
                word(normal, "span"),
                word(normal, "what"),
                word(normal, "normal"),
                word(normal, "rarely_above"),
                word(normal, "latest"),
                word(normal, "samples")
            );
        }
    }
}

fn act(config: &Path, request: &Value, otherwise: &str) -> u8 {
    match ask(config, request) {
        Ok(told) if *of(&told, "done") == true => 0,
        Ok(told) if of(of(&told, "told"), "fault").is_string() => {
            eprintln!("sealgate: {}", word(of(&told, "told"), "fault"));
            CONFIGURATION
        }
        Ok(_) => {
            eprintln!("sealgate: {otherwise}");
            1
        }
        Err(code) => code,
    }
}

/// The gate's answer; the exit code where there is none.
fn ask(config: &Path, request: &Value) -> Result<Value, u8> {
    let settings = settings(config).map_err(|fault| {
        eprintln!("sealgate: {}", fault.text());
        CONFIGURATION
    })?;
    let Some(socket) = settings.admin.and_then(|admin| admin.socket) else {
        eprintln!(
            "sealgate: {}: the watch is asked at the socket of [admin], and there is none; \
             add socket = \"/run/sealgate/admin.sock\"",
            config.display()
        );
        return Err(CONFIGURATION);
    };
    ask_at(&socket, request).map_err(|error| {
        eprintln!("sealgate: {}: {error}", socket.display());
        1
    })
}

fn ask_at(socket: &Path, request: &Value) -> io::Result<Value> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

fn print(told: &Value) {
    let list = |key: &str| of(told, key).as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), shown);
    let sessions = list("sessions");
    println!("{} sessions", sessions.len());
    for one in &sessions {
        let doing = of(one, "doing");
        let doing = if doing.is_object() {
            format!("since {}: {}", text(of(doing, "since")), text(of(doing, "statement")))
        } else {
            "nothing classified under way".to_owned()
        };
        println!(
            "  {} {}@{} from {} ({}) since {}: {doing}",
            of(one, "session"),
            text(of(one, "user")),
            text(of(one, "database")),
            text(of(one, "client")),
            text(of(one, "application")),
            text(of(one, "since"))
        );
    }
    let whom = |one: &Value| match of(one, "end_user").as_str() {
        None => text(of(one, "user")),
        Some(end_user) => format!("{} for {}", text(of(one, "user")), shown(end_user)),
    };
    for one in list("limits") {
        println!(
            "limit: {} has {} of {}: {}",
            whom(&one),
            of(&one, "used"),
            of(&one, "most"),
            text(of(&one, "rule"))
        );
    }
    for one in list("locked") {
        println!(
            "locked: {} until {}, incident {}",
            whom(&one),
            text(of(&one, "until")),
            text(of(&one, "incident"))
        );
    }
    for one in list("restrained") {
        println!(
            "{}: {} until {}, incident {}",
            text(of(&one, "what")),
            whom(&one),
            text(of(&one, "until")),
            text(of(&one, "incident"))
        );
    }
    let shared = of(told, "shared");
    if shared.is_object() {
        let trouble = of(shared, "trouble").as_str().map(shown).filter(|trouble| !trouble.is_empty());
        println!(
            "shared with {} other gates{}",
            of(shared, "proxies"),
            trouble.map(|why| format!(": {why}")).unwrap_or_default()
        );
    }
    let learned = of(told, "learned");
    if of(learned, "principals").is_u64() {
        let until = |key: &str, says: &str| {
            let until = of(learned, key).as_str().map(shown);
            until.map(|until| format!(", {says} until {until}")).unwrap_or_default()
        };
        println!(
            "learned: {} of at most {} users{}{}",
            of(learned, "principals"),
            of(learned, "principals_max"),
            until("learning_until", "learning"),
            until("deploying_until", "new forms of statements are no news")
        );
    }
    let behind = text(of(told, "alerts"));
    if !behind.is_empty() {
        println!("{behind}");
    }
}

/// A member; null where there is none.
fn of<'v>(value: &'v Value, key: &str) -> &'v Value {
    value.get(key).unwrap_or(&Value::Null)
}

/// Nothing that a terminal takes for more than text.
fn shown(text: &str) -> String {
    text.chars().map(|letter| if is_disguise(letter) { '?' } else { letter }).collect()
}
