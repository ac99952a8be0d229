use std::cell::RefCell;

use ipsec_config::setkey;

use super::*;
use crate::policy::new_engine;

/// Sink that keeps its packets.
#[derive(Default)]
struct Kept(RefCell<Vec<Vec<u8>>>);

impl PacketSink for Kept {
    fn send(&self, packet: &[u8]) -> io::Result<()> {
        self.0.borrow_mut().push(packet.to_vec());
        Ok(())
    }
}

impl Kept {
    fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.0.borrow_mut())
    }
}

const SA: &str = r#"add 192.0.2.1 198.51.100.1 esp 0x1001 -m tunnel -r 8 -E aes-cbc "sixteen octets !" -A hmac-sha1 "twenty octets it has";"#;
const POLICIES: [&str; 2] = [
    "spdadd 10.1.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;",
    "spdadd 10.1.0.0/16 10.2.0.0/16 any -P in ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;",
];

fn plane(text: &str, local: &str) -> Plane {
    let mut engine = new_engine();
    setkey::apply(&mut *engine, text.as_bytes(), &[local.parse().unwrap()], Instant::ZERO).unwrap();
    Plane::new(engine)
}

/// Returns an IPv4 packet from 10.1.0.1 to 10.2.0.1 of a protocol for experiments, with this last octet.
fn packet(last: u8) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 24, 0x1c, 0x46, 0, 0, 64, 253, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1, 1, 2, 3, last];
    let sum = ipsec_packet::Checksum::new().over(&packet[..20]).finish();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn outbound(plane: &mut Plane, packet: &[u8], wire: &Kept) {
    plane.outbound(Instant::ZERO, &mut Buffer::new().copy(packet).unwrap(), wire).unwrap();
}

#[test]
fn batches_send_the_packets_of_a_loop() {
    let manual = SA.replace("0x1001 -m", "0x1001 -esp_frag 552 -m");
    let policies = format!(
        "{manual}{}spdadd 10.1.0.0/16 10.3.0.0/16 any -P out none;\
         spdadd 10.1.0.0/16 10.4.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.4/require;",
        POLICIES[0]
    );
    let new =
        || plane(&policies, "192.0.2.1").with_packet_limits(true).with_addresses(vec!["10.1.0.254".parse().unwrap()]);
    // Packets that are protected, divided, reported, passed, kept and malformed.
    let packets: Vec<Vec<u8>> = (0..40u8)
        .map(|at| {
            let mut packet = packet(at);
            match at % 8 {
                1 | 2 => packet[17] = 3,
                3 => packet[17] = 4,
                4 | 5 => {
                    packet.extend([at; 900]);
                    packet[2..4].copy_from_slice(&924u16.to_be_bytes());
                    packet[6] = if at % 8 == 5 { 0x40 } else { 0 };
                }
                6 => packet.truncate(10),
                _ => {}
            }
            packet
        })
        .collect();
    let (single, together) = (Kept::default(), Kept::default());
    let (mut one, mut batch) = (new(), new());
    packets.iter().for_each(|packet| outbound(&mut one, packet, &single));
    let mut buffers: Vec<_> = packets.iter().map(|_| Buffer::new()).collect();
    let slots = buffers.iter_mut().zip(&packets).map(|(buffer, packet)| buffer.copy(packet).unwrap());
    batch.outbound_batch(Instant::ZERO, slots.collect(), &together, &mut |e| panic!("{e}"));
    // IVs are random, and a batch may report a packet before it sends others.
    let shape = |kept: &Kept| {
        let sent = kept.take();
        let of_kind = |esp: bool| -> Vec<_> {
            let own = sent.iter().filter(|packet| (packet[9] == 50) == esp);
            own.map(|packet| (packet.len(), packet[..if esp { 28 } else { packet.len() }].to_vec())).collect()
        };
        [of_kind(true), of_kind(false)]
    };
    let (expected, found) = (shape(&single), shape(&together));
    assert!(expected[0].len() >= 15 && expected[1].len() >= 15, "{} {}", expected[0].len(), expected[1].len());
    let without_identification = |(length, mut octets): (usize, Vec<u8>)| {
        octets[4..6].fill(0);
        octets[10..12].fill(0);
        (length, octets)
    };
    for (expected, found) in expected.into_iter().zip(found) {
        let [expected, found] =
            [expected, found].map(|all| all.into_iter().map(without_identification).collect::<Vec<_>>());
        assert_eq!(expected, found);
    }
    let counters = |plane: &Plane| plane.engine.counters().clone();
    assert_eq!(format!("{:?}", counters(&one)), format!("{:?}", counters(&batch)));
    assert_eq!(one.waiting, batch.waiting);
}

