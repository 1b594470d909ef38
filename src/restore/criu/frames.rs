//! Converted waits that a signal handler has interrupted.
//!
//! A thread that runs a handler goes on with its wait by rt_sigreturn(2), from the registers in the frame that the
//! kernel has put on the stack: at the `syscall` itself where the wait is restarted, and with the old host's time.
//! So these registers are mended as those of a thread are that waits.
//!
//! Frames are looked for from the stack pointer up, and from the one that each of them holds: a handler may have a
//! stack of its own. What only looks like one, since it is of a handler that has returned, may be mended too: nobody
//! uses it.
//!
//! DIFFERENCE: a frame on a stack that the thread has left otherwise (swapcontext(3) in a handler) is not found.

use std::collections::VecDeque;
use std::ops::Range;

use super::threads;
use crate::arch::{self, SAVED};
use crate::image::Gate;
use crate::sys::memory;

/// So far above a stack pointer a frame is looked for: all that a handler and what it has called may use.
const FAR: u64 = 1 << 20;

/// So many stacks, or parts of them more than that apart.
const STACKS: usize = 16;

const PAGE: u64 = 4096;

/// Has the waits go on with all offsets as they are now that thread `tid`, which has these registers, has
/// interrupted; `gate` is that of its process, if there is one, and where it lies.
pub(super) fn renew(tid: i32, registers: &libc::user_regs_struct, gate: Option<(u64, &Gate)>) {
    let mut seen: Vec<Range<u64>> = Vec::new();
    // The nearest first: those further up may be of handlers that have returned.
    let mut pointers = VecDeque::from([arch::stack(registers)]);
    while let Some(pointer) = pointers.pop_front() {
        if seen.len() == STACKS || seen.iter().any(|range| range.contains(&pointer)) {
            continue;
        }
        let from = pointer & !7;
        let stack = read(tid, from);
        seen.push(
            from..from
                .saturating_add(8 * stack.len() as u64)
                .max(from.saturating_add(8)),
        );
        for (at, words) in stack.windows(SAVED).enumerate() {
            let mut saved = *registers;
            if !arch::load_saved(words, &mut saved) {
                continue;
            }
            pointers.push_back(arch::stack(&saved));
            if threads::renew_interrupted(tid, &mut saved, gate) {
                let mut words = words.to_vec();
                arch::store_saved(&saved, &mut words);
                let bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
                // A stack that cannot be written is nobody's to return to.
                let _ = memory::write_by_pid(tid, from + 8 * at as u64, &bytes);
            }
        }
    }
}

/// What lies from an address up, as far as it can be read.
fn read(tid: i32, from: u64) -> Vec<u64> {
    let mut bytes = Vec::new();
    let mut at = from;
    while at - from < FAR {
        let mut page = vec![0; usize::try_from(PAGE - at % PAGE).unwrap_or(0)];
        if memory::read_by_pid(tid, at, &mut page).is_none() {
            break;
        }
        let Some(next) = at.checked_add(page.len() as u64) else {
            break;
        };
        at = next;
        bytes.append(&mut page);
    }
    let (words, _) = bytes.as_chunks();
    words.iter().map(|word| u64::from_le_bytes(*word)).collect()
}
