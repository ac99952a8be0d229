//! Variables of the environment of scripts, with the names and formats of racoon.conf(5).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use ike_v1::{ClientConfig, ClientNetwork, Identity, Path};
use serde::{Deserialize, Serialize};

/// Longest value in octets.
pub(super) const MAX_VALUE: usize = 1024;

/// Declares the variables with their names in the environment and the kinds of their values.
macro_rules! variables {
    ($($variant:ident = $name:literal is $kind:ident, $text:literal;)*) => {
        /// Variable of the environment of a script.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Variable {
            $(#[doc = $text] $variant,)*
        }

        impl Variable {
            /// Returns the name in the environment.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            const fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind,)* }
            }
        }
    };
}

variables! {
    LocalAddress = "LOCAL_ADDR" is Address, "Address of this host in phase 1.";
    LocalPort = "LOCAL_PORT" is Port, "UDP port of this host in phase 1.";
    RemoteAddress = "REMOTE_ADDR" is Address, "Address of the peer in phase 1.";
    RemotePort = "REMOTE_PORT" is Port, "UDP port of the peer in phase 1.";
    RemoteId = "REMOTE_ID" is Text, "Authenticated identity of the peer.";
    InternalAddress = "INTERNAL_ADDR4" is Addresses4, "Address that the server has assigned.";
    InternalNetmask = "INTERNAL_NETMASK4" is Addresses4, "Mask of the network of the assigned address.";
    InternalLength = "INTERNAL_CIDR4" is Length, "Length of the prefix of the mask.";
    InternalDns = "INTERNAL_DNS4" is Addresses4, "First name server.";
    InternalDnsList = "INTERNAL_DNS4_LIST" is Addresses4, "Name servers.";
    InternalWins = "INTERNAL_WINS4" is Addresses4, "First NetBIOS name server.";
    InternalWinsList = "INTERNAL_WINS4_LIST" is Addresses4, "NetBIOS name servers.";
    SplitInclude = "SPLIT_INCLUDE" is Networks, "Networks behind the server, with their masks.";
    SplitIncludeCidr = "SPLIT_INCLUDE_CIDR" is Networks, "Networks behind the server, with prefix lengths.";
    SplitLocal = "SPLIT_LOCAL" is Networks, "Networks that are not behind the server, with their masks.";
    SplitLocalCidr = "SPLIT_LOCAL_CIDR" is Networks, "Networks that are not behind the server, with prefix lengths.";
    DefaultDomain = "DEFAULT_DOMAIN" is Text, "Default domain.";
    Banner = "BANNER" is Text, "Text for the user.";
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Kind of a value.
enum Kind {
    /// IPv4 address or IPv6 address.
    Address,
    /// UDP port in decimal digits.
    Port,
    /// IPv4 addresses, separated by blanks; possibly none.
    Addresses4,
    /// Length of a prefix, or nothing.
    Length,
    /// IPv4 networks with masks or lengths, separated by blanks; possibly none.
    Networks,
    /// Text of printable ASCII characters.
    Text,
}

impl Variable {
    /// Returns whether a text is a value of the variable.
    pub fn accepts(self, value: &str) -> bool {
        let all = |is_valid: fn(&str) -> bool| value.is_empty() || value.split(' ').all(is_valid);
        is_printable(value.as_bytes())
            && match self.kind() {
                Kind::Address => value.parse::<IpAddr>().is_ok(),
                Kind::Port => value.parse::<u16>().is_ok(),
                Kind::Addresses4 => all(|one| one.parse::<Ipv4Addr>().is_ok()),
                Kind::Length => value.is_empty() || is_length(value),
                Kind::Networks => all(|one| {
                    let is_mask = |mask: &str| is_length(mask) || mask.parse::<Ipv4Addr>().is_ok();
                    one.split_once('/').is_some_and(|(own, mask)| own.parse::<Ipv4Addr>().is_ok() && is_mask(mask))
                }),
                Kind::Text => true,
            }
    }
}

fn is_length(text: &str) -> bool {
    text.parse::<u8>().is_ok_and(|length| length <= 32)
}

fn is_printable(text: &[u8]) -> bool {
    text.len() <= MAX_VALUE && text.iter().all(|octet| matches!(octet, b' '..=b'~'))
}

/// Returns the variables of an ISAKMP SA, and those that are left out because of their values.
pub(super) fn environment(
    path: &Path,
    identity: Option<&Identity>,
    lease: Option<&ClientConfig>,
) -> (super::Environment, Vec<Variable>) {
    let mut values = vec![
        (Variable::LocalAddress, path.local.ip().to_string()),
        (Variable::LocalPort, path.local.port().to_string()),
        (Variable::RemoteAddress, path.remote.ip().to_string()),
        (Variable::RemotePort, path.remote.port().to_string()),
    ];
    let mut omitted = Vec::new();
    let mut add = |variable: Variable, text: &[u8]| match std::str::from_utf8(text) {
        Ok(text) if variable.accepts(text) => values.push((variable, text.to_owned())),
        _ => omitted.push(variable),
    };
    if let Some(identity) = identity {
        add(Variable::RemoteId, identity.to_string().as_bytes());
    }
    if let Some(lease) = lease {
        assigned(lease).into_iter().for_each(|(variable, text)| add(variable, text.as_bytes()));
        add(Variable::DefaultDomain, lease.domain.octets());
        add(Variable::Banner, lease.banner.octets());
    }
    (values, omitted)
}

/// Returns the values that a server has assigned. Values that it has not sent are empty.
fn assigned(lease: &ClientConfig) -> Vec<(Variable, String)> {
    let list = |list: &[Option<Ipv4Addr>]| joined(list.iter().flatten());
    let first = |list: &[Option<Ipv4Addr>]| list.iter().flatten().next().map(ToString::to_string).unwrap_or_default();
    let (included, excluded) = (|| lease.split_include.iter().flatten(), || lease.split_exclude.iter().flatten());
    let with_mask = |own: &ClientNetwork| format!("{}/{}", own.address, own.mask);
    let with_length = |own: &ClientNetwork| format!("{}/{}", own.address, length(own.mask));
    vec![
        (Variable::InternalAddress, first(&[lease.address])),
        (Variable::InternalNetmask, first(&[lease.netmask])),
        (Variable::InternalLength, lease.netmask.map(|mask| length(mask).to_string()).unwrap_or_default()),
        (Variable::InternalDns, first(&lease.dns)),
        (Variable::InternalDnsList, list(&lease.dns)),
        (Variable::InternalWins, first(&lease.nbns)),
        (Variable::InternalWinsList, list(&lease.nbns)),
        (Variable::SplitInclude, joined(included().map(with_mask))),
        (Variable::SplitIncludeCidr, joined(included().map(with_length))),
        (Variable::SplitLocal, joined(excluded().map(with_mask))),
        (Variable::SplitLocalCidr, joined(excluded().map(with_length))),
    ]
}

/// Returns the number of ones at the beginning of a mask.
const fn length(mask: Ipv4Addr) -> u32 {
    mask.to_bits().leading_ones()
}

fn joined(values: impl Iterator<Item = impl fmt::Display>) -> String {
    values.map(|value| value.to_string()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use ike_codec::IdKind;
    use ike_v1::ShortText;

    use super::*;

    fn path() -> Path {
        Path { local: "192.0.2.1:500".parse().unwrap(), remote: "[2001:db8::1]:4500".parse().unwrap() }
    }

    fn shown(environment: &[(Variable, String)]) -> String {
        environment.iter().map(|(variable, value)| format!("{variable}={value}\n")).collect()
    }

    #[test]
    fn environment_has_the_values_of_racoon() {
        let mut lease = ClientConfig::default();
        (lease.address, lease.netmask) = (Some([10, 99, 0, 1].into()), Some([255, 255, 255, 0].into()));
        lease.dns = [Some([10, 1, 0, 53].into()), Some([10, 1, 1, 53].into()), None, None];
        let network = |address: [u8; 4], mask: [u8; 4]| ClientNetwork { address: address.into(), mask: mask.into() };
        lease.split_include[0] = Some(network([10, 1, 0, 0], [255, 255, 0, 0]));
        lease.split_include[1] = Some(network([10, 2, 0, 0], [255, 255, 255, 0]));
        lease.split_exclude[0] = Some(network([192, 168, 1, 0], [255, 255, 255, 0]));
        (lease.domain, lease.banner) = (ShortText::new(b"example.org"), ShortText::new(b"hello `world`"));
        let identity = Identity::text(IdKind::FQDN, "gw.example.org");
        let (values, omitted) = environment(&path(), Some(&identity), Some(&lease));
        let expected = "LOCAL_ADDR=192.0.2.1\nLOCAL_PORT=500\nREMOTE_ADDR=2001:db8::1\nREMOTE_PORT=4500\n\
            REMOTE_ID=gw.example.org\nINTERNAL_ADDR4=10.99.0.1\nINTERNAL_NETMASK4=255.255.255.0\nINTERNAL_CIDR4=24\n\
            INTERNAL_DNS4=10.1.0.53\nINTERNAL_DNS4_LIST=10.1.0.53 10.1.1.53\nINTERNAL_WINS4=\nINTERNAL_WINS4_LIST=\n\
            SPLIT_INCLUDE=10.1.0.0/255.255.0.0 10.2.0.0/255.255.255.0\nSPLIT_INCLUDE_CIDR=10.1.0.0/16 10.2.0.0/24\n\
            SPLIT_LOCAL=192.168.1.0/255.255.255.0\nSPLIT_LOCAL_CIDR=192.168.1.0/24\nDEFAULT_DOMAIN=example.org\nBANNER=hello `world`\n";
        assert_eq!((shown(&values).as_str(), omitted), (expected, Vec::new()));
        let (values, _) = environment(&path(), None, None);
        assert_eq!(values.len(), 4, "without an identity and an assignment");
    }

    #[test]
    fn values_of_a_peer_that_are_not_printable_are_left_out() {
        for text in [&b"a\nPATH=/tmp"[..], b"a\0b", b"\x1b[31m", b"\xff", "ä".as_bytes(), b"\x7f"] {
            let mut lease = ClientConfig::default();
            (lease.domain, lease.banner) = (ShortText::new(text), ShortText::new(text));
            let (values, omitted) = environment(&path(), None, Some(&lease));
            assert_eq!(omitted, [Variable::DefaultDomain, Variable::Banner], "{}", text.escape_ascii());
            assert_eq!(values.len(), 15);
        }
    }

    #[test]
    fn values_of_another_kind_are_refused() {
        let table = [
            (Variable::LocalAddress, "192.0.2.1", true),
            (Variable::LocalAddress, "", false),
            (Variable::RemoteAddress, "192.0.2.1; reboot", false),
            (Variable::RemotePort, "65536", false),
            (Variable::RemotePort, "500", true),
            (Variable::InternalAddress, "", true),
            (Variable::InternalAddress, "10.0.0", false),
            (Variable::InternalDnsList, "10.0.0.1 10.0.0.2", true),
            (Variable::InternalDnsList, "10.0.0.1  10.0.0.2", false),
            (Variable::InternalLength, "33", false),
            (Variable::InternalLength, "32", true),
            (Variable::SplitInclude, "10.0.0.0/255.0.0.0", true),
            (Variable::SplitIncludeCidr, "10.0.0.0/8", true),
            (Variable::SplitIncludeCidr, "10.0.0.0", false),
            (Variable::SplitLocal, "10.0.0.0/$(id)", false),
            (Variable::Banner, "a banner", true),
            (Variable::Banner, "two\nlines", false),
        ];
        for (variable, value, expected) in table {
            assert_eq!(variable.accepts(value), expected, "{variable}={value:?}");
        }
        assert!(Variable::Banner.accepts(&"x".repeat(1024)) && !Variable::Banner.accepts(&"x".repeat(1025)));
    }
}
