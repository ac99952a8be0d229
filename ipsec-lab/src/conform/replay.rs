//! Records of type `replay`.

use ipsec_engine::Transform;
use ipsec_packet::{AntiReplay, PacketBuf, ReplayWindow, Seq};
use test_vectors::{Expected, ReplayRecord, to_hex};

use super::{Failure, sa};

/// Passes the packets in order to one receiver.
pub fn check(record: &ReplayRecord) -> Result<(), Failure> {
    match record.window {
        32 => with_window(record, ReplayWindow::<1>::with_top(Seq::new(record.initial_top))),
        64 => with_window(record, ReplayWindow::<2>::with_top(Seq::new(record.initial_top))),
        96 => with_window(record, ReplayWindow::<3>::with_top(Seq::new(record.initial_top))),
        128 => with_window(record, ReplayWindow::<4>::with_top(Seq::new(record.initial_top))),
        256 => with_window(record, ReplayWindow::<8>::with_top(Seq::new(record.initial_top))),
        512 => with_window(record, ReplayWindow::<16>::with_top(Seq::new(record.initial_top))),
        1024 => with_window(record, ReplayWindow::<32>::with_top(Seq::new(record.initial_top))),
        2048 => with_window(record, ReplayWindow::<64>::with_top(Seq::new(record.initial_top))),
        4096 => with_window(record, ReplayWindow::<128>::with_top(Seq::new(record.initial_top))),
        8192 => with_window(record, ReplayWindow::<256>::with_top(Seq::new(record.initial_top))),
        16384 => with_window(record, ReplayWindow::<512>::with_top(Seq::new(record.initial_top))),
        32768 => with_window(record, ReplayWindow::<1024>::with_top(Seq::new(record.initial_top))),
        65536 => with_window(record, ReplayWindow::<2048>::with_top(Seq::new(record.initial_top))),
        other => Err(Failure::new("a window of 32 to 65536 packets", other)),
    }
}

fn with_window<W: AntiReplay>(record: &ReplayRecord, window: W) -> Result<(), Failure> {
    let spi = sa::spi(record.sa.spi).ok_or_else(|| Failure::new("an SPI", "0"))?;
    let width = sa::width(record.sa.esn);
    let transform = match record.sa.proto.as_str() {
        "esp" => Transform::EspIn(esp_core::Inbound::with_window(spi, sa::suite(&record.sa)?, width, window)),
        "ah" => {
            let (integrity, profile) = (sa::ah_integrity(&record.sa)?, sa::profile(record.sa.ah_profile.as_deref())?);
            Transform::AhIn(ah_core::Inbound::with_window(spi, integrity, width, profile, window))
        }
        other => return Err(Failure::new("protocol `esp` or `ah`", other)),
    };
    let first = record.packets.first().map_or(&[][..], |sent| &sent.wire_packet);
    let mut receiver = sa::receiver(&record.sa.mode, first, record.sa.udp_encap, transform)?;
    for (number, sent) in record.packets.iter().enumerate() {
        let mut bytes = sent.wire_packet.to_vec();
        let mut packet = PacketBuf::received(&mut bytes);
        let received = receiver.open_captured(&mut packet, None);
        let at = format!("packet {number}, number {}", sent.seq);
        match (sent.expected, received) {
            (Expected::Any, _) => {}
            (Expected::Reject, Err(reason)) => super::refused(sent.expected_reason.as_deref(), &reason.to_string())
                .map_err(|failure| Failure::new(format!("{at}: {}", failure.expected), failure.got))?,
            (Expected::Accept, Ok(_)) if packet.data() == &*sent.plain_packet => {}
            (Expected::Accept, Ok(_)) => {
                return Err(Failure::new(format!("{at}: {}", to_hex(&sent.plain_packet)), to_hex(packet.data())));
            }
            (Expected::Accept, Err(refused)) => return Err(Failure::new(format!("{at}: accept"), refused)),
            (Expected::Reject, Ok(_)) => return Err(Failure::new(format!("{at}: reject"), "accept")),
        }
    }
    Ok(())
}
