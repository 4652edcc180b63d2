//! The keyring in a file: the key provider that needs nothing but a disk.
//!
//! A reader sees the old file or the new one, never half of one; two writers take turns.
//! Root keys are wrapped, so the file alone opens nothing; it is still kept from others,
//! and refused where others may read or change it. It stays with the account that it is of, also
//! where root changes it.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, fchown};
use std::path::{Path, PathBuf};

use crate::seal::{
    Keyring, KeyringFault, KeyringFileFault, MasterKey, Random, decode_keyring, encode_keyring,
};

/// Longest keyring file that is read, in bytes (P6); a full keyring takes about 250 KiB.
const FILE_LENGTH_MAX: u64 = 1024 * 1024;

/// Bits of a secret file's mode that must not be set: everything for others, write for the group.
/// Reading by the group stays possible, since mounted secrets come that way.
const FORBIDDEN_MODE: u32 = 0o027;

/// A file that holds a secret, and whose permission bits let too many at it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exposed {
    path: PathBuf,
    mode: u32,
}

impl Exposed {
    /// None: nobody else may read or change it.
    #[must_use]
    pub fn of(path: &Path, metadata: &fs::Metadata) -> Option<Exposed> {
        let mode = metadata.permissions().mode() & 0o777;
        (mode & FORBIDDEN_MODE != 0).then(|| Exposed { path: path.to_owned(), mode })
    }
}

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exposed { path, mode } = self;
        write!(
            f,
            "others may read or change it: its mode is {mode:04o}, and 0640 is the most that is allowed; \
             `chmod 600 {}`",
            path.display()
        )
    }
}

/// Reads and opens the keyring at `path`.
///
/// # Errors
/// See [`KeyfileFault`].
pub fn read(path: &Path, master: &MasterKey) -> Result<Keyring, KeyfileError> {
    let refuse = |fault| KeyfileError { path: path.to_owned(), fault };
    // Asked before opening, which waits for a writer where the path is a pipe.
    if !fs::metadata(path).map_err(|error| refuse(error.into()))?.is_file() {
        return Err(refuse(KeyfileFault::NotFile));
    }
    let file = File::open(path).map_err(|error| refuse(error.into()))?;
    let metadata = file.metadata().map_err(|error| refuse(error.into()))?;
    if let Some(exposed) = Exposed::of(path, &metadata) {
        return Err(refuse(KeyfileFault::Mode(exposed)));
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
    make_folder(folder(path)).map_err(refuse)?;
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

/// Makes what is missing of the path, each folder for the owner of the one above it.
fn make_folder(path: &Path) -> io::Result<()> {
    let is_there = |folder: &Path| folder.as_os_str().is_empty() || folder.exists();
    let missing: Vec<&Path> = path.ancestors().take_while(|folder| !is_there(folder)).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    for made in missing.into_iter().rev() {
        let (own, above) = (fs::metadata(made)?, fs::metadata(folder(made))?);
        if own.uid() != above.uid() {
            hand_over(|| chown(made, Some(above.uid()), Some(above.gid())))?;
        }
    }
    Ok(())
}

/// Only root may give a file to another account; for anybody else it stays as it is.
fn hand_over(give: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    if rustix::process::geteuid().is_root() { give() } else { Ok(()) }
}

/// Writers of one folder take turns; the lock ends with the returned handle.
fn lock(folder: &Path) -> io::Result<File> {
    let handle = File::open(folder)?;
    handle.lock()?;
    Ok(handle)
}

/// Under the folder's lock: writes beside the file, syncs, renames over it, syncs the folder. The new
/// file has owner and mode of the one that was there, or the folder's owner.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let beside = path.with_file_name(format!(".{}.new", name.to_string_lossy()));
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = file.write_all(text.as_bytes());
    let written = written.and_then(|()| take_after(&file, path)).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&beside, path)) {
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    File::open(folder(path))?.sync_all()
}

