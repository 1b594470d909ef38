//! Memories of programs that were given their image just now, held open: a program's first absolute
//! wait, which writes its gate, comes a moment later, and opening a memory takes a tenth of it.
//!
//! Such a descriptor keeps neither the program nor its pages. After an execve(2) or the process's end nothing
//! can be written through it (`fs/proc/base.c: mem_rw`), unless another process shares the old memory.

use std::fs::File;
use std::os::fd::AsRawFd;

use rustix::process::{Resource, getrlimit};

/// How many are held.
const PLACES: usize = 16;

/// A program's memory.
struct Memory {
    tid: i32,
    /// Where its image is.
    base: u64,
    file: File,
}

/// The memories of the last programs, each by the low bits of its thread's id.
pub(super) struct Memories {
    places: [Option<Memory>; PLACES],
    /// The first descriptor that is not to be held: what is left is for all else.
    limit: u64,
}

impl Memories {
    pub(super) fn new() -> Self {
        let limit = getrlimit(Resource::Nofile).current;
        Self {
            places: Default::default(),
            limit: limit.unwrap_or(u64::MAX) / 2,
        }
    }

    pub(super) fn hold(&mut self, tid: i32, base: u64, file: File) {
        let is_low = u64::try_from(file.as_raw_fd()).is_ok_and(|fd| fd < self.limit);
        self.places[place_of(tid)] = is_low.then_some(Memory { tid, base, file });
    }

    /// The memory in which this thread had an image at `base`; it need not be the one that it has now.
    pub(super) fn get(&self, tid: i32, base: u64) -> Option<&File> {
        let memory = self.places[place_of(tid)].as_ref()?;
        (memory.tid == tid && memory.base == base).then_some(&memory.file)
    }
}

fn place_of(tid: i32) -> usize {
    usize::try_from(tid).unwrap_or(0) % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> File {
        File::open("/proc/self/mem").unwrap()
    }

    #[test]
    fn a_memory_is_that_of_its_thread_and_image() {
        let mut memories = Memories::new();
        memories.hold(7, 4096, memory());
        assert!(memories.get(7, 4096).is_some());
        assert!(memories.get(7, 8192).is_none());
        assert!(memories.get(7 + 16, 4096).is_none());
        memories.hold(7 + 16, 4096, memory());
        assert!(memories.get(7, 4096).is_none());
        assert!(memories.get(-1, 4096).is_none());
    }

    #[test]
    fn the_upper_half_of_the_descriptors_is_left_alone() {
        let mut memories = Memories::new();
        let file = memory();
        memories.limit = u64::try_from(file.as_raw_fd()).unwrap();
        memories.hold(7, 4096, file);
        assert!(memories.get(7, 4096).is_none());
    }
}
