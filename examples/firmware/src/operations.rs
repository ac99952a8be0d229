//! Operations of a gateway on test vectors.

use core::mem::size_of;
use core::net::Ipv6Addr;

use ah_core::Profile;
use esp_core::{PadCheck, Padding, SealParams, open_with, seal_with};
use ike_codec::{Body, Message};
use ipcomp_core::{Compression, Compressor, Deflate, FixedDeflate, Inflate, compress, decompress};
use ipsec_crypto::{Aes128Cbc, EncryptThenMac, HmacSha1_96};
use ipsec_packet::{AntiReplay, Cpi, IpProto, Ipv6Header, PacketBuf, ReplayWindow, Seq, SeqWidth, Spi};
use zerocopy::IntoBytes;

mod vectors {
    include!(concat!(env!("OUT_DIR"), "/vectors.rs"));
}
use vectors::{CIPHER_KEY, ESP, IPCOMP, MAC_KEY, MESSAGE, PACKET, PAYLOAD};

type Suite = EncryptThenMac<Aes128Cbc, HmacSha1_96>;
type Outbound = esp_core::Outbound<Suite>;
type Inbound = esp_core::Inbound<Suite>;

/// Memory sizes in bytes of SAs, with key schedules, counter and window, and of IPComp states.
pub const SIZES: [(&str, usize); 7] = [
    ("esp-outbound", size_of::<Outbound>()),
    ("esp-inbound", size_of::<Inbound>()),
    ("ah-outbound", size_of::<ah_core::Outbound<HmacSha1_96>>()),
    ("ah-inbound", size_of::<ah_core::Inbound<HmacSha1_96>>()),
    ("deflate", size_of::<Deflate>()),
    ("fixed-deflate", size_of::<FixedDeflate>()),
    ("inflate", size_of::<Inflate>()),
];

/// Headroom of a packet in octets.
const HEADROOM: usize = 64;
/// Payload length in octets whose sealed packet fits an Ethernet frame.
const LARGE: usize = 1408;

/// Operation: prepares its input, returns then if the argument is false, and otherwise returns whether the result is
/// correct.
pub type Run<'a> = dyn FnMut(bool) -> bool + 'a;

