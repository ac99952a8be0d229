//! What a review found, each kept as a regression test.

mod common;
mod world;

use std::time::Duration;

use common::{Gateway, ipv4, udp};
use ipsec_engine::pfkey::{Dialect, Extension, Key, KeyRole, Message, MessageKind, MessageWriter, Order, SaType};
use ipsec_engine::setkey::{Loading, Statement, Statements};
use ipsec_engine::{
    Action, AnyAlgorithms, Bundle, Direction, DiscardReason, Disposition, Event, Level, Mode, Policy, PolicyDirection,
    Priority, Protocol, Sa, Template, UpdateError,
};
use ipsec_packet::{AddressRange, DfPolicy, IpProto, PacketBuf, Selector, Seq, Upper};
use world::*;

fn sa(text: &str, direction: Direction) -> Sa<AnyAlgorithms> {
    let mut statements = Statements::of(text);
    let Ok(Some(Statement::Add(add))) = statements.next() else { panic!("{text}") };
    add.sa(direction, Some((address("10.1.2.3"), address("10.2.3.4"))), &Loading::RFC).unwrap()
}

fn natted(from: &str, to: &str, spi: u32) -> String {
    format!("add {from}[4500] {to}[4500] esp-udp {spi:#x} -r 8 -m tunnel {KEYS};\n")
}

/// The packet as it is behind a NAT that has another address and port for A.
fn translated(wire: &[u8], last: u8, port: u16) -> Vec<u8> {
    let mut wire = wire.to_vec();
    wire[15] = last;
    wire[20..22].copy_from_slice(&port.to_be_bytes());
    wire
}

#[test]
fn a_pfkey_message_does_not_print_its_keys() {
    let wire = Dialect::Linux.with(Order::Little);
    let mut buffer = [0; 128];
    let mut writer = MessageWriter::new(&mut buffer, wire, MessageKind(3), SaType::Esp, 1, 1).unwrap();
    let secret = [0xab; 16];
    writer.push(&Extension::Key(KeyRole::Encryption, Key { bits: 128, octets: &secret })).unwrap();
    let printed_writer = format!("{writer:?}");
    let octets = writer.finish().unwrap();
    let message = Message::parse(octets, wire).unwrap();
    let printed = [printed_writer, format!("{message:?}"), format!("{:?}", message.extensions())];
    assert!(printed.iter().all(|text| !text.contains("171, 171, 171, 171")), "{printed:#?}");
}

#[test]
fn errors_of_setkey_show_no_key() {
    for text in [
        "add 192.0.2.1 198.51.100.1 esp 0x1001 -E 0x5ec2e75ec2e75ec2e75ec2e75ec2e7ff;",
        "add 192.0.2.1 198.51.100.1 esp 0x1001 -E aes-cbc 0x00010203040506070809101112131415 5ec2e75ec2e7;",
        "add 192.0.2.1 198.51.100.1 esp 0x1001 -E null -A \"5ec2e75ec2e75ec2e7\";",
    ] {
        let e = Statements::of(text).next().unwrap_err();
        assert!(!e.to_string().contains("5ec2e7"), "{e}");
    }
}

#[test]
fn a_peer_that_comes_back_is_told() {
    let (mut a, mut b) = tunnel(&natted(A, B, 0x1001), &format!("ipsec esp/tunnel/{A}-{B}/require"));
    let sa = key(Direction::Inbound, B, Protocol::Esp, 0x1001);
    // One packet is held back by somebody on the way, who sends it on from his own address.
    let diverted = a.send(&inner()).unwrap();
    delivered(&mut b, &translated(&diverted, 77, 1026), &inner());
    assert_eq!(events(&mut b), [Event::NatMapping { sa, source: address("192.0.2.77"), port: 1026 }]);
    // `Event::NatMapping`: "the SA that answers should be moved there". It was. Then the peer goes on from where it always was.
    for _ in 0..3 {
        let wire = a.send(&inner()).unwrap();
        delivered(&mut b, &wire, &inner());
    }
    assert_eq!(
        events(&mut b),
        [Event::NatMapping { sa, source: address(A), port: 4500 }],
        "answers go elsewhere for ever"
    );
}

