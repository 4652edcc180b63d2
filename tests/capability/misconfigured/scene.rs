//! A sound configuration in a folder of its own, the ways of spoiling it, and the program's run
//! to its end.

use std::any::Any;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sealgate::store::postgres::Throwaway;

use crate::harness::{PATIENCE, await_that, sealgate_command};
use crate::hops::Certificates;
use crate::shop;

/// 32 bytes, base64: that of the harness.
pub const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
pub const PASSWORD: &str = "password-of-the-service";

/// Who may not read everything: runs the program where root runs the tests.
const NOBODY: u32 = 65_534;

/// Every key that is served, but for those of `texts::MORE`. `@/` stands for the folder.
pub const SOUND: &str = include_str!("sound.toml");

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    Run,
    Check,
    List,
    Init,
}

/// What all scenes of one test are copies of, and the server that they are before.
pub struct Sound {
    folder: Folder,
    server: Throwaway,
}

/// A folder that is gone with this.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("sealgate-misconfigured-{}-{number}", std::process::id()));
        // A process with this number may have been killed before.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

impl Sound {
    pub fn new() -> Sound {
        let folder = Folder::new();
        for name in ["keys", "audit", "sockets", "tls", "secrets", "program"] {
            fs::create_dir(folder.0.join(name)).unwrap();
            fs::set_permissions(folder.0.join(name), fs::Permissions::from_mode(0o700)).unwrap();
        }
        let certificates = Certificates::new("misconfigured");
        let other = Certificates::new("misconfigured-other");
        for (from, to) in [
            (certificates.path("server.crt"), "server.crt"),
            (certificates.path("server.key"), "server.key"),
            (certificates.root(), "root.crt"),
            (other.path("server.key"), "other.key"),
        ] {
            fs::copy(from, folder.0.join("tls").join(to)).unwrap();
        }
        secret(&folder.0.join("secrets/password"), PASSWORD);
        secret(&folder.0.join("secrets/master"), MASTER_KEY);
        // Somebody else may not be able to reach the place where it was built.
        let built = PathBuf::from(sealgate_command().get_program());
        let program = folder.0.join("program/sealgate");
        if fs::hard_link(&built, &program).is_err() {
            fs::copy(&built, &program).unwrap();
        }
        fs::set_permissions(folder.0.join("program"), fs::Permissions::from_mode(0o755)).unwrap();
        let server = shop::server(15);
        let sound = Sound { folder, server };
        let mut scene = Scene::of(&sound);
        let made = scene.ends(Verb::Init);
        assert_eq!(made.code, Some(0), "{}", made.said);
        fs::copy(scene.path("keys/keyring.json"), sound.folder.0.join("keys/keyring.json")).unwrap();
        sound
    }
}

fn secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// One case's own copy.
pub struct Scene {
    folder: Folder,
    program: PathBuf,
    environment: Vec<(String, Option<String>)>,
    /// Sockets and locks of others.
    held: Vec<Box<dyn Any>>,
    pub port: u16,
    pub admin: u16,
    server: SocketAddr,
}

pub struct Ended {
    /// None: it did not end by itself.
    pub code: Option<i32>,
    pub said: String,
}

impl Scene {
    pub fn of(sound: &Sound) -> Scene {
        let folder = Folder::new();
        let ports = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let [port, admin] = ports.map(|listener| listener.local_addr().unwrap().port());
        for name in ["keys", "audit", "sockets", "tls", "secrets"] {
            copy(&sound.folder.0.join(name), &folder.0.join(name));
        }
        let scene = Scene {
            program: sound.folder.0.join("program/sealgate"),
            folder,
            environment: vec![("SEALGATE_MASTER_KEY".to_owned(), Some(MASTER_KEY.to_owned()))],
            held: Vec::new(),
            port,
            admin,
            server: sound.server.address(),
        };
        let text = SOUND
            .replace("@server", &sound.server.address().to_string())
            .replace("@port", &port.to_string())
            .replace("@admin", &admin.to_string())
            .replace("@/", &scene.folder_prefix());
        fs::write(scene.path("sealgate.toml"), text).unwrap();
        give(&scene.folder.0);
        scene
    }

    /// The server that it is before.
    pub fn server(&self) -> SocketAddr {
        self.server
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.0.join(name)
    }

    /// What `@/` stands for.
    fn folder_prefix(&self) -> String {
        format!("{}/", self.folder.0.display())
    }

    pub fn text(&self) -> String {
        fs::read_to_string(self.path("sealgate.toml")).unwrap()
    }

