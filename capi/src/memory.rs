//! C's pointers as Rust's references: the only place where one becomes the other.

use core::mem::{align_of, size_of};
use core::slice::{from_raw_parts, from_raw_parts_mut};

use crate::IpsecStatus;

/// So many octets to read.
///
/// # Safety
/// A pointer that is not null is good for `len` octets while the slice is used.
pub(crate) unsafe fn octets<'a>(at: *const u8, len: usize) -> Result<&'a [u8], IpsecStatus> {
    match (at.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(IpsecStatus::Null),
        // SAFETY: the caller's promise.
        (false, _) => Ok(unsafe { from_raw_parts(at, len) }),
    }
}

/// So many octets to write.
///
/// # Safety
/// As [`octets`], and nobody else uses them.
pub(crate) unsafe fn octets_mut<'a>(at: *mut u8, len: usize) -> Result<&'a mut [u8], IpsecStatus> {
    match (at.is_null(), len) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(IpsecStatus::Null),
        // SAFETY: the caller's promise.
        (false, _) => Ok(unsafe { from_raw_parts_mut(at, len) }),
    }
}

/// What a pointer points to.
///
/// # Safety
/// A pointer that is not null points to a `T`, which nobody else uses meanwhile.
pub(crate) unsafe fn one<'a, T>(at: *mut T) -> Result<&'a mut T, IpsecStatus> {
    // SAFETY: the caller's promise.
    unsafe { at.as_mut() }.ok_or(IpsecStatus::Null)
}

/// A value in memory that C placed and knows only the size of: a mark, and then the value.
pub(crate) struct Slot<T> {
    mark: u64,
    value: T,
}

/// Neither zeros nor what memory is filled with for tests.
const MARK: u64 = 0x4950_5365_6320_5341;

/// Puts a value into a struct of C, whatever was in it.
///
/// # Safety
/// A pointer that is not null is good for writing a whole `C`, which nobody else uses.
pub(crate) unsafe fn put<C, T>(at: *mut C, value: T) -> Result<(), IpsecStatus> {
    const { assert!(size_of::<Slot<T>>() <= size_of::<C>() && align_of::<Slot<T>>() <= align_of::<C>()) };
    if at.is_null() {
        return Err(IpsecStatus::Null);
    }
    // SAFETY: it is large enough and aligned, as asserted above, and may be written.
    unsafe { at.cast::<Slot<T>>().write(Slot { mark: MARK, value }) };
    Ok(())
}

/// The value in a struct of C.
///
/// # Safety
/// A pointer that is not null points to a `C` that is zero, or that [`put`] or [`clear`] were given last, with the same `T`.
pub(crate) unsafe fn get<'a, C, T>(at: *mut C) -> Result<&'a mut T, IpsecStatus> {
    const { assert!(size_of::<Slot<T>>() <= size_of::<C>() && align_of::<Slot<T>>() <= align_of::<C>()) };
    if at.is_null() {
        return Err(IpsecStatus::Null);
    }
    // SAFETY: there is a number at the beginning of the slot, be it a mark or zero.
    if unsafe { (&raw const (*at.cast::<Slot<T>>()).mark).read() } != MARK {
        return Err(IpsecStatus::Uninitialised);
    }
    // SAFETY: the mark says that there is a value, and the caller that nobody else uses it.
    Ok(unsafe { &mut (*at.cast::<Slot<T>>()).value })
}

/// Drops the value, which wipes its keys, and fills the struct with zeros: moving a value may have left octets of it, and of the stack, in the
/// gaps.
///
/// # Safety
/// As [`get`].
pub(crate) unsafe fn clear<C, T>(at: *mut C) -> Result<(), IpsecStatus> {
    // SAFETY: the caller's promise.
    let value: *mut T = unsafe { get::<C, T>(at) }?;
    // SAFETY: there is a value, and without the mark nobody will take it for one again; all of it may be written.
    unsafe {
        value.drop_in_place();
        at.write_bytes(0, 1);
    }
    Ok(())
}

/// A block of work that may end early, as the status it ends with.
pub(crate) fn status(work: impl FnOnce() -> Result<(), IpsecStatus>) -> IpsecStatus {
    work().err().unwrap_or(IpsecStatus::Ok)
}
