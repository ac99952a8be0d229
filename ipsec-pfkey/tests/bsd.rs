//! Messages of FreeBSD and NetBSD: those that were recorded, and those that the back end writes for a model of their
//! kernels, which reads octets by the structures of `net/pfkeyv2.h`.

use core::convert::Infallible;
use core::net::IpAddr;
use core::time::Duration;

use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm, Secret, SuiteKeys};
use ipsec_packet::{AddressRange, Instant, Selector, Upper};
use ipsec_pfkey::{
    BackendError, Dialect, Extension, Message, MessageKind, Order, PfkeyBackend, SaType, WriteError, event, read_policy,
};
use ipsec_sa::{
    Action, Bundle, CompressionAlgorithm, Expiry, Level, Lifetimes, Limit, Mode, PolicyBackend, PolicyDirection,
    PolicyId, PolicyParams, Priority, Protocol, SaBackend, SaEvent, SaId, SaParams, Template, TransformParams,
    TunnelEndpoints,
};
use test_vectors::from_hex;

const KERNELS: [Dialect; 3] = [Dialect::Kame, Dialect::NetBsd, Dialect::FreeBsd];

/// SADB_X_SPDADD message whose fields setkey of KAME printed (mailing list linux-kernel, 5 August 2003).
const SPDADD: &str = concat!(
    "020e0000100000000000000062150000",
    "08001200020002000000000000000000",
    "280032000201000010020000ac12fefe000000000000000010020000ac12fdfd0000000000000000",
    "0800330001020000",
    "03000500ff18000010020000ac12fd000000000000000000",
    "03000600ff18000010020000ac12fe000000000000000000",
);

/// SADB_ACQUIRE message for a UDP datagram between two hosts, whose addresses and policy libreswan logged on FreeBSD
/// and NetBSD (its issue 3049), with a proposal of one combination.
const ACQUIRE: &str = concat!(
    "02060003140000000100000000000000",
    "03000500ff20000010020000c000010f0000000000000000",
    "03000600ff20000010020000c000020c0000000000000000",
    "02001200020002000100000000000000",
    "0a000d0020000000",
    "030c000080008000800080000000000000000000000000000000000000000000000000000000000080510100000000008051010000000000",
    "80700000000000008070000000000000",
);

/// SADB_ACQUIRE message of OpenBSD, whose header and address libreswan logged (its issue 2952), without its proposal.
const OPENBSD_ACQUIRE: &str =
    concat!("02060002050000000100000000000000", "030006000000000010020000c00102170000000000000000");

fn octets(hex: &str) -> Vec<u8> {
    from_hex(&hex.replace(' ', "")).unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn end(text: &str) -> (Option<IpAddr>, Option<u16>) {
    (Some(address(text)), None)
}

/// Returns the policy of `SPDADD`.
fn recorded_policy() -> PolicyParams {
    let ends = TunnelEndpoints { source: end("172.18.254.254"), destination: end("172.18.253.253") };
    let esp = Template { protocol: Protocol::Esp, mode: Mode::Tunnel, ends: Some(ends), level: Level::Use };
    let ah = Template { protocol: Protocol::Ah, mode: Mode::Transport, ends: None, level: Level::Require };
    PolicyParams {
        selector: Selector {
            source: AddressRange::prefix(address("172.18.253.0"), 24).unwrap(),
            destination: AddressRange::prefix(address("172.18.254.0"), 24).unwrap(),
            upper: Upper::Any,
        },
        direction: PolicyDirection::Out,
        priority: Priority::DEFAULT,
        action: Action::Protect(Bundle::default().with(esp).and_then(|bundle| bundle.with(ah)).unwrap()),
    }
}

/// Collects the messages of a back end, whose process ID is that of `SPDADD`.
fn messages(
    dialect: Dialect,
    order: Order,
    commands: impl FnOnce(&mut PfkeyBackend<&mut dyn FnMut(&[u8]) -> Result<(), Infallible>>),
) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    let mut socket = |message: &[u8]| {
        sent.push(message.to_vec());
        Ok(())
    };
    let socket = &mut socket as &mut dyn FnMut(&[u8]) -> Result<(), Infallible>;
    commands(&mut PfkeyBackend::new(socket, dialect.with(order), 5474));
    sent
}

