//! Dials a server: the name is resolved once, every address of it is judged, and one of
//! those very addresses is dialled. Only what was judged has a [`Route`].

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::faults::Faults;
use super::outlook::Outlook;
use super::standing::{Standing, Standings};
use crate::config::{Endpoint, HostPort, TlsMode, Vanished};
use crate::residency::{Date, Residency, Verdict};
use crate::transport::tls::ClientTls;
use crate::transport::{Channel, Socket};
use crate::wire::startup::put_ssl_request;

/// How long one address is tried where nothing else is configured.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Most addresses of one name that are looked at.
const ADDRESSES_MAX: usize = 16;

/// Where a process of this machine is, for the judgement by region.
const LOCAL: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// What is dialled in the end.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// One address of a server that may be dialled. Made by [`Dialer::judge`] alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    pub host: Endpoint,
    /// Which of the hosts it is.
    pub index: usize,
    address: Address,
    /// Empty where nothing is judged by region.
    pub region: Arc<str>,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Tcp(address) => write!(f, "{address}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
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
    /// It answers, and not with the TLS that is asked for.
    Tls {
        host: String,
        cause: String,
    },
    /// Every server that answers is a standby.
    NoneWritable,
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialError::Unresolved { host, cause } => write!(f, "{host}: cannot be resolved: {cause}"),
            DialError::Refused { host, why } => write!(f, "{host}: refused by residency: {why}"),
            DialError::Unreachable { host, cause } => write!(f, "{host}: cannot be reached: {cause}"),
            DialError::Tls { host, cause } => write!(f, "{host}: TLS: {cause}"),
            DialError::NoneWritable => write!(f, "upstream.hosts: none of them takes writes"),
        }
    }
}

impl std::error::Error for DialError {}

/// How TLS is spoken to the servers.
pub struct Encryption {
    pub mode: TlsMode,
    pub client: ClientTls,
}

/// The way to the servers of one configuration.
pub struct Dialer {
    hosts: Vec<Endpoint>,
    residency: Arc<Residency>,
    /// None: no TLS.
    encryption: Option<Encryption>,
    connect_timeout: Duration,
    vanished: Vanished,
    standings: Standings,
    outlook: Outlook,
    /// The region that each host was in last; empty where it is not known.
    regions: Mutex<Vec<Arc<str>>>,
    /// Of the TLS of each host, and of the service account there.
    tls: Faults,
    account: Faults,
}

impl Dialer {
    #[must_use]
    pub fn new(
        hosts: Vec<Endpoint>,
        residency: Arc<Residency>,
        encryption: Option<Encryption>,
        connect_timeout: Duration,
    ) -> Dialer {
        let count = hosts.len();
        let (standings, tls, account) = (Standings::new(count), Faults::new(count), Faults::new(count));
        let vanished = Vanished::default();
        let (outlook, regions) = (Outlook::new(count), Mutex::new(vec!["".into(); count]));
        Dialer {
            hosts,
            residency,
            encryption,
            connect_timeout,
            vanished,
            standings,
            outlook,
            regions,
            tls,
            account,
        }
    }

    /// Gives servers up that have vanished as the configuration has it.
    #[must_use]
    pub fn with_vanished(self, vanished: Vanished) -> Dialer {
        Dialer { vanished, ..self }
    }

    /// To one server, in plain, without a judgement by region.
    #[must_use]
    pub fn plain(server: SocketAddr) -> Dialer {
        let host = HostPort { host: server.ip().to_string(), port: server.port() };
        let residency = Arc::new(Residency::unjudged());
        Dialer::new(vec![Endpoint::Tcp(host)], residency, None, CONNECT_TIMEOUT)
    }

    #[must_use]
    pub fn hosts(&self) -> &[Endpoint] {
        &self.hosts
    }

    #[must_use]
    pub fn residency(&self) -> &Arc<Residency> {
        &self.residency
    }

    /// What is known of each host.
    #[must_use]
    pub fn standings(&self) -> &Standings {
        &self.standings
    }

    /// What the looks at each host have found.
    #[must_use]
    pub fn outlook(&self) -> &Outlook {
        &self.outlook
    }

