//! PF_KEYv2: messages that a Linux kernel accepted and sent, and differences between the dialects.

use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm};
use ipsec_packet::IpProto;
use ipsec_pfkey::{
    AddressRole, Dialect, Extension, Key, KeyRole, Lifetime, LifetimeRole, Message, MessageKind, MessageWriter,
    NoSpace, Order, PfkeyErrorKind, PolicyKind, SaFlags, SaType, Side, Wire,
};
use ipsec_sa::{Action, Bundle, Level, Mode, PolicyDirection, Priority, Protocol, Template, TunnelEndpoints};
use proptest::prelude::*;
use test_vectors::{from_hex, support};

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

/// SADB_DUMP message of Linux 6.1 for the SA of `ADD_SENT`.
const DUMPED: &str = concat!(
    "020a000325000000000000000900000002000100000012342001030c0000000004000300000000000000004000000000100e000000000000",
    "000000000000000004000400000000000000002000000000b80b000000000000000000000000000004000200000000000000000000000000",
    "bd58016b000000000000000000000000030005000020000002000000c00002090000000000000000030006000020000002000000c0000202",
    "000000000000000003000700ff0000000200000000000000000000000000000004000800a000000011111111111111111111111111111111",
    "1111111100000000030009008000000022222222222222222222222222222222020013000200000000000000070000000100140002000000",
    "01001500119400000100160011950000",
);

/// SADB_X_SPDADD message that Linux 6.1 accepted: IPComp in tunnel mode, ESP in transport mode.
const SPDADD_SENT: &str = concat!(
    "020e000012000000020000000900000003000500ff100000020000000a090000000000000000000003000600ff100000020000000a080000",
    "00000000000000000a0012000200010000000000e803000030006c0002010000000000000000000002000000c00002090000000000000000",
    "02000000c0000202000000000000000010003200010300000700000000000000",
);

/// SADB_X_SPDDUMP message of Linux 6.1 for the policy of `SPDADD_SENT`.
const SPD_DUMPED: &str = concat!(
    "021200001e000100010000000900000003000500ff100000020000000a090000000000000000000003000600ff100000020000000a080000",
    "0000000000000000040003000000000000000000000000000000000000000000000000000000000004000400000000000000000000000000",
    "00000000000000000000000000000000040002000000000000000000000000009958016b0000000000000000000000000a00120002000100",
    "20000000e803000030006c0002010000000000000000000002000000c0000209000000000000000002000000c00002020000000000000000",
    "10003200010300000700000000000000",
);

/// Policy of a socket, whose direction has no `PolicyDirection`.
const SOCKET_POLICY: &str = concat!(
    "021200001a000100020000000900000005000500ff0000000a00000000000000000000000000000000000000000000000000000000000000",
    "05000600ff0000000a0000000000000000000000000000000000000000000000000000000000000004000300000000000000000000000000",
    "0000000000000000000000000000000004000400000000000000000000000000000000000000000000000000000000000400020000000000",
    "00000000000000009858016b00000000000000000000000002001200010005001c00000000000000",
);

/// SADB_REGISTER reply of Linux 6.1 with its algorithms.
const REGISTERED: &str = concat!(
    "0207000316000000030000000900000009000e0000000000fb0000000000000002008000800000000300a000a00000000500000100010000",
    "060080018001000007000002000200000800a000a000000009008000800000000b000f00000000000b000000000000000208400040000000",
    "0308c000c0000000060828008000000007082800c00100000c08800000010000fc088000000100001608800000010000fd08800000010000",
    "0d08a00020010000",
);

/// Error reply of Linux 6.1 to a message that it refused.
const REFUSED: &str = "020316030200000001000000bc790000";

fn octets(hex: &str) -> Vec<u8> {
    from_hex(hex).unwrap()
}

fn address(role: AddressRole, text: &str, prefix: u8, proto: u8) -> Extension<'static> {
    Extension::Address { role, proto: IpProto(proto), prefix, address: support::address(text), port: 0 }
}