    /// Changes the text of the configuration; `@/` stands for the folder.
    pub fn replace(&self, piece: &str, other: &str) {
        let folder = self.folder_prefix();
        let (piece, other) = (piece.replace("@/", &folder), other.replace("@/", &folder));
        let text = self.text();
        assert!(text.contains(&piece), "{piece:?} is not in the file");
        fs::write(self.path("sealgate.toml"), text.replacen(&piece, &other, 1)).unwrap();
    }

    /// Puts a file there, as its owner would: whoever runs the program.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
        own(&self.path(name));
    }

    pub fn change(&self, name: &str, change: impl FnOnce(String) -> String) {
        let before = fs::read_to_string(self.path(name)).unwrap();
        let after = change(before.clone());
        assert_ne!(before, after);
        fs::write(self.path(name), after).unwrap();
    }

    pub fn remove(&self, name: &str) {
        let path = self.path(name);
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }

    /// A folder in the place of whatever is there.
    pub fn folder_at(&self, name: &str) {
        if self.path(name).exists() {
            self.remove(name);
        }
        fs::create_dir(self.path(name)).unwrap();
        own(&self.path(name));
    }

    pub fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A variable of the environment; None: it is not set.
    pub fn variable(&mut self, name: &str, value: Option<&str>) {
        self.environment.push((name.to_owned(), value.map(str::to_owned)));
    }

    /// Keeps something open while the program runs.
    pub fn hold(&mut self, something: impl Any) {
        self.held.push(Box::new(something));
    }

    /// `sealgate.toml:7`, of the line that holds the piece.
    pub fn place_of(&self, piece: &str) -> String {
        if piece.is_empty() {
            return String::new();
        }
        let piece = piece.replace("@/", &self.folder_prefix());
        let text = self.text();
        let at = text.find(&piece).unwrap_or_else(|| panic!("{piece:?} is not in the file"));
        format!("sealgate.toml:{}:", text[..at].matches('\n').count() + 1)
    }

    /// All that is in the folder, with modes and contents; but for what the record holds, which a
    /// refused start adds to.
    pub fn listing(&self) -> Vec<(String, u32, Vec<u8>)> {
        let mut found = Vec::new();
        list(&self.folder.0, &mut found);
        let audit = self.path("audit").display().to_string() + "/";
        found.retain(|(path, ..)| !path.starts_with(&audit));
        found.sort();
        found
    }

    fn command(&self, verb: Verb) -> Command {
        let mut command = Command::new(&self.program);
        match verb {
            Verb::Run => command.arg("run"),
            Verb::Check => command.arg("check"),
            Verb::List => command.args(["keys", "list"]),
            Verb::Init => command.args(["keys", "init"]),
        };
        command.arg("--config").arg(self.path("sealgate.toml"));
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.current_dir("/");
        command
    }

    fn start(&self, verb: Verb) -> (Child, File) {
        let said = self.folder.0.with_extension("said");
        let file = File::options().read(true).append(true).create_new(true).open(&said).unwrap();
        fs::remove_file(said).unwrap();
        let mut command = self.command(verb);
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file.try_clone().unwrap());
        (command.spawn().unwrap(), file)
    }

    /// Runs a verb to its end, which must come by itself.
    pub fn ends(&mut self, verb: Verb) -> Ended {
        let (child, file) = self.start(verb);
        wait(child, file)
    }

    /// Runs the gate until it is alive, and ends it.
    pub fn serves(&mut self) -> Ended {
        let (child, file) = self.start(Verb::Run);
        let admin = (Ipv4Addr::LOCALHOST, self.admin);
        await_that("the gate to be alive", || std::net::TcpStream::connect(admin).is_ok());
        assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
        wait(child, file)
    }
}

fn wait(mut child: Child, mut file: File) -> Ended {
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if Instant::now() > deadline => break None,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    if status.is_none() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let mut said = Vec::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut said).unwrap();
    let said = String::from_utf8_lossy(&said).into_owned();
    Ended { code: status.and_then(|status| status.code()), said }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// To whoever runs the program.
fn own(path: &Path) {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// The same of all that is in a folder.
fn give(path: &Path) {
    own(path);
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path()));
    }
}

fn list(folder: &Path, found: &mut Vec<(String, u32, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let facts = fs::symlink_metadata(&path).unwrap();
        let bytes = if facts.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        found.push((path.display().to_string(), facts.mode(), bytes));
        if facts.is_dir() {
            list(&path, found);
        }
    }
}
