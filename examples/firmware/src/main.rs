//! Small firmware of a gateway: one suite of ESP, AH, IPComp and IKE messages, each on a test vector, with the stack
//! and the instructions used.
//!
//! The image links only if no panic is reachable in it.
#![no_std]
#![no_main]

mod meter;
mod operations;

use core::fmt::{self, Write};
use core::panic::PanicInfo;

use semihosting::process;
use semihosting::sys::arm_compat::sys_writec;

unsafe extern "C" {
    /// Prevents that an image with a reachable panic links, as the symbol is undefined.
    fn a_panic_is_reachable() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: never called, as the image would not link otherwise.
    unsafe { a_panic_is_reachable() }
}

/// Console of the debugger or emulator (semihosting).
struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(sys_writec);
        Ok(())
    }
}

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    meter::start();
    let mut failed = 0u8;
    operations::all(&mut |name, run| {
        let cost = meter::measure(run);
        let outcome = if cost.right { "ok" } else { "WRONG" };
        failed |= u8::from(!cost.right);
        let _ = writeln!(Console, "{name} {outcome} stack {} instructions {}", cost.stack, cost.instructions);
    });
    for (name, octets) in operations::SIZES {
        let _ = writeln!(Console, "{name} size {octets}");
    }
    process::exit(failed.into())
}
