//! TLS for the service connection, in the form that tokio-postgres asks for it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use super::Channel;
use super::tls::{ClientTls, TlsError};

/// From the DER of a server's certificate to its `tls-server-end-point` (RFC 5929); none
/// where its signature has no digest of its own.
pub type EndPoint = fn(&[u8]) -> Option<Vec<u8>>;

/// What makes a service connection's channel one under TLS.
#[derive(Clone)]
pub struct ServiceTls {
    pub tls: Arc<ClientTls>,
    /// Name or address, as it stands in the settings.
    pub host: String,
    /// No SSLRequest goes before the handshake.
    pub direct: bool,
    pub end_point: EndPoint,
}

impl TlsConnect<Channel> for ServiceTls {
    type Stream = ServiceStream;
    type Error = TlsError;
    type Future = Pin<Box<dyn Future<Output = Result<ServiceStream, TlsError>> + Send>>;

    fn connect(self, mut channel: Channel) -> Self::Future {
        Box::pin(async move {
            channel.connect_tls(&self.tls, &self.host, self.direct).await?;
            Ok(ServiceStream { channel, end_point: self.end_point })
        })
    }
}

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
