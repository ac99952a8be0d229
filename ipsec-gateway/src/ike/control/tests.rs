use std::fs;
use std::time::Duration;

use super::*;
use crate::ike::tests::{Gateway, exchange};
use crate::policy;

/// Creates two gateways between which SAs are established by a request.
fn established(name: &str, now: Instant) -> (Gateway, Gateway) {
    let (mut a, mut b) = (Gateway::new(name, 1), Gateway::new(name, 2));
    let begun = a.ike.initiate_with(now, "other", &mut a.plane.engine).unwrap();
    assert_eq!(begun, ["policy 1: a negotiation with other has begun"]);
    assert_eq!(a.ike.peers(now)[0].negotiating, 1);
    exchange(now, &mut a, &mut b);
    assert_eq!((a.sas().len(), b.sas().len()), (2, 2));
    (a, b)
}

/// Reads the configuration of a gateway again, after its text was changed.
fn replaced(gateway: &mut Gateway, now: Instant, change: impl Fn(String) -> String) -> Vec<PeerId> {
    let path = gateway.folder.join("gateway.conf");
    fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
    let config = Config::read(&ipsec_config::SystemFiles, &path).unwrap();
    let keyed = policy::keyed_policies(&config, &gateway.plane.engine).policies;
    let keys = PskFile::read(&crate::files::local(), config.keys.as_deref().unwrap()).unwrap();
    let mut next = KeyExchange::new(&ipsec_config::SystemFiles, config, keyed).unwrap();
    let gone = next.keep_ids(gateway.ike.exchange());
    let access = Access::read(&crate::files::local(), &next).unwrap();
    gateway.ike.delete_replaced(now, (&gone, &HashSet::new()), &mut gateway.plane.engine);
    gateway.ike.replace(next, keys, access, &gone);
    gone
}

#[test]
fn status_lists_the_sas_of_each_peer() {
    let now = Instant::from_secs(1);
    let (a, b) = established("status", now);
    for (gateway, role, remote) in [(a, "initiator", "192.0.2.2[500]"), (b, "responder", "192.0.2.1[500]")] {
        let peers = gateway.ike.peers(now + Duration::from_secs(60));
        let [peer] = peers.as_slice() else { panic!("one peer") };
        assert_eq!((peer.name.as_str(), peer.address.as_deref()), ("other", Some(remote)));
        assert_eq!((peer.policies, peer.established, peer.negotiating), (1, 1, 0));
        let [sa] = peer.isakmp_sas.as_slice() else { panic!("one ISAKMP SA") };
        assert_eq!((sa.role.as_str(), sa.remote.as_str(), sa.age), (role, remote, 60));
        assert_eq!((sa.cookies.len(), sa.in_udp), (33, false));
        let sas = gateway.sas();
        assert!(sas.iter().all(|sa| gateway.ike.negotiated(sa) == Some(("other".to_owned(), 1))));
    }
}

#[test]
fn names_that_are_unknown_are_refused_with_the_names_that_exist() {
    let now = Instant::from_secs(1);
    let (mut a, _b) = established("names", now);
    let engine = &mut a.plane.engine;
    let unknown = "unknown peer: got `west`, expected one of other";
    assert_eq!(a.ike.initiate_with(now, "west", engine).unwrap_err(), unknown);
    assert_eq!(a.ike.delete_named(now, "west", engine).unwrap_err(), format!("{unknown}, or an SPI"));
    assert_eq!(a.ike.rekey(now, Some("0x7"), engine).unwrap_err(), "no SA has the SPI 0x7");
    assert_eq!(a.ike.initiate_with(now, "other", engine).unwrap(), ["peer other: all policies have SAs"]);
    a.ike.stop(now, engine);
    assert!(a.ike.rekey(now, None, engine).unwrap_err().starts_with("the daemon stops"));
}

#[test]
fn rekey_replaces_the_outbound_sa() {
    let now = Instant::from_secs(1);
    let (mut a, mut b) = established("rekey", now);
    let former: Vec<_> = a.ike.outbound().map(|(id, _)| *id).collect();
    let later = now + Duration::from_secs(60);
    let begun = a.ike.rekey(later, None, &mut a.plane.engine).unwrap();
    assert_eq!(begun, ["policy 1: a negotiation with other has begun"]);
    exchange(later, &mut a, &mut b);
    a.send(later + Duration::from_secs(3), 1);
    exchange(later + Duration::from_secs(3), &mut a, &mut b);
    let outbound: Vec<_> = a.ike.outbound().map(|(id, _)| *id).collect();
    assert_eq!((outbound.len(), former.contains(&outbound[0])), (1, false));
}

