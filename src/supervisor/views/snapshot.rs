//! A text as it was at one moment, as a descriptor.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    MemfdFlags, Mode, OFlags, SealFlags, fchmod, fcntl_add_seals, memfd_create, openat,
};

/// A file with this text, open for reading; nobody can change it.
pub(super) fn file(proc: BorrowedFd<'_>, name: &str, text: &[u8]) -> Option<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(memfd_create(name, flags).ok()?);
    file.write_all(text).ok()?;
    fchmod(&file, Mode::from_raw_mode(0o444)).ok()?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&file, seals).ok()?;
    let path = format!("thread-self/fd/{}", file.as_raw_fd());
    openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()
}