/// Writes a parsed message, extension by extension.
fn rewritten(message: &Message<'_>, wire: Wire) -> Vec<u8> {
    let mut buffer = [0xee; 4096];
    let header = message.header();
    let mut writer =
        MessageWriter::new(&mut buffer, wire, header.kind, header.sa_type, header.sequence, header.pid).unwrap();
    for extension in message.extensions() {
        writer.push(&extension).unwrap();
    }
    let octets = writer.finish().unwrap();
    octets[2] = header.errno;
    octets.to_vec()
}

#[test]
fn messages_of_a_kernel_are_rewritten_octet_for_octet() {
    for text in [ADD_SENT, DUMPED, SPDADD_SENT, SPD_DUMPED, SOCKET_POLICY, REGISTERED, REFUSED] {
        let mut octets = octets(text);
        octets[6] = 0; // reserved, and a count of references in Linux
        let message = Message::parse(&octets, LINUX).unwrap();
        assert_eq!(rewritten(&message, LINUX), octets);
    }
}

#[test]
fn add_message_is_written_as_a_kernel_accepts_it() {
    let mut buffer = [0; 512];
    let mut writer = MessageWriter::new(&mut buffer, LINUX, MessageKind::ADD, SaType::Esp, 1, 0x2104).unwrap();
    let limits = |octets, added| Lifetime { allocations: 0, octets, added, used: 0 };
    for extension in [
        Extension::Sa { spi: 0x1234, replay: 32, state: 1, integrity: 3, cipher: 12, flags: SaFlags(0) },
        Extension::Sa2 { mode: Extension::mode_number(Mode::Tunnel), sequence: 0, reqid: 7 },
        Extension::Lifetime(LifetimeRole::Hard, limits(1 << 30, 3600)),
        Extension::Lifetime(LifetimeRole::Soft, limits(1 << 29, 3000)),
        address(AddressRole::Source, "192.0.2.9", 32, 0),
        address(AddressRole::Destination, "192.0.2.2", 32, 0),
        Extension::Key(KeyRole::Authentication, Key { bits: 160, octets: &[0x11; 20] }),
        Extension::Key(KeyRole::Encryption, Key { bits: 128, octets: &[0x22; 16] }),
        Extension::NatType(2),
        Extension::NatPort(Side::Source, 4500),
        Extension::NatPort(Side::Destination, 4501),
    ] {
        writer.push(&extension).unwrap();
    }
    assert_eq!(writer.finish().unwrap(), octets(ADD_SENT));
}

#[test]
fn algorithms_of_the_add_message_have_their_numbers() {
    let algorithms = (CipherAlgorithm::AesCbc, IntegrityAlgorithm::HmacSha1_96);
    assert_eq!(LINUX.dialect.cipher_number(algorithms.0), Some(12));
    assert_eq!(LINUX.dialect.integrity_number(algorithms.1), Some(3));
}

fn bundle() -> Bundle {
    let end = |text: &str| (Some(text.parse().unwrap()), None);
    let ends = Some(TunnelEndpoints { source: end("192.0.2.9"), destination: end("192.0.2.2") });
    Bundle::default()
        .with(Template { protocol: Protocol::Ipcomp, mode: Mode::Tunnel, ends, level: Level::Use })
        .and_then(|bundle| {
            bundle.with(Template {
                protocol: Protocol::Esp,
                mode: Mode::Transport,
                ends: None,
                level: Level::UniqueId(7),
            })
        })
        .unwrap()
}

