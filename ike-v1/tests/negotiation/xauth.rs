//! Extended authentication and Mode Config. Every transaction exchange on the wire is decrypted.

use std::net::Ipv4Addr;
use std::time::Duration;

use ike_codec::{
    AuthMethod, ConfigAttribute, ConfigKind, Doi, ExchangeKind, Group, IdKind, MessageWriter, Notification, NotifyKind,
    PayloadKind, ProtocolId, VendorIdMeaning, vendor_ids,
};
use ike_v1::{
    ClientConfig, ClientNetwork, ClientNetworkV6, Counter, Gone, ModeConfig, Phase, Refusal, ShortText, XauthRole,
};
use ipsec_crypto::{CipherAlgorithm, HashFunction};
use ipsec_packet::{AddressRange, Selector};

use crate::endpoint::{Config, configs, phase_1};
use crate::spy::{Spy, Transaction, attribute_payload, transaction, transactions};
use crate::wire::{Faults, Link};

pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 10);

/// Returns the configuration that a server assigns to a client.
pub fn lease() -> ClientConfig {
    let mut lease = ClientConfig::default();
    lease.address = Some(ADDRESS);
    lease.netmask = Some(Ipv4Addr::new(255, 255, 255, 0));
    lease.dns = [Some(Ipv4Addr::new(192, 168, 2, 1)), Some(Ipv4Addr::new(192, 168, 2, 2)), None, None];
    lease.address_v6 = Some("2001:db8:99::10".parse().unwrap());
    lease.netmask_v6 = Some("ffff:ffff:ffff:ffff::".parse().unwrap());
    lease.dns_v6 = [Some("2001:db8:2::1".parse().unwrap()), None];
    lease.networks_v6[0] = Some(ClientNetworkV6 { address: "2001:db8:2::".parse().unwrap(), prefix: 48 });
    lease.expiry = Some(3600);
    let network =
        |third| ClientNetwork { address: Ipv4Addr::new(192, 168, third, 0), mask: Ipv4Addr::new(255, 255, 255, 0) };
    (lease.split_include[0], lease.split_include[1]) = (Some(network(2)), Some(network(3)));
    lease.split_exclude[0] = Some(network(4));
    lease.split_dns = ShortText::new(b"corp.example,lab.example");
    lease.domain = ShortText::new(b"corp.example");
    lease.banner = ShortText::new(b"Welcome.");
    lease
}

/// Configurations of a client and a server with a method of phase 1. Side 0 initiates.
pub fn access(method: AuthMethod, client: usize, modes: Option<(ModeConfig, ModeConfig)>) -> [Config; 2] {
    let mut configs = configs().map(|mut config| {
        config.proposals = vec![phase_1(CipherAlgorithm::AesCbc, HashFunction::Sha1, Group::MODP_768)];
        config.proposals[0].auth_method = method;
        config.user = Some((b"alice".to_vec(), b"wonderland, the password".to_vec()));
        config
    });
    (configs[client].xauth, configs[1 - client].xauth) = (Some(XauthRole::Client), Some(XauthRole::Server));
    configs[client].mode_config = modes.map(|modes| modes.0);
    configs[1 - client].mode_config = modes.map(|modes| modes.1);
    configs[1 - client].lease = Some(lease());
    if modes.is_some() {
        let mut selector = configs[client].policy.unwrap();
        selector.source = AddressRange::host(ADDRESS.into());
        let of_server = Selector { source: selector.destination, destination: selector.source, ..selector };
        (configs[client].policy, configs[1 - client].policy) = (Some(selector), Some(of_server));
    }
    configs
}

/// Configurations for XAUTH with the initiator as the client, which requests its configuration.
pub fn pull() -> [Config; 2] {
    access(AuthMethod::XAUTH_INIT_PRE_SHARED, 0, Some((ModeConfig::Request, ModeConfig::Answer)))
}

pub fn initiated(configs: [Config; 2], seed: u64) -> Link {
    let mut link = Link::new(configs, seed);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link
}

