//! State of an SA: sequence numbers and IVs of AES-GMAC that never repeat, and the anti-replay window.

mod packets;

use std::collections::BTreeSet;

use ah_core::{Inbound, Outbound, Profile, SignError, SignParams, VerifyError, sign_with};
use ipsec_crypto::{AnyAhIntegrity, IntegrityAlgorithm as I};
use ipsec_packet::{
    AntiReplay, DestinationOptions, NoReplay, PacketBuf, ReplayError, ReplayWindow, Seq, SeqCounter, SeqWidth,
    StateError,
};
use packets::{Random, Sa, WIDTHS, integrities, ipv4, ipv6, sign, verify, window};

/// Returns the exported state of a counter whose last sequence number was `used`.
fn counter(width: SeqWidth, used: u64) -> Vec<u8> {
    let mut state = SeqCounter::new(width).export().to_vec();
    state[4..].copy_from_slice(&used.to_be_bytes());
    state
}

/// Returns a sender whose last sequence number was `used`.
fn sender_after(sa: &Sa, used: u64) -> Outbound<AnyAhIntegrity> {
    let mut tx = sa.sender();
    tx.import(&counter(sa.width, used)).unwrap();
    tx
}

fn plain() -> Vec<u8> {
    ipv4(&mut Random(41), &[], 16)
}

/// Returns the packet signed with this sequence number.
fn signed_with(sa: &Sa, seq: u64) -> Vec<u8> {
    sign(&mut sender_after(sa, seq - 1), &plain()).unwrap()
}

fn sha1(width: SeqWidth) -> Sa {
    Sa::new(I::HmacSha1_96, width, Profile::RFC)
}

//= RFC 4302 2.5/1
//# MUST: the sender counts the sequence number up for each packet
#[test]
fn gmac_iv_is_the_sequence_number_and_never_repeats() {
    let gmac = || integrities().into_iter().filter(|(algorithm, _)| *algorithm == I::AesGmac);
    assert_eq!(gmac().count(), 3);
    for integrity in gmac() {
        for (width, first) in [
            (SeqWidth::Bits32, 1),
            (SeqWidth::Bits32, 0xffff_ff00),
            (SeqWidth::Extended64, 0xffff_ff80),
            (SeqWidth::Extended64, u64::MAX - 0xff),
        ] {
            let sa = Sa { integrity: integrity.clone(), ..Sa::new(I::AesGmac, width, Profile::RFC) };
            let mut tx = sender_after(&sa, first - 1);
            let mut seen = BTreeSet::new();
            for seq in first..=first + 0xff {
                let wire = sign(&mut tx, &plain()).unwrap();
                assert_eq!(wire[32..40], seq.to_be_bytes());
                assert!(seen.insert(wire[32..40].to_vec()));
                // A refused packet uses no sequence number; the next packet gets it.
                assert!(sign(&mut tx, &plain()[..19]).is_err());
            }
            let exhausted = first + 0xff == u64::MAX || first + 0xff == 0xffff_ffff && width == SeqWidth::Bits32;
            assert_eq!(sign(&mut tx, &plain()).is_err(), exhausted);
        }
    }
}

//= RFC 4302 3.3.2/1
//# MUST NOT: a packet is sent that would make the number cycle
#[test]
fn sign_refuses_after_the_last_sequence_number() {
    for (width, last) in [(SeqWidth::Bits32, 0xffff_ffff), (SeqWidth::Extended64, u64::MAX)] {
        let sa = sha1(width);
        let mut tx = sender_after(&sa, last - 1);
        let wire = sign(&mut tx, &plain()).unwrap();
        for _ in 0..3 {
            assert_eq!(sign(&mut tx, &plain()), Err(SignError::SequenceExhausted));
            assert_eq!(tx.reserve(1).err(), Some(SignError::SequenceExhausted));
            assert_eq!(tx.counter().last_used().get(), last);
        }
        assert_eq!(verify(&mut sa.receiver_from(last), &wire), Ok(plain()));
    }
}

#[test]
fn reserved_sequence_numbers_are_not_used_by_sign() {
    for (algorithm, key) in integrities() {
        for width in WIDTHS {
            let sa = Sa { integrity: (algorithm, key.clone()), ..Sa::new(algorithm, width, Profile::RFC) };
            let (mut one, mut other) = (sender_after(&sa, 0xffff_fff0), sender_after(&sa, 0xffff_fff0));
            for seq in other.reserve(5).unwrap() {
                let (profile, options) = (sa.profile, sa.options);
                let envelope = SignParams { spi: sa.spi(), seq, width, profile, options };
                let mut bytes = [&[0; 64][..], &plain()].concat();
                let mut packet = PacketBuf::with_headroom(&mut bytes, 64, plain().len()).unwrap();
                sign_with(&sa.integrity(), &envelope, seq.get().to_be_bytes(), &mut packet).unwrap();
                assert_eq!(packet.data(), sign(&mut one, &plain()).unwrap(), "{sa:?}");
            }
            assert_eq!(sign(&mut other, &plain()), sign(&mut one, &plain()));
            assert_eq!(other.counter().last_used().get(), 0xffff_fff6);
        }
    }
}

