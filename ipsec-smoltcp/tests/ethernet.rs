//! Devices of medium Ethernet: ARP passes, IP follows the policies, other frames are dropped.
#![cfg(feature = "ethernet")]

#[path = "../examples/echo/hosts.rs"]
mod hosts;
#[path = "../examples/echo/wire.rs"]
mod wire;

use hosts::{Host, Secured, echo, secured};
use smoltcp::phy::{Device, Medium, TxToken};
use smoltcp::time::Instant;

const CONFIGURATION: &str = include_str!("../examples/echo/ipsec.conf");

fn hosts(one: &str, other: &str) -> (Host<Secured>, Host<Secured>) {
    let (left, right) = wire::wire_of(Medium::Ethernet);
    let client = Host::new(secured(left, "192.0.2.1", one), [192, 0, 2, 1]);
    (client, Host::new(secured(right, "192.0.2.2", other), [192, 0, 2, 2]))
}

fn kind(frame: &[u8]) -> u16 {
    u16::from_be_bytes([frame[12], frame[13]])
}

#[test]
fn tcp_is_sent_as_esp_after_arp() {
    let (mut client, mut server) = hosts(CONFIGURATION, CONFIGURATION);
    let text: Vec<u8> = (0..20_000).map(|n| b"abcdefghij"[n % 10]).collect();
    assert!(echo(&mut client, &mut server, &text, 20_000) == text);
    for (host, own, peer) in [(&mut client, 1, 2), (&mut server, 2, 1)] {
        let sent = &host.device.inner().sent;
        assert!(sent.iter().any(|frame| kind(frame) == 0x0806), "ARP");
        let packets: Vec<_> = sent.iter().filter(|frame| kind(frame) == 0x0800).collect();
        assert!(packets.len() > 15);
        for frame in packets {
            assert_eq!((frame[5], frame[11]), (peer, own), "link addresses");
            assert_eq!(frame[14 + 9], 50, "protocol is not ESP");
            assert!(!frame.windows(10).any(|some| some == b"abcdefghij"), "cleartext was sent");
        }
    }
}

#[test]
fn frames_of_other_protocols_and_runts_are_dropped_in_both_directions() {
    let (left, mut right) = wire::wire_of(Medium::Ethernet);
    let mut device = secured(left, "192.0.2.1", CONFIGURATION);
    for kind in [0x88cc_u16, 0x8100, 0x05dc] {
        let frame = [&[2; 12][..], &kind.to_be_bytes(), &[0; 46]].concat();
        let mut send = |frame: &[u8]| {
            right.transmit(Instant::ZERO).unwrap().consume(frame.len(), |out| out.copy_from_slice(frame));
        };
        send(&frame);
        send(&frame[..13]);
        assert!(device.receive(Instant::ZERO).is_none(), "{kind:#06x} was delivered");
        device.transmit(Instant::ZERO).unwrap().consume(frame.len(), |out| out.copy_from_slice(&frame));
        device.transmit(Instant::ZERO).unwrap().consume(13, |out| out.fill(8));
        assert!(device.inner().sent.is_empty(), "{kind:#06x} was sent");
    }
}

#[test]
fn a_flood_of_discarded_frames_leaves_time_to_the_stack() {
    let (left, mut right) = wire::wire_of(Medium::Ethernet);
    let mut device = secured(left, "192.0.2.1", CONFIGURATION);
    let frame = |kind: u16| [&[2; 12][..], &kind.to_be_bytes(), &[0; 46]].concat();
    for frame in std::iter::repeat_n(frame(0x88cc), 40).chain([frame(0x0806)]) {
        right.transmit(Instant::ZERO).unwrap().consume(frame.len(), |out| out.copy_from_slice(&frame));
    }
    let received = [(); 3].map(|()| device.receive(Instant::ZERO).is_some());
    assert_eq!(received, [false, false, true], "sixteen, sixteen, and eight with the frame of ARP");
}

/// Without a policy, cleartext is neither sent nor delivered, although ARP is answered.
#[test]
fn only_arp_is_accepted_without_a_policy() {
    let (mut client, mut server) = hosts("", CONFIGURATION);
    assert!(echo(&mut client, &mut server, b"not delivered", 3000).is_empty());
    assert!(client.device.inner().sent.iter().all(|frame| kind(frame) == 0x0806));
}

/// Neighbour discovery is ICMPv6: it is sent if a policy bypasses it.
#[test]
fn neighbour_discovery_follows_the_policies() {
    let bypass = "spdadd 2001:db8::1 ::/0 icmp6 135,0 -P out none;";
    let protect = "spdadd 2001:db8::1 2001:db8::2 any -P out ipsec esp/transport//require;
        add 2001:db8::1 2001:db8::2 esp 0x1001 -E aes-cbc \"sixteen octets !\" -A hmac-sha1 \"twenty octets it has\";";
    for (policies, discovers) in [(format!("{protect}{bypass}"), true), (protect.to_owned(), false)] {
        let (left, _right) = wire::wire_of(Medium::Ethernet);
        let mut host = Host::new(secured(left, "2001:db8::1", &policies), [192, 0, 2, 1]);
        host.interface.update_ip_addrs(|all| {
            let address = smoltcp::wire::IpAddress::v6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
            all.push(smoltcp::wire::IpCidr::new(address, 64)).unwrap();
        });
        host.connect6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 2], 7);
        for now in (0..500).map(Instant::from_millis) {
            host.poll(now);
        }
        let sent = &host.device.inner().sent;
        let solicitations =
            sent.iter().filter(|frame| kind(frame) == 0x86dd && frame[14 + 6] == 58 && frame[54] == 135);
        assert_eq!(solicitations.count() > 0, discovers, "{policies}");
        assert!(sent.iter().all(|frame| kind(frame) != 0x86dd || frame[14 + 6] != 6), "TCP in cleartext");
    }
}