/// Runs until phase 1 is complete at both ends, and nothing that follows was delivered.
pub fn until_phase_1(link: &mut Link) {
    let end = link.now + Duration::from_secs(60);
    while link.ends.iter().any(|end| end.phase_1_up == 0) {
        assert!(link.step(end));
    }
}

pub fn count(link: &Link, side: usize, counter: Counter) -> u32 {
    link.ends[side].negotiator.counters().get(counter)
}

/// Returns the messages of all transaction exchanges.
fn seen(link: &Link) -> Vec<Transaction> {
    transactions(&Spy::new(link), link)
}

fn kinds(all: &[Transaction]) -> Vec<(usize, ConfigKind)> {
    all.iter().map(|seen| (seen.side, seen.kind)).collect()
}

pub fn types(seen: &Transaction) -> Vec<ConfigAttribute> {
    seen.attributes.iter().map(|(kind, _)| ConfigAttribute(*kind)).collect()
}

#[test]
fn xauth_and_mode_config_complete_with_requests_of_the_client() {
    let mut link = initiated(pull(), 3000);
    link.run(Duration::from_secs(5));
    assert_eq!(link.agreed(), 1, "{:?}", link.counts());
    let (all, [request, reply, set, ack]) =
        (seen(&link), [ConfigKind::REQUEST, ConfigKind::REPLY, ConfigKind::SET, ConfigKind::ACK]);
    assert_eq!(kinds(&all), [(1, request), (0, reply), (1, set), (0, ack), (0, request), (1, reply)]);
    let asked = [ConfigAttribute::XAUTH_TYPE, ConfigAttribute::XAUTH_USER_NAME, ConfigAttribute::XAUTH_USER_PASSWORD];
    assert_eq!((types(&all[0]), types(&all[1])), (asked.to_vec(), asked.to_vec()));
    assert_eq!(all[1].attributes[1].1, b"alice");
    let status = vec![(ConfigAttribute::XAUTH_STATUS.0, vec![0, 1])];
    assert_eq!((&all[2].attributes, &all[3].attributes), (&status, &status));
    assert!(all[4].attributes.iter().all(|(_, value)| value.is_empty()));
    assert_eq!(link.ends[0].leases, [lease()]);
    assert!(link.ends.iter().all(|end| end.logged_in == 1 && end.failures.is_empty() && end.phase_1_up == 1));
    // Main mode, then three exchanges of two messages, then quick mode; a message that overtakes another is repeated.
    let mut order: Vec<_> = link.sent.iter().map(|(_, message)| message[18]).collect();
    order.dedup();
    assert_eq!(order, [2, 6, 32]);
    // INITIAL-CONTACT would remove the SAs of all users of the group.
    link.run(Duration::from_secs(200));
    assert!(link.ends.iter().all(|end| end.negotiator.sas().count() == 1));
}

#[test]
fn xauth_completes_with_either_side_as_the_client_and_with_assigned_addresses() {
    let push = Some((ModeConfig::Accept, ModeConfig::Assign));
    for (method, client) in [(AuthMethod::XAUTH_INIT_PRE_SHARED, 0), (AuthMethod::XAUTH_RESP_PRE_SHARED, 1)] {
        for modes in [None, push] {
            let mut link = initiated(access(method, client, modes), 3001);
            link.run(Duration::from_secs(5));
            assert_eq!(link.agreed(), 1, "{method} {modes:?}: {:?}", link.counts());
            let all = seen(&link);
            let mut expected = vec![
                (1 - client, ConfigKind::REQUEST),
                (client, ConfigKind::REPLY),
                (1 - client, ConfigKind::SET),
                (client, ConfigKind::ACK),
            ];
            if modes.is_some() {
                expected.extend([(1 - client, ConfigKind::SET), (client, ConfigKind::ACK)]);
                assert_eq!(types(&all[4]), types(&all[5]), "the acknowledgement has the same types");
                assert!(all[5].attributes.iter().all(|(_, value)| value.is_empty()));
                assert_eq!(link.ends[client].leases, [lease()]);
            }
            assert_eq!(kinds(&all), expected, "{method} {modes:?}");
        }
    }
}

