//! Model of IPv6 extension headers and IPv4 options, as defined by RFC 8200 section 4, RFC 791 section 3.1, RFC 1122
//! section 3.2.1.8 and the documentation of the engine. The meaning of a header is taken from the table of its kinds,
//! and never parsed from octets.

use ipsec_engine::Counter;
use ipsec_packet::IpProto;

use super::Random;

/// Extension header, or IPv4 options that fill whole 32-bit words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    HopByHop(Vec<Opt>),
    Destination(Vec<Opt>),
    /// Routing header with space for one address.
    Routing {
        kind: u8,
        segments_left: u8,
    },
    /// Fragment header of an unfragmented packet (RFC 6946).
    Atomic,
    V4(Kind, &'static [u8]),
}

/// Option of an IPv6 options header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opt {
    Pad1,
    Option(u8, Vec<u8>),
    /// Option whose length exceeds that of the header.
    Cut,
}

/// Kind of an IPv4 option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    SourceRoute,
    /// Source route whose pointer is inside the route data.
    UnfinishedSourceRoute,
    RecordRoute,
    Timestamp,
    RouterAlert,
    Unknown,
    NoOperation,
    Malformed,
}

const PAD_N: u8 = 1;
const ROUTER_ALERT: u8 = 5;
const HOME_ADDRESS: u8 = 0xc9;
const NO_OPERATION: u8 = 1;

const V4: &[(Kind, &[u8])] = &[
    (Kind::SourceRoute, &[131, 7, 8, 203, 0, 113, 66, 1]),
    (Kind::SourceRoute, &[1, 137, 11, 12, 203, 0, 113, 66, 203, 0, 113, 67]),
    (Kind::UnfinishedSourceRoute, &[131, 7, 4, 203, 0, 113, 66, 1]),
    (Kind::UnfinishedSourceRoute, &[1, 137, 11, 8, 203, 0, 113, 66, 203, 0, 113, 67]),
    (Kind::RecordRoute, &[7, 7, 4, 0, 0, 0, 0, 1]),
    (Kind::Timestamp, &[68, 8, 5, 0, 0, 0, 0, 0]),
    (Kind::RouterAlert, &[148, 4, 0, 0]),
    (Kind::Unknown, &[134, 8, 0, 0, 0, 1, 2, 2]),
    (Kind::Unknown, &[0x5e, 4, 1, 2]),
    (Kind::NoOperation, &[1, 1, 1, 1]),
    (Kind::Malformed, &[7, 6, 4, 0, 0, 0, 1, 1]),
    (Kind::Malformed, &[7, 7, 5, 0, 0, 0, 0, 1]),
    (Kind::Malformed, &[68, 8, 5, 0xf2, 0, 0, 0, 0]),
    (Kind::Malformed, &[148, 3, 0, 1]),
    (Kind::Malformed, &[130, 200, 1, 1]),
    (Kind::Malformed, &[130, 1, 1, 1]),
];

impl Header {
    /// Returns a random header that an attacker without a key can insert.
    pub fn any(random: &mut Random, ipv6: bool) -> Self {
        if !ipv6 {
            let (kind, octets) = random.of(V4);
            return Self::V4(kind, octets);
        }
        match random.below(8) {
            0 | 1 => Self::HopByHop(options(random)),
            2..=4 => Self::Destination(options(random)),
            5 => Self::Atomic,
            _ => Self::Routing { kind: random.of(&[0, 2, 3, 4, 253]), segments_left: random.of(&[0, 0, 1, 255]) },
        }
    }

    /// Returns whether the sender can predict its value at the receiver (RFC 4302 section 3.3.3.1); otherwise AH
    /// refuses it.
    pub fn is_signed(&self) -> bool {
        match self {
            Self::HopByHop(options) | Self::Destination(options) => {
                !options.iter().any(|option| matches!(option, Opt::Cut | Opt::Option(HOME_ADDRESS, _)))
            }
            Self::Routing { kind, segments_left } => (*kind, *segments_left) == (0, 1) || *segments_left == 0,
            Self::Atomic => true,
            Self::V4(kind, _) => *kind != Kind::Malformed,
        }
    }

