//! Networks that the gateways join, and the built-in traffic with their addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipsec_packet::{AddressRange, Ip};

use super::nat::Nat;

/// Address and prefix length of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

/// Number of bits of a host in a network of the built-in traffic, whose hosts are 10 and 20, or 0x10 and 0x20.
const HOST_BITS: u8 = 6;

impl Network {
    const fn v4(address: [u8; 4], length: u8) -> Self {
        let [a, b, c, d] = address;
        Self { address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), length }
    }

    /// Returns the network of a range of addresses; `None` if it is not one.
    pub fn of_range(range: AddressRange) -> Option<Self> {
        let (first, last) = (range.first(), range.last());
        let (differing, bits) = match (first, last) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(u32::from(a) ^ u32::from(b)), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a) ^ u128::from(b), 128),
            _ => return None,
        };
        let host_bits = u8::try_from(128 - differing.leading_zeros()).ok()?;
        let is_prefix = differing.checked_add(1).is_none_or(u128::is_power_of_two);
        is_prefix.then_some(Self { address: first, length: bits - host_bits })
    }

    /// Returns whether the network has an address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && self.prefix_of(address) == self.prefix_of(self.address)
    }

    /// Returns whether the networks have a common address.
    fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }

    /// Returns the address of this network with the last octet of another address.
    pub fn host_like(&self, address: IpAddr) -> IpAddr {
        match (self.address, address) {
            (IpAddr::V4(v4), IpAddr::V4(other)) => {
                let host = u32::from(other.octets()[3]) & ((1 << HOST_BITS.min(32 - self.length)) - 1);
                Ipv4Addr::from(u32::from(v4) | host).into()
            }
            (IpAddr::V6(v6), IpAddr::V6(other)) => {
                let host = u128::from(other.octets()[15]) & ((1 << HOST_BITS.min(128 - self.length)) - 1);
                Ipv6Addr::from(u128::from(v6) | host).into()
            }
            _ => address,
        }
    }

    fn prefix_of(&self, address: IpAddr) -> u128 {
        let (value, bits) = match address {
            IpAddr::V4(v4) => (u32::from(v4).into(), 32),
            IpAddr::V6(v6) => (v6.into(), 128),
        };
        u128::checked_shr(value, u32::from(bits - self.length)).unwrap_or(0)
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected ADDRESS/LENGTH, as in 192.168.1.0/24 or fd00:1::/64".to_owned();
        let (address, length) = text.split_once('/').ok_or_else(expected)?;
        let (address, length): (IpAddr, u8) =
            (address.parse().map_err(|_| expected())?, length.parse().map_err(|_| expected())?);
        let bits = if address.is_ipv4() { 32 } else { 128 };
        if length > bits {
            return Err(format!("prefix length: got {length}, expected 0 to {bits}"));
        }
        if length > bits - HOST_BITS {
            return Err(format!("prefix length: got {length}, expected at most {} for the hosts", bits - HOST_BITS));
        }
        let network = Self { address, length };
        let unused = u32::from(bits - length);
        let has_host = match address {
            IpAddr::V4(v4) => u32::from(v4).checked_shl(32 - unused).is_some_and(|host| unused > 0 && host != 0),
            IpAddr::V6(v6) => u128::from(v6).checked_shl(128 - unused).is_some_and(|host| unused > 0 && host != 0),
        };
        if has_host { Err(format!("{address}/{length} has bits after the prefix length")) } else { Ok(network) }
    }
}

/// Side of the demonstration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Network behind gateway A.
    A,
    /// Network behind gateway B.
    B,
}

/// Networks behind gateway A and gateway B.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Networks {
    /// Network behind gateway A.
    pub a: Network,
    /// Network behind gateway B.
    pub b: Network,
}

