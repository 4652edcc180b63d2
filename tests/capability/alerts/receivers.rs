//! Receivers of alerts: Debian's Alertmanager, a mail server, a syslog server under TLS, a webhook.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use crate::harness::{PATIENCE, await_that};

/// A folder that goes with the test, with an authority and a server's certificate in it.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("sealgate-alerts-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let server = params.signed_by(&key, &root).unwrap();
        for (file, text) in
            [("root.crt", root.pem()), ("server.crt", server.pem()), ("server.key", key.serialize_pem())]
        {
            std::fs::write(folder.join(file), text).unwrap();
        }
        Folder(folder)
    }

    pub fn path(&self, file: &str) -> String {
        self.0.join(file).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One request: its head in lower case, and its body.
fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut all = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        all.extend_from_slice(&piece[..count]);
        let Some(end) = all.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&all[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.unwrap().trim().parse().unwrap();
        if all.len() >= end + 4 + length {
            return Some((head, all[end + 4..].to_vec()));
        }
    }
}

/// Requests, each with its head and its body.
type Requests = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A webhook: what it was told, each with the head of its request.
pub struct Webhook {
    pub address: SocketAddr,
    /// What it answers.
    status: Arc<AtomicU16>,
    told: Requests,
    refused: Arc<AtomicU16>,
}

impl Webhook {
    pub fn new() -> Webhook {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let status = Arc::new(AtomicU16::new(204));
        let told: Requests = Arc::default();
        let refused = Arc::new(AtomicU16::new(0));
        let webhook =
            Webhook { address, status: status.clone(), told: told.clone(), refused: refused.clone() };
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let Some(request) = read_request(&mut stream) else { continue };
                let code = status.load(Ordering::SeqCst);
                if code < 300 {
                    told.lock().unwrap().push(request);
                } else {
                    refused.fetch_add(1, Ordering::SeqCst);
                }
                let answer = format!("HTTP/1.1 {code} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        webhook
    }

    pub fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// Requests that it did not take.
    pub fn refused(&self) -> u16 {
        self.refused.load(Ordering::SeqCst)
    }

    pub fn told(&self) -> Vec<(String, Vec<u8>)> {
        self.told.lock().unwrap().clone()
    }

    pub fn notices(&self) -> Vec<Value> {
        self.told().iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect()
    }
}

/// Messages of a syslog server under TLS, cut by their octet counts.
pub struct Syslog {
    pub address: SocketAddr,
    told: Arc<Mutex<Vec<String>>>,
}

impl Syslog {
    pub fn new(folder: &Folder) -> Syslog {
        let chain = CertificateDer::pem_file_iter(folder.path("server.crt")).unwrap();
        let chain = chain.map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(folder.path("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let syslog = Syslog { address, told: told.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let connection = rustls::ServerConnection::new(config.clone()).unwrap();
                let mut stream = rustls::StreamOwned::new(connection, stream);
                let mut all = Vec::new();
                if stream.read_to_end(&mut all).is_ok() {
                    let text = String::from_utf8(all).unwrap();
                    let (count, message) = text.split_once(' ').unwrap();
                    assert_eq!(count.parse(), Ok(message.len()), "{text}");
                    told.lock().unwrap().push(message.to_owned());
                }
            }
        });
        syslog
    }

    pub fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }
}

/// A mail server with STARTTLS and a password.
pub struct MailServer {
    pub port: u16,
    took: Arc<Mutex<Vec<Value>>>,
    _running: Running,
}

impl MailServer {
    pub fn new(folder: &Folder) -> MailServer {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let port = free_port();
        let mut child = Command::new(root.join("target/venv/bin/python"))
            .arg(root.join("tests/capability/alerts/smtp.py"))
            .args([port.to_string(), folder.path("server.crt"), folder.path("server.key")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let running = Running(child);
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        let took: Arc<Mutex<Vec<Value>>> = Arc::default();
        let taking = took.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                taking.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        MailServer { port, took, _running: running }
    }

    pub fn took(&self) -> Vec<Value> {
        self.took.lock().unwrap().clone()
    }
}

/// Debian's Alertmanager.
pub struct Alertmanager {
    pub port: u16,
    _running: Running,
}

impl Alertmanager {
    pub fn new(folder: &Folder) -> Alertmanager {
        let port = free_port();
        std::fs::write(folder.path("am.yml"), "route: { receiver: none }\nreceivers: [{ name: none }]\n")
            .unwrap();
        let child = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", folder.path("am.yml")))
            .arg(format!("--storage.path={}", folder.path("am")))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("prometheus-alertmanager: {error}: .ci/setup test installs it"));
        let alertmanager = Alertmanager { port, _running: Running(child) };
        await_that("Alertmanager", || alertmanager.get("/-/ready").is_some_and(|body| body.contains("OK")));
        alertmanager
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: a\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer.split_once("\r\n\r\n")?.1.to_owned())
    }

    /// What it shows as firing.
    pub fn firing(&self) -> Vec<Value> {
        let body = self.get("/api/v2/alerts?active=true").unwrap_or_default();
        serde_json::from_str(&body).unwrap_or_default()
    }
}
