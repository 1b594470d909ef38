//! A thread that is held in a notified call or in a stop, and its memory.

use std::cell::OnceCell;
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{Mode, OFlags, openat};

use super::ahead::Ahead;
use super::{Opener, maps};
use crate::sys::memory::{self, Plain, bytes_of, from_bytes};
use crate::sys::ptrace::Stopped;
use crate::sys::seccomp;

/// An address that a program gave: an allegation until it has been read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GuestPtr<T> {
    address: u64,
    of: PhantomData<T>,
}

impl<T> GuestPtr<T> {
    pub(crate) fn new(address: u64) -> Self {
        Self {
            address,
            of: PhantomData,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        self.address == 0
    }
}

/// Why a program's memory could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The thread is not in the call any more.
    Gone,
    /// We lack the permission.
    Denied,
    /// The kernel would have said `EFAULT`.
    Address,
}

/// What makes a thread id go on meaning the same thread.
enum Hold<'a> {
    /// The thread waits in a notified call; whether it still does can be asked.
    Call { listener: BorrowedFd<'a>, id: u64 },
    /// It is ours to reap, so that nobody else can have its id.
    Stop(PhantomData<&'a Stopped>),
}

/// A thread that waits for us.
pub(crate) struct Task<'a> {
    hold: Hold<'a>,
    proc: BorrowedFd<'a>,
    tid: i32,
    /// Who opens the memory, if not this process.
    opener: Option<&'a Opener>,
    mem: OnceCell<File>,
    ahead: Option<Ahead>,
}

impl<'a> Task<'a> {
    /// The thread that waits in the call of notification `id`.
    pub(crate) fn new(
        listener: BorrowedFd<'a>,
        proc: BorrowedFd<'a>,
        id: u64,
        tid: i32,
        opener: Option<&'a Opener>,
    ) -> Self {
        Self {
            hold: Hold::Call { listener, id },
            proc,
            tid,
            opener,
            mem: OnceCell::new(),
            ahead: None,
        }
    }

    /// A thread that is stopped for us.
    pub(crate) fn stopped(stopped: &'a Stopped, proc: BorrowedFd<'a>) -> Self {
        Self {
            hold: Hold::Stop(PhantomData),
            proc,
            tid: stopped.tid(),
            opener: None,
            mem: OnceCell::new(),
            ahead: None,
        }
    }

    /// A thread that somebody else keeps from running and from ending, but by SIGKILL.
    pub(crate) fn frozen(tid: i32, proc: BorrowedFd<'a>) -> Self {
        Self {
            hold: Hold::Stop(PhantomData),
            proc,
            tid,
            opener: None,
            mem: OnceCell::new(),
            ahead: None,
        }
    }

    /// The thread's id as this process sees it; 0 if it lies outside of its pid namespace.
    pub(crate) fn tid(&self) -> i32 {
        self.tid
    }

    /// Whether this process itself may try to open the memory or a descriptor: elsewhere Yama would
    /// refuse and write a line to the kernel's log (`security/yama/yama_lsm.c: report_access`).
    pub(crate) fn is_open_to_us(&self) -> bool {
        self.opener.is_none()
    }

    /// Whether the thread still waits for us: what was learnt by its id is true if so.
    pub(crate) fn is_waiting(&self) -> bool {
        match self.hold {
            Hold::Call { listener, id } => seccomp::is_valid(listener, id),
            // Killed at worst, and then its memory cannot be opened.
            Hold::Stop(_) => true,
        }
    }

    /// Reads places that are asked for later, all in one call.
    ///
    /// Whoever asks for one of just these places gets what was there now, and is to ask by
    /// [`is_waiting`](Self::is_waiting) whether it was the thread's.
    pub(crate) fn read_ahead(&mut self, places: impl IntoIterator<Item = (u64, usize)>) {
        if self.is_open_to_us() {
            self.ahead = Some(Ahead::read(self.tid, places));
        }
    }

    /// Opens `/proc/TID/name`; call [`is_waiting`](Self::is_waiting) before using it.
    pub(crate) fn open(&self, name: &str, write: bool) -> io::Result<File> {
        open(self.proc, self.tid, name, write)
    }

    /// Whether the memory is open already.
    pub(super) fn has_mem(&self) -> bool {
        self.mem.get().is_some()
    }

    /// The memory as it is now, held even if the thread ends: opened, and only then checked.
    pub(crate) fn mem(&self) -> Result<&File, Fault> {
        if let Some(mem) = self.mem.get() {
            return Ok(mem);
        }
        let mem = match self.opener {
            Some(opener) => opener.open_mem(self.tid),
            None => self.open("mem", true),
        };
        if !self.is_waiting() {
            return Err(Fault::Gone);
        }
        let mem = mem.map_err(|_| Fault::Denied)?;
        Ok(self.mem.get_or_init(|| mem))
    }