/// Clients with the name of a group as their identity, as those of Cisco are.
#[test]
fn xauth_completes_after_aggressive_mode_with_a_key_id() {
    for exchange in [ExchangeKind::AGGRESSIVE, ExchangeKind::BASE] {
        let mut configs = pull();
        configs.iter_mut().for_each(|config| config.exchanges = vec![exchange]);
        configs[0].local_identity = (IdKind::KEY_ID, b"group".to_vec());
        configs[1].remote_identity = Some((IdKind::KEY_ID, b"group".to_vec()));
        let mut link = initiated(configs, 3009);
        link.run(Duration::from_secs(20));
        assert_eq!((link.agreed(), &link.ends[0].leases[..]), (1, &[lease()][..]), "{exchange}: {:?}", link.counts());
        let informational = link.sent.iter().filter(|(_, message)| message[18] == 5);
        assert_eq!(informational.count(), 0, "there is no INITIAL-CONTACT");
    }
}

#[test]
fn mode_config_assigns_an_address_without_xauth() {
    let modes = Some((ModeConfig::Accept, ModeConfig::Assign));
    let mut link = initiated(access(AuthMethod::PRE_SHARED_KEY, 0, modes), 3002);
    link.run(Duration::from_secs(5));
    assert_eq!((link.agreed(), link.ends[0].leases.len()), (1, 1));
    assert_eq!(kinds(&seen(&link)), [(1, ConfigKind::SET), (0, ConfigKind::ACK)]);
    assert!(link.ends.iter().all(|end| end.logged_in == 0));
}

#[test]
fn a_wrong_xauth_password_removes_the_isakmp_sa() {
    for (name, password) in [(&b"alice"[..], &b"another password"[..]), (b"bob", b"wonderland, the password")] {
        let mut configs = pull();
        configs[0].user = Some((name.to_vec(), password.to_vec()));
        let mut link = initiated(configs, 3003);
        link.run(Duration::from_secs(30));
        assert_eq!(kinds(&seen(&link)).last(), Some(&(0, ConfigKind::ACK)));
        for (side, end) in link.ends.iter().enumerate() {
            assert_eq!((end.last_reason(), end.negotiator.sas().count()), (Some(Refusal::XauthRejected), 0), "{side}");
            assert_eq!((end.failures[0].phase, end.failures.len()), (Phase::Transaction, 1));
            assert_eq!((end.logged_in, count(&link, side, Counter::XauthRejected)), (0, 1));
            assert!(end.inbound.is_empty() && end.host.reserved.is_empty() && end.negotiator.is_idle());
        }
        assert_eq!(link.ends[0].phase_1_gone, [Gone::AccessDenied]);
        assert!(link.ends[0].failures[0].sa.is_some(), "the request of the caller fails");
    }
}

#[test]
fn a_client_without_credentials_gives_up() {
    let mut configs = pull();
    configs[0].user = None;
    let mut link = initiated(configs, 3004);
    link.run(Duration::from_secs(30));
    let all = seen(&link);
    assert_eq!(all[1].attributes, [(ConfigAttribute::XAUTH_STATUS.0, vec![0, 0])]);
    assert!(link.ends.iter().all(|end| end.last_reason() == Some(Refusal::XauthRejected)), "{:?}", link.counts());
}

#[test]
fn a_client_without_an_address_gives_up() {
    for modes in [(ModeConfig::Request, ModeConfig::Answer), (ModeConfig::Accept, ModeConfig::Assign)] {
        let mut configs = access(AuthMethod::XAUTH_INIT_PRE_SHARED, 0, Some(modes));
        configs[1].lease = None;
        let mut link = initiated(configs, 3005);
        link.run(Duration::from_secs(30));
        let side = usize::from(modes.1 == ModeConfig::Assign);
        assert_eq!(link.ends[side].last_reason(), Some(Refusal::NoAddress), "{modes:?}");
        assert!(link.ends.iter().all(|end| end.negotiator.sas().count() == 0 && end.leases.is_empty()));
    }
}

