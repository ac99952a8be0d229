//! Recorded packets of other implementations: verification, and signing to the same octets.

use ah_core::{Inbound, Profile, SignParams, VerifyError, sign_with};
use ipsec_crypto::{AnyAhIntegrity, IntegrityAlgorithm};
use ipsec_packet::{
    AntiReplay, DestinationOptions, Ip, IpProto, PacketBuf, ReplayWindow, Seq, SeqWidth, Spi, locate, set_length,
    transport_position,
};
use test_vectors::{Expected, PacketRecord, Record, ReplayRecord, data, read_file, to_hex};

fn records(file: &str) -> Vec<Record> {
    read_file(&data().join("packets").join(file)).unwrap().into_iter().map(|located| located.record).collect()
}

fn packets(file: &str) -> Vec<PacketRecord> {
    let packet = |record| match record {
        Record::Packet(packet) => (packet.sa.proto == "ah").then_some(*packet),
        Record::Unknown { id, problem, .. } => panic!("{id}: {problem}"),
        _ => None,
    };
    records(file).into_iter().filter_map(packet).collect()
}

fn integrity(name: &str, key: &[u8]) -> AnyAhIntegrity {
    AnyAhIntegrity::new(IntegrityAlgorithm::by_name(name).unwrap(), key).unwrap()
}

fn profile(name: Option<&str>) -> Profile {
    match name {
        None => Profile::RFC,
        Some("align8") => Profile::LINUX,
        Some(other) => panic!("profile {other}"),
    }
}

fn width(esn: bool) -> SeqWidth {
    if esn { SeqWidth::Extended64 } else { SeqWidth::Bits32 }
}

/// Verifies the packet and returns it without AH, and in tunnel mode without the outer header.
fn receive<W: AntiReplay>(
    rx: &mut Inbound<AnyAhIntegrity, W>,
    mode: &str,
    wire: &[u8],
) -> Result<Vec<u8>, VerifyError> {
    let mut bytes = wire.to_vec();
    let mut packet = PacketBuf::received(&mut bytes);
    let verified = match rx.verify(&mut packet) {
        Ok(verified) => verified,
        Err(e) => {
            assert_eq!(packet.data(), wire);
            return Err(e);
        }
    };
    if mode == "tunnel" {
        assert!(matches!(verified.next_header, IpProto::IPV4 | IpProto::IPV6));
        let outer = if wire[0] >> 4 == 4 { 20 } else { 40 };
        packet.pull_front(outer).unwrap();
        return Ok(Ip::parse(packet.data()).unwrap().packet().to_vec());
    }
    Ok(packet.data().to_vec())
}

fn verified(record: &PacketRecord) -> Result<Vec<u8>, VerifyError> {
    let window = match (record.sa.esn, record.seq_high) {
        (true, Some(high)) => ReplayWindow::<2>::starting_at(Seq::new(u64::from(high) << 32)),
        _ => ReplayWindow::new(),
    };
    let (integrity, profile) =
        (integrity(&record.sa.auth, &record.sa.auth_key), profile(record.sa.ah_profile.as_deref()));
    let spi = Spi::reserved(record.sa.spi).unwrap();
    let mut rx = Inbound::with_window(spi, integrity, width(record.sa.esn), profile, window);
    receive(&mut rx, &record.sa.mode, &record.wire_packet)
}

