//! Properties of sealing and opening for every suite, payload, padding and modification.

mod common;

use std::sync::LazyLock;

use common::*;
use esp_core::{Inbound, OpenError, PadCheck, Padding, SealError, SealParams, open_with, overhead, peek, seal_with};
use ipsec_crypto::{AnySuite, IvRule};
use ipsec_packet::{AntiReplay, IpProto, NoSpace, PacketBuf, ReplayWindow, Seq, SeqWidth};
use proptest::prelude::*;

static CHOICES: LazyLock<Vec<Choice>> = LazyLock::new(all_choices);

fn choices() -> impl Strategy<Value = Choice> {
    proptest::sample::select(&CHOICES[..])
}

fn paddings() -> impl Strategy<Value = Padding> {
    let minimal = Padding::MINIMAL;
    prop_oneof![
        Just(minimal),
        any::<u8>().prop_map(move |octets| minimal.to_boundary(octets)),
        any::<u8>().prop_map(move |octets| minimal.at_least(octets)),
        (0usize..2500).prop_map(move |octets| minimal.tfc_to(octets)),
        (any::<u8>(), any::<u8>(), 0usize..2500)
            .prop_map(move |(to, least, tfc)| minimal.to_boundary(to).at_least(least).tfc_to(tfc)),
    ]
}

fn widths() -> impl Strategy<Value = SeqWidth> {
    prop_oneof![Just(SeqWidth::Bits32), Just(SeqWidth::Extended64)]
}

/// Returns sequence numbers of this width, some of them near the ends of the subspaces of ESN (RFC 4303 appendix A).
fn numbers(width: SeqWidth) -> impl Strategy<Value = u64> {
    match width {
        SeqWidth::Bits32 => prop_oneof![1u64..100, 0xffff_ff00u64..=0xffff_ffff].boxed(),
        SeqWidth::Extended64 => {
            prop_oneof![1u64..100, 0xffff_ffc0u64..0x1_0000_0040, 1u64..u64::MAX, u64::MAX - 3..=u64::MAX].boxed()
        }
    }
}

fn payloads() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![proptest::collection::vec(any::<u8>(), 0..80), proptest::collection::vec(any::<u8>(), 0..2000),]
}

