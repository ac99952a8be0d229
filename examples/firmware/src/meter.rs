//! Measures the stack of an operation by filling it with a pattern, and its instructions by the clock of the emulator.

use core::arch::asm;
use core::hint::black_box;

use crate::operations::Run;

/// Cost and result of one operation.
pub struct Cost {
    /// The operation gave the expected result.
    pub right: bool,
    /// Stack use in bytes.
    pub stack: usize,
    /// Number of executed instructions.
    pub instructions: u32,
}

/// Size of the filled area in bytes, and the maximum stack use that can be measured.
const FILLED: usize = 5 * 1024;
const PATTERN: u32 = 0x5ac3_5ac3;

/// Measures an operation, less its preparation, which is measured separately.
#[inline(never)]
pub fn measure(run: &mut Run<'_>) -> Cost {
    let mut right = true;
    let mut once = |go| right &= black_box(&mut *run)(go);
    let stack = stack_use(&mut || once(true)).wrapping_sub(stack_use(&mut || once(false)));
    let ticks = ticks_of(&mut || once(true)).wrapping_sub(ticks_of(&mut || once(false)));
    Cost { right, stack, instructions: instructions(ticks) }
}

#[inline(never)]
fn stack_use(run: &mut dyn FnMut()) -> usize {
    let top = stack_pointer() & !3;
    let bottom = top.wrapping_sub(FILLED);
    let mut at = bottom;
    while at < top {
        // SAFETY: the memory is unused stack below the stack pointer, as this loop calls no function.
        unsafe { (at as *mut u32).write_volatile(PATTERN) };
        at = at.wrapping_add(4);
    }
    run();
    let mut at = bottom;
    // SAFETY: as above.
    while at < top && unsafe { (at as *const u32).read_volatile() } == PATTERN {
        at = at.wrapping_add(4);
    }
    top.wrapping_sub(at)
}

#[inline(never)]
fn ticks_of(run: &mut dyn FnMut()) -> u32 {
    let before = ticks();
    run();
    elapsed(before, ticks())
}

#[inline(always)]
fn stack_pointer() -> usize {
    let sp: usize;
    // SAFETY: the instruction only reads a register.
    unsafe {
        #[cfg(target_arch = "arm")]
        asm!("mov {}, sp", out(reg) sp, options(nomem, nostack));
        #[cfg(target_arch = "riscv32")]
        asm!("mv {}, sp", out(reg) sp, options(nomem, nostack));
    }
    sp
}

/// SysTick registers (ARMv7-M section B3.3): control, reload and current value.
#[cfg(target_arch = "arm")]
const SYSTICK: *mut u32 = 0xe000_e010 as *mut u32;

/// Starts the clock, which counts down.
pub fn start() {
    #[cfg(target_arch = "arm")]
    // SAFETY: nothing else in this image uses the timer.
    unsafe {
        SYSTICK.add(1).write_volatile(0x00ff_ffff);
        SYSTICK.add(2).write_volatile(0);
        SYSTICK.write_volatile(0b101);
    }
}

#[cfg(target_arch = "arm")]
fn ticks() -> u32 {
    // SAFETY: the register may be read at any time.
    unsafe { SYSTICK.add(2).read_volatile() }
}

/// Returns the ticks between two readings of the clock, which counts down in 24 bits.
#[cfg(target_arch = "arm")]
fn elapsed(before: u32, after: u32) -> u32 {
    before.wrapping_sub(after) & 0x00ff_ffff
}

/// Converts ticks to instructions. An instruction takes 64 ns in the emulator; the clock of mps2-an386 has 25 MHz,
/// that of microbit 16 MHz.
#[cfg(target_arch = "arm")]
fn instructions(ticks: u32) -> u32 {
    if cfg!(nrf51) { ticks.wrapping_mul(125) >> 7 } else { ticks.wrapping_mul(5) >> 3 }
}

#[cfg(target_arch = "riscv32")]
fn ticks() -> u32 {
    let instructions: u32;
    // SAFETY: the instruction only reads a counter.
    unsafe { asm!("csrr {}, minstret", out(reg) instructions, options(nomem, nostack)) };
    instructions
}

#[cfg(target_arch = "riscv32")]
fn elapsed(before: u32, after: u32) -> u32 {
    after.wrapping_sub(before)
}

#[cfg(target_arch = "riscv32")]
fn instructions(ticks: u32) -> u32 {
    ticks >> 6 // an instruction takes 64 ns in the emulator, and the clock has 1 GHz
}