#[test]
fn a_recorded_policy_is_read() {
    let recorded = octets(SPDADD);
    for dialect in KERNELS {
        let message = Message::parse(&recorded, dialect.with(Order::Little)).unwrap();
        assert_eq!(read_policy(&message), Ok(recorded_policy()), "{dialect:?}");
    }
}

/// The policy follows the addresses here, and is in front of them in the message of setkey.
#[test]
fn the_policy_is_written_with_the_octets_of_the_recorded_one() {
    let recorded = octets(SPDADD);
    let (head, policy, addresses) = (&recorded[..16], &recorded[16..80], &recorded[80..]);
    for dialect in KERNELS {
        let sent = messages(dialect, Order::Little, |backend| _ = backend.add_policy(&recorded_policy()).unwrap());
        let [mut sent] = <[_; 1]>::try_from(sent).unwrap();
        if dialect == Dialect::FreeBsd {
            // KAME and NetBSD have no priorities.
            assert_eq!(sent[76..80], Priority::DEFAULT.0.to_le_bytes());
            sent[76..80].fill(0);
        }
        assert_eq!((&sent[..8], &sent[12..16]), (&head[..8], &head[12..]), "{dialect:?}");
        assert_eq!((&sent[16..64], &sent[64..]), (addresses, policy), "{dialect:?}");
    }
}

#[test]
fn a_recorded_acquire_names_its_policy_and_its_addresses() {
    let recorded = octets(ACQUIRE);
    for dialect in [Dialect::NetBsd, Dialect::FreeBsd] {
        let message = Message::parse(&recorded, dialect.with(Order::Little)).unwrap();
        let Some(SaEvent::Acquire(acquire)) = event(&message, &[address("192.0.1.15")]) else { panic!("an acquire") };
        assert_eq!((acquire.policy, acquire.template.protocol), (PolicyId::new(1), Protocol::Esp));
        let ends = (acquire.source, acquire.destination);
        assert_eq!(ends, (Some(address("192.0.1.15")), Some(address("192.0.2.12"))));
    }
}

/// The source and the flow are those of the policy, for which a daemon of OpenBSD asks.
#[test]
fn a_recorded_acquire_of_openbsd_has_no_source() {
    let recorded = octets(OPENBSD_ACQUIRE);
    let message = Message::parse(&recorded, Dialect::OpenBsd.with(Order::Little)).unwrap();
    assert_eq!((message.header().kind, message.header().sa_type), (MessageKind::ACQUIRE, SaType::Esp));
    let addresses: Vec<_> = message.extensions().filter(|e| matches!(e, Extension::Address { .. })).collect();
    assert!(matches!(addresses[..], [Extension::Address { address: found, .. }] if found == address("192.1.2.23")));
    assert_eq!(event(&message, &[]), None);
}

/// NetBSD reports the soft lifetime, and no hard one.
#[test]
fn an_expired_sa_is_reported() {
    for (kind, expiry) in [("03", Expiry::Hard), ("04", Expiry::Soft)] {
        let recorded = octets(&format!(
            "02080003140000000000000002000000 02000100726c4bd70402030c00000000 02001300020000000500000005400000\
             0400020005000000a402000000000000d6a50f6900000000d6a50f6900000000\
             0400{kind}0000000000000000000000000058020000000000000000000000000000\
             03000500ff20000010020000c00002020000000000000000 03000600ff20000010020000c00002010000000000000000"
        ));
        for dialect in [Dialect::NetBsd, Dialect::FreeBsd] {
            let message = Message::parse(&recorded, dialect.with(Order::Little)).unwrap();
            let id = SaId::inbound(address("192.0.2.1"), Protocol::Esp, 0x726c_4bd7);
            assert_eq!(event(&message, &[address("192.0.2.1")]), Some(SaEvent::Expire(id, expiry)), "{dialect:?}");
        }
    }
}

/// Kernel of KAME, FreeBSD or NetBSD: the checks of SADB_ADD, SADB_DELETE, SADB_X_SPDUPDATE and SADB_X_SPDDELETE.
struct Kernel<'m> {
    order: Order,
    message: &'m [u8],
}

