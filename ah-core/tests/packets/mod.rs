//! Deterministic packets to sign, and the SAs that sign them.
#![allow(dead_code)] // each test file uses a part

pub mod reference;

use std::ops::Range;

use ah_core::{Inbound, Outbound, Profile, TosRule};
use ipsec_crypto::{AnyAhIntegrity, IntegrityAlgorithm};
use ipsec_packet::{DestinationOptions, PacketBuf, ReplayWindow, Seq, SeqWidth, Spi, Tunnel, set_length};

pub const HOP_BY_HOP: u8 = 0;
pub const ROUTING: u8 = 43;
pub const FRAGMENT: u8 = 44;
pub const DESTINATION: u8 = 60;
pub const HOME_ADDRESS: u8 = 0xc9;
pub const UDP: u8 = 17;

pub const WIDTHS: [SeqWidth; 2] = [SeqWidth::Bits32, SeqWidth::Extended64];

pub const PROFILES: [(&str, Profile); 7] = [
    ("rfc", Profile::RFC),
    ("linux", Profile::LINUX),
    ("bsd", Profile::BSD),
    ("openbsd", Profile::OPENBSD),
    ("kame", Profile::KAME),
    ("rfc 1826 tos", Profile::RFC.with_tos(TosRule::Included)),
    ("strict openbsd", Profile::OPENBSD.strict_length()),
];

pub use test_vectors::Random;

/// Returns an IPv4 packet with protocol UDP and random other fields. The options must be a multiple of 4 octets.
pub fn ipv4(random: &mut Random, options: &[u8], payload: usize) -> Vec<u8> {
    let words = u8::try_from(options.len() / 4).unwrap();
    let mut packet =
        vec![0x45 + words, random.octet(), 0, 0, random.octet(), random.octet(), random.pick(&[0, 0x40]), 0];
    packet.extend([1 + random.octet() / 2, UDP, 0, 0]);
    packet.extend(random.octets(8));
    packet.extend(options);
    packet.extend(random.octets(payload));
    set_length(&mut packet).unwrap();
    packet
}

/// Extension header: its protocol number and its octets. The first octet, next header, is filled in later.
pub type Header = (u8, Vec<u8>);

/// Returns an IPv6 packet with these extension headers, next header UDP and random other fields.
pub fn ipv6(random: &mut Random, headers: &[Header], payload: usize) -> Vec<u8> {
    let mut kinds = headers.iter().map(|(kind, _)| *kind).chain([UDP]);
    let mut packet = vec![0x60 | random.octet() & 0x0f, random.octet(), random.octet(), random.octet(), 0, 0];
    packet.extend([kinds.next().unwrap(), 1 + random.octet() / 2]);
    packet.extend(random.octets(32));
    for ((_, octets), next) in headers.iter().zip(kinds) {
        packet.push(next);
        packet.extend(&octets[1..]);
    }
    packet.extend(random.octets(payload));
    set_length(&mut packet).unwrap();
    packet
}

/// Returns a hop-by-hop or destination options header, padded to a multiple of 8 octets.
pub fn options_header(options: &[u8]) -> Vec<u8> {
    let mut header = [&[0, 0], options].concat();
    match (8 - header.len() % 8) % 8 {
        0 => {}
        1 => header.push(0),
        n => header.extend([&[1, u8::try_from(n - 2).unwrap()][..], &vec![0; n - 2]].concat()),
    }
    header[1] = u8::try_from(header.len() / 8 - 1).unwrap();
    header
}

/// Returns a routing header of this type with `n` random addresses.
pub fn routing_header(random: &mut Random, kind: u8, n: usize, segments_left: usize) -> Vec<u8> {
    let mut header = vec![0, u8::try_from(2 * n).unwrap(), kind, u8::try_from(segments_left).unwrap()];
    header.extend(random.octets(4 + 16 * n));
    header
}

/// Returns a source route option with this pointer and `n` random addresses.
pub fn source_route(random: &mut Random, kind: u8, n: usize, pointer: u8) -> Vec<u8> {
    let mut option = vec![kind, u8::try_from(3 + 4 * n).unwrap(), pointer];
    option.extend(random.octets(4 * n));
    option
}

