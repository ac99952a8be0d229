//! What a piece of code takes: stack, by painting it first, and instructions, by the emulator's clock.

use core::arch::asm;
use core::hint::black_box;

use crate::operations::Run;

/// What one run took.
pub struct Cost {
    /// What it said of itself.
    pub right: bool,
    /// Octets of stack below the caller's.
    pub stack: usize,
    /// Instructions.
    pub instructions: u32,
}

/// Octets that are painted, and the most that can be seen.
const PAINTED: usize = 5 * 1024;
const PAINT: u32 = 0x5ac3_5ac3;

/// Runs it on painted stack, and against the clock; and each time once more only until it is ready.
#[inline(never)]
pub fn measure(run: &mut Run<'_>) -> Cost {
    let mut right = true;
    let mut once = |go| right &= black_box(&mut *run)(go);
    let stack = on_paint(&mut || once(true)).wrapping_sub(on_paint(&mut || once(false)));
    let ticks = ticks_of(&mut || once(true)).wrapping_sub(ticks_of(&mut || once(false)));
    Cost { right, stack, instructions: instructions(ticks) }
}

#[inline(never)]
fn on_paint(run: &mut dyn FnMut()) -> usize {
    let top = stack_pointer() & !3;
    let bottom = top.wrapping_sub(PAINTED);
    let mut at = bottom;
    while at < top {
        // SAFETY: below the stack pointer, where nothing lives, as this loop calls nothing; the memory is the stack's.
        unsafe { (at as *mut u32).write_volatile(PAINT) };
        at = at.wrapping_add(4);
    }
    run();
    let mut at = bottom;
    // SAFETY: as above.
    while at < top && unsafe { (at as *const u32).read_volatile() } == PAINT {
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
    // SAFETY: it only reads a register.
    unsafe {
        #[cfg(target_arch = "arm")]
        asm!("mov {}, sp", out(reg) sp, options(nomem, nostack));
        #[cfg(target_arch = "riscv32")]
        asm!("mv {}, sp", out(reg) sp, options(nomem, nostack));
    }
    sp
}

/// SysTick (ARMv7-M B3.3): control, reload and current value.
#[cfg(target_arch = "arm")]
const SYSTICK: *mut u32 = 0xe000_e010 as *mut u32;

/// Starts the clock.
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
    // SAFETY: a register that may be read at any time.
    unsafe { SYSTICK.add(2).read_volatile() }
}

/// It counts down, in 24 bits.
#[cfg(target_arch = "arm")]
fn elapsed(before: u32, after: u32) -> u32 {
    before.wrapping_sub(after) & 0x00ff_ffff
}

/// An instruction takes 64 ns there. The clock of mps2-an386 has 25 MHz, that of microbit 16 MHz.
#[cfg(target_arch = "arm")]
fn instructions(ticks: u32) -> u32 {
    if cfg!(nrf51) { ticks.wrapping_mul(125) >> 7 } else { ticks.wrapping_mul(5) >> 3 }
}

#[cfg(target_arch = "riscv32")]
fn ticks() -> u32 {
    let instructions: u32;
    // SAFETY: it only reads a counter.
    unsafe { asm!("csrr {}, minstret", out(reg) instructions, options(nomem, nostack)) };
    instructions
}

#[cfg(target_arch = "riscv32")]
fn elapsed(before: u32, after: u32) -> u32 {
    after.wrapping_sub(before)
}

#[cfg(target_arch = "riscv32")]
fn instructions(ticks: u32) -> u32 {
    ticks >> 6 // an instruction takes 64 ns, and the machine has a clock of 1 GHz
}
