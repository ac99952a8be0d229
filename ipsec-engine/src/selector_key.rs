//! Selectors as the bits that they compare, and flows as the bits that are compared with them.

use core::net::IpAddr;

use ipsec_packet::{AddressRange, Detail, Flow, IpProto, PortRange, Selector, Upper};
use ipsec_sa::TunnelEndpoints;

use crate::hash_index::hash;

/// Source, destination, and protocol with ports, as words of 128, 128 and 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Words([u64; 5]);

/// Bits of the ports in the last word, and where type and code are.
pub(crate) const PORTS: u64 = 0xffff_ffff;

impl Words {
    pub(crate) fn new(source: Bits, destination: Bits, upper: u64) -> Self {
        let [s, d] = [source.0, destination.0].map(|bits| [bits >> 64, bits & u128::from(u64::MAX)]);
        let word = |bits: u128| u64::try_from(bits).unwrap_or(u64::MAX);
        let ([s0, s1], [d0, d1]) = (s.map(word), d.map(word));
        Self([s0, s1, d0, d1, upper])
    }

    pub(crate) fn and(&self, mask: &Self) -> Self {
        let ([a, b, c, d, e], [f, g, h, i, j]) = (self.0, mask.0);
        Self([a & f, b & g, c & h, d & i, e & j])
    }

    pub(crate) const fn upper(&self) -> u64 {
        let Self([.., upper]) = self;
        *upper
    }

    /// Returns the hash of masked words. The addresses of IPv4 are in the upper half of two of them.
    pub(crate) fn hash(&self, version: u8, seed: u64) -> u64 {
        let [s0, s1, d0, d1, upper] = self.0;
        if version == 4 { hash([seed, s0 | d0 >> 32, upper]) } else { hash([seed, s0, s1, d0, d1, upper]) }
    }
}

/// Address as a number: that of IPv4 in the uppermost 32 bits.
#[derive(Clone, Copy)]
pub(crate) struct Bits(u128);

impl Bits {
    pub(crate) const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self((address.to_bits() as u128) << 96),
            IpAddr::V6(address) => Self(address.to_bits()),
        }
    }

    /// Returns the bits that all addresses of a range have in common, as a mask.
    pub(crate) fn mask(range: &AddressRange) -> Self {
        let Self(differ) = Self(Self::of(range.first()).0 ^ Self::of(range.last()).0);
        let common = differ.leading_zeros();
        Self(match range.first() {
            IpAddr::V4(_) => leading_ones(common.min(32)),
            IpAddr::V6(_) => leading_ones(common),
        })
    }

    pub(crate) const fn and(self, mask: Self) -> Self {
        Self(self.0 & mask.0)
    }
}

fn leading_ones(bits: u32) -> u128 {
    !u128::MAX.checked_shr(bits).unwrap_or(0)
}

/// Bits that a selector compares, and their values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) version: u8,
    pub(crate) mask: Words,
    value: Words,
}

impl Key {
    pub(crate) fn of(selector: &Selector) -> Self {
        let (source, destination) = (Bits::mask(&selector.source), Bits::mask(&selector.destination));
        let (mask, value) = upper(selector.upper);
        Self {
            version: version(selector.source.first()),
            mask: Words::new(source, destination, mask),
            value: Words::new(
                Bits::of(selector.source.first()).and(source),
                Bits::of(selector.destination.first()).and(destination),
                value,
            ),
        }
    }

    /// Returns the key that compares only these bits of protocol and ports.
    pub(crate) const fn masked(self, upper: u64) -> Self {
        let (Words([a, b, c, d, mask]), Words([e, f, g, h, value])) = (self.mask, self.value);
        Self {
            version: self.version,
            mask: Words([a, b, c, d, mask & upper]),
            value: Words([e, f, g, h, value & upper]),
        }
    }

    /// Returns the key of all packets between the endpoints of a tunnel, as far as they are specified.
    pub(crate) fn between(ends: &TunnelEndpoints) -> Self {
        let ends = (ends.source.0, ends.destination.0);
        let version = ends.0.or(ends.1).map_or(0, version);
        let bits = |end: Option<IpAddr>| end.map_or(Bits(0), Bits::of);
        let mask = |end: Option<IpAddr>| end.map_or(Bits(0), |end| Bits::mask(&AddressRange::host(end)));
        Self {
            version,
            mask: Words::new(mask(ends.0), mask(ends.1), 0),
            value: Words::new(bits(ends.0), bits(ends.1), 0),
        }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.mask.hash(0, 0)
    }

    pub(crate) fn hash(&self) -> u64 {
        self.value.hash(self.version, self.seed())
    }
}

/// Returns the bits of protocol and ports that a selector compares, as a mask, and their values.
fn upper(upper: Upper) -> (u64, u64) {
    let protocol = |protocol: IpProto| (0xff << 32, u64::from(protocol.0) << 32);
    let port = |range: PortRange| {
        let mask = !u16::MAX.checked_shr((range.first ^ range.last).leading_zeros()).unwrap_or(0);
        (u64::from(mask), u64::from(range.first & mask))
    };
    match upper {
        Upper::Any => (0, 0),
        Upper::Protocol(wanted) => protocol(wanted),
        Upper::Ports(wanted, source, destination) => {
            let (mask, value) = wanted.map_or((0, 0), protocol);
            let ((source_mask, source), (destination_mask, destination)) = (port(source), port(destination));
            (mask | source_mask << 16 | destination_mask, value | source << 16 | destination)
        }
        Upper::Icmp(wanted, kind, code) => {
            let (mask, value) = protocol(wanted);
            let code_mask = if code.is_some() { 0xffff } else { 0 };
            let code = code.map_or(0, u64::from);
            (mask | 0xffff << 16 | code_mask, value | u64::from(kind) << 16 | code)
        }
    }
}

/// Values of a flow.
pub(crate) struct Point {
    pub(crate) version: u8,
    pub(crate) words: Words,
}

impl Point {
    /// Returns the addresses of packets of any protocol.
    pub(crate) fn between((source, destination): (IpAddr, IpAddr)) -> Self {
        Self { version: version(source), words: Words::new(Bits::of(source), Bits::of(destination), 0) }
    }

    pub(crate) fn of(flow: &Flow) -> Self {
        let detail = match flow.detail {
            Detail::None | Detail::Opaque => 0,
            Detail::Ports(source, destination) => u64::from(source) << 16 | u64::from(destination),
            Detail::Icmp(kind, code) => u64::from(kind) << 16 | u64::from(code),
        };
        let upper = u64::from(flow.protocol.0) << 32 | detail;
        let words = Words::new(Bits::of(flow.source), Bits::of(flow.destination), upper);
        Self { version: version(flow.source), words }
    }
}

pub(crate) const fn version(address: IpAddr) -> u8 {
    if address.is_ipv4() { 4 } else { 6 }
}
