//! One structure in memory that processes forked later share.
//!
//! # Safety
//! The mapping is made once, zeroed by the kernel, and never unmapped, so references to it live
//! as long as the process; it holds only atomics and cells whose one user is named at the cell.
#![expect(unsafe_code, reason = "mmap(2) of a shared structure")]

use std::io;
use std::mem::size_of;

use std::os::fd::BorrowedFd;

use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous};

/// Types whose all-zero pattern is a value, and which several processes may hold at once.
///
/// # Safety
/// All zeroes must be valid, and every field must be fit for use from several processes.
pub(crate) unsafe trait Shared {}

/// Maps a `T` that is a file's contents: whoever maps the file shares it. The file is at least as long
/// as a `T`, and what was not written of it is zero.
pub(crate) fn map_file<T: Shared>(file: BorrowedFd<'_>) -> io::Result<&'static T> {
    let prot = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping, aligned to a page, of a file that its owner's programs alone write to, all by
    // this type's rules; `T: Shared` is valid when zeroed, and nothing ever unmaps it.
    unsafe {
        let address = mmap(
            std::ptr::null_mut(),
            size_of::<T>(),
            prot,
            MapFlags::SHARED,
            file,
            0,
        )?;
        Ok(&*address.cast::<T>())
    }
}

/// Maps a zeroed `T` that this process and its future children share.
pub(crate) fn map<T: Shared>() -> io::Result<&'static T> {
    let flags = MapFlags::SHARED;
    let prot = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new anonymous mapping, which the kernel zeroes and aligns to a page; `T: Shared`
    // is valid when zeroed, and nothing ever unmaps it.
    unsafe {
        let address = mmap_anonymous(std::ptr::null_mut(), size_of::<T>(), prot, flags)?;
        Ok(&*address.cast::<T>())
    }
}