    /// Is the service account let in?
    #[must_use]
    pub(super) fn account(&self) -> &Faults {
        &self.account
    }

    /// May another host take the place of one that is a standby?
    #[must_use]
    pub fn chooses(&self) -> bool {
        self.hosts.len() > 1
    }

    /// Resolves and judges one server: every address of it.
    ///
    /// # Errors
    /// It has no address, or one of them is outside the allowed regions.
    pub async fn judge(&self, index: usize, today: Date) -> Result<Vec<Route>, DialError> {
        let Some(host) = self.hosts.get(index) else { return Err(DialError::NoneWritable) };
        let (name, addresses) = resolve(host).await?;
        let ips: Vec<_> = addresses
            .iter()
            .map(|address| match address {
                Address::Tcp(address) => address.ip(),
                Address::Unix(_) => LOCAL,
            })
            .collect();
        let region = match self.residency.judge_upstream(&name, &ips, today) {
            Verdict::NotJudged => "".into(),
            Verdict::Allowed { region } => region,
            Verdict::Denied { why } => return Err(DialError::Refused { host: host.to_string(), why }),
        };
        let route = |address| Route { host: host.clone(), index, address, region: Arc::clone(&region) };
        Ok(addresses.into_iter().map(route).collect())
    }

    /// Dials one address, and speaks TLS to it as the configuration has it: on its first way,
    /// or on the `other` one, if it has two. What is wrong with its TLS is logged.
    ///
    /// # Errors
    /// It does not answer within the timeout, or not as it should.
    pub async fn reach(&self, route: &Route, other: bool) -> Result<Channel, DialError> {
        let reached = timeout(self.connect_timeout, self.encrypt(route, other)).await;
        let reached =
            reached.unwrap_or_else(|_| Err(unreachable(route, std::io::ErrorKind::TimedOut.into())));
        match &reached {
            Ok(channel) if channel.tls().is_some() => self.tls.none(route),
            Err(DialError::Tls { cause, .. }) => {
                self.tls.found(route, cause, "its TLS is not what is asked for: no session goes there")
            }
            Ok(_) | Err(_) => {}
        }
        reached
    }

    /// Does a login that the server refused before it asked for anything deserve a second try?
    #[must_use]
    pub fn has_other_way(&self, route: &Route) -> bool {
        matches!(route.address, Address::Tcp(_))
            && self.encryption.as_ref().is_some_and(|encryption| encryption.mode.has_other_way())
    }

