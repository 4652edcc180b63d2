//! Debian's nats-server, and somebody else who speaks with it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::harness::{PATIENCE, await_that};

/// The key that proxies of a test share.
pub const KEY: [u8; 32] = [7; 32];
const KEY_TEXT: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

/// A server with a folder of its own, which keeps what it has when it is killed and started again.
pub struct Nats {
    pub folder: PathBuf,
    pub port: u16,
    config: String,
    running: Option<Child>,
}

impl Nats {
    /// Whoever connects may do everything.
    pub fn open() -> Nats {
        Nats::with("")
    }

    /// With further lines of its configuration; `FOLDER` is its folder.
    pub fn with(lines: &str) -> Nats {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let folder = std::env::temp_dir().join(format!("sealgate-nats-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let config = lines.replace("FOLDER", &folder.display().to_string());
        let mut nats = Nats { folder, port, config, running: None };
        nats.secret("share.key", KEY_TEXT);
        nats
    }

    pub fn start(&mut self) {
        let (folder, port) = (self.folder.display(), self.port);
        let config = format!(
            "listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"{folder}/store\" }}\n{}\n",
            self.config
        );
        std::fs::write(self.folder.join("nats.conf"), config).unwrap();
        let log = std::fs::File::create(self.folder.join("log")).unwrap();
        // Debian has it where only root's path leads.
        let program = ["/usr/sbin/nats-server"].into_iter().find(|file| std::path::Path::new(file).exists());
        let child = Command::new(program.unwrap_or("nats-server"))
            .arg("-c")
            .arg(self.folder.join("nats.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("nats-server: {error}: .ci/setup test installs it"));
        self.running = Some(child);
        await_that("nats-server", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// It stands still, and its connections with it.
    pub fn signal(&self, name: &str) {
        let pid = self.running.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// A file that only its owner reads.
    pub fn secret(&mut self, name: &str, text: &str) -> String {
        let file = self.folder.join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        file.display().to_string()
    }

    /// The section of a gate that shares through it.
    pub fn section(&self) -> String {
        self.section_with("nats", "")
    }

    pub fn section_with(&self, scheme: &str, lines: &str) -> String {
        let (folder, port) = (self.folder.display(), self.port);
        format!(
            "\n[watch.share]\nurls = [\"{scheme}://127.0.0.1:{port}\"]\nkey = {{ file = \"{folder}/share.key\" }}\n{lines}\n"
        )
    }

    /// Puts something at a place, as whoever can reach the server may, and waits until it lies there.
    pub fn put(&self, bucket: &str, place: &str, headers: &str, content: &[u8]) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let subject = format!("$KV.{bucket}.{place}");
        let mut text = b"CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB answer 1\r\n".to_vec();
        let head = format!("NATS/1.0\r\n{headers}\r\n");
        let (length, whole) = (head.len(), head.len() + content.len());
        write!(text, "HPUB {subject} answer {length} {whole}\r\n{head}").unwrap();
        text.extend(content);
        text.extend(b"\r\n");
        stream.write_all(&text).unwrap();
        let mut answer = BufReader::new(stream).lines().map_while(Result::ok);
        let kept = answer.find(|line| line.contains("\"seq\"") || line.contains("error"));
        assert!(kept.as_ref().is_some_and(|line| line.contains("\"seq\"")), "{kept:?}");
    }

    /// Everything that lies in its folder, as whoever runs it can read it.
    pub fn stored(&self) -> Vec<u8> {
        let (mut all, mut folders) = (Vec::new(), vec![self.folder.join("store")]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    std::fs::File::open(path).unwrap().read_to_end(&mut all).unwrap();
                }
            }
        }
        all
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            eprintln!("--- log of nats-server ---\n{log}");
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