#[test]
fn import_refuses_lower_sequence_numbers() {
    let mut tx = sha1(SeqWidth::Bits32).sender();
    let state = counter(SeqWidth::Bits32, 7);
    assert_eq!(tx.import(&state), Ok(()));
    assert_eq!(tx.counter().export(), state[..]);
    let back = StateError::Outdated { held: 7, offered: 6 };
    for (state, expected) in [
        (counter(SeqWidth::Bits32, 6), back),
        (counter(SeqWidth::Extended64, 8), StateError::Malformed),
        (counter(SeqWidth::Bits32, 1 << 32), StateError::Malformed),
        (state[..11].to_vec(), StateError::Malformed),
        (window(&sha1(SeqWidth::Bits32).receiver()), StateError::Malformed),
    ] {
        assert_eq!(tx.import(&state), Err(expected));
        assert_eq!(tx.counter().last_used().get(), 7);
    }
}

//= RFC 4302 2.5/3, 3.4.3/1, 3.4.3/4, 3.4.3/9
//# MUST: sequence numbers can be generated and verified as 3.3.2 and 3.4.3 say
//# MUST: anti-replay is supported, to be enabled for each SA
//# MUST: each received number is verified to be no duplicate during the life of the SA
//# SHOULD: a window of 64 packets is the default
#[test]
fn each_sequence_number_is_accepted_once_within_the_window() {
    use ReplayError::{Duplicate, TooOld, Zero};
    for width in WIDTHS {
        let sa = sha1(width);
        let mut rx = sa.receiver();
        #[rustfmt::skip]
        let calls = [
            (1, None), (1, Some(Duplicate)), (3, None), (2, None), (3, Some(Duplicate)), (66, None),
            (3, Some(Duplicate)),
            (2, Some(TooOld)), (4, None), (4, Some(Duplicate)), (67, None), (3, Some(TooOld)), (4, Some(Duplicate)),
            (1000, None), (937, None), (936, Some(TooOld)), (999, None), (937, Some(Duplicate)),
            (1000, Some(Duplicate)),
        ];
        for (at, (seq, refused)) in calls.into_iter().enumerate() {
            let expected = refused.map_or(Ok(plain()), |replay| Err(VerifyError::Replayed(replay)));
            match (width, refused) {
                // With ESN a sequence number below the window is taken for one of the next subspace, and the ICV fails.
                (SeqWidth::Extended64, Some(TooOld)) => {
                    assert_eq!(verify(&mut rx, &signed_with(&sa, seq)), Err(VerifyError::IcvMismatch), "call {at}");
                }
                _ => assert_eq!(verify(&mut rx, &signed_with(&sa, seq)), expected, "call {at}: {seq}"),
            }
        }
        let mut zero = signed_with(&sa, 1);
        zero[28..32].fill(0);
        let expected = if width == SeqWidth::Bits32 { VerifyError::Replayed(Zero) } else { VerifyError::IcvMismatch };
        assert_eq!(verify(&mut rx, &zero), Err(expected));
    }
}

//= RFC 2402 3.4.3/11
//# MUST: a packet is authenticated before the window is updated
#[test]
fn refused_packet_does_not_move_the_window() {
    for width in WIDTHS {
        let sa = sha1(width);
        let mut rx = sa.receiver();
        assert!(verify(&mut rx, &signed_with(&sa, 100)).is_ok());
        let before = window(&rx);
        for seq in [37, 99, 101, 5000, 0xffff_ffff] {
            let mut forged = signed_with(&sa, seq);
            *forged.last_mut().unwrap() ^= 1;
            assert_eq!(verify(&mut rx, &forged), Err(VerifyError::IcvMismatch));
        }
        let mut other = signed_with(&sa, 101);
        other[24] ^= 1;
        let (expected, found) = (sa.spi(), 0x0100_2001);
        assert_eq!(verify(&mut rx, &other), Err(VerifyError::SpiMismatch { expected, found }));
        assert_eq!(window(&rx), before);
        assert_eq!(verify(&mut rx, &signed_with(&sa, 37)), Ok(plain()));
    }
}

#[test]
fn imported_window_refuses_packets_received_before_export() {
    for width in WIDTHS {
        let sa = sha1(width);
        let mut rx = sa.receiver();
        for seq in [5, 6, 9, 60] {
            assert!(verify(&mut rx, &signed_with(&sa, seq)).is_ok());
        }
        let mut state = [0; ReplayWindow::<2>::STATE];
        assert_eq!(rx.window().export(width, &mut state), Ok(state.len()));
        let mut standby = sa.receiver();
        assert!(verify(&mut standby, &signed_with(&sa, 7)).is_ok());
        standby.window_mut().import(width, &state).unwrap();
        for (seq, fresh) in
            [(4, true), (5, false), (6, false), (7, false), (8, true), (9, false), (60, false), (61, true)]
        {
            let expected = if fresh { Ok(plain()) } else { Err(VerifyError::Replayed(ReplayError::Duplicate)) };
            assert_eq!(verify(&mut standby, &signed_with(&sa, seq)), expected, "{seq}");
        }
        let back = StateError::Outdated { held: 61, offered: 60 };
        assert_eq!(standby.window_mut().import(width, &state), Err(back));
    }
}