#[test]
fn a_move_that_is_over_is_not_told() {
    let (mut a, mut b) = tunnel(&natted(A, B, 0x1001), &format!("ipsec esp/tunnel/{A}-{B}/require"));
    let diverted = a.send(&inner()).unwrap();
    delivered(&mut b, &translated(&diverted, 77, 1026), &inner());
    let wire = a.send(&inner()).unwrap();
    delivered(&mut b, &wire, &inner());
    assert_eq!(events(&mut b), [], "the newest packet came from the known address");
}

#[test]
fn an_older_packet_moves_nobody() {
    let (mut a, mut b) = tunnel(&natted(A, B, 0x1001), &format!("ipsec esp/tunnel/{A}-{B}/require"));
    let held_back = a.send(&inner()).unwrap();
    let newer = a.send(&inner()).unwrap();
    delivered(&mut b, &newer, &inner());
    delivered(&mut b, &translated(&held_back, 77, 1026), &inner());
    assert_eq!(events(&mut b), []);
}

#[test]
fn moving_a_peer_does_not_make_two_sas_of_one_name() {
    // The peers chose the SPIs: that they are equal is nobody's mistake.
    let c = "203.0.113.9";
    let mut a = Gateway::new(&(natted(A, B, 0x1001) + &natted(A, c, 0x1001)), A);
    let second = key(Direction::Outbound, c, Protocol::Esp, 0x1001);
    let moved = a.engine.update(&second, address(A), |sa| sa.move_peer(address(B), 1026).unwrap());
    let first = key(Direction::Outbound, B, Protocol::Esp, 0x1001);
    assert_eq!(moved, Err(UpdateError::Exists(first)));
    let left: Vec<_> = a.engine.sas().map(|sa| sa.key).collect();
    assert!(left.contains(&first) && !left.contains(&second), "{left:?}");
}

#[test]
fn a_hard_expiry_is_told_though_the_name_was_used_again() {
    let text = esp(A, B, 0x1001, "-m tunnel -lh 10");
    let mut a = Gateway::new(&text, A);
    a.now += Duration::from_secs(11);
    a.engine.tick(a.now);
    a.engine.install(sa(&text, Direction::Outbound), a.now).unwrap();
    assert_eq!(events(&mut a), [Event::HardExpired(key(Direction::Outbound, B, Protocol::Esp, 0x1001))]);
}

#[test]
fn an_sa_is_asked_for_once_in_a_while_however_many_are_wanted() {
    let mut a = Gateway::new(&policy(A, "10.2.0.0/16", "any", "out", "ipsec esp/transport//require"), A);
    let mut asked = 0;
    for round in 0..100 {
        let to = format!("10.2.0.{}", round % 9);
        assert!(matches!(a.send(&udp(A, &to, 1, 2, b"x")), Err(Disposition::Pending(_))));
        asked += events(&mut a).len();
    }
    // The ninth waits until one of the eight is old enough to be forgotten.
    assert_eq!(asked, 8, "acquire_interval is 10 s, and no time has passed");
}

#[test]
fn what_leaves_with_df_fits_the_link() {
    let action = format!("ipsec esp/tunnel/{A}-{B}/require");
    let mut a = Gateway::new(&policy("10.1.0.0/16", "10.2.0.0/16", "any", "out", &action), A);
    let sa =
        sa(&esp(A, B, 0x1001, "-m tunnel"), Direction::Outbound).with_tunnel(|tunnel| tunnel.with_df(DfPolicy::Set));
    a.engine.install(sa, a.now).unwrap();
    a.engine.settings_mut().link_mtu = Some(1000);
    if let Ok(wire) = a.send(&udp("10.1.2.3", "10.2.3.4", 1, 2, &[7; 1200])) {
        assert!(wire[6] & 0x40 == 0, "{} octets with DF on a link of 1000", wire.len());
    }
}

#[test]
fn beet_without_room_leaves_the_packet_as_it_was() {
    let rule = policy("10.1.2.3", "10.2.3.4", "any", "out", &format!("ipsec esp/beet/{A}-{B}/require"));
    for length in 0..32 {
        for back in 0..64 {
            let mut a = Gateway::new(&rule, A);
            a.engine.install(sa(&esp(A, B, 0x1001, "-m beet"), Direction::Outbound), a.now).unwrap();
            let packet = udp("10.1.2.3", "10.2.3.4", 7, 9, &vec![7; length]);
            let mut bytes = vec![0xee; 100 + packet.len() + back];
            bytes[100..100 + packet.len()].copy_from_slice(&packet);
            let mut buffer = PacketBuf::with_headroom(&mut bytes, 100, packet.len()).unwrap();
            let mut iv = |_: Seq, iv: &mut [u8]| iv.fill(3);
            let disposition = a.engine.outbound(a.now, &mut buffer, &mut iv);
            if disposition != Disposition::Send {
                assert_eq!(buffer.data(), packet, "{disposition:?}, {length} octets of payload, {back} behind");
            }
        }
    }
}

