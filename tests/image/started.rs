//! A process that has had the image from before its first instruction.
#![expect(unsafe_code, reason = "ptrace(2)")]

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::{env, ptr};

use elsewhen::ClockOffsets;
use elsewhen::image::Image;

use crate::clocks::{call, offsets, raw};
use crate::placed::{ClockGettime, INSIDE, child, test_name};
use crate::skips::skipped;
use crate::ways::all;

/// Runs `name` in a child that has had the image from before its first instruction.
fn run_from_the_start(name: &str, image: &Image, offsets: &ClockOffsets) {
    let mut command = child(name);
    // SAFETY: only a system call between fork and exec.
    unsafe {
        command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let mut child = command.spawn().unwrap();
    let pid = child.id();
    // SAFETY: waits for the stop that exec makes, with a null status.
    unsafe { libc::waitpid(pid.cast_signed(), ptr::null_mut(), 0) };
    let auxv = fs::read(format!("/proc/{pid}/auxv")).unwrap();
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    let base = auxv
        .chunks_exact(16)
        .find_map(|pair| (word(&pair[..8]) == libc::AT_SYSINFO_EHDR).then(|| word(&pair[8..])));
    let memory = OpenOptions::new()
        .write(true)
        .open(format!("/proc/{pid}/mem"))
        .unwrap();
    let bytes = image.patch(offsets, 1).unwrap();
    if let Err(error) = memory.write_all_at(&bytes, base.unwrap()) {
        child.kill().unwrap();
        child.wait().unwrap();
        return skipped(&format!("cannot write to the vDSO: {error}"));
    }
    // SAFETY: the child is stopped and traced by this thread.
    unsafe { libc::ptrace(libc::PTRACE_DETACH, pid.cast_signed(), 0, 0) };
    assert!(child.wait().unwrap().success());
}

/// Does `check` with each image, and libc's function that uses it.
pub(crate) fn with_image_from_the_start(name: &str, check: impl Fn(ClockGettime)) {
    if env::var_os(INSIDE).is_none() {
        for image in all() {
            run_from_the_start(name, &image, &offsets()[0]);
        }
        return;
    }
    check(libc_clock_gettime);
}

extern "C" fn libc_clock_gettime(clock: i32, time: *mut libc::timespec) -> i32 {
    // SAFETY: the caller's pointer.
    unsafe { libc::clock_gettime(clock, time) }
}

#[test]
fn libc_uses_an_image_that_was_there_before_it_started() {
    let name = test_name!();
    with_image_from_the_start(name, |function| {
        let offset = offsets()[0].boottime.as_nanos();
        for _ in 0..1000 {
            let (before, inside, after) = (raw(7), call(function, 7), raw(7));
            let range = before.unwrap() + offset..=after.unwrap() + offset;
            assert!(range.contains(&inside.unwrap()));
        }
    });
}
