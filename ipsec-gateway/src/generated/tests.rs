use std::time::Duration;

use ike_v1::Counter;
use ipsec_config::gateway::Limits;
use ipsec_sa::{Direction, Expiry, SaEvent};

use crate::buffer::Buffer;
use crate::generated::Changes;
use crate::ike::tests::{Gateway, IN_TRANSIT, NOW, Wire, exchange};
use crate::key_exchange::KeyExchange;
use crate::policy;

const PHASE_1: &str = "proposal aes128 sha1 modp768;";
const CLIENT: &str = "proposal aes128 sha1 modp768 xauth_psk_client; xauth_login alice; mode_cfg on;";
const SERVER: &str = "proposal aes128 sha1 modp768 xauth_psk_server; users \"users.txt\"; generate_policy unique;
    mode_cfg { network4 10.1.0.1; pool_size 2; };";
/// Policies of a client with the lease 10.1.0.1.
const ALL: &str = "spdadd 10.1.0.1 0.0.0.0/0 any -P out ipsec esp/tunnel/192.0.2.1-192.0.2.2/require;
    spdadd 0.0.0.0/0 10.1.0.1 any -P in ipsec esp/tunnel/192.0.2.2-192.0.2.1/require;";

/// Returns a client with these statements and policies, and a server with these; the client has negotiated.
fn negotiated(name: &str, client: (&str, &str), server: (&str, &str)) -> (Gateway, Gateway) {
    let mut client = Gateway::with_policies(name, 1, client.0, "wonder land", client.1);
    let mut server = Gateway::with_policies(name, 2, server.0, "wonder land", server.1);
    client.initiate_first();
    while exchange(NOW, &mut client, &mut server) > 0 {}
    (client, server)
}

/// Returns the SPD in the format of setkey(8), up to the templates.
fn spd(gateway: &Gateway) -> Vec<String> {
    let line = |(_, policy): (_, &ipsec_engine::PolicyParams)| {
        let ipsec_engine::Action::Protect(bundle) = policy.action else { return policy.action.to_string() };
        let templates: Vec<_> = bundle.iter().map(ToString::to_string).collect();
        let (direction, selector) = (policy.direction, policy.selector);
        format!("{direction} {} {} {}", selector.source, selector.destination, templates.join(" "))
    };
    gateway.plane.engine.policies().map(line).collect()
}

const PAIR: [&str; 2] = [
    "out 0.0.0.0/0 10.1.0.1/32 esp/tunnel/192.0.2.2-any/unique",
    "in 10.1.0.1/32 0.0.0.0/0 esp/tunnel/any-192.0.2.2/unique",
];

#[test]
fn policies_exist_as_long_as_their_sas() {
    let (mut client, mut server) = negotiated("generated", (CLIENT, ALL), (SERVER, ""));
    assert_eq!((client.sas().len(), server.sas().len()), (2, 2));
    assert_eq!(spd(&server), PAIR);
    let changes = server.ike.take_policy_changes();
    assert_eq!((changes.added.len(), changes.has_removed), (1, false));
    assert_eq!(server.ike.peers(NOW)[0].policies, 1);
    server.send_packet(NOW, [10, 2, 0, 1], [10, 1, 0, 1]);
    let sent = std::mem::take(&mut *server.wire.packets.borrow_mut());
    assert_eq!(sent.len(), 1, "the SA of the client is used");
    let host = Wire::default();
    let received = client.plane.inbound(NOW, &mut Buffer::new().copy(&sent[0]).unwrap(), &host).unwrap();
    assert!(received.is_some());
    // The client deletes its SAs.
    client.ike.delete_named(NOW, "other", &mut client.plane.engine).unwrap();
    exchange(NOW, &mut client, &mut server);
    exchange(NOW + IN_TRANSIT, &mut client, &mut server);
    assert_eq!((server.sas().len(), spd(&server).len()), (0, 0));
    assert_eq!(server.ike.take_policy_changes(), Changes { added: Vec::new(), has_removed: true });
}