/// Answers of a peer without extended authentication: the server sends none, or the client.
#[test]
fn extended_authentication_without_an_answer_is_ended() {
    for (side, reason) in [(0, Refusal::XauthOwed), (1, Refusal::NoAnswer { sends: 6 })] {
        let mut link = initiated(pull(), 3006);
        until_phase_1(&mut link);
        link.ends[0].deaf = true;
        link.run(Duration::from_secs(70));
        assert_eq!(link.ends[side].last_reason(), Some(reason), "side {side}: {:?}", link.counts());
        assert_eq!(link.ends[side].negotiator.sas().count(), 0);
    }
}

/// A user may need longer for a password than a client waits for its server.
#[test]
fn a_client_waits_for_its_user() {
    let mut link = until_asked(pull(), 3015);
    let spy = Spy::new(&link);
    link.faults.lost = 100;
    link.ends[0].host.later.questions = Some(|_| true);
    link.ends[0].host.later.delay = Duration::from_secs(90);
    link.inject(0, transaction(&spy, 9000, (ConfigKind::REQUEST, 3), &[(ConfigAttribute::XAUTH_USER_NAME, &[])], &[]));
    let before = link.sent.iter().filter(|(side, _)| *side == 0).count();
    link.run(Duration::from_secs(95));
    let of_client: Vec<_> = link.sent.iter().filter(|(side, _)| *side == 0).collect();
    assert_eq!((of_client.len(), link.ends[0].negotiator.sas().count()), (before + 1, 1), "{:?}", link.counts());
    assert_eq!(of_client[before].1[18], 6);
}

/// Quick mode of either side waits for the user; the first message of a client that does not wait is refused.
#[test]
fn quick_mode_waits_for_extended_authentication() {
    let mut link = initiated(pull(), 3007);
    until_phase_1(&mut link);
    link.ends[1].host.later.questions = Some(|_| true);
    link.ends[1].host.later.delay = Duration::from_secs(3);
    let now = link.now;
    link.ends[1].initiate_policy(now, 2).unwrap();
    link.run(Duration::from_secs(1));
    assert_eq!(link.ends[1].host.later.waiting.len(), 1, "the user is not authenticated yet");
    let spy = Spy::new(&link);
    let write = |writer: &mut MessageWriter<'_>| writer.bytes(PayloadKind::NONCE, &[7; 16]).map(drop);
    let first = spy.message((ExchangeKind::QUICK, 4000), &spy.chain(4000, []), write);
    for _ in 0..3 {
        link.inject(1, first.clone());
    }
    assert_eq!(count(&link, 1, Counter::XauthOwed), 3, "it may be repeated");
    assert!(link.sent.iter().all(|(_, message)| message[18] != 32));
    link.ends[1].host.later.questions = None;
    link.run(Duration::from_secs(20));
    assert_eq!(link.agreed(), 2, "{:?}", link.counts());
    link.inject(1, first);
    assert_eq!(count(&link, 1, Counter::XauthOwed), 3);
    // The configuration is requested before the user is authenticated.
    let mut link = initiated(pull(), 3008);
    until_phase_1(&mut link);
    let spy = Spy::new(&link);
    link.inject(1, transaction(&spy, 4001, (ConfigKind::REQUEST, 1), &[(ConfigAttribute::IP4_ADDRESS, &[])], &[]));
    assert_eq!(count(&link, 1, Counter::XauthOwed), 1);
}

/// Reaches the place where a server has sent SET, and returns it with the acknowledgement of the client, which is lost.
fn until_ack(link: &mut Link) -> (Transaction, Transaction) {
    let end = link.now + Duration::from_secs(5);
    loop {
        assert!(link.step(end));
        let all = if link.sent.len() > 6 { seen(link) } else { Vec::new() };
        if let [.., set, ack] = &all[..]
            && ack.kind == ConfigKind::ACK
        {
            link.lose_all();
            return (set.clone(), ack.clone());
        }
    }
}