/// Calls `each` with the name of each operation and the operation, which it may run any number of times.
pub fn all(each: &mut dyn FnMut(&str, &mut Run<'_>)) {
    let mut bytes = [0; HEADROOM + LARGE + 72];
    esp(each, &mut bytes);
    large(each, &mut bytes);
    ah(each, &mut bytes);
    ah_ipv6(each, &mut bytes);
    ipcomp(each, &mut bytes);
    // The smallest machine has not enough memory for the state of ten kilobytes.
    if !cfg!(nrf51) {
        ipcomp_dynamic(each, &mut bytes);
    }
    ike(each, &mut bytes);
}

#[inline(never)]
fn suite() -> Suite {
    EncryptThenMac::new(Aes128Cbc::new(&CIPHER_KEY), HmacSha1_96::new(&MAC_KEY))
}

/// Seals and opens a packet of the test vectors.
#[inline(never)]
fn esp(each: &mut dyn FnMut(&str, &mut Run<'_>), bytes: &mut [u8]) {
    let suite = suite();
    let Some(([s0, s1, s2, s3, n0, n1, n2, n3], iv)) = ESP.split_first_chunk::<8>() else { return };
    let Ok(spi) = Spi::new(u32::from_be_bytes([*s0, *s1, *s2, *s3])) else { return };
    let seq = Seq::new(u32::from_be_bytes([*n0, *n1, *n2, *n3]).into());
    let iv = iv.get(..16).unwrap_or_default();
    let envelope =
        SealParams { spi, seq, width: SeqWidth::Bits32, next_header: IpProto::TCP, padding: Padding::MINIMAL };
    each("esp-seal-vector", &mut |go| {
        let Some(mut packet) = put(bytes, &PAYLOAD) else { return false };
        !go || (seal_this(&suite, &envelope, iv, &mut packet) && packet.data() == ESP)
    });
    each("esp-open-vector", &mut |go| {
        let Some(mut packet) = put(bytes, &ESP) else { return false };
        !go || (open_this(&suite, seq, &mut packet) && packet.data() == PAYLOAD)
    });
}

#[inline(never)]
fn seal_this(suite: &Suite, envelope: &SealParams, iv: &[u8], packet: &mut PacketBuf<'_>) -> bool {
    seal_with(suite, envelope, iv, packet).is_ok()
}

#[inline(never)]
fn open_this(suite: &Suite, seq: Seq, packet: &mut PacketBuf<'_>) -> bool {
    open_with(suite, seq, SeqWidth::Bits32, PadCheck::Full, packet).is_ok()
}

/// Seals and opens a large packet with an outbound SA and its counter, and an inbound SA and its window.
#[inline(never)]
fn large(each: &mut dyn FnMut(&str, &mut Run<'_>), bytes: &mut [u8]) {
    let Ok(spi) = Spi::new(0x1001) else { return };
    let mut outbound = Outbound::new(spi, suite(), SeqWidth::Bits32);
    let (clear, mut sealed) = ([7; LARGE], [0; LARGE + 52]);
    each("esp-seal-1408", &mut |go| {
        let Some(mut packet) = put(bytes, &clear) else { return false };
        if go && seal(&mut outbound, &mut packet) && packet.len() == sealed.len() {
            sealed.iter_mut().zip(packet.data()).for_each(|(to, from)| *to = *from);
        }
        true
    });
    let mut inbound = Inbound::new(spi, suite(), SeqWidth::Bits32);
    each("esp-open-1408", &mut |go| {
        *inbound.window_mut() = ReplayWindow::new();
        let Some(mut packet) = put(bytes, &sealed) else { return false };
        !go || (open(&mut inbound, &mut packet) && packet.data() == clear)
    });
    each("esp-open-replayed", &mut |go| {
        let number = sealed.get(4..).and_then(<[u8]>::first_chunk).map_or(0, |low| u32::from_be_bytes(*low));
        inbound.window_mut().record(Seq::new(number.into()));
        let Some(mut packet) = put(bytes, &sealed) else { return false };
        !go || (!open(&mut inbound, &mut packet) && packet.data() == sealed)
    });
}

#[inline(never)]
fn seal(outbound: &mut Outbound, packet: &mut PacketBuf<'_>) -> bool {
    // A constant IV, because the result must be the same each time. Use a random number generator in a real firmware.
    outbound.seal(packet, IpProto::IPV4, &mut |_: Seq, iv: &mut [u8]| iv.fill(7)).is_ok()
}

#[inline(never)]
fn open(inbound: &mut Inbound, packet: &mut PacketBuf<'_>) -> bool {
    inbound.open(packet).is_ok()
}

#[inline(never)]
fn ah(each: &mut dyn FnMut(&str, &mut Run<'_>), bytes: &mut [u8]) {
    let Ok(spi) = Spi::new(0x2001) else { return };
    let mac = || HmacSha1_96::new(&MAC_KEY);
    let mut outbound = ah_core::Outbound::new(spi, mac(), SeqWidth::Bits32, Profile::RFC);
    let mut inbound = ah_core::Inbound::new(spi, mac(), SeqWidth::Bits32, Profile::RFC);
    let mut signed = [0; PACKET.len() + 24];
    each("ah-sign", &mut |go| {
        let Some(mut packet) = put(bytes, &PACKET) else { return false };
        if go && sign(&mut outbound, &mut packet) && packet.len() == signed.len() {
            signed.iter_mut().zip(packet.data()).for_each(|(to, from)| *to = *from);
        }
        true
    });
    each("ah-verify", &mut |go| {
        *inbound.window_mut() = ReplayWindow::new();
        let Some(mut packet) = put(bytes, &signed) else { return false };
        !go || (verify(&mut inbound, &mut packet) && packet.data() == PACKET)
    });
}

/// Signs a packet with an IPv6 header.
#[inline(never)]
fn ah_ipv6(each: &mut dyn FnMut(&str, &mut Run<'_>), bytes: &mut [u8]) {
    let Ok(spi) = Spi::new(0x2002) else { return };
    let mut outbound = ah_core::Outbound::new(spi, HmacSha1_96::new(&MAC_KEY), SeqWidth::Bits32, Profile::RFC);
    let mut header = Ipv6Header::new(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, IpProto::TCP, 64);
    header.set_payload_length(68);
    each("ah-sign-ipv6", &mut |go| {
        let Some(mut packet) = put(bytes, &[0; 108]) else { return false };
        packet.data_mut().iter_mut().zip(header.as_bytes()).for_each(|(to, from)| *to = *from);
        !go || (sign(&mut outbound, &mut packet) && packet.len() == 108 + 24)
    });
}

#[inline(never)]
fn sign(outbound: &mut ah_core::Outbound<HmacSha1_96>, packet: &mut PacketBuf<'_>) -> bool {
    outbound.sign(packet).is_ok()
}

#[inline(never)]
fn verify(inbound: &mut ah_core::Inbound<HmacSha1_96>, packet: &mut PacketBuf<'_>) -> bool {
    inbound.verify(packet).is_ok()
}

#[inline(never)]
fn ipcomp(each: &mut dyn FnMut(&str, &mut Run<'_>), bytes: &mut [u8]) {
    let (mut deflate, mut inflate) = (FixedDeflate::new(), Inflate::new());
    let (payload, compressed) = (PACKET.get(20..).unwrap_or_default(), IPCOMP.get(20..).unwrap_or_default());
    each("ipcomp-decompress-vector", &mut |go| {
        let Some(mut packet) = put(bytes, compressed) else { return false };
        !go || (inflated(&mut inflate, &mut packet) && packet.data() == payload)
    });
    // The packet is compressed to the second half of the buffer.
    let some = payload.get(..600).unwrap_or_default();
    each("ipcomp-compress-600", &mut |go| {
        let Some(mut packet) = put(bytes, some) else { return false };
        if !go {
            return true;
        }
        let shrunk = deflated(&mut deflate, &mut packet);
        shrunk && inflated(&mut inflate, &mut packet) && packet.data() == some
    });
}

#[inline(never)]
fn ipcomp_dynamic(each: &mut dyn FnMut(&str, &mut Run<'_>), bytes: &mut [u8]) {
    let mut deflate = Deflate::new();
    let some = PACKET.get(20..620).unwrap_or_default();
    each("ipcomp-compress-dynamic-600", &mut |go| {
        let Some(mut packet) = put(bytes, some) else { return false };
        !go || deflated(&mut deflate, &mut packet)
    });
}

#[inline(never)]
fn inflated(inflate: &mut Inflate, packet: &mut PacketBuf<'_>) -> bool {
    decompress(packet, Cpi::DEFLATE, inflate) == Ok(IpProto::UDP)
}

#[inline(never)]
fn deflated(deflate: &mut impl Compressor, packet: &mut PacketBuf<'_>) -> bool {
    matches!(compress(packet, IpProto::UDP, Cpi::DEFLATE, deflate), Ok(Compression::Compressed { .. }))
}

#[inline(never)]
fn ike(each: &mut dyn FnMut(&str, &mut Run<'_>), bytes: &mut [u8]) {
    each("ike-parse-vector", &mut |go| !go || parsed());
    each("ike-write-vector", &mut |go| !go || written(bytes));
}

/// Parses a message with seven payloads and one transform.
#[inline(never)]
fn parsed() -> bool {
    let Ok(message) = Message::parse(&MESSAGE) else { return false };
    let (mut payloads, mut transforms) = (0u32, 0u32);
    for payload in message.chain().payloads() {
        payloads = payloads.wrapping_add(1);
        if let Body::SecurityAssociation(sa) = payload.view() {
            for proposal in sa.proposals() {
                transforms = proposal.transforms().fold(transforms, |n, _| n.wrapping_add(1));
            }
        }
    }
    (payloads, transforms) == (7, 1)
}

#[inline(never)]
fn written(bytes: &mut [u8]) -> bool {
    Message::parse(&MESSAGE).is_ok_and(|message| message.write(bytes).is_ok_and(|written| *written == MESSAGE))
}

/// Copies a packet to the buffer, after the headroom.
fn put<'b>(bytes: &'b mut [u8], packet: &[u8]) -> Option<PacketBuf<'b>> {
    bytes.iter_mut().skip(HEADROOM).zip(packet).for_each(|(to, from)| *to = *from);
    PacketBuf::with_headroom(bytes, HEADROOM, packet.len()).ok()
}
