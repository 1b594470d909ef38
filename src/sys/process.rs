//! fork(2), wait(2), prctl(2) and their kin.
//!
//! # Safety
//! These calls take values, not memory, but for the out-parameters named at each block.
#![expect(unsafe_code, reason = "fork(2), waitpid(2), prctl(2)")]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// Where [`fork`] returned.
pub(crate) enum Forked {
    /// In the new process.
    Child,
    /// In the caller; the child's process id.
    Parent(i32),
}

/// fork(2).
///
/// The child of a process with several threads has only the calling one. It may go on to use the
/// allocator (glibc and musl make it usable again in a child) but must not wait for locks that
/// other threads may have held.
pub(crate) fn fork() -> io::Result<Forked> {
    // SAFETY: no memory is passed; see above for what the child may do.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid)),
    }
}

/// Ends this process at once, without the caller's `atexit` functions.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) does not return.
    unsafe { libc::_exit(code) }
}

/// What a child has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It ended with this code.
    Exited(i32),
    /// A signal ended it.
    Killed(i32),
    /// A signal stopped it.
    Stopped(i32),
    /// It goes on.
    Continued,
}

/// The next change of any child, without waiting: `None` if there is none now, `ECHILD` if there
/// are no children.
pub(crate) fn next_change() -> io::Result<Option<(i32, Change)>> {
    let options = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED | libc::__WALL;
    wait(-1, options)
}

/// Whether there are children; `ECHILD` if not. Changes nothing.
pub(crate) fn peek_children() -> io::Result<()> {
    let options = libc::WNOHANG | libc::WEXITED | libc::WNOWAIT | libc::__WALL;
    // SAFETY: all zeroes is a valid siginfo; the kernel fills it.
    let r = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_ALL, 0, &raw mut info, options)
    };
    if r == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// How child `pid` has ended, if it has; it is reaped then.
pub(crate) fn has_ended(pid: i32) -> Option<Change> {
    wait(pid, libc::WNOHANG | libc::__WALL)
        .ok()
        .flatten()
        .map(|(_, change)| change)
}