#[test]
fn policy_message_is_written_and_read_as_the_kernel_does() {
    let mut buffer = [0; 512];
    let mut writer = MessageWriter::new(&mut buffer, LINUX, MessageKind::SPDADD, SaType::Unspecified, 2, 9).unwrap();
    writer.push(&address(AddressRole::Source, "10.9.0.0", 16, 255)).unwrap();
    writer.push(&address(AddressRole::Destination, "10.8.0.0", 16, 255)).unwrap();
    writer.push_policy(&Action::Protect(bundle()), PolicyDirection::In, 0, Priority(1000)).unwrap();
    assert_eq!(writer.finish().unwrap(), octets(SPDADD_SENT));

    let dumped = octets(SPD_DUMPED);
    let message = Message::parse(&dumped, LINUX).unwrap();
    let policy = message.extensions().find_map(|extension| match extension {
        Extension::Policy(policy) => Some(policy),
        _ => None,
    });
    let policy = policy.unwrap();
    assert_eq!(
        (policy.kind, policy.direction(), policy.priority),
        (PolicyKind::Ipsec, Some(PolicyDirection::In), 1000)
    );
    assert_eq!(policy.action(), Some(Action::Protect(bundle())));
    let of_a_socket = octets(SOCKET_POLICY);
    let message = Message::parse(&of_a_socket, LINUX).unwrap();
    assert!(message.extensions().any(|extension| matches!(extension,
        Extension::Policy(policy) if policy.direction().is_none() && policy.direction == 5)));
}

#[test]
fn register_reply_lists_algorithms_with_key_lengths() {
    let octets = octets(REGISTERED);
    let message = Message::parse(&octets, LINUX).unwrap();
    let mut ciphers = Vec::new();
    for extension in message.extensions() {
        if let Extension::Supported(KeyRole::Encryption, algorithms) = extension {
            ciphers.extend(algorithms.iter());
        }
    }
    assert_eq!(ciphers.len(), 10);
    let aes = ciphers.iter().find(|row| LINUX.dialect.cipher(row.number) == Some(CipherAlgorithm::AesCbc)).unwrap();
    assert_eq!((aes.iv, aes.min_bits, aes.max_bits), (8, 128, 256));
}

#[test]
fn errno_of_an_error_reply_is_parsed() {
    let octets = octets(REFUSED);
    assert_eq!(Message::parse(&octets, LINUX).unwrap().header().errno, 22);
}

#[test]
fn sa_types_have_the_numbers_of_their_kernels() {
    let types = [
        (Dialect::Kame, [2, 3, 9, 11]),
        (Dialect::FreeBsd, [2, 3, 9, 11]),
        (Dialect::Linux, [2, 3, 9, 0]),
        (Dialect::OpenBsd, [1, 2, 9, 8]),
    ];
    for (dialect, numbers) in types {
        for (kind, number) in [SaType::Ah, SaType::Esp, SaType::Ipcomp, SaType::TcpSignature].into_iter().zip(numbers) {
            assert_eq!(dialect.sa_type_number(kind), (number != 0).then_some(number), "{dialect:?} {kind:?}");
            assert!(number == 0 || dialect.sa_type(number) == kind, "{dialect:?} {number}");
        }
    }
}

#[test]
fn ciphers_have_the_numbers_of_their_kernels() {
    let ciphers = [
        (Dialect::Kame, CipherAlgorithm::DesCbc, Some(2)),
        (Dialect::OpenBsd, CipherAlgorithm::DesCbc, None),
        (Dialect::FreeBsd, CipherAlgorithm::ChaCha20Poly1305, Some(15)),
        (Dialect::OpenBsd, CipherAlgorithm::ChaCha20Poly1305, Some(22)),
        (Dialect::Linux, CipherAlgorithm::ChaCha20Poly1305, None),
        (Dialect::Linux, CipherAlgorithm::AesCcm8, Some(14)),
        (Dialect::Linux, CipherAlgorithm::NullAesGmac, Some(23)),
        (Dialect::OpenBsd, CipherAlgorithm::NullAesGmac, Some(21)),
    ];
    for (dialect, algorithm, number) in ciphers {
        assert_eq!(dialect.cipher_number(algorithm), number, "{dialect:?} {algorithm}");
    }
}

/// Number 5 is HMAC-SHA2-256 with an ICV of 96 bits in Linux, and of 128 bits in FreeBSD.
#[test]
fn hmac_sha2_256_of_linux_is_truncated_to_96_bits() {
    assert_eq!(Dialect::Linux.integrity(5), Some(IntegrityAlgorithm::HmacSha2_256_96));
    assert_eq!(Dialect::FreeBsd.integrity(5), Some(IntegrityAlgorithm::HmacSha2_256_128));
}