#[test]
fn packets_above_the_limit_of_an_sa_are_divided_before_esp() {
    let limited = SA.replace("-r 8", "-r 8 -esp_frag 552");
    let mut sender = plane(&format!("{limited}{}", POLICIES[0]), "192.0.2.1").with_packet_limits(true);
    let mut receiver = plane(&format!("{SA}{}", POLICIES[1]), "198.51.100.1");
    let (wire, host) = (Kept::default(), Kept::default());
    let mut long = packet(7);
    long.extend((0..1400u16).map(|at| at.to_le_bytes()[0]));
    let length = u16::try_from(long.len()).unwrap();
    long[2..4].copy_from_slice(&length.to_be_bytes());
    long[10..12].fill(0);
    let sum = ipsec_packet::Checksum::new().over(&long[..20]).finish();
    long[10..12].copy_from_slice(&sum.to_be_bytes());
    outbound(&mut sender, &long, &wire);
    let sent = wire.take();
    assert!(sent.len() == 3 && sent.iter().all(|packet| packet.len() <= 552 && packet[6] & 0x20 == 0));
    for packet in &sent {
        receiver.inbound(Instant::ZERO, &mut Buffer::new().copy(packet).unwrap(), &host).unwrap();
    }
    let payload: Vec<u8> = host.take().iter().flat_map(|fragment| fragment[20..].to_vec()).collect();
    assert_eq!(payload, long[20..]);
    // The sender of a packet that must not be divided receives a report.
    long[6] = 0x40;
    let mut sender = sender.with_addresses(vec!["10.1.0.254".parse().unwrap()]);
    outbound(&mut sender, &long, &wire);
    let reports = wire.take();
    assert!(reports.len() == 1 && reports[0][9] == 1 && reports[0][20] == 3, "{reports:?}");
}

#[test]
fn packets_pass_from_one_protected_side_to_the_other() {
    let mut sender = plane(&format!("{SA}{}", POLICIES[0]), "192.0.2.1");
    let mut receiver = plane(&format!("{SA}{}", POLICIES[1]), "198.51.100.1");
    let (wire, host) = (Kept::default(), Kept::default());
    outbound(&mut sender, &packet(7), &wire);
    let sent = wire.take();
    assert_eq!((sent.len(), sent[0][9]), (1, 50));
    let mut buffer = Buffer::new();
    let sa = receiver.inbound(Instant::ZERO, &mut buffer.copy(&sent[0]).unwrap(), &host).unwrap().unwrap();
    assert_eq!(sa.spi, 0x1001);
    assert_eq!(host.take(), [packet(7)]);
    let replay = receiver.inbound(Instant::ZERO, &mut buffer.copy(&sent[0]).unwrap(), &host).unwrap();
    assert!(replay.is_none() && host.take().is_empty(), "a replayed packet is not delivered");
}

#[test]
fn cleartext_is_neither_sent_nor_delivered() {
    let mut plane = plane(&POLICIES.concat(), "192.0.2.1");
    let (wire, host) = (Kept::default(), Kept::default());
    outbound(&mut plane, &packet(7), &wire);
    plane.inbound(Instant::ZERO, &mut Buffer::new().copy(&packet(7)).unwrap(), &host).unwrap();
    let mut unmatched = packet(7);
    unmatched[16] = 11;
    outbound(&mut plane, &unmatched, &wire);
    assert!(wire.take().is_empty() && host.take().is_empty());
}