#[test]
fn xauth_acknowledgement_with_a_new_message_id_is_accepted_from_ssh_sentinel() {
    for is_sentinel in [false, true] {
        let mut link = Link::new(access(AuthMethod::XAUTH_INIT_PRE_SHARED, 0, None), 3010);
        let now = link.now;
        link.ends[0].initiate(now).unwrap();
        let first = link.ends[0].poll(now).pop().unwrap();
        let mut altered = first.clone();
        if is_sentinel {
            // A vendor ID of the same length replaces that of dead peer detection.
            let sentinel = vendor_ids().iter().find(|id| id.meaning == VendorIdMeaning::SshSentinel141).unwrap();
            let at = first.windows(4).position(|octets| octets == [0xaf, 0xca, 0xd7, 0x13]).unwrap();
            altered[at..at + 16].copy_from_slice(sentinel.bytes);
        }
        link.sent.push((0, first));
        link.inject(1, altered);
        let (set, _) = until_ack(&mut link);
        let spy = Spy::new(&link);
        let status = [(ConfigAttribute::XAUTH_STATUS, &[0, 1][..])];
        let ack = |id| transaction(&spy, 5000 + u32::from(id), (ConfigKind::ACK, id), &status, &[]);
        link.inject(1, ack(set.identifier.wrapping_add(1)));
        assert_eq!(count(&link, 1, Counter::Transaction), 1, "another identifier");
        link.inject(1, ack(set.identifier));
        let refused = count(&link, 1, Counter::Transaction);
        assert_eq!(refused, if is_sentinel { 1 } else { 2 });
        let before = count(&link, 1, Counter::Retransmitted);
        link.run(Duration::from_secs(5));
        assert_eq!(count(&link, 1, Counter::Retransmitted) > before, !is_sentinel);
        assert_eq!(link.agreed(), 1);
    }
}

/// Runs until the server has sent its XAUTH request, and loses that message.
pub fn until_asked(configs: [Config; 2], seed: u64) -> Link {
    let mut link = initiated(configs, seed);
    until_phase_1(&mut link);
    link.lose_all();
    link
}

/// Attributes of other daemons: padded messages, empty and unknown attributes, other lengths, any order.
#[test]
fn padded_empty_and_unknown_attributes_are_accepted() {
    let mut link = until_asked(pull(), 3011);
    let spy = Spy::new(&link);
    let (user, password) = (ConfigAttribute::XAUTH_USER_NAME, ConfigAttribute::XAUTH_USER_PASSWORD);
    let asked = [
        (ConfigAttribute::XAUTH_MESSAGE, &b"Who are you?"[..]),
        (password, &[]),
        (user, &[]),
        (ConfigAttribute(0), &[]),
    ];
    let request = transaction(&spy, 6000, (ConfigKind::REQUEST, 0), &asked, &[0, 0, 0]);
    link.inject(0, request.clone());
    let reply = attribute_payload(0, &spy.open(0, &[&request, &link.sent.last().unwrap().1]));
    assert_eq!(types(&reply), [password, user], "what has a value, in the order of the request");
    link.lose_all();
    let status = [(ConfigAttribute::XAUTH_STATUS, &[0, 0, 0, 1][..])];
    let set = transaction(&spy, 6001, (ConfigKind::SET, 9), &status, &[0]);
    link.inject(0, set.clone());
    let [.., ack, request] = &link.sent[..] else { panic!() };
    let (ack, request) = (spy.open(0, &[&set, &ack.1]), spy.open(0, &[&request.1]));
    assert_eq!(attribute_payload(0, &ack).identifier, 9);
    let request = attribute_payload(0, &request);
    link.lose_all();
    let network = [192, 168, 2, 0, 255, 255, 255, 0];
    let values: [(ConfigAttribute, &[u8]); 11] = [
        (ConfigAttribute::IP4_DNS, &[]),
        (ConfigAttribute::IP4_DNS, &[1, 2, 3]),
        (ConfigAttribute::IP4_ADDRESS, &[0, 0, 0, 0]),
        (ConfigAttribute::IP4_ADDRESS, &[10, 99, 0, 10]),
        (ConfigAttribute::IP4_ADDRESS, &[10, 99, 0, 11]),
        (ConfigAttribute::IP4_SUBNET, &network),
        (ConfigAttribute::UNITY_SPLIT_INCLUDE, &[7; 13]),
        (ConfigAttribute::UNITY_LOCAL_LAN, &[7; 28]),
        (ConfigAttribute::UNITY_SPLIT_DNS, &[b'x'; 129]),
        (ConfigAttribute::UNITY_BANNER, &[b'x'; 200]),
        (ConfigAttribute(30_000), &[1; 40]),
    ];
    let reply = |id, kind| transaction(&spy, request.message_id, (kind, id), &values, &[]);
    for (id, kind) in [(request.identifier ^ 1, ConfigKind::REPLY), (request.identifier, ConfigKind::SET)] {
        let before = count(&link, 0, Counter::Transaction);
        link.inject(0, reply(id, kind));
        assert_eq!((count(&link, 0, Counter::Transaction), link.ends[0].leases.len()), (before + 1, 0));
    }
    link.inject(0, reply(request.identifier, ConfigKind::REPLY));
    let [lease] = link.ends[0].leases[..] else { panic!("{:?}", link.counts()) };
    assert_eq!((lease.address, lease.dns, lease.banner.octets().len()), (Some(ADDRESS), [None; 4], 128));
    assert_eq!(lease.split_include.iter().flatten().count(), 1);
    assert_eq!((lease.split_exclude.iter().flatten().count(), lease.split_dns.octets().len()), (2, 128));
}

