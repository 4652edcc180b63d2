//! A stream socket: TCP, or a Unix socket of the same machine.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use crate::config::Vanished;

/// Who is at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    Tcp(SocketAddr),
    /// A process of this machine.
    Local,
}

impl Peer {
    /// The address that is judged by region: a process of this machine is at its loopback
    /// address. IPv4 addresses written as IPv6 are taken for what they are.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        match self {
            Peer::Tcp(address) => address.ip().to_canonical(),
            Peer::Local => IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }
}

impl fmt::Display for Peer {
    /// As the record names it; a Unix socket as PostgreSQL's own log does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(address) => write!(f, "{}", address.ip().to_canonical()),
            Peer::Local => f.write_str("[local]"),
        }
    }
}

/// One connected stream socket.
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Reads what is there.
    ///
    /// # Errors
    /// `WouldBlock` where nothing is; otherwise the socket's.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.try_read(buffer),
            Socket::Unix(stream) => stream.try_read(buffer),
        }
    }

    /// Writes what the socket takes at once.
    ///
    /// # Errors
    /// `WouldBlock` where it takes nothing; otherwise the socket's.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.try_write(bytes),
            Socket::Unix(stream) => stream.try_write(bytes),
        }
    }

    /// Waits until [`Socket::try_read`] may find something.
    ///
    /// # Errors
    /// The runtime's.
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.readable().await,
            Socket::Unix(stream) => stream.readable().await,
        }
    }

    /// Waits until [`Socket::try_write`] may take something.
    ///
    /// # Errors
    /// The runtime's.
    pub async fn writable(&self) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.writable().await,
            Socket::Unix(stream) => stream.writable().await,
        }
    }

    /// As [`Socket::readable`], to be polled.
    ///
    /// # Errors
    /// The runtime's.
    pub fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Tcp(stream) => stream.poll_read_ready(context),
            Socket::Unix(stream) => stream.poll_read_ready(context),
        }
    }

    /// As [`Socket::writable`], to be polled.
    ///
    /// # Errors
    /// The runtime's.
    pub fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Tcp(stream) => stream.poll_write_ready(context),
            Socket::Unix(stream) => stream.poll_write_ready(context),
        }
    }

    /// A short read has emptied the socket: forgets its readiness, which spares the system
    /// call that would only say so (epoll reports edges).
    pub fn forget_readable(&self) {
        let nothing = || Err::<(), _>(io::Error::from(io::ErrorKind::WouldBlock));
        let _ = match self {
            Socket::Tcp(stream) => stream.try_io(Interest::READABLE, nothing),
            Socket::Unix(stream) => stream.try_io(Interest::READABLE, nothing),
        };
    }

    /// Says that nothing more will be sent; reading goes on.
    ///
    /// # Errors
    /// The socket's.
    pub fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => SockRef::from(stream).shutdown(Shutdown::Write),
            Socket::Unix(stream) => SockRef::from(stream).shutdown(Shutdown::Write),
        }
    }

    /// A second hold of it, by which it can be ended from anywhere.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn line(&self) -> io::Result<Line> {
        match self {
            Socket::Tcp(stream) => SockRef::from(stream).try_clone().map(Line),
            Socket::Unix(stream) => SockRef::from(stream).try_clone().map(Line),
        }
    }

    /// No delay, and dead peers are noticed: on both hops. Nothing to do for Unix sockets.
    pub fn tune(&self, vanished: Vanished) {
        let Socket::Tcp(stream) = self else { return };
        let socket = SockRef::from(stream);
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(Duration::from_millis(vanished.keepalives_idle_ms))
            .with_interval(Duration::from_millis(vanished.keepalives_interval_ms))
            .with_retries(vanished.keepalives_count);
        let user_timeout = vanished.tcp_user_timeout_ms.map(Duration::from_millis);
        let tuned = stream
            .set_nodelay(true)
            .and_then(|()| socket.set_tcp_keepalive(&keepalive))
            .and_then(|()| socket.set_tcp_user_timeout(user_timeout));
        if let Err(error) = tuned {
            tracing::debug!(%error, "socket options were not accepted");
        }
    }
}

/// See [`Socket::line`].
pub struct Line(socket2::Socket);

impl Line {
    /// Ends the connection, both ways, at once. One that is over stays so.
    pub fn hang_up(&self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}
