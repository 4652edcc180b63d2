//! What was signed, against what is there.

use std::io;
use std::path::{Path, PathBuf};

use super::super::notary;
use super::{Asked, Bad, Found, Joined, name_of};
use crate::audit::{self, Checkpoint, Link, Opened};

/// A checkpoint that opens, and where it lies.
pub(super) struct Signed {
    pub(super) checkpoint: Checkpoint,
    file: PathBuf,
}

/// Every checkpoint of the folder and of elsewhere, in the order of what they cover.
pub(super) fn read(asked: &Asked, found: &mut Found) -> io::Result<Vec<Signed>> {
    let mut all = Vec::new();
    if asked.keys.is_empty() {
        return Ok(all);
    }
    let mut foreign = 0_u64;
    let own = notary::files(&asked.folder)?;
    for (file, is_external) in
        own.iter().map(|file| (file, false)).chain(asked.external.iter().map(|file| (file, true)))
    {
        let before = all.len();
        let notes = notary::notes(file);
        let notes = match notes {
            Ok(notes) => notes,
            Err(error) if is_external => {
                return Err(io::Error::new(error.kind(), format!("{}: {error}", file.display())));
            }
            Err(error) => {
                found.is_bad(file, None, None, format!("it cannot be read: {error}"));
                continue;
            }
        };
        for note in notes {
            match audit::open(&note, &asked.keys) {
                Opened::Signed(checkpoint) => all.push(Signed { checkpoint, file: file.clone() }),
                Opened::Forged => {
                    found.is_bad(file, None, None, "the signature of a checkpoint does not hold")
                }
                Opened::Foreign => foreign += 1,
            }
        }
        if is_external && all.len() == before {
            found.is_bad(file, None, None, "it holds no checkpoint that is signed by the key");
        }
    }
    if foreign > 0 {
        found.notices.push(format!(
            "{foreign} checkpoints are of other keys, or no checkpoints, and were not looked at"
        ));
    }
    all.sort_by_key(|signed| signed.checkpoint.size);
    Ok(all)
}

/// What is signed must be there, as it was.
pub(super) fn compare(asked: &Asked, signed: &[Signed], joined: &Joined, found: &mut Found) {
    if asked.keys.is_empty() {
        return;
    }
    let (first, last) = (found.first.unwrap_or(asked.first), found.last.unwrap_or(0));
    let mut holds: Option<&Checkpoint> = None;
    let mut missing: Option<&Signed> = None;
    let mut before: Option<(u64, Link)> = None;
    for one in signed {
        let Checkpoint { size, link, .. } = one.checkpoint;
        if before != Some((size, link)) {
            if before.is_some_and(|(other, _)| other == size) {
                let what = format!("two checkpoints of record {size} are signed, and differ");
                found.is_bad(&one.file, None, Some(size), what);
            }
            found.checkpoints += u64::from(before.is_none_or(|(other, _)| other != size));
            before = Some((size, link));
        }
        let here = if size + 1 == first { joined.before } else { joined.links.get(&size).copied() };
        match here {
            Some(here) if here == link => holds = Some(&one.checkpoint),
            Some(_) => {
                let since = holds.map_or(first, |holds| holds.size.saturating_add(1)).min(size);
                changed(one, since, found);
                return;
            }
            None if size > last => missing = Some(one),
            // Before all that is here; or it is in what is told of as wrong or missing already.
            None if size < first || !found.bad.is_empty() => {}
            None => changed(one, size, found),
        }
    }
    found.signed = holds.map(|holds| (holds.size, holds.time.clone()));
    if let Some(Signed { checkpoint, file }) = missing {
        let (from, to, time) = (last.saturating_add(1).max(first), checkpoint.size, &checkpoint.time);
        found.bad.push(Bad {
            file: name_of(file),
            line: None,
            seq: Some(from),
            what: format!("records {from} to {to} are missing: the checkpoint of {time} covers them"),
        });
    }
    if signed.is_empty() && found.records > 0 {
        found.is_bad(Path::new(&asked.folder), None, None, "no checkpoint is signed by the key");
    }
}

fn changed(one: &Signed, since: u64, found: &mut Found) {
    let Checkpoint { size, time, .. } = &one.checkpoint;
    let which =
        if since < *size { format!("records {since} to {size} are") } else { format!("record {size} is") };
    let what = format!("{which} not what the checkpoint of {time} covers");
    found.is_bad(&one.file, None, Some(since), what);
}
