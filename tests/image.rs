//! The composed image, as a binary and at work in a process of its own.
//!
//! Each test that puts an image in place runs again in a child, which writes it over its own vDSO.
//! No filter is installed there: a raw system call tells the host's time.
#![expect(unsafe_code, reason = "calls the vDSO's functions by address")]
#![expect(clippy::unwrap_used, reason = "a test's helpers")]

use std::fs::{self, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::{env, mem, ptr, slice, thread};

use elsewhen::image::{Image, ReadPath, ReadPathChoice};
use elsewhen::{ClockOffsets, Offset};
use object::elf;
use object::read::elf::{ElfFile64, ProgramHeader};
use object::{Endianness, Object, ObjectSection, ObjectSegment, ObjectSymbol, SymbolSection};

const DT_HASH: u32 = 4;
const DT_VERDEF: u32 = 0x6fff_fffc;
const INSIDE: &str = "ELSEWHEN_TEST_INSIDE";
const SHIFTED: [i32; 9] = [0, 1, 4, 5, 6, 7, 8, 9, 11];
const ENTRIES: [&str; 3] = ["clock_gettime", "gettimeofday", "time"];

type ClockGettime = extern "C" fn(i32, *mut libc::timespec) -> i32;
type Gettimeofday = extern "C" fn(*mut libc::timeval, *mut [i32; 2]) -> i32;
type Time = extern "C" fn(*mut i64) -> i64;

// ---- The image as a binary ----

fn parse(bytes: &[u8]) -> ElfFile64<'_> {
    ElfFile64::parse(bytes).expect("an ELF file")
}

fn finished() -> (Image, Vec<u8>) {
    finish(Image::compose().unwrap())
}

fn finish(image: Image) -> (Image, Vec<u8>) {
    let bytes = image.patch(&ClockOffsets::default(), 7).unwrap();
    (image, bytes)
}

/// Images with our code in each of its places: the kernel's functions and the padding.
fn placed() -> [(Image, Vec<u8>); 2] {
    [ReadPathChoice::Fastest, ReadPathChoice::KernelFunction]
        .map(|choice| finish(Image::compose_with(choice).unwrap()))
}

fn index(address: u64) -> usize {
    address.try_into().unwrap()
}

fn is_ours(name: &str) -> bool {
    ENTRIES.contains(&name.trim_start_matches("__vdso_"))
}

#[test]
fn every_symbol_but_ours_stays_at_its_address() {
    for (image, bytes) in placed() {
        let (old, new) = (parse(image.host()), parse(&bytes));
        let mut redirected = 0;
        for (old, new) in old.dynamic_symbols().zip(new.dynamic_symbols()) {
            let name = old.name().unwrap();
            assert_eq!(new.name().unwrap(), name);
            if is_ours(name) {
                redirected += 1;
                assert!(image.changed().contains(&index(new.address())), "{name}");
            } else {
                assert_eq!(
                    (old.address(), old.size()),
                    (new.address(), new.size()),
                    "{name}"
                );
            }
        }
        assert_eq!(redirected, 6);
        assert_eq!(old.dynamic_symbols().count(), new.dynamic_symbols().count());
    }
}

