//! What every image has: a beginning, and a panic handler that cannot be linked.

use core::panic::PanicInfo;

#[cfg(not(feature = "only-size"))]
unsafe extern "C" {
    /// Defined nowhere: an image that could get here does not link.
    fn a_panic_is_reachable() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: never called, as the image would not have linked.
    #[cfg(not(feature = "only-size"))]
    unsafe {
        a_panic_is_reachable()
    }
    // With the AEADs it would not: their size is of interest all the same.
    #[cfg(feature = "only-size")]
    loop {}
}

/// The whole program: `input` and `output` are anything.
///
/// # Safety
/// Both pointers must be good for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _start(input: *const u8, len: usize, output: *mut u8, room: usize) -> usize {
    // SAFETY: the caller's promise.
    unsafe { crate::run(core::slice::from_raw_parts(input, len), core::slice::from_raw_parts_mut(output, room)) }
}
