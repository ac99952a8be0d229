//! Size of a negotiator with one suite that reports failures without their texts. With the feature `modp`, group 14 is
//! part of it. The memory of the negotiator and of its parts is that of the statics.
#![no_std]
#![no_main]

#[path = "../image.rs"]
mod image;
#[path = "../negotiator_host.rs"]
mod negotiator_host;

use core::sync::atomic::AtomicU8;

use ike_v1::Negotiator;
use negotiator_host::{Firmware, InputHost, negotiator};

/// Memory of a type, as a static whose size is read from the image.
macro_rules! memory {
    ($($name:ident: $octets:expr,)*) => {
        $(
            #[used]
            #[unsafe(no_mangle)]
            static $name: [AtomicU8; $octets] = [const { AtomicU8::new(0) }; $octets];
        )*
    };
}

/// Memory of a negotiator without slots.
const EMPTY: usize = size_of::<Negotiator<0, 0, 0, 0>>();

memory! {
    MEMORY_NEGOTIATOR_FIRMWARE: size_of::<Firmware>(),
    MEMORY_NEGOTIATOR_EMPTY: EMPTY,
    MEMORY_NEGOTIATOR_ISAKMP_SA: size_of::<Negotiator<1, 0, 0, 0>>() - EMPTY,
    MEMORY_NEGOTIATOR_EXCHANGE: size_of::<Negotiator<0, 1, 0, 0>>() - EMPTY,
    MEMORY_NEGOTIATOR_PAIR: size_of::<Negotiator<0, 0, 1, 0>>() - EMPTY,
}

fn run(input: &[u8], output: &mut [u8]) -> usize {
    let mut negotiator = negotiator(input);
    let (datagram, out) = output.split_at_mut_checked(input.len()).unwrap_or_default();
    InputHost::new(input).drive(&mut negotiator, datagram, out, |failure| usize::from(failure.hint.is_some()))
}
