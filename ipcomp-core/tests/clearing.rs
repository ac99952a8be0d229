//! Refused payloads: the octets written to the tailroom are cleared, and the others are unchanged.

use ipcomp_core::{Compressor, DecompressError, Decompressor, Deflate, Inflate, compress, decompress};
use ipsec_packet::{Cpi, IpProto, PacketBuf};

const TAILROOM: usize = 4000;
const BEFORE: u8 = 0xee;

/// Returns octets with short repetitions, in which neither zero nor [`BEFORE`] occurs.
fn text() -> Vec<u8> {
    (0..600u32).map(|n| b"ipsec, ah, esp"[(n * n / 7 % 14) as usize]).collect()
}

fn compressed(compressor: &mut impl Compressor) -> Vec<u8> {
    let mut bytes = text();
    bytes.resize(2 * bytes.len(), 0);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, text().len()).unwrap();
    compress(&mut packet, IpProto::UDP, Cpi::DEFLATE, compressor).unwrap();
    packet.data().to_vec()
}

/// Returns the tailroom after a refused packet; `None` when the packet is not refused.
fn tailroom_after(packet: &[u8], decompressor: &mut impl Decompressor, tailroom: usize) -> Option<Vec<u8>> {
    let mut bytes = packet.to_vec();
    bytes.resize(packet.len() + tailroom, BEFORE);
    let mut buffer = PacketBuf::with_headroom(&mut bytes, 0, packet.len()).unwrap();
    decompress(&mut buffer, Cpi::DEFLATE, decompressor).err()?;
    assert_eq!(buffer.data(), packet, "a refused packet must be unchanged");
    Some(bytes.split_off(packet.len()))
}

fn check_clearing(whole: &[u8], decompressor: &mut impl Decompressor) {
    assert_eq!(tailroom_after(whole, decompressor, TAILROOM), None);
    let mut max_cleared = 0;
    for length in 4..whole.len() {
        let after = tailroom_after(&whole[..length], decompressor, TAILROOM).unwrap();
        let cleared = after.iter().take_while(|octet| **octet == 0).count();
        assert!(after[cleared..].iter().all(|octet| *octet == BEFORE), "{length}: octets of the payload remain");
        assert!(
            cleared >= max_cleared && cleared <= text().len(),
            "{length}: unexpected number of cleared octets: {cleared}"
        );
        max_cleared = cleared;
    }
    assert!(max_cleared > 300, "the longest truncated payload must give more than half of the octets");
    for tailroom in 0..text().len() {
        let after = tailroom_after(whole, decompressor, tailroom).unwrap();
        let cleared = after.iter().take_while(|octet| **octet == 0).count();
        assert!(after[cleared..].iter().all(|octet| *octet == BEFORE), "{tailroom}: octets of the payload remain");
    }
}

#[test]
fn inflate_clears_only_written_octets_on_error() {
    check_clearing(&compressed(&mut Deflate::new()), &mut Inflate::new());
}

#[cfg(feature = "lzs")]
#[test]
fn lzs_clears_only_written_octets_on_error() {
    let mut lzs = ipcomp_core::Lzs::new();
    check_clearing(&compressed(&mut lzs), &mut lzs);
}

#[test]
fn packet_without_data_clears_nothing() {
    let after = tailroom_after(&[17, 0, 0, 2], &mut Inflate::new(), TAILROOM).unwrap();
    assert!(after.iter().all(|octet| *octet == BEFORE));
}

/// Decompressor that does not clear the output after an error.
struct NonClearing;

impl Decompressor for NonClearing {
    type Error = ();

    fn decompress(&mut self, _: &[u8], output: &mut [u8]) -> Result<usize, ()> {
        output[TAILROOM - 1] = b'x';
        Err(())
    }
}

#[test]
fn decompress_clears_tailroom_for_decompressor_that_does_not() {
    let packet = [17, 0, 0, 2, 1, 2, 3];
    assert_eq!(tailroom_after(&packet, &mut NonClearing, TAILROOM), Some(vec![0; TAILROOM]));
    let mut bytes = packet.to_vec();
    bytes.resize(packet.len() + TAILROOM, 0);
    let mut buffer = PacketBuf::with_headroom(&mut bytes, 0, packet.len()).unwrap();
    assert_eq!(decompress(&mut buffer, Cpi::DEFLATE, &mut NonClearing), Err(DecompressError::Payload(())));
}