    /// Returns whether the packet has an option of this kind already that may occur only once.
    pub fn is_repeated(&self, others: &[Self]) -> bool {
        let Self::V4(kind, _) = self else { return false };
        others
            .iter()
            .any(|other| matches!(other, Self::V4(other, _) if once(*kind).is_some() && once(*other) == once(*kind)))
    }

    pub fn is_destination_options(&self) -> bool {
        matches!(self, Self::Destination(_))
    }

    fn kind(&self) -> IpProto {
        match self {
            Self::HopByHop(_) => IpProto::HOP_BY_HOP,
            Self::Destination(_) => IpProto::DESTINATION_OPTIONS,
            Self::Routing { .. } => IpProto::ROUTING,
            Self::Atomic => IpProto::FRAGMENT,
            Self::V4(..) => panic!("IPv4 options have no protocol number"),
        }
    }

    fn octets(&self, next: IpProto) -> Vec<u8> {
        match self {
            Self::HopByHop(options) | Self::Destination(options) => {
                let options: Vec<u8> = options.iter().flat_map(Opt::octets).collect();
                [&[next.0, (options.len() / 8) as u8][..], &options].concat()
            }
            Self::Routing { kind, segments_left } => {
                [&[next.0, 2, *kind, *segments_left, 0, 0, 0, 0][..], &[0x66; 16]].concat()
            }
            Self::Atomic => vec![next.0, 0, 0, 0, 0, 0, 0, 7],
            Self::V4(_, octets) => octets.to_vec(),
        }
    }
}

impl Opt {
    fn octets(&self) -> Vec<u8> {
        match self {
            Self::Pad1 => vec![0],
            Self::Option(kind, data) => [&[*kind, data.len() as u8][..], data].concat(),
            Self::Cut => vec![0x1e, 200, 0, 0, 0, 0],
        }
    }

    /// Returns whether a receiver skips an unknown option: its two highest type bits are 00 (RFC 8200 section 4.2).
    fn is_skipped(&self) -> bool {
        match self {
            Self::Pad1 => true,
            Self::Option(kind, _) => kind & 0b1100_0000 == 0,
            Self::Cut => false,
        }
    }
}

/// Returns options of 6 octets, or of 22 with a home address.
fn options(random: &mut Random) -> Vec<Opt> {
    let option = |kind: u8, octets| Opt::Option(kind, vec![0x77; octets]);
    match random.below(10) {
        0 => vec![option(PAD_N, 4)],
        1 => vec![Opt::Option(ROUTER_ALERT, vec![0, 0]), option(PAD_N, 0)],
        2 => vec![option(0x1e, 2), option(PAD_N, 0)],
        3 => vec![Opt::Pad1, Opt::Pad1, option(0x3e, 2)],
        4 => vec![option(0x5e, 4)],
        5 => vec![Opt::Pad1, option(0x9e, 3)],
        6 => vec![option(0xde, 4)],
        7 => vec![Opt::Cut],
        8 => vec![option(0xc2, 4)],
        _ => vec![option(PAD_N, 2), option(HOME_ADDRESS, 16)],
    }
}

/// Returns the protocol number of the first header, and the octets of the headers before `next`.
pub fn octets(headers: &[Header], next: IpProto) -> (IpProto, Vec<u8>) {
    headers.iter().rev().fold((next, Vec::new()), |(next, behind), header| match header {
        Header::V4(..) => (next, [header.octets(next), behind].concat()),
        _ => (header.kind(), [header.octets(next), behind].concat()),
    })
}

pub fn length(headers: &[Header]) -> usize {
    octets(headers, IpProto::NO_NEXT).1.len()
}

/// Returns the offset of the last next header field before `next`.
pub fn next_header_at(headers: &[Header], ipv6: bool) -> usize {
    match headers.split_last() {
        Some((_, but_last)) if ipv6 => 40 + length(but_last),
        _ if ipv6 => 6,
        _ => 9,
    }
}

