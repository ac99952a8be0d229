//! Parameters of SAs and policies as messages, in every dialect, and the messages of a kernel as parameters.

use core::convert::Infallible;
use core::net::IpAddr;
use core::time::Duration;

use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm, Secret, SuiteKeys};
use ipsec_packet::{
    AddressRange, Instant, IpProto, Marker, PortRange, Ports, Selector, Seq, SeqWidth, Upper, WindowSize,
};
use ipsec_pfkey::{
    BackendError, Dialect, Extension, Message, MessageKind, MessageWriter, Order, PfkeyBackend, ReadError, SaType,
    Wire, WriteError, event, read_policy, read_sa, write_sa,
};
use ipsec_sa::{
    Action, Bundle, CompressionAlgorithm, Direction, Expiry, Level, Lifetimes, Limit, Mode, PolicyBackend,
    PolicyDirection, PolicyParams, Priority, Protocol, SaBackend, SaEvent, SaId, SaParams, SpiRequest, Template,
    TransformParams, TunnelEndpoints, UdpEncap,
};
use test_vectors::from_hex;

const DIALECTS: [Dialect; 5] = [Dialect::Kame, Dialect::NetBsd, Dialect::FreeBsd, Dialect::Linux, Dialect::OpenBsd];
const LINUX: Wire = Dialect::Linux.with(Order::Little);

/// SADB_ADD message that Linux 6.1 accepted: ESP in UDP, tunnel mode, with lifetimes.
const ADD_SENT: &str = concat!(
    "020300031e000000010000000421000002000100000012342001030c00000000020013000200000000000000070000000400030000000000",
    "0000004000000000100e000000000000000000000000000004000400000000000000002000000000b80b0000000000000000000000000000",
    "030005000020000002000000c00002090000000000000000030006000020000002000000c0000202000000000000000004000800a0000000",
    "1111111111111111111111111111111111111111000000000300090080000000222222222222222222222222222222220100140002000000",
    "01001500119400000100160011950000",
);

/// SADB_X_SPDADD message that Linux 6.1 accepted: IPComp in tunnel mode, ESP in transport mode.
const SPDADD_SENT: &str = concat!(
    "020e000012000000020000000900000003000500ff100000020000000a090000000000000000000003000600ff100000020000000a080000",
    "00000000000000000a0012000200010000000000e803000030006c0002010000000000000000000002000000c00002090000000000000000",
    "02000000c0000202000000000000000010003200010300000700000000000000",
);

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn esp(cipher: CipherAlgorithm, octets: usize, integrity: IntegrityAlgorithm, key: usize) -> TransformParams {
    let (cipher_key, integrity_key) = ([0x22; 56], [0x11; 64]);
    TransformParams::Esp(SuiteKeys::new(cipher, &cipher_key[..octets], integrity, &integrity_key[..key]).unwrap())
}

fn sa(transform: TransformParams, protocol: Protocol) -> SaParams {
    let id = SaId::outbound(address("198.51.100.1"), protocol, 0x1234_5678);
    SaParams {
        mode: Mode::Tunnel,
        window: WindowSize::packets(64),
        ..SaParams::new(id, address("192.0.2.1"), transform)
    }
}

/// Writes an SA, reads it back, and compares all values that a message contains.
fn passes(params: &SaParams, wire: Wire) {
    let mut buffer = [0xee; 1024];
    let written = write_sa(&mut buffer, wire, MessageKind::ADD, params, (7, 4711)).unwrap();
    let message = Message::parse(written, wire).unwrap();
    assert_eq!((message.header().sequence, message.header().pid), (7, 4711));
    let read = read_sa(&message, params.id.direction).unwrap();
    let facts = |sa: &SaParams| {
        let keys = match &sa.transform {
            TransformParams::Esp(keys) | TransformParams::EspWithoutIntegrity(keys) => {
                (keys.cipher_key.expose().to_vec(), keys.integrity_key.expose().to_vec())
            }
            TransformParams::Ah { key, .. } => (Vec::new(), key.expose().to_vec()),
            TransformParams::Ipcomp { spi, .. } => (spi.to_be_bytes().to_vec(), Vec::new()),
        };
        let (reqid, window) = (sa.reqid, sa.window.in_packets());
        (sa.id, sa.source, sa.mode, sa.algorithms(), keys, sa.sequence, sa.encap, sa.lifetimes, reqid, window)
    };
    assert_eq!(facts(&read), facts(params), "{wire:?}");
}

