//! Buffer in which packets are processed one after the other.

use ipsec_packet::PacketBuf;

/// Buffer with head- and tailroom that is allocated once for all packets.
///
/// It is not cleared between packets: head- and tailroom contain octets of earlier ones. [`PacketBuf`] gives them to
/// its caller only to be overwritten.
#[derive(Default)]
pub struct WorkBuffer(Vec<u8>);

impl WorkBuffer {
    /// Copies a packet into the buffer, with this number of octets in front of it and behind it.
    pub fn packet(&mut self, packet: &[u8], headroom: usize, tailroom: usize) -> PacketBuf<'_> {
        let end = headroom + packet.len();
        if self.0.len() < end + tailroom {
            self.0.resize(end + tailroom, 0);
        }
        // The room does not depend on the length of earlier packets.
        let bytes = &mut self.0[..end + tailroom];
        bytes[headroom..end].copy_from_slice(packet);
        PacketBuf::with_headroom(bytes, headroom, packet.len()).expect("the buffer is large enough")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_of_a_packet_does_not_depend_on_earlier_packets() {
        let mut buffer = WorkBuffer::default();
        for (headroom, length) in [(512, 64), (512, 1408), (0, 65535), (512, 64), (0, 0)] {
            let packet = vec![0xa5; length];
            let copy = buffer.packet(&packet, headroom, 512);
            assert_eq!((copy.headroom(), copy.data(), copy.tailroom()), (headroom, &packet[..], 512));
        }
    }
}