    /// The ways to one address, those with TLS first.
    #[must_use]
    pub fn ways_tls_first(&self, route: &Route) -> &'static [bool] {
        let tls_first =
            self.encryption.as_ref().is_some_and(|encryption| encryption.mode.asks_for_tls(false));
        match (self.has_other_way(route), tls_first) {
            (false, _) => &[false],
            (true, true) => &[false, true],
            (true, false) => &[true, false],
        }
    }

    /// One address, in plain.
    async fn connect(&self, route: &Route) -> Result<Channel, DialError> {
        let failed = |cause| unreachable(route, cause);
        let socket = match &route.address {
            Address::Tcp(address) => Socket::Tcp(TcpStream::connect(address).await.map_err(failed)?),
            Address::Unix(path) => Socket::Unix(UnixStream::connect(path).await.map_err(failed)?),
        };
        socket.tune(self.vanished);
        Ok(Channel::plain(socket))
    }

    async fn encrypt(&self, route: &Route, other: bool) -> Result<Channel, DialError> {
        let mut channel = self.connect(route).await?;
        let Endpoint::Tcp(host) = &route.host else { return Ok(channel) };
        let Some(Encryption { mode, client }) = &self.encryption else { return Ok(channel) };
        if !mode.asks_for_tls(other) {
            return Ok(channel);
        }
        let broken = |cause: &dyn fmt::Display| DialError::Tls {
            host: route.host.to_string(),
            cause: cause.to_string(),
        };
        let mut request = Vec::new();
        put_ssl_request(&mut request);
        channel.write_all(&request).await.map_err(|error| broken(&error))?;
        match channel.read_byte().await.map_err(|error| broken(&error))? {
            Some(b'S') => match channel.connect_tls(client, &host.host, false).await {
                Ok(()) => Ok(channel),
                // Whatever it was, the certificate too: a handshake that fails is for libpq
                // as good as none, and goes on in plain on another connection.
                Err(error) if mode.may_be_plain() => {
                    self.tls.found(route, &error.to_string(), "its TLS fails: sessions go in plain");
                    self.connect(route).await
                }
                Err(error) => Err(broken(&error)),
            },
            Some(b'N') if mode.may_be_plain() => Ok(channel),
            Some(b'N') => Err(broken(&"the server does not offer it")),
            Some(_) => Err(broken(&"the server does not answer the request for it")),
            None => Err(broken(&"the server closed the connection")),
        }
    }

    /// The first of one server's addresses that answers.
    ///
    /// # Errors
    /// The last one's; the host counts as down for a while.
    pub async fn reach_host(&self, index: usize, today: Date) -> Result<(Channel, Arc<Route>), DialError> {
        let reached = self.reach_judged(index, today).await;
        if !matches!(reached, Err(DialError::Refused { .. })) {
            self.count(index, reached.as_ref().ok().map(|(_, route)| &route.region));
        }
        if reached.is_err() {
            self.standings.set(index, Standing::Down, Instant::now());
        }
        reached
    }

    /// `sealgate_upstream_up`, by the region that the host was in last where it is down. None: it is.
    pub(super) fn count(&self, index: usize, reached: Option<&Arc<str>>) {
        let Some(host) = self.hosts.get(index) else { return };
        let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = regions.get_mut(index) else { return };
        let up = |region: &str, up: f64| {
            metrics::gauge!("sealgate_upstream_up", "host" => host.to_string(), "region" => region.to_owned())
                .set(up);
        };
        match reached {
            None => up(last, 0.0),
            Some(region) => {
                if last != region {
                    up(last, 0.0);
                    *last = Arc::clone(region);
                }
                up(region, 1.0);
            }
        }
    }

    async fn reach_judged(&self, index: usize, today: Date) -> Result<(Channel, Arc<Route>), DialError> {
        let mut last = None;
        for route in self.judge(index, today).await? {
            match self.reach(&route, false).await {
                Ok(channel) => return Ok((channel, Arc::new(route))),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(DialError::NoneWritable))
    }

    /// The first host that may be dialled and answers, in the order of [`Standings::order`].
    ///
    /// # Errors
    /// The last host's.
    pub async fn first(&self, today: Date) -> Result<(Channel, Arc<Route>), DialError> {
        let mut last = None;
        for index in self.standings.order(Instant::now()) {
            match self.reach_host(index, today).await {
                Ok(reached) => return Ok(reached),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(DialError::NoneWritable))
    }
}

fn unreachable(route: &Route, cause: std::io::Error) -> DialError {
    DialError::Unreachable { host: route.host.to_string(), cause }
}

/// The name that is judged, and its addresses.
async fn resolve(host: &Endpoint) -> Result<(String, Vec<Address>), DialError> {
    let Endpoint::Tcp(tcp) = host else {
        let file = host.socket_file().unwrap_or_default();
        return Ok(("localhost".to_owned(), vec![Address::Unix(file)]));
    };
    let unresolved = |cause| DialError::Unresolved { host: host.to_string(), cause };
    let found = tokio::net::lookup_host((tcp.host.as_str(), tcp.port)).await.map_err(unresolved)?;
    let addresses: Vec<Address> = found.take(ADDRESSES_MAX + 1).map(Address::Tcp).collect();
    if addresses.len() > ADDRESSES_MAX {
        let why = format!("the name has more than {ADDRESSES_MAX} addresses");
        return Err(DialError::Refused { host: host.to_string(), why });
    }
    Ok((tcp.host.clone(), addresses))
}

/// Today, UTC.
#[must_use]
pub fn today() -> Date {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Date::from_unix_days(since.as_secs() / 86_400)
}
