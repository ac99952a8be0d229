//! Image of the negotiator of `ike-v1` with arbitrary datagrams and answers of its host, the texts of failures
//! included.
#![no_std]
#![no_main]

mod image;
mod negotiator_host;

use negotiator_host::{InputHost, negotiator, text};

fn run(input: &[u8], output: &mut [u8]) -> usize {
    let mut negotiator = negotiator(input);
    let (datagram, out) = output.split_at_mut_checked(input.len()).unwrap_or_default();
    let mut sum = 0;
    for rest in input.chunks(64) {
        sum = InputHost::new(rest).drive(&mut negotiator, datagram, out, text).wrapping_add(sum);
    }
    sum
}
