//! What is still to be told to one receiver, in order: in memory, and one file each in a folder, so that it
//! is told after a start anew.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::watch::Notice;

/// Notices that wait for one receiver.
pub(super) const WAITING_MAX: usize = 1_000;
/// Longest file of one notice.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// See the module's text.
pub(super) struct Spool {
    folder: PathBuf,
    waiting: VecDeque<Waiting>,
    next: u64,
    /// The first one is being delivered.
    underway: bool,
}

struct Waiting {
    number: u64,
    notice: Notice,
}

/// What became of a notice that was added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Added {
    /// Beside the others, or in the place of an older one of its incident.
    Kept,
    /// Kept, but not in a file.
    InMemory,
    /// There is no room.
    Dropped,
}

impl Spool {
    /// Opens the folder, or makes it, with all that is in it. What cannot be read is left alone.
    pub(super) fn open(folder: &Path) -> io::Result<Spool> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            match number {
                Some(number) if path.extension().is_some_and(|end| end == "json") => {
                    found.push((number, path));
                }
                // Of a process that ended in the midst of writing it.
                _ if path.extension().is_some_and(|end| end == "part") => fs::remove_file(&path)?,
                _ => {}
            }
        }
        found.sort_unstable();
        let next = found.last().map_or(0, |(number, _)| number + 1);
        let mut waiting = VecDeque::new();
        for (number, path) in found.into_iter().take(WAITING_MAX) {
            match read(&path) {
                Ok(notice) => waiting.push_back(Waiting { number, notice }),
                Err(error) => {
                    tracing::error!(file = %path.display(), %error, "an alert in the spool cannot be read")
                }
            }
        }
        let spool = Spool { folder: folder.to_owned(), waiting, next, underway: false };
        // Can it be written?
        let probe = spool.folder.join("probe.part");
        File::create(&probe)?;
        fs::remove_file(&probe)?;
        Ok(spool)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Adds a notice. One of the same incident that has not been told yet is not told any more.
    pub(super) fn add(&mut self, notice: &Notice) -> Added {
        let underway = usize::from(self.underway);
        let full = self.waiting.len() >= WAITING_MAX;
        let older =
            self.waiting.iter_mut().skip(underway).find(|waiting| waiting.notice.incident == notice.incident);
        let number = match older {
            Some(older) => {
                older.notice = notice.clone();
                older.number
            }
            None if full => return Added::Dropped,
            None => {
                let number = self.next;
                self.next += 1;
                self.waiting.push_back(Waiting { number, notice: notice.clone() });
                number
            }
        };
        match self.write(number, notice) {
            Ok(()) => Added::Kept,
            Err(error) => {
                tracing::error!(folder = %self.folder.display(), %error, "an alert could not be put into the spool");
                Added::InMemory
            }
        }
    }

    /// The next one to be told.
    pub(super) fn first(&mut self) -> Option<Notice> {
        let first = self.waiting.front()?.notice.clone();
        self.underway = true;
        Some(first)
    }

    /// It was not: it waits again.
    pub(super) fn put_back(&mut self) {
        self.underway = false;
    }

    /// It was, or never will be.
    pub(super) fn remove_first(&mut self) {
        self.underway = false;
        if let Some(told) = self.waiting.pop_front() {
            let path = self.file(told.number);
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::error!(file = %path.display(), %error, "an alert stays in the spool and will be told again");
            }
        }
    }

    fn file(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:020}.json"))
    }

    /// As a whole or not at all.
    fn write(&self, number: u64, notice: &Notice) -> io::Result<()> {
        let path = self.file(number);
        let part = path.with_extension("part");
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(&serde_json::to_vec(notice)?)?;
        file.sync_data()?;
        fs::rename(&part, &path)
    }
}

fn read(path: &Path) -> io::Result<Notice> {
    let mut text = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn folder(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("sealgate-spool-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        Folder(folder)
    }

    fn notice(incident: usize, count: u64) -> Notice {
        Notice { incident: format!("{incident:032x}"), count, ..Notice::of_a_test(1) }
    }

    #[test]
    fn what_waits_is_there_after_a_start_anew_in_order() {
        let folder = folder("anew");
        let mut spool = Spool::open(&folder.0).unwrap();
        for incident in 0..3 {
            assert_eq!(spool.add(&notice(incident, 1)), Added::Kept);
        }
        assert_eq!(spool.first(), Some(notice(0, 1)));
        spool.remove_first();
        // Of a process that was killed while it wrote, and of somebody else.
        fs::write(folder.0.join("00000000000000000009.part"), "{").unwrap();
        fs::write(folder.0.join("00000000000000000008.json"), "{").unwrap();
        let mut again = Spool::open(&folder.0).unwrap();
        assert_eq!(again.len(), 2);
        again.add(&notice(7, 1));
        let told: Vec<_> = std::iter::from_fn(|| {
            let first = again.first()?;
            again.remove_first();
            Some(first)
        })
        .collect();
        assert_eq!(told, [notice(1, 1), notice(2, 1), notice(7, 1)]);
        assert_eq!(Spool::open(&folder.0).unwrap().len(), 0);
        assert!(
            folder.0.join("00000000000000000008.json").exists(),
            "what cannot be read is not thrown away"
        );
    }

    #[test]
    fn a_newer_notice_takes_the_place_of_one_that_nobody_has_heard() {
        let folder = folder("newer");
        let mut spool = Spool::open(&folder.0).unwrap();
        spool.add(&notice(1, 1));
        spool.add(&notice(2, 1));
        spool.add(&notice(1, 2));
        assert_eq!((spool.len(), spool.first()), (2, Some(notice(1, 2))));
        // What is being told is not changed under whoever tells it.
        spool.add(&notice(1, 3));
        assert_eq!(spool.len(), 3);
        spool.put_back();
        assert_eq!(Spool::open(&folder.0).unwrap().len(), 3);
    }

    #[test]
    fn is_bounded() {
        let folder = folder("bounded");
        let mut spool = Spool::open(&folder.0).unwrap();
        for incident in 0..WAITING_MAX {
            assert_eq!(spool.add(&notice(incident, 1)), Added::Kept);
        }
        assert_eq!(spool.add(&notice(WAITING_MAX, 1)), Added::Dropped);
        assert_eq!(spool.add(&notice(3, 2)), Added::Kept, "what is known still grows");
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), WAITING_MAX);
    }
}
