//! Quick mode of clients of Mode Config: it is for the address that is assigned to the client.

use std::net::IpAddr;
use std::time::Duration;

use ike_codec::{AuthMethod, ConfigAttribute, ConfigKind};
use ike_v1::{ClientNetworkV6, Counter, ModeConfig, Refusal, Target};
use ipsec_packet::{AddressRange, Selector};

use crate::endpoint::{Config, network};
use crate::spy::{Spy, transaction, transactions};
use crate::wire::Link;
use crate::xauth::{ADDRESS, access, initiated, lease, types, until_phase_1};

const PULL: (ModeConfig, ModeConfig) = (ModeConfig::Request, ModeConfig::Answer);
const PUSH: (ModeConfig, ModeConfig) = (ModeConfig::Accept, ModeConfig::Assign);

/// Configurations of a client with this address, and of a server whose policy is for all addresses of its clients.
fn client(method: AuthMethod, modes: Option<(ModeConfig, ModeConfig)>, own: AddressRange) -> [Config; 2] {
    let mut configs = access(method, 0, modes);
    let all = if own.first().is_ipv4() { AddressRange::ANY_V4 } else { AddressRange::ANY_V6 };
    let server = if own.first().is_ipv4() { network(2) } else { prefix("2001:db8:2::", 48) };
    let upper = configs[0].policy.unwrap().upper;
    configs[0].policy = Some(Selector { source: own, destination: server, upper });
    configs[1].policy = Some(Selector { source: server, destination: all, upper });
    configs
}

fn prefix(address: &str, length: u8) -> AddressRange {
    AddressRange::prefix(address.parse().unwrap(), length).unwrap()
}

fn refused(link: &Link) -> (Option<Refusal>, u32) {
    (link.ends[1].last_reason(), link.ends[1].negotiator.counters().get(Counter::NotLeased))
}

#[test]
fn a_client_negotiates_for_its_address_only() {
    let host = |address: IpAddr| AddressRange::host(address);
    let (own, own_v6) = (host(ADDRESS.into()), host(lease().address_v6.unwrap().into()));
    let others = [
        prefix("10.99.0.11", 32),
        prefix("10.99.0.10", 31),
        prefix("10.99.0.0", 24),
        AddressRange::ANY_V4,
        prefix("192.0.2.1", 32),
        prefix("2001:db8:99::11", 128),
        prefix("2001:db8:99::10", 127),
    ];
    for method in [AuthMethod::XAUTH_INIT_PRE_SHARED, AuthMethod::PRE_SHARED_KEY] {
        for modes in [PULL, PUSH] {
            for range in [own, own_v6] {
                let mut link = initiated(client(method, Some(modes), range), 3200);
                link.run(Duration::from_secs(5));
                assert_eq!((link.agreed(), refused(&link)), (1, (None, 0)), "{method}, {modes:?}, {range}");
            }
            for range in others {
                let mut link = initiated(client(method, Some(modes), range), 3201);
                link.run(Duration::from_secs(5));
                assert_eq!(link.agreed(), 0, "{method}, {modes:?}, {range}");
                assert_eq!(refused(&link), (Some(Refusal::NotLeased), 1), "{method}, {modes:?}, {range}");
                assert_eq!(link.ends[1].host.refused, [format!("not leased: {range}")]);
                assert!(link.ends[1].host.reserved.is_empty() && link.ends[1].inbound.is_empty());
                let reason = link.ends[0].last_reason();
                assert!(matches!(reason, Some(Refusal::PeerRefused(_))), "the client is notified: {reason:?}");
            }
        }
    }
}

/// A client that does not request its configuration has the selectors that the host allows for the ISAKMP SA.
#[test]
fn selectors_of_a_client_without_an_address_are_checked_by_the_host() {
    for is_allowed in [true, false] {
        let mut configs = client(AuthMethod::XAUTH_INIT_PRE_SHARED, Some(PULL), prefix("10.99.0.11", 32));
        configs[0].mode_config = None;
        configs[1].refuses_unleased = !is_allowed;
        let mut link = initiated(configs, 3202);
        link.run(Duration::from_secs(5));
        assert_eq!(link.agreed(), usize::from(is_allowed), "{:?}", link.counts());
        assert_eq!(refused(&link).1, u32::from(!is_allowed));
    }
}