#[test]
fn algorithms_map_to_their_numbers_in_both_directions() {
    for dialect in DIALECTS {
        for number in 0..=255u8 {
            if let Some(cipher) = dialect.cipher(number) {
                assert_eq!(dialect.cipher_number(cipher), Some(number), "{dialect:?} {cipher}");
            }
            // 251 is another number of no integrity algorithm.
            if let Some(mac) = dialect.integrity(number).filter(|_| number != 251) {
                assert_eq!(dialect.integrity_number(mac), Some(number), "{dialect:?} {mac}");
            }
        }
    }
}

#[test]
fn addresses_have_the_sockaddr_layout_of_their_system() {
    let layouts: [(Dialect, Order, &str, &[u8]); 4] = [
        (Dialect::Linux, Order::Little, "192.0.2.1", &[2, 0, 0, 0, 192, 0, 2, 1]),
        (Dialect::Linux, Order::Big, "192.0.2.1", &[0, 2, 0, 0, 192, 0, 2, 1]),
        (Dialect::FreeBsd, Order::Little, "::1", &[28, 28, 0, 0, 0, 0, 0, 0]),
        (Dialect::OpenBsd, Order::Little, "::1", &[28, 24, 0, 0, 0, 0, 0, 0]),
    ];
    for (dialect, order, text, begin) in layouts {
        let (wire, mut buffer) = (dialect.with(order), [0; 128]);
        let mut writer = MessageWriter::new(&mut buffer, wire, MessageKind::GET, SaType::Esp, 1, 1).unwrap();
        let source = address(AddressRole::Source, text, 32, 0);
        writer.push(&source).unwrap();
        let octets = writer.finish().unwrap();
        assert_eq!(&octets[24..32], begin, "{dialect:?} {order:?}");
        assert_eq!(Message::parse(octets, wire).unwrap().extensions().next(), Some(source));
    }
}

#[test]
fn each_malformed_message_has_its_error_and_offset() {
    let good = octets(ADD_SENT);
    let cases: &[(usize, u8, usize, PfkeyErrorKind)] = &[
        (0, 1, 0, PfkeyErrorKind::Version(1)),
        (4, 1, 0, PfkeyErrorKind::MessageLength { units: 1, received: good.len() }),
        (16, 0, 16, PfkeyErrorKind::ExtensionLength(0)),
        (16, 200, 16, PfkeyErrorKind::ExtensionLength(200)),
        (16, 1, 16, PfkeyErrorKind::TooShort),
        (34, 1, 32, PfkeyErrorKind::Duplicate(1)),
    ];
    for &(at, octet, offset, kind) in cases {
        let mut bad = good.clone();
        bad[at] = octet;
        let error = Message::parse(&bad, LINUX).unwrap_err();
        assert_eq!((error.offset, error.kind), (offset, kind), "octet {at}");
    }
    assert_eq!(Message::parse(&good[..15], LINUX).unwrap_err().kind, PfkeyErrorKind::TooShort);
}

#[test]
fn malformed_extension_has_its_error() {
    let good = octets(ADD_SENT);
    let changed = |at: usize, octet: u8| {
        let mut bad = good.clone();
        bad[at] = octet;
        Message::parse(&bad, LINUX).map(drop).map_err(|e| e.kind)
    };
    let family = good.windows(8).position(|w| w == [2, 0, 0, 0, 192, 0, 2, 9]).unwrap();
    assert_eq!(changed(family, 3), Err(PfkeyErrorKind::Family(3)));
    let key = good.windows(4).position(|w| w == [160, 0, 0, 0]).unwrap();
    assert_eq!(changed(key + 1, 2), Err(PfkeyErrorKind::KeyLength(160 + 512)));
}

#[test]
fn malformed_template_is_refused() {
    let mut policy = octets(SPDADD_SENT);
    let request = policy.windows(4).position(|w| w == [0x30, 0, 0x6c, 0]).unwrap();
    policy[request + 2] = 6;
    assert_eq!(Message::parse(&policy, LINUX).unwrap_err().kind, PfkeyErrorKind::Template);
}

