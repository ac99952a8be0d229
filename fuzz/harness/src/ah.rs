use ah_core::{Inbound, Profile, TosRule, immutable_view};
use ipsec_crypto::{AnyAhIntegrity, IntegrityAlgorithm};
use ipsec_packet::{AntiReplay, Ip, IpError, IpProto, Ipv6, PacketBuf, Seq, SeqWidth, Spi};

/// Reference implementation of the ICV input, from the tests of ah-core.
#[path = "../../../ah-core/tests/packets/reference.rs"]
mod reference;

// Protocol and option numbers that the reference implementation takes from its parent module.
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const DESTINATION: u8 = 60;
const HOME_ADDRESS: u8 = 0xc9;

pub fn verify(octets: &[u8]) {
    let [choice, packet @ ..] = octets else { return };
    let algorithms = [
        (IntegrityAlgorithm::HmacMd5_96, 16),
        (IntegrityAlgorithm::HmacSha2_256_128, 32),
        (IntegrityAlgorithm::HmacSha2_512_256, 64),
        (IntegrityAlgorithm::AesGmac, 20),
    ];
    let profiles =
        [Profile::RFC, Profile::LINUX, Profile::BSD, Profile::OPENBSD, Profile::KAME, Profile::RFC.strict_length()];
    let (algorithm, key) = algorithms[usize::from(*choice & 3)];
    let profile = profiles[usize::from(*choice >> 2) % profiles.len()];
    let width = if choice & 0x80 == 0 { SeqWidth::Bits32 } else { SeqWidth::Extended64 };
    let (Ok(integrity), Ok((spi, _))) = (AnyAhIntegrity::new(algorithm, &[7; 64][..key]), ah_core::peek(packet)) else {
        return;
    };
    let Ok(spi) = Spi::reserved(spi) else { return };
    let mut sa = Inbound::new(spi, integrity, width, profile);
    let mut bytes = packet.to_vec();
    let mut buffer = PacketBuf::received(&mut bytes);
    assert!(sa.verify(&mut buffer).is_err(), "packet without a valid ICV was accepted");
    assert_eq!(buffer.data(), packet, "refused packet was modified");
    assert_eq!(sa.window().top(), Seq::new(0), "anti-replay window was advanced by a refused packet");
}

pub fn mutable(octets: &[u8]) {
    let [cut, packet @ ..] = octets else { return };
    let Ok(ip) = Ip::parse(packet) else { return };
    let at = match &ip {
        Ip::V4(ip) => ip.header().header_len(),
        Ip::V6(ip) => 40 + usize::from(*cut) * 8 % (ip.packet().len() - 39),
    };
    if matches!(&ip, Ip::V6(ip) if is_beyond_the_reference(ip, at)) {
        let _ = immutable_view(&ip, at, Profile::RFC, &mut |_| {});
        return;
    }
    let profiles = [
        (Profile::RFC, false, false),
        (Profile::BSD, true, false),
        (Profile::BSD.with_tos(TosRule::Included), true, true),
    ];
    for (profile, whole_options, tos) in profiles {
        let mut seen = Vec::new();
        let viewed = immutable_view(&ip, at, profile, &mut |piece| seen.extend_from_slice(piece)).map(|()| seen);
        let expected = match &ip {
            Ip::V4(_) => reference::reference_ipv4(&packet[..at], tos),
            Ip::V6(_) => reference::reference_ipv6(&packet[..at], whole_options),
        };
        if profile == Profile::RFC || matches!(ip, Ip::V4(_)) || !whole_options || tos == (profile != Profile::BSD) {
            assert_eq!(viewed.ok(), expected, "{profile:?}");
        }
    }
}

/// Returns whether the headers up to `at` contain one that the reference implementation does not support, or too many.
fn is_beyond_the_reference(ip: &Ipv6<'_>, at: usize) -> bool {
    let mut chain = ip.chain();
    while chain.link().offset <= at {
        if matches!(chain.link().kind, IpProto::FRAGMENT | IpProto::AH) {
            return true;
        }
        match chain.next_extension() {
            Ok(Some(_)) => {}
            Ok(None) => return false,
            Err(e) => return e == IpError::TooManyExtensions,
        }
    }
    false
}