#[test]
fn the_last_packet_of_a_policy_is_sent_when_the_sa_exists() {
    let mut plane = plane(POLICIES[0], "192.0.2.1");
    let wire = Kept::default();
    outbound(&mut plane, &packet(1), &wire);
    outbound(&mut plane, &packet(2), &wire);
    let policy = plane.engine.policies().next().unwrap().0;
    let ipsec_engine::SaEvent::Acquire(acquire) = plane.engine.poll_event().unwrap() else { panic!("an acquire") };
    assert_eq!(acquire.policy, policy);
    setkey::apply(&mut *plane.engine, SA.as_bytes(), &["192.0.2.1".parse().unwrap()], Instant::ZERO).unwrap();
    plane.send_waiting(Instant::ZERO, policy, &wire).unwrap();
    assert_eq!(wire.take().len(), 1);
    plane.send_waiting(Instant::ZERO, policy, &wire).unwrap();
    assert!(wire.take().is_empty(), "it is sent once");
    let mut plane = self::plane(POLICIES[0], "192.0.2.1");
    outbound(&mut plane, &packet(1), &wire);
    let policy = plane.engine.policies().next().unwrap().0;
    setkey::apply(&mut *plane.engine, SA.as_bytes(), &["192.0.2.1".parse().unwrap()], Instant::ZERO).unwrap();
    plane.send_waiting(Instant::ZERO + MAX_WAIT + Duration::from_secs(1), policy, &wire).unwrap();
    assert!(wire.take().is_empty(), "it has waited for too long");
}

/// Sink whose route has an MTU of 900 octets.
#[derive(Default)]
struct Narrow(Kept);

impl PacketSink for Narrow {
    fn send(&self, packet: &[u8]) -> io::Result<()> {
        if packet.len() > 900 { Err(rustix::io::Errno::MSGSIZE.into()) } else { self.0.send(packet) }
    }

    fn route_mtu(&self, _: IpAddr, _: IpAddr) -> Option<u16> {
        Some(900)
    }
}

#[test]
fn packets_that_are_too_big_are_reported_to_their_sender() {
    let address = "10.1.0.254".parse().unwrap();
    let mut plane = plane(&format!("{SA}{}", POLICIES[0]), "192.0.2.1").with_addresses(vec![address]);
    let wire = Narrow::default();
    let mut send = |length: u16| {
        let mut packet = packet(7);
        packet.resize(length.into(), 0);
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        (packet[6], packet[10], packet[11]) = (0x40, 0, 0);
        let sum = ipsec_packet::Checksum::new().over(&packet[..20]).finish();
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        plane.outbound(Instant::ZERO, &mut Buffer::new().copy(&packet).unwrap(), &wire).unwrap();
        wire.0.take()
    };
    assert!(send(880).is_empty(), "the first packet is lost");
    let reply = send(880).pop().unwrap();
    assert_eq!((&reply[12..20], &reply[20..22]), (&[10, 1, 0, 254, 10, 1, 0, 1][..], &[3, 4][..]));
    let mtu = u16::from_be_bytes([reply[26], reply[27]]);
    assert!((800..880).contains(&mtu), "MTU {mtu}");
    assert_eq!(send(mtu).pop().unwrap()[9], 50, "a packet of this size is protected and sent");
}

