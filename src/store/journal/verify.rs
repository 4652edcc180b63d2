//! Is a folder's record what was written, all of it, in its order? Needs nothing of whoever wrote it but
//! the public half of its signing key, and where a checkpoint lies elsewhere, that.
//!
//! Segments are followed side by side, each from the link that its first line names; then they are put
//! together, and what was signed is compared with the links that were found.

mod checkpoints;
mod segment;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustc_hash::FxHashMap;

use self::segment::{Key, Report};
use super::packing::same;
use super::segments::{self, FILES_MAX, Segment};
use crate::audit::{Link, PublicKey, is_disguise};

/// What is wrong with a folder is told this often.
const BAD_MAX: usize = 100;
/// Open intents that are named.
const OPEN_MAX: usize = 100;

/// What is to be verified, and by what.
#[derive(Clone, Debug)]
pub struct Asked {
    pub folder: PathBuf,
    /// None of them: signatures are not looked at.
    pub keys: Vec<PublicKey>,
    /// Files that hold checkpoints which whoever wrote the folder could not change.
    pub external: Vec<PathBuf>,
    /// The number of the first record that must be there.
    pub first: u64,
}

/// One thing that is not as it must be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bad {
    pub file: String,
    pub line: Option<u64>,
    /// The record, or the first of several.
    pub seq: Option<u64>,
    pub what: String,
}

/// An execution whose outcome nobody knows, or a lease whose end nobody knows: all of it counts as seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenIntent {
    /// Is it the lease of the intent, for further executions?
    pub is_lease: bool,
    pub seq: u64,
    pub session: u64,
    pub statement_id: u64,
    pub file: String,
    pub line: u64,
}

/// What was found.
#[derive(Clone, Default, Debug)]
pub struct Found {
    pub segments: u64,
    pub records: u64,
    pub bytes: u64,
    pub first: Option<u64>,
    pub last: Option<u64>,
    /// The first record that is chained. Before it are those of versions that had no chain.
    pub chained_from: Option<u64>,
    /// Checkpoints that open by the keys, each size once.
    pub checkpoints: u64,
    /// The last record that is as it was signed, and when that was.
    pub signed: Option<(u64, String)>,
    pub open: u64,
    /// The first of them.
    pub open_intents: Vec<OpenIntent>,
    /// What is no fault, and worth knowing.
    pub notices: Vec<String>,
    /// In the order of records. Empty: intact.
    pub bad: Vec<Bad>,
}

/// Looks through a folder.
///
/// # Errors
/// It, or a file of checkpoints, cannot be read at all.
pub fn verify(asked: &Asked) -> io::Result<Found> {
    let mut found = Found::default();
    // Before the segments: a record that is signed meanwhile is not missed.
    let signed = checkpoints::read(asked, &mut found)?;
    let listed = twins(segments::list(&asked.folder)?, &mut found)?;
    let mut marks: Vec<u64> = signed.iter().map(|signed| signed.checkpoint.size).collect();
    marks.dedup();
    let reports = follow(&listed, &marks);
    let joined = join(asked, &listed, reports, &mut found);
    checkpoints::compare(asked, &signed, &joined, &mut found);
    others(&asked.folder, &mut found)?;
    found.bad.sort_by_key(|bad| bad.seq.unwrap_or(u64::MAX));
    found.bad.truncate(BAD_MAX);
    Ok(found)
}

impl Found {
    fn is_bad(&mut self, file: &Path, line: Option<u64>, seq: Option<u64>, what: impl Into<String>) {
        self.bad.push(Bad { file: name_of(file), line, seq, what: what.into() });
    }
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    // Whoever can write to the folder may name a file like what a terminal obeys.
    name.chars().map(|letter| if is_disguise(letter) { '?' } else { letter }).collect()
}

/// A segment that is there packed and not packed, as a crash leaves it, counts once.
fn twins(listed: Vec<Segment>, found: &mut Found) -> io::Result<Vec<Segment>> {
    let mut kept: Vec<Segment> = Vec::with_capacity(listed.len());
    for segment in listed {
        let twin = kept.last().filter(|before| segment.is_packed && before.path == segment.stem());
        let Some(twin) = twin else {
            kept.push(segment);
            continue;
        };
        let is_same = same(segments::read(&segment.path)?, File::open(&twin.path)?, &AtomicBool::new(false));
        if is_same.is_ok_and(|is_same| is_same) {
            found
                .notices
                .push(format!("{} is there twice, packed and not, and the same", name_of(&twin.path)));
        } else {
            let what = format!("holds something else than {}", name_of(&twin.path));
            found.is_bad(&segment.path, None, Some(segment.first), what);
        }
    }
    Ok(kept)
}

/// Follows all of them, as many at a time as there are cores.
fn follow(listed: &[Segment], marks: &[u64]) -> Vec<Report> {
    let reports: Mutex<BTreeMap<usize, Report>> = Mutex::default();
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(listed.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(segment) = listed.get(index) else { return };
                    let report = segment::follow(segment, marks);
                    reports.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(index, report);
                }
            });
        }
    });
    reports.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).into_values().collect()
}