/// Waits until child `pid` has ended, and reaps it.
pub(crate) fn wait_for_end(pid: i32) -> io::Result<Change> {
    loop {
        match wait(pid, libc::__WALL) {
            Ok(Some((_, change))) => return Ok(change),
            Ok(None) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Waits until child `pid` has stopped.
///
/// # Errors
/// As for waitpid(2), or it has ended instead.
pub(crate) fn wait_for_stop(pid: i32) -> io::Result<()> {
    match wait(pid, libc::WUNTRACED)? {
        Some((_, Change::Stopped(_))) => Ok(()),
        _ => Err(io::Error::other("a child has ended")),
    }
}

fn wait(pid: i32, options: i32) -> io::Result<Option<(i32, Change)>> {
    let mut status = 0;
    let pid = loop {
        // SAFETY: the kernel writes one int at a live int.
        let changed = unsafe { libc::waitpid(pid, &raw mut status, options) };
        // A stop for a thread of ours that traces a child is nobody else's business.
        let is_job_stop = matches!(
            libc::WSTOPSIG(status),
            libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU
        );
        let is_traced = libc::WIFSTOPPED(status) && (status >> 16 != 0 || !is_job_stop);
        if changed <= 0 || !is_traced {
            break changed;
        }
    };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        _ if libc::WIFEXITED(status) => Ok(Some((pid, Change::Exited(libc::WEXITSTATUS(status))))),
        _ if libc::WIFSIGNALED(status) => Ok(Some((pid, Change::Killed(libc::WTERMSIG(status))))),
        _ if libc::WIFSTOPPED(status) => Ok(Some((pid, Change::Stopped(libc::WSTOPSIG(status))))),
        _ => Ok(Some((pid, Change::Continued))),
    }
}

/// kill(2); a process that is gone already is no error.
pub(crate) fn kill(pid: i32, signal: i32) {
    // SAFETY: two values; `pid` is a child of ours that has not been reaped, or ourselves.
    unsafe { libc::kill(pid, signal) };
}

/// Has the end of this process leave no core file, and nobody trace it without a privilege.
pub(crate) fn dump_no_core() {
    // SAFETY: values only.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
}

/// Starts a process for one piece of work as somebody else; its process id, which is the caller's to wait for.
///
/// It keeps no descriptors but `keep`, and ends when the calling thread does. It first takes on what it is to be,
/// by `enter`, then does its `work`, and ends with the code that this returns.
///
/// # Errors
/// As for fork(2).
pub(crate) fn start_helper<T>(
    keep: &[i32],
    enter: impl FnOnce() -> T,
    work: impl FnOnce(T) -> i32,
) -> io::Result<i32> {
    let parent = rustix::process::getpid().as_raw_nonzero().get();
    match fork()? {
        Forked::Parent(child) => Ok(child),
        Forked::Child => {
            be_helper_of(parent, keep);
            let entered = enter();
            // A change of ids or of the user namespace forgets it (`kernel/cred.c: commit_creds`).
            be_helper_of(parent, keep);
            exit_now(work(entered))
        }
    }
}

/// Has the calling process keep no descriptors but these, and end when the thread does that has forked it.
fn be_helper_of(parent: i32, keep: &[i32]) {
    close_all_but(0, keep);
    dump_no_core();
    // SAFETY: values only.
    let now = unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
        libc::getppid()
    };
    // It has ended before.
    if now != parent {
        exit_now(1);
    }
}

/// Whether two threads have the same descriptors (kcmp(2)); false where the kernel does not tell.
pub(crate) fn share_files(one: i32, other: i32) -> bool {
    const KCMP_FILES: i32 = 2;
    // SAFETY: values only.
    unsafe { libc::syscall(libc::SYS_kcmp, one, other, KCMP_FILES, 0, 0) == 0 }
}

/// Waits until whoever is sending a signal to a process group has sent it to all of the group.
///
/// kill(2) reads the list of processes under a lock that setpgid(2) takes for writing
/// (`kernel/signal.c: kill_something_info`, `kernel/sys.c: setpgid`). No pid is as large as this
/// one, so the call itself does nothing.
pub(crate) fn wait_for_senders() {
    // SAFETY: values only.
    unsafe { libc::setpgid(0, i32::MAX) };
}

/// Whether this process leads its session, which may be one that its pid namespace does not show.
pub(crate) fn leads_session() -> bool {
    // SAFETY: values only.
    unsafe { libc::getsid(0) == libc::getpid() }
}

/// Whether two processes are in one process group; also true if one is gone.
pub(crate) fn share_group(one: i32, other: i32) -> bool {
    // SAFETY: values only.
    let group = |pid| match unsafe { libc::getpgid(pid) } {
        -1 => None,
        group => Some(group),
    };
    match (group(one), group(other)) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    }
}

