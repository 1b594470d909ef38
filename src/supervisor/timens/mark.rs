//! What is written on a process: its namespaces.
//!
//! It has to outlive exec(2), be copied by fork(2), and be written and read from outside, without a
//! privilege. `RLIMIT_LOCKS` does all that: Linux has not looked at it since 2.4.25 (getrlimit(2)). A
//! process that sets this limit itself is in its tree's own namespace from its next exec(2) on.
//!
//! What is read here is an allegation: it names a record, which knows a few random bits of each of its
//! marks, and tells nobody's clocks but the process's own.
//!
//! DIFFERENCE: Linux keeps both namespaces a thread, this one a process: the children of all
//! threads of a process that has called unshare(2) are in the new namespace.

use crate::sys::process;

/// The namespaces of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Mark {
    /// Its own.
    pub(in super::super) own: u64,
    /// Its children's.
    pub(in super::super) children: u64,
    /// The process that was marked, since its children are marked too.
    pub(in super::super) pid: i32,
    /// Of the children's namespace.
    pub(in super::super) nonce: u32,
}

/// The upper six bits of a mark, which no limit that anybody sets has.
const MAGIC: u64 = 0b10_1001;

/// Bits of a namespace's number, a pid and a nonce.
const ID: u32 = 12;
const PID: u32 = 22;
const NONCE: u32 = 12;
const _: () = assert!(6 + 2 * ID + PID + NONCE == u64::BITS);

/// The bits of a nonce.
pub(super) const NONCE_MASK: u32 = (1 << NONCE) - 1;

impl Mark {
    /// The mark of process `pid`, which may be a zombie.
    pub(in super::super) fn of(pid: i32) -> Option<Self> {
        let word = match process::locks_limit(pid) {
            // Another user's: prlimit(2) takes CAP_SYS_RESOURCE, the file does not.
            Err(e) if e.raw_os_error() == Some(libc::EPERM) => shown_limit(pid)?,
            limit => limit.ok()?,
        };
        Self::from_word(word)
    }

    /// Marks the process that it names.
    ///
    /// # Errors
    /// `EPERM`: it belongs to another user. `EINVAL`: somebody has lowered the hard limit. `ESRCH`.
    pub(in super::super) fn set(&self) -> std::io::Result<()> {
        self.set_on(self.pid)
    }

    /// Marks process `pid`, which need not be the one that it names.
    pub(super) fn set_on(&self, pid: i32) -> std::io::Result<()> {
        process::set_locks_limit(pid, self.word())
    }

    /// Takes the mark off process `pid`.
    pub(in super::super) fn clear(pid: i32) -> std::io::Result<()> {
        process::set_locks_limit(pid, u64::MAX)
    }

    fn word(&self) -> u64 {
        let pid = u64::from(self.pid.cast_unsigned()) & ((1 << PID) - 1);
        let low = pid << NONCE | u64::from(self.nonce & NONCE_MASK);
        ((MAGIC << ID | self.own) << ID | self.children) << (PID + NONCE) | low
    }

    fn from_word(word: u64) -> Option<Self> {
        let bits = |from: u32, count: u32| word >> from & ((1 << count) - 1);
        (word >> 58 == MAGIC).then_some(())?;
        Some(Self {
            own: bits(PID + NONCE + ID, ID),
            children: bits(PID + NONCE, ID),
            pid: i32::try_from(bits(NONCE, PID)).ok()?,
            nonce: u32::try_from(bits(0, NONCE)).ok()?,
        })
    }
}

/// Takes the mark off a process whose tree is no more, if it has one.
pub(crate) fn forget_namespaces(pid: i32) {
    if Mark::of(pid).is_some() {
        // A mark that stays names nothing that its new supervisor knows.
        let _ = Mark::clear(pid);
    }
}

/// The soft limit as `/proc/PID/limits` shows it.
fn shown_limit(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("Max file locks "))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

/// Whether process `pid` of a tree is in a namespace that a program has made itself.
pub(crate) fn has_namespace_of_its_own(pid: i32) -> bool {
    let Some(mark) = Mark::of(pid) else {
        return false;
    };
    match mark.pid == pid {
        true => mark.own != 0,
        false => mark.children != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_and_no_usual_limit_is_one() {
        let mark = Mark {
            own: 65,
            children: 1088,
            pid: 4_194_303,
            nonce: NONCE_MASK,
        };
        assert_eq!(Mark::from_word(mark.word()), Some(mark));
        for limit in [0, 1024, 1 << 40, i64::MAX.cast_unsigned(), u64::MAX] {
            assert_eq!(Mark::from_word(limit), None, "{limit:#x}");
        }
    }

    #[test]
    fn a_mark_is_set_from_outside_and_inherited() {
        let mut child = std::process::Command::new("sleep")
            .arg("9")
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let mark = Mark {
            own: 0,
            children: 70,
            pid,
            nonce: 5,
        };
        assert_eq!(Mark::of(pid), None);
        mark.set().unwrap();
        assert_eq!(Mark::of(pid), Some(mark));
        assert_eq!(shown_limit(pid), Some(mark.word()));
        Mark::clear(pid).unwrap();
        assert_eq!(Mark::of(pid), None);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(Mark::of(pid), None);
    }
}
