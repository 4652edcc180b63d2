//! `sealgate audit verify`: what [`crate::store::journal::verify`] finds, told to people and programs; and `sealgate
//! audit show`: the lines in full.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a verb prints")]

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::CONFIGURATION;
use super::evidence::{public_file, signer};
use super::house::settings;
use crate::audit::PublicKey;
use crate::config::{Audit, Secret};
use crate::store::journal::{self, Asked, Found};

/// Tampered with, or incomplete.
const NOT_INTACT: u8 = 3;
/// Faults that people are shown.
const SHOWN_MAX: usize = 20;

/// As the command line has it.
pub struct Wanted {
    pub folder: Option<PathBuf>,
    pub keys: Vec<String>,
    pub external: Vec<PathBuf>,
    pub first: u64,
    pub json: bool,
}

/// 0 intact, 3 not, 2 it could not be looked at.
pub fn verify(config: Option<&Path>, wanted: Wanted) -> u8 {
    let json = wanted.json;
    let asked = match asked(config, wanted) {
        Ok(asked) => asked,
        Err(why) => return cannot(&why),
    };
    match journal::verify(&asked) {
        Ok(found) => {
            println!("{}", if json { as_json(&asked, &found) } else { as_text(&asked, &found) });
            if found.bad.is_empty() { 0 } else { NOT_INTACT }
        }
        Err(error) => cannot(&format!("{}: {error}", asked.folder.display())),
    }
}