#[test]
fn the_image_differs_from_the_host_only_where_it_must() {
    for (image, bytes) in placed() {
        assert_eq!(bytes.len(), image.len());
        assert_eq!(image.len() % 4096, 0);
        let file = parse(image.host());
        let mut allowed = Vec::new();
        for symbol in file
            .dynamic_symbols()
            .filter(|symbol| is_ours(symbol.name().unwrap()))
        {
            allowed.push(symbol.address()..symbol.address() + symbol.size());
        }
        for name in [".dynsym", ".eh_frame"] {
            let section = file.section_by_name(name).unwrap();
            allowed.push(section.address()..section.address() + section.size());
        }
        let sections = file.sections().filter_map(|section| section.file_range());
        let end = sections.map(|(at, len)| at + len).max().unwrap();
        allowed.push(end..image.len() as u64);
        // The system calls of the kernel's `clock_gettime`, which are to carry the cookie.
        let call = *b"\xb8\xe4\0\0\0\x0f\x05";
        let calls = image.host().windows(7).enumerate();
        allowed.extend(
            calls
                .filter(|(_, bytes)| *bytes == call)
                .map(|(at, _)| at as u64..at as u64 + 5),
        );
        // The section headers, which lie before the end, and the program headers.
        let headers = u64::from_le_bytes(image.host()[40..48].try_into().unwrap());
        allowed.push(headers..headers + 64 * file.sections().count() as u64 + 64);
        allowed.push(64..0x120);
        for (at, (old, new)) in image.host().iter().zip(&bytes).enumerate() {
            let at = at as u64;
            assert!(
                old == new || allowed.iter().any(|range| range.contains(&at)),
                "{at:#x}"
            );
        }
    }
}

#[test]
fn the_image_has_one_segment_that_covers_our_code_and_no_relocations() {
    for (image, bytes) in placed() {
        let file = parse(&bytes);
        let loads: Vec<_> = file.segments().collect();
        assert_eq!(loads.len(), 1);
        assert_eq!(loads[0].address(), 0);
        assert!(loads[0].size() >= (image.magic_at() + 8) as u64);
        assert!(
            file.dynamic_relocations()
                .is_none_or(|mut all| all.next().is_none())
        );
        assert!(
            file.dynamic_symbols()
                .all(|symbol| symbol.section() != SymbolSection::Undefined)
        );
    }
}

#[test]
fn hash_table_and_version_are_kept() {
    for (image, bytes) in placed() {
        for name in [
            ".hash",
            ".gnu.version",
            ".gnu.version_d",
            ".dynamic",
            ".dynstr",
        ] {
            let data = |bytes| {
                parse(bytes)
                    .section_by_name(name)
                    .unwrap()
                    .data()
                    .unwrap()
                    .to_vec()
            };
            assert_eq!(data(image.host()), data(&bytes), "{name}");
        }
        let file = parse(&bytes);
        let tags: Vec<u32> = dynamic_tags(&file);
        assert!(tags.contains(&DT_HASH) && tags.contains(&DT_VERDEF));
        assert!(bytes.windows(9).any(|window| window == b"LINUX_2.6"));
    }
}

fn dynamic_tags(file: &ElfFile64<'_>) -> Vec<u32> {
    let section = file.section_by_name(".dynamic").unwrap();
    let tags = section.data().unwrap().chunks_exact(16);
    tags.map(|entry| u32::from_le_bytes(entry[..4].try_into().unwrap()))
        .collect()
}

#[test]
fn the_unwind_table_is_sorted_and_covers_each_of_our_functions() {
    for (_, bytes) in placed() {
        let file = parse(&bytes);
        let header = file
            .elf_program_headers()
            .iter()
            .find(|header| header.p_type(Endianness::Little) == elf::PT_GNU_EH_FRAME)
            .unwrap();
        let at = usize::try_from(header.p_vaddr(Endianness::Little)).unwrap();
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let count = usize::try_from(word(at + 8)).unwrap();
        assert_eq!(header.p_memsz(Endianness::Little), (12 + 8 * count) as u64);
        let ranges: Vec<_> = (0..count)
            .map(|n| {
                let entry = at + 12 + 8 * n;
                let base = u32::try_from(at).unwrap();
                let [function, frame] = [entry, entry + 4].map(|at| word(at).wrapping_add(base));
                // An FDE: length, distance back to its CIE, start and length of the function.
                let fde = usize::try_from(frame).unwrap();
                assert_ne!(word(fde + 4), 0);
                assert_eq!(word(fde + 8).wrapping_add(frame + 8), function);
                u64::from(function)..u64::from(function + word(fde + 12))
            })
            .collect();
        assert!(ranges.is_sorted_by_key(|range| range.start));
        for symbol in file.dynamic_symbols().filter(|symbol| symbol.size() > 0) {
            let function = symbol.address()..symbol.address() + symbol.size();
            assert!(ranges.contains(&function), "{}", symbol.name().unwrap());
        }
    }
}

