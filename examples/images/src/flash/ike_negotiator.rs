//! Size of a negotiator: main mode, quick mode, informational exchanges in both roles. The group arithmetic is that of
//! the host, and not included.
#![no_std]
#![no_main]

#[path = "../image.rs"]
mod image;
#[path = "../negotiator_host.rs"]
mod negotiator_host;

use negotiator_host::{InputHost, negotiator, text};

fn run(input: &[u8], output: &mut [u8]) -> usize {
    let mut negotiator = negotiator(input);
    let (datagram, out) = output.split_at_mut_checked(input.len()).unwrap_or_default();
    InputHost::new(input).drive(&mut negotiator, datagram, out, text)
}
