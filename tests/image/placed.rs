//! A process of the test's own, with an image in place of its vDSO.
#![expect(unsafe_code, reason = "calls the vDSO's functions by address")]

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::{env, mem, ptr, slice};

use elsewhen::ClockOffsets;
use elsewhen::image::Image;
use object::{Object, ObjectSymbol};

use crate::elf::{parse, with_sections};
use crate::skips::skipped;

pub(crate) type ClockGettime = extern "C" fn(i32, *mut libc::timespec) -> i32;
pub(crate) type Gettimeofday = extern "C" fn(*mut libc::timeval, *mut [i32; 2]) -> i32;
pub(crate) type Time = extern "C" fn(*mut i64) -> i64;

/// Set in the child.
pub(crate) const INSIDE: &str = "ELSEWHEN_TEST_INSIDE";

/// The running test's name, as libtest has it.
macro_rules! test_name {
    () => {{
        fn here() {}
        let name = std::any::type_name_of_val(&here);
        let name = name.strip_suffix("::here").unwrap();
        name.split_once("::").unwrap().1
    }};
}
pub(crate) use test_name;

/// What runs the test `name` alone, as a child that knows it.
pub(crate) fn child(name: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1");
    command
}

/// True in the child that runs `name` alone; elsewhere starts that child and judges it.
pub(crate) fn inside(name: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    let output = child(name).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    let ran = String::from_utf8_lossy(&output.stdout).contains("running 1 test");
    assert!(ran, "there is no test {name}");
    assert!(
        output.status.success(),
        "{}\n{text}",
        String::from_utf8_lossy(&output.stdout)
    );
    eprint!("{text}");
    false
}

/// An image in place of this process's vDSO.
pub(crate) struct Placed {
    pub(crate) image: Image,
    pub(crate) base: usize,
    offsets: ClockOffsets,
}

impl Placed {
    /// `None`, visibly, where the kernel forbids writing to the vDSO.
    pub(crate) fn new(image: Image) -> Option<Self> {
        // SAFETY: no pointer involved.
        let base = usize::try_from(unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) }).unwrap();
        let mut placed = Self {
            image,
            base,
            offsets: ClockOffsets::default(),
        };
        if let Err(error) = placed.put(ClockOffsets::default()) {
            skipped(&format!("cannot write to the vDSO: {error}"));
            return None;
        }
        Some(placed)
    }

    pub(crate) fn put(&mut self, offsets: ClockOffsets) -> std::io::Result<()> {
        self.offsets = offsets;
        let memory = OpenOptions::new().write(true).open("/proc/self/mem")?;
        let bytes = self.image.patch(&offsets, 1).unwrap();
        memory.write_all_at(&bytes, self.base as u64)
    }

    /// The addresses of `name`: the kernel's old one, and what its symbols say now.
    fn addresses(&self, name: &str) -> Vec<usize> {
        // SAFETY: the vDSO is mapped and readable, and stays so.
        let now = unsafe {
            slice::from_raw_parts(ptr::with_exposed_provenance(self.base), self.image.len())
        };
        let now = with_sections(&self.image, now);
        let mut found = Vec::new();
        for bytes in [self.image.host(), &now] {
            for symbol in parse(bytes).dynamic_symbols() {
                if symbol.name().unwrap().trim_start_matches("__vdso_") == name {
                    found.push(self.base + usize::try_from(symbol.address()).unwrap());
                }
            }
        }
        // Each of two names, before and now; the entry may be where it was.
        assert_eq!(found.len(), 4);
        vec![found[0], found[2]]
    }

    pub(crate) fn clock_gettime(&self) -> Vec<ClockGettime> {
        let function = |at| unsafe {
            // SAFETY: the address of a function of this type, by its name.
            mem::transmute::<*const (), ClockGettime>(ptr::with_exposed_provenance(at))
        };
        self.addresses("clock_gettime")
            .into_iter()
            .map(function)
            .collect()
    }

    pub(crate) fn gettimeofday(&self) -> Vec<Gettimeofday> {
        let function = |at| unsafe {
            // SAFETY: the address of a function of this type, by its name.
            mem::transmute::<*const (), Gettimeofday>(ptr::with_exposed_provenance(at))
        };
        self.addresses("gettimeofday")
            .into_iter()
            .map(function)
            .collect()
    }

    pub(crate) fn time(&self) -> Vec<Time> {
        let function = |at| unsafe {
            // SAFETY: the address of a function of this type, by its name.
            mem::transmute::<*const (), Time>(ptr::with_exposed_provenance(at))
        };
        self.addresses("time").into_iter().map(function).collect()
    }
}