/// Prints the lines of a folder, or of one file of it, with what they name by numbers in its place. 0 that is
/// done, 2 it could not be.
pub fn show(config: Option<&Path>, of: Option<PathBuf>) -> u8 {
    let of = match (of, config.map(settings)) {
        (Some(of), _) => of,
        (None, Some(Ok(settings))) => match settings.audit {
            Some(audit) => audit.path,
            None => return cannot("the configuration has no [audit]: name the folder"),
        },
        (None, Some(Err(fault))) => return cannot(&fault.text()),
        (None, None) => return cannot("name the folder"),
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let shown = journal::past(&of, |line| out.write_all(line).and_then(|()| out.write_all(b"\n")));
    match shown.and_then(|_| out.flush()) {
        Ok(()) => 0,
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(error) => cannot(&format!("{}: {error}", of.display())),
    }
}

fn cannot(why: &str) -> u8 {
    eprintln!("sealgate: {why}");
    CONFIGURATION
}

fn asked(config: Option<&Path>, wanted: Wanted) -> Result<Asked, String> {
    let audit = match config {
        Some(config) => settings(config).map_err(|fault| fault.text())?.audit,
        None => None,
    };
    let folder = match (wanted.folder, &audit) {
        (Some(folder), _) => folder,
        (None, Some(audit)) => audit.path.clone(),
        (None, None) => return Err("the configuration has no [audit]: name the folder".to_owned()),
    };
    let mut keys = Vec::new();
    for text in &wanted.keys {
        keys.extend(keys_of(text)?);
    }
    if let Some(audit) = audit.filter(|_| keys.is_empty()) {
        keys.extend(key_of(&audit)?);
    }
    if keys.is_empty() && !wanted.external.is_empty() {
        return Err("--checkpoint without --public-key: there is nothing to verify it by".to_owned());
    }
    Ok(Asked { folder, keys, external: wanted.external, first: wanted.first.max(1) })
}

/// The keys that a word is, or that the file holds which it names.
fn keys_of(text: &str) -> Result<Vec<PublicKey>, String> {
    if let Some(key) = PublicKey::parse(text) {
        return Ok(vec![key]);
    }
    let held = fs::read_to_string(text)
        .map_err(|error| format!("--public-key {text}: no key, and no file: {error}"))?;
    let keys = held.lines().filter(|line| !line.trim().is_empty());
    keys.map(|line| PublicKey::parse(line).ok_or_else(|| format!("{text}: a line of it is no public key")))
        .collect()
}

/// The public half of the configuration's key: the file beside it, or made from it.
fn key_of(audit: &Audit) -> Result<Option<PublicKey>, String> {
    if let Some(Secret::File(path)) = &audit.signing_key
        && let Ok(text) = fs::read_to_string(public_file(path))
    {
        let named = public_file(path);
        let key = PublicKey::parse(&text).ok_or_else(|| format!("{}: it is no public key", named.display()));
        return key.map(Some);
    }
    match signer(audit) {
        Ok(signer) => Ok(signer.map(|signer| signer.public().clone())),
        Err(error) => {
            Err(format!("the public half of the signing key is not at hand (--public-key): {error}"))
        }
    }
}

fn range(found: &Found) -> String {
    match (found.first, found.last) {
        (Some(first), Some(last)) => format!("records {first} to {last} in {} segments", found.segments),
        (Some(_), None) | (None, Some(_)) | (None, None) => "no record".to_owned(),
    }
}

fn as_text(asked: &Asked, found: &Found) -> String {
    let folder = asked.folder.display();
    let mut lines = Vec::new();
    let verdict = if found.bad.is_empty() { "intact" } else { "NOT INTACT" };
    lines.push(format!("{verdict}: {folder}: {}", range(found)));
    for (index, bad) in found.bad.iter().take(SHOWN_MAX).enumerate() {
        let line = bad.line.map(|line| format!(":{line}")).unwrap_or_default();
        let seq = bad.seq.map(|seq| format!(" record {seq}:")).unwrap_or_default();
        let which = if index == 0 { "first" } else { "then " };
        lines.push(format!("  {which} {}{line}:{seq} {}", bad.file, bad.what));
    }
    let untold = found.bad.len().saturating_sub(SHOWN_MAX);
    if untold > 0 {
        lines.push(format!("  and {untold} more"));
    }
    match (found.chained_from, found.first) {
        (Some(from), Some(first)) if from > first => {
            lines.push(format!(
                "chained from record {from} on; those before it are of a version that chained none"
            ));
        }
        (Some(from), _) => lines.push(format!("chained from record {from} on")),
        (None, Some(_)) => lines.push("not chained: of a version that chained none".to_owned()),
        (None, None) => {}
    }
    match &found.signed {
        Some((size, time)) => {
            let since = found.last.unwrap_or(0).saturating_sub(*size);
            let checkpoints = found.checkpoints;
            lines.push(format!(
                "signed up to record {size} at {time}, {checkpoints} checkpoints; {since} records since"
            ));
        }
        None if asked.keys.is_empty() => lines.push(
            "signatures were not looked at: without --public-key only what a clumsy hand changed is found"
                .to_owned(),
        ),
        None => {}
    }
    if found.open > 0 {
        lines.push(format!(
            "open: {} intents have no outcome yet; where the process has ended, count all of each as seen",
            found.open
        ));
        for open in found.open_intents.iter().take(SHOWN_MAX) {
            let journal::OpenIntent { is_lease, seq, session, statement_id, file, line } = open;
            let what = if *is_lease { "the lease of record" } else { "record" };
            lines
                .push(format!("  {what} {seq}: session {session}, statement {statement_id} ({file}:{line})"));
        }
    }
    lines.extend(found.notices.iter().map(|notice| format!("note: {notice}")));
    lines.join("\n")
}

fn as_json(asked: &Asked, found: &Found) -> String {
    let bad: Vec<_> = found
        .bad
        .iter()
        .map(
            |bad| serde_json::json!({ "file": bad.file, "line": bad.line, "seq": bad.seq, "what": bad.what }),
        )
        .collect();
    let open: Vec<_> = found
        .open_intents
        .iter()
        .map(|open| {
            serde_json::json!({ "seq": open.seq, "session": open.session, "statement_id": open.statement_id,
                "lease": open.is_lease,
                "file": open.file, "line": open.line })
        })
        .collect();
    let signed = found.signed.as_ref().map(|(size, time)| serde_json::json!({ "seq": size, "time": time }));
    let report = serde_json::json!({
        "intact": found.bad.is_empty(),
        "folder": asked.folder,
        "segments": found.segments,
        "records": found.records,
        "bytes": found.bytes,
        "first": found.first,
        "last": found.last,
        "chained_from": found.chained_from,
        "keys": asked.keys.len(),
        "checkpoints": found.checkpoints,
        "signed": signed,
        "open": found.open,
        "open_intents": open,
        "notices": found.notices,
        "bad": bad,
    });
    serde_json::to_string_pretty(&report).unwrap_or_default()
}
