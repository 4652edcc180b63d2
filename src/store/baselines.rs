//! What the watch has learned, in one file: whole or not at all, whatever ends the process, and with a sum by
//! which a file that was changed or cut shows.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

/// The first line.
const HEADER: &str = "sealgate baselines 1";
const NAME: &str = "baselines";
/// No file is longer, packed or not, in bytes.
const BYTES_MAX: u64 = 256 << 20;
/// Of zstd: fast.
const LEVEL: i32 = 1;

fn file_in(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

fn damaged(says: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, says.to_owned())
}

/// What was saved last. None: nothing was.
///
/// # Errors
/// It cannot be read, or is not what was written.
pub fn load(folder: &Path) -> io::Result<Option<Vec<u8>>> {
    let path = file_in(folder);
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        Ok(facts) if !facts.is_file() => return Err(damaged("it is no ordinary file")),
        Ok(facts) if facts.len() > BYTES_MAX => return Err(damaged("it is too long")),
        Ok(_) => {}
    }
    let mut text = Vec::new();
    File::open(&path)?.take(BYTES_MAX).read_to_end(&mut text)?;
    let lines = text.strip_prefix(HEADER.as_bytes()).and_then(|rest| rest.strip_prefix(b"\n"));
    let (sum, packed) = lines
        .and_then(|rest| rest.split_at_checked(64))
        .and_then(|(sum, rest)| Some((sum, rest.strip_prefix(b"\n")?)))
        .ok_or_else(|| damaged("it is no file of baselines, or of another version"))?;
    if sum != summed(packed).as_bytes() {
        return Err(damaged("its sum does not fit: it was changed, or cut"));
    }
    let mut saved = Vec::new();
    let mut unpacked = zstd::stream::read::Decoder::new(packed)?.take(BYTES_MAX + 1);
    unpacked.read_to_end(&mut saved)?;
    if saved.len() as u64 > BYTES_MAX {
        return Err(damaged("what it holds is too long"));
    }
    Ok(Some(saved))
}

/// Puts this in the place of what was saved before; the folder is made where there is none.
///
/// # Errors
/// It cannot be written; then the file is as before.
pub fn save(folder: &Path, saved: &[u8]) -> io::Result<()> {
    if saved.len() as u64 > BYTES_MAX {
        return Err(damaged("it is too long"));
    }
    if !folder.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let packed = zstd::stream::encode_all(saved, LEVEL)?;
    let fresh = folder.join(format!("{NAME}.new"));
    // What a crash has left.
    match fs::remove_file(&fresh) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(flags).open(&fresh)?;
    file.write_all(format!("{HEADER}\n{}\n", summed(&packed)).as_bytes())?;
    file.write_all(&packed)?;
    file.sync_all()?;
    fs::rename(&fresh, file_in(folder))?;
    File::open(folder)?.sync_all()
}

/// Puts a file aside that cannot be read, so that another can take its place.
///
/// # Errors
/// It cannot be renamed.
pub fn set_aside(folder: &Path) -> io::Result<PathBuf> {
    let aside = folder.join(format!("{NAME}.damaged"));
    fs::rename(file_in(folder), &aside)?;
    Ok(aside)
}

fn summed(packed: &[u8]) -> String {
    Sha256::digest(packed).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("sealgate-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn what_was_saved_is_loaded_and_the_newest_counts() {
        let folder = folder("baselines");
        assert!(load(&folder).unwrap().is_none());
        save(&folder, b"one").unwrap();
        // As a crash leaves it.
        fs::write(folder.join("baselines.new"), b"half").unwrap();
        assert_eq!(load(&folder).unwrap().as_deref(), Some(&b"one"[..]));
        save(&folder, b"two").unwrap();
        assert_eq!(load(&folder).unwrap().as_deref(), Some(&b"two"[..]));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn no_file_that_was_changed_or_cut_is_taken() {
        let folder = folder("baselines-cut");
        save(&folder, &[7; 1_000]).unwrap();
        let whole = fs::read(file_in(&folder)).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(file_in(&folder), &changed).unwrap();
            assert!(load(&folder).is_err(), "byte {at}");
            fs::write(file_in(&folder), &whole[..at]).unwrap();
            assert!(load(&folder).is_err(), "cut at {at}");
        }
        let aside = set_aside(&folder).unwrap();
        assert!(aside.exists() && load(&folder).unwrap().is_none());
        fs::remove_dir_all(folder).unwrap();
    }
}