#[test]
fn every_cipher_of_a_dialect_is_read_back() {
    let (mut passed, mut refused) = (0, 0);
    for row in CipherAlgorithm::ALL {
        let (integrity, key) =
            if row.icv > 0 { (IntegrityAlgorithm::None, 0) } else { (IntegrityAlgorithm::HmacSha1_96, 20) };
        for dialect in DIALECTS {
            let params = sa(esp(row.algorithm, row.default_key, integrity, key), Protocol::Esp);
            match dialect.cipher_number(row.algorithm) {
                Some(_) => {
                    passes(&params, dialect.with(Order::Little));
                    passes(&params, dialect.with(Order::Big));
                    passed += 1;
                }
                None => {
                    let refusal =
                        write_sa(&mut [0; 1024], dialect.with(Order::NATIVE), MessageKind::ADD, &params, (1, 1)).err();
                    assert_eq!(refusal, Some(WriteError::Cipher(row.algorithm)));
                    refused += 1;
                }
            }
        }
    }
    assert!(passed > 30 && refused > 5, "{passed} {refused}");
}

#[test]
fn ah_and_ipcomp_are_read_back() {
    for dialect in DIALECTS {
        let wire = dialect.with(Order::NATIVE);
        let key = Secret::new(&[0x11; 20]).unwrap();
        passes(&sa(TransformParams::Ah { integrity: IntegrityAlgorithm::HmacSha1_96, key }, Protocol::Ah), wire);
        let with_cpi = |cpi: u32, spi: u32| {
            let params =
                sa(TransformParams::Ipcomp { algorithm: CompressionAlgorithm::Deflate, spi }, Protocol::Ipcomp);
            SaParams { id: SaId { spi: cpi, ..params.id }, ..params }
        };
        passes(&with_cpi(0x1234, 0x1234), wire);
        if matches!(dialect, Dialect::Kame | Dialect::NetBsd | Dialect::FreeBsd) {
            passes(&with_cpi(2, 0x4001), wire);
        }
    }
}

#[test]
fn lifetimes_encapsulation_and_request_id_are_read_back() {
    let ports = Ports { source: 4500, destination: 1026 };
    let limit =
        |seconds, octets| Limit { age: Some(Duration::from_secs(seconds)), octets: Some(octets), ..Limit::default() };
    for dialect in DIALECTS {
        let plain = sa(esp(CipherAlgorithm::AesCbc, 16, IntegrityAlgorithm::HmacSha1_96, 20), Protocol::Esp);
        let is_openbsd = dialect == Dialect::OpenBsd;
        let params = SaParams {
            id: plain.id.with_peer_port(1026),
            encap: Some(UdpEncap { ports, marker: Marker::NonEsp }),
            lifetimes: Lifetimes { soft: limit(3000, 1 << 40), hard: limit(3600, 1 << 41) },
            reqid: if is_openbsd { 0 } else { 77 },
            ..plain
        };
        passes(&params, dialect.with(Order::NATIVE));
        // The size of its packets has an extension of FreeBSD and NetBSD only.
        if matches!(dialect, Dialect::Kame | Dialect::NetBsd | Dialect::FreeBsd) {
            passes(&SaParams { max_packet: Some(552), ..params }, dialect.with(Order::NATIVE));
        }
    }
}

#[test]
fn sa_properties_without_a_pf_key_representation_are_refused_by_name() {
    let wire = |dialect: Dialect| dialect.with(Order::NATIVE);
    let plain = || sa(esp(CipherAlgorithm::AesCbc, 16, IntegrityAlgorithm::HmacSha1_96, 20), Protocol::Esp);
    for (params, dialect, what) in [
        (SaParams { sequence: SeqWidth::Extended64, ..plain() }, Dialect::Linux, "extended sequence numbers"),
        (SaParams { mode: Mode::Beet, ..plain() }, Dialect::Linux, "BEET mode"),
        (SaParams { last_sequence: Some(Seq::new(5)), ..plain() }, Dialect::FreeBsd, "initial sequence number"),
        (SaParams { reqid: 7, ..plain() }, Dialect::OpenBsd, "request ID"),
    ] {
        let refused = write_sa(&mut [0; 1024], wire(dialect), MessageKind::ADD, &params, (1, 1)).err();
        assert_eq!(refused, Some(WriteError::Unsupported(what)));
    }
    passes(&SaParams { sequence: SeqWidth::Extended64, ..plain() }, wire(Dialect::FreeBsd));
}

#[test]
fn every_short_buffer_is_refused() {
    let params = sa(esp(CipherAlgorithm::AesCbc, 16, IntegrityAlgorithm::HmacSha1_96, 20), Protocol::Esp);
    let length = write_sa(&mut [0; 1024], LINUX, MessageKind::ADD, &params, (1, 1)).unwrap().len();
    for short in 0..length {
        let refused = write_sa(&mut [0; 1024][..short], LINUX, MessageKind::ADD, &params, (1, 1)).err();
        assert_eq!(refused, Some(WriteError::NoSpace), "{short} octets");
    }
}

