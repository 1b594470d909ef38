//! What `/proc/TID/status` tells of a thread's signals and capabilities.

use std::os::fd::BorrowedFd;

use rustix::fs::readlinkat;

use super::lines;

/// Which signals wait for a thread that does not block them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signals {
    /// One that this very thread takes, as soon as it can.
    pub(super) own: bool,
    /// One that any thread of the process may take.
    pub(super) shared: bool,
}

/// The signals of thread `tid`; `None` if it is gone.
pub(super) fn signals(proc: BorrowedFd<'_>, tid: i32) -> Option<Signals> {
    let keys = ["SigPnd:", "ShdPnd:", "SigBlk:"];
    let mut threads = None;
    let [own, shared, blocked] = masks(proc, tid, keys, |line| {
        if let Some(value) = lines::value(line, "Threads:") {
            threads = value.parse::<u32>().ok();
        }
    })?;
    let (own, shared) = (own & !blocked != 0, shared & !blocked != 0);
    let is_alone = threads == Some(1);
    Some(Signals {
        own: own || shared && is_alone,
        shared: shared && !is_alone,
    })
}

/// Whether a signal waits for process `pid`, blocked or not; false if the process is gone.
pub(super) fn is_pending(proc: BorrowedFd<'_>, pid: i32, signal: i32) -> bool {
    let keys = ["SigPnd:", "ShdPnd:"];
    masks(proc, pid, keys, |_| {})
        .is_some_and(|[own, shared]| (own | shared) >> (signal - 1) & 1 != 0)
}

/// Whether the thread has a capability in the user namespace of this process; `None` if it is gone.
pub(super) fn has_capability(proc: BorrowedFd<'_>, tid: i32, capability: u32) -> Option<bool> {
    let effective = effective(proc, tid)?;
    let namespace = |of: &str| readlinkat(proc, format!("{of}/ns/user"), Vec::new()).ok();
    let is_ours = namespace(&tid.to_string()) == namespace("self");
    Some(is_ours && effective >> capability & 1 != 0)
}

/// How many threads process `pid` has; `None` if it is gone.
pub(super) fn threads(proc: BorrowedFd<'_>, pid: i32) -> Option<u32> {
    let mut threads = None;
    lines::read(proc, &format!("{pid}/status"), |line| {
        threads = lines::value(line, "Threads:").and_then(|value| value.parse().ok());
        threads.is_some()
    })
    .ok()?;
    threads
}

/// The real user of a thread; `None` if it is gone.
pub(super) fn user(proc: BorrowedFd<'_>, tid: i32) -> Option<u32> {
    let mut user = None;
    lines::read(proc, &format!("{tid}/status"), |line| {
        let ids = lines::value(line, "Uid:");
        user = ids.and_then(|ids| ids.split_whitespace().next()?.parse().ok());
        user.is_some()
    })
    .ok()?;
    user
}

/// Whether process `pid` has a seccomp filter (`SECCOMP_MODE_FILTER`).
pub(super) fn has_filter(proc: BorrowedFd<'_>, pid: i32) -> bool {
    let mut has_filter = false;
    let read = lines::read(proc, &format!("{pid}/status"), |line| {
        let mode = lines::value(line, "Seccomp:");
        has_filter = mode == Some("2");
        mode.is_some()
    });
    read.is_ok() && has_filter
}

/// The effective user of a thread, as this process's user namespace numbers it; `None` if it is gone.
pub(super) fn effective_user(proc: BorrowedFd<'_>, tid: i32) -> Option<u32> {
    let mut uid = None;
    lines::read(proc, &format!("{tid}/status"), |line| {
        uid = lines::value(line, "Uid:")
            .and_then(|value| value.split_whitespace().nth(1)?.parse().ok());
        uid.is_some()
    })
    .ok()?;
    uid
}

/// The effective capabilities of a thread, in its own user namespace; `None` if it is gone.
pub(super) fn effective(proc: BorrowedFd<'_>, tid: i32) -> Option<u64> {
    masks(proc, tid, ["CapEff:"], |_| {}).map(|[effective]| effective)
}

/// Hexadecimal numbers, in the file's order; `others` is shown the lines before the last.
fn masks<const N: usize>(
    proc: BorrowedFd<'_>,
    tid: i32,
    keys: [&str; N],
    mut others: impl FnMut(&[u8]),
) -> Option<[u64; N]> {
    let mut masks = [0; N];
    let mut found = 0;
    let read = lines::read(proc, &format!("{tid}/status"), |line| {
        others(line);
        if let Some(value) = lines::value(line, keys[found]) {
            masks[found] = u64::from_str_radix(value, 16).unwrap_or(0);
            found += 1;
        }
        found == N
    });
    (read.ok()? == lines::End::Found).then_some(masks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn a_thread_without_signals_has_none_and_no_thread_says_nothing() {
        let proc = File::open("/proc").unwrap();
        let tid = rustix::thread::gettid().as_raw_nonzero().get();
        let none = Signals {
            own: false,
            shared: false,
        };
        assert_eq!(signals(proc.as_fd(), tid), Some(none));
        assert_eq!(signals(proc.as_fd(), i32::MAX), None);
        assert_eq!(has_capability(proc.as_fd(), i32::MAX, 0), None);
    }

    #[test]
    fn a_thread_has_the_capabilities_that_the_kernel_says_it_has() {
        use rustix::thread::{CapabilitySet, capabilities};
        let proc = File::open("/proc").unwrap();
        let tid = rustix::thread::gettid().as_raw_nonzero().get();
        let effective = capabilities(None).unwrap().effective;
        for capability in 0..40 {
            let has = effective.contains(CapabilitySet::from_bits_retain(1 << capability));
            assert_eq!(has_capability(proc.as_fd(), tid, capability), Some(has));
        }
    }
}
