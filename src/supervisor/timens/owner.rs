//! The user namespace that owns a time namespace, and who has capabilities there.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, fstat, openat, statat};

use crate::supervisor::{namespaces, status};
use crate::sys::namespace;

/// The deepest nesting that is followed; Linux allows 32 levels.
pub(super) const DEPTH: usize = 33;

/// A user namespace and its ancestors, nearest first, by their inode numbers; 0 behind the last.
///
/// Those above this process's own cannot be seen, and nobody who is there is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Owner(pub(super) [u64; DEPTH]);

impl Default for Owner {
    fn default() -> Self {
        Self([0; DEPTH])
    }
}

impl Owner {
    /// The user namespace that thread `tid` (a number, or `self`) is in.
    pub(in super::super) fn of(proc: BorrowedFd<'_>, tid: &str) -> Option<Self> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let mut fd = openat(proc, format!("{tid}/ns/user"), flags, Mode::empty()).ok()?;
        let mut owner = Self::default();
        for place in &mut owner.0 {
            *place = fstat(&fd).ok()?.st_ino;
            match namespace::parent(fd.as_fd()) {
                Ok(parent) => fd = parent,
                Err(_) => break,
            }
        }
        Some(owner)
    }

    /// A descriptor of this user namespace for thread `tid`, whose credentials are `to`.
    ///
    /// DIFFERENCE: there is none of one in which no process is, nor in one below it.
    ///
    /// # Errors
    /// `EPERM`: it is neither the thread's own nor below it (`fs/nsfs.c: ns_ioctl`,
    /// `kernel/user_namespace.c: ns_get_owner`). `ENOENT`: nobody is there.
    pub(in super::super) fn open(
        &self,
        proc: BorrowedFd<'_>,
        tid: i32,
        to: &Credentials,
    ) -> Result<OwnedFd, i32> {
        if !self.0.contains(&to.user_namespace) {
            return Err(libc::EPERM);
        }
        let [wanted, ..] = self.0;
        let others = namespaces::processes(proc).ok_or(libc::ENOENT)?;
        std::iter::once(tid)
            .chain(others)
            .find_map(|pid| at_or_above(proc, pid, wanted))
            .ok_or(libc::ENOENT)
    }

    /// Whether thread `tid` has `capability` in this user namespace (`kernel/user_namespace.c`,
    /// `security/commoncap.c: cap_capable`).
    ///
    /// DIFFERENCE: who has made a user namespace, and is outside, has no capability in it here.
    pub(in super::super) fn grants(&self, to: &Credentials, capability: u32) -> bool {
        to.effective >> capability & 1 != 0 && self.0.contains(&to.user_namespace)
    }
}

/// The user namespace with this inode number, if process `pid` is in it or below it.
pub(super) fn at_or_above(proc: BorrowedFd<'_>, pid: i32, wanted: u64) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let mut fd = openat(proc, format!("{pid}/ns/user"), flags, Mode::empty()).ok()?;
    for _ in 0..DEPTH {
        if fstat(&fd).ok()?.st_ino == wanted {
            return Some(fd);
        }
        fd = namespace::parent(fd.as_fd()).ok()?;
    }
    None
}

/// The capabilities of a thread, and where it has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Credentials {
    /// Its inode number.
    user_namespace: u64,
    effective: u64,
}

impl Credentials {
    /// As two numbers.
    pub(in super::super) fn to_words(self) -> [u64; 2] {
        [self.user_namespace, self.effective]
    }

    /// From those.
    pub(in super::super) fn from_words([user_namespace, effective]: [u64; 2]) -> Self {
        Self {
            user_namespace,
            effective,
        }
    }

    /// Those of thread `tid`; `None` if it is gone, or not to be looked at.
    pub(in super::super) fn of(proc: BorrowedFd<'_>, tid: i32) -> Option<Self> {
        Some(Self {
            user_namespace: statat(proc, format!("{tid}/ns/user"), AtFlags::empty())
                .ok()?
                .st_ino,
            effective: status::effective(proc, tid)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_process_has_in_its_own_user_namespace_what_the_kernel_says() {
        use rustix::thread::{CapabilitySet, capabilities};
        let proc = File::open("/proc").unwrap();
        let tid = rustix::thread::gettid().as_raw_nonzero().get();
        let own = Owner::of(proc.as_fd(), "self").unwrap();
        assert_ne!(own, Owner::default());
        let effective = capabilities(None).unwrap().effective;
        let credentials = Credentials::of(proc.as_fd(), tid).unwrap();
        for capability in 0..40 {
            let has = effective.contains(CapabilitySet::from_bits_retain(1 << capability));
            assert_eq!(own.grants(&credentials, capability), has);
        }
        assert!(!Owner::default().grants(&credentials, 0));
    }
}
