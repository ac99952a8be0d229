//! Link layers: the position of the IP packet in a frame.

use super::record::Order;

/// Largest number of tags, labels and encapsulations of a frame.
const MAX_LAYERS: usize = 16;

/// Returns whether frames of a link type can be read.
pub const fn is_supported(link: u32) -> bool {
    matches!(
        link,
        0 | 1
            | 9
            | 12
            | 13
            | 14
            | 50
            | 51
            | 100
            | 101
            | 104
            | 108
            | 109
            | 113
            | 117
            | 149
            | 166
            | 204
            | 228
            | 229
            | 239
            | 258
            | 276
    )
}

/// Returns the IP packet in a frame of a link type, without the octets after it.
pub fn ip_packet(link: u32, order: Order, frame: &[u8]) -> Option<&[u8]> {
    follow(Layer::Link(link, frame), order)
}

/// Returns the IP packet in the payload of an EtherType, as GRE uses it.
pub fn ip_packet_of_ether_type(kind: u16, order: Order, payload: &[u8]) -> Option<&[u8]> {
    follow(Layer::Ether(kind, payload), order)
}

fn follow(mut layer: Layer<'_>, order: Order) -> Option<&[u8]> {
    for _ in 0..MAX_LAYERS {
        layer = match layer {
            Layer::Ip(packet) => return ip(packet),
            Layer::Ether(kind, rest) => ether(kind, rest),
            Layer::Ethernet(frame) => ethernet(frame),
            Layer::Llc(frame) => llc(frame),
            Layer::Ppp(frame) => ppp(frame),
            Layer::Mpls(frame) => mpls(frame),
            Layer::Link(link, frame) => begin(link, order, frame),
        }?;
    }
    None
}

/// Rest of a frame and how it begins.
enum Layer<'f> {
    Ip(&'f [u8]),
    /// Payload of an EtherType, or of a length of IEEE 802.3.
    Ether(u16, &'f [u8]),
    Ethernet(&'f [u8]),
    Llc(&'f [u8]),
    Ppp(&'f [u8]),
    Mpls(&'f [u8]),
    /// Frame of another link type.
    Link(u32, &'f [u8]),
}

fn begin(link: u32, order: Order, frame: &[u8]) -> Option<Layer<'_>> {
    match link {
        // Address family, in the byte order of the system that captured.
        0 | 108 => frame.get(4..).map(Layer::Ip),
        1 => Some(Layer::Ethernet(frame)),
        9 | 50 => Some(match frame {
            // Cisco HDLC.
            [0x0f | 0x8f, _, k0, k1, rest @ ..] => Layer::Ether(u16::from_be_bytes([*k0, *k1]), rest),
            _ => Layer::Ppp(frame),
        }),
        104 => Some(match frame {
            [_, _, k0, k1, rest @ ..] => Layer::Ether(u16::from_be_bytes([*k0, *k1]), rest),
            _ => return None,
        }),
        // Numbers of raw IP on some systems; 12 is that of a loopback interface on OpenBSD.
        12 | 14 | 101 | 228 | 229 => Some(match frame {
            [first, ..] if is_version(*first) => Layer::Ip(frame),
            _ => Layer::Ip(frame.get(4..)?),
        }),
        // enc(4): address family, SPI, flags. 13 is its number on OpenBSD.
        13 | 109 => frame.get(12..).map(Layer::Ip),
        51 => pppoe(frame),
        100 => Some(Layer::Llc(frame)),
        113 => match frame {
            [_, _, _, _, _, _, _, _, _, _, _, _, _, _, k0, k1, rest @ ..] => cooked([*k0, *k1], rest),
            _ => None,
        },
        276 => match frame {
            [k0, k1, ..] => cooked([*k0, *k1], frame.get(20..)?),
            _ => None,
        },
        // pflog(4): the first octet is the length of its header without padding.
        117 => frame.get(usize::from(*frame.first()?).next_multiple_of(4)..).map(Layer::Ip),
        // pktap of macOS: length of the header, type, link type of the frame.
        149 | 258 => {
            let length = usize::try_from(Order::Little.u32_at(frame, 0)).ok()?;
            Some(Layer::Link(Order::Little.u32_at(frame, 8), frame.get(length.max(12)..)?))
        }
        // PPP after the octet of the direction.
        166 | 204 => frame.get(1..).map(Layer::Ppp),
        239 => nflog(order, frame).map(Layer::Ip),
        _ => None,
    }
}

/// Parses a Linux cooked frame; protocols 1 and 4 are frames of IEEE 802.3 and 802.2.
fn cooked(kind: [u8; 2], rest: &[u8]) -> Option<Layer<'_>> {
    match u16::from_be_bytes(kind) {
        1 | 4 => Some(Layer::Llc(rest)),
        kind => Some(Layer::Ether(kind, rest)),
    }
}

fn ethernet(frame: &[u8]) -> Option<Layer<'_>> {
    let (&[k0, k1], rest) = frame.get(12..)?.split_first_chunk()?;
    Some(Layer::Ether(u16::from_be_bytes([k0, k1]), rest))
}

fn ether(kind: u16, rest: &[u8]) -> Option<Layer<'_>> {
    match (kind, rest) {
        (0x0800 | 0x86dd, _) => Some(Layer::Ip(rest)),
        // VLAN tags: 802.1Q, 802.1ad, and numbers that were used before 802.1ad.
        (0x8100 | 0x88a8 | 0x9100 | 0x9200 | 0x9300, [_, _, k0, k1, rest @ ..]) => {
            Some(Layer::Ether(u16::from_be_bytes([*k0, *k1]), rest))
        }
        (0x8864, _) => pppoe(rest),
        (0x8847 | 0x8848, _) => Some(Layer::Mpls(rest)),
        (0x6558, _) => Some(Layer::Ethernet(rest)),
        (0x880b, _) => Some(Layer::Ppp(rest)),
        (0..=1500, _) => Some(Layer::Llc(rest)),
        _ => None,
    }
}

/// Parses a frame of IEEE 802.2, with SNAP or with the service access point of IP.
fn llc(frame: &[u8]) -> Option<Layer<'_>> {
    match frame {
        [0xaa, 0xaa, 0x03, 0, 0, 0 | 0xf8, k0, k1, rest @ ..] => {
            Some(Layer::Ether(u16::from_be_bytes([*k0, *k1]), rest))
        }
        [0x06, 0x06, 0x03, rest @ ..] => Some(Layer::Ip(rest)),
        _ => None,
    }
}

/// Parses a PPPoE session frame (RFC 2516 section 4): version, code, session, length.
fn pppoe(frame: &[u8]) -> Option<Layer<'_>> {
    match frame {
        [0x11, 0, _, _, _, _, rest @ ..] => Some(Layer::Ppp(rest)),
        _ => None,
    }
}

