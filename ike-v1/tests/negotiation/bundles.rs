//! Policies with several protocols, whose SAs are negotiated as a unit (RFC 2408 section 4.2).

use std::time::Duration;

use ike_codec::{
    Delete, Doi, EncapsulationMode, ExchangeKind, Group, Header, IpcompTransform, PayloadKind, ProposalHead,
    ProtocolId, SaWriter, TransformHead,
};
use ike_v1::{Gone, Phase2Choice, Phase2Suite, ProposalCheck, Refusal, Target, plaintext};
use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm};
use ipsec_packet::{AddressRange, Selector};
use ipsec_sa::{Direction, Mode, Protocol};

use crate::endpoint::{Config, configs, esp, paths, seconds};
use crate::spy::Spy;
use crate::wire::Link;

type Template = (ProtocolId, Mode, Vec<Phase2Choice>);

pub fn ah(integrity: IntegrityAlgorithm) -> Phase2Choice {
    let integrity_key = integrity.row().unwrap().default_key;
    let suite = Phase2Suite::Keyed { cipher: CipherAlgorithm::Null, cipher_key: 0, integrity, integrity_key };
    Phase2Choice::new(ProtocolId::AH, suite, EncapsulationMode::TUNNEL)
}

fn ipcomp() -> Phase2Choice {
    let suite = Phase2Suite::Compression(IpcompTransform::DEFLATE);
    Phase2Choice::new(ProtocolId::IPCOMP, suite, EncapsulationMode::TUNNEL)
}

/// Returns templates of IPComp, ESP and AH in this mode, in the order in which they are applied.
pub fn templates(mode: Mode) -> [Template; 3] {
    [
        (ProtocolId::IPCOMP, mode, vec![ipcomp()]),
        (ProtocolId::ESP, mode, vec![esp(CipherAlgorithm::AesCbc, IntegrityAlgorithm::HmacSha1_96)]),
        (ProtocolId::AH, mode, vec![ah(IntegrityAlgorithm::HmacSha2_256_128), ah(IntegrityAlgorithm::HmacSha1_96)]),
    ]
}

/// Returns both configurations with these templates. In transport mode the policy is for the packets of both ends.
pub fn both(bundle: &[Template]) -> [Config; 2] {
    let mut configs = configs();
    let is_transport = bundle.iter().all(|(_, mode, _)| *mode == Mode::Transport);
    for (config, path) in configs.iter_mut().zip(paths()) {
        config.bundle = bundle.to_vec();
        let host = |end: std::net::SocketAddr| AddressRange::host(end.ip());
        let ends = |policy: Selector| Selector { source: host(path.local), destination: host(path.remote), ..policy };
        config.policy = config.policy.map(|policy| if is_transport { ends(policy) } else { policy });
    }
    configs
}

/// Negotiates without faults and returns the link, whose ends have one SA of each protocol in each direction.
fn agree(configs: [Config; 2]) -> Link {
    let count = configs[0].bundle.len();
    let mut link = Link::new(configs, 900);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(5));
    for end in &link.ends {
        assert_eq!(end.failures, []);
        assert_eq!((end.inbound.len(), end.outbound.len()), (count, count));
    }
    assert_eq!(link.agreed(), count, "each outbound SA has its inbound SA");
    link
}

fn refused(configs: [Config; 2]) -> Vec<Option<Refusal>> {
    let mut link = Link::new(configs, 901);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(300));
    assert!(link.ends.iter().all(|end| end.inbound.is_empty() && end.outbound.is_empty()));
    assert!(link.ends.iter().all(|end| end.host.reserved.is_empty()), "every SPI is released");
    link.ends.iter().map(|end| end.failures.last().map(|failure| failure.reason)).collect()
}

fn protocol(id: ProtocolId) -> Protocol {
    match id {
        ProtocolId::ESP => Protocol::Esp,
        ProtocolId::AH => Protocol::Ah,
        _ => Protocol::Ipcomp,
    }
}