/// The message was sent with `setkey` of ipsec-tools to a Linux 6.1 kernel, which accepted it.
#[test]
fn sa_of_a_message_of_setkey_is_read() {
    let octets = from_hex(ADD_SENT).unwrap();
    let read = read_sa(&Message::parse(&octets, LINUX).unwrap(), Direction::Outbound).unwrap();
    let id = SaId::outbound(address("192.0.2.2"), Protocol::Esp, 0x1234).with_peer_port(4501);
    assert_eq!((read.id, read.source), (id, address("192.0.2.9")));
    assert_eq!((read.mode, read.reqid, read.window.in_packets()), (Mode::Tunnel, 7, 32));
    assert_eq!(read.encap.map(|encap| (encap.ports.source, encap.ports.destination)), Some((4500, 4501)));
    assert_eq!(read.lifetimes.hard.age, Some(Duration::from_secs(3600)));
    assert_eq!(read.lifetimes.soft.octets, Some(1 << 29));
    let mut buffer = [0; 1024];
    let again = write_sa(&mut buffer, LINUX, MessageKind::ADD, &read, (1, 0x2104)).unwrap();
    assert!(Message::parse(again, LINUX).unwrap().extensions().count() >= 9);
}

fn policy() -> PolicyParams {
    let end = |text| (Some(address(text)), None);
    let ends = TunnelEndpoints { source: end("192.0.2.9"), destination: end("192.0.2.2") };
    let template = |protocol, mode, ends, level| Template { protocol, mode, ends, level };
    let bundle = Bundle::default()
        .with(template(Protocol::Ipcomp, Mode::Tunnel, Some(ends), Level::Use))
        .and_then(|bundle| bundle.with(template(Protocol::Esp, Mode::Transport, None, Level::UniqueId(7))));
    PolicyParams {
        selector: Selector {
            source: AddressRange::prefix(address("10.9.0.0"), 16).unwrap(),
            destination: AddressRange::prefix(address("10.8.0.0"), 16).unwrap(),
            upper: Upper::Any,
        },
        direction: PolicyDirection::In,
        priority: Priority(1000),
        action: Action::Protect(bundle.unwrap()),
    }
}

#[test]
fn policy_of_a_message_of_setkey_is_read() {
    let octets = from_hex(SPDADD_SENT).unwrap();
    assert_eq!(read_policy(&Message::parse(&octets, LINUX).unwrap()), Ok(policy()));
}

/// Collects the messages of a back end.
fn messages(
    dialect: Dialect,
    commands: impl FnOnce(&mut PfkeyBackend<&mut dyn FnMut(&[u8]) -> Result<(), Infallible>>),
) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    let mut socket = |message: &[u8]| {
        sent.push(message.to_vec());
        Ok(())
    };
    commands(&mut PfkeyBackend::new(
        &mut socket as &mut dyn FnMut(&[u8]) -> Result<(), Infallible>,
        dialect.with(Order::Little),
        4711,
    ));
    sent
}

#[test]
fn commands_are_sent_as_messages_with_ascending_sequence_numbers() {
    let request = SpiRequest {
        source: address("198.51.100.1"),
        destination: address("192.0.2.1"),
        protocol: Protocol::Esp,
        min: 0x1000,
        max: 0x1fff,
        random: 1,
    };
    let id = request.id(0x1000);
    let sent = messages(Dialect::Linux, |backend| {
        assert_eq!(backend.get_spi(&request, Instant::ZERO), Ok(None));
        let params = sa(esp(CipherAlgorithm::AesCbc, 16, IntegrityAlgorithm::HmacSha1_96, 20), Protocol::Esp);
        backend.add(&params, Instant::ZERO).unwrap();
        backend.delete(&id, request.source).unwrap();
        backend.flush(Some(Protocol::Ah)).unwrap();
        backend.add_policy(&policy()).unwrap();
        backend.update_policy(&policy()).unwrap();
        backend.delete_policy(PolicyDirection::In, &policy().selector).unwrap();
        backend.flush_policies().unwrap();
    });
    let kinds = [
        MessageKind::GETSPI,
        MessageKind::ADD,
        MessageKind::DELETE,
        MessageKind::FLUSH,
        MessageKind::SPDADD,
        MessageKind::SPDUPDATE,
        MessageKind::SPDDELETE,
        MessageKind::SPDFLUSH,
    ];
    assert_eq!(sent.len(), kinds.len());
    for ((number, octets), kind) in (1..).zip(&sent).zip(kinds) {
        let header = *Message::parse(octets, LINUX).unwrap().header();
        assert_eq!((header.sequence, header.kind, header.pid), (number, kind, 4711));
    }
    assert_eq!(read_policy(&Message::parse(&sent[4], LINUX).unwrap()), Ok(policy()));
}