//= RFC 4302 2.5.1/1
//# SHOULD: extended sequence numbers are offered
#[test]
fn esn_crosses_2_to_the_32_in_any_order() {
    let sa = sha1(SeqWidth::Extended64);
    let mut rx = sa.receiver_from(0xffff_ffc0);
    for seq in [0xffff_fffe, 0x1_0000_0002, 0x1_0000_0000, 0xffff_ffff, 0xffff_ffc3, 0x1_0000_0020] {
        assert_eq!(verify(&mut rx, &signed_with(&sa, seq)), Ok(plain()), "{seq:x}");
        let replayed = Err(VerifyError::Replayed(ReplayError::Duplicate));
        assert_eq!(verify(&mut rx, &signed_with(&sa, seq)), replayed, "{seq:x}");
    }
    assert_eq!(rx.window().top(), Seq::new(0x1_0000_0020));
    // Packets of an earlier subspace, 2^32 ahead, and below the window.
    for seq in [0x21, 0x2_0000_0021, 0xffff_ffc1 - 64] {
        assert_eq!(verify(&mut rx, &signed_with(&sa, seq)), Err(VerifyError::IcvMismatch), "{seq:x}");
    }
}

#[test]
fn window_starting_at_a_number_refuses_lower_numbers() {
    for from in [1, 0x8000_0000, 0xffff_ffff, 0x1_0000_0000, 0x7_0000_0040, u64::MAX - 70] {
        let sa = sha1(SeqWidth::Extended64);
        for ahead in [0, 1, 63, 64, 70, 0x7fff_ffff, 0xffff_ffff] {
            let Some(seq) = from.checked_add(ahead) else { continue };
            assert_eq!(
                verify(&mut sa.receiver_from(from), &signed_with(&sa, seq)),
                Ok(plain()),
                "{from:x} + {ahead:x}"
            );
        }
        for behind in [1, 2, 64] {
            let Some(seq) = from.checked_sub(behind).filter(|seq| *seq > 0 && from >> 32 < 0xffff_ffff) else {
                continue;
            };
            let mut rx = sa.receiver_from(from);
            assert!(verify(&mut rx, &signed_with(&sa, seq)).is_err(), "{from:x} - {behind:x}");
            assert_eq!(verify(&mut rx, &signed_with(&sa, from)), Ok(plain()), "{from:x} after that");
        }
    }
}

#[test]
fn old_packet_of_the_last_subspace_is_refused() {
    let sa = sha1(SeqWidth::Extended64);
    for top in [u64::MAX - 70, u64::MAX] {
        let mut rx = sa.receiver_from(top - 63);
        assert_eq!(verify(&mut rx, &signed_with(&sa, top)), Ok(plain()));
        let old = top - 64;
        assert!(verify(&mut rx, &signed_with(&sa, old)).is_err(), "{old:x} below {top:x}");
        assert_eq!(rx.window().top(), Seq::new(top));
    }
}

//= RFC 4302 3.4.3/1
//# MUST: anti-replay is supported, to be enabled for each SA
#[test]
fn no_replay_accepts_replayed_packets() {
    for width in WIDTHS {
        let sa = sha1(width);
        let mut rx = Inbound::with_window(sa.spi(), sa.integrity(), width, sa.profile, NoReplay::default());
        for seq in [9, 9, 3, 9] {
            let mut wire = signed_with(&sa, seq);
            let mut packet = PacketBuf::received(&mut wire);
            assert_eq!(rx.verify(&mut packet).map(|verified| verified.seq), Ok(Seq::new(seq)));
        }
    }
}

#[test]
fn many_packets_of_both_ip_versions_verify_once_each() {
    let random = &mut Random(42);
    for (algorithm, key) in integrities() {
        for width in WIDTHS {
            let sa = Sa { integrity: (algorithm, key.clone()), ..Sa::new(algorithm, width, Profile::LINUX) };
            let (mut tx, mut rx) = (sa.sender(), sa.receiver());
            tx.set_destination_options(DestinationOptions::Unprotected);
            for number in 1..=40 {
                let plain = if number % 3 == 0 { ipv6(random, &[], number) } else { ipv4(random, &[], number) };
                let wire = sign(&mut tx, &plain).unwrap();
                assert_eq!(verify(&mut rx, &wire), Ok(plain));
                assert_eq!(verify(&mut rx, &wire), Err(VerifyError::Replayed(ReplayError::Duplicate)));
                assert_eq!(rx.window().top(), tx.counter().last_used());
            }
        }
    }
}