/// `brk(0, …)` with further arguments, which only a supervisor reads (see `supervisor::door`).
pub(crate) fn raw_brk(args: [u64; 4]) -> i64 {
    // SAFETY: brk(0) changes nothing; the further arguments are read only by a supervisor, which
    // treats them as an allegation. It may write to four words that one of them points to, which the
    // caller owns.
    unsafe {
        let result: i64;
        std::arch::asm!(
            "syscall",
            inlateout("rax") i64::from(crate::arch::nr::BRK) => result,
            in("rdi") 0u64,
            in("rsi") args[0],
            in("rdx") args[1],
            in("r10") args[2],
            in("r8") args[3],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
        result
    }
}

/// Closes every descriptor from `first` up but those in `keep`.
pub(crate) fn close_all_but(first: u32, keep: &[i32]) {
    let mut keep: Vec<u32> = keep
        .iter()
        .filter_map(|fd| u32::try_from(*fd).ok())
        .collect();
    keep.sort_unstable();
    let mut from = first;
    for fd in keep.into_iter().filter(|fd| *fd >= first) {
        if fd > from {
            close_range(from, fd - 1);
        }
        from = fd + 1;
    }
    close_range(from, u32::MAX);
}

/// Gives the calling thread descriptors of its own (unshare(2), `CLONE_FILES`), and those that it starts: the three
/// standard ones and `keep`, by the numbers that they have.
///
/// No owner of another descriptor may go over to these threads.
///
/// # Errors
/// `ENOMEM`.
pub(crate) fn have_own_descriptors(keep: i32) -> io::Result<()> {
    // SAFETY: values only. All that is open stays so, under the same numbers, until it is closed below.
    if unsafe { libc::unshare(libc::CLONE_FILES) } != 0 {
        return Err(io::Error::last_os_error());
    }
    close_all_but(3, &[keep]);
    Ok(())
}

fn close_range(first: u32, last: u32) {
    // SAFETY: the caller is a process of its own after fork(2), or a thread with descriptors of its own, and names
    // what it still needs, or is about to end; no owner of a closed descriptor runs in it again.
    let r = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if r == -1 {
        // Before 5.9: one by one, up to the limit.
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let end = limit
            .unwrap_or(1 << 16)
            .min(1 << 20)
            .min(u64::from(last) + 1);
        for fd in u64::from(first)..end {
            if let Ok(fd) = i32::try_from(fd) {
                // SAFETY: as above.
                unsafe { libc::close(fd) };
            }
        }
    }
}

/// A descriptor that this process was started with, as its own and close-on-exec.
///
/// # Errors
/// There is none of that number.
pub(crate) fn take_descriptor(fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: values only; the copy is new and ours alone, and nobody else in this process has been told
    // of the original.
    unsafe {
        match libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) {
            -1 => Err(io::Error::last_os_error()),
            copy => {
                libc::close(fd);
                Ok(OwnedFd::from_raw_fd(copy))
            }
        }
    }
}

/// dup2(2) of `fd` over `target`.
pub(crate) fn replace_fd(fd: i32, target: i32) {
    // SAFETY: values only; callers name descriptors of standard streams.
    unsafe { libc::dup2(fd, target) };
}

/// Where our own vDSO lies.
pub(crate) fn own_vdso() -> u64 {
    // SAFETY: getauxval(3) takes a value and returns one.
    unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) }
}

/// Whether the kernel has x32's system calls.
///
/// A filter that stands already may kill who asks, so then a child asks.
pub(crate) fn has_x32() -> bool {
    // SAFETY: values only.
    let filtered = unsafe { libc::prctl(libc::PR_GET_SECCOMP) } != 0;
    if !filtered {
        return ask_for_x32();
    }
    match fork() {
        Ok(Forked::Child) => exit_now(i32::from(ask_for_x32())),
        Ok(Forked::Parent(pid)) => matches!(wait_for_end(pid), Ok(Change::Exited(1))),
        Err(_) => false,
    }
}

fn ask_for_x32() -> bool {
    let getpid = i64::from(crate::arch::X32_BIT | crate::arch::nr::GETPID);
    // SAFETY: getpid(2) takes nothing and cannot fail where it exists.
    unsafe { libc::syscall(getpid) != -1 }
}

/// The soft `RLIMIT_LOCKS` of process `pid`.
///
/// # Errors
/// `EPERM`: it is another user's, and this process lacks `CAP_SYS_RESOURCE`. `ESRCH`: it is gone.
pub(crate) fn locks_limit(pid: i32) -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel fills a live structure, and is given none to read.
    let r = unsafe { libc::prlimit(pid, libc::RLIMIT_LOCKS, std::ptr::null(), &raw mut limit) };
    match r {
        0 => Ok(limit.rlim_cur),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets the soft `RLIMIT_LOCKS` of process `pid`.
///
/// # Errors
/// As for prlimit(2).
pub(crate) fn set_locks_limit(pid: i32, soft: u64) -> io::Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel fills a live structure, then reads it.
    let r = unsafe {
        match libc::prlimit(pid, libc::RLIMIT_LOCKS, std::ptr::null(), &raw mut limit) {
            0 => {
                limit.rlim_cur = soft.min(limit.rlim_max);
                libc::prlimit(
                    pid,
                    libc::RLIMIT_LOCKS,
                    &raw const limit,
                    std::ptr::null_mut(),
                )
            }
            error => error,
        }
    };
    match r {
        // A mark cut short would be none.
        0 if limit.rlim_cur != soft => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
