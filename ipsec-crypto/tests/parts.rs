//! Splitting of an ESP packet into its parts, and comparison of ICVs.

use ipsec_crypto::{EspParts, Icv, IvRule, Layout, LengthError, MAX_ICV};

#[test]
fn split_accepts_exactly_the_lengths_of_the_layout() {
    // These include the layout of every suite.
    let mut layouts = Vec::new();
    for iv in [0, 8, 16] {
        for align in [4, 8, 16] {
            layouts.extend([0, 8, 12, 16, 24, 32].map(|icv| Layout { iv, align, icv, iv_rule: IvRule::Unique }));
        }
    }
    let mut fitting = 0;
    for layout in layouts {
        for length in 0..=200 {
            let mut packet: Vec<u8> = (0..=u8::MAX).take(length).collect();
            let whole = packet.clone();
            let front = 8 + layout.iv;
            let expected = match length.checked_sub(front + layout.icv) {
                None | Some(0) => Some(LengthError::TooShort),
                Some(body) if body % layout.align > 0 => Some(LengthError::Unaligned),
                Some(_) => None,
            };
            let parts = EspParts::split(layout, &mut packet, Some([0xa1, 0xa2, 0xa3, 0xa4]));
            assert_eq!(parts.as_ref().err().copied(), expected, "{length} octets, {layout:?}");
            let Ok(mut parts) = parts else { continue };
            let (rest, mut iv) = (length - layout.icv, whole[8..front].to_vec());
            iv.resize(16, 0);
            assert_eq!((&parts.header()[..], &parts.iv()[..]), (&whole[..8], &iv[..]));
            assert_eq!(parts.body(), &whole[front..rest]);
            assert_eq!(parts.icv(), &whole[rest..]);
            assert_eq!(parts.integrity_input().segments(), [&whole[..rest], &[0xa1, 0xa2, 0xa3, 0xa4]]);
            assert_eq!(parts.aad().as_slice(), [0, 1, 2, 3, 0xa1, 0xa2, 0xa3, 0xa4, 4, 5, 6, 7]);
            assert_eq!(parts.iv_and_body(), &whole[8..rest]);
            fitting += 1;
        }
    }
    assert_eq!(fitting, 1322);
}

#[test]
fn split_refuses_layouts_larger_than_any_packet() {
    let rule = IvRule::Unique;
    #[rustfmt::skip]
    let layouts = [
        (Layout { iv: 8, align: 0, icv: 16, iv_rule: rule },          LengthError::Unaligned),
        (Layout { iv: usize::MAX, align: 4, icv: 16, iv_rule: rule }, LengthError::TooShort),
        (Layout { iv: 8, align: 4, icv: usize::MAX, iv_rule: rule },  LengthError::TooShort),
        (Layout { iv: 8, align: usize::MAX, icv: 16, iv_rule: rule }, LengthError::Unaligned),
    ];
    for (layout, expected) in layouts {
        assert_eq!(EspParts::split(layout, &mut [0; 64], None).err(), Some(expected), "{layout:?}");
    }
}

#[test]
fn parts_without_esn_authenticate_the_transmitted_octets_only() {
    let layout = Layout { iv: 8, align: 4, icv: 12, iv_rule: IvRule::Unique };
    let mut packet: Vec<u8> = (0..32).collect();
    let mut parts = EspParts::split(layout, &mut packet, None).unwrap();
    assert_eq!(parts.aad().as_slice(), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(parts.integrity_input().segments(), [&(0..20).collect::<Vec<u8>>()[..], &[]]);
    parts.body().fill(0xb0);
    parts.set_icv(&[0xc0; 12]);
    assert_eq!(packet[..16], (0..16).collect::<Vec<u8>>());
    assert_eq!((&packet[16..20], &packet[20..]), (&[0xb0; 4][..], &[0xc0; 12][..]));
}

#[test]
fn icv_verifies_only_equal_octets_of_equal_length() {
    let mac: Vec<u8> = (1..=64).collect();
    for length in 0..=64 {
        let (truncated, kept) = (Icv::truncated(&mac, length), length.min(MAX_ICV));
        assert_eq!(truncated.as_slice(), &mac[..kept]);
        for length in 0..=64 {
            assert_eq!(truncated.verify(&mac[..length]).is_ok(), length == kept);
        }
    }
    assert_eq!(Icv::truncated(&[1, 2], 4).as_slice(), [1, 2, 0, 0]);
}
