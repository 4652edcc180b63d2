//! Room that is kept free for the record of what has happened already: a file beside the segments whose
//! blocks are allocated and never written to. A full disk so takes no intent while outcomes, refusals
//! and the end still find their place.

use std::cell::Cell;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use super::folder::{give_to_owner, remove_if_there};
use super::segments::not_through_links;

const NAME: &str = "reserve";
/// Zeros are written in pieces of this size where blocks cannot be allocated otherwise.
const PIECE_BYTES: u64 = 64 << 10;

pub(super) struct Reserve {
    folder: PathBuf,
    /// 0: none is kept.
    bytes: u64,
    is_held: bool,
    /// Something has failed for want of room since it was last given up.
    is_wanted: Cell<bool>,
}

impl Reserve {
    pub(super) fn new(folder: &Path, bytes: u64) -> Reserve {
        Reserve { folder: folder.to_owned(), bytes, is_held: false, is_wanted: Cell::new(false) }
    }

    fn path(&self) -> PathBuf {
        self.folder.join(NAME)
    }

    /// Looks at what has failed.
    pub(super) fn note(&self, error: &io::Error) {
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            self.is_wanted.set(true);
        }
    }

    /// Allocates it, if it is not held.
    ///
    /// # Errors
    /// There is no room for all of it; then none is taken.
    pub(super) fn take(&mut self) -> io::Result<()> {
        if self.is_held || self.bytes == 0 {
            return Ok(());
        }
        if let Err(error) = self.allocate() {
            // What was allocated before it failed is nobody's.
            let _ = remove_if_there(&self.path());
            return Err(error);
        }
        self.is_held = true;
        self.is_wanted.set(false);
        tell(self.bytes);
        Ok(())
    }

    fn allocate(&self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let mut file = not_through_links(&mut options).open(self.path())?;
        give_to_owner(&file, &self.folder);
        if file.metadata()?.len() > self.bytes {
            file.set_len(self.bytes)?;
        }
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, self.bytes) {
            Ok(()) => return Ok(()),
            Err(error) if error == rustix::io::Errno::OPNOTSUPP => {}
            Err(error) => return Err(error.into()),
        }
        let mut left = self.bytes;
        while left > 0 {
            let piece = left.min(PIECE_BYTES);
            file.write_all(&vec![0; usize::try_from(piece).unwrap_or(0)])?;
            left -= piece;
        }
        file.sync_all()
    }

    /// Gives it up, where something has failed for want of room. True where there was a file to give up.
    pub(super) fn give_up(&mut self) -> bool {
        if self.bytes == 0 || !self.is_wanted.replace(false) {
            return false;
        }
        self.is_held = false;
        tell(0);
        std::fs::remove_file(self.path()).is_ok()
    }
}

fn tell(bytes: u64) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    let bytes = bytes as f64;
    metrics::gauge!("sealgate_audit_reserve_bytes").set(bytes);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    use super::super::tests::{Scratch, SmallDisk, outcome, queued, records, seqs, written};
    use super::super::{Location, start};
    use super::*;

    #[test]
    fn its_blocks_are_allocated_and_given_up_only_for_want_of_room() {
        let scratch = Scratch::new("reserve");
        fs::create_dir_all(scratch.audit()).unwrap();
        let mut reserve = Reserve::new(&scratch.audit(), 64 << 10);
        reserve.take().unwrap();
        let file = fs::metadata(reserve.path()).unwrap();
        assert_eq!((file.len(), file.blocks() * 512 >= file.len()), (64 << 10, true));
        assert!(!reserve.give_up(), "nothing has failed");
        reserve.note(&io::Error::other("something else"));
        assert!(!reserve.give_up(), "it would be of no use");
        reserve.note(&io::Error::from(io::ErrorKind::StorageFull));
        assert!(reserve.give_up() && !reserve.path().exists());
        reserve.note(&io::Error::from(io::ErrorKind::StorageFull));
        assert!(!reserve.give_up(), "there is no more");
        reserve.take().unwrap();
        assert!(reserve.path().exists());
    }

    /// Such a file system (ramfs) only root can mount.
    #[test]
    fn where_blocks_cannot_be_allocated_zeros_are_written_for_all_of_it() {
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            assert!(Path::new("/dev/null").exists(), "others have to do with the test above");
            return;
        }
        let disk = SmallDisk::of("reserve-zeros", "ramfs");
        fs::create_dir_all(disk.0.audit()).unwrap();
        let probe = fs::File::create(disk.0.0.join("probe")).unwrap();
        let allocated = rustix::fs::fallocate(&probe, FallocateFlags::empty(), 0, 4096);
        assert_eq!(allocated, Err(rustix::io::Errno::OPNOTSUPP), "this file system can");
        // A whole number of pieces, and not.
        for bytes in [2 * PIECE_BYTES, PIECE_BYTES + 100, 100] {
            let mut reserve = Reserve::new(&disk.0.audit(), bytes);
            reserve.take().unwrap();
            let held = fs::read(reserve.path()).unwrap();
            assert!(held.len() as u64 == bytes && held.iter().all(|byte| *byte == 0), "{bytes}");
            reserve.note(&io::Error::from(io::ErrorKind::StorageFull));
            assert!(reserve.give_up() && !reserve.path().exists());
            // One that a crash left behind, longer or shorter, is made as long as it must be.
            for left in [10, 3 * PIECE_BYTES] {
                fs::write(reserve.path(), vec![b'x'; usize::try_from(left).unwrap()]).unwrap();
                let mut reserve = Reserve::new(&disk.0.audit(), bytes);
                reserve.take().unwrap();
                assert_eq!(fs::metadata(reserve.path()).unwrap().len(), bytes);
            }
        }
    }

    /// Needs a small file system, which only root can mount.
    #[tokio::test]
    async fn a_full_disk_takes_what_has_happened_and_no_intent_until_the_reserve_is_there_again() {
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            assert!(Path::new("/dev/full").exists(), "a device that is always full has to do for others");
            return;
        }
        let disk = SmallDisk::new("reserve-full");
        let (folder, ballast) = (disk.0.audit(), disk.0.0.join("ballast"));
        fs::write(&ballast, vec![b'x'; 20 << 10]).unwrap();
        let location = Location { reserve_bytes: 16 << 10, ..Location::new(folder.clone(), "n".into()) };
        let (handle, thread) = start(&location).unwrap();
        let mut acknowledged = 0;
        while written(&handle, acknowledged + 1).await.is_ok() {
            acknowledged += 1;
            assert!(acknowledged < 1_000, "the disk does not fill");
        }
        assert!(acknowledged > 0 && !folder.join(NAME).exists());
        for number in 0..3 {
            queued(handle.submit(outcome(number)));
            assert!(written(&handle, 5_000 + number).await.is_err(), "no intent is taken");
        }
        let found = records(&folder);
        assert_eq!(seqs(&found), (1..=acknowledged + 3).collect::<Vec<_>>());
        assert!(
            found.iter().rev().take(3).all(|record| record["kind"] == "outcome"),
            "the disk is still full"
        );
        assert!(!handle.is_writable());

        fs::remove_file(&ballast).unwrap();
        written(&handle, 9_000).await.unwrap();
        assert!(handle.is_writable() && folder.join(NAME).exists());
        thread.close().await.unwrap();
        assert_eq!(seqs(&records(&folder)), (1..=acknowledged + 4).collect::<Vec<_>>());
    }
}
