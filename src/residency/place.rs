//! From an address or a host name to a region, by the operator's own map.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::date::Date;

/// What a place is recognised by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Site {
    Network(IpNet),
    Host(HostPattern),
}

/// A host name, or `*.` and the end of one. Compared without regard to case or a final dot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostPattern {
    /// Lower case, without `*.` and without a final dot.
    name: String,
    wildcard: bool,
}

impl HostPattern {
    /// None for what is not a host name: an address, a lone `*`, a `*` elsewhere than in
    /// front, an empty label, or more than 253 bytes.
    #[must_use]
    pub fn parse(text: &str) -> Option<HostPattern> {
        let (wildcard, name) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let label_is_sound = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        let last_is_number =
            name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        let sound = name.len() <= 253 && name.split('.').all(label_is_sound) && !last_is_number;
        sound.then_some(HostPattern { name, wildcard })
    }

    /// `*.db.example` stands for every name below `db.example`, at any depth, not for
    /// `db.example` itself.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        if self.wildcard {
            host.strip_suffix(&self.name)
                .and_then(|front| front.strip_suffix('.'))
                .is_some_and(|front| !front.is_empty())
        } else {
            host == self.name
        }
    }

    /// A longer pattern is more specific; an exact name more than any wildcard.
    fn rank(&self) -> (bool, usize) {
        (!self.wildcard, self.name.len())
    }
}

/// One entry of the operator's map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    pub site: Site,
    pub region: Arc<str>,
    /// The area that the region belongs to, e.g. `EEA`.
    pub area: Option<Arc<str>>,
    /// The last day on which the entry holds.
    pub expires: Option<Date>,
}

impl Place {
    #[must_use]
    pub fn is_expired(&self, today: Date) -> bool {
        self.expires.is_some_and(|last| last < today)
    }

    fn says_the_same(&self, other: &Place) -> bool {
        self.region == other.region && self.area == other.area
    }
}

/// Where something is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Region {
    Known { name: Arc<str>, area: Option<Arc<str>> },
    Unknown,
}

impl Region {
    /// The region's name as it stands in records; `unknown` where it is not known.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        match self {
            Region::Known { name, .. } => name.clone(),
            Region::Unknown => Arc::from("unknown"),
        }
    }
}

/// The operator's map. At most [`Places::COUNT_MAX`] entries, searched in order.
#[derive(Clone, Debug, Default)]
pub struct Places {
    networks: Vec<(IpNet, Place)>,
    hosts: Vec<(HostPattern, Place)>,
}

impl Places {
    /// More entries than this are a fault of the configuration.
    pub const COUNT_MAX: usize = 4096;

    #[must_use]
    pub fn new(list: Vec<Place>) -> Places {
        let mut places = Places::default();
        for place in list {
            match place.site.clone() {
                Site::Network(network) => places.networks.push((unmap_network(network), place)),
                Site::Host(pattern) => places.hosts.push((pattern, place)),
            }
        }
        places
    }

    /// The region of the longest prefix that holds the address. An expired entry makes it
    /// unknown, it does not hand over to a shorter prefix: that one never spoke of this address.
    #[must_use]
    pub fn region_of(&self, address: IpAddr, today: Date) -> Region {
        let address = unmap(address);
        let detour = detour_of(address);
        let holding = self.networks.iter().filter(|(network, _)| {
            network.contains(&address) && detour.is_none_or(|detour| detour.contains(network))
        });
        most_specific(holding.map(|(network, place)| (network.prefix_len(), place)), today)
    }

    /// The region of the most specific pattern that stands for the name.
    #[must_use]
    pub fn region_of_host(&self, host: &str, today: Date) -> Region {
        let fitting = self.hosts.iter().filter(|(pattern, _)| pattern.matches(host));
        most_specific(fitting.map(|(pattern, place)| (pattern.rank(), place)), today)
    }
}

/// Two entries of equal rank that disagree make the region unknown.
fn most_specific<'a, R: Ord + Copy>(fitting: impl Iterator<Item = (R, &'a Place)>, today: Date) -> Region {
    let mut best: Option<(R, &Place)> = None;
    let mut agreed = true;
    for (rank, place) in fitting {
        match best {
            Some((best_rank, _)) if rank < best_rank => {}
            Some((best_rank, best_place)) if rank == best_rank => {
                agreed &= best_place.says_the_same(place) && !place.is_expired(today);
            }
            Some(_) | None => {
                best = Some((rank, place));
                agreed = !place.is_expired(today);
            }
        }
    }
    match best {
        Some((_, place)) if agreed => Region::Known { name: place.region.clone(), area: place.area.clone() },
        Some(_) | None => Region::Unknown,
    }
}

/// `::ffff:a.b.c.d` is `a.b.c.d`.
fn unmap(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

fn unmap_network(network: IpNet) -> IpNet {
    match network {
        IpNet::V6(six) if six.prefix_len() >= 96 => six
            .addr()
            .to_ipv4_mapped()
            .and_then(|four: Ipv4Addr| Ipv4Net::new(four, six.prefix_len() - 96).ok())
            .map_or(network, IpNet::V4),
        IpNet::V4(_) | IpNet::V6(_) => network,
    }
}

/// Ranges whose addresses say nothing of where the far end is: translated (NAT64, RFC 6052
/// and 8215), tunnelled (6to4, Teredo), or good only with a zone (link-local). An entry
/// speaks for them only if it lies inside the range.
fn detour_of(address: IpAddr) -> Option<IpNet> {
    const DETOURS: [(Ipv6Addr, u8); 5] = [
        (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96),
        (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48),
        (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
        (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32),
        (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    ];
    DETOURS
        .into_iter()
        .filter_map(|(base, length)| Ipv6Net::new(base, length).ok())
        .map(IpNet::V6)
        .find(|range| range.contains(&address))
}
