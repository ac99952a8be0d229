//! Configuration of a client: the values of Mode Config (draft-dukes-ike-mode-cfg-02).

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ike_codec::{AttributeWriter, Attributes, ConfigAttribute, NoSpace};

/// Text of at most `N` octets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShortText<const N: usize> {
    octets: [u8; N],
    len: usize,
}

impl<const N: usize> ShortText<N> {
    /// Copies the first `N` octets of a text.
    pub fn new(text: &[u8]) -> Self {
        let mut octets = [0; N];
        octets.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        Self { octets, len: text.len().min(N) }
    }

    /// Returns the octets of the text.
    pub fn octets(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }
}

impl<const N: usize> Default for ShortText<N> {
    fn default() -> Self {
        Self { octets: [0; N], len: 0 }
    }
}

impl<const N: usize> fmt::Debug for ShortText<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.octets().escape_ascii())
    }
}

/// IPv4 network behind a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientNetwork {
    /// Address of the network.
    pub address: Ipv4Addr,
    /// Mask of the network.
    pub mask: Ipv4Addr,
}

/// IPv6 network behind a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientNetworkV6 {
    /// Address of the network.
    pub address: Ipv6Addr,
    /// Length of its prefix, at most 128.
    pub prefix: u8,
}

/// Configuration of a client, which a server assigns to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ClientConfig {
    /// Address of the client (INTERNAL_IP4_ADDRESS).
    pub address: Option<Ipv4Addr>,
    /// Mask of the network of the client (INTERNAL_IP4_NETMASK).
    pub netmask: Option<Ipv4Addr>,
    /// Name servers (INTERNAL_IP4_DNS), the first four of them.
    pub dns: [Option<Ipv4Addr>; 4],
    /// NetBIOS name servers (INTERNAL_IP4_NBNS), the first four of them.
    pub nbns: [Option<Ipv4Addr>; 4],
    /// IPv6 address of the client (INTERNAL_IP6_ADDRESS).
    pub address_v6: Option<Ipv6Addr>,
    /// Mask of the IPv6 network of the client (INTERNAL_IP6_NETMASK).
    pub netmask_v6: Option<Ipv6Addr>,
    /// Name servers with IPv6 addresses (INTERNAL_IP6_DNS), the first two of them.
    pub dns_v6: [Option<Ipv6Addr>; 2],
    /// IPv6 networks that are reached through the server (INTERNAL_IP6_SUBNET), the first four of them; all networks if
    /// there are none.
    pub networks_v6: [Option<ClientNetworkV6>; 4],
    /// Time in seconds for which the address is assigned (INTERNAL_ADDRESS_EXPIRY).
    pub expiry: Option<u32>,
    /// Networks that are reached through the server (UNITY_SPLIT_INCLUDE, INTERNAL_IP4_SUBNET), the first eight of
    /// them; all networks if there are none.
    pub split_include: [Option<ClientNetwork>; 8],
    /// Networks of the client that are not reached through the server (UNITY_LOCAL_LAN), the first four of them.
    pub split_exclude: [Option<ClientNetwork>; 4],
    /// Domains whose names the name servers resolve, with commas between them (UNITY_SPLITDNS_NAME), the first 128
    /// octets; all domains if there are none.
    pub split_dns: ShortText<128>,
    /// Default domain (UNITY_DEF_DOMAIN), its first 64 octets.
    pub domain: ShortText<64>,
    /// Text for the user (UNITY_BANNER), its first 128 octets.
    pub banner: ShortText<128>,
}

/// Octets of one network in UNITY_SPLIT_INCLUDE and UNITY_LOCAL_LAN: address, mask, protocol and two ports; and in
/// INTERNAL_IP4_SUBNET.
const UNITY_NETWORK: usize = 14;
const SUBNET: usize = 8;
/// Octets of INTERNAL_IP6_SUBNET: address and length of the prefix. Some servers write INTERNAL_IP6_ADDRESS so, too.
const SUBNET_V6: usize = 17;

impl ClientConfig {
    /// Reads the attributes of a server. Unknown ones, and those with another length than their type has, are ignored.
    pub(crate) fn read(attributes: &Attributes<'_>) -> Self {
        let mut config = Self::default();
        for attribute in attributes {
            let octets = attribute.bytes().unwrap_or_default();
            let address = || <[u8; 4]>::try_from(octets).ok().map(Ipv4Addr::from).filter(|a| !a.is_unspecified());
            match ConfigAttribute(attribute.kind) {
                ConfigAttribute::IP4_ADDRESS => config.address = config.address.or(address()),
                ConfigAttribute::IP4_NETMASK => config.netmask = config.netmask.or(address()),
                ConfigAttribute::IP4_DNS => add(&mut config.dns, address()),
                ConfigAttribute::IP4_NBNS => add(&mut config.nbns, address()),
                ConfigAttribute::IP6_ADDRESS => config.address_v6 = config.address_v6.or(address_v6(octets)),
                ConfigAttribute::IP6_NETMASK => config.netmask_v6 = config.netmask_v6.or(address_v6(octets)),
                ConfigAttribute::IP6_DNS => add(&mut config.dns_v6, address_v6(octets)),
                ConfigAttribute::IP6_SUBNET => add(&mut config.networks_v6, network_v6(octets)),
                ConfigAttribute::ADDRESS_EXPIRY => {
                    config.expiry = attribute.number().and_then(|seconds| u32::try_from(seconds).ok());
                }
                ConfigAttribute::UNITY_SPLIT_INCLUDE => add_networks(&mut config.split_include, octets, UNITY_NETWORK),
                ConfigAttribute::UNITY_LOCAL_LAN => add_networks(&mut config.split_exclude, octets, UNITY_NETWORK),
                ConfigAttribute::IP4_SUBNET => add_networks(&mut config.split_include, octets, SUBNET),
                ConfigAttribute::UNITY_SPLIT_DNS => config.split_dns = ShortText::new(octets),
                ConfigAttribute::UNITY_DEFAULT_DOMAIN => config.domain = ShortText::new(octets),
                ConfigAttribute::UNITY_BANNER => config.banner = ShortText::new(octets),
                _ => {}
            }
        }
        config
    }

