//! Splitting of an ESP packet into its parts, and comparison of ICVs.

use ipsec_crypto::{EspParts, Icv, IcvLen, IvRule, Layout, LayoutError, LengthError, MAX_ICV};

fn layout(iv: usize, align: usize, icv: usize) -> Layout {
    let rule = if iv == 0 { IvRule::None } else { IvRule::Unique };
    Layout::new(iv, align, IcvLen::new(icv).unwrap(), rule).unwrap()
}

#[test]
fn split_accepts_exactly_the_lengths_of_the_layout() {
    // These include the layout of every suite.
    let mut layouts = Vec::new();
    for iv in [0, 8, 16] {
        for align in [4, 8, 16] {
            layouts.extend([0, 8, 12, 16, 24, 32].map(|icv| layout(iv, align, icv)));
        }
    }
    let mut fitting = 0;
    for layout in layouts {
        for length in 0..=200 {
            let mut packet: Vec<u8> = (0..=u8::MAX).take(length).collect();
            let whole = packet.clone();
            let front = 8 + layout.iv_len();
            let expected = match length.checked_sub(front + layout.icv_len()) {
                None | Some(0) => Some(LengthError::TooShort),
                Some(body) if body % layout.align() > 0 => Some(LengthError::Unaligned),
                Some(_) => None,
            };
            let parts = EspParts::split(layout, &mut packet, Some([0xa1, 0xa2, 0xa3, 0xa4]));
            assert_eq!(parts.as_ref().err().copied(), expected, "{length} octets, {layout:?}");
            let Ok(mut parts) = parts else { continue };
            let (rest, mut iv) = (length - layout.icv_len(), whole[8..front].to_vec());
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
fn layout_accepts_exactly_the_lengths_of_esp() {
    for rule in [IvRule::None, IvRule::Unpredictable, IvRule::Unique] {
        let shortest = [0, 1, 8][rule as usize];
        for iv in (0..40).chain([usize::MAX]) {
            let valid = if rule == IvRule::None { iv == 0 } else { (shortest..=16).contains(&iv) };
            let expected = if valid { Ok(iv) } else { Err(LayoutError::IvLength(iv)) };
            assert_eq!(Layout::new(iv, 4, IcvLen::NONE, rule).map(Layout::iv_len), expected, "{rule:?}");
        }
    }
    for align in (0..300).chain([512, 1 << 20, usize::MAX]) {
        let expected = match align {
            4 | 8 | 16 | 32 | 64 | 128 => Ok(align),
            _ => Err(LayoutError::Alignment(align)),
        };
        assert_eq!(Layout::new(8, align, IcvLen::NONE, IvRule::Unique).map(Layout::align), expected);
    }
    for icv in (0..300).chain([256 + 12, usize::MAX]) {
        assert_eq!(IcvLen::new(icv).map(IcvLen::octets), (icv <= MAX_ICV).then_some(icv));
    }
}

#[test]
fn parts_without_esn_authenticate_the_transmitted_octets_only() {
    let layout = layout(8, 4, 12);
    let mut packet: Vec<u8> = (0..32).collect();
    let mut parts = EspParts::split(layout, &mut packet, None).unwrap();
    assert_eq!(parts.aad().as_slice(), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(parts.integrity_input().segments(), [&(0..20).collect::<Vec<u8>>()[..], &[]]);
    parts.body().fill(0xb0);
    parts.set_icv(&Icv::truncated(&[0xc0; 20], IcvLen::of::<12>()).unwrap());
    assert_eq!(packet[..16], (0..16).collect::<Vec<u8>>());
    assert_eq!((&packet[16..20], &packet[20..]), (&[0xb0; 4][..], &[0xc0; 12][..]));
}

#[test]
fn icv_verifies_only_equal_octets_of_equal_length() {
    let mac: Vec<u8> = (1..=64).collect();
    for length in 0..=MAX_ICV {
        let len = IcvLen::new(length).unwrap();
        let truncated = Icv::truncated(&mac, len).unwrap();
        assert_eq!(truncated.as_slice(), &mac[..length]);
        for other in 0..=64 {
            assert_eq!(truncated.verify(&mac[..other]).is_ok(), other == length);
        }
        assert!(Icv::truncated(&mac[..length], len).is_some());
        assert!(length == 0 || Icv::truncated(&mac[..length - 1], len).is_none());
    }
}
