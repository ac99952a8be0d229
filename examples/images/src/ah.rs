//! Image of `ah-core` with arbitrary packets, and of the functions of `ipsec-packet` that it uses.
#![no_std]
#![no_main]

mod image;

use ah_core::{Inbound, Outbound, Profile, TosRule, peek};
use ipsec_crypto::{Aes128Gmac, AesXcbcMac96, AhIntegrity, HmacMd5_96, HmacSha1_96, HmacSha2_256_128};
use ipsec_packet::{DestinationOptions, Ip, NoReplay, PacketBuf, ReplayWindow, Seq, SeqWidth, Spi};

fn run(input: &[u8], output: &mut [u8]) -> usize {
    let sums = [
        both(|| Some(HmacMd5_96::new(input.first_chunk()?)), input, output),
        both(|| Some(HmacSha1_96::new(input.first_chunk()?)), input, output),
        both(|| Some(HmacSha2_256_128::new(input.first_chunk()?)), input, output),
        both(|| Some(AesXcbcMac96::new(input.first_chunk()?)), input, output),
        both(|| Some(Aes128Gmac::new(input.first_chunk()?, *input.first_chunk()?)), input, output),
    ];
    sums.into_iter().flatten().fold(0, usize::wrapping_add)
}

fn both<I: AhIntegrity>(mac: impl Fn() -> Option<I>, input: &[u8], output: &mut [u8]) -> Option<usize> {
    let spi = Spi::new(input.len() as u32).ok()?;
    let profile =
        if input.len() & 2 == 0 { Profile::RFC } else { Profile::RFC.with_tos(TosRule::Included).strict_length() };
    let width = if input.len() & 1 == 0 { SeqWidth::Bits32 } else { SeqWidth::Extended64 };
    let mut out = Outbound::new(spi, mac()?, width, profile);
    out.set_destination_options(DestinationOptions::Unprotected);
    let _ = (out.import(input), out.reserve(input.len() as u32).is_ok());
    let mut into = Inbound::with_window(spi, mac()?, width, profile, ReplayWindow::<4>::with_top(Seq::new(5)));
    let mut packet = PacketBuf::with_headroom(output, 64, input.len()).ok()?;
    let signed = out.sign(&mut packet).is_ok();
    let verified = into.verify(&mut packet).is_ok();
    let _ = into.window_mut().import(width, input);
    let again = Inbound::with_window(spi, mac()?, width, profile, NoReplay::new()).verify(&mut packet).is_ok();
    let mut seen = 0usize;
    let view = ah_core::immutable_view(&Ip::parse(input).ok()?, input.len(), profile, &mut |piece| {
        seen = seen.wrapping_add(piece.len());
    });
    let (spi, seq) = peek(input).ok()?;
    Some(usize::from(signed ^ verified ^ again ^ view.is_ok()).wrapping_add(seen).wrapping_add((spi ^ seq) as usize))
}
