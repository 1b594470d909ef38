//! Whether a thread that meets a half-patched site is sure to reach the supervisor.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};

/// A program can be in many groups; its status is read up to here.
const LONGEST: u64 = 64 << 10;

/// Whether no thread of the process but the one that waits for us can meet a made-up number, or else
/// that number reaches us.
///
/// `status` is its `/proc/TID/status`. Another filter may end the program for a number that it does not
/// know, or make up an error (`SECCOMP_RET_ERRNO` comes before `SECCOMP_RET_USER_NOTIF`): container
/// engines and sandboxes have such. `known` is how many filters are known to let unknown numbers
/// through, our own included.
#[must_use]
pub fn may_trap(mut status: &File, known: u64) -> bool {
    let (mut threads, mut filters) = (None, None);
    if status.rewind().is_err() {
        return false;
    }
    for line in BufReader::new(status.take(LONGEST)).lines() {
        let Ok(line) = line else {
            return false;
        };
        let field = |name: &str| line.strip_prefix(name)?.trim().parse::<u64>().ok();
        threads = threads.or(field("Threads:"));
        filters = filters.or(field("Seccomp_filters:"));
    }
    threads == Some(1) || filters.is_some_and(|filters| filters <= known)
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
        assert!(may_trap(&of(1, 3), 1));
        assert!(may_trap(&of(9, 1), 1));
        assert!(!may_trap(&of(9, 2), 1));
        assert!(may_trap(&of(9, 2), 2));
        // Kernels before 5.9 do not tell.
        assert!(!may_trap(&status("Threads:\t2\nSeccomp:\t2\n"), 1));
        assert!(!may_trap(&status(""), 1));
        // A process that is gone.
        assert!(!may_trap(&File::open("/dev/null").unwrap(), 1));
    }
}
