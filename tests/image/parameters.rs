//! The parameters in the image, and how it reads.

use std::fs;

use elsewhen::image::{Image, ReadPath, ReadPathChoice};
use elsewhen::{ClockOffsets, Offset};

use crate::elf::finished;
use crate::skips::skipped;

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
        skipped("no TSC clock source, or no type information");
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

#[test]
fn one_page_changes_where_reads_are_direct() {
    let (image, _) = finished();
    // Where the kernel's functions have the room: not in all, but in those of 6.18.
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    if *image.read_path() != ReadPath::Direct || !release.starts_with("6.18.") {
        return skipped("no Linux 6.18, or reads are not direct");
    }
    assert_eq!(image.changed().len(), 4096);
}