/// Checks whether a receiver proceeds over these headers to the following IPsec header.
pub fn check(headers: &[Header], ah_follows: bool) -> Result<(), Counter> {
    for (n, header) in headers.iter().enumerate() {
        let is_last = n + 1 == headers.len();
        let others = [&headers[..n], &headers[n + 1..]].concat();
        let passes = match header {
            // RFC 8200 section 4.1: hop-by-hop options anywhere but directly after the IPv6 header are malformed.
            Header::HopByHop(_) if n > 0 => return Err(Counter::Malformed),
            Header::HopByHop(options) => options.iter().all(Opt::is_skipped),
            Header::Destination(options) => options.iter().all(|option| {
                option.is_skipped() || ah_follows && is_last && matches!(option, Opt::Option(HOME_ADDRESS, _))
            }),
            // RFC 8200 section 4.4: with segments left the packet is not at its destination, for any routing type.
            Header::Routing { segments_left, .. } => *segments_left == 0,
            Header::Atomic => true,
            Header::V4(Kind::UnfinishedSourceRoute | Kind::Malformed, _) => false,
            Header::V4(..) => !header.is_repeated(&others),
        };
        if !passes {
            return Err(Counter::PrecedingHeaders);
        }
    }
    Ok(())
}

/// Returns the type of an option that may occur only once per packet.
fn once(kind: Kind) -> Option<u8> {
    match kind {
        Kind::SourceRoute | Kind::UnfinishedSourceRoute => Some(0),
        Kind::RecordRoute => Some(1),
        Kind::Timestamp => Some(2),
        _ => None,
    }
}

/// Returns the headers that remain of unauthenticated headers after decapsulation in transport mode.
pub fn removed(headers: &[Header]) -> Vec<Header> {
    let harmless = |option: &Opt| match option {
        Opt::Option(kind, data) if (*kind, data.len()) != (ROUTER_ALERT, 2) => Opt::Option(PAD_N, vec![0; data.len()]),
        other => other.clone(),
    };
    let left = |header: &Header| match header {
        Header::HopByHop(options) => Some(Header::HopByHop(options.iter().map(harmless).collect())),
        Header::Destination(_) | Header::Routing { .. } | Header::Atomic => None,
        Header::V4(Kind::RecordRoute | Kind::Timestamp | Kind::RouterAlert, _) => Some(header.clone()),
        Header::V4(_, octets) => Some(Header::V4(Kind::NoOperation, &[NO_OPERATION; 12][..octets.len()])),
    };
    headers.iter().filter_map(left).collect()
}

/// Returns the headers that remain after AH in transport mode, which does not cover mutable IPv4 options (RFC 4302
/// appendix A1).
pub fn without_mutable_options(headers: &[Header]) -> Vec<Header> {
    let left = |header: &Header| match header {
        // AH covers the CIPSO option.
        Header::V4(Kind::Unknown, [134, ..]) => header.clone(),
        Header::V4(Kind::SourceRoute | Kind::Unknown, octets) => {
            Header::V4(Kind::NoOperation, &[NO_OPERATION; 12][..octets.len()])
        }
        other => other.clone(),
    };
    headers.iter().map(left).collect()
}

/// Returns the name under which an outcome is counted.
pub fn names(header: &Header) -> &'static str {
    let action = |options: &[Opt]| options.iter().find(|option| !option.is_skipped()).cloned();
    match header {
        Header::HopByHop(options) | Header::Destination(options) => match action(options) {
            None => "skipped options",
            Some(Opt::Option(HOME_ADDRESS, _)) => "home address",
            Some(Opt::Option(kind, _)) => {
                ["", "option of action 01", "option of action 10", "option of action 11"][usize::from(kind >> 6)]
            }
            Some(_) => "truncated option",
        },
        Header::Routing { segments_left: 0, .. } => "finished routing header",
        Header::Routing { .. } => "routing header with segments left",
        Header::Atomic => "atomic fragment header",
        Header::V4(Kind::SourceRoute, _) => "finished source route",
        Header::V4(Kind::UnfinishedSourceRoute, _) => "unfinished source route",
        Header::V4(Kind::RecordRoute, _) => "record route",
        Header::V4(Kind::Timestamp, _) => "timestamp",
        Header::V4(Kind::RouterAlert, _) => "router alert",
        Header::V4(Kind::Unknown, _) => "unknown IPv4 option",
        Header::V4(Kind::NoOperation, _) => "no operation",
        Header::V4(Kind::Malformed, _) => "malformed IPv4 option",
    }
}
