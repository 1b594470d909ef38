//! A thread's rights over files: user, groups and capabilities, taken on by a thread of ours for a
//! while.
//!
//! # Safety
//! The system calls take values, and change the calling thread only.
#![expect(unsafe_code, reason = "setfsuid(2), setfsgid(2)")]

use std::ffi::CString;
use std::io;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;

use rustix::fs::readlinkat;
use rustix::process::Gid;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities, set_thread_groups};

/// What a thread may do with files, with ids as this process sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rights {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    /// In this process's user namespace.
    capabilities: u64,
}

/// The rights of a thread of ours.
pub(crate) struct Own {
    rights: Rights,
    /// Its user namespace.
    namespace: CString,
}

impl Own {
    /// Those of the calling thread.
    pub(crate) fn read(proc: BorrowedFd<'_>) -> Option<Self> {
        let tid = rustix::thread::gettid().as_raw_nonzero().get();
        Some(Self {
            rights: parse(&std::fs::read_to_string("/proc/thread-self/status").ok()?)?,
            namespace: namespace(proc, tid)?,
        })
    }

    /// Those of thread `tid`, whose `/proc/TID/status` is given; `None` if it is gone.
    pub(crate) fn of(&self, proc: BorrowedFd<'_>, tid: i32, status: &str) -> Option<Rights> {
        let mut rights = parse(status)?;
        // Elsewhere they are good for what belongs to that namespace only.
        if namespace(proc, tid)? != self.namespace {
            rights.capabilities = 0;
        }
        Some(rights)
    }
}

fn namespace(proc: BorrowedFd<'_>, tid: i32) -> Option<CString> {
    readlinkat(proc, format!("{tid}/ns/user"), Vec::new()).ok()
}

impl Rights {
    /// Those of the thread whose `/proc/TID/status` is given, in its own user namespace.
    pub(crate) fn there(status: &str) -> Option<Self> {
        parse(status)
    }

    /// Gives the calling thread the user and the groups, for good; ids that it has need no privilege.
    ///
    /// # Errors
    /// `EPERM`: they are another user's, or another group's, and this thread may not have them.
    pub(crate) fn take_on_ids(&self) -> io::Result<()> {
        let now = parse(&std::fs::read_to_string("/proc/thread-self/status")?)
            .ok_or(io::ErrorKind::InvalidData)?;
        if self.groups != now.groups {
            set_groups(&self.groups)?;
        }
        if (self.uid, self.gid) != (now.uid, now.gid) {
            set_file_ids(self.uid, self.gid)?;
        }
        Ok(())
    }

    /// Gives the calling thread the capabilities, as far as it has them, for good.
    pub(crate) fn take_on_capabilities(&self) -> io::Result<()> {
        set_effective(self.capabilities)
    }

    /// Gives the calling thread these rights instead of its `own`, as far as it may.
    ///
    /// # Errors
    /// `EPERM`: they are another user's, or another group's, and this thread may not have them.
    pub(crate) fn take_on<'a>(&self, own: &'a Own) -> io::Result<Taken<'a>> {
        let own = &own.rights;
        let mut taken = Taken {
            own,
            groups: false,
            ids: false,
            capabilities: false,
            thread: PhantomData,
        };
        if self.groups != own.groups {
            set_groups(&self.groups)?;
            taken.groups = true;
        }
        if (self.uid, self.gid) != (own.uid, own.gid) {
            // Also before it may fail by half.
            taken.ids = true;
            set_file_ids(self.uid, self.gid)?;
        }
        // A change of the user changes them too.
        if taken.ids || self.capabilities & own.capabilities != own.capabilities {
            taken.capabilities = true;
            set_effective(own.capabilities & self.capabilities)?;
        }
        Ok(taken)
    }
}

/// The rights of another, until this is dropped.
#[must_use]
pub(crate) struct Taken<'a> {
    own: &'a Rights,
    /// What is to be given back.
    groups: bool,
    ids: bool,
    capabilities: bool,
    /// They are a thread's.
    thread: PhantomData<*const ()>,
}

impl Taken<'_> {
    fn give_back(&self) -> io::Result<()> {
        if self.capabilities {
            set_effective(self.own.capabilities)?;
        }
        if self.ids {
            set_file_ids(self.own.uid, self.own.gid)?;
            // As they were before the last call.
            set_effective(self.own.capabilities)?;
        }
        match self.groups {
            true => set_groups(&self.own.groups),
            false => Ok(()),
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if self.give_back().is_err() {
            // A thread with other rights than its process's is good for nothing.
            super::process::exit_now(1);
        }
    }
}

fn set_effective(wanted: u64) -> io::Result<()> {
    let mut sets = capabilities(None)?;
    sets.effective = CapabilitySet::from_bits_retain(wanted) & sets.permitted;
    Ok(set_capabilities(None, sets)?)
}

fn set_groups(groups: &[u32]) -> io::Result<()> {
    let groups: Vec<Gid> = groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    Ok(set_thread_groups(&groups)?)
}

fn set_file_ids(uid: u32, gid: u32) -> io::Result<()> {
    // They return what was there before, and fail silently: so each is asked twice.
    // SAFETY: values only.
    let [gid_now, uid_now] = unsafe {
        [(libc::SYS_setfsgid, gid), (libc::SYS_setfsuid, uid)].map(|(number, id)| {
            libc::syscall(number, id);
            libc::syscall(number, id)
        })
    };
    match gid_now == i64::from(gid) && uid_now == i64::from(uid) {
        true => Ok(()),
        false => Err(io::Error::from_raw_os_error(libc::EPERM)),
    }
}

/// What proc_pid_status(5) says of a thread's rights.
fn parse(text: &str) -> Option<Rights> {
    let line = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    // Real, effective, saved, and the one that counts for files.
    let file_id = |key: &str| line(key)?.split_whitespace().nth(3)?.parse().ok();
    let groups = line("Groups:")?.split_whitespace();
    Some(Rights {
        uid: file_id("Uid:")?,
        gid: file_id("Gid:")?,
        groups: groups.map(|id| id.parse().ok()).collect::<Option<_>>()?,
        capabilities: u64::from_str_radix(line("CapEff:")?.trim(), 16).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn the_ids_for_files_are_the_last_of_four() {
        let text = "Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t9 10 \nCapEff:\t00000000000000ff\n";
        let rights = parse(text).unwrap();
        assert_eq!((rights.uid, rights.gid, rights.capabilities), (4, 8, 0xff));
        assert_eq!(rights.groups, [9, 10]);
    }

    #[test]
    fn what_a_thread_has_taken_on_it_gives_back() {
        let proc = std::fs::File::open("/proc").unwrap();
        let now = || Own::read(proc.as_fd()).unwrap();
        let own = now();
        let lesser = Rights {
            capabilities: 0,
            ..own.rights.clone()
        };
        let taken = lesser.take_on(&own).unwrap();
        assert_eq!(now().rights, lesser);
        drop(taken);
        assert_eq!(now().rights, own.rights);
    }
}
