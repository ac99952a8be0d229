//! Headers between the IP header and what it carries: IPv6 extension headers and IPv4 options, as RFC 8200 section 4, RFC 791 section 3.1,
//! RFC 1122 section 3.2.1.8 and the documentation of the engine speak of them. What a header is is known here from the table that it comes
//! from, and never read from octets.

use ipsec_engine::Counter;
use ipsec_packet::IpProto;

use super::Random;

/// A header behind the IP header, or some IPv4 options that fill whole words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    HopByHop(Vec<Opt>),
    Destination(Vec<Opt>),
    /// With room for one address.
    Routing {
        kind: u8,
        segments_left: u8,
    },
    /// A fragment header of a packet that is whole.
    Atomic,
    V4(Kind, &'static [u8]),
}

/// An option of IPv6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opt {
    Pad1,
    Option(u8, Vec<u8>),
    /// It says that it has more octets than the header.
    Cut,
}

/// What IPv4 options are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    SourceRoute,
    /// One that is not used up.
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
    /// Any that one can insert who has no key.
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

    /// Whether AH can tell how it arrives (RFC 4302 3.3.3.1): if not, it does not sign.
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

    /// Whether one of these is of its kind, where a packet may have one only.
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
            Self::V4(..) => panic!("IPv4 options are not named"),
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

    /// RFC 8200 4.2: the two highest bits of the type of an option that is not known say whether it is skipped.
    fn is_skipped(&self) -> bool {
        match self {
            Self::Pad1 => true,
            Self::Option(kind, _) => kind & 0b1100_0000 == 0,
            Self::Cut => false,
        }
    }
}

/// Six octets of options, or 22 with a home address.
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

/// The octets of headers in front of `next`, and what the IP header names.
pub fn octets(headers: &[Header], next: IpProto) -> (IpProto, Vec<u8>) {
    headers.iter().rev().fold((next, Vec::new()), |(next, behind), header| match header {
        Header::V4(..) => (next, [header.octets(next), behind].concat()),
        _ => (header.kind(), [header.octets(next), behind].concat()),
    })
}

pub fn length(headers: &[Header]) -> usize {
    octets(headers, IpProto::NO_NEXT).1.len()
}

/// Where the octet is that names what follows these headers.
pub fn named_at(headers: &[Header], ipv6: bool) -> usize {
    match headers.split_last() {
        Some((_, but_last)) if ipv6 => 40 + length(but_last),
        _ if ipv6 => 6,
        _ => 9,
    }
}

/// Whether a node that these headers arrive at goes on to the IPsec header behind them; it may be AH.
pub fn check(headers: &[Header], ah_follows: bool) -> Result<(), Counter> {
    for (n, header) in headers.iter().enumerate() {
        let is_last = n + 1 == headers.len();
        let others = [&headers[..n], &headers[n + 1..]].concat();
        let passes = match header {
            // RFC 8200 4.1: directly behind the IPv6 header, or the chain is malformed.
            Header::HopByHop(_) if n > 0 => return Err(Counter::Malformed),
            Header::HopByHop(options) => options.iter().all(Opt::is_skipped),
            Header::Destination(options) => options.iter().all(|option| {
                option.is_skipped() || ah_follows && is_last && matches!(option, Opt::Option(HOME_ADDRESS, _))
            }),
            // RFC 8200 4.4: the packet is not at its destination, whatever the type.
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

/// What may stand in a packet once.
fn once(kind: Kind) -> Option<u8> {
    match kind {
        Kind::SourceRoute | Kind::UnfinishedSourceRoute => Some(0),
        Kind::RecordRoute => Some(1),
        Kind::Timestamp => Some(2),
        _ => None,
    }
}

/// What is left of headers that nothing authenticates, in front of what was opened in transport mode.
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

/// What is left of headers in front of AH in transport mode: it covers all but mutable IPv4 options (RFC 4302 appendix A1).
pub fn without_zeros_of_ah(headers: &[Header]) -> Vec<Header> {
    let left = |header: &Header| match header {
        // CIPSO is covered.
        Header::V4(Kind::Unknown, [134, ..]) => header.clone(),
        Header::V4(Kind::SourceRoute | Kind::Unknown, octets) => {
            Header::V4(Kind::NoOperation, &[NO_OPERATION; 12][..octets.len()])
        }
        other => other.clone(),
    };
    headers.iter().map(left).collect()
}

/// What the outcome is counted by.
pub fn names(header: &Header) -> &'static str {
    let action = |options: &[Opt]| options.iter().find(|option| !option.is_skipped()).cloned();
    match header {
        Header::HopByHop(options) | Header::Destination(options) => match action(options) {
            None => "options to be skipped",
            Some(Opt::Option(HOME_ADDRESS, _)) => "home address",
            Some(Opt::Option(kind, _)) => {
                ["", "option of action 01", "option of action 10", "option of action 11"][usize::from(kind >> 6)]
            }
            Some(_) => "option that is cut off",
        },
        Header::Routing { segments_left: 0, .. } => "routing header, used up",
        Header::Routing { .. } => "routing header with segments left",
        Header::Atomic => "atomic fragment header",
        Header::V4(Kind::SourceRoute, _) => "source route, used up",
        Header::V4(Kind::UnfinishedSourceRoute, _) => "source route, not used up",
        Header::V4(Kind::RecordRoute, _) => "record route",
        Header::V4(Kind::Timestamp, _) => "timestamp",
        Header::V4(Kind::RouterAlert, _) => "router alert",
        Header::V4(Kind::Unknown, _) => "unknown IPv4 option",
        Header::V4(Kind::NoOperation, _) => "no operation",
        Header::V4(Kind::Malformed, _) => "malformed IPv4 option",
    }
}