#[test]
fn every_combination_of_esp_ah_and_ipcomp_is_negotiated() {
    for mode in [Mode::Tunnel, Mode::Transport] {
        for set in 1..8 {
            let all = templates(mode).into_iter().enumerate();
            let bundle: Vec<_> = all.filter(|(bit, _)| set >> bit & 1 != 0).map(|(_, template)| template).collect();
            let link = agree(both(&bundle));
            for end in &link.ends {
                for (id, ..) in &bundle {
                    let of = |installed: &&crate::endpoint::Installed| installed.protocol == protocol(*id);
                    assert_eq!(end.inbound.values().filter(of).count(), 1, "{id} {mode:?} {set}");
                    assert!(end.inbound.values().all(|installed| installed.mode == mode));
                }
                let pairs = end.inbound.values().chain(end.outbound.values()).map(|installed| installed.sa);
                assert_eq!(pairs.collect::<std::collections::HashSet<_>>().len(), 1, "one negotiation");
            }
            assert_eq!(link.sent.len(), 9, "one quick mode");
        }
    }
}

#[test]
fn esp_and_ah_of_a_bundle_have_different_keys() {
    let link = agree(both(&templates(Mode::Tunnel)));
    let keys: Vec<_> = link.ends[0].inbound.values().map(|installed| installed.integrity_key.clone()).collect();
    assert_eq!(keys.iter().map(Vec::len).collect::<std::collections::BTreeSet<_>>().len(), 3, "{keys:?}");
}

#[test]
fn ipcomp_is_negotiated_without_keys() {
    let link = agree(both(&templates(Mode::Transport)[..1]));
    for installed in link.ends.iter().flat_map(|end| end.inbound.values().chain(end.outbound.values())) {
        assert_eq!(installed.protocol, Protocol::Ipcomp);
        assert!(installed.cipher_key.is_empty() && installed.integrity_key.is_empty());
    }
    // ESP with neither a cipher nor an integrity algorithm is not a transform, although its keys have no octets either.
    let mut configs = configs();
    let none = esp(CipherAlgorithm::Null, IntegrityAlgorithm::None);
    configs.iter_mut().for_each(|config| config.esp = vec![none]);
    assert!(matches!(refused(configs)[1], Some(Refusal::NoProposal(_))));
}

#[test]
fn the_order_of_the_proposals_of_a_bundle_is_ignored() {
    let mut configs = both(&templates(Mode::Tunnel));
    configs[1].bundle.reverse();
    let link = agree(configs);
    assert!(link.ends.iter().all(|end| end.inbound.values().all(|installed| installed.mode == Mode::Tunnel)));
}

#[test]
fn tunnel_mode_is_accepted_for_every_protocol_or_for_the_outermost_only() {
    let mut configs = both(&templates(Mode::Tunnel));
    // ESP in tunnel mode, and AH around it in transport mode: some peers write tunnel mode for both.
    configs[0].bundle = configs[0].bundle.split_off(1);
    configs[1].bundle = configs[0].bundle.clone();
    for config in &mut configs {
        config.bundle[1].1 = Mode::Transport;
    }
    let mode = |link: &Link, side: usize, protocol| {
        let mut sas = link.ends[side].inbound.values();
        sas.find(|installed| installed.protocol == protocol).unwrap().mode
    };
    let link = agree(configs.clone());
    assert_eq!([Protocol::Esp, Protocol::Ah].map(|protocol| mode(&link, 1, protocol)), [Mode::Tunnel, Mode::Transport]);
    // Without any tunnel the modes must be equal.
    let mut different = both(&templates(Mode::Transport));
    for (_, mode, _) in &mut different[0].bundle {
        *mode = Mode::Tunnel;
    }
    assert!(matches!(refused(different)[1], Some(Refusal::NoProposal(_))));
}

#[test]
fn all_protocols_of_a_bundle_have_the_same_group() {
    for group in [Group::MODP_768, Group::MODP_1024] {
        let mut bundle = templates(Mode::Tunnel).to_vec();
        for (protocol, _, offers) in &mut bundle {
            if *protocol != ProtocolId::IPCOMP {
                offers.iter_mut().for_each(|offer| *offer = offer.with_group(group));
            }
        }
        let link = agree(both(&bundle));
        assert_eq!(link.ends[0].host.exponentiations, 4);
    }
    let mut configs = both(&templates(Mode::Tunnel)[1..]);
    configs[0].bundle[0].2[0] = configs[0].bundle[0].2[0].with_group(Group::MODP_768);
    let reasons = refused(configs);
    assert!(reasons[0].is_some(), "ESP and AH with different groups are never negotiated: {reasons:?}");
}