#[test]
fn the_parameters_hold_the_offsets_and_end_with_the_magic() {
    let offsets = ClockOffsets {
        realtime: Offset::from_nanos(-1).unwrap(),
        tai: Offset::from_secs(3),
        monotonic: Offset::from_secs(-5),
        boottime: Offset::new(9, 10).unwrap(),
    };
    let image = Image::compose().unwrap();
    let bytes = image.patch(&offsets, 42).unwrap();
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let words = Image::words(&offsets).unwrap();
    for (n, expected) in words.into_iter().enumerate() {
        assert_eq!(word(image.offsets_at() + 8 * n), expected);
    }
    assert_eq!(Offset::from_packed(words[2]), Some(offsets.monotonic));
    assert_eq!(word(image.namespace_at()), 42);
    assert_eq!(word(image.magic_at()), Image::MAGIC);
    assert_eq!(image.page_at() % 8, 0);
    assert_eq!(image.page_at() / 4096, image.magic_at() / 4096);
}

#[test]
fn an_offset_beyond_272_years_is_refused() {
    let image = Image::compose().unwrap();
    let offsets = ClockOffsets {
        tai: Offset::from_secs(1 << 33),
        ..ClockOffsets::default()
    };
    let error = image.patch(&offsets, 1).unwrap_err().to_string();
    assert_eq!(
        error,
        "offset out of range: +8589934592; at most 272 years either way"
    );
}

#[test]
fn the_read_path_is_direct_where_the_clock_source_is_the_counter() {
    let source =
        fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let has_types = fs::exists("/sys/kernel/btf/vmlinux").unwrap();
    if source.is_ok_and(|name| name.trim() == "tsc") && has_types {
        assert_eq!(*Image::compose().unwrap().read_path(), ReadPath::Direct);
    } else {
        eprintln!("skipped: no TSC clock source, or no type information");
    }
    let reason = "it was asked for".to_owned();
    let forced = |choice| Image::compose_with(choice).unwrap().read_path().clone();
    assert_eq!(
        forced(ReadPathChoice::KernelFunction),
        ReadPath::KernelFunction {
            reason: reason.clone()
        }
    );
    assert_eq!(
        forced(ReadPathChoice::Syscall),
        ReadPath::Syscall { reason }
    );
}

// ---- The image at work ----

/// True in the child that runs `name` alone; elsewhere starts that child and judges it.
fn inside(name: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{text}",
        String::from_utf8_lossy(&output.stdout)
    );
    eprint!("{text}");
    false
}

/// All ways of reading.
const CHOICES: [ReadPathChoice; 3] = [
    ReadPathChoice::Fastest,
    ReadPathChoice::KernelFunction,
    ReadPathChoice::Syscall,
];

fn all() -> [Image; 3] {
    CHOICES.map(|choice| Image::compose_with(choice).unwrap())
}

/// An image in place of this process's vDSO.
struct Placed {
    image: Image,
    base: usize,
    offsets: ClockOffsets,
}