#[test]
fn too_small_buffer_leaves_the_message_unmodified() {
    let whole = octets(SPDADD_SENT);
    for room in 0..whole.len() {
        let mut buffer = vec![0xee; room];
        let Ok(mut writer) = MessageWriter::new(&mut buffer, LINUX, MessageKind::SPDADD, SaType::Unspecified, 2, 9)
        else {
            assert!(room < 16);
            continue;
        };
        let first = writer.push(&address(AddressRole::Source, "10.9.0.0", 16, 255)).map(drop);
        let refused = writer.push_policy(&Action::Protect(bundle()), PolicyDirection::In, 0, Priority(1000)).map(drop);
        let octets = writer.finish().unwrap().to_vec();
        let message = Message::parse(&octets, LINUX).unwrap();
        let pushed = [first, refused].iter().filter(|result| result.is_ok()).count();
        assert_eq!(message.extensions().count(), pushed, "{room}");
    }
    let mut buffer = [0; 64];
    let refused = MessageWriter::new(&mut buffer, LINUX, MessageKind::ADD, SaType::TcpSignature, 1, 1);
    assert_eq!(refused.map(drop).unwrap_err(), NoSpace);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// A parsed message is rewritten equal to its input, except for reserved fields and octets after the end of a body.
    #[test]
    fn altered_messages_are_refused_or_rewritten(
        which in 0usize..6, changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..4),
        dialect in 0usize..5,
        big in any::<bool>(),
    ) {
        let mut octets = octets([ADD_SENT, DUMPED, SPDADD_SENT, SPD_DUMPED, SOCKET_POLICY, REGISTERED][which]);
        for (at, octet) in changes {
            let at = at % octets.len();
            octets[at] = octet;
        }
        let dialect = DIALECTS[dialect];
        let wire = dialect.with(if big { Order::Big } else { Order::Little });
        if let Ok(message) = Message::parse(&octets, wire) {
            let once = rewritten(&message, wire);
            let read = Message::parse(&once, wire).unwrap();
            prop_assert!(read.extensions().eq(message.extensions()));
            prop_assert_eq!(rewritten(&read, wire), once);
            let _ = format!("{:?}", message.extensions().collect::<Vec<_>>());
        }
    }
}

#[test]
fn debug_output_of_messages_hides_keys() {
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
fn tunnel_mode_template_without_endpoints_is_refused() {
    let wire = LINUX;
    let mut buffer = [0; 128];
    let mut writer = MessageWriter::new(&mut buffer, wire, MessageKind(14), SaType::Unspecified, 1, 1).unwrap();
    let template = Template { protocol: Protocol::Esp, mode: Mode::Tunnel, ends: None, level: Level::Require };
    let action = Action::Protect(Bundle::default().with(template).unwrap());
    writer.push_policy(&action, PolicyDirection::Out, 0, Priority::DEFAULT).unwrap();
    let message = Message::parse(writer.finish().unwrap(), wire);
    let action = message.ok().and_then(|message| match message.extensions().next() {
        Some(Extension::Policy(policy)) => policy.action(),
        other => panic!("{other:?}"),
    });
    assert_eq!(action, None);
}

#[test]
fn reqid_has_32_bits() {
    let wire = Dialect::Linux.with(Order::Little);
    let mut buffer = [0; 128];
    let mut writer = MessageWriter::new(&mut buffer, wire, MessageKind(18), SaType::Unspecified, 1, 1).unwrap();
    let template = Template { protocol: Protocol::Esp, mode: Mode::Transport, ends: None, level: Level::UniqueId(7) };
    let action = Action::Protect(Bundle::default().with(template).unwrap());
    writer.push_policy(&action, PolicyDirection::Out, 1, Priority::DEFAULT).unwrap();
    let octets = writer.finish().unwrap();
    let at = octets.windows(4).rposition(|window| window == [7, 0, 0, 0]).unwrap();
    octets[at..at + 4].copy_from_slice(&70_000u32.to_le_bytes());
    Message::parse(octets, wire).unwrap();
}