#[test]
fn renewed_sas_have_the_same_policies() {
    let (mut client, mut server) = negotiated("renewed", (CLIENT, ALL), (SERVER, ""));
    let before: Vec<_> = server.plane.engine.policies().map(|(id, _)| id).collect();
    let later = NOW + Duration::from_secs(60);
    client.ike.rekey(later, None, &mut client.plane.engine).unwrap();
    while exchange(later, &mut client, &mut server) > 0 {}
    assert_eq!(server.sas().len(), 3, "both inbound SAs, and the new outbound one");
    let after: Vec<_> = server.plane.engine.policies().map(|(id, _)| id).collect();
    assert_eq!((after, spd(&server)), (before, PAIR.map(str::to_owned).to_vec()));
}

#[test]
fn the_server_renews_the_sas_of_a_client() {
    let (mut client, mut server) = negotiated("server-renews", (CLIENT, ALL), (SERVER, ""));
    let outbound = |gateway: &Gateway| gateway.sas().into_iter().find(|id| id.direction == Direction::Outbound);
    let (policies, mut now) = (spd(&server), NOW);
    for by_request in [false, true] {
        now += Duration::from_secs(60);
        let old = outbound(&server).unwrap();
        if by_request {
            let begun = server.ike.rekey(now, None, &mut server.plane.engine).unwrap();
            assert!(begun[0].ends_with("a negotiation with other has begun"), "{begun:?}");
        } else {
            server.ike.handle_sa_event(now, &SaEvent::Expire(old, Expiry::Soft), &mut server.plane.engine);
        }
        while exchange(now, &mut client, &mut server) > 0 {}
        now += Duration::from_secs(5);
        while exchange(now, &mut client, &mut server) > 0 {}
        assert_ne!(outbound(&server), Some(old), "{by_request}");
        assert_eq!(spd(&server), policies, "{by_request}");
        server.send_packet(now, [10, 2, 0, 1], [10, 1, 0, 1]);
        assert_eq!(server.wire.packets.borrow_mut().drain(..).count(), 1, "{by_request}");
    }
}

#[test]
fn policies_are_generated_for_the_address_of_the_peer() {
    for (destination, mode, out, inward) in [
        (
            "10.2.0.0/16",
            "tunnel/192.0.2.1-192.0.2.2",
            "out 10.2.0.0/16 192.0.2.1/32 esp/tunnel/192.0.2.2-any/unique",
            "in 192.0.2.1/32 10.2.0.0/16 esp/tunnel/any-192.0.2.2/unique",
        ),
        (
            "192.0.2.2",
            "transport/",
            "out 192.0.2.2/32 192.0.2.1/32 esp/transport//unique",
            "in 192.0.2.1/32 192.0.2.2/32 esp/transport//unique",
        ),
    ] {
        let policies = format!("spdadd 192.0.2.1 {destination} any -P out ipsec esp/{mode}/require;");
        let server = format!("{PHASE_1} generate_policy on;");
        let (client, server) = negotiated("address", (PHASE_1, &policies), (&server, ""));
        assert_eq!((client.sas().len(), server.sas().len()), (2, 2), "{mode}");
        assert_eq!(spd(&server), [out, inward]);
    }
}

#[test]
fn selectors_outside_of_the_bounds_are_refused() {
    let server = format!("{PHASE_1} generate_policy unique;");
    for (source, server) in [
        ("0.0.0.0/0", &*server),
        ("192.0.2.0/24", &*server),
        ("10.1.0.0/16", &*server),
        ("192.0.2.9", &*server),
        // Without the statement no policy is generated.
        ("192.0.2.1", PHASE_1),
    ] {
        let policies = format!("spdadd {source} 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-192.0.2.2/require;");
        let (client, server) = negotiated("bounds", (PHASE_1, &policies), (server, ""));
        assert_eq!((client.sas().len(), server.sas().len()), (0, 0), "{source}");
        assert_eq!(spd(&server), [""; 0], "{source}");
        let refused = server.ike.counters();
        let count = |name: &str| refused.iter().find(|entry| entry.name == name).unwrap().value;
        assert_eq!(count(Counter::NoPolicy.name()), 1, "{source}");
    }
}