impl Placed {
    /// `None`, visibly, where the kernel forbids writing to the vDSO.
    fn new(image: Image) -> Option<Self> {
        // SAFETY: no pointer involved.
        let base = usize::try_from(unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) }).unwrap();
        let mut placed = Self {
            image,
            base,
            offsets: ClockOffsets::default(),
        };
        if let Err(error) = placed.put(ClockOffsets::default()) {
            assert!(
                env::var_os("CI").is_none(),
                "cannot write to the vDSO: {error}"
            );
            eprintln!("skipped: cannot write to the vDSO: {error}");
            return None;
        }
        Some(placed)
    }

    fn put(&mut self, offsets: ClockOffsets) -> std::io::Result<()> {
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
        let mut found = Vec::new();
        for bytes in [self.image.host(), now] {
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

    fn clock_gettime(&self) -> Vec<ClockGettime> {
        let function = |at| unsafe {
            // SAFETY: the address of a function of this type, by its name.
            mem::transmute::<*const (), ClockGettime>(ptr::with_exposed_provenance(at))
        };
        self.addresses("clock_gettime")
            .into_iter()
            .map(function)
            .collect()
    }

    fn gettimeofday(&self) -> Vec<Gettimeofday> {
        let function = |at| unsafe {
            // SAFETY: the address of a function of this type, by its name.
            mem::transmute::<*const (), Gettimeofday>(ptr::with_exposed_provenance(at))
        };
        self.addresses("gettimeofday")
            .into_iter()
            .map(function)
            .collect()
    }

    fn time(&self) -> Vec<Time> {
        let function = |at| unsafe {
            // SAFETY: the address of a function of this type, by its name.
            mem::transmute::<*const (), Time>(ptr::with_exposed_provenance(at))
        };
        self.addresses("time").into_iter().map(function).collect()
    }
}

fn nanos(time: libc::timespec) -> i128 {
    assert!(
        (0..1_000_000_000).contains(&time.tv_nsec),
        "{}",
        time.tv_nsec
    );
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

const ZERO: libc::timespec = libc::timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// The host's clock, or a negative errno.
fn raw(clock: i32) -> Result<i128, i32> {
    let mut time = ZERO;
    // SAFETY: `time` is a timespec.
    match unsafe { libc::syscall(libc::SYS_clock_gettime, clock, &raw mut time) } {
        0 => Ok(nanos(time)),
        _ => Err(-std::io::Error::last_os_error().raw_os_error().unwrap()),
    }
}

fn call(function: ClockGettime, clock: i32) -> Result<i128, i32> {
    let mut time = ZERO;
    match function(clock, &raw mut time) {
        0 => Ok(nanos(time)),
        error => Err(error),
    }
}

/// Offsets of both signs, with and without nanoseconds, and each clock its own.
fn offsets() -> [ClockOffsets; 3] {
    let of = |nanos: [i128; 4]| {
        let [realtime, tai, monotonic, boottime] =
            nanos.map(|nanos| Offset::from_nanos(nanos).unwrap());
        ClockOffsets {
            realtime,
            tai,
            monotonic,
            boottime,
        }
    };
    [
        of([999_999_999, -1, 86_400_000_000_000, 500_000_000]),
        of([-999_999_999, -30_000_000_000_000_001, 1, -1]),
        of([
            -(1 << 60),
            1 << 60,
            (1 << 60) + 123_456_789,
            -(3_600_000_000_000) + 1,
        ]),
    ]
}

/// Readings of each clock with each of the three sets of offsets.
fn readings() -> usize {
    match env::var_os("ELSEWHEN_STORM").is_some_and(|size| size == "full") {
        true => 10_000_000 / 3 + 1,
        false => 100_000,
    }
}

fn readings_are_exact(image: Image) {
    let Some(mut placed) = Placed::new(image) else {
        return;
    };
    for offsets in offsets() {
        placed.put(offsets).unwrap();
        for clock in SHIFTED {
            let offset = offsets.of(clock).unwrap().as_nanos();
            let functions = placed.clock_gettime();
            for n in 0..readings() {
                let function = functions[n % functions.len()];
                let (before, inside, after) = (raw(clock), call(function, clock), raw(clock));
                match (before, inside, after) {
                    (Ok(before), Ok(inside), Ok(after)) => assert!(
                        (before + offset..=after + offset).contains(&inside),
                        "clock {clock}: {inside} is not in {before} ..= {after} + {offset}"
                    ),
                    // An ALARM clock without a real-time clock device.
                    _ => {
                        assert!(matches!(clock, 8 | 9), "clock {clock}: {inside:?}");
                        assert_eq!((before, inside), (after, after));
                        break;
                    }
                }
            }
        }
    }
}

#[test]
fn every_clock_is_the_hosts_plus_its_offset_when_read_directly() {
    if inside("every_clock_is_the_hosts_plus_its_offset_when_read_directly") {
        readings_are_exact(Image::compose_with(ReadPathChoice::Fastest).unwrap());
    }
}

#[test]
fn every_clock_is_the_hosts_plus_its_offset_when_the_kernels_function_is_called() {
    if inside("every_clock_is_the_hosts_plus_its_offset_when_the_kernels_function_is_called") {
        readings_are_exact(Image::compose_with(ReadPathChoice::KernelFunction).unwrap());
    }
}

#[test]
fn every_clock_is_the_hosts_plus_its_offset_when_read_by_system_call() {
    if inside("every_clock_is_the_hosts_plus_its_offset_when_read_by_system_call") {
        readings_are_exact(Image::compose_with(ReadPathChoice::Syscall).unwrap());
    }
}

#[test]
fn other_clocks_and_errors_are_the_hosts() {
    if !inside("other_clocks_and_errors_are_the_hosts") {
        return;
    }
    for image in all() {
        let Some(mut placed) = Placed::new(image) else {
            return;
        };
        placed.put(offsets()[2]).unwrap();
        for function in placed.clock_gettime() {
            // 64 and 2²⁶ + 1 are 0 and 1 to a shift that is not range-checked.
            for clock in [
                10,
                12,
                15,
                16,
                31,
                32,
                33,
                64,
                65,
                (1 << 26) + 1,
                i32::MAX,
                i32::MIN,
                -1,
                -3,
            ] {
                let expected = raw(clock);
                match (expected, call(function, clock)) {
                    (Ok(before), Ok(inside)) => assert!(
                        (before..=raw(clock).unwrap()).contains(&inside),
                        "clock {clock} is shifted"
                    ),
                    (expected, inside) => assert_eq!(inside, expected, "clock {clock}"),
                }
            }
            // The process's and the thread's processor time, and the same by dynamic id.
            for clock in [2, 3, -6, -2] {
                let (before, inside, after) = (raw(clock), call(function, clock), raw(clock));
                assert!(
                    (before..=after).contains(&inside),
                    "clock {clock}: {inside:?}"
                );
            }
            assert_eq!(
                function(-6, ptr::dangling_mut::<libc::timespec>().wrapping_sub(1)),
                -libc::EFAULT
            );
        }
    }
}

#[test]
fn an_image_is_not_composed_from_an_image() {
    if !inside("an_image_is_not_composed_from_an_image") {
        return;
    }
    let Some(_placed) = Placed::new(Image::compose().unwrap()) else {
        return;
    };
    let error = Image::compose().unwrap_err().to_string();
    assert_eq!(
        error,
        "this process is already in a time namespace of elsewhen; they do not nest"
    );
}

#[test]
fn gettimeofday_and_time_agree_with_the_realtime_clock() {
    if !inside("gettimeofday_and_time_agree_with_the_realtime_clock") {
        return;
    }
    for image in all() {
        let Some(mut placed) = Placed::new(image) else {
            return;
        };
        for offsets in offsets() {
            placed.put(offsets).unwrap();
            let offset = offsets.realtime.as_nanos();
            for (gettimeofday, time) in placed.gettimeofday().into_iter().zip(placed.time()) {
                for _ in 0..20_000 {
                    let mut tv = libc::timeval {
                        tv_sec: -1,
                        tv_usec: -1,
                    };
                    let before = raw(0).unwrap() + offset;
                    assert_eq!(gettimeofday(&raw mut tv, ptr::null_mut()), 0);
                    let after = raw(0).unwrap() + offset;
                    assert!((0..1_000_000).contains(&tv.tv_usec));
                    let inside = i128::from(tv.tv_sec) * 1_000_000 + i128::from(tv.tv_usec);
                    assert!((before.div_euclid(1000)..=after.div_euclid(1000)).contains(&inside));

                    let before = raw(5).unwrap() + offset;
                    let mut stored = -1;
                    let (first, second) = (time(&raw mut stored), time(ptr::null_mut()));
                    let after = raw(5).unwrap() + offset;
                    assert_eq!(first, stored);
                    for second in [first, second] {
                        let range =
                            before.div_euclid(1_000_000_000)..=after.div_euclid(1_000_000_000);
                        assert!(range.contains(&second.into()));
                    }
                }
                assert_eq!(gettimeofday(ptr::null_mut(), ptr::null_mut()), 0);
                let (mut ours, mut hosts) = ([-1; 2], [-2; 2]);
                assert_eq!(gettimeofday(ptr::null_mut(), &raw mut ours), 0);
                // SAFETY: `hosts` is a timezone.
                unsafe { libc::syscall(libc::SYS_gettimeofday, 0, &raw mut hosts) };
                assert_eq!(ours, hosts);
            }
        }
    }
}

#[test]
fn a_changed_offset_word_is_seen_by_the_next_reading() {
    if !inside("a_changed_offset_word_is_seen_by_the_next_reading") {
        return;
    }
    for image in all() {
        let Some(placed) = Placed::new(image) else {
            return;
        };
        let memory = OpenOptions::new()
            .write(true)
            .open("/proc/self/mem")
            .unwrap();
        for offsets in offsets() {
            let word = Image::words(&offsets).unwrap()[2];
            let at = placed.base + placed.image.offsets_at() + 16;
            memory.write_all_at(&word.to_le_bytes(), at as u64).unwrap();
            let offset = offsets.monotonic.as_nanos();
            let before = raw(1).unwrap() + offset;
            let inside = call(placed.clock_gettime()[1], 1).unwrap();
            assert!((before..=raw(1).unwrap() + offset).contains(&inside));
        }
    }
}

#[test]
fn monotonic_never_runs_backwards_between_two_processors() {
    if !inside("monotonic_never_runs_backwards_between_two_processors") {
        return;
    }
    for image in all() {
        let Some(mut placed) = Placed::new(image) else {
            return;
        };
        placed.put(offsets()[0]).unwrap();
        let function = placed.clock_gettime()[1];
        let rounds = match placed.image.read_path() {
            ReadPath::Syscall { .. } => 500_000,
            _ => 3_000_000,
        };
        let newest = AtomicI64::new(i64::MIN);
        thread::scope(|scope| {
            for cpu in 0..2 {
                let newest = &newest;
                scope.spawn(move || {
                    pin(cpu);
                    for _ in 0..rounds {
                        let seen = newest.load(Ordering::Acquire);
                        let now = i64::try_from(call(function, 1).unwrap()).unwrap();
                        assert!(now >= seen, "{now} after {seen}");
                        newest.fetch_max(now, Ordering::AcqRel);
                    }
                });
            }
        });
    }
}

/// Keeps this thread on the `n`th processor that the process may use, if there are so many.
fn pin(n: usize) {
    // SAFETY: a set of processors is plain data, and both calls are given its size.
    unsafe {
        let mut allowed: libc::cpu_set_t = mem::zeroed();
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut allowed);
        let Some(cpu) = (0..1024)
            .filter(|&cpu| libc::CPU_ISSET(cpu, &allowed))
            .nth(n)
        else {
            return;
        };
        let mut one: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(cpu, &mut one);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const one);
    }
}

