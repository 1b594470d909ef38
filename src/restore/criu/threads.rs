//! Threads that were in a converted wait when they were dumped.
//!
//! CRIU has a call that was interrupted made again, or fail with `EINTR` where the kernel would have
//! continued it by what it knows itself (`restart_syscall(2)`). Either way the time that the kernel was
//! given was converted by the old offset. What the program gave lies beside it, in the gate's frame or
//! in the red zone; from there the thread begins anew.

use crate::arch::{self, nr};
use crate::image::Gate;
use crate::page::{CALL, FUTEX_WAIT_COOKIE, WAIT_COOKIE, frame};
use crate::supervisor::wait_of;
use crate::sys::memory;

/// Where `registers` are to be for a thread to go on with all offsets as they are now; `gate` is that of its
/// process, if there is one, and where it lies.
pub(super) fn renew(tid: i32, registers: &mut libc::user_regs_struct, gate: Option<(u64, &Gate)>) {
    let is_in_gate = gate.is_some_and(|(at, gate)| renew_in_gate(tid, registers, at, gate));
    if !is_in_gate {
        renew_here(tid, registers);
    }
}

/// Whether `registers`, with which a thread goes on after a handler, were in a wait: so changed, that the
/// wait goes on with all offsets as they are now.
pub(super) fn renew_interrupted(
    tid: i32,
    registers: &mut libc::user_regs_struct,
    gate: Option<(u64, &Gate)>,
) -> bool {
    gate.is_some_and(|(at, gate)| restart(registers, at, gate)) || renew_here(tid, registers)
}

/// Whether `registers` were where the gate at `gate_at` loads all anew or makes the call: back to the begin of that.
fn restart(registers: &mut libc::user_regs_struct, gate_at: u64, gate: &Gate) -> bool {
    let at = |place: usize| gate_at + (place - gate.entry()) as u64;
    let is_there = (at(gate.restart())..at(gate.after())).contains(&arch::instruction(registers));
    if is_there {
        arch::set_instruction(registers, at(gate.restart()));
    }
    is_there
}

/// Whether the thread is in a wait in its gate, which lies at `gate_at`.
fn renew_in_gate(
    tid: i32,
    registers: &mut libc::user_regs_struct,
    gate_at: u64,
    gate: &Gate,
) -> bool {
    if restart(registers, gate_at, gate) {
        return true;
    }
    let at = |place: usize| gate_at + (place - gate.entry()) as u64;
    if arch::instruction(registers) != at(gate.after()) {
        return false;
    }
    // A wait for a futex may be repeated whenever it has been interrupted: who waits looks at the
    // word again.
    let mut number = [0; 4];
    let from = arch::stack(registers) + frame::NUMBER as u64;
    let is_read = memory::read_by_pid(tid, from, &mut number).is_some();
    let is_futex = matches!(
        u32::from_le_bytes(number),
        nr::FUTEX | nr::FUTEX_WAIT | nr::FUTEX_WAITV
    );
    if is_read && is_futex && arch::result(registers) == -i64::from(libc::EINTR) {
        arch::set_instruction(registers, at(gate.restart()));
    }
    true
}

/// Whether a call is about to be made at its own place, with a time in the red zone: it asks anew then.
fn renew_here(tid: i32, registers: &mut libc::user_regs_struct) -> bool {
    let mut two = [0; arch::SYSCALL.len()];
    if memory::read_by_pid(tid, arch::instruction(registers), &mut two).is_none()
        || two != arch::SYSCALL
    {
        return false;
    }
    let Some((number, args)) = arch::next_call(registers) else {
        return false;
    };
    let Some(call) = wait_of(number, &args) else {
        return false;
    };
    let [time, spare] = call.to_le_bytes();
    let is_half = call & CALL.cookie_r9_high == CALL.cookie_r9_high;
    let high = *arch::argument(registers, spare) >> 32;
    let has_cookie = match is_half {
        true => high & 0xffff_0000 == u64::from(FUTEX_WAIT_COOKIE),
        false => high == u64::from(WAIT_COOKIE + number),
    };
    if !has_cookie {
        return false;
    }
    // Without it the call is notified once more.
    let register = arch::argument(registers, spare);
    *register = match is_half {
        true => *register & 0xffff_ffff,
        false => 0,
    };
    let red_zone = arch::stack(registers).wrapping_sub(arch::RED_ZONE);
    let time = arch::argument(registers, time);
    if *time == red_zone {
        // Behind the converted time.
        *time = time.wrapping_add(16);
    }
    true
}