#[test]
fn reports_to_senders_behind_a_policy_are_not_sent_in_clear() {
    let to_sender = "spdadd 10.1.0.254/32 10.1.0.1/32 any -P out";
    let bypass = format!("{to_sender} none;");
    let with_sa = format!("{to_sender} ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;");
    let without_sa = format!("{to_sender} ipsec esp/tunnel/192.0.2.1-198.51.100.4/require;");
    let discard = format!("{to_sender} discard;");
    for (policy, protocol) in
        [("", Some(1)), (&bypass, Some(1)), (&with_sa, Some(50)), (&without_sa, None), (&discard, None)]
    {
        let address = "10.1.0.254".parse().unwrap();
        let mut plane = plane(&format!("{SA}{}{policy}", POLICIES[0]), "192.0.2.1").with_addresses(vec![address]);
        let mut packet = packet(7);
        packet[6] = 0x40;
        let wire = Kept::default();
        plane.report_too_big(Instant::ZERO, &packet, 800, &wire).unwrap();
        assert_eq!(wire.take().first().map(|sent| sent[9]), protocol, "{policy}");
    }
}

/// Sink over IPv6 whose route has an MTU of 1,300 octets.
#[derive(Default)]
struct Fragmenting {
    whole: Kept,
    fragmented: Kept,
}

impl PacketSink for Fragmenting {
    fn send(&self, packet: &[u8]) -> io::Result<()> {
        if packet.len() > 1300 { Err(rustix::io::Errno::MSGSIZE.into()) } else { self.whole.send(packet) }
    }

    fn send_in_fragments(&self, packet: &[u8]) -> io::Result<()> {
        self.fragmented.send(packet)
    }

    fn route_mtu(&self, _: IpAddr, _: IpAddr) -> Option<u16> {
        Some(1300)
    }
}

/// Returns the plane of an IPv6 tunnel, and a packet of 1,300 octets that may be fragmented.
fn tunnel_over_v6() -> (Plane, Vec<u8>) {
    let over_v6 = |text: &str| text.replace("192.0.2.1", "2001:db8::1").replace("198.51.100.1", "2001:db8::2");
    let mut large = packet(7);
    large.resize(1300, 0);
    large[2..4].copy_from_slice(&1300_u16.to_be_bytes());
    (large[10], large[11]) = (0, 0);
    let sum = ipsec_packet::Checksum::new().over(&large[..20]).finish();
    large[10..12].copy_from_slice(&sum.to_be_bytes());
    (plane(&over_v6(&format!("{SA}{}", POLICIES[0])), "2001:db8::1"), large)
}

#[test]
fn packets_that_may_be_fragmented_leave_in_fragments_over_ipv6() {
    let (mut plane, large) = tunnel_over_v6();
    let wire = Fragmenting::default();
    let mut send = || {
        plane.outbound(Instant::ZERO, &mut Buffer::new().copy(&large).unwrap(), &wire).unwrap();
        (wire.whole.take().len(), wire.fragmented.take().len())
    };
    assert_eq!(send(), (0, 0), "the first packet is lost: the path MTU is lowered");
    assert_eq!(send(), (0, 1));
}

#[test]
fn reports_of_routers_lower_the_path_mtu() {
    let (mut plane, large) = tunnel_over_v6();
    let (wire, mut octets) = (Kept::default(), [0; MAX_ICMP_ERROR]);
    outbound(&mut plane, &large, &wire);
    let sent = wire.take().pop().unwrap();
    let report = too_big_reply(&sent, 1300, "2001:db8::7".parse().unwrap(), &mut octets).unwrap().to_vec();
    let mut forged = report.clone();
    forged[48 + 40 + 3] ^= 1;
    assert_eq!(plane.report_path_mtu(Instant::ZERO, &forged), None, "no SA has the SPI");
    let destination = "2001:db8::2".parse().unwrap();
    assert_eq!(plane.report_path_mtu(Instant::ZERO, &report), Some((destination, 1300)));
    assert_eq!(plane.report_path_mtu(Instant::ZERO, &report), None, "it is not lower");
    assert_eq!(plane.report_path_mtu(Instant::ZERO, &large), None);
}