unsafe extern "C" {
    fn _Unwind_Backtrace(step: extern "C" fn(*mut (), *mut Seen) -> i32, seen: *mut Seen) -> i32;
    fn _Unwind_GetIP(context: *mut ()) -> usize;
}

/// Whether an address on the stack lies in `caller`.
#[repr(C)]
struct Seen(bool);

extern "C" fn step(context: *mut (), seen: *mut Seen) -> i32 {
    let start = caller as *const () as usize;
    // SAFETY: the context is the unwinder's, and `seen` was handed to it below.
    unsafe {
        (*seen).0 |= (start..start + 128).contains(&_Unwind_GetIP(context));
    }
    0
}

extern "C" fn on_fault(_: i32) {
    let mut seen = Seen(false);
    // SAFETY: `step` takes what it is given; the process ends here.
    unsafe {
        _Unwind_Backtrace(step, &raw mut seen);
        libc::_exit(if seen.0 { 0 } else { 3 });
    }
}

/// Has `function` write through a bad pointer.
#[inline(never)]
extern "C" fn caller(function: ClockGettime) -> i32 {
    function(0, ptr::without_provenance_mut(8)) + 1
}

/// Runs `name` in a child that has had the image from before its first instruction.
fn inside_from_the_start(name: &str, image: &Image, offsets: &ClockOffsets) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1");
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
        assert!(
            env::var_os("CI").is_none(),
            "cannot write to the vDSO: {error}"
        );
        eprintln!("skipped: cannot write to the vDSO: {error}");
        return false;
    }
    // SAFETY: the child is stopped and traced by this thread.
    unsafe { libc::ptrace(libc::PTRACE_DETACH, pid.cast_signed(), 0, 0) };
    assert!(child.wait().unwrap().success());
    false
}

