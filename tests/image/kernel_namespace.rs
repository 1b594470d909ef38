//! Time namespaces of the kernel.
#![expect(unsafe_code, reason = "unshare(2), setns(2), fork(2)")]

use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::{env, fs};

use elsewhen::ClockOffsets;
use elsewhen::image::ReadPath;

use crate::clocks::{SHIFTED, call, offsets, raw};
use crate::elf::finished;
use crate::exact::readings_are_exact;
use crate::placed::{ClockGettime, INSIDE, Placed, child, inside, test_name};
use crate::skips::skipped;
use crate::ways::all;

/// Starts this test again in a time namespace of the kernel with these offsets of MONOTONIC and
/// BOOTTIME; true in that child.
fn in_a_time_namespace(name: &str, offsets: &'static str) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    let mut command = child(name);
    let enter = move || -> std::io::Result<()> {
        // SAFETY: no pointer involved.
        if unsafe { libc::unshare(libc::CLONE_NEWTIME) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
        fs::write("/proc/self/timens_offsets", offsets)
    };
    // SAFETY: only system calls between fork and exec.
    unsafe { command.pre_exec(enter) };
    match command.status() {
        Ok(status) => assert!(status.success()),
        Err(error) => skipped(&format!("cannot make a time namespace: {error}")),
    }
    false
}

/// Whether the kernel shifts this process's monotonic clock.
fn is_shifted_by_the_kernel() -> bool {
    let namespace = |name| fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
    namespace("time") == namespace("time_for_children")
        && fs::read_to_string("/proc/self/timens_offsets").is_ok_and(|text| text.contains("1000"))
}

#[test]
fn in_a_time_namespace_of_the_kernel_readings_are_exact_on_every_way() {
    let name = test_name!();
    if !in_a_time_namespace(name, "monotonic 1000 999999999\nboottime 5000 1\n") {
        return;
    }
    if !is_shifted_by_the_kernel() {
        return skipped("this kernel does not enter the namespace at exec");
    }
    let images = all();
    assert_eq!(*images[0].read_path(), ReadPath::Direct);
    images.into_iter().for_each(readings_are_exact);
}

#[test]
fn an_image_is_the_same_in_a_time_namespace_of_the_kernel_and_outside() {
    let name = test_name!();
    // One namespace's image serves members in any of the kernel's.
    let path = env::temp_dir().join(format!("elsewhen-image-{}", std::process::id()));
    let file = env::var_os("ELSEWHEN_TEST_IMAGE").map_or(path, Into::into);
    let bytes = finished().1;
    if env::var_os(INSIDE).is_none() {
        fs::write(&file, &bytes).unwrap();
        // SAFETY: the children of other tests do not look at it.
        unsafe { env::set_var("ELSEWHEN_TEST_IMAGE", &file) };
    }
    if in_a_time_namespace(name, "monotonic 1000 0\n") {
        assert!(fs::read(&file).unwrap() == bytes);
    } else {
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn a_process_that_enters_a_time_namespace_later_reads_it_rightly() {
    if !inside(test_name!()) {
        return;
    }
    for image in all() {
        let Some(mut placed) = Placed::new(image) else {
            return;
        };
        placed.put(offsets()[0]).unwrap();
        let function = placed.clock_gettime()[1];
        // SAFETY: the child makes system calls and reads clocks.
        let status = unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::_exit(enter_and_read(function, offsets()[0]));
            }
            let mut status = 0;
            libc::waitpid(child, &raw mut status, 0);
            status
        };
        match libc::WEXITSTATUS(status) {
            0 => (),
            2 => return skipped("cannot make a time namespace"),
            other => panic!("{other}, {status}"),
        }
    }
}

/// In a process with one thread.
fn enter_and_read(function: ClockGettime, offsets: ClockOffsets) -> i32 {
    let exact = || {
        SHIFTED
            .into_iter()
            .filter(|clock| !matches!(clock, 8 | 9))
            .all(|clock| {
                let offset = offsets.of(clock).unwrap().as_nanos();
                let (before, inside, after) = (raw(clock), call(function, clock), raw(clock));
                (before.unwrap() + offset..=after.unwrap() + offset).contains(&inside.unwrap())
            })
    };
    // SAFETY: no pointer involved.
    if unsafe { libc::unshare(libc::CLONE_NEWTIME) } != 0 {
        return 2;
    }
    let (before, is_exact) = (raw(1).unwrap(), exact());
    if fs::write(
        "/proc/self/timens_offsets",
        "monotonic 70000 1\nboottime 9 0\n",
    )
    .is_err()
    {
        return 2;
    }
    let namespace = fs::File::open("/proc/self/ns/time_for_children").unwrap();
    // SAFETY: the descriptor is open.
    if unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWTIME) } != 0 {
        return 2;
    }
    let has_entered = raw(1).unwrap() - before >= 70_000_000_000_000;
    i32::from(!(is_exact && has_entered && (0..1000).all(|_| exact())))
}
