//! What a channel costs under TLS 1.3 and without: a short message and a long run, from one
//! end of a socket pair to the other, and a whole handshake.

use std::fs;
use std::hint::black_box;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sealgate::config::{TlsMode, TlsVersion};
use sealgate::transport::tls::{ClientTls, ClientTlsSettings, Identity, ServerTls, ServerTlsSettings};
use sealgate::transport::{Channel, Socket};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

fn settings(folder: &Path) -> Fallible<(ServerTls, ClientTls)> {
    fs::create_dir_all(folder)?;
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let (chain, key) = (folder.join("server.crt"), folder.join("server.key"));
    fs::write(&chain, own.cert.pem())?;
    fs::write(&key, own.signing_key.serialize_pem())?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    let identities = vec![Identity { chain, key, names: Vec::new() }];
    let server = ServerTls::load(&ServerTlsSettings { identities, ..ServerTlsSettings::default() })?;
    let client = ClientTls::load(&ClientTlsSettings {
        mode: TlsMode::Require,
        ca: None,
        crl: None,
        identity: None,
        version_min: TlsVersion::V1_3,
    })?;
    Ok((server, client))
}

/// Two ends of one socket pair, under TLS if `tls` is there.
fn pair(runtime: &Runtime, tls: Option<&(ServerTls, ClientTls)>) -> Fallible<(Channel, Channel)> {
    runtime.block_on(async {
        let (one, other) = UnixStream::pair()?;
        let mut one = Channel::plain(Socket::Unix(one));
        let mut other = Channel::plain(Socket::Unix(other));
        if let Some((server, client)) = tls {
            let (dialled, accepted) =
                tokio::join!(one.connect_tls(client, "localhost", false), other.accept_tls(server, &[]));
            dialled?;
            accepted?;
        }
        Ok((one, other))
    })
}

/// Sends `bytes` from one end to the other, whole.
async fn pass(
    one: &mut Channel,
    other: &mut Channel,
    bytes: &[u8],
    buffer: &mut [u8],
) -> std::io::Result<()> {
    let (mut sent, mut heard) = (0, 0);
    while heard < bytes.len() {
        if sent < bytes.len() || one.has_unsent() {
            let taken = match bytes.get(sent..) {
                Some(rest) if !rest.is_empty() => one.try_write(rest),
                Some(_) | None => one.try_flush().map(|()| 0),
            };
            match taken {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        match other.try_read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => heard += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                tokio::select! {
                    ready = other.readable() => ready?,
                    ready = one.writable(), if one.has_unsent() || sent < bytes.len() => ready?,
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn channel(criterion: &mut Criterion) {
    let folder = std::env::temp_dir().join(format!("sealgate-bench-tls-{}", std::process::id()));
    let tls = settings(&folder);
    let _ = fs::remove_dir_all(&folder);
    let (Ok(tls), Ok(runtime)) = (tls, Builder::new_current_thread().enable_all().build()) else { return };
    let mut buffer = vec![0; 64 * 1024];
    for (name, with) in [("plain", None), ("tls13", Some(&tls))] {
        let Ok((mut one, mut other)) = pair(&runtime, with) else { continue };
        for (size, bytes) in [("100 B", vec![b'x'; 100]), ("64 KiB", vec![b'x'; 64 * 1024])] {
            let mut group = criterion.benchmark_group(format!("channel {size}"));
            group.throughput(Throughput::Bytes(u64::try_from(bytes.len()).unwrap_or(0)));
            group.bench_function(name, |bench| {
                bench.iter(|| runtime.block_on(pass(&mut one, &mut other, &bytes, &mut buffer)).is_ok());
            });
            group.finish();
        }
    }
    criterion.bench_function("handshake tls13", |bench| {
        bench.iter(|| black_box(pair(&runtime, Some(&tls))).is_ok());
    });
}

criterion_group!(tls, channel);
criterion_main!(tls);