#[test]
fn a_bundle_is_accepted_completely_or_refused() {
    let all = templates(Mode::Tunnel);
    for (ours, theirs) in
        [(&all[..], &all[1..]), (&all[1..], &all[..]), (&all[1..2], &all[2..]), (&all[1..], &all[1..2])]
    {
        let mut configs = both(ours);
        configs[1].bundle = theirs.to_vec();
        let reasons = refused(configs);
        assert!(matches!(reasons[1], Some(Refusal::NoProposal(_))), "{reasons:?}");
        assert!(reasons[0].is_some(), "the initiator is notified");
    }
    // One transform of the bundle that is not acceptable.
    let mut configs = both(&all);
    configs[1].bundle[2].2 = vec![ah(IntegrityAlgorithm::HmacSha2_512_256)];
    assert!(matches!(refused(configs)[1], Some(Refusal::NoProposal(_))));
}

#[test]
fn a_missing_spi_releases_those_that_were_reserved() {
    for side in 0..2 {
        let mut configs = both(&templates(Mode::Tunnel));
        configs[side].spis = 2;
        assert_eq!(refused(configs)[side], Some(Refusal::NoSpi));
    }
}

#[test]
fn a_bundle_has_the_shortest_lifetime_of_its_protocols() {
    let mut configs = both(&templates(Mode::Tunnel)[1..]);
    for config in &mut configs {
        config.check = ProposalCheck::Obey;
        config.bundle[1].2.iter_mut().for_each(|offer| *offer = offer.with_lifetimes(seconds(600)));
    }
    let mut link = agree(configs);
    link.run(Duration::from_secs(590));
    assert!(link.ends.iter().all(|end| end.gone.is_empty()));
    link.run(Duration::from_secs(20));
    assert!(link.ends.iter().all(|end| end.gone.len() == 4 && end.inbound.is_empty() && end.outbound.is_empty()));
}

#[test]
fn deletion_removes_the_sas_of_all_protocols() {
    let mut link = agree(both(&templates(Mode::Tunnel)));
    let (now, before) = (link.now, link.sent.len());
    let end = &mut link.ends[1];
    end.negotiator.delete(now, Target::All, &mut end.host);
    link.run(Duration::from_secs(6));
    assert_eq!(
        link.sent.len() - before,
        8,
        "one delete payload for each protocol and one for the ISAKMP SA, each twice"
    );
    for (side, end) in link.ends.iter().enumerate() {
        assert!(end.inbound.is_empty() && end.outbound.is_empty() && end.negotiator.is_idle());
        let why = if side == 1 { Gone::Operator } else { Gone::DeletedByPeer };
        assert_eq!(end.gone.iter().filter(|(.., reason)| *reason == why).count(), 6);
    }
}

#[test]
fn a_delete_payload_of_another_protocol_removes_nothing() {
    let mut link = agree(both(&templates(Mode::Tunnel)[1..]));
    let spy = Spy::new(&link);
    let ah = link.ends[0].inbound.iter().find(|(_, installed)| installed.protocol == Protocol::Ah);
    let spi = ah.map(|(spi, _)| spi.to_be_bytes()).unwrap();
    for (message_id, protocol, left) in [(7, ProtocolId::ESP, 2), (8, ProtocolId::AH, 0)] {
        let delete = Delete { doi: Doi::IPSEC, protocol, spi_size: 4, spi_count: 1, spi_bytes: &spi };
        let exchange = (ExchangeKind::INFORMATIONAL, message_id);
        let message = spy.message(exchange, &spy.chain(message_id, []), |writer| {
            writer.payload(PayloadKind::DELETE, |body| delete.write(body)).map(drop)
        });
        link.inject(1, message);
        assert_eq!(link.ends[1].outbound.len(), left, "{protocol}");
    }
    assert!(link.ends[1].gone.contains(&(Direction::Outbound, u32::from_be_bytes(spi), Gone::DeletedByPeer)));
}

