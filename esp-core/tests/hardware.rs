//! The accelerator of the example, a suite in three phases, gives the same packets as the suite in software.

#[path = "../examples/hardware/device.rs"]
mod device;

use device::Accelerator;
use esp_core::{Inbound, OpenError, Outbound, PadCheck, Padding, SealParams, SealSlot, open_with, seal_with};
use ipsec_crypto::batch::Batched;
use ipsec_crypto::{Aes128Cbc, EncryptThenMac, HmacSha1_96};
use ipsec_packet::{IpProto, PacketBuf, Seq, SeqWidth, Spi};

const CIPHER: [u8; 16] = [3; 16];
const MAC: [u8; 20] = [5; 20];

fn software() -> EncryptThenMac<Aes128Cbc, HmacSha1_96> {
    EncryptThenMac::new(Aes128Cbc::new(&CIPHER), HmacSha1_96::new(&MAC))
}

fn iv(seq: Seq, iv: &mut [u8]) {
    iv.fill(seq.low()[3]);
}

#[test]
fn device_and_software_seal_the_same_octets() {
    for width in [SeqWidth::Bits32, SeqWidth::Extended64] {
        let spi = Spi::new(0x1001).unwrap();
        let mut software_sa = Outbound::new(spi, software(), width);
        let mut device_sa = Outbound::new(spi, Accelerator::new(&CIPHER, &MAC), width);
        let mut receiver = Inbound::new(spi, Accelerator::new(&CIPHER, &MAC), width);
        for fill in 0..200u8 {
            let (mut one, mut two, len) = ([fill; 300], [fill; 300], usize::from(fill));
            let mut one = PacketBuf::with_headroom(&mut one, 24, len).unwrap();
            let mut two = PacketBuf::with_headroom(&mut two, 24, len).unwrap();
            software_sa.seal(&mut one, IpProto::TCP, &mut iv).unwrap();
            device_sa.seal(&mut two, IpProto::TCP, &mut iv).unwrap();
            assert_eq!(one.data(), two.data(), "{len}");
            receiver.open(&mut one).unwrap();
            assert_eq!(one.data(), vec![fill; len]);
        }
    }
}

#[test]
fn seal_batch_starts_the_device_once() {
    let spi = Spi::new(0x1001).unwrap();
    let mut software_sa = Outbound::new(spi, software(), SeqWidth::Bits32);
    let mut device_sa = Outbound::new(spi, Batched::new(Accelerator::new(&CIPHER, &MAC)), SeqWidth::Bits32);
    let mut buffers = [[9; 700]; 20];
    let lengths = (0..20).map(|n| n * 31);
    let mut expected = Vec::new();
    for len in lengths.clone() {
        let mut bytes = [9; 700];
        let mut packet = PacketBuf::with_headroom(&mut bytes, 24, len).unwrap();
        software_sa.seal(&mut packet, IpProto::UDP, &mut iv).unwrap();
        expected.push(packet.data().to_vec());
    }
    let packets = buffers.iter_mut().zip(lengths).map(|(bytes, len)| PacketBuf::with_headroom(bytes, 24, len).unwrap());
    let mut slots: Vec<_> = packets.map(|packet| SealSlot::new(packet, IpProto::UDP)).collect();
    assert_eq!(device_sa.seal_batch(&mut slots, &mut iv), 20);
    assert_eq!(device_sa.suite().inner().starts(), 1);
    assert!(slots.iter().zip(&expected).all(|(slot, sealed)| slot.packet.data() == sealed));
}

#[test]
fn open_by_device_leaves_a_packet_with_wrong_icv_unchanged() {
    let spi = Spi::new(0x1001).unwrap();
    let mut out = Outbound::new(spi, software(), SeqWidth::Bits32);
    let mut into = Inbound::new(spi, Accelerator::new(&CIPHER, &MAC), SeqWidth::Bits32);
    let mut bytes = [1; 200];
    let mut packet = PacketBuf::with_headroom(&mut bytes, 24, 90).unwrap();
    out.seal(&mut packet, IpProto::TCP, &mut iv).unwrap();
    let sealed = packet.data().to_vec();
    for at in 8..sealed.len() {
        let mut modified = sealed.clone();
        modified[at] ^= 0x10;
        let before = modified.clone();
        let mut packet = PacketBuf::received(&mut modified);
        assert_eq!(into.open(&mut packet), Err(OpenError::IcvMismatch));
        assert_eq!(packet.data(), before);
    }
    into.open(&mut packet).unwrap();
}

/// Sequence numbers are reserved first; the packets are sealed later in any order, as the SA would have sealed them.
#[test]
fn reserved_sequence_numbers_seal_packets_later() {
    let spi = Spi::new(0x1001).unwrap();
    let mut sa = Outbound::new(spi, Accelerator::new(&CIPHER, &MAC), SeqWidth::Bits32);
    let run: Vec<_> = sa.reserve(3).unwrap().collect();
    let mut next = [7; 100];
    let mut next = PacketBuf::with_headroom(&mut next, 24, 30).unwrap();
    assert_eq!(sa.seal(&mut next, IpProto::TCP, &mut iv).unwrap(), Seq::new(4));
    for seq in run.into_iter().rev() {
        let mut bytes = [8; 100];
        let mut packet = PacketBuf::with_headroom(&mut bytes, 24, 30).unwrap();
        let (width, padding) = (SeqWidth::Bits32, Padding::MINIMAL);
        let envelope = SealParams { spi, seq, width, next_header: IpProto::TCP, padding };
        seal_with(sa.suite(), &envelope, &[seq.low()[3]; 16], &mut packet).unwrap();
        let opened = open_with(&software(), seq, width, PadCheck::Full, &mut packet).unwrap();
        assert_eq!((opened.seq, packet.data()), (seq, &[8; 30][..]));
    }
}
