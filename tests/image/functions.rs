//! The other functions, and an image that changes.
#![expect(unsafe_code, reason = "asks the kernel for the time zone")]

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::ptr;

use elsewhen::image::Image;

use crate::clocks::{call, offsets, raw};
use crate::placed::{Placed, inside, test_name};
use crate::ways::all;

#[test]
fn an_image_is_not_composed_from_an_image() {
    if !inside(test_name!()) {
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
    if !inside(test_name!()) {
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
    if !inside(test_name!()) {
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
