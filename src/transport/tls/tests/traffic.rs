//! Bytes through the tunnel: every one of them, in order, however they come.

use std::io::{ErrorKind, Read, Write};
use std::task::Poll;

use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use super::*;

fn require() -> ClientTls {
    ClientTls::load(&dialling(TlsMode::Require, None)).unwrap()
}

/// The byte at `at` of an endless text without a short period.
fn byte(at: usize) -> u8 {
    (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]
}

/// What is sent and heard, over and over: of a length that no buffer divides.
fn text() -> &'static [u8] {
    static TEXT: std::sync::LazyLock<Vec<u8>> =
        std::sync::LazyLock::new(|| (0..1_000_003).map(byte).collect());
    &TEXT
}

/// At most `length` bytes of the text from `at` on.
fn piece(at: usize, length: usize) -> &'static [u8] {
    let rest = &text()[at % text().len()..];
    &rest[..length.min(rest.len())]
}

/// One end that sends and receives `total` bytes at once, as a lane of a session does.
async fn exchange(channel: &mut Channel, total: usize, write: usize, read: usize) {
    let (mut sent, mut received) = (0, 0);
    let mut buffer = vec![0; read];
    while sent < total || received < total || channel.has_unsent() {
        let mut moved = false;
        if sent < total {
            match channel.try_write(piece(sent, write.min(total - sent))) {
                Ok(count) => {
                    sent += count;
                    moved |= count > 0;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            }
        } else if channel.has_unsent() {
            let _ = channel.try_flush();
        }
        match channel.try_read(&mut buffer) {
            Ok(count) => {
                assert!(count > 0 || received == total, "closed at {received}");
                let mut heard = &buffer[..count];
                while !heard.is_empty() {
                    let expected = piece(received, heard.len());
                    assert!(heard.starts_with(expected), "after {received}");
                    received += expected.len();
                    heard = &heard[expected.len()..];
                }
                moved |= count > 0;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
        if !moved {
            let wants_output = sent < total || channel.has_unsent();
            std::future::poll_fn(|context| {
                let moves = (received < total && channel.poll_readable(context).is_ready())
                    || (wants_output && channel.poll_writable(context).is_ready());
                let waits = received < total || wants_output;
                if moves || !waits { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
        // A channel that is always ready must not keep the other end from its turn.
        tokio::task::yield_now().await;
    }
    assert_eq!(received, total);
}

async fn tiny_pair(server: &ServerTls, client: &ClientTls) -> (Channel, Channel) {
    let (one, other) = UnixStream::pair().unwrap();
    for stream in [&one, &other] {
        SockRef::from(stream).set_send_buffer_size(4608).unwrap();
        SockRef::from(stream).set_recv_buffer_size(4608).unwrap();
    }
    let ends = (Channel::plain(Socket::Unix(one)), Channel::plain(Socket::Unix(other)));
    let (Ok(dialled), Ok(accepted)) = shake_over(ends, server, client, "localhost").await else { panic!() };
    (dialled, accepted)
}

#[tokio::test]
async fn much_goes_both_ways_at_once_through_tiny_sockets() {
    let (_folder, server, _) = simple();
    for (client, total) in [(require(), 64 << 20), (odd_client(|_| {}, TlsVersion::V1_2), 4 << 20)] {
        let (mut one, mut other) = tiny_pair(&server, &client).await;
        tokio::join!(
            exchange(&mut one, total, 200 * 1024, 64 * 1024),
            exchange(&mut other, total, 70_000, 64 * 1024)
        );
        assert!(!one.has_unsent() && !other.has_unsent());
    }
}

#[tokio::test]
async fn buffers_of_every_size_lose_nothing() {
    let (_folder, server, _) = simple();
    for (write, read) in [(1, 1), (64 * 1024, 1), (3, 64 * 1024), (20_000, 100), (17_000, 16_385)] {
        let (mut one, mut other) = tiny_pair(&server, &require()).await;
        tokio::join!(exchange(&mut one, 50_000, write, read), exchange(&mut other, 50_000, write, read));
    }
}

/// A peer in a thread of its own, by rustls' buffered interface.
fn buffered_peer(
    stream: TcpStream,
    talk: impl FnOnce(&mut rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream>) + Send + 'static,
) -> std::thread::JoinHandle<()> {
    let stream = stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let any = super::super::verify::ServerVerifier::load(&dialling(TlsMode::Require, None)).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(super::super::provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(any))
        .with_no_client_auth();
    std::thread::spawn(move || {
        let name = "localhost".try_into().unwrap();
        let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        talk(&mut rustls::StreamOwned::new(connection, stream));
    })
}

#[tokio::test]
async fn keys_change_on_the_way() {
    let (_folder, server, _) = simple();
    let (dialled, accepted) = tcp_pair().await;
    let peer = buffered_peer(dialled, |stream| {
        stream.conn.complete_io(&mut stream.sock).unwrap();
        for _ in 0..10 {
            stream.conn.refresh_traffic_keys().unwrap();
            stream.write_all(b"with new keys").unwrap();
            let mut heard = [0; 13];
            stream.read_exact(&mut heard).unwrap();
            assert_eq!(&heard, b"with new keys");
        }
    });
    let mut accepted = Channel::plain(Socket::Tcp(accepted));
    accepted.accept_tls(&server, &[]).await.unwrap();
    for _ in 0..10 {
        let mut heard = Vec::new();
        while heard.len() < 13 {
            assert!(timeout(PATIENCE, accepted.read_some(&mut heard)).await.unwrap().unwrap() > 0);
        }
        accepted.write_all(&heard).await.unwrap();
    }
    peer.join().unwrap();
}

#[tokio::test]
async fn the_end_is_the_end_with_and_without_close_notify() {
    let (_folder, server, _) = simple();
    for says_so in [true, false] {
        let (dialled, accepted) = tcp_pair().await;
        let peer = buffered_peer(dialled, move |stream| {
            stream.write_all(b"last words").unwrap();
            if says_so {
                stream.conn.send_close_notify();
                stream.flush().unwrap();
                // We may still be answered.
                let mut heard = Vec::new();
                stream.read_to_end(&mut heard).unwrap();
                assert_eq!(heard, b"farewell");
            }
        });
        let mut accepted = Channel::plain(Socket::Tcp(accepted));
        accepted.accept_tls(&server, &[]).await.unwrap();
        let mut heard = Vec::new();
        while timeout(PATIENCE, accepted.read_some(&mut heard)).await.unwrap().unwrap() > 0 {}
        assert_eq!(heard, b"last words");
        assert_eq!(accepted.try_read(&mut [0; 8]).unwrap(), 0, "and stays so");
        if says_so {
            accepted.write_all(b"farewell").await.unwrap();
            // read_to_end fails if this does not say close_notify first.
            accepted.shutdown_write().unwrap();
        }
        peer.join().unwrap();
    }
}

#[tokio::test]
async fn every_byte_may_come_alone() {
    let (_folder, server, _) = simple();
    let (dialled, mut outside) = tcp_pair().await;
    let (mut inside, accepted) = tcp_pair().await;
    let mut dialled = Channel::plain(Socket::Tcp(dialled));
    let mut accepted = Channel::plain(Socket::Tcp(accepted));
    inside.set_nodelay(true).unwrap();
    outside.set_nodelay(true).unwrap();
    let slow = tokio::spawn(async move {
        let (mut from_client, mut to_client) = outside.split();
        let (mut from_server, mut to_server) = inside.split();
        tokio::join!(trickle(&mut from_client, &mut to_server), trickle(&mut from_server, &mut to_client));
    });
    let client = require();
    let (connected, taken) =
        tokio::join!(dialled.connect_tls(&client, "localhost", false), accepted.accept_tls(&server, &[]));
    connected.unwrap();
    taken.unwrap();
    converse(&mut dialled, &mut accepted).await;
    slow.abort();
}

async fn trickle(
    from: &mut (impl tokio::io::AsyncRead + Unpin),
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
) {
    let mut byte = [0];
    while tokio::io::AsyncReadExt::read(from, &mut byte).await.unwrap() > 0 {
        to.write_all(&byte).await.unwrap();
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn changed_records_break_the_connection_and_what_came_before_is_read() {
    let (_folder, server, _) = simple();
    let (dialled, accepted) = tcp_pair().await;
    let peer = buffered_peer(dialled, |stream| {
        stream.write_all(b"true").unwrap();
        stream.conn.writer().write_all(b"false").unwrap();
        let mut record = Vec::new();
        stream.conn.write_tls(&mut record).unwrap();
        *record.last_mut().unwrap() ^= 1;
        stream.sock.write_all(&record).unwrap();
        // The peer is told.
        let error = stream.read(&mut [0; 8]).unwrap_err();
        assert!(error.to_string().contains("BadRecordMac"), "{error}");
    });
    let mut accepted = Channel::plain(Socket::Tcp(accepted));
    accepted.accept_tls(&server, &[]).await.unwrap();
    let mut heard = Vec::new();
    let error = loop {
        match timeout(PATIENCE, accepted.read_some(&mut heard)).await.unwrap() {
            Ok(count) => assert!(count > 0),
            Err(error) => break error,
        }
    };
    assert_eq!((heard.as_slice(), error.kind()), (b"true".as_slice(), ErrorKind::InvalidData));
    assert!(accepted.try_write(b"more").is_err());
    assert!(accepted.try_read(&mut [0; 8]).is_err());
    peer.join().unwrap();
}

#[tokio::test]
async fn the_runtimes_own_traits_work_too() {
    let (_folder, server, _) = simple();
    for under_tls in [true, false] {
        let (mut one, mut other) = if under_tls {
            tiny_pair(&server, &require()).await
        } else {
            let (dialled, accepted) = tcp_pair().await;
            (Channel::plain(Socket::Tcp(dialled)), Channel::plain(Socket::Tcp(accepted)))
        };
        let text: Vec<u8> = (0..300_000).map(byte).collect();
        let writing = async {
            one.write_all(&text).await.unwrap();
            one.flush().await.unwrap();
            one.shutdown().await.unwrap();
        };
        let mut heard = Vec::new();
        let reading = tokio::io::AsyncReadExt::read_to_end(&mut other, &mut heard);
        let ((), count) = tokio::join!(writing, reading);
        assert_eq!((count.unwrap(), &heard), (text.len(), &text));
    }
}