fn receiver_at(choice: &Choice, width: SeqWidth, top: u64) -> Inbound<AnySuite> {
    Inbound::with_window(spi(), choice.suite(), width, ReplayWindow::with_top(Seq::new(top)))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    //= RFC 4303 2.2/2, 2.7/2
    //# MUST: the sequence number is always present and transmitted
    //# MUST NOT: length fields in the payload are changed to include TFC padding
    #[test]
    fn open_returns_the_sealed_payload_and_surrounding_octets_stay(
        choice in choices(),
        payload in payloads(),
        padding in paddings(),
        (width, seq) in widths().prop_flat_map(|width| (Just(width), numbers(width))),
        next in any::<u8>().prop_map(IpProto),
        spare in (0usize..20, 0usize..20),
    ) {
        let (mut tx, mut rx) = (sender_at(&choice, width, seq), receiver_at(&choice, width, seq - 1));
        tx.set_padding(padding);
        let room = tx.overhead(payload.len());
        let mut framed = Framed::new(&payload, room.front + spare.0, room.back + spare.1);
        let guards = [framed.bytes[..spare.0].to_vec(), framed.bytes[framed.bytes.len() - spare.1..].to_vec()];
        let mut packet = framed.packet();

        prop_assert_eq!(tx.seal(&mut packet, next, &mut test_iv), Ok(Seq::new(seq)));
        prop_assert_eq!(packet.len(), payload.len() + room.total());
        prop_assert_eq!((packet.headroom(), packet.tailroom()), spare);
        let seen = peek(packet.data()).unwrap();
        prop_assert_eq!((seen.spi, seen.seq_low, seen.len), (spi().get(), seq as u32, packet.len()));
        let body = packet.len() - room.front - choice.layout().icv_len();
        prop_assert_eq!((packet.len() % 4, body % choice.layout().align()), (0, 0));

        let opened = rx.open(&mut packet).unwrap();
        prop_assert_eq!((opened.next_header, opened.seq), (next, Seq::new(seq)));
        let (kept, tfc) = packet.data().split_at(payload.len());
        prop_assert_eq!(kept, &payload[..]);
        prop_assert!(tfc.iter().all(|octet| *octet == 0));
        prop_assert_eq!(tfc.len() + usize::from(opened.pad_len) + 2 + choice.layout().icv_len(), room.back);
        prop_assert_eq!(rx.window().top(), Seq::new(seq));

        prop_assert_eq!(&framed.bytes[..spare.0], &guards[0][..]);
        prop_assert_eq!(&framed.bytes[framed.bytes.len() - spare.1..], &guards[1][..]);
    }

    #[test]
    fn seal_refuses_one_octet_less_of_space_and_changes_nothing(
        choice in choices(),
        payload in payloads(),
        padding in paddings(),
        width in widths(),
        front in any::<bool>(),
    ) {
        let mut tx = sender_at(&choice, width, 7);
        tx.set_padding(padding);
        let room = tx.overhead(payload.len());
        let mut framed = Framed::new(&payload, room.front - usize::from(front), room.back - usize::from(!front));
        let before = framed.bytes.clone();
        let mut packet = framed.packet();
        let refused = tx.seal(&mut packet, IpProto::IPV4, &mut test_iv);
        prop_assert_eq!(refused, Err(SealError::NoSpace(match front {
            true => NoSpace::Front { needed: room.front, available: room.front - 1 },
            false => NoSpace::Back { needed: room.back, available: room.back - 1 },
        })));
        prop_assert_eq!((packet.data(), packet.headroom()), (&payload[..], room.front - usize::from(front)));
        prop_assert_eq!(framed.bytes, before);
        prop_assert_eq!(tx.counter().last_used(), Seq::new(6));
    }

    #[test]
    fn pure_functions_agree_with_outbound_and_inbound(
        choice in choices(),
        payload in payloads(),
        padding in paddings(),
        (width, number) in widths().prop_flat_map(|width| (Just(width), numbers(width))),
    ) {
        let (suite, layout, seq) = (choice.suite(), choice.layout(), Seq::new(number));
        let (mut tx, mut rx) = (sender_at(&choice, width, number), receiver_at(&choice, width, number - 1));
        tx.set_padding(padding);
        let room = overhead(layout, padding, payload.len());
        prop_assert_eq!(room, tx.overhead(payload.len()));
        let iv = match layout.iv_rule() {
            IvRule::None => vec![],
            IvRule::Unpredictable => {
                let mut iv = vec![0; layout.iv_len()];
                test_iv(seq, &mut iv);
                iv
            }
            IvRule::Unique => number.to_be_bytes().to_vec(),
        };
        let [mut one, mut two] = [(); 2].map(|()| Framed::new(&payload, room.front, room.back));
        let envelope = SealParams { spi: spi(), seq, width, next_header: IpProto::TCP, padding };
        prop_assert_eq!(seal_with(&suite, &envelope, &iv, &mut one.packet()), Ok(()));
        prop_assert_eq!(tx.seal(&mut two.packet(), IpProto::TCP, &mut test_iv), Ok(seq));
        prop_assert_eq!(&one.bytes, &two.bytes);

        let mut three = one.bytes.clone();
        let [mut one, mut two, mut three] =
            [&mut one.bytes, &mut two.bytes, &mut three].map(|bytes| PacketBuf::received(bytes));
        let wrong = Seq::new(number ^ 1 << 32);
        let refused = open_with(&suite, wrong, width, PadCheck::Full, &mut three);
        prop_assert_eq!(refused.is_ok(), width == SeqWidth::Bits32,
            "the high-order half is authenticated with ESN only");
        let opened = open_with(&suite, seq, width, PadCheck::Full, &mut one);
        prop_assert_eq!(&opened, &rx.open(&mut two));
        prop_assert!(opened.is_ok());
        prop_assert_eq!(one.data(), two.data());
    }

    #[test]
    fn open_into_agrees_with_open(
        choice in choices(),
        payload in payloads(),
        width in widths(),
        damage in proptest::option::of((any::<prop::sample::Index>(), 1u8..=255)),
        spare in 0usize..20,
    ) {
        let mut received = sealed(&mut sender_at(&choice, width, 9), &payload, IpProto::UDP);
        if let Some((at, flip)) = damage {
            let at = at.index(received.len());
            received[at] ^= flip;
        }
        let (mut one, mut two) = (receiver_at(&choice, width, 3), receiver_at(&choice, width, 3));
        let mut in_place = received.clone();
        let mut packet = PacketBuf::received(&mut in_place);
        let opened = one.open(&mut packet);

        let mut out = vec![0xee; received.len() + spare];
        let source = received.clone();
        match two.open_into(&received, &mut out) {
            Ok((info, inside)) => {
                prop_assert_eq!((Ok(info), inside), (opened, packet.data()));
                prop_assert_eq!(inside, &payload[..]);
            }
            Err(e) => prop_assert_eq!(Err(e), opened),
        }
        prop_assert_eq!(opened.is_ok(), damage.is_none());
        prop_assert_eq!(&received, &source);
        prop_assert!(out[received.len()..].iter().all(|octet| *octet == 0xee));
        prop_assert_eq!(window_state(one.window()), window_state(two.window()));
    }
}

