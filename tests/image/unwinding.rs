//! What unwinders find in the image.
#![expect(unsafe_code, reason = "the unwinder's functions, and a fault")]

use std::ptr;

use object::read::elf::ProgramHeader;
use object::{Endianness, Object, ObjectSymbol, elf};

use crate::elf::{parse, placed, with_sections};
use crate::placed::{ClockGettime, test_name};
use crate::started::with_image_from_the_start;

#[test]
fn the_unwind_table_is_sorted_and_covers_each_of_our_functions() {
    for (image, bytes) in placed() {
        let bytes = with_sections(&image, &bytes);
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
                // The gate's may come with the gate, behind all else.
                if word(fde + 4) == 0 {
                    assert!(function as usize > image.magic_at());
                    return u64::from(function)..u64::from(function);
                }
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

#[test]
fn an_unwinder_finds_the_caller_of_a_fault_in_our_code() {
    let name = test_name!();
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