#[test]
fn ipcomp_cpi_of_2_or_4_octets_is_accepted_and_other_lengths_are_refused() {
    let table: [(&[u8], bool); 6] = [
        (&[0x12, 0x34], true),
        (&[0, 0, 0x12, 0x34], true),
        (&[1, 0, 0x12, 0x34], false),
        (&[0xff, 0xff], false),
        (&[0x34], false),
        (&[0, 0x12, 0x34], false),
    ];
    for (cpi, is_accepted) in table {
        let mut link = agree(both(&templates(Mode::Transport)[..1]));
        let spy = Spy::new(&link);
        let message = spy.message((ExchangeKind::QUICK, 9), &spy.chain(9, []), |writer| {
            writer.sa(|sa| {
                sa.proposal(&ProposalHead::new(1, ProtocolId::IPCOMP, cpi), |proposal| {
                    let suite = Phase2Suite::Compression(IpcompTransform::DEFLATE);
                    let offer = Phase2Choice::new(ProtocolId::IPCOMP, suite, EncapsulationMode::TRANSPORT);
                    let id = offer.transform_id().unwrap();
                    proposal.transform(&TransformHead::new(1, id), |list| offer.write(list))
                })
            })?;
            writer.bytes(PayloadKind::NONCE, &[7; 16]).map(drop)
        });
        link.inject(1, message);
        assert_eq!(link.ends[1].inbound.len(), if is_accepted { 2 } else { 1 }, "{cpi:02x?}");
        assert_eq!(link.ends[1].last_reason().is_none(), is_accepted, "{cpi:02x?}: {:?}", link.ends[1].last_reason());
    }
}

#[test]
fn an_answer_may_repeat_a_proposal_under_another_number() {
    // strongSwan appends its ESP alone. A proposal with another SPI is not one of the offer.
    for (spi, is_accepted) in [([1, 2, 3, 4], true), ([4, 3, 2, 1], false)] {
        let all = templates(Mode::Transport);
        let mut link = Link::new(both(&all[..2]), 902);
        let now = link.now;
        link.loses_message(7);
        // The peer of the test has no SAs, so that message 3 is not to be sent.
        link.ends[0].confirms = false;
        link.ends[0].initiate(now).unwrap();
        link.run(Duration::from_millis(500));
        let spy = Spy::new(&link);
        let first = &link.sent[6].1;
        let message_id = Header::parse(first).unwrap().0.message_id;
        let opened = spy.open(message_id, &[first]);
        let body = |wanted: PayloadKind| {
            let payloads = plaintext(&opened).unwrap();
            payloads
                .payloads()
                .filter(|payload| payload.kind == wanted)
                .map(|payload| payload.body.to_vec())
                .collect::<Vec<_>>()
        };
        let ni = &body(PayloadKind::NONCE)[0];
        let nr = [9; 16];
        let proposal = |sa: &mut SaWriter<'_>, (number, spi): (u8, &[u8]), template: &Template| {
            sa.proposal(&ProposalHead::new(number, template.0, spi), |proposal| {
                let offer = template.2[0].with_lifetimes(seconds(28_800));
                let offer = Phase2Choice::new(template.0, offer.suite, EncapsulationMode::TRANSPORT);
                let id = offer.transform_id().unwrap();
                proposal.transform(&TransformHead::new(1, id), |list| offer.write(list))
            })
        };
        let chain = spy.chain(message_id, [first]);
        let answer = spy.message_with(
            ExchangeKind::QUICK,
            message_id,
            &chain,
            |writer| {
                writer.sa(|sa| {
                    proposal(sa, (1, &[1, 2, 3, 4]), &all[1])?;
                    proposal(sa, (1, &[0x12, 0x34]), &all[0])?;
                    proposal(sa, (2, &spi), &all[1])
                })?;
                writer.bytes(PayloadKind::NONCE, &nr)?;
                body(PayloadKind::ID).iter().try_for_each(|id| writer.bytes(PayloadKind::ID, id).map(drop))
            },
            |rest| spy.keys.hash_2(message_id, ni, rest),
        );
        link.inject(0, answer);
        assert_eq!(link.ends[0].inbound.len(), if is_accepted { 2 } else { 0 }, "{:?}", link.counts());
    }
}