impl<'m> Kernel<'m> {
    fn u16(&self, octets: &[u8]) -> usize {
        let octets = [octets[0], octets[1]];
        match self.order {
            Order::Little => u16::from_le_bytes(octets).into(),
            Order::Big => u16::from_be_bytes(octets).into(),
        }
    }

    /// Returns the extensions by their numbers.
    fn extensions(&self) -> Result<[Option<&'m [u8]>; 29], &'static str> {
        let (mut found, mut rest) = ([None; 29], &self.message[16..]);
        if self.u16(&self.message[4..]) * 8 != self.message.len() {
            return Err("length of the message");
        }
        while !rest.is_empty() {
            let (length, number) = (self.u16(rest) * 8, self.u16(&rest[2..]));
            if length == 0 || length > rest.len() || number > 28 || found[number].is_some() {
                return Err("extension");
            }
            found[number] = Some(&rest[..length]);
            rest = &rest[length..];
        }
        Ok(found)
    }

    /// Checks a socket address at the begin of octets, and returns its length.
    fn sockaddr(octets: &[u8], inet6: u8) -> Result<usize, &'static str> {
        match *octets {
            [16, 2, ..] if octets.len() >= 16 => Ok(16),
            [28, family, ..] if family == inet6 && octets.len() >= 28 => Ok(28),
            _ => Err("socket address"),
        }
    }

    fn check(&self, inet6: u8) -> Result<(), &'static str> {
        let found = self.extensions()?;
        for number in [5, 6] {
            let address = found[number].ok_or("address")?;
            let length = Self::sockaddr(&address[8..], inet6)?;
            if address.len() != (8 + length).next_multiple_of(8) {
                return Err("length of an address");
            }
        }
        match self.message[1] {
            3 => self.check_sa(&found),
            4 => found[1].filter(|sa| sa.len() == 16).map(drop).ok_or("SA"),
            13 | 15 => self.check_policy(found[18].ok_or("policy")?, inet6),
            _ => Err("kind of message"),
        }
    }

    fn check_sa(&self, found: &[Option<&[u8]>; 29]) -> Result<(), &'static str> {
        let sa = found[1].filter(|sa| sa.len() == 16).ok_or("SA")?;
        let is_null = sa[11] == 11;
        let has_octets = |key: &&[u8]| key.len() > 8 && self.u16(&key[4..]) <= (key.len() - 8) * 8;
        match self.message[3] {
            2 => found[8].filter(has_octets).map(drop).ok_or("key of AH")?,
            3 => found[9].filter(|key| is_null || has_octets(key)).map(drop).ok_or("key of the cipher")?,
            9 => {}
            _ => return Err("SA type"),
        }
        if found[3].is_some() != found[4].is_some() {
            return Err("one lifetime without the other");
        }
        found[19].filter(|sa2| sa2.len() == 16).map(drop).ok_or("mode and request ID")
    }

    fn check_policy(&self, policy: &[u8], inet6: u8) -> Result<(), &'static str> {
        let (kind, direction, mut rest) = (self.u16(&policy[4..]), policy[6], &policy[16..]);
        if !(1..=2).contains(&direction) {
            return Err("direction");
        }
        if kind > 2 || (kind == 2) == rest.is_empty() && self.message[1] == 13 {
            return Err("type of the policy");
        }
        while !rest.is_empty() {
            let length = self.u16(rest);
            let protocol = self.u16(&rest[2..]);
            if length < 8 || length > rest.len() || ![50, 51, 108].contains(&protocol) || rest[5] > 3 {
                return Err("template");
            }
            if rest[4] == 2 || length > 8 {
                let first = Self::sockaddr(&rest[8..], inet6)?;
                let second = Self::sockaddr(&rest[8 + first..], inet6)?;
                if first != second || length != (8 + first + second).next_multiple_of(8) {
                    return Err("addresses of a template");
                }
            }
            rest = &rest[length..];
        }
        Ok(())
    }
}

