//! TLS for the service connection, in the form that tokio-postgres asks for it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

use super::Channel;

/// From the DER of a server's certificate to its `tls-server-end-point` (RFC 5929); none
/// where its signature has no digest of its own.
pub type EndPoint = fn(&[u8]) -> Option<Vec<u8>>;

/// A channel whose handshake is done.
pub struct ServiceStream {
    channel: Channel,
    end_point: EndPoint,
}

impl ServiceStream {
    /// A channel under TLS.
    #[must_use]
    pub fn new(channel: Channel, end_point: EndPoint) -> ServiceStream {
        ServiceStream { channel, end_point }
    }
}

impl TlsStream for ServiceStream {
    fn channel_binding(&self) -> ChannelBinding {
        let bound = self.channel.peer_certificate().and_then(self.end_point);
        bound.map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

impl AsyncRead for ServiceStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.channel).poll_read(context, buffer)
    }
}

impl AsyncWrite for ServiceStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.channel).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.channel).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.channel).poll_shutdown(context)
    }
}
