//! Who is at the other end of a UNIX socket.
//!
//! rustix's type for it has no value for a peer that is not to be seen in this pid namespace.
#![expect(unsafe_code, reason = "getsockopt(2) with SO_PEERCRED")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// A peer, as it was when it connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// 0 if it is not to be seen in this pid namespace.
    pub(crate) pid: i32,
    pub(crate) user: u32,
}

/// The peer of a connected socket.
///
/// # Errors
/// As for getsockopt(2).
pub(crate) fn peer(socket: BorrowedFd<'_>) -> io::Result<Peer> {
    let mut found = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut size = libc::socklen_t::try_from(size_of::<libc::ucred>()).map_err(io::Error::other)?;
    // SAFETY: both pointers are to live variables, and `size` is that of `found`, plain numbers.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &raw mut size,
        )
    };
    match result {
        0 => Ok(Peer {
            pid: found.pid,
            user: found.uid,
        }),
        _ => Err(io::Error::last_os_error()),
    }
}