fn take_after(file: &File, path: &Path) -> io::Result<()> {
    let (own, model) = match fs::metadata(path) {
        Ok(there) => {
            file.set_permissions(fs::Permissions::from_mode(there.permissions().mode() & 0o777))?;
            (file.metadata()?, there)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            (file.metadata()?, fs::metadata(folder(path))?)
        }
        Err(error) => return Err(error),
    };
    if (own.uid(), own.gid()) != (model.uid(), model.gid()) {
        hand_over(|| fchown(file, Some(model.uid()), Some(model.gid())))?;
    }
    Ok(())
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
    /// Others may read or change the file.
    Mode(Exposed),
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
            KeyfileFault::Missing => f.write_str(
                "there is no such file. Where one has been in use, restore its backup: other keys open and \
                 find nothing of what it sealed. Only where there was none: `sealgate keys init` makes one",
            ),
            KeyfileFault::Exists => f.write_str("there is one already; it is not replaced"),
            KeyfileFault::NotFile => f.write_str("not an ordinary file"),
            KeyfileFault::Mode(exposed) => exposed.fmt(f),
            KeyfileFault::TooLong => write!(f, "longer than {FILE_LENGTH_MAX} bytes"),
            KeyfileFault::Io(error) => error.fmt(f),
            KeyfileFault::Content(fault) => fault.fmt(f),
            KeyfileFault::Change(fault) => fault.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::catalog::{Domain, DomainName, Kind, Mode};
    use crate::seal::{KeyringParts, Root, RootKey};

    /// A folder that is gone after the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Folder {
            static NUMBER: AtomicU32 = AtomicU32::new(0);
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("sealgate-keyfile-{}-{number}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    struct Thread;

    impl Random for Thread {
        fn fill(&mut self, bytes: &mut [u8]) {
            rand::Rng::fill_bytes(&mut rand::rng(), bytes);
        }
    }

    fn master() -> MasterKey {
        MasterKey::new([5; 32])
    }

    fn domain(name: &str) -> Domain {
        Domain { name: DomainName(name.into()), mode: Mode::Equality, kind: Kind::TEXT }
    }

    fn make(path: &Path) -> Result<(), KeyfileError> {
        let root = Root { version: 1, created_unix_s: 1, key: RootKey::new([1; 32]) };
        let parts = KeyringParts {
            identity: None,
            created_unix_s: 1,
            roots: vec![root],
            current: 1,
            domains: Vec::new(),
        };
        create(path, &Keyring::from_parts(parts).unwrap(), &master(), &mut Thread)
    }

    fn fault<T>(outcome: Result<T, KeyfileError>) -> String {
        outcome.err().map_or_else(String::new, |error| error.to_string())
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn writes_for_the_owner_alone_and_reads_back() {
        let folder = Folder::new();
        let path = folder.0.join("keys").join("keyring.json");
        make(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&folder.0.join("keys")), 0o700);
        let keyring = read(&path, &master());
        assert_eq!(keyring.map(|keyring| keyring.current_version()).ok(), Some(1));
        let beside: Vec<_> = fs::read_dir(folder.0.join("keys")).unwrap().collect();
        assert_eq!(beside.len(), 1, "nothing is left beside it");
    }

    #[test]
    fn never_replaces_an_existing_keyring_by_a_new_one() {
        let folder = Folder::new();
        let path = folder.0.join("keyring.json");
        make(&path).unwrap();
        let before = fs::read(&path).unwrap();
        assert!(fault(make(&path)).contains("not replaced"));
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn refuses_files_that_others_may_read_or_change() {
        let folder = Folder::new();
        let path = folder.0.join("keyring.json");
        make(&path).unwrap();
        for (mode, refused) in
            [(0o600, false), (0o400, false), (0o440, false), (0o660, true), (0o644, true), (0o602, true)]
        {
            set_mode(&path, mode);
            let told = fault(read(&path, &master()));
            let expected = format!("mode is {mode:04o}, and 0640 is the most that is allowed; `chmod 600 ");
            assert_eq!(told.contains(&expected), refused, "{mode:o}: {told}");
        }
    }

    #[test]
    fn a_changed_file_keeps_its_mode_and_what_root_writes_its_owner() {
        let folder = Folder::new();
        let (keys, path) = (folder.0.join("a/keys"), folder.0.join("a/keys/keyring.json"));
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            chown(&folder.0, Some(4321), Some(4322)).unwrap();
        }
        let account = |path: &Path| fs::metadata(path).map(|facts| (facts.uid(), facts.gid())).unwrap();
        make(&path).unwrap();
        for made in [&folder.0.join("a"), &keys, &path] {
            assert_eq!(account(made), account(&folder.0), "{}", made.display());
        }
        set_mode(&path, 0o440);
        if is_root {
            chown(&path, Some(4321), Some(1)).unwrap();
        }
        let before = account(&path);
        let added = extend(&path, &master(), &mut Thread, |keyring| keyring.add_domains(&[domain("a")], 2));
        assert_eq!(fault(added), "");
        assert_eq!(account(&path), before);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o440);
        assert_eq!(read(&path, &master()).map(|keyring| keyring.domains().len()).ok(), Some(1));
    }

    #[test]
    fn names_the_path_and_what_is_wrong_with_it() {
        let folder = Folder::new();
        let path = folder.0.join("keyring.json");
        let missing = fault(read(&path, &master()));
        assert!(missing.contains("keyring.json: there is no such file"), "{missing}");
        set_mode(&folder.0, 0o700);
        assert!(fault(read(&folder.0, &master())).contains("not an ordinary file"));
        for (content, expected) in [
            (vec![b' '; FILE_LENGTH_MAX as usize + 1], "longer than"),
            (vec![0xFF], "UTF-8"),
            (b"{}".to_vec(), "not the JSON of a keyring"),
        ] {
            fs::write(&path, content).unwrap();
            set_mode(&path, 0o600);
            let refused = fault(read(&path, &master()));
            assert!(refused.contains(expected), "{refused}");
        }
    }

    #[test]
    fn a_change_that_is_refused_or_adds_nothing_leaves_the_file() {
        let folder = Folder::new();
        let path = folder.0.join("keyring.json");
        make(&path).unwrap();
        let before = fs::read(&path).unwrap();
        let nothing = extend(&path, &master(), &mut Thread, |keyring| keyring.add_domains(&[], 2));
        assert_eq!(fault(nothing), "");
        let refused =
            extend(&path, &master(), &mut Thread, |keyring| keyring.add_domains(&[domain("a b")], 2));
        assert!(fault(refused).contains("domain name"));
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn follows_a_link_and_clears_what_a_crash_left() {
        let folder = Folder::new();
        let (path, link) = (folder.0.join("keyring.json"), folder.0.join("link"));
        make(&path).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        fs::write(folder.0.join(".keyring.json.new"), "half of a").unwrap();
        let added = extend(&link, &master(), &mut Thread, |keyring| keyring.add_domains(&[domain("a")], 2));
        assert_eq!(fault(added), "");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(read(&path, &master()).map(|keyring| keyring.domains().len()).ok(), Some(1));
    }

    #[test]
    fn writers_take_turns_and_lose_nothing() {
        let folder = Folder::new();
        let path = folder.0.join("keyring.json");
        make(&path).unwrap();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    let wanted = [domain(&format!("d{number}"))];
                    let added =
                        extend(path, &master(), &mut Thread, |keyring| keyring.add_domains(&wanted, 2));
                    assert_eq!(fault(added), "");
                });
            }
        });
        assert_eq!(read(&path, &master()).map(|keyring| keyring.domains().len()).ok(), Some(8));
    }
}