#[test]
fn policies_without_a_pf_key_representation_are_refused() {
    let range = |upper| PolicyParams { selector: Selector { upper, ..policy().selector }, ..policy() };
    messages(Dialect::Linux, |backend| {
        for (upper, what) in [
            (Upper::Icmp(IpProto::ICMP, 8, None), "ICMP type selectors"),
            (Upper::Ports(None, PortRange { first: 1, last: 2 }, PortRange::ANY), "port ranges"),
        ] {
            let refused = backend.add_policy(&range(upper));
            assert_eq!(refused, Err(BackendError::Write(WriteError::Unsupported(what))));
        }
    });
    let sent = messages(Dialect::OpenBsd, |backend| {
        assert_eq!(backend.add_policy(&policy()), Err(BackendError::Write(WriteError::Unsupported("policies"))));
    });
    assert!(sent.is_empty());
}

#[test]
fn selectors_of_icmp_types_are_refused() {
    let upper = Upper::Ports(Some(IpProto::ICMP), PortRange::one(8), PortRange::one(1));
    let policy = PolicyParams { selector: Selector { upper, ..policy().selector }, ..policy() };
    let sent = messages(Dialect::Linux, |backend| _ = backend.add_policy(&policy).unwrap());
    let read = read_policy(&Message::parse(&sent[0], LINUX).unwrap());
    assert_eq!(read, Err(ReadError::IcmpType(8, 1)));
}

#[test]
fn expire_message_of_an_sa_is_reported_as_an_event() {
    let (source, destination) = ("198.51.100.1", "192.0.2.1");
    for (kind, expiry) in
        [(ipsec_pfkey::LifetimeRole::Soft, Expiry::Soft), (ipsec_pfkey::LifetimeRole::Hard, Expiry::Hard)]
    {
        let mut buffer = [0; 256];
        let mut writer = MessageWriter::new(&mut buffer, LINUX, MessageKind::EXPIRE, SaType::Esp, 0, 0).unwrap();
        let flags = ipsec_pfkey::SaFlags::default();
        writer
            .push(&Extension::Sa { spi: 0x1001, replay: 0, state: 2, integrity: 0, cipher: 0, flags })
            .and_then(|writer| writer.push(&Extension::Lifetime(kind, ipsec_pfkey::Lifetime::default())))
            .unwrap();
        for (role, text) in
            [(ipsec_pfkey::AddressRole::Source, source), (ipsec_pfkey::AddressRole::Destination, destination)]
        {
            let address = address(text);
            writer.push(&Extension::Address { role, proto: IpProto(0), prefix: 32, address, port: 0 }).unwrap();
        }
        let message = writer.finish().unwrap();
        let message = Message::parse(message, LINUX).unwrap();
        let id = |direction| SaId { direction, ..SaId::inbound(address(destination), Protocol::Esp, 0x1001) };
        assert_eq!(event(&message, &[address(destination)]), Some(SaEvent::Expire(id(Direction::Inbound), expiry)));
        assert_eq!(event(&message, &[address(source)]), Some(SaEvent::Expire(id(Direction::Outbound), expiry)));
    }
}

#[test]
fn a_daemon_registers_and_adds_sas_with_the_request_ids_of_the_kernel() {
    let params = sa(esp(CipherAlgorithm::AesCbc, 16, IntegrityAlgorithm::HmacSha1_96, 20), Protocol::Esp);
    let sent = messages(Dialect::Linux, |backend| {
        backend.register(Protocol::Ah).unwrap();
        backend.add_with_reqid(&params, 0x4001).unwrap();
        backend.request_status(&params.id, params.source).unwrap();
    });
    let read: Vec<_> = sent.iter().map(|octets| Message::parse(octets, LINUX).unwrap()).collect();
    let heads: Vec<_> = read.iter().map(|message| (message.header().kind, message.header().sa_type)).collect();
    let expected =
        [(MessageKind::REGISTER, SaType::Ah), (MessageKind::ADD, SaType::Esp), (MessageKind::GET, SaType::Esp)];
    assert_eq!(heads, expected);
    assert_eq!((params.reqid, read_sa(&read[1], Direction::Outbound).unwrap().reqid), (0, 0x4001));
    let named = |extension| matches!(extension, Extension::Sa { spi, .. } if spi == params.id.spi);
    assert!(read[2].extensions().any(named));
}