#[test]
fn a_policy_for_icmp_in_brackets_matches_or_is_refused() {
    let text = format!("spdadd {A}[any] {B}[3] icmp -P in discard;\nspdadd {A}[300] {B} icmp -P in discard;\n");
    let mut statements = Statements::of(&text);
    let mut gateway = Gateway::new("", B);
    let mut taken = false;
    while let Some(Statement::SpdAdd(rule)) = statements.next().unwrap() {
        if let Ok(rule) = rule.policy() {
            taken = true;
            gateway.engine.add_policy(rule).unwrap();
        }
    }
    let unreachable = ipv4(A, B, IpProto::ICMP, &[3, 3, 0xfc, 0xfc, 0, 0, 0, 0]);
    assert!(!taken || gateway.receive(&unreachable).0 == discarded(DiscardReason::Policy));
}

fn open_policy(mode: Mode, direction: PolicyDirection) -> Policy {
    let request = Template { protocol: Protocol::Esp, mode, ends: None, level: Level::Require };
    Policy {
        selector: Selector {
            source: AddressRange::host(address(A)),
            destination: AddressRange::host(address(B)),
            upper: Upper::Any,
        },
        direction,
        priority: Priority::DEFAULT,
        action: Action::Ipsec(Bundle::default().with(request).unwrap()),
    }
}

#[test]
fn a_request_without_ends_goes_to_no_stranger() {
    for mode in [Mode::Any, Mode::Tunnel] {
        // A tunnel to somebody else: no policy asks for it here.
        let mut a = Gateway::new(&esp(A, "203.0.113.66", 0x6666, "-m tunnel"), A);
        if a.engine.add_policy(open_policy(mode, PolicyDirection::Out)).is_err() {
            continue;
        }
        let sent = a.send(&host());
        assert!(sent.is_err(), "{mode}: for {B}, and sent to {:?}", &sent.unwrap()[16..20]);
    }
}

#[test]
fn a_request_without_ends_admits_no_stranger() {
    for mode in [Mode::Any, Mode::Tunnel] {
        let m = "203.0.113.66";
        let sas = esp(m, B, 0x6666, "-m tunnel");
        let mut stranger =
            Gateway::new(&(sas.clone() + &policy(A, B, "any", "out", &format!("ipsec esp/tunnel/{m}-{B}/require"))), m);
        let mut b = Gateway::new(&sas, B);
        if b.engine.add_policy(open_policy(mode, PolicyDirection::In)).is_err() {
            continue;
        }
        let wire = stranger.send(&host()).unwrap();
        assert_ne!(b.receive(&wire).0, Disposition::Deliver, "{mode}: {m} speaks as {A}");
    }
}

#[test]
fn pfkey_refuses_a_tunnel_without_ends() {
    let wire = Dialect::Linux.with(Order::Little);
    let mut buffer = [0; 128];
    let mut writer = MessageWriter::new(&mut buffer, wire, MessageKind(14), SaType::Unspecified, 1, 1).unwrap();
    let Policy { action, direction, priority, .. } = open_policy(Mode::Tunnel, PolicyDirection::Out);
    writer.push_policy(&action, direction, 0, priority).unwrap();
    let message = Message::parse(writer.finish().unwrap(), wire);
    let action = message.ok().and_then(|message| match message.extensions().next() {
        Some(Extension::Policy(policy)) => policy.action(),
        other => panic!("{other:?}"),
    });
    assert_eq!(action, None);
}

