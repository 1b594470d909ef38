//! The steps that a worker takes to put an image in place, taken here on a program that has just
//! been started, so that the worker need not carry a stop-watch.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{Mode, OFlags, openat};

use super::arch::counter;
use super::exec::Launcher;
use super::program::Program;
use super::reader::ticks_since;
use crate::ClockOffsets;
use crate::image::Image;
use crate::sys::process;

/// The steps in their order, as `inject` takes them: stable names, and what they are.
pub(super) const STEPS: [(&str, &str); 5] = [
    ("auxv", "reading where its vDSO is"),
    ("open", "opening its memory"),
    ("read", "reading the end of its vDSO"),
    ("write", "writing the image"),
    ("close", "closing its memory"),
];

/// Takes the steps.
pub(super) struct Surgeon {
    patient: Launcher,
    proc: OwnedFd,
    image: Vec<u8>,
    image_at: u64,
    tail_at: u64,
    tail: Vec<u8>,
}

impl Surgeon {
    pub(super) fn new() -> io::Result<Self> {
        let composed = Image::compose()?;
        let image = composed.patch(&ClockOffsets::default(), 0)?;
        let changed = composed.changed();
        let tail_at = composed.page_at() & !4095;
        Ok(Self {
            patient: Launcher::of(Program::Stopping.file()?),
            proc: rustix::fs::open("/proc", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?,
            tail: vec![0; changed.end - tail_at],
            tail_at: tail_at as u64,
            image: image[changed.clone()].to_vec(),
            image_at: changed.start as u64,
        })
    }

    /// Ticks of each step.
    pub(super) fn operate(&mut self) -> io::Result<[f64; STEPS.len()]> {
        let pid = self.patient.run_until_stopped()?;
        let times = self.steps(pid);
        process::kill(pid, libc::SIGKILL);
        process::wait_for_end(pid)?;
        times
    }

    fn steps(&mut self, pid: i32) -> io::Result<[f64; STEPS.len()]> {
        let mut times = [0.0; STEPS.len()];
        let mut start = counter();
        let mut lap = |i: usize| {
            times[i] = ticks_since(start);
            start = counter();
        };
        let mut bytes = [0; 1024];
        let auxv = self.open(pid, "auxv", OFlags::RDONLY)?;
        let len = rustix::io::pread(&auxv, &mut bytes, 0)?;
        let base = base(&bytes[..len]).ok_or(io::ErrorKind::NotFound)?;
        drop(auxv);
        lap(0);
        let mem = self.open(pid, "mem", OFlags::RDWR)?;
        lap(1);
        mem.read_exact_at(&mut self.tail, base + self.tail_at)?;
        lap(2);
        mem.write_all_at(&self.image, base + self.image_at)?;
        lap(3);
        drop(mem);
        lap(4);
        Ok(times)
    }

    fn open(&self, pid: i32, name: &str, access: OFlags) -> io::Result<File> {
        let path = format!("{pid}/{name}");
        let fd = openat(&self.proc, path, access | OFlags::CLOEXEC, Mode::empty())?;
        Ok(File::from(fd))
    }
}

/// `AT_SYSINFO_EHDR`.
fn base(auxv: &[u8]) -> Option<u64> {
    auxv.chunks_exact(16)
        .find(|pair| pair[..8] == libc::AT_SYSINFO_EHDR.to_le_bytes())
        .and_then(|pair| Some(u64::from_le_bytes(pair[8..].try_into().ok()?)))
}
