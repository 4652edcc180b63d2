//! Dials a server: the name is resolved once, every address of it is judged, and one of
//! those very addresses is dialled.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::HostPort;
use crate::residency::{Date, Residency, Verdict};
use crate::transport::{Channel, Socket};

/// How long one address is tried.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Most addresses of one name that are looked at.
const ADDRESSES_MAX: usize = 16;

/// A server that was judged and may be dialled.
#[derive(Clone, Debug)]
pub struct Judged {
    pub host: HostPort,
    pub addresses: Vec<SocketAddr>,
    /// Empty where nothing is judged by region.
    pub region: Arc<str>,
}

/// Why no server could be reached.
#[derive(Debug)]
pub enum DialError {
    /// The name has no address.
    Unresolved {
        host: String,
        cause: std::io::Error,
    },
    /// Its region is not allowed (SG003).
    Refused {
        host: String,
        why: String,
    },
    Unreachable {
        host: String,
        cause: std::io::Error,
    },
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialError::Unresolved { host, cause } => write!(f, "{host}: cannot be resolved: {cause}"),
            DialError::Refused { host, why } => write!(f, "{host}: refused by residency: {why}"),
            DialError::Unreachable { host, cause } => write!(f, "{host}: cannot be reached: {cause}"),
        }
    }
}

/// Resolves and judges one server.
///
/// # Errors
/// It has no address, or one of them is outside the allowed regions.
pub async fn judge(host: &HostPort, residency: &Residency, today: Date) -> Result<Judged, DialError> {
    let unresolved = |cause| DialError::Unresolved { host: host.to_string(), cause };
    let found = tokio::net::lookup_host((host.host.as_str(), host.port)).await.map_err(unresolved)?;
    let addresses: Vec<SocketAddr> = found.take(ADDRESSES_MAX + 1).collect();
    if addresses.len() > ADDRESSES_MAX {
        let why = format!("the name has more than {ADDRESSES_MAX} addresses");
        return Err(DialError::Refused { host: host.to_string(), why });
    }
    let ips: Vec<_> = addresses.iter().map(SocketAddr::ip).collect();
    match residency.judge_upstream(&host.host, &ips, today) {
        Verdict::NotJudged => Ok(Judged { host: host.clone(), addresses, region: "".into() }),
        Verdict::Allowed { region } => Ok(Judged { host: host.clone(), addresses, region }),
        Verdict::Denied { why } => Err(DialError::Refused { host: host.to_string(), why }),
    }
}

/// Dials the addresses of a judged server in order.
///
/// # Errors
/// None of them answers in [`CONNECT_TIMEOUT`] each.
pub async fn dial(judged: &Judged) -> Result<(Channel, SocketAddr), DialError> {
    let mut cause = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for address in &judged.addresses {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let socket = Socket::Tcp(stream);
                socket.tune();
                return Ok((Channel::plain(socket), *address));
            }
            Ok(Err(error)) => cause = error,
            Err(_) => cause = std::io::Error::from(std::io::ErrorKind::TimedOut),
        }
    }
    Err(DialError::Unreachable { host: judged.host.to_string(), cause })
}

/// The first of `hosts` that may be dialled and answers.
///
/// # Errors
/// The last host's.
pub async fn first(
    hosts: &[HostPort],
    residency: &Residency,
    today: Date,
) -> Result<(Channel, SocketAddr), DialError> {
    let mut last = None;
    for host in hosts {
        let judged = match judge(host, residency, today).await {
            Ok(judged) => judged,
            Err(error) => {
                last = Some(error);
                continue;
            }
        };
        let reached = dial(&judged).await;
        metrics::gauge!("sealgate_upstream_up", "host" => host.to_string(), "region" => judged.region.to_string())
            .set(if reached.is_ok() { 1.0 } else { 0.0 });
        match reached {
            Ok(reached) => return Ok(reached),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or(DialError::Unresolved {
        host: "upstream.hosts".to_owned(),
        cause: std::io::Error::from(std::io::ErrorKind::InvalidInput),
    }))
}