#[test]
fn packets_of_a_bound_sa_from_another_source_are_refused() {
    let mut sender = plane(&format!("{SA}{}", POLICIES[0]), "192.0.2.1");
    let mut receiver = plane(&format!("{SA}{}", POLICIES[1]), "198.51.100.1");
    let (wire, host) = (Kept::default(), Kept::default());
    let id = receiver.engine.sas().next().unwrap().key;
    for (source, is_accepted) in [([10, 1, 0, 1], true), ([10, 1, 0, 2], false)] {
        receiver.bind(id, AddressRange::host(IpAddr::from(source)));
        outbound(&mut sender, &packet(7), &wire);
        let sent = wire.take();
        let mut buffer = Buffer::new();
        let received = receiver.inbound(Instant::ZERO, &mut buffer.copy(&sent[0]).unwrap(), &host);
        assert_eq!(host.take().len(), usize::from(is_accepted));
        let text = received.err().map(|e| e.to_string());
        let mismatch = ": got 10.1.0.1, expected 10.1.0.2";
        assert_eq!(text.is_some_and(|text| text.contains(mismatch)), !is_accepted, "{source:?}");
    }
    // An SA that was removed has no entry.
    let other = SaId { spi: 7, ..id };
    receiver.bind(other, AddressRange::ANY_V4);
    receiver.bind(id, AddressRange::ANY_V4);
    assert_eq!(receiver.sources.len(), 1);
}

#[test]
fn packets_of_a_tunnel_without_ipsec_pass_by_policies_only() {
    let gifs = |own: &str, peer: &str, network: &str| {
        let lines = format!(
            "gif_interfaces=\"gif0\"\ngifconfig_gif0=\"{own} {peer}\"\nifconfig_gif0=\"inet 10.9.0.1 10.9.0.2\"\n\
             static_routes=\"r\"\nroute_r=\"{network} 10.9.0.2\"\n"
        );
        let files = crate::config::tests::Memory([("rc.conf", lines)].into());
        let settings = ipsec_config::LoadSettings::default();
        let loaded = ipsec_config::load(&files, &[("rc.conf".into(), Some(ipsec_config::Language::Rc))], &settings);
        Gifs::new(&loaded.configuration)
    };
    let own = || gifs("192.0.2.1", "198.51.100.1", "10.2.0.0/16");
    let clear = |direction| format!("spdadd 192.0.2.1 198.51.100.1 ipencap -P {direction} none;");
    let (wire, host) = (Kept::default(), Kept::default());
    outbound(&mut plane("", "192.0.2.1").with_gifs(own()), &packet(7), &wire);
    assert_eq!(wire.take(), Vec::<Vec<u8>>::new(), "no policy");
    outbound(&mut plane(&clear("out"), "192.0.2.1").with_gifs(own()), &packet(7), &wire);
    let sent = wire.take();
    assert_eq!((sent.len(), sent[0][9], &sent[0][20..]), (1, 4, &packet(7)[..]));
    // A policy for the inner packet precedes the tunnel.
    outbound(
        &mut plane(&format!("{SA}{}{}", POLICIES[0], clear("out")), "192.0.2.1").with_gifs(own()),
        &packet(7),
        &wire,
    );
    assert_eq!(wire.take()[0][9], 50);

    let peer = || gifs("198.51.100.1", "192.0.2.1", "10.1.0.0/16");
    let receive = |policies: &str, gifs: Gifs| {
        let mut receiver = plane(policies, "198.51.100.1").with_gifs(gifs);
        receiver.inbound(Instant::ZERO, &mut Buffer::new().copy(&sent[0]).unwrap(), &host).unwrap();
        host.take()
    };
    assert_eq!(receive(&clear("in"), peer()), [packet(7)]);
    let none = Vec::<Vec<u8>>::new();
    assert_eq!(receive("", peer()), none, "no policy");
    assert_eq!(receive(&clear("in"), Gifs::default()), none, "no tunnel");
    assert_eq!(receive(&format!("{}{}", clear("in"), POLICIES[1]), peer()), none, "a policy for the inner packet");
    let protected = "spdadd 192.0.2.1 198.51.100.1 ipencap -P in ipsec esp/transport//require;";
    assert_eq!(receive(protected, peer()), none, "the outer packet is to be protected");
}
