//! Batches of the engine compared with the same packets one by one.

use crate::engine::gateway;

#[allow(clippy::unwrap_used)]
#[path = "../../../ipsec-engine/tests/batch_pair/mod.rs"]
mod batch_pair;

/// Largest number of packets that one instruction sends.
const MAX_PACKETS: usize = 40;

/// Executes instructions: send a batch of packets, and receive the packets that were sent, with altered and repeated
/// packets.
pub fn batches(octets: &[u8]) {
    let (mut out, mut back) = batch_pair::pairs();
    let (mut rest, mut ivs) = (octets, [0, 0]);
    while let [count, altered, more @ ..] = rest {
        let (choices, behind) = more.split_at((usize::from(*count) % MAX_PACKETS * 3).min(more.len()));
        let packets = choices.chunks_exact(3).map(|choice| {
            let [kind, port, length] = [choice[0], choice[1], choice[2]];
            batch_pair::packet(kind, u16::from(port & 3), &[port; 1400][..usize::from(length) * 5])
        });
        let packets: Vec<_> = packets.collect();
        let mut wires = batch_pair::send(&mut out, &mut ivs, &packets);
        let (changes, behind) = behind.split_at((usize::from(*altered) % 8 * 4).min(behind.len()));
        rest = behind;
        for change in changes.chunks_exact(4) {
            if wires.is_empty() {
                break;
            }
            let [from, to, place, mask] = [change[0], change[1], change[2], change[3]].map(usize::from);
            let mut again = wires[from % wires.len()].clone();
            let place = place % again.len();
            again[place] ^= mask as u8;
            wires.insert(to % wires.len(), again);
        }
        batch_pair::receive(&mut back, &wires);
    }
}