/// charon answers a request for name and password with the identifier 0.
#[test]
fn replies_with_the_identifier_0_are_accepted() {
    let mut link = until_asked(pull(), 3013);
    let spy = Spy::new(&link);
    let request = transactions(&spy, &link).pop().unwrap();
    assert_ne!(request.identifier, 0);
    let values: [(ConfigAttribute, &[u8]); 2] = [
        (ConfigAttribute::XAUTH_USER_NAME, b"alice"),
        (ConfigAttribute::XAUTH_USER_PASSWORD, b"wonderland, the password"),
    ];
    link.inject(1, transaction(&spy, request.message_id, (ConfigKind::REPLY, 0), &values, &[]));
    let set = attribute_payload(1, &spy.open(0, &[&link.sent.last().unwrap().1]));
    assert_eq!((set.kind, set.attributes), (ConfigKind::SET, vec![(ConfigAttribute::XAUTH_STATUS.0, vec![0, 1])]));
}

/// Passwords that are longer than the server accepts are not given to its host.
#[test]
fn long_credentials_are_rejected() {
    let mut link = until_asked(pull(), 3012);
    let spy = Spy::new(&link);
    let request = transactions(&spy, &link).pop().unwrap();
    let values: [(ConfigAttribute, &[u8]); 2] =
        [(ConfigAttribute::XAUTH_USER_NAME, b"alice"), (ConfigAttribute::XAUTH_USER_PASSWORD, &[b'p'; 65])];
    let before = link.ends[1].host.later.count;
    link.inject(1, transaction(&spy, request.message_id, (ConfigKind::REPLY, request.identifier), &values, &[]));
    assert_eq!(link.ends[1].host.later.count, before);
    let set = attribute_payload(1, &spy.open(0, &[&link.sent.last().unwrap().1]));
    assert_eq!(set.attributes, [(ConfigAttribute::XAUTH_STATUS.0, vec![0, 0])]);
}