/// A client that begins quick mode before the server has an address for it.
#[test]
fn quick_mode_waits_for_the_address() {
    for (last, agreed) in [(10, 1), (11, 0)] {
        let own = AddressRange::host([10, 99, 0, last].into());
        let mut configs = client(AuthMethod::PRE_SHARED_KEY, Some(PUSH), own);
        configs[0].mode_config = None;
        let mut link = Link::new(configs, 3204);
        // The query after those of the key exchange: the configuration of the client.
        link.ends[1].host.later.questions = Some(|number| number == 3);
        link.ends[1].host.later.delay = Duration::from_secs(3);
        let now = link.now;
        link.ends[0].initiate(now).unwrap();
        link.run(Duration::from_secs(2));
        let counters = link.ends[1].negotiator.counters();
        assert_eq!((counters.get(Counter::NoAddress), link.agreed()), (2, 0), "{:?}", link.counts());
        link.run(Duration::from_secs(30));
        assert_eq!((link.agreed(), refused(&link).1), (agreed, 1 - agreed as u32), "{:?}", link.counts());
    }
}

/// A client whose phase 1 is renewed, and who does not request its configuration again, keeps its address.
#[test]
fn a_renewed_phase_1_has_the_address_of_the_former_one() {
    for (range, reason) in [(prefix("10.99.0.10", 32), None), (prefix("10.99.0.11", 32), Some(Refusal::NotLeased))] {
        let mut link = initiated(client(AuthMethod::XAUTH_INIT_PRE_SHARED, Some(PULL), prefix("10.99.0.10", 32)), 3203);
        link.run(Duration::from_secs(5));
        assert_eq!(link.agreed(), 1);
        // The client loses its ISAKMP SA, and does not tell the server.
        let [config, _] = client(AuthMethod::XAUTH_INIT_PRE_SHARED, Some(PULL), range);
        link.restart(0, Config { mode_config: None, ..config });
        let now = link.now;
        link.ends[0].initiate(now).unwrap();
        link.run(Duration::from_secs(5));
        assert_eq!(link.ends[1].negotiator.sas().count(), 2);
        assert_eq!(link.ends[1].last_reason(), reason, "{range}");
        // Without the former one, the host decides.
        let first = link.ends[1].negotiator.sas().map(|view| (view.established(), view.id())).min_by_key(|sa| sa.0);
        let (now, end) = (link.now, &mut link.ends[1]);
        end.negotiator.delete(now, Target::IsakmpSa(first.unwrap().1), &mut end.host);
        link.run(Duration::from_secs(15));
        let (now, end) = (link.now, &mut link.ends[0]);
        if reason.is_some() {
            end.initiate(now).unwrap();
            link.run(Duration::from_secs(5));
            assert_eq!(link.ends[1].negotiator.counters().get(Counter::NotLeased), 1);
        }
    }
}

/// IPv6 attributes in the forms of several servers: with the length of the prefix after an address, and malformed.
#[test]
fn ipv6_attributes_of_mode_config_are_read() {
    let mut link =
        initiated(access(AuthMethod::PRE_SHARED_KEY, 0, Some((ModeConfig::Request, ModeConfig::Answer))), 3020);
    until_phase_1(&mut link);
    let spy = Spy::new(&link);
    let request = transactions(&spy, &link).pop().unwrap();
    for attribute in [ConfigAttribute::IP6_ADDRESS, ConfigAttribute::IP6_DNS, ConfigAttribute::IP6_SUBNET] {
        assert!(types(&request).contains(&attribute), "{attribute} is requested");
    }
    link.lose_all();
    let address = |last: u8, rest: &[u8]| [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last], rest].concat();
    let values = [
        (ConfigAttribute::IP6_ADDRESS, address(1, &[])[..15].to_vec()),
        (ConfigAttribute::IP6_ADDRESS, vec![0; 16]),
        (ConfigAttribute::IP6_ADDRESS, address(2, &[64, 0])),
        (ConfigAttribute::IP6_ADDRESS, address(3, &[64])),
        (ConfigAttribute::IP6_DNS, address(4, &[])),
        (ConfigAttribute::IP6_DNS, Vec::new()),
        (ConfigAttribute::IP6_SUBNET, address(0, &[129])),
        (ConfigAttribute::IP6_SUBNET, address(0, &[])),
        (ConfigAttribute::IP6_SUBNET, vec![0; 17]),
        (ConfigAttribute::IP6_SUBNET, address(0, &[32])),
    ];
    let values: Vec<_> = values.iter().map(|(kind, octets)| (*kind, &octets[..])).collect();
    link.inject(0, transaction(&spy, request.message_id, (ConfigKind::REPLY, request.identifier), &values, &[]));
    let [lease] = link.ends[0].leases[..] else { panic!("{:?}", link.counts()) };
    assert_eq!((lease.address, lease.address_v6), (None, Some("2001:db8::3".parse().unwrap())));
    assert_eq!(lease.dns_v6, [Some("2001:db8::4".parse().unwrap()), None]);
    let networks: Vec<_> = lease.networks_v6.iter().flatten().collect();
    assert_eq!(networks, [&ClientNetworkV6 { address: "2001:db8::".parse().unwrap(), prefix: 32 }]);
}