/// Returns every integrity algorithm of AH with a key; AES-GMAC with each key length.
pub fn integrities() -> Vec<(IntegrityAlgorithm, Vec<u8>)> {
    let rows = IntegrityAlgorithm::ALL.iter().filter(|row| row.algorithm != IntegrityAlgorithm::None);
    rows.flat_map(|row| match row.algorithm {
        IntegrityAlgorithm::AesGmac => [20, 28, 36].map(|octets| (row.algorithm, octets)).to_vec(),
        other => vec![(other, row.default_key)],
    })
    .map(|(algorithm, octets)| (algorithm, Random(0x5eed).octets(octets)))
    .collect()
}

/// IP packet with the position that AH is inserted at.
pub struct Sample {
    pub name: &'static str,
    pub plain: Vec<u8>,
    /// Length of the headers in front of AH, in octets.
    pub at: usize,
    pub options: DestinationOptions,
    /// Offsets of the octets of mutable options that every profile excludes from the ICV.
    pub changing: Vec<usize>,
}

/// Returns packets with and without IPv4 options and IPv6 extension headers, and in tunnel mode.
pub fn samples(random: &mut Random) -> Vec<Sample> {
    let protected = DestinationOptions::Protected;
    let sample = |name, plain, at, options, changing: &[Range<usize>]| {
        let changing = changing.iter().flat_map(Clone::clone).collect();
        Sample { name, plain, at, options, changing }
    };
    let ipv4_options = [
        &[0x94, 4, 0, 0, 1][..],                // 20: router alert, no operation
        &[7, 7, 4, 0, 0, 0, 0],                 // 25: record route
        &[0x44, 8, 5, 0x10, 0, 0, 0, 0],        // 32: time stamp
        &source_route(random, 0x83, 1, 8),      // 40: loose source route, completed
        &[0x82, 11, 0, 0, 1, 2, 3, 4, 5, 6, 7], // 47: security
        &[1, 0],                                // 58: no operation, end
    ]
    .concat();
    let mutable = [&[0x3e, 4][..], &random.octets(4)].concat();
    let immutable = [&[5, 2, 0, 0, 0x1e, 4][..], &random.octets(4)].concat();
    let hop_by_hop = (HOP_BY_HOP, options_header(&[&immutable[..], &mutable].concat())); // mutable data: 54
    let destination = (DESTINATION, options_header(&mutable));
    let routing = (ROUTING, routing_header(random, 0, 2, 0));
    let home = (DESTINATION, options_header(&[&[HOME_ADDRESS, 16], &*random.octets(16)].concat()));
    let headers = [hop_by_hop, destination.clone(), routing, destination];
    let mobile = [(ROUTING, routing_header(random, 2, 1, 0)), home];
    let in_front = DestinationOptions::Unprotected;
    let mut samples = vec![
        sample("ipv4", ipv4(random, &[], 30), 20, protected, &[]),
        sample("ipv4 without payload", ipv4(random, &[], 0), 20, protected, &[]),
        sample("ipv4 with options", ipv4(random, &ipv4_options, 23), 60, protected, &[27..32, 34..40, 43..47]),
        sample("ipv6", ipv6(random, &[], 31), 40, protected, &[]),
        sample("ipv6 headers", ipv6(random, &headers, 17), 40 + 24 + 8 + 40, protected, &[54..58, 68..72]),
        sample("ipv6 headers", ipv6(random, &headers, 17), 120, in_front, &[54..58, 68..72, 116..120]),
        sample("mobile ipv6", ipv6(random, &mobile, 12), 40 + 24 + 24, in_front, &[]),
    ];
    for (name, plain) in tunnels(random) {
        let at = if plain[0] >> 4 == 4 { 20 } else { 40 };
        samples.push(sample(name, plain, at, protected, &[]));
    }
    samples
}

/// Returns tunnel-mode packets of each combination of IP versions.
fn tunnels(random: &mut Random) -> Vec<(&'static str, Vec<u8>)> {
    let v4 = Tunnel::v4([192, 0, 2, 1].into(), [198, 51, 100, 2].into());
    let v6 = Tunnel::v6("2001:db8::1".parse().unwrap(), "2001:db8:f::2".parse().unwrap());
    let header = [(HOP_BY_HOP, options_header(&[0x3e, 1, 7]))];
    let inner = [ipv4(random, &[0x94, 4, 0, 0], 21), ipv6(random, &header, 9)];
    let names = [
        ("4 in 4", &v4, &inner[0]),
        ("6 in 4", &v4, &inner[1]),
        ("4 in 6", &v6, &inner[0]),
        ("6 in 6", &v6, &inner[1]),
    ];
    let push = |(name, tunnel, inner): (_, &Tunnel, &Vec<u8>)| {
        let mut bytes = [&[0; 40], &inner[..]].concat();
        let mut packet = PacketBuf::with_headroom(&mut bytes, 40, inner.len()).unwrap();
        let (outer, next) = tunnel.outer_for(packet.data_mut()).unwrap();
        outer.push(&mut packet, next, 0x1234).unwrap();
        (name, packet.data().to_vec())
    };
    names.map(push).into()
}