#[test]
fn sas_are_deleted_by_peer_and_by_spi_at_both_ends() {
    let now = Instant::from_secs(1);
    for by_spi in [true, false] {
        let (mut a, mut b) = established(if by_spi { "by-spi" } else { "by-peer" }, now);
        let what = if by_spi { a.sas()[0].spi.to_string() } else { "other".to_owned() };
        let deleted = a.ike.delete_named(now, &what, &mut a.plane.engine).unwrap();
        assert!(deleted[0].contains("deleted 2 IPsec SAs"), "{deleted:?}");
        exchange(now, &mut a, &mut b);
        // The peer accepts packets in transit for five seconds.
        exchange(now + Duration::from_secs(6), &mut a, &mut b);
        assert_eq!((a.sas().len(), b.sas().len()), (0, 0), "{what}");
        assert_eq!(a.ike.peers(now)[0].isakmp_sas.len(), usize::from(by_spi));
    }
}

#[test]
fn pair_is_deleted_after_removal_of_one_sa() {
    let now = Instant::from_secs(1);
    let (mut a, mut b) = established("incomplete", now);
    let id = a.sas()[0];
    let source = a.ike.installed[&id].source;
    a.plane.engine.remove(&id, source);
    a.ike.delete_incomplete(now, &mut a.plane.engine);
    exchange(now, &mut a, &mut b);
    exchange(now + Duration::from_secs(6), &mut a, &mut b);
    assert_eq!((a.sas().len(), b.sas().len()), (0, 0));
}

#[test]
fn unchanged_peer_keeps_its_sas_when_the_configuration_is_replaced() {
    let now = Instant::from_secs(1);
    let (mut a, mut b) = established("kept", now);
    let former = a.sas();
    // The peer is the second one then.
    let third = "peer third address 192.0.2.3 { proposal aes128 sha1 modp768; esp aes128-sha1; }\npeer other";
    let gone = replaced(&mut a, now, |text| text.replacen("peer other", third, 1));
    assert_eq!(gone, []);
    exchange(now, &mut a, &mut b);
    assert_eq!(a.sas(), former);
    let peers = a.ike.peers(now);
    assert_eq!((peers[0].name.as_str(), peers[0].isakmp_sas.len()), ("third", 0));
    assert_eq!((peers[1].name.as_str(), peers[1].isakmp_sas.len(), peers[1].established), ("other", 1, 1));
    // Key exchange goes on in the ISAKMP SA.
    let later = now + Duration::from_secs(60);
    b.ike.rekey(later, None, &mut b.plane.engine).unwrap();
    exchange(later, &mut a, &mut b);
    assert!(a.sas().len() > 2, "the former pair still receives");
    assert_eq!(a.ike.peers(later)[1].isakmp_sas.len(), 1);
}

#[test]
fn changed_peer_loses_its_sas_and_negotiates_again() {
    let now = Instant::from_secs(1);
    let (mut a, mut b) = established("changed", now);
    let gone = replaced(&mut a, now, |text| text.replace("dpd_delay 20", "dpd_delay 30"));
    assert_eq!(gone.len(), 1);
    exchange(now, &mut a, &mut b);
    let later = now + Duration::from_secs(6);
    exchange(later, &mut a, &mut b);
    assert_eq!((a.sas().len(), b.sas().len(), a.ike.peers(now)[0].isakmp_sas.len()), (0, 0, 0));
    a.ike.initiate_with(later, "other", &mut a.plane.engine).unwrap();
    exchange(later, &mut a, &mut b);
    assert_eq!((a.sas().len(), b.sas().len()), (2, 2));
}

#[test]
fn keys_are_exported_only_if_the_configuration_allows_it() {
    let now = Instant::from_secs(1);
    let (mut a, mut b) = established("export", now);
    assert!(a.ike.export_keys().unwrap_err().contains("export_keys on;"));
    assert!(a.ike.shown_keys(&a.sas()[0]).is_none());
    replaced(&mut a, now, |text| format!("export_keys on; {text}"));
    a.ike.rekey(now + Duration::from_secs(60), None, &mut a.plane.engine).unwrap();
    exchange(now + Duration::from_secs(60), &mut a, &mut b);
    // The new outbound SA is used two seconds later.
    exchange(now + Duration::from_secs(63), &mut a, &mut b);
    let rows = a.ike.export_keys().unwrap();
    assert_eq!((rows.ikev1_decryption_table.len(), rows.esp_sa.len()), (1, 2), "SAs from then on");
    replaced(&mut a, now, |text| text.replace("export_keys on; ", ""));
    assert!(a.ike.export_keys().is_err());
    assert!(a.ike.shown_keys.is_empty());
}
