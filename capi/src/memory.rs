//! Conversion of C pointers to Rust references, which takes place in this module only.

use core::mem::{align_of, size_of};
use core::slice::{from_raw_parts, from_raw_parts_mut};

use crate::IpsecStatus;

/// Returns the octets at a pointer for reading.
///
/// # Safety
/// `at` is null or valid for reads of `len` octets while the slice is used.
pub(crate) unsafe fn octets<'a>(at: *const u8, len: usize) -> Result<&'a [u8], IpsecStatus> {
    match (at.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(IpsecStatus::Null),
        // SAFETY: guaranteed by the caller.
        (false, _) => Ok(unsafe { from_raw_parts(at, len) }),
    }
}

/// Returns the octets at a pointer for writing.
///
/// # Safety
/// `at` is null or valid for reads and writes of `len` octets while the slice is used, without other accesses.
pub(crate) unsafe fn octets_mut<'a>(at: *mut u8, len: usize) -> Result<&'a mut [u8], IpsecStatus> {
    match (at.is_null(), len) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(IpsecStatus::Null),
        // SAFETY: guaranteed by the caller.
        (false, _) => Ok(unsafe { from_raw_parts_mut(at, len) }),
    }
}

/// Returns a mutable reference for a pointer.
///
/// # Safety
/// `at` is null or points to a `T` that is not accessed otherwise while the reference is used.
pub(crate) unsafe fn one<'a, T>(at: *mut T) -> Result<&'a mut T, IpsecStatus> {
    // SAFETY: guaranteed by the caller.
    unsafe { at.as_mut() }.ok_or(IpsecStatus::Null)
}

/// Value in a C struct of private octets, after a mark that shows that it is initialised.
pub(crate) struct Slot<T> {
    mark: u64,
    value: T,
}

/// Mark of an initialised slot, unlike zeros and the fill patterns of memory checkers.
const MARK: u64 = 0x4950_5365_6320_5341;

/// Writes a value into a C struct without reading its former contents.
///
/// # Safety
/// `at` is null or valid for writes of a `C` that is not accessed otherwise.
pub(crate) unsafe fn put<C, T>(at: *mut C, value: T) -> Result<(), IpsecStatus> {
    const { assert!(size_of::<Slot<T>>() <= size_of::<C>() && align_of::<Slot<T>>() <= align_of::<C>()) };
    if at.is_null() {
        return Err(IpsecStatus::Null);
    }
    // SAFETY: the struct is large enough and aligned, as asserted above; the caller guarantees that it may be written.
    unsafe { at.cast::<Slot<T>>().write(Slot { mark: MARK, value }) };
    Ok(())
}

/// Returns the value in a C struct.
///
/// # Safety
/// `at` is null or points to a `C` that is filled with zeros, or that was last passed to [`put`] or [`clear`] with
/// the same `T`.
pub(crate) unsafe fn get<'a, C, T>(at: *mut C) -> Result<&'a mut T, IpsecStatus> {
    const { assert!(size_of::<Slot<T>>() <= size_of::<C>() && align_of::<Slot<T>>() <= align_of::<C>()) };
    if at.is_null() {
        return Err(IpsecStatus::Null);
    }
    // SAFETY: the slot begins with an initialised number, which is the mark or zero.
    if unsafe { (&raw const (*at.cast::<Slot<T>>()).mark).read() } != MARK {
        return Err(IpsecStatus::Uninitialised);
    }
    // SAFETY: the mark shows that there is a value; the caller guarantees that there are no other accesses.
    Ok(unsafe { &mut (*at.cast::<Slot<T>>()).value })
}

/// Drops the value, which wipes its keys, and fills the struct with zeros: moving the value may have left octets of
/// it, and of the stack, in its padding.
///
/// # Safety
/// The requirements are those of [`get`].
pub(crate) unsafe fn clear<C, T>(at: *mut C) -> Result<(), IpsecStatus> {
    // SAFETY: guaranteed by the caller.
    let value: *mut T = unsafe { get::<C, T>(at) }?;
    // SAFETY: there is a value, which is not used again because the mark is erased; the whole struct may be written.
    unsafe {
        value.drop_in_place();
        at.write_bytes(0, 1);
    }
    Ok(())
}

/// Runs `work` and returns its error, or [`IpsecStatus::Ok`].
pub(crate) fn status(work: impl FnOnce() -> Result<(), IpsecStatus>) -> IpsecStatus {
    work().err().unwrap_or(IpsecStatus::Ok)
}
