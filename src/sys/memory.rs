//! Another process's memory: process_vm_readv(2), process_vm_writev(2), and plain values as bytes.
//!
//! # Safety
//! Buffers are live slices; [`Plain`] types hold no padding that matters and no invalid patterns.
#![expect(
    unsafe_code,
    reason = "process_vm_readv(2), process_vm_writev(2); values as bytes"
)]

use std::mem::{MaybeUninit, size_of};

/// Types that are right for any pattern of bits.
///
/// # Safety
/// No padding, no references, no invalid values.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: integers and structures of integers without padding.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for u64 {}
// SAFETY: as above.
unsafe impl Plain for i64 {}
// SAFETY: two 64-bit integers.
unsafe impl Plain for libc::timespec {}
// SAFETY: two 64-bit integers.
unsafe impl Plain for libc::timeval {}
// SAFETY: arrays have no padding of their own.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}
// SAFETY: as for u32.
unsafe impl Plain for i32 {}

/// The bytes of a plain value.
pub(crate) fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: `T` is plain, so all its bytes are initialised, and the slice borrows `value`.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// A plain value from its bytes.
pub(crate) fn from_bytes<T: Plain>(bytes: &[u8]) -> Option<T> {
    if bytes.len() != size_of::<T>() {
        return None;
    }
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: exactly `size_of::<T>()` bytes are copied, and any pattern is a `T`.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), value.as_mut_ptr().cast(), bytes.len());
        Some(value.assume_init())
    }
}

/// process_vm_readv(2) of one range; `None` unless all of it could be read.
///
/// The result belongs to whoever has the pid *now*: check the notification's id afterwards.
pub(crate) fn read_by_pid(pid: i32, address: u64, into: &mut [u8]) -> Option<()> {
    let local = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    let remote = libc::iovec {
        iov_base: usize::try_from(address).ok()? as *mut libc::c_void,
        iov_len: into.len(),
    };
    // SAFETY: the kernel writes only into `into`; the remote address is checked by the kernel.
    let n = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    (usize::try_from(n).ok()? == into.len()).then_some(())
}

/// process_vm_readv(2) of several places, one behind the other into `into`; how many bytes could be
/// read, up to the first place that could not.
///
/// As [`read_by_pid`].
pub(crate) fn read_places_by_pid<const N: usize>(
    pid: i32,
    places: &[(u64, usize); N],
    into: &mut [u8],
) -> usize {
    let local = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    let remote = places.map(|(address, len)| libc::iovec {
        iov_base: usize::try_from(address).unwrap_or(0) as *mut libc::c_void,
        iov_len: len,
    });
    // SAFETY: as in `read_by_pid`; the kernel reads N live structures.
    let n = unsafe {
        let (local, remote) = (&raw const local, remote.as_ptr());
        libc::process_vm_readv(pid, local, 1, remote, N as libc::c_ulong, 0)
    };
    usize::try_from(n).unwrap_or(0)
}

/// process_vm_writev(2) of one range, which the process itself could write; `None` unless all of it was
/// written. `pid` must be known to mean the process.
pub(crate) fn write_by_pid(pid: i32, address: u64, bytes: &[u8]) -> Option<()> {
    let local = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let remote = libc::iovec {
        iov_base: usize::try_from(address).ok()? as *mut libc::c_void,
        iov_len: bytes.len(),
    };
    // SAFETY: the kernel only reads `bytes`; the remote address is checked by the kernel.
    let n = unsafe { libc::process_vm_writev(pid, &raw const local, 1, &raw const remote, 1, 0) };
    (usize::try_from(n).ok()? == bytes.len()).then_some(())
}