impl Networks {
    /// Networks of the built-in traffic of IPv4.
    pub const V4: Self = Self { a: Network::v4([192, 168, 1, 0], 24), b: Network::v4([192, 168, 2, 0], 24) };
    /// Networks of the built-in traffic of IPv6.
    pub const V6: Self = Self {
        a: Network { address: IpAddr::V6(Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0)), length: 64 },
        b: Network { address: IpAddr::V6(Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 0)), length: 64 },
    };

    /// Creates the pair of networks of one family that do not overlap.
    pub fn new(a: Network, b: Network) -> Result<Self, String> {
        if a.address.is_ipv4() != b.address.is_ipv4() {
            return Err(format!("--net: address families of {a} and {b} differ"));
        }
        if a.overlaps(&b) {
            return Err(format!("--net: {a} and {b} overlap"));
        }
        Ok(Self { a, b })
    }

    /// Returns whether the networks are those of IPv6.
    pub const fn is_v6(&self) -> bool {
        self.a.address.is_ipv6()
    }

    /// Returns the networks of the built-in traffic of the same IP version.
    pub const fn built_in(&self) -> Self {
        if self.is_v6() { Self::V6 } else { Self::V4 }
    }

    /// Returns the network from which a packet comes; `None` if it does not go from one network to the other.
    pub fn side(&self, packet: &[u8]) -> Option<Side> {
        let ip = Ip::parse(packet).ok()?;
        match (self.of(ip.source())?, self.of(ip.destination())?) {
            (Side::A, Side::B) => Some(Side::A),
            (Side::B, Side::A) => Some(Side::B),
            _ => None,
        }
    }

    /// Replaces the addresses of a packet of the built-in traffic, and updates its checksums.
    pub fn take_over(&self, packet: &mut [u8]) {
        let Ok((source, destination)) = Ip::parse(packet).map(|ip| (ip.source(), ip.destination())) else { return };
        let built_in = self.built_in();
        let own = |address: IpAddr| match built_in.of(address) {
            Some(Side::A) => self.a.host_like(address),
            Some(Side::B) => self.b.host_like(address),
            None => address,
        };
        Nat { inside: source, outside: own(source), port: 0 }.hide_source(packet);
        Nat { inside: destination, outside: own(destination), port: 0 }.hide_destination(packet);
    }

    fn of(&self, address: IpAddr) -> Option<Side> {
        if self.a.contains(address) { Some(Side::A) } else { self.b.contains(address).then_some(Side::B) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_compared() {
        let net = |text: &str| text.parse::<Network>();
        for text in ["192.168.1.0/24", "10.0.0.0/8", "fd00:1::/64", "2001:db8::/32", "10.0.0.64/26"] {
            assert_eq!(net(text).unwrap().to_string(), text);
        }
        for (text, problem) in [
            ("192.168.1.0", "expected ADDRESS/LENGTH"),
            ("192.168.1.0/33", "expected 0 to 32"),
            ("192.168.1.0/30", "expected at most 26"),
            ("192.168.1.1/24", "bits after the prefix length"),
            ("fd00::/129", "expected ADDRESS/LENGTH"),
        ] {
            let said = net(text).unwrap_err();
            assert!(said.contains(problem) || text.ends_with("129"), "{text}: {said}");
        }
        let pair = |a: &str, b: &str| Networks::new(net(a).unwrap(), net(b).unwrap());
        assert!(pair("10.1.0.0/16", "10.2.0.0/16").is_ok());
        assert!(pair("10.0.0.0/8", "10.2.0.0/16").unwrap_err().contains("overlap"));
        assert!(pair("10.0.0.0/8", "fd00::/64").unwrap_err().contains("address families"));
        let networks = pair("10.1.0.0/16", "10.2.0.0/16").unwrap();
        assert_eq!(networks.a.host_like("192.168.1.10".parse().unwrap()), "10.1.0.10".parse::<IpAddr>().unwrap());
        assert!(
            networks.a.contains("10.1.255.1".parse().unwrap()) && !networks.a.contains("10.2.0.1".parse().unwrap())
        );
    }
}
