//! Other libraries, called "peers": their cipher and MAC, around which the benchmark builds ESP packets.

use std::hint::black_box;

use ipsec_packet::Seq;

use super::suite::{Receiver, Sizes, Suite};
use super::{Contender, Op, PACKETS};

/// Cipher and MAC of a library on packets in place: SPI, sequence number, IV, body, ICV.
pub trait Peer {
    /// Encrypts the bodies and writes the ICVs.
    fn seal(&mut self, packets: &mut [Vec<u8>]);
    /// Verifies the ICVs and decrypts the bodies. Returns false if an ICV is wrong.
    fn open(&mut self, packets: &mut [Vec<u8>]) -> bool;
}

/// Peer that processes one packet per call.
pub struct OneByOne<S, O> {
    pub seal: S,
    pub open: O,
}

impl<S: FnMut(&mut [u8]), O: FnMut(&mut [u8]) -> bool> Peer for OneByOne<S, O> {
    fn seal(&mut self, packets: &mut [Vec<u8>]) {
        packets.iter_mut().for_each(|packet| (self.seal)(packet));
    }

    fn open(&mut self, packets: &mut [Vec<u8>]) -> bool {
        packets.iter_mut().all(|packet| (self.open)(packet))
    }
}

/// Returns a contender for a peer, after asserting that it seals packets to the same octets as this workspace.
pub fn contender(
    (name, mode, at_once, mut peer): (&'static str, &'static str, usize, Box<dyn Peer>),
    suite: Suite,
    op: Op,
    sizes: Sizes,
    sealed: &[Vec<u8>],
) -> Contender {
    let frame = move |packets: &mut [Vec<u8>], first: usize| {
        for (packet, n) in packets.iter_mut().zip(first..) {
            suite.frame(packet, sizes.payload(n), n as u32 + 1);
        }
    };
    let mut packets: Vec<Vec<u8>> = (0..PACKETS).map(|n| vec![0; suite.packet(sizes.payload(n))]).collect();
    let framed = packets.clone();
    for (n, packets) in packets.chunks_mut(at_once).enumerate() {
        frame(packets, n * at_once);
        peer.seal(packets);
    }
    assert!(packets == sealed, "{name} seals {} to different octets", suite.name);
    assert!(packets.chunks_mut(at_once).all(|packets| peer.open(packets)), "{name} does not open {}", suite.name);
    packets = framed;

    let sealed = sealed.to_vec();
    let run: Box<dyn FnMut()> = match op {
        Op::Seal => Box::new(move || {
            for (n, packets) in packets.chunks_mut(at_once).enumerate() {
                frame(packets, n * at_once);
                peer.seal(black_box(packets));
            }
        }),
        Op::Open => Box::new(move || {
            let mut receiver = Receiver::new(suite);
            let mut numbers = [Seq::new(0); PACKETS];
            packets.iter_mut().zip(&sealed).for_each(|(packet, sealed)| packet.copy_from_slice(sealed));
            for packets in black_box(&mut packets).chunks_mut(at_once) {
                for (packet, number) in packets.iter_mut().zip(&mut numbers) {
                    *number = receiver.admit(packet).expect("packet in order");
                }
                assert!(peer.open(black_box(packets)));
                for (packet, number) in packets.iter().zip(numbers) {
                    black_box(receiver.decapsulate(packet, number).expect("valid padding"));
                }
            }
        }),
    };
    Contender { name, mode, run }
}
