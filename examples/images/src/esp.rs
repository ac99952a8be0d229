//! Image of `esp-core` with each kind of suite, for single packets and batches.
//!
//! Suites that the compiler cannot prove free of panics are left out; the README names them.
#![no_std]
#![no_main]

mod image;

use core::fmt::Write;

use esp_core::{
    EncryptedCounterIv, Inbound, OpenSlot, Outbound, PadCheck, Padding, Resync, SealSlot, null_esp_heuristic, peek,
};
use ipsec_crypto::{
    Aes128Cbc, Aes128Ctr, Aes128Gmac, AesCmac96, AesXcbcMac96, BlowfishCbc, Cast128Cbc, DesCbc, EncryptThenMac,
    EncryptWithoutIntegrity, HmacMd5_96, HmacRipemd160_96, HmacSha1_96, HmacSha2_256_96, HmacSha2_256_128, Null, Suite,
    TripleDesCbc,
};
use ipsec_packet::{IpProto, NoReplay, PacketBuf, ReplayWindow, Seq, SeqWidth, Spi};

fn run(input: &[u8], output: &mut [u8]) -> usize {
    let sums = [typed(input, output), inspect(input)];
    sums.into_iter().flatten().fold(0, usize::wrapping_add)
}

fn typed(input: &[u8], output: &mut [u8]) -> Option<usize> {
    let (key, rest) = input.split_first_chunk::<64>()?;
    let (k16, k20, k24, k32) = (key.first_chunk()?, key.first_chunk()?, key.first_chunk()?, key.first_chunk()?);
    let mut sum = 0usize;
    let mut each = |n: usize| sum = sum.wrapping_add(n);
    each(both(|| Some(EncryptThenMac::new(Aes128Cbc::new(k16), HmacSha1_96::new(k20))), rest, output)?);
    each(both(|| Some(EncryptThenMac::new(Aes128Cbc::new(k16), HmacSha2_256_128::new(k32))), rest, output)?);
    each(both(
        || Some(EncryptThenMac::new(Aes128Ctr::new(k16, *key.first_chunk()?), HmacSha2_256_96::new(k32))),
        rest,
        output,
    )?);
    each(both(
        || Some(EncryptThenMac::new(DesCbc::new(key.first_chunk()?).ok()?, HmacMd5_96::new(k16))),
        rest,
        output,
    )?);
    each(both(|| Some(EncryptThenMac::new(TripleDesCbc::new(k24).ok()?, HmacRipemd160_96::new(k20))), rest, output)?);
    each(both(|| Some(EncryptThenMac::new(BlowfishCbc::from_slice(rest).ok()?, HmacSha1_96::new(k20))), rest, output)?);
    each(both(|| Some(EncryptThenMac::new(Cast128Cbc::from_slice(rest).ok()?, HmacMd5_96::new(k16))), rest, output)?);
    #[cfg(target_arch = "arm")]
    {
        use ipsec_crypto::{HmacSha2_384_192, HmacSha2_512_256};
        each(both(|| Some(EncryptThenMac::new(Null, HmacSha2_384_192::new(key.first_chunk()?))), rest, output)?);
        each(both(|| Some(EncryptThenMac::new(Null, HmacSha2_512_256::new(key))), rest, output)?);
    }
    each(both(|| Some(EncryptThenMac::new(Null, AesXcbcMac96::new(k16))), rest, output)?);
    each(both(|| Some(EncryptThenMac::new(Aes128Cbc::new(k16), AesCmac96::new(k16))), rest, output)?);
    each(both(|| Some(EncryptWithoutIntegrity::new(Aes128Cbc::new(k16))), rest, output)?);
    each(both(|| Some(Aes128Gmac::new(k16, *key.first_chunk()?)), rest, output)?);
    Some(sum)
}

/// Seals and opens packets with both ends of an SA.
fn both<S: Suite>(suite: impl Fn() -> Option<S>, payload: &[u8], room: &mut [u8]) -> Option<usize> {
    let spi = Spi::new(payload.len() as u32).ok()?;
    let width = if payload.len() & 1 == 0 { SeqWidth::Bits32 } else { SeqWidth::Extended64 };
    let (mut out, mut into) = (Outbound::new(spi, suite()?, width), Inbound::new(spi, suite()?, width));
    out.set_padding(Padding::MINIMAL.to_boundary(8).at_least(*payload.first()?).tfc_to(payload.len()));
    let _ = (out.import(payload), out.reserve(payload.len() as u32).is_ok());
    into.set_pad_check(PadCheck::LastByte);
    into.set_resync(Some(Resync { after: 3, tries: 2 }));
    let fits = out.largest_payload(room.len())?.wrapping_add(out.overhead(payload.len()).total());
    let ahead = out.counter().export_ahead(9).len();
    let mut iv = EncryptedCounterIv(Aes128Cbc::new(payload.first_chunk()?));
    let (first, second) = room.split_at_mut_checked(payload.len())?;
    let mut packet = PacketBuf::with_headroom(first, 40, payload.len()).ok()?;
    let sealed = message_length(&out.seal(&mut packet, IpProto::IPV4, &mut iv).err());
    let opened = message_length(&into.open(&mut packet).err());
    let copied = into.open_into(payload, second).is_ok();
    let (a, b) = second.split_at_mut_checked(payload.len())?;
    let slots = |bytes| PacketBuf::with_headroom(bytes, 40, payload.len()).ok();
    let mut slots = [SealSlot::new(slots(a)?, IpProto::UDP), SealSlot::new(slots(b)?, IpProto::UDP)];
    let batch = out.seal_batch(&mut slots, &mut |_: Seq, iv: &mut [u8]| iv.fill(1));
    let [a, b] = slots;
    let back = into.open_batch(&mut [OpenSlot::new(a.packet), OpenSlot::new(b.packet)]);
    let mut large = Inbound::with_window(spi, suite()?, width, ReplayWindow::<64>::starting_at(Seq::new(9)));
    let _ = (large.open(&mut packet).is_ok(), large.window_mut().import(width, payload).is_ok());
    let none = Inbound::with_window(spi, suite()?, width, NoReplay::new()).open(&mut packet).is_ok();
    Some(sealed.wrapping_add(opened).wrapping_add(usize::from(copied ^ none)).wrapping_add(batch ^ back ^ fits ^ ahead))
}

/// Returns the length of the message of an error, or 0.
fn message_length(error: &Option<impl core::fmt::Display>) -> usize {
    let mut length = Length(0);
    let _ = error.as_ref().map(|error| write!(length, "{error}"));
    length.0
}

struct Length(usize);

impl Write for Length {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.0 = self.0.wrapping_add(text.len());
        Ok(())
    }
}

fn inspect(input: &[u8]) -> Option<usize> {
    let _ = null_esp_heuristic(input);
    peek(input).ok().map(|head| head.spi as usize)
}