fn with_image_from_the_start(name: &str, check: impl Fn(ClockGettime)) {
    if env::var_os(INSIDE).is_none() {
        for image in all() {
            inside_from_the_start(name, &image, &offsets()[0]);
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
    let name = "libc_uses_an_image_that_was_there_before_it_started";
    with_image_from_the_start(name, |function| {
        let offset = offsets()[0].boottime.as_nanos();
        for _ in 0..1000 {
            let (before, inside, after) = (raw(7), call(function, 7), raw(7));
            let range = before.unwrap() + offset..=after.unwrap() + offset;
            assert!(range.contains(&inside.unwrap()));
        }
    });
}

#[test]
fn an_unwinder_finds_the_caller_of_a_fault_in_our_code() {
    let name = "an_unwinder_finds_the_caller_of_a_fault_in_our_code";
    with_image_from_the_start(name, |function| {
        // SAFETY: the child does nothing but fault, and its handler ends it.
        let status = unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::signal(libc::SIGSEGV, on_fault as *const () as libc::sighandler_t);
                caller(function);
                libc::_exit(4);
            }
            let mut status = 0;
            libc::waitpid(child, &raw mut status, 0);
            status
        };
        assert_eq!(status, 0, "3 << 8: not found; 4 << 8: no fault");
    });
}

/// Starts this test again in a time namespace of the kernel with these offsets of MONOTONIC and
/// BOOTTIME; true in that child.
fn in_a_time_namespace(name: &str, offsets: &'static str) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1");
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

fn skipped(why: &str) {
    assert!(env::var_os("CI").is_none(), "{why}");
    eprintln!("skipped: {why}");
}

/// Whether the kernel shifts this process's monotonic clock.
fn is_shifted_by_the_kernel() -> bool {
    let namespace = |name| fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
    namespace("time") == namespace("time_for_children")
        && fs::read_to_string("/proc/self/timens_offsets").is_ok_and(|text| text.contains("1000"))
}

#[test]
fn in_a_time_namespace_of_the_kernel_readings_are_exact_on_every_way() {
    let name = "in_a_time_namespace_of_the_kernel_readings_are_exact_on_every_way";
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
    let name = "an_image_is_the_same_in_a_time_namespace_of_the_kernel_and_outside";
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
    if !inside("a_process_that_enters_a_time_namespace_later_reads_it_rightly") {
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
