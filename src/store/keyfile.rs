//! The keyring in a file: the key provider that needs nothing but a disk.
//!
//! A reader sees the old file or the new one, never half of one; two writers take turns.
//! Root keys are wrapped, so the file alone opens nothing; it is still kept from others,
//! and refused where others may read or change it.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::seal::{
    Keyring, KeyringFault, KeyringFileFault, MasterKey, Random, decode_keyring, encode_keyring,
};

/// Longest keyring file that is read, in bytes (P6); a full keyring takes about 250 KiB.
const FILE_LENGTH_MAX: u64 = 1024 * 1024;

/// Bits of a file's mode that must not be set: everything for others, write for the group.
/// Reading by the group stays possible, since mounted secrets come that way.
const FORBIDDEN_MODE: u32 = 0o027;

/// Reads and opens the keyring at `path`.
///
/// # Errors
/// See [`KeyfileFault`].
pub fn read(path: &Path, master: &MasterKey) -> Result<Keyring, KeyfileError> {
    let refuse = |fault| KeyfileError { path: path.to_owned(), fault };
    let file = File::open(path).map_err(|error| refuse(error.into()))?;
    let metadata = file.metadata().map_err(|error| refuse(error.into()))?;
    if !metadata.is_file() {
        return Err(refuse(KeyfileFault::NotFile));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & FORBIDDEN_MODE != 0 {
        return Err(refuse(KeyfileFault::Mode(mode)));
    }
    let mut text = String::new();
    let length =
        file.take(FILE_LENGTH_MAX + 1).read_to_string(&mut text).map_err(|error| refuse(error.into()))?;
    if length as u64 > FILE_LENGTH_MAX {
        return Err(refuse(KeyfileFault::TooLong));
    }
    decode_keyring(&text, master).map_err(|fault| refuse(KeyfileFault::Content(fault)))
}

/// Writes a new keyring, and the folders above it. An existing file is never replaced.
///
/// # Errors
/// [`KeyfileFault::Exists`], or what went wrong on the way; see [`KeyfileFault`].
pub fn create(
    path: &Path,
    keyring: &Keyring,
    master: &MasterKey,
    random: &mut dyn Random,
) -> Result<(), KeyfileError> {
    let refuse = |error: io::Error| KeyfileError { path: path.to_owned(), fault: error.into() };
    DirBuilder::new().recursive(true).mode(0o700).create(folder(path)).map_err(refuse)?;
    let _turn = lock(folder(path)).map_err(refuse)?;
    if path.try_exists().map_err(refuse)? {
        return Err(KeyfileError { path: path.to_owned(), fault: KeyfileFault::Exists });
    }
    replace(path, &encode_keyring(keyring, master, random)).map_err(refuse)
}

/// Reads the keyring at `path`, changes it and writes it back; a change that adds nothing
/// writes nothing. Returns what `change` named.
///
/// # Errors
/// See [`KeyfileFault`]; the file is then as it was.
pub fn extend<T>(
    path: &Path,
    master: &MasterKey,
    random: &mut dyn Random,
    change: impl FnOnce(&mut Keyring) -> Result<Vec<T>, KeyringFault>,
) -> Result<(Keyring, Vec<T>), KeyfileError> {
    let refuse = |fault| KeyfileError { path: path.to_owned(), fault };
    // A link keeps pointing to the file, which is replaced where it lies.
    let path = &fs::canonicalize(path).map_err(|error| refuse(error.into()))?;
    let _turn = lock(folder(path)).map_err(|error| refuse(error.into()))?;
    let mut keyring = read(path, master)?;
    let added = change(&mut keyring).map_err(|fault| refuse(KeyfileFault::Change(fault)))?;
    if !added.is_empty() {
        replace(path, &encode_keyring(&keyring, master, random)).map_err(|error| refuse(error.into()))?;
    }
    Ok((keyring, added))
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}

/// Writers of one folder take turns; the lock ends with the returned handle.
fn lock(folder: &Path) -> io::Result<File> {
    let handle = File::open(folder)?;
    handle.lock()?;
    Ok(handle)
}

/// Under the folder's lock: writes beside the file, syncs, renames over it, syncs the folder.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let beside = path.with_file_name(format!(".{}.new", name.to_string_lossy()));
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&beside, path)) {
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    File::open(folder(path))?.sync_all()
}

/// A fault of the keyring at a path.
#[derive(Debug)]
pub struct KeyfileError {
    pub path: PathBuf,
    pub fault: KeyfileFault,
}

impl fmt::Display for KeyfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keyring {}: {}", self.path.display(), self.fault)
    }
}

impl std::error::Error for KeyfileError {}

/// Why a keyring's file is refused.
#[derive(Debug)]
pub enum KeyfileFault {
    Missing,
    Exists,
    NotFile,
    /// Others may read or change the file: its permission bits.
    Mode(u32),
    TooLong,
    Io(io::Error),
    Content(KeyringFileFault),
    /// The keyring was read; what it was asked to become is refused.
    Change(KeyringFault),
}

impl From<io::Error> for KeyfileFault {
    fn from(error: io::Error) -> KeyfileFault {
        if error.kind() == io::ErrorKind::NotFound { KeyfileFault::Missing } else { KeyfileFault::Io(error) }
    }
}

impl fmt::Display for KeyfileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyfileFault::Missing => f.write_str("there is no such file; `sealgate keys init` makes one"),
            KeyfileFault::Exists => f.write_str("there is one already; it is not replaced"),
            KeyfileFault::NotFile => f.write_str("not an ordinary file"),
            KeyfileFault::Mode(mode) => {
                write!(f, "others may read or change it (mode {mode:04o}); `chmod 600` it")
            }
            KeyfileFault::TooLong => write!(f, "longer than {FILE_LENGTH_MAX} bytes"),
            KeyfileFault::Io(error) => error.fmt(f),
            KeyfileFault::Content(fault) => fault.fmt(f),
            KeyfileFault::Change(fault) => fault.fmt(f),
        }
    }
}
