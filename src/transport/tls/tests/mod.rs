//! Real sockets, certificates made for the test, and both ends of this room against each
//! other, against rustls' buffered interface, and against bytes that are no TLS.

mod handshake;
mod loading;
mod modes;
mod traffic;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::{
    ClientCertificate, ClientTls, ClientTlsSettings, Identity, ServerTls, ServerTlsSettings, TlsError,
    TlsMode, TlsVersion,
};
use crate::transport::{Channel, Socket};

/// Where nothing should ever wait so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder of its own, gone with the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sealgate-tls-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    /// A file that only its owner may read.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub fn identity(&self, name: &str, issued: &Issued) -> Identity {
        Identity {
            chain: self.file(&format!("{name}.crt"), &issued.chain),
            key: self.file(&format!("{name}.key"), &issued.key),
            names: Vec::new(),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Who certifies.
pub struct Authority {
    pub issuer: CertifiedIssuer<'static, KeyPair>,
    /// PEM of those between this authority and the root.
    chain: String,
}

/// PEM of a chain and its key, and DER of the first certificate.
pub struct Issued {
    pub chain: String,
    pub key: String,
    pub der: Vec<u8>,
}

pub fn named(names: &[&str], common: &str) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, common);
    params
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = named(&[], name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    params
}

impl Authority {
    pub fn root(name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(authority_params(name), key).unwrap();
        Authority { issuer, chain: String::new() }
    }

    pub fn below(&self, name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::signed_by(authority_params(name), key, &self.issuer).unwrap();
        let chain = format!("{}{}", issuer.pem(), self.chain);
        Authority { issuer, chain }
    }

    pub fn issue(&self, params: &CertificateParams) -> Issued {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued {
            chain: format!("{}{}", certificate.pem(), self.chain),
            key: key.serialize_pem(),
            der: certificate.der().to_vec(),
        }
    }
}

/// One that nobody certifies but itself, as `openssl req -x509` makes it.
pub fn self_signed(mut params: CertificateParams) -> Issued {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Issued { chain: certificate.pem(), key: key.serialize_pem(), der: certificate.der().to_vec() }
}

pub fn serving(identities: Vec<Identity>) -> ServerTlsSettings {
    ServerTlsSettings { identities, ..ServerTlsSettings::default() }
}

pub fn dialling(mode: TlsMode, ca: Option<PathBuf>) -> ClientTlsSettings {
    ClientTlsSettings { mode, ca, crl: None, identity: None, version_min: TlsVersion::V1_2 }
}

/// A server for `localhost`, its authority's file, and the folder that holds them.
pub fn simple() -> (Folder, ServerTls, PathBuf) {
    let folder = Folder::new();
    let root = Authority::root("root");
    let ca = folder.file("ca.crt", &root.issuer.pem());
    let identity = folder.identity("server", &root.issue(&named(&["localhost"], "localhost")));
    let server = ServerTls::load(&serving(vec![identity])).unwrap();
    (folder, server, ca)
}

/// Both ends of a connection over the loopback: the one that dialled first.
pub async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (dialled, accepted) =
        tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (dialled.unwrap(), accepted.unwrap().0)
}

pub type Ends = (Result<Channel, TlsError>, Result<Channel, TlsError>);

/// A handshake: how it went for the client, and for the server.
pub async fn shake(server: &ServerTls, client: &ClientTls, host: &str) -> Ends {
    let (dialled, accepted) = tcp_pair().await;
    let ends = (Channel::plain(Socket::Tcp(dialled)), Channel::plain(Socket::Tcp(accepted)));
    shake_over(ends, server, client, host).await
}

pub async fn shake_over(
    (mut dialled, mut accepted): (Channel, Channel),
    server: &ServerTls,
    client: &ClientTls,
    host: &str,
) -> Ends {
    // Each end is dropped as soon as it fails, so that the other sees it.
    let client = async move { dialled.connect_tls(client, host, false).await.map(|()| dialled) };
    let server = async move { accepted.accept_tls(server, &[]).await.map(|()| accepted) };
    timeout(PATIENCE, async { tokio::join!(client, server) }).await.unwrap()
}

/// Something goes both ways.
pub async fn converse(one: &mut Channel, other: &mut Channel) {
    for _ in 0..3 {
        say(one, other, b"is it you?").await;
        say(other, one, b"it is").await;
    }
}

pub async fn say(from: &mut Channel, to: &mut Channel, words: &[u8]) {
    from.write_all(words).await.unwrap();
    let mut heard = Vec::new();
    while heard.len() < words.len() {
        let count = timeout(PATIENCE, to.read_some(&mut heard)).await.unwrap().unwrap();
        assert!(count > 0, "closed after {} bytes", heard.len());
    }
    assert_eq!(heard, words);
}

pub fn odd_client(configure: impl FnOnce(&mut rustls::ClientConfig), version: TlsVersion) -> ClientTls {
    static OLD: [&rustls::SupportedProtocolVersion; 1] = [&rustls::version::TLS12];
    let versions = if version == TlsVersion::V1_2 { &OLD } else { super::versions(version) };
    let any = super::verify::ServerVerifier::load(&dialling(TlsMode::Require, None)).unwrap();
    let mut config = rustls::ClientConfig::builder_with_provider(super::provider())
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(any))
        .with_no_client_auth();
    configure(&mut config);
    ClientTls::odd(TlsMode::Require, config)
}