fn sealed_in(a: &mut Gateway, packet: &[u8]) -> (Disposition, usize, Vec<u8>) {
    let mut bytes = vec![0xee; 256 + packet.len() + 2304];
    bytes[256..256 + packet.len()].copy_from_slice(packet);
    let mut buffer = PacketBuf::with_headroom(&mut bytes, 256, packet.len()).unwrap();
    let mut iv = |_: Seq, iv: &mut [u8]| iv.fill(3);
    let disposition = a.engine.outbound(a.now, &mut buffer, &mut iv);
    let end = 256 + packet.len() + 2304 - buffer.tailroom();
    (disposition, end, bytes)
}

#[test]
fn no_plaintext_is_left_behind_a_sealed_packet() {
    let sas = ipcomp(A, B, 0x1100, "-m transport") + &esp(A, B, 0x1001, "-m transport");
    let (mut a, _) = hosts(&sas, "ipsec ipcomp/transport//use esp/transport//require");
    let packet = udp(A, B, 1, 2, &SECRET.repeat(20));
    let (disposition, end, bytes) = sealed_in(&mut a, &packet);
    assert_eq!(disposition, Disposition::Send);
    let left = bytes[end..].iter().filter(|octet| !matches!(octet, 0 | 0xee)).count();
    assert!(!bytes[end..].windows(16).any(|window| window == &SECRET[..16]), "plaintext");
    assert_eq!(left, 0, "octets behind the packet that were not there before");
}

#[test]
fn no_plaintext_is_left_behind_a_refused_packet() {
    let sas = ipcomp(A, B, 0x1100, "-m transport") + &esp(A, B, 0x1001, "-m transport");
    let (mut a, _) = hosts(&sas, "ipsec ipcomp/transport//use esp/transport//require");
    let mut b = Gateway::new(&(sas + &policy(A, B, "any", "in", "discard")), B);
    let wire = a.send(&udp(A, B, 1, 2, &SECRET.repeat(20))).unwrap();
    refused_and_wiped(&mut b, &wire, DiscardReason::Policy);
    let wire = a.send(&udp(A, B, 1, 2, &SECRET.repeat(20))).unwrap();
    let (_, _, bytes) = pass_in(&mut b, &wire);
    // What ESP ended with: padding, lengths and ICV.
    assert!(bytes[512..].iter().filter(|octet| !matches!(octet, 0 | 0xee)).count() <= 15);
}

#[test]
fn request_numbers_have_32_bits() {
    let wire = Dialect::Linux.with(Order::Little);
    let mut buffer = [0; 128];
    let mut writer = MessageWriter::new(&mut buffer, wire, MessageKind(18), SaType::Unspecified, 1, 1).unwrap();
    let request = Template { protocol: Protocol::Esp, mode: Mode::Transport, ends: None, level: Level::UniqueId(7) };
    let action = Action::Ipsec(Bundle::default().with(request).unwrap());
    writer.push_policy(&action, PolicyDirection::Out, 1, Priority::DEFAULT).unwrap();
    let octets = writer.finish().unwrap();
    let at = octets.windows(4).rposition(|window| window == [7, 0, 0, 0]).unwrap();
    octets[at..at + 4].copy_from_slice(&70_000u32.to_le_bytes());
    Message::parse(octets, wire).unwrap();
}

#[test]
fn no_sa_of_a_file_has_the_number_of_a_unique_policy() {
    let mut a = Gateway::new(&policy(A, B, "any", "out", "ipsec esp/transport//unique"), A);
    let mut statements = Statements::of(concat!(
        "add 192.0.2.1 198.51.100.1 esp 0x1001 -m transport -u 65537 -E null -A hmac-sha1 ",
        "0x000102030405060708090a0b0c0d0e0f10111213;",
    ));
    if let Ok(Some(Statement::Add(add))) = statements.next() {
        a.engine.install(add.sa(Direction::Outbound, None, &Loading::RFC).unwrap(), a.now).unwrap();
    }
    assert!(a.send(&host()).is_err(), "\"a number above those that setkey(8) can say\"");
}

#[test]
fn what_is_forwarded_is_checked_by_the_policy_for_it() {
    let text = policy("0.0.0.0/0", "0.0.0.0/0", "any", "in", "none")
        + &policy("10.1.0.0/16", "10.2.0.0/16", "any", "fwd", &format!("ipsec esp/tunnel/{A}-{B}/require"));
    let mut b = Gateway::new(&text, B);
    assert_eq!(b.receive(&inner()).0, discarded(DiscardReason::Cleartext), "in clear, for the network behind B");
}