    /// The memory, if it was opened: closing it takes a while.
    pub(crate) fn into_mem(self) -> Option<File> {
        self.mem.into_inner()
    }

    /// Reads a value of the program's; whether the call still waits is checked after it.
    pub(crate) fn read<T: Plain>(&self, from: GuestPtr<T>) -> Result<T, Fault> {
        let mut bytes = vec![0; size_of::<T>()];
        self.read_bytes(GuestPtr::new(from.address), &mut bytes)?;
        from_bytes(&bytes).ok_or(Fault::Address)
    }

    /// Reads bytes that the program itself can read; all of them, or none.
    pub(crate) fn read_bytes(&self, from: GuestPtr<u8>, into: &mut [u8]) -> Result<(), Fault> {
        if self.read_by_pid(from.address, into)? {
            return Ok(());
        }
        let mem = self.mem()?;
        self.check(from.address, into.len(), maps::Access::Read)?;
        mem.read_exact_at(into, from.address)
            .map_err(|_| Fault::Address)?;
        match self.is_waiting() {
            true => Ok(()),
            false => Err(Fault::Gone),
        }
    }

    /// Reads bytes whatever their protection is, such as code.
    pub(crate) fn peek(&self, at: u64, into: &mut [u8]) -> Result<(), Fault> {
        if self.read_by_pid(at, into)? {
            return Ok(());
        }
        let read = self.mem()?.read_exact_at(into, at);
        if !self.is_waiting() {
            return Err(Fault::Gone);
        }
        read.map_err(|_| Fault::Address)
    }

    /// Whether all of it could be read without opening anything, which costs less than half; only
    /// what the program itself can read can be.
    fn read_by_pid(&self, from: u64, into: &mut [u8]) -> Result<bool, Fault> {
        if self.copy_ahead(from, into) {
            return Ok(true);
        }
        if !self.is_open_to_us() || memory::read_by_pid(self.tid, from, into).is_none() {
            return Ok(false);
        }
        match self.is_waiting() {
            true => Ok(true),
            false => Err(Fault::Gone),
        }
    }

    /// Reads what lies at an address in the memory of whoever has the thread's id now.
    pub(super) fn glance(&self, at: u64, into: &mut [u8]) -> Option<()> {
        match self.copy_ahead(at, into) {
            true => Some(()),
            false => memory::read_by_pid(self.tid, at, into),
        }
    }

    fn copy_ahead(&self, at: u64, into: &mut [u8]) -> bool {
        let ahead = self.ahead.as_ref();
        match ahead.and_then(|ahead| ahead.get(at, into.len())) {
            Some(bytes) => into.copy_from_slice(bytes),
            None => return false,
        }
        true
    }

    /// Writes a value into the program's memory, where the program itself could have.
    pub(crate) fn write<T: Plain>(&self, to: GuestPtr<T>, value: &T) -> Result<(), Fault> {
        let bytes = bytes_of(value);
        let mem = self.mem()?;
        self.check(to.address, bytes.len(), maps::Access::Write)?;
        mem.write_all_at(bytes, to.address)
            .map_err(|_| Fault::Address)
    }

    /// The same for bytes.
    pub(crate) fn write_bytes(&self, to: GuestPtr<u8>, bytes: &[u8]) -> Result<(), Fault> {
        let mem = self.mem()?;
        self.check(to.address, bytes.len(), maps::Access::Write)?;
        mem.write_all_at(bytes, to.address)
            .map_err(|_| Fault::Address)
    }

    /// `/proc/PID/mem` disregards the pages' protection (FOLL_FORCE), the program's own call would
    /// not: look first.
    fn check(&self, address: u64, len: usize, access: maps::Access) -> Result<(), Fault> {
        let map = self.open("maps", false).map_err(|_| Fault::Denied)?;
        if !self.is_waiting() {
            return Err(Fault::Gone);
        }
        let end = address.checked_add(len as u64).ok_or(Fault::Address)?;
        if maps::allows(&map, address, end, access) {
            Ok(())
        } else {
            Err(Fault::Address)
        }
    }
}

/// Opens `/proc/TID/name`, without an allocation: every program that starts waits for this.
pub(super) fn open(proc: BorrowedFd<'_>, tid: i32, name: &str, write: bool) -> io::Result<File> {
    let access = if write { OFlags::RDWR } else { OFlags::RDONLY };
    let mut path = [0; 32];
    write!(&mut path[..], "{tid}/{name}")?;
    let path = CStr::from_bytes_until_nul(&path).map_err(io::Error::other)?;
    let fd = openat(proc, path, access | OFlags::CLOEXEC, Mode::empty())?;
    Ok(File::from(fd))
}