/// Checks that the kernels of KAME and its descendants accept the messages of commands.
fn are_accepted(
    what: &str,
    commands: impl Fn(&mut PfkeyBackend<&mut dyn FnMut(&[u8]) -> Result<(), Infallible>>) + Copy,
) {
    for dialect in KERNELS {
        for order in [Order::Little, Order::Big] {
            let inet6 = if dialect == Dialect::FreeBsd { 28 } else { 24 };
            let sent = messages(dialect, order, commands);
            assert!(!sent.is_empty());
            for message in &sent {
                let kernel = Kernel { order, message };
                assert_eq!(kernel.check(inet6), Ok(()), "{what}, {dialect:?}, {order:?}: {message:02x?}");
            }
        }
    }
}

fn esp(cipher: CipherAlgorithm, octets: usize, integrity: IntegrityAlgorithm, key: usize) -> TransformParams {
    TransformParams::Esp(SuiteKeys::new(cipher, &[0x22; 56][..octets], integrity, &[0x11; 64][..key]).unwrap())
}

fn sa(protocol: Protocol, transform: TransformParams) -> SaParams {
    let id = SaId::outbound(address("198.51.100.1"), protocol, 0x1234_5678);
    SaParams { mode: Mode::Tunnel, ..SaParams::new(id, address("192.0.2.1"), transform) }
}

#[test]
fn kernels_accept_sas_of_every_cipher() {
    let (mut ciphers, sha1) = (0, IntegrityAlgorithm::HmacSha1_96);
    for row in CipherAlgorithm::ALL {
        let (integrity, key) = if row.icv > 0 { (IntegrityAlgorithm::None, 0) } else { (sha1, 20) };
        if KERNELS.iter().all(|dialect| dialect.cipher_number(row.algorithm).is_some()) {
            let params = sa(Protocol::Esp, esp(row.algorithm, row.default_key, integrity, key));
            are_accepted(row.name, |backend| backend.add(&params, Instant::ZERO).unwrap());
            ciphers += 1;
        }
    }
    assert!(ciphers > 8, "{ciphers}");
}

#[test]
fn kernels_accept_sas_with_one_lifetime_and_their_deletion() {
    let limit = Limit { age: Some(Duration::from_secs(3600)), ..Limit::default() };
    let transform = |protocol| match protocol {
        Protocol::Ipcomp => TransformParams::Ipcomp { algorithm: CompressionAlgorithm::Deflate, spi: 0x4001 },
        _ => TransformParams::Ah { integrity: IntegrityAlgorithm::HmacSha1_96, key: Secret::new(&[0x11; 20]).unwrap() },
    };
    for protocol in [Protocol::Ah, Protocol::Ipcomp] {
        for lifetimes in [
            Lifetimes::default(),
            Lifetimes { hard: limit, ..Lifetimes::default() },
            Lifetimes { soft: limit, ..Lifetimes::default() },
            Lifetimes { soft: limit, hard: limit },
        ] {
            let params = SaParams { lifetimes, reqid: 0x4005, ..sa(protocol, transform(protocol)) };
            are_accepted("lifetimes", |backend| {
                backend.add(&params, Instant::ZERO).unwrap();
                backend.delete(&params.id, params.source).unwrap();
            });
        }
    }
}

#[test]
fn kernels_accept_policies() {
    let ipv6 = TunnelEndpoints { source: end("2001:db8::1"), destination: end("2001:db8::2") };
    let ipv4 = TunnelEndpoints { source: end("192.0.2.1"), destination: end("192.0.2.2") };
    for direction in [PolicyDirection::In, PolicyDirection::Out] {
        for ends in [Some(ipv4), Some(ipv6), None] {
            for level in [Level::Default, Level::Use, Level::Require, Level::Unique, Level::UniqueId(0xffff)] {
                let mode = if ends.is_some() { Mode::Tunnel } else { Mode::Transport };
                let bundle = Bundle::default().with(Template { protocol: Protocol::Ipcomp, mode, ends, level });
                let action = Action::Protect(bundle.unwrap());
                let policy = PolicyParams { direction, action, ..recorded_policy() };
                are_accepted("bundle", |backend| {
                    backend.update_policy(&policy).unwrap();
                    backend.delete_policy(direction, &policy.selector).unwrap();
                });
                // All fields survive.
                for dialect in KERNELS {
                    let sent = messages(dialect, Order::Big, |b| _ = b.update_policy(&policy).unwrap());
                    let message = Message::parse(&sent[0], dialect.with(Order::Big)).unwrap();
                    assert_eq!(read_policy(&message), Ok(policy), "{dialect:?}");
                }
            }
        }
        for action in [Action::Bypass, Action::Discard] {
            let policy = PolicyParams { direction, action, ..recorded_policy() };
            are_accepted("action", |backend| _ = backend.update_policy(&policy).unwrap());
        }
    }
}