/// Asserts that one SA refuses every bit flip, truncation and extension of a packet and still opens the packet itself.
fn refuse_every_modification(choice: &Choice, width: SeqWidth, payload: usize) {
    let (seq, top) = match width {
        SeqWidth::Bits32 => (7, 3),
        SeqWidth::Extended64 => (0x1_0000_0003, 0xffff_fff8),
    };
    let good = sealed(&mut sender_at(choice, width, seq), &Random(5).octets(payload), IpProto::UDP);
    let mut rx = receiver_at(choice, width, top);
    let before = window_state(rx.window());
    let mut refuse = |bad: &[u8], what: &str| {
        let mut framed = Framed::new(bad, 8, 8);
        let whole = framed.bytes.clone();
        let mut packet = framed.packet();
        assert!(rx.open(&mut packet).is_err(), "{}: {what} was accepted", choice.name());
        assert_eq!((packet.len(), packet.headroom()), (bad.len(), 8), "{}: {what}", choice.name());
        assert_eq!(framed.bytes, whole, "{}: {what} was written to", choice.name());
        assert_eq!(window_state(rx.window()), before, "{}: {what} moved the window", choice.name());
    };
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        refuse(&bad, "a flipped bit");
    }
    for len in 0..good.len() {
        refuse(&good[..len], "a truncation");
    }
    for more in 1..=20 {
        refuse(&[&good[..], &vec![0; more]].concat(), "an extension");
    }
    let mut other = Framed::new(&good, 0, 0);
    assert_eq!(rx.open(&mut other.packet()).map(|opened| opened.seq.get()), Ok(seq));
}

//= RFC 4303 3.4.4.1/1
//# MUST: a packet whose ICV verification fails is discarded
#[test]
fn open_refuses_every_bit_flip_and_truncation_without_change_of_state() {
    for (n, choice) in CHOICES.iter().enumerate() {
        for width in WIDTHS {
            refuse_every_modification(choice, width, n % 23);
        }
    }
}

#[test]
fn open_refuses_packets_of_another_sequence_width_or_subspace() {
    for choice in CHOICES.iter() {
        for (sent, received, seq) in [
            (SeqWidth::Bits32, SeqWidth::Extended64, 7),
            (SeqWidth::Extended64, SeqWidth::Bits32, 7),
            (SeqWidth::Extended64, SeqWidth::Extended64, 0x1_0000_0007),
        ] {
            let mut bytes = sealed(&mut sender_at(choice, sent, seq), b"inside", IpProto::UDP);
            let before = bytes.clone();
            let opened = receiver_at(choice, received, 3).open(&mut PacketBuf::received(&mut bytes));
            assert_eq!(opened, Err(OpenError::IcvMismatch), "{}: {sent:?} as {received:?}", choice.name());
            assert_eq!(bytes, before);
        }
    }
}