/// A server of Cisco names another server.
#[test]
fn a_client_follows_a_load_balance_notification() {
    let mut link = until_asked(pull(), 3013);
    let spy = Spy::new(&link);
    let (doi, protocol, kind) = (Doi::IPSEC, ProtocolId::ISAKMP, NotifyKind::CISCO_LOAD_BALANCE);
    let notify = |message_id, data: &[u8]| {
        let notification = Notification { doi, protocol, kind, spi: &[], data };
        let write = |writer: &mut MessageWriter<'_>| {
            writer.payload(PayloadKind::NOTIFICATION, |body| notification.write(body)).map(drop)
        };
        spy.message((ExchangeKind::INFORMATIONAL, message_id), &spy.chain(message_id, []), write)
    };
    for (message_id, data) in [(7000, &[1, 2, 3][..]), (7001, &[0; 4])] {
        link.inject(0, notify(message_id, data));
    }
    assert_eq!((count(&link, 0, Counter::Transaction), link.ends[0].negotiator.sas().count()), (2, 1));
    let (now, end) = (link.now, &mut link.ends[0]);
    end.receive(now, notify(7002, &[198, 51, 100, 77]));
    end.host.path.remote.set_ip([198, 51, 100, 77].into());
    let first = end.poll(now);
    assert_eq!((first.len(), first[0][18], &first[0][8..16]), (1, 2, &[0; 8][..]), "main mode with the other server");
    assert_eq!(end.redirected, [end.host.path.remote]);
    assert_eq!((end.negotiator.sas().count(), end.failures.len()), (0, 0));
    // A server does not follow a client.
    let before = count(&link, 1, Counter::Transaction);
    link.inject(1, notify(7003, &[198, 51, 100, 77]));
    assert_eq!((count(&link, 1, Counter::Transaction), link.ends[1].negotiator.sas().count()), (before + 1, 1));
}

/// Users of a group have the same identity and key. The SAs of one are not those of another.
#[test]
fn users_of_a_group_are_different_peers() {
    let users = |name: &[u8]| {
        let mut configs = pull();
        configs[0].user = Some((name.to_vec(), b"wonderland, the password".to_vec()));
        configs
    };
    // The second SA of the same user replaces the first one for packets to the client.
    for (second, replaced) in [(&b"bob"[..], 0), (b"alice", 1)] {
        let mut link = initiated(users(b"alice"), 3014);
        link.run(Duration::from_secs(5));
        link.ends[1].host.config.user = Some((second.to_vec(), b"wonderland, the password".to_vec()));
        let [config, _] = users(second);
        link.restart(0, config);
        let now = link.now;
        link.ends[0].initiate(now).unwrap();
        link.run(Duration::from_secs(20));
        let end = &link.ends[1];
        assert_eq!((end.negotiator.sas().count(), end.gone.len()), (2, replaced), "{:?}", end.gone);
        if replaced > 0 {
            continue;
        }
        // The second client deletes its SAs.
        let (now, end) = (link.now, &mut link.ends[0]);
        end.negotiator.delete(now, ike_v1::Target::All, &mut end.host);
        link.run(Duration::from_secs(20));
        assert_eq!((link.ends[1].negotiator.sas().count(), link.ends[1].inbound.len()), (1, 1));
    }
}

#[test]
fn extended_authentication_completes_over_a_lossy_network() {
    let push = Some((ModeConfig::Accept, ModeConfig::Assign));
    for seed in 0..150 {
        let configs = match seed % 3 {
            0 => pull(),
            1 => access(AuthMethod::XAUTH_INIT_PRE_SHARED, 0, push),
            _ => access(AuthMethod::XAUTH_RESP_PRE_SHARED, 1, push),
        };
        let mut link = initiated(configs, 3100 + seed);
        until_phase_1(&mut link);
        link.faults = Faults { lost: seed % 4 * 8, repeated: 20, delayed: 20, truncated: 10, forged: 10 };
        link.run(Duration::from_secs(120));
        assert_eq!(link.agreed(), 1, "seed {seed}: {:?}", link.counts());
        assert!(link.ends.iter().all(|end| end.logged_in >= 1 && end.failures.is_empty()), "seed {seed}");
        for side in 0..2 {
            assert_eq!(count(&link, side, Counter::Internal), 0);
        }
    }
}