/// The model would not notice errors if it accepted the messages of Linux.
#[test]
fn kernels_refuse_the_messages_of_linux() {
    let sent = messages(Dialect::Linux, Order::Little, |backend| {
        backend.update_policy(&recorded_policy()).unwrap();
        let null = esp(CipherAlgorithm::Null, 0, IntegrityAlgorithm::HmacSha1_96, 20);
        backend.add(&sa(Protocol::Esp, null), Instant::ZERO).unwrap();
    });
    for message in &sent {
        assert!(Kernel { order: Order::Little, message }.check(24).is_err());
    }
}

#[test]
fn policies_that_only_linux_has_are_refused_by_name() {
    let recorded = recorded_policy();
    let template = Template { level: Level::UniqueId(0x1_0000), ..recorded_bundle(&recorded)[0] };
    let action = Action::Protect(Bundle::default().with(template).unwrap());
    for (policy, what) in [
        (PolicyParams { direction: PolicyDirection::Forward, ..recorded }, "policies of forwarded packets"),
        (PolicyParams { action, ..recorded }, "request IDs above 65535 in policies"),
    ] {
        for dialect in KERNELS {
            let sent = messages(dialect, Order::Little, |backend| {
                let refused = backend.add_policy(&policy);
                assert_eq!(refused, Err(BackendError::Write(WriteError::Unsupported(what))), "{dialect:?}");
            });
            assert!(sent.is_empty());
        }
        assert_eq!(messages(Dialect::Linux, Order::Little, |b| _ = b.add_policy(&policy).unwrap()).len(), 1);
    }
}

#[test]
fn priorities_are_refused_by_kernels_that_have_the_order_of_insertion() {
    let policy = PolicyParams { priority: Priority(7), ..recorded_policy() };
    for dialect in [Dialect::Kame, Dialect::NetBsd] {
        messages(dialect, Order::Little, |backend| {
            let refused = backend.update_policy(&policy);
            assert_eq!(refused, Err(BackendError::Write(WriteError::Unsupported("priorities of policies"))));
        });
    }
    assert_eq!(messages(Dialect::FreeBsd, Order::Little, |b| _ = b.update_policy(&policy).unwrap()).len(), 1);
}

fn recorded_bundle(policy: &PolicyParams) -> Vec<Template> {
    match &policy.action {
        Action::Protect(bundle) => bundle.iter().copied().collect(),
        _ => Vec::new(),
    }
}

#[test]
fn truncated_algorithms_are_those_of_their_kernels() {
    use IntegrityAlgorithm::{HmacSha1_96, HmacSha2_256_96, HmacSha2_256_128, HmacSha2_384_192, HmacSha2_512_256};
    let all = [HmacSha1_96, HmacSha2_256_96, HmacSha2_256_128, HmacSha2_384_192, HmacSha2_512_256];
    let truncated = |dialect: Dialect| -> Vec<_> { all.into_iter().filter(|own| dialect.truncates(*own)).collect() };
    assert_eq!(truncated(Dialect::Linux), [HmacSha2_256_128]);
    assert_eq!(truncated(Dialect::Kame), [HmacSha2_256_128, HmacSha2_384_192, HmacSha2_512_256]);
    for dialect in [Dialect::NetBsd, Dialect::FreeBsd, Dialect::OpenBsd] {
        assert_eq!(truncated(dialect), [], "{dialect:?}");
    }
    assert_eq!(Dialect::NetBsd.integrity(5), Some(HmacSha2_256_128));
}
