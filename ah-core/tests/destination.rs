//! Verification at the final destination only: packets with an unfinished source route or routing header are refused.

mod packets;

use ah_core::{Profile, VerifyError};
use ipsec_crypto::IntegrityAlgorithm;
use ipsec_packet::{IpError, SeqWidth};
use packets::{FRAGMENT, ROUTING, Random, Sa, ipv4, ipv6, routing_header};

fn sa() -> Sa {
    Sa::new(IntegrityAlgorithm::HmacSha1_96, SeqWidth::Bits32, Profile::RFC)
}

#[test]
fn verify_refuses_record_route_changed_to_source_route() {
    let plain = ipv4(&mut Random(1), &[7, 7, 4, 0, 0, 0, 0, 0], 20);
    let wire = sa().signed(&plain);
    for kind in [0x83, 0x89] {
        let mut forged = wire.clone();
        let [d0, d1, d2, d3] = *wire[16..].first_chunk().unwrap();
        forged[20..28].copy_from_slice(&[kind, 7, 4, d0, d1, d2, d3, 0]);
        forged[16..20].copy_from_slice(&[10, 0, 0, 99]);
        assert_eq!(sa().verified(&forged), Err(VerifyError::Ip(IpError::RouteNotFinished { offset: 20 })));
        // With a completed route, the ICV covers the destination of the IP header.
        forged[22] = 8;
        assert_eq!(sa().verified(&forged), Err(VerifyError::IcvMismatch));
    }
}

#[test]
fn verify_refuses_routing_header_reset_by_one_hop() {
    let random = &mut Random(2);
    for kind in [0, 2] {
        let headers = [(ROUTING, routing_header(random, kind, 1, 0))];
        let wire = sa().signed(&ipv6(random, &headers, 20));
        let mut forged = wire.clone();
        let (destination, visited) = (wire[24..40].to_vec(), wire[48..64].to_vec());
        forged[24..40].copy_from_slice(&visited);
        forged[43] = 1;
        forged[48..64].copy_from_slice(&destination);
        assert_eq!(sa().verified(&forged), Err(VerifyError::Ip(IpError::RouteNotFinished { offset: 40 })));
        assert!(sa().verified(&wire).is_ok());
    }
}

#[test]
fn verify_removes_an_atomic_fragment_header() {
    let plain = ipv6(&mut Random(3), &[], 20);
    let wire = sa().signed(&plain);
    let mut longer = wire.clone();
    longer.splice(40..40, [wire[6], 0, 0, 0, 1, 2, 3, 4]);
    longer[6] = FRAGMENT;
    let octets = (longer.len() - 40) as u16;
    longer[4..6].copy_from_slice(&octets.to_be_bytes());
    assert_eq!(sa().verified(&longer), Ok(plain));
}
