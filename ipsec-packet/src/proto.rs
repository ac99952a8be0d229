use core::fmt;

/// IP protocol number (the IANA registry that IPv4 `protocol` and IPv6 `next header` share; RFC 791 section 3.1, RFC
/// 8200 section 3).
///
/// Unknown values are preserved.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpProto(pub u8);

macro_rules! protocols {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        impl IpProto {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// Returns the usual name of the protocol, if it has one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some($text),)* _ => None }
            }
        }
    };
}

protocols! {
    /// IPv6 hop-by-hop options header (RFC 8200 section 4.3).
    HOP_BY_HOP = 0, "hopopt";
    /// Internet Control Message Protocol (RFC 792).
    ICMP = 1, "icmp";
    /// IPv4 in IP (RFC 2003), `ipencap` in setkey(8).
    IPV4 = 4, "ipencap";
    /// Transmission Control Protocol (RFC 9293).
    TCP = 6, "tcp";
    /// User Datagram Protocol (RFC 768).
    UDP = 17, "udp";
    /// Datagram Congestion Control Protocol (RFC 4340).
    DCCP = 33, "dccp";
    /// IPv6 in IP (RFC 2473).
    IPV6 = 41, "ipv6";
    /// IPv6 routing header (RFC 8200 section 4.4).
    ROUTING = 43, "ipv6-route";
    /// IPv6 fragment header (RFC 8200 section 4.5).
    FRAGMENT = 44, "ipv6-frag";
    /// Generic Routing Encapsulation (RFC 2784).
    GRE = 47, "gre";
    /// Encapsulating Security Payload (RFC 4303).
    ESP = 50, "esp";
    /// Authentication Header (RFC 4302).
    AH = 51, "ah";
    /// ICMP for IPv6 (RFC 4443).
    ICMPV6 = 58, "ipv6-icmp";
    /// No next header; inside ESP a dummy packet (RFC 4303 section 2.6).
    NO_NEXT = 59, "ipv6-nonxt";
    /// IPv6 destination options header (RFC 8200 section 4.6).
    DESTINATION_OPTIONS = 60, "ipv6-opts";
    /// BEET pseudo header for IPv4 options (draft-nikander-esp-beet-mode).
    BEET = 94, "beetph";
    /// IP Payload Compression (RFC 3173).
    IPCOMP = 108, "ipcomp";
    /// Virtual Router Redundancy Protocol (RFC 5798).
    VRRP = 112, "vrrp";
    /// Stream Control Transmission Protocol (RFC 9260).
    SCTP = 132, "sctp";
    /// Mobility header of Mobile IPv6 (RFC 6275).
    MOBILITY = 135, "mobility-header";
    /// UDP-Lite with partial checksums (RFC 3828).
    UDP_LITE = 136, "udplite";
}

impl IpProto {
    /// Returns whether the protocol begins with a source and a destination port: TCP, UDP, UDP-Lite, SCTP, DCCP (RFC
    /// 4301 section 4.4.1.1).
    pub const fn has_ports(self) -> bool {
        matches!(self, Self::TCP | Self::UDP | Self::SCTP | Self(136) | Self(33))
    }
}

impl fmt::Debug for IpProto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for IpProto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "proto-{}", self.0),
        }
    }
}
