//! Payloads that are refused: nothing of them stays in the tailroom, and what was not written is not touched.
#![allow(missing_docs, clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use ipcomp_core::{Compressor, DecompressError, Decompressor, Deflate, Inflate, compress, decompress};
use ipsec_packet::{Cpi, IpProto, PacketBuf};

const TAILROOM: usize = 4000;
const BEFORE: u8 = 0xee;

/// Octets with short repetitions, in which neither zero nor [`BEFORE`] occurs.
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

/// What a refused packet leaves in the tailroom; `None` when it is not refused.
fn left_by(packet: &[u8], decompressor: &mut impl Decompressor, tailroom: usize) -> Option<Vec<u8>> {
    let mut bytes = packet.to_vec();
    bytes.resize(packet.len() + tailroom, BEFORE);
    let mut buffer = PacketBuf::with_headroom(&mut bytes, 0, packet.len()).unwrap();
    decompress(&mut buffer, Cpi::DEFLATE, decompressor).err()?;
    assert_eq!(buffer.data(), packet, "a refused packet stays as it was");
    Some(bytes.split_off(packet.len()))
}

fn clears_what_it_wrote(whole: &[u8], decompressor: &mut impl Decompressor) {
    assert_eq!(left_by(whole, decompressor, TAILROOM), None);
    let mut most = 0;
    for length in 4..whole.len() {
        let left = left_by(&whole[..length], decompressor, TAILROOM).unwrap();
        let cleared = left.iter().take_while(|octet| **octet == 0).count();
        assert!(left[cleared..].iter().all(|octet| *octet == BEFORE), "{length}: octets of the payload are left");
        assert!(cleared >= most && cleared <= text().len(), "{length}: {cleared} octets are cleared");
        most = cleared;
    }
    assert!(most > 300, "the longest truncation gives more than half of the octets");
    for tailroom in 0..text().len() {
        let left = left_by(whole, decompressor, tailroom).unwrap();
        let cleared = left.iter().take_while(|octet| **octet == 0).count();
        assert!(left[cleared..].iter().all(|octet| *octet == BEFORE), "{tailroom}: octets of the payload are left");
    }
}

#[test]
fn inflate_clears_what_it_wrote_and_nothing_else() {
    clears_what_it_wrote(&compressed(&mut Deflate::new()), &mut Inflate::new());
}

#[cfg(feature = "lzs")]
#[test]
fn lzs_clears_what_it_wrote_and_nothing_else() {
    let mut lzs = ipcomp_core::Lzs::new();
    clears_what_it_wrote(&compressed(&mut lzs), &mut lzs);
}

#[test]
fn a_packet_without_data_clears_nothing() {
    let left = left_by(&[17, 0, 0, 2], &mut Inflate::new(), TAILROOM).unwrap();
    assert!(left.iter().all(|octet| *octet == BEFORE));
}

/// A decompressor that says nothing of what it leaves.
struct Careless;

impl Decompressor for Careless {
    type Error = ();

    fn decompress(&mut self, _: &[u8], output: &mut [u8]) -> Result<usize, ()> {
        output[TAILROOM - 1] = b'x';
        Err(())
    }
}

#[test]
fn the_whole_tailroom_is_cleared_for_a_decompressor_that_does_not_clear() {
    let packet = [17, 0, 0, 2, 1, 2, 3];
    assert_eq!(left_by(&packet, &mut Careless, TAILROOM), Some(vec![0; TAILROOM]));
    let mut bytes = packet.to_vec();
    bytes.resize(packet.len() + TAILROOM, 0);
    let mut buffer = PacketBuf::with_headroom(&mut bytes, 0, packet.len()).unwrap();
    assert_eq!(decompress(&mut buffer, Cpi::DEFLATE, &mut Careless), Err(DecompressError::Payload(())));
}
