//! A stream to another service, plain or under TLS: blocking, for threads that wait for nothing else.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::config::HostPort;
use crate::transport::web::{provider, roots};

/// A connection, and each single read and write.
const PATIENCE: Duration = Duration::from_secs(5);

/// Verifies the server by its name.
///
/// # Errors
/// As [`roots`].
pub fn client_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(roots(ca)?);
    if added == 0 {
        return Err("no certificate of the ca can be used".to_owned());
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// A connection.
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// To the first of its addresses that answers.
    ///
    /// # Errors
    /// None does.
    pub fn connect(address: &HostPort) -> io::Result<Stream> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for found in (address.host.as_str(), address.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&found, PATIENCE) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE))?;
                    stream.set_write_timeout(Some(PATIENCE))?;
                    return Ok(Stream::Plain(stream));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// How long one read may take from here on; then it is [`io::ErrorKind::WouldBlock`].
    ///
    /// # Errors
    /// As the socket has it.
    pub fn wait_to_read(&self, patience: Duration) -> io::Result<()> {
        self.socket().set_read_timeout(Some(patience.max(Duration::from_millis(1))))
    }

    /// Goes on under TLS with a server that proves to be `host`.
    ///
    /// # Errors
    /// It does not prove that, or the stream breaks off.
    pub fn secured(self, config: &Arc<ClientConfig>, host: &str) -> io::Result<Stream> {
        let Stream::Plain(mut stream) = self else { return Ok(self) };
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let mut connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(Stream::Tls(Box::new(StreamOwned::new(connection, stream))))
    }

    /// Says that nothing more comes, and waits until the receiver has closed: it has read all by then.
    ///
    /// # Errors
    /// It broke off.
    pub fn finish(&mut self) -> io::Result<()> {
        if let Stream::Tls(stream) = self {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        self.socket().shutdown(std::net::Shutdown::Write)?;
        let mut rest = [0; 512];
        loop {
            match self.read(&mut rest) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                // It has closed without a close_notify, as many do.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}
