//! Errors name their causes, and whether the peer, the caller or the library has caused them.

use std::error::Error;

use ah_core::{SignError, VerifyError};
use esp_core::{OpenError, SealError};
use ipsec_engine::DiscardReason;
use ipsec_packet::{Fault, IpError, PacketBuf, ReplayError, TooShort, TunnelError, UdpError};

fn no_space() -> ipsec_packet::NoSpace {
    PacketBuf::received(&mut []).push_front(1).unwrap_err()
}

#[test]
fn every_wrapped_error_is_reached_by_source() {
    let short = TooShort { needed: 20, available: 3 };
    for (reason, causes) in [
        (DiscardReason::Malformed(IpError::TooShort(short)), 2),
        (DiscardReason::Open(OpenError::Replayed(ReplayError::Duplicate)), 2),
        (DiscardReason::Open(OpenError::IcvMismatch), 1),
        (DiscardReason::Verify(VerifyError::Ip(IpError::TooShort(short))), 3),
        (DiscardReason::Tunnel(TunnelError::Inner(IpError::NotFound)), 2),
        (DiscardReason::Udp(UdpError::TooShort(short)), 2),
        (DiscardReason::Seal(SealError::NoSpace(no_space())), 2),
        (DiscardReason::Sign(SignError::SequenceExhausted), 1),
        (DiscardReason::NoSa, 0),
    ] {
        let mut chain = Vec::new();
        let mut next = reason.source();
        while let Some(error) = next {
            chain.push(error.to_string());
            next = error.source();
        }
        assert_eq!(chain.len(), causes, "{reason:?}: {chain:?}");
        assert!(chain.iter().all(|text| !text.is_empty()));
    }
}

#[test]
fn faults_of_peer_and_caller_are_distinguished() {
    for (reason, fault) in [
        (DiscardReason::Open(OpenError::IcvMismatch), Fault::Peer),
        (DiscardReason::Cleartext, Fault::Peer),
        (DiscardReason::Malformed(IpError::NoSpace(no_space())), Fault::Caller),
        (DiscardReason::Malformed(IpError::Fragment), Fault::Peer),
        (DiscardReason::Seal(SealError::SequenceExhausted), Fault::Caller),
        (DiscardReason::Sign(SignError::IcvLength), Fault::Internal),
        (DiscardReason::TooBig { mtu: 1280 }, Fault::Caller),
    ] {
        assert_eq!(reason.fault(), fault, "{reason:?}");
    }
}