/// Parses a PPP frame: address and control may be absent, and the protocol may be one octet (RFC 1661 section 6).
fn ppp(frame: &[u8]) -> Option<Layer<'_>> {
    let frame = frame.strip_prefix(&[0xff, 0x03]).unwrap_or(frame);
    match frame {
        [0x21, rest @ ..] | [0, 0x21, rest @ ..] | [0x57, rest @ ..] | [0, 0x57, rest @ ..] => Some(Layer::Ip(rest)),
        [0x02, 0x81 | 0x83, rest @ ..] => Some(Layer::Mpls(rest)),
        _ => None,
    }
}

/// Removes an MPLS label. After the one with the bit of the bottom of the stack (RFC 3032) there is IP, or Ethernet
/// with a control word (RFC 4448).
fn mpls(frame: &[u8]) -> Option<Layer<'_>> {
    let (&[_, _, bottom, _], rest) = frame.split_first_chunk()?;
    match (bottom & 1, rest) {
        (0, _) => Some(Layer::Mpls(rest)),
        (_, [first, ..]) if is_version(*first) => Some(Layer::Ip(rest)),
        (_, [0, _, _, _, frame @ ..]) => Some(Layer::Ethernet(frame)),
        _ => None,
    }
}

/// Returns the payload attribute (9) of NFLOG. Lengths and types are in the byte order of the system that captured.
fn nflog(order: Order, frame: &[u8]) -> Option<&[u8]> {
    let mut rest = frame.get(4..)?;
    loop {
        let (length, kind) = (usize::from(order.u16_at(rest, 0)), order.u16_at(rest, 2) & 0x7fff);
        if length < 4 {
            return None;
        }
        if kind == 9 {
            return rest.get(4..length.min(rest.len()));
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
}

const fn is_version(first: u8) -> bool {
    matches!(first >> 4, 4 | 6)
}

/// Returns the packet without the padding and the check sequence of its frame.
fn ip(packet: &[u8]) -> Option<&[u8]> {
    let declared = match packet {
        [first, _, l0, l1, ..] if first >> 4 == 4 => usize::from(u16::from_be_bytes([*l0, *l1])),
        [first, _, _, _, l0, l1, ..] if first >> 4 == 6 => match u16::from_be_bytes([*l0, *l1]) {
            0 => 0,
            length => 40 + usize::from(length),
        },
        [first, ..] if is_version(*first) => 0,
        _ => return None,
    };
    Some(packet.get(..declared).filter(|packet| packet.len() >= 20).unwrap_or(packet))
}
