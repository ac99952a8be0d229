use std::time::Duration;

use ipsec_packet::AddressRange;

use super::*;
use crate::ike::tests::{Gateway, NOW, exchange};

#[test]
fn an_assigned_address_is_released_after_the_sas_that_use_it() {
    let client = "proposal aes128 sha1 modp768 xauth_psk_client lifetime 300; xauth_login alice; mode_cfg on;";
    let server = "proposal aes128 sha1 modp768 xauth_psk_server lifetime 300; users \"users.txt\";
        mode_cfg { network4 10.1.0.1; pool_size 2; };";
    let mut client = Gateway::with_statements("released", 1, client, ["wonder land", "10.1.0.1"]);
    let mut server = Gateway::with_statements("released", 2, server, ["wonder land", "10.1.0.0/16"]);
    client.send(NOW, 1);
    while exchange(NOW, &mut client, &mut server) > 0 {}
    let sa = server.ike.negotiator.sas().next().unwrap().id();
    let address = AddressRange::host(IpAddr::from([10, 1, 0, 1]));
    let has_lease = |server: &Gateway| server.ike.access.has_lease(PeerId(0), sa, &address);
    assert!(has_lease(&server));
    // The client does not answer; phase 1 expires before the IPsec SAs.
    let mut silent = Gateway::new("silent", 1);
    let mut now = NOW;
    let mut run_until = |server: &mut Gateway, is_reached: &dyn Fn(&Gateway) -> bool| {
        while !is_reached(server) {
            now = now.saturating_add(Duration::from_secs(30));
            server.plane.engine.tick(now);
            exchange(now, server, &mut silent);
            assert!(now < NOW.saturating_add(Duration::from_secs(100_000)));
        }
    };
    run_until(&mut server, &|server| server.ike.negotiator.sas().count() == 0);
    assert_eq!((server.sas().len(), has_lease(&server)), (2, true));
    run_until(&mut server, &|server| server.sas().is_empty());
    assert!(!has_lease(&server));
}

#[test]
fn an_assigned_address_of_a_peer_is_not_used() {
    let client = "proposal aes128 sha1 modp768 xauth_psk_client; xauth_login alice; mode_cfg on;";
    let server = |first: &str| {
        format!(
            "proposal aes128 sha1 modp768 xauth_psk_server; users \"users.txt\";
            mode_cfg {{ network4 {first}; pool_size 1; }};"
        )
    };
    for (first, changes) in [("192.0.2.2", 0), ("192.0.2.1", 0), ("192.0.2.3", 1)] {
        let mut client = Gateway::with_statements("end", 1, client, ["wonder land", "192.0.2.0/24"]);
        let mut server = Gateway::with_statements("end", 2, &server(first), ["wonder land", "192.0.2.0/24"]);
        client.initiate_first();
        while exchange(NOW, &mut client, &mut server) > 0 {}
        assert!(server.ike.access.user(server.ike.negotiator.sas().next().unwrap().id()).is_some());
        assert_eq!(client.ike.take_address_changes().len(), changes, "{first}");
    }
}

#[test]
fn a_pair_that_is_complete_is_not_waited_for() {
    let (mut a, mut b) = (Gateway::new("complete", 1), Gateway::new("complete", 2));
    a.send(NOW, 1);
    while exchange(NOW, &mut a, &mut b) > 0 {}
    assert_eq!((a.sas().len(), a.ike.initiated.len()), (2, 0));
    // The negotiator returns the pair of the peer that was negotiated a moment ago.
    b.initiate_first();
    assert!(b.ike.initiated.is_empty());
}
