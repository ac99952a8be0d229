//! Signing, verification and every refusal work without allocation for each algorithm.

mod packets;

use ah_core::{SignError, VerifyError};
use ipsec_packet::{IpError, PacketBuf, ReplayError, Seq, SeqWidth};
use packets::{PROFILES, Random, Sa, Sample, WIDTHS, integrities, samples};
use test_vectors::support::allocation::{CountingAllocator, assert_operations_are_counted, without_allocation};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn allocator_counts_heap_operations() {
    assert_operations_are_counted();
}

#[test]
fn sign_and_verify_do_not_allocate_with_any_outcome() {
    let random = &mut Random(51);
    let mut packets = 0;
    for (algorithm, key) in integrities() {
        for (sample, (_, profile)) in samples(random).into_iter().zip(PROFILES.into_iter().cycle()) {
            for width in WIDTHS {
                let sa = Sa { integrity: (algorithm, key.clone()), ..Sa::new(algorithm, width, profile) };
                let sa = Sa { options: sample.options, ..sa };
                sign_and_verify_with_every_outcome(&sa, &sample);
                packets += 1;
            }
        }
    }
    assert_eq!(packets, 12 * 11 * 2);
}

fn sign_and_verify_with_every_outcome(sa: &Sa, sample: &Sample) {
    let (mut tx, mut rx, mut exhausted) = (sa.sender(), sa.receiver(), sa.sender());
    let mut last = exhausted.counter().export();
    last[if sa.width == SeqWidth::Bits32 { 8 } else { 4 }..].fill(0xff);
    exhausted.import(&last).unwrap();
    let mut other_sa = Sa { spi: 0x2002, ..sa.clone() }.receiver();

    let (mut bytes, mut tight) = ([&[0; 64][..], &sample.plain].concat(), sample.plain.clone());
    let mut tight = PacketBuf::received(&mut tight);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 64, sample.plain.len()).unwrap();
    assert!(matches!(without_allocation(sample.name, || tx.sign(&mut tight)), Err(SignError::Ip(IpError::NoSpace(_)))));
    assert_eq!(without_allocation(sample.name, || exhausted.sign(&mut packet)), Err(SignError::SequenceExhausted));
    assert_eq!(without_allocation(sample.name, || rx.verify(&mut packet)), Err(VerifyError::Ip(IpError::NotFound)));
    assert_eq!(without_allocation(sample.name, || tx.sign(&mut packet)), Ok(Seq::new(1)));

    let (mut again, mut forged) = (packet.data().to_vec(), packet.data().to_vec());
    forged[sample.at + 12] ^= 1;
    let (mut again, mut forged) = (PacketBuf::received(&mut again), PacketBuf::received(&mut forged));
    let long = &mut packet.data().to_vec();
    long[sample.at + 1] -= 3;
    let mut long = PacketBuf::received(long);
    assert!(matches!(
        without_allocation(sample.name, || other_sa.verify(&mut packet)),
        Err(VerifyError::SpiMismatch { .. })
    ));
    assert_eq!(without_allocation(sample.name, || rx.verify(&mut forged)), Err(VerifyError::IcvMismatch));
    assert!(matches!(
        without_allocation(sample.name, || rx.verify(&mut long)),
        Err(VerifyError::LengthMismatch { .. })
    ));
    assert!(without_allocation(sample.name, || rx.verify(&mut packet)).is_ok());
    assert_eq!(
        without_allocation(sample.name, || rx.verify(&mut again)),
        Err(VerifyError::Replayed(ReplayError::Duplicate))
    );
    assert_eq!(packet.data(), sample.plain);
    packet.data_mut()[0] ^= 0x80;
    assert!(matches!(
        without_allocation(sample.name, || tx.sign(&mut packet)),
        Err(SignError::Ip(IpError::Version(_)))
    ));
    assert!(matches!(
        without_allocation(sample.name, || rx.verify(&mut packet)),
        Err(VerifyError::Ip(IpError::Version(_)))
    ));
}
