//! A connection as the rest of the house sees it: a socket, with or without TLS around it.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::socket::{Line, Socket};
use super::tls::{ClientTls, ServerTls, TlsError, TlsFacts, Tunnel};

/// Bytes asked for at a time during a login.
const LOGIN_READ_BYTES: usize = 4 * 1024;

/// One connection to a client or to a server.
pub struct Channel {
    socket: Socket,
    tunnel: Option<Box<Tunnel>>,
    /// A plain socket was read empty, and nobody has seen it readable since: no need to ask.
    quiet: bool,
}

impl Channel {
    #[must_use]
    pub fn plain(socket: Socket) -> Channel {
        Channel { socket, tunnel: None, quiet: false }
    }

    /// Takes TLS from a client. `early`: what was read of it already.
    ///
    /// The deadline is the caller's; a future that is dropped leaves a channel that is of
    /// no more use.
    ///
    /// # Errors
    /// Every kind of [`TlsError`]; the channel is of no more use then.
    pub async fn accept_tls(&mut self, tls: &ServerTls, early: &[u8]) -> Result<(), TlsError> {
        let (tunnel, resolver) = Tunnel::accept(tls)?;
        let tunnel = self.tunnel.insert(tunnel);
        tunnel.take_early(&self.socket, early)?;
        tunnel.handshake(&self.socket).await?;
        tunnel.learn_presented(&resolver);
        Ok(())
    }

    /// Speaks TLS to a server that has agreed to it, or at once if `direct`. `host` as it
    /// stands in the settings: a name or an address.
    ///
    /// The deadline is the caller's, as with [`Channel::accept_tls`].
    ///
    /// # Errors
    /// Every kind of [`TlsError`]; the channel is of no more use then.
    pub async fn connect_tls(&mut self, tls: &ClientTls, host: &str, direct: bool) -> Result<(), TlsError> {
        let tunnel = self.tunnel.insert(Tunnel::connect(tls, host)?);
        tunnel.handshake(&self.socket).await?;
        if direct && !tunnel.facts().alpn { Err(TlsError::Alpn) } else { Ok(()) }
    }

    /// A second hold of its socket.
    ///
    /// # Errors
    /// As [`Socket::line`].
    pub fn line(&self) -> io::Result<Line> {
        self.socket.line()
    }

    /// What TLS came to; `None` for a plain connection.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsFacts> {
        self.tunnel.as_ref().map(|tunnel| tunnel.facts())
    }

    /// DER of the end-entity certificate that the peer presented.
    #[must_use]
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        self.tunnel.as_ref()?.peer_certificate()
    }

    /// Reads what is there into `buffer`; 0 says that the peer has closed.
    ///
    /// # Errors
    /// `WouldBlock` where nothing is there; otherwise the socket's.
    pub fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(tunnel) = &mut self.tunnel {
            return tunnel.try_read(&self.socket, buffer);
        }
        if self.quiet {
            return Err(ErrorKind::WouldBlock.into());
        }
        let read = self.socket.try_read(buffer);
        match &read {
            Ok(count) if *count < buffer.len() && *count > 0 => {
                self.socket.forget_readable();
                self.quiet = true;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.quiet = true,
            Ok(_) | Err(_) => {}
        }
        read
    }

    /// Would [`Channel::try_read`] find nothing, as far as is known?
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Takes what can be sent, or kept to be sent by [`Channel::try_flush`], now.
    ///
    /// # Errors
    /// `WouldBlock` where nothing can; otherwise the socket's.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tunnel {
            None => self.socket.try_write(bytes),
            Some(tunnel) => tunnel.try_write(&self.socket, bytes),
        }
    }

    /// Sends what [`Channel::try_write`] took and the socket did not.
    ///
    /// # Errors
    /// `WouldBlock` where some of it is still waiting; otherwise the socket's.
    pub fn try_flush(&mut self) -> io::Result<()> {
        self.tunnel.as_mut().map_or(Ok(()), |tunnel| tunnel.try_flush(&self.socket))
    }

    /// Does something wait for [`Channel::try_flush`]?
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        self.tunnel.as_ref().is_some_and(|tunnel| tunnel.has_unsent())
    }

    /// As [`Channel::readable`], to be polled; one task at a time.
    pub fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.tunnel.as_ref().is_some_and(|tunnel| tunnel.has_news()) {
            return Poll::Ready(Ok(()));
        }
        let ready = ready!(self.socket.poll_read_ready(context));
        self.quiet = false;
        Poll::Ready(ready)
    }

    /// As [`Channel::writable`], to be polled; one task at a time.
    pub fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_write_ready(context)
    }

    /// Waits until [`Channel::try_read`] may find something.
    ///
    /// # Errors
    /// The runtime's.
    pub async fn readable(&mut self) -> io::Result<()> {
        if self.tunnel.as_ref().is_some_and(|tunnel| tunnel.has_news()) {
            return Ok(());
        }
        self.socket.readable().await?;
        self.quiet = false;
        Ok(())
    }

    /// Waits until the socket takes something.
    ///
    /// # Errors
    /// The runtime's.
    pub async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
    }

    /// Has the next [`Channel::try_read`] ask the socket, whatever is known of it.
    pub fn look_again(&mut self) {
        self.quiet = false;
    }

    /// Appends what comes next to `bytes`; 0 says that the peer has closed.
    ///
    /// # Errors
    /// The socket's.
    pub async fn read_some(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let mut piece = [0; LOGIN_READ_BYTES];
        loop {
            self.readable().await?;
            match self.try_read(&mut piece) {
                Ok(count) => {
                    bytes.extend_from_slice(piece.get(..count).unwrap_or(&[]));
                    piece.fill(0);
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads one byte and no more: the answer to an SSLRequest, behind which nothing may be
    /// taken for plain that somebody put there. None: the peer has closed.
    ///
    /// # Errors
    /// The socket's.
    pub async fn read_byte(&mut self) -> io::Result<Option<u8>> {
        let mut byte = [0; 1];
        loop {
            self.readable().await?;
            match self.try_read(&mut byte) {
                Ok(count) => return Ok((count == 1).then_some(byte[0])),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// The socket's.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() || self.has_unsent() {
            let sent = if bytes.is_empty() { self.try_flush().map(|()| 0) } else { self.try_write(bytes) };
            match sent {
                Ok(count) => bytes = bytes.get(count..).unwrap_or(&[]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says that nothing more will be sent; reading goes on.
    ///
    /// # Errors
    /// The socket's.
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        if let Some(tunnel) = &mut self.tunnel {
            tunnel.close(&self.socket);
        }
        self.socket.shutdown_write()
    }

    /// Tells a peer under TLS that this is the end and nobody's cut (RFC 8446, 6.1). The
    /// socket closes when the channel is dropped.
    pub fn close(&mut self) {
        if let Some(tunnel) = &mut self.tunnel {
            tunnel.close(&self.socket);
        }
    }
}

impl AsyncRead for Channel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.try_read(buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.poll_readable(context))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Channel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_write_ready(context))?;
                }
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.try_flush() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_write_ready(context))?;
                }
                flushed => return Poll::Ready(flushed),
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(context))?;
        Poll::Ready(self.shutdown_write())
    }
}