#[test]
fn packets_of_another_policy_are_refused() {
    // A policy of another peer, and one with manual SAs.
    for (peers, action) in [
        ("peer third address 192.0.2.3 { proposal aes128 sha1 modp768; esp aes128-sha1; }", "192.0.2.2-192.0.2.3"),
        ("", "192.0.2.2-192.0.2.4"),
    ] {
        let own = "spdadd 192.0.2.1 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-192.0.2.2/require;";
        let other = format!("spdadd 10.2.1.0/24 192.0.2.0/28 any -P out ipsec esp/tunnel/{action}/require;");
        let statements = format!(
            "{PHASE_1} generate_policy unique; esp aes128-sha1; }} {peers} peer last address 192.0.2.5 {{ {PHASE_1}"
        );
        let (client, server) = negotiated("taken", (PHASE_1, own), (&statements, &other));
        assert_eq!((client.sas().len(), server.sas().len(), spd(&server).len()), (0, 0, 1), "{action}");
        let counters = server.ike.counters();
        let taken = counters.iter().find(|entry| entry.name == Counter::SelectorTaken.name()).unwrap().value;
        assert_eq!(taken, 1, "{action}");
    }
}

#[test]
fn policies_remain_while_their_peer_and_its_parameters_are_unchanged() {
    let (_, mut server) = negotiated("outdated", (CLIENT, ALL), (SERVER, ""));
    let outdated = |server: &Gateway, statements: &str, policies: &str| {
        let next = Gateway::with_policies("next", 2, statements, "wonder land", policies);
        let config =
            crate::config::Config::read(&ipsec_config::SystemFiles, &next.folder.join("gateway.conf")).unwrap();
        let mut trial = policy::new_engine();
        let keyed = policy::load(&config, &mut trial, NOW).unwrap();
        let mut exchange = KeyExchange::new(&ipsec_config::SystemFiles, config, keyed).unwrap();
        exchange.keep_ids(server.ike.exchange());
        let policies: Vec<_> = trial.policies().collect();
        server.ike.generated().outdated(&exchange, &policies, &server.plane.engine)
    };
    let id = server.plane.engine.policies().next().unwrap().0;
    // The files of the users are in the folders of the gateways.
    let users = format!("users \"{}\"", server.folder.join("users.txt").display());
    let same = SERVER.replace("users \"users.txt\"", &users);
    assert_eq!(outdated(&server, &same, ""), []);
    let manual = "spdadd 10.2.0.0/16 10.9.0.0/16 any -P out ipsec esp/tunnel/192.0.2.2-192.0.2.9/require;";
    assert_eq!(outdated(&server, &same, manual), []);
    assert_eq!(outdated(&server, &same, &manual.replace("10.9", "10.1")), [id]);
    assert_eq!(outdated(&server, &same.replace("unique", "off"), ""), [id]);
    // The configuration has a policy of its own for the packets, in one direction.
    for text in ["spdadd 0.0.0.0/0 10.1.0.1 any -P out discard;", "spdadd 10.1.0.1 0.0.0.0/0 any -P in discard;"] {
        assert_eq!(outdated(&server, &same, text), [id], "{text}");
    }
    let mut limits = Limits::default();
    limits.policies = Some(1);
    let mut other = policy::engine_for(&limits);
    assert!(server.ike.generated().copy_to(&mut other, &[]).is_err());
    let mut other = policy::new_engine();
    server.ike.generated().copy_to(&mut other, &[id]).unwrap();
    assert_eq!(other.policies().count(), 0);
    server.ike.generated().copy_to(&mut other, &[]).unwrap();
    assert!(other.policies().map(|(_, policy)| policy).eq(server.plane.engine.policies().map(|(_, policy)| policy)));
    // The SPD no longer has one of them.
    let inbound = server.plane.engine.policies().nth(1).unwrap().0;
    server.plane.engine.remove_policy(inbound);
    assert_eq!(outdated(&server, &same, ""), [id]);
    server.ike.forget_generated(NOW, &[id], &mut server.plane.engine);
    assert_eq!(spd(&server), [""; 0]);
}
