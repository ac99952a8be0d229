//! Addresses of Wireshark's tables, which may have wildcards.

use std::net::{IpAddr, Ipv4Addr};

/// Set of addresses: every address, or those with a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressPattern {
    /// Every address of both families.
    Any,
    /// Addresses that agree in this number of leading bits.
    Prefix(IpAddr, u8),
}

impl AddressPattern {
    /// Creates the set of one address.
    pub const fn host(address: IpAddr) -> Self {
        Self::Prefix(address, if address.is_ipv4() { 32 } else { 128 })
    }

    /// Parses `*`, an address, an address with a prefix length, or an IPv4 address whose last octets are `*`.
    pub fn parse(text: &str) -> Option<Self> {
        if matches!(text, "" | "*") {
            return Some(Self::Any);
        }
        if let Some((address, length)) = text.split_once('/') {
            let (address, length): (IpAddr, u8) = (address.parse().ok()?, length.parse().ok()?);
            return (length <= Self::bits(address)).then_some(Self::Prefix(address, length));
        }
        if let Ok(address) = text.parse() {
            return Some(Self::host(address));
        }
        let fixed: Vec<&str> = text.split('.').take_while(|part| *part != "*").collect();
        let has_wildcards = text.split('.').skip(fixed.len()).all(|part| part == "*");
        let mut octets = [0; 4];
        if !has_wildcards || fixed.len() >= 4 || text.split('.').count() > 4 {
            return None;
        }
        for (octet, part) in octets.iter_mut().zip(&fixed) {
            *octet = part.parse().ok()?;
        }
        Some(Self::Prefix(Ipv4Addr::from(octets).into(), u8::try_from(fixed.len() * 8).ok()?))
    }

    /// Returns whether the set contains an address.
    pub fn matches(self, address: IpAddr) -> bool {
        let Self::Prefix(prefix, length) = self else { return true };
        if prefix.is_ipv4() != address.is_ipv4() {
            return false;
        }
        let unused = 128 - u32::from(length) - if prefix.is_ipv4() { 96 } else { 0 };
        (Self::value(prefix) ^ Self::value(address)).checked_shr(unused).unwrap_or(0) == 0
    }

    /// Returns the address if the set has one only.
    pub fn as_host(self) -> Option<IpAddr> {
        match self {
            Self::Prefix(address, length) if length == Self::bits(address) => Some(address),
            _ => None,
        }
    }

    const fn bits(address: IpAddr) -> u8 {
        if address.is_ipv4() { 32 } else { 128 }
    }

    fn value(address: IpAddr) -> u128 {
        match address {
            IpAddr::V4(v4) => u32::from(v4).into(),
            IpAddr::V6(v6) => v6.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_the_addresses_they_name() {
        let table: &[(&str, &[&str], &[&str])] = &[
            ("*", &["192.0.2.1", "2001:db8::1"], &[]),
            ("192.0.2.1", &["192.0.2.1"], &["192.0.2.2", "2001:db8::1"]),
            ("192.0.2.*", &["192.0.2.1", "192.0.2.255"], &["192.0.3.1"]),
            ("10.*.*.*", &["10.255.0.1"], &["11.0.0.1", "::a00:1"]),
            ("192.0.2.0/24", &["192.0.2.9"], &["192.0.3.9"]),
            ("0.0.0.0/0", &["192.0.2.9"], &["::1"]),
            ("2001:db8::/32", &["2001:db8:1::1"], &["2001:db9::1"]),
            ("::/0", &["::1"], &["192.0.2.1"]),
        ];
        for (text, inside, outside) in table {
            let pattern = AddressPattern::parse(text).unwrap();
            assert!(inside.iter().all(|address| pattern.matches(address.parse().unwrap())), "{text}");
            assert!(!outside.iter().any(|address| pattern.matches(address.parse().unwrap())), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["host", "192.0.2.0/33", "::/129", "192.*.2.1", "1.2.3.4.*", "*.1.2.3", "300.*"] {
            assert_eq!(AddressPattern::parse(text), None, "{text}");
        }
    }
}