    /// Writes the values of an attribute, of which there may be none.
    pub(crate) fn write(&self, attribute: ConfigAttribute, list: &mut AttributeWriter<'_>) -> Result<(), NoSpace> {
        let mut put = |octets: &[u8]| list.variable(attribute.0, octets);
        match attribute {
            ConfigAttribute::IP4_ADDRESS => write_all(&[self.address], put),
            ConfigAttribute::IP4_NETMASK => write_all(&[self.netmask], put),
            ConfigAttribute::IP4_DNS => write_all(&self.dns, put),
            ConfigAttribute::IP4_NBNS => write_all(&self.nbns, put),
            ConfigAttribute::IP6_ADDRESS => write_all(&[self.address_v6], put),
            ConfigAttribute::IP6_NETMASK => write_all(&[self.netmask_v6], put),
            ConfigAttribute::IP6_DNS => write_all(&self.dns_v6, put),
            ConfigAttribute::IP6_SUBNET => self.networks_v6.iter().flatten().try_for_each(|network| {
                let mut octets = [0; SUBNET_V6];
                let address = network.address.octets();
                let values = address.iter().chain(core::iter::once(&network.prefix));
                octets.iter_mut().zip(values).for_each(|(to, from)| *to = *from);
                put(&octets)
            }),
            ConfigAttribute::ADDRESS_EXPIRY => self.expiry.map_or(Ok(()), |seconds| put(&seconds.to_be_bytes())),
            ConfigAttribute::UNITY_DEFAULT_DOMAIN if self.domain.len > 0 => put(self.domain.octets()),
            ConfigAttribute::UNITY_BANNER if self.banner.len > 0 => put(self.banner.octets()),
            ConfigAttribute::UNITY_SPLIT_DNS if self.split_dns.len > 0 => put(self.split_dns.octets()),
            ConfigAttribute::UNITY_SPLIT_INCLUDE => write_networks(&self.split_include, put),
            ConfigAttribute::UNITY_LOCAL_LAN => write_networks(&self.split_exclude, put),
            _ => Ok(()),
        }
    }
}

/// Reads networks of `len` octets each, of which the first eight are address and mask.
fn add_networks<const N: usize>(list: &mut [Option<ClientNetwork>; N], octets: &[u8], len: usize) {
    for network in octets.chunks_exact(len) {
        let Some((&[a, b, c, d, e, f, g, h], _)) = network.split_first_chunk::<8>() else { continue };
        let (address, mask) = (Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h));
        // The network 0.0.0.0/0 of some servers means all networks.
        add(list, Some(ClientNetwork { address, mask }).filter(|_| !mask.is_unspecified()));
    }
}

/// Writes networks of Unity, each as an attribute of its own, as racoon sends them.
fn write_networks(
    networks: &[Option<ClientNetwork>],
    mut put: impl FnMut(&[u8]) -> Result<(), NoSpace>,
) -> Result<(), NoSpace> {
    networks.iter().flatten().try_for_each(|network| {
        let (address, mask) = (network.address.octets(), network.mask.octets());
        let mut octets = [0; UNITY_NETWORK];
        octets.iter_mut().zip(address.iter().chain(&mask)).for_each(|(to, from)| *to = *from);
        put(&octets)
    })
}

/// Writes addresses of one IP version.
fn write_all<A: Copy + Into<IpAddr>>(
    addresses: &[Option<A>],
    mut put: impl FnMut(&[u8]) -> Result<(), NoSpace>,
) -> Result<(), NoSpace> {
    addresses.iter().flatten().try_for_each(|address| match (*address).into() {
        IpAddr::V4(v4) => put(&v4.octets()),
        IpAddr::V6(v6) => put(&v6.octets()),
    })
}

/// Reads an IPv6 address, after which the length of a prefix may follow.
fn address_v6(octets: &[u8]) -> Option<Ipv6Addr> {
    let (&address, rest) = octets.split_first_chunk::<16>()?;
    Some(Ipv6Addr::from(address)).filter(|address| !address.is_unspecified() && rest.len() <= 1)
}

/// Reads an IPv6 network. That of all addresses means no particular one.
fn network_v6(octets: &[u8]) -> Option<ClientNetworkV6> {
    let (&address, rest) = octets.split_first_chunk::<16>()?;
    let &[prefix @ 1..=128] = rest else { return None };
    Some(ClientNetworkV6 { address: address.into(), prefix })
}

/// Puts a value into the first free place, if there is one.
fn add<T, const N: usize>(list: &mut [Option<T>; N], value: Option<T>) {
    if let Some(slot) = list.iter_mut().find(|slot| slot.is_none()) {
        *slot = value;
    }
}
