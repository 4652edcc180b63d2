//! A connection as the rest of the house sees it: a socket, with or without TLS around it.

use std::io::{self, ErrorKind};

use super::socket::Socket;

/// Bytes asked for at a time during a login.
const LOGIN_READ_BYTES: usize = 4 * 1024;

/// One connection to a client or to a server.
pub struct Channel {
    socket: Socket,
}

impl Channel {
    #[must_use]
    pub fn plain(socket: Socket) -> Channel {
        Channel { socket }
    }

    /// Reads what is there into `buffer`; 0 says that the peer has closed.
    ///
    /// # Errors
    /// `WouldBlock` where nothing is there; otherwise the socket's.
    pub fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.socket.try_read(buffer)?;
        if count < buffer.len() && count > 0 {
            self.socket.forget_readable();
        }
        Ok(count)
    }

    /// Takes what can be sent, or kept to be sent by [`Channel::try_flush`], now.
    ///
    /// # Errors
    /// `WouldBlock` where nothing can; otherwise the socket's.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.try_write(bytes)
    }

    /// Sends what [`Channel::try_write`] took and the socket did not.
    ///
    /// # Errors
    /// `WouldBlock` where some of it is still waiting; otherwise the socket's.
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "under TLS there is something to send")]
    pub fn try_flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Does something wait for [`Channel::try_flush`]?
    #[must_use]
    #[expect(clippy::unused_self, reason = "under TLS there may be")]
    pub fn has_unsent(&self) -> bool {
        false
    }

    /// Waits until [`Channel::try_read`] may find something.
    ///
    /// # Errors
    /// The runtime's.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Waits until the socket takes something.
    ///
    /// # Errors
    /// The runtime's.
    pub async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
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
        self.socket.shutdown_write()
    }
}
