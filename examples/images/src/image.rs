//! Entry point of every image, and a panic handler that cannot be linked.

use core::panic::PanicInfo;

#[cfg(not(feature = "only-size"))]
unsafe extern "C" {
    /// Prevents that an image with a reachable panic links, as the symbol is undefined.
    fn a_panic_is_reachable() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: never called, as the image would not link otherwise.
    #[cfg(not(feature = "only-size"))]
    unsafe {
        a_panic_is_reachable()
    }
    // Images with AEADs would not link, but their size is measured nevertheless.
    #[cfg(feature = "only-size")]
    loop {}
}

/// Runs the image; `input` and `output` are arbitrary.
///
/// # Safety
/// The pointers must be valid for their lengths, and the memory areas must not overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _start(input: *const u8, len: usize, output: *mut u8, room: usize) -> usize {
    // SAFETY: guaranteed by the caller.
    unsafe { crate::run(core::slice::from_raw_parts(input, len), core::slice::from_raw_parts_mut(output, room)) }
}
