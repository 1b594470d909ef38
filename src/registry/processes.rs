//! The processes as `/proc/PID/status` has them.
//!
//! That file is read and none that shows a process's memory, as its command line does: a process can
//! make those that read its memory wait for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use crate::{Error, Result};

/// No status file is longer, but for its last line, which nobody here needs.
const MOST_BYTES: u64 = 8192;

/// The deepest chain of ancestors that is followed.
const DEEPEST: usize = 1 << 15;

/// A process that is no zombie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) parent: i32,
    /// Its effective user.
    pub(super) user: u32,
    /// The seccomp filters above it; `None` before Linux 5.9.
    pub(super) filters: Option<u32>,
    /// The program's name, as the kernel has it: anything, in 15 bytes.
    pub(super) name: String,
}

/// All processes at about one time.
#[derive(Debug)]
pub(super) struct Table(BTreeMap<i32, Process>);

impl Table {
    /// # Errors
    /// `/proc` cannot be read.
    pub(super) fn read() -> Result<Self> {
        let entries = std::fs::read_dir("/proc")
            .map_err(|e| Error::os("cannot read `/proc`", e).with_way_out("mount proc(5) there"))?;
        let pids = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|pid| Some((pid, read(pid)?)));
        let mut table = Self(pids.collect());
        table.mend();
        Ok(table)
    }

    /// Looks again at those whose parent has ended meanwhile: they have another one now.
    fn mend(&mut self) {
        let mut last = Vec::new();
        for _ in 0..10 {
            let is_lost = |p: &&Process| p.parent != 0 && !self.0.contains_key(&p.parent);
            let lost: Vec<_> = self.0.values().filter(is_lost).cloned().collect();
            // Some parents are not to be seen at all (proc(5): `hidepid`).
            if lost == last {
                return;
            }
            for process in &lost {
                match read(process.pid) {
                    Some(process) => self.0.insert(process.pid, process),
                    None => self.0.remove(&process.pid),
                };
            }
            last = lost;
        }
    }

    pub(super) fn get(&self, pid: i32) -> Option<&Process> {
        self.0.get(&pid)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Process> {
        self.0.values()
    }

    /// The users that have processes.
    pub(super) fn users(&self) -> BTreeSet<u32> {
        self.0.values().map(|process| process.user).collect()
    }

    /// A process and its ancestors, nearest first.
    pub(super) fn chain(&self, pid: i32) -> impl Iterator<Item = &Process> {
        std::iter::successors(self.get(pid), |process| self.get(process.parent)).take(DEEPEST)
    }
}

/// When process `pid` was started, in the kernel's ticks (field 22 of proc_pid_stat(5)); `None` if it is
/// gone.
pub(crate) fn started(pid: i32) -> Option<u64> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    // The name in field 2 may hold anything.
    let (_, tail) = text.rsplit_once(") ")?;
    tail.split(' ').nth(19)?.parse().ok()
}

/// This process.
pub(super) fn this() -> Option<Process> {
    read(rustix::process::getpid().as_raw_nonzero().get())
}

fn read(pid: i32) -> Option<Process> {
    let file = std::fs::File::open(format!("/proc/{pid}/status")).ok()?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
    parse(pid, &String::from_utf8_lossy(&bytes))
}

fn parse(pid: i32, text: &str) -> Option<Process> {
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    let state = value("State:\t")?;
    if state.starts_with(['Z', 'X']) {
        return None;
    }
    Some(Process {
        pid,
        parent: value("PPid:\t")?.parse().ok()?,
        user: value("Uid:\t")?.split('\t').nth(1)?.parse().ok()?,
        filters: value("Seccomp_filters:\t").and_then(|count| count.trim().parse().ok()),
        name: value("Name:\t")?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_stand_for_another_line() {
        // The kernel writes a line end in a name as `\n`.
        let text = "Name:\tx\\nPPid:\t1\nState:\tS (sleeping)\nPPid:\t7\nUid:\t1000\t0\t1\t1\n\
                    Seccomp:\t2\nSeccomp_filters:\t3\n";
        let process = parse(42, text).unwrap();
        assert_eq!((process.pid, process.parent, process.user), (42, 7, 0));
        assert_eq!(process.filters, Some(3));
        assert_eq!(process.name, "x\\nPPid:\t1");
    }

    #[test]
    fn this_process_is_below_its_parent() {
        let table = Table::read().unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        let parent = i32::try_from(std::os::unix::process::parent_id()).unwrap();
        assert!(table.chain(me).any(|process| process.pid == parent));
        assert!(!table.chain(parent).any(|process| process.pid == me));
    }
}
