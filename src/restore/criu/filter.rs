//! A filter of ours for a restored process, and its listener.

use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::call::Caller;
use crate::Error;
use crate::arch::nr;
use crate::filter::{self, Rules, Shifted};
use crate::sys::process;

/// `seccomp(2)`.
const SET_MODE_FILTER: u64 = libc::SECCOMP_SET_MODE_FILTER as u64;
/// All threads get it, or the call fails with `ESRCH`.
const ALL_THREADS: u64 = 1 | 1 << 4;
const NEW_LISTENER: u64 = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
const SPEC_ALLOW: u64 = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
const WAIT_KILLABLE_RECV: u64 = libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;

/// `struct sock_fprog`: its length, and behind it the program itself.
const HEAD: usize = 16;

/// Puts a filter over all threads of process `pid`, or over the calling one alone, which makes its system
/// calls at `at`.
///
/// # Errors
/// `ESRCH`: the threads have different filters, so that each must get one of its own.
pub(super) fn attach(
    pid: i32,
    caller: &mut Caller,
    at: u64,
    all_threads: bool,
) -> io::Result<OwnedFd> {
    let program = filter::program(Rules {
        // DIFFERENCE: a strict tree is not strict any more when it has been restored.
        strict: false,
        x32: process::has_x32(),
        shifted: Shifted::ANY,
        timens: true,
        views: true,
    });
    let len = HEAD + 8 * program.len();
    let place = caller.memory(at, len)?;
    let attached = put(caller, place, &program).and_then(|()| set(caller, at, place, all_threads));
    caller.let_go_of_memory(at, place, len)?;
    let number = attached?;
    let listener = take(pid, number);
    caller.call(at, nr::CLOSE, [number, 0, 0, 0, 0, 0])?;
    listener
}

/// What failed, for people.
pub(super) fn failed(pid: i32, error: io::Error) -> Error {
    Error::os(
        format!("cannot put a seccomp filter over process {pid}"),
        error,
    )
}

fn put(caller: &Caller, place: u64, program: &[libc::sock_filter]) -> io::Result<()> {
    let invalid = |_| io::Error::from_raw_os_error(libc::EINVAL);
    let mut bytes = vec![0; HEAD];
    bytes[..2].copy_from_slice(&u16::try_from(program.len()).map_err(invalid)?.to_le_bytes());
    bytes[8..].copy_from_slice(&(place + HEAD as u64).to_le_bytes());
    for one in program {
        bytes.extend(one.code.to_le_bytes());
        bytes.extend([one.jt, one.jf]);
        bytes.extend(one.k.to_le_bytes());
    }
    caller.write(place, &bytes)
}

/// The number of the listener's descriptor in the process.
fn set(caller: &mut Caller, at: u64, place: u64, all_threads: bool) -> io::Result<u64> {
    let threads = if all_threads { ALL_THREADS } else { 0 };
    let mut flags = NEW_LISTENER | SPEC_ALLOW | WAIT_KILLABLE_RECV | threads;
    let mut may_gain = true;
    loop {
        let args = [SET_MODE_FILTER, flags, place, 0, 0, 0];
        match caller.call(at, nr::SECCOMP, args) {
            // Before 5.19.
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) && flags & WAIT_KILLABLE_RECV != 0 => {
                flags &= !WAIT_KILLABLE_RECV;
            }
            // DIFFERENCE: a process without a privilege cannot gain any by exec(2) any more.
            Err(e) if e.raw_os_error() == Some(libc::EACCES) && may_gain => {
                let no_new_privs = u64::from(libc::PR_SET_NO_NEW_PRIVS.cast_unsigned());
                caller.call(at, nr::PRCTL, [no_new_privs, 1, 0, 0, 0, 0])?;
                may_gain = false;
            }
            other => return other,
        }
    }
}

/// The descriptor `number` of a process.
fn take(pid: i32, number: u64) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    let number = i32::try_from(number).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    Ok(pidfd_getfd(&pidfd, number, PidfdGetfdFlags::empty())?)
}