/// Signs the plain packet as the recorded sender did: with its outer header and its position of AH.
fn signed(record: &PacketRecord) -> Vec<u8> {
    let (plain, wire) = (record.plain_packet.as_ref().unwrap(), &record.wire_packet);
    let expected = locate(wire, IpProto::AH).unwrap();
    let outer = if record.sa.mode == "tunnel" { wire[..expected.at].to_vec() } else { vec![] };
    let mut bytes = [&vec![0; 96][..], &outer, plain].concat();
    let mut packet = PacketBuf::with_headroom(&mut bytes, 96, outer.len() + plain.len()).unwrap();
    if record.sa.mode == "tunnel" {
        packet.data_mut()[expected.next_header_at] = wire[expected.at];
        set_length(packet.data_mut()).unwrap();
    }
    let place = |options: &DestinationOptions| transport_position(packet.data(), *options).unwrap().at == expected.at;
    let options = [DestinationOptions::Protected, DestinationOptions::Unprotected].into_iter().find(place).unwrap();
    let spi = Spi::reserved(record.sa.spi).unwrap();
    let (seq, profile) = (Seq::new(record.seq.unwrap()), profile(record.sa.ah_profile.as_deref()));
    let envelope = SignParams { spi, seq, width: width(record.sa.esn), profile, options };
    let mut iv = [0; 8];
    iv[..record.iv.len()].copy_from_slice(&record.iv);
    sign_with(&integrity(&record.sa.auth, &record.sa.auth_key), &envelope, iv, &mut packet).unwrap();
    packet.data().to_vec()
}

//= RFC 4302 2/1, 5/1
//# MUST: the header in front of AH names protocol 51
//# MUST: syntax and processing of AH for unicast traffic are implemented
#[test]
fn recorded_packets_verify_and_are_signed_to_the_same_octets() {
    let (mut accepted, mut sealed) = (0, 0);
    for record in ["ah.jsonl", "linux_kernel.jsonl"].into_iter().flat_map(packets) {
        assert_eq!(record.expected, Expected::Accept, "{}", record.id);
        assert_eq!(verified(&record).as_deref(), Ok(&record.plain_packet.as_ref().unwrap()[..]), "{}", record.id);
        accepted += 1;
        // The variants were changed in transit, and the Linux packet is padded with octets of uninitialized memory.
        if !record.id.contains("!mutable") && record.id != "linux-ah-tun-sha256-288" {
            assert_eq!(to_hex(&signed(&record)), to_hex(&record.wire_packet), "{}", record.id);
            sealed += 1;
        }
    }
    assert_eq!((accepted, sealed), (16, 13));
}

#[test]
fn damaged_recorded_packets_are_refused() {
    let records = packets("esp_ah_negative.jsonl");
    for record in &records {
        assert_eq!(record.expected, Expected::Reject, "{}", record.id);
        assert!(verified(record).is_err(), "{}", record.id);
    }
    assert_eq!(records.len(), 14);
}

fn replay<const WORDS: usize>(record: &ReplayRecord) {
    let window = ReplayWindow::<WORDS>::with_top(Seq::new(record.initial_top));
    assert_eq!(ReplayWindow::<WORDS>::size(), record.window, "{}", record.id);
    let (integrity, profile) =
        (integrity(&record.sa.auth, &record.sa.auth_key), profile(record.sa.ah_profile.as_deref()));
    let spi = Spi::reserved(record.sa.spi).unwrap();
    let mut rx = Inbound::with_window(spi, integrity, width(record.sa.esn), profile, window);
    for (at, packet) in record.packets.iter().enumerate() {
        let seen = receive(&mut rx, &record.sa.mode, &packet.wire_packet);
        match packet.expected {
            Expected::Accept => assert_eq!(seen.as_deref(), Ok(&packet.plain_packet[..]), "{}, {at}", record.id),
            Expected::Reject => assert!(seen.is_err(), "{}, packet {at}", record.id),
            Expected::Any => panic!("{}: no expected result", record.id),
        }
    }
}

#[test]
fn recorded_replay_sequences_are_accepted_and_refused() {
    let mut windows = Vec::new();
    for record in records("replay_sequences.jsonl") {
        match record {
            Record::Replay(record) if record.sa.proto == "ah" => {
                match record.window {
                    32 => replay::<1>(&record),
                    64 => replay::<2>(&record),
                    other => panic!("unsupported window size: {other}"),
                }
                windows.push(record.window);
            }
            _ => {}
        }
    }
    assert_eq!(windows, [32, 64]);
}
