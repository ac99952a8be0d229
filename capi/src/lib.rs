//! ESP, AH, IPComp and IKEv1 messages for C: a static library, and its header `include/ipsec.h`.
//!
//! `cargo build --release --manifest-path capi/Cargo.toml [--target thumbv7em-none-eabihf]` builds the library;
//! `capi/README.md` shows how to link it.
//!
//! **Ownership.** All memory is the caller's. An SA or a compressor is a struct of fixed size that `.._init` fills.
//! It contains no pointers, and must not be moved or copied after initialisation: a copy would repeat sequence
//! numbers. `.._clear` wipes its keys. Packets are processed in place: an [`IpsecPacket`] has the position of a
//! packet in a buffer, and the functions move its start and end. The library keeps no pointer after a call and does
//! not allocate. Two threads must not use one SA at the same time; they may use different SAs.
//!
//! **Pointers.** A null pointer is refused with [`IpsecStatus::Null`], except for an empty buffer or key and the
//! visitor of [`ipsec_ike_parse`]. Other pointers must be valid, which no function can check.
//!
//! **Panics.** No panic is known, and the compiler rules panics out except in dependencies that the README of the
//! workspace names. If one occurs, the library stops in an endless loop.
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

/// Defines a symbol to which code compiled for unwinding refers. It is never called: this library does not unwind.
#[cfg(not(target_os = "none"))]
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
