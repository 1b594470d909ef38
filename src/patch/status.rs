//! Whether a thread that meets a half-patched site is sure to reach the supervisor.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};

/// A program can be in many groups; its status is read up to here.
const LONGEST: u64 = 64 << 10;

/// When threads may meet a made-up number.
///
/// Another filter may end the program for a number that it does not know, or make up an error
/// (`SECCOMP_RET_ERRNO` comes before `SECCOMP_RET_USER_NOTIF`): container engines and sandboxes
/// have such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traps {
    /// At any time: the number reaches us.
    Always,
    /// As long as the thread waits for us: there is no other that could.
    WhileHeld,
    /// Not at all.
    Never,
}

/// When threads of the process may meet a made-up number, by its `/proc/TID/status`; `known` is how
/// many filters are known to let unknown numbers through, our own included.
#[must_use]
pub fn traps(mut status: &File, known: u64) -> Traps {
    let (mut threads, mut filters) = (None, None);
    if status.rewind().is_err() {
        return Traps::Never;
    }
    // A thread's name may be any bytes.
    for line in BufReader::new(status.take(LONGEST)).split(b'\n') {
        let Ok(line) = line else {
            return Traps::Never;
        };
        let line = String::from_utf8_lossy(&line);
        let field = |name: &str| line.strip_prefix(name)?.trim().parse::<u64>().ok();
        threads = threads.or(field("Threads:"));
        filters = filters.or(field("Seccomp_filters:"));
    }
    match (threads, filters) {
        // Kernels before 5.9 do not say how many filters there are.
        (_, Some(filters)) if filters <= known => Traps::Always,
        (Some(1), _) => Traps::WhileHeld,
        _ => Traps::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_filter_of_others_matters_only_if_there_are_other_threads() {
        let status = |text: &str| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file
        };
        let groups = "Groups:\t0 ".repeat(100);
        let of = |threads: u32, filters: u32| {
            status(&format!(
                "Name:\tx\n{groups}\nThreads:\t{threads}\nSeccomp:\t2\nSeccomp_filters:\t{filters}\n"
            ))
        };
        assert_eq!(traps(&of(1, 3), 1), Traps::WhileHeld);
        assert_eq!(traps(&of(9, 1), 1), Traps::Always);
        assert_eq!(traps(&of(9, 2), 1), Traps::Never);
        assert_eq!(traps(&of(9, 2), 2), Traps::Always);
        assert_eq!(
            traps(&status("Threads:\t2\nSeccomp:\t2\n"), 1),
            Traps::Never
        );
        assert_eq!(
            traps(&status("Threads:\t1\nSeccomp:\t2\n"), 1),
            Traps::WhileHeld
        );
        // A process that is gone.
        assert_eq!(traps(&status(""), 1), Traps::Never);
    }
}
