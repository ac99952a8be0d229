//! ESP, AH, IPComp and IKEv1 messages for C.
//!
//! What it is: the functions of the header `include/ipsec.h`, over the crates of this workspace. The static library comes from
//! `cargo build --release --manifest-path capi/Cargo.toml [--target thumbv7em-none-eabihf]`.
//!
//! **Ownership.** Everything belongs to the caller. An SA or a compressor is a struct of fixed size that the caller places where it likes,
//! and that `.._init` fills; it holds no pointers and may not be moved or copied from then on, as a copy would repeat its sequence
//! numbers. `.._clear` wipes its keys. Packets are changed in place: a [`IpsecPacket`] says where in a buffer one lies, and functions move its
//! ends. Nothing is kept of a pointer after the call. Nothing is allocated, and two threads may use two SAs, not one.
//!
//! **Pointers.** A null pointer is refused with [`IpsecStatus::Null`], wherever it stands. Others must be good for what they are given for:
//! that no function can check.
//!
//! **Panics.** There are none that we know of, and none that the compiler could not rule out but in dependencies that the README of the
//! workspace names. Should there be one after all, the library stops in an endless loop.
#![no_std]

mod ah;
mod algorithm;
mod esp;
mod ike;
mod ipcomp;
mod memory;
mod packet;
mod status;

pub use ah::*;
pub use algorithm::*;
pub use esp::*;
pub use ike::*;
pub use ipcomp::*;
pub use packet::*;
pub use status::*;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Asked for by what is compiled to unwind, and never called: nothing here unwinds.
#[cfg(not(target_os = "none"))]
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