/// What all segments come to.
struct Joined {
    /// The link that stands before the first record, where it says so.
    before: Option<Link>,
    /// Of the records that a checkpoint names.
    links: FxHashMap<u64, Link>,
}

fn join(asked: &Asked, listed: &[Segment], reports: Vec<Report>, found: &mut Found) -> Joined {
    let mut joined = Joined { before: None, links: FxHashMap::default() };
    let mut open: FxHashMap<Key, OpenIntent> = FxHashMap::default();
    // The end of what is before, and whether its link can be relied on.
    let mut end: Option<(u64, Option<Link>)> = None;
    let last_index = reports.len().saturating_sub(1);
    for (index, (segment, report)) in listed.iter().zip(reports).enumerate() {
        let Report { first, prev, last, link, is_chained, is_torn, .. } = report;
        found.segments += 1;
        found.records += report.records;
        found.bytes += report.bytes;
        let is_sound = report.bad.is_none();
        found.bad.extend(report.bad);
        if is_torn && index == last_index {
            let says = "its last line is on its way, or was torn by a crash";
            found.notices.push(format!("{}: {says}", name_of(&segment.path)));
        } else if is_torn {
            found.is_bad(
                &segment.path,
                None,
                last,
                "its last line is torn, and it is not the newest segment",
            );
        }
        let (Some(first), Some(last)) = (first, last) else {
            found.notices.push(format!("{} is empty", name_of(&segment.path)));
            continue;
        };
        let at = |found: &mut Found, what: String| found.is_bad(&segment.path, Some(1), Some(first), what);
        let expected = end.map_or(asked.first, |(last, _)| last.saturating_add(1));
        if first > expected {
            let missing = format!("records {expected} to {} are missing before it", first - 1);
            found.bad.push(Bad { seq: Some(expected), ..bad_at(&segment.path, &missing) });
        } else if first < expected && end.is_some() {
            at(found, format!("its number is used again: record {} stands before it", expected - 1));
        }
        match (is_chained, end, found.chained_from) {
            (false, _, None) => {}
            (false, _, Some(_)) => at(found, "it is not chained, though records before it are".to_owned()),
            (true, before, None) => {
                found.chained_from = Some(first);
                let is_anew = prev == Some(Link::NONE);
                let has_unchained = before.is_some();
                if !has_unchained {
                    joined.before = prev;
                }
                if is_anew != (has_unchained || first == 1) {
                    let what = if is_anew {
                        "the chain begins anew with it, and it is not the first record"
                    } else {
                        "it does not begin the chain, and no chained record stands before it"
                    };
                    if is_anew || has_unchained || first == 1 {
                        at(found, what.to_owned());
                    }
                }
            }
            (true, Some((_, Some(before))), Some(_)) if first == expected && prev != Some(before) => {
                at(found, "it does not stand behind the record that is before it".to_owned());
            }
            (true, Some(_) | None, Some(_)) => {}
        }
        joined.links.extend(report.marks);
        for key in report.closed {
            open.remove(&key);
        }
        for (key, (seq, line)) in report.open {
            let file = name_of(&segment.path);
            let Key { session, statement: statement_id, is_lease } = key;
            open.insert(key, OpenIntent { is_lease, seq, session, statement_id, file, line });
        }
        found.first.get_or_insert(first);
        let last = end.map_or(last, |(before, _)| last.max(before));
        end = Some((last, Some(link).filter(|_| is_sound && is_chained)));
    }
    found.last = end.map(|(last, _)| last);
    let mut named: Vec<OpenIntent> = open.into_values().collect();
    named.sort_unstable_by_key(|intent| (intent.seq, intent.is_lease));
    found.open = named.len() as u64;
    named.truncate(OPEN_MAX);
    found.open_intents = named;
    joined
}

fn bad_at(path: &Path, what: &str) -> Bad {
    Bad { file: name_of(path), line: Some(1), seq: None, what: what.to_owned() }
}

/// Files beside the segments.
fn others(folder: &Path, found: &mut Found) -> io::Result<()> {
    let (mut torn, mut beside) = (0_u64, 0_u64);
    for entry in fs::read_dir(folder)?.take(FILES_MAX) {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(std::ffi::OsStr::to_str) else { continue };
        torn += u64::from(name.ends_with(".torn"));
        if name.starts_with("admin-") && name.ends_with(".jsonl") {
            beside += 1;
            let report = segment::follow(&Segment { first: 1, path: path.clone(), is_packed: false }, &[]);
            // Where it broke off, nothing was told that anybody relied on.
            found.bad.extend(report.bad.map(|bad| Bad { seq: None, ..bad }));
        }
    }
    if torn > 0 {
        found.notices.push(format!("{torn} .torn files hold what crashes tore"));
    }
    if beside > 0 {
        let says = "admin- files stand beside the chain: that one is missing is not noticed";
        found.notices.push(format!("{beside} {says}"));
    }
    Ok(())
}

#[cfg(test)]
mod agreed;
#[cfg(test)]
mod tests;