/// Parameters of an SA, from which any number of senders, receivers and integrity algorithms can be made.
#[derive(Clone, Debug)]
pub struct Sa {
    pub spi: u32,
    pub integrity: (IntegrityAlgorithm, Vec<u8>),
    pub width: SeqWidth,
    pub profile: Profile,
    pub options: DestinationOptions,
}

impl Sa {
    pub fn new(integrity: IntegrityAlgorithm, width: SeqWidth, profile: Profile) -> Self {
        let key = Random(0x5eed).octets(integrity.row().unwrap().default_key);
        Self { spi: 0x2001, integrity: (integrity, key), width, profile, options: DestinationOptions::Protected }
    }

    pub fn spi(&self) -> Spi {
        Spi::new(self.spi).unwrap()
    }

    pub fn integrity(&self) -> AnyAhIntegrity {
        AnyAhIntegrity::new(self.integrity.0, &self.integrity.1).unwrap()
    }

    pub fn sender(&self) -> Outbound<AnyAhIntegrity> {
        let mut sender = Outbound::new(self.spi(), self.integrity(), self.width, self.profile);
        sender.set_destination_options(self.options);
        sender
    }

    pub fn receiver(&self) -> Inbound<AnyAhIntegrity> {
        Inbound::new(self.spi(), self.integrity(), self.width, self.profile)
    }

    pub fn receiver_from(&self, seq: u64) -> Inbound<AnyAhIntegrity> {
        let window = ReplayWindow::starting_at(Seq::new(seq));
        Inbound::with_window(self.spi(), self.integrity(), self.width, self.profile, window)
    }

    /// Returns the packet signed by a new sender.
    pub fn signed(&self, plain: &[u8]) -> Vec<u8> {
        sign(&mut self.sender(), plain).unwrap()
    }

    /// Verifies the packet with a new receiver, as [`verify`] does.
    pub fn verified(&self, wire: &[u8]) -> Result<Vec<u8>, ah_core::VerifyError> {
        verify(&mut self.receiver(), wire)
    }
}

/// Returns the packet, signed with exactly the headroom needed. A refusal must leave packet and counter unchanged.
pub fn sign(tx: &mut Outbound<AnyAhIntegrity>, plain: &[u8]) -> Result<Vec<u8>, ah_core::SignError> {
    let room = tx.overhead(plain[0] >> 4);
    let mut bytes = [&vec![0xee; room], plain].concat();
    let mut packet = PacketBuf::with_headroom(&mut bytes, room, plain.len()).unwrap();
    let before = tx.counter().export();
    match tx.sign(&mut packet) {
        Ok(_) => Ok(packet.data().to_vec()),
        Err(e) => {
            assert_eq!((packet.data(), packet.headroom()), (plain, room), "refused packet was changed: {e}");
            assert_eq!(tx.counter().export(), before, "refused packet moved the counter: {e}");
            Err(e)
        }
    }
}

/// Verifies the packet and returns its contents without AH. A refusal must leave packet and window unchanged.
pub fn verify(rx: &mut Inbound<AnyAhIntegrity>, wire: &[u8]) -> Result<Vec<u8>, ah_core::VerifyError> {
    let mut bytes = wire.to_vec();
    let mut packet = PacketBuf::received(&mut bytes);
    let before = window(rx);
    match rx.verify(&mut packet) {
        Ok(_) => Ok(packet.data().to_vec()),
        Err(e) => {
            assert_eq!((packet.data(), packet.headroom()), (wire, 0), "refused packet was changed: {e}");
            assert_eq!(window(rx), before, "refused packet moved the window: {e}");
            Err(e)
        }
    }
}

/// Returns the exported state of a receiver's window.
pub fn window(rx: &Inbound<AnyAhIntegrity>) -> Vec<u8> {
    let mut state = [0; ReplayWindow::<2>::STATE];
    rx.window().export(SeqWidth::Extended64, &mut state).unwrap();
    state.to_vec()
}
