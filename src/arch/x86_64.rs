//! x86-64: audit architectures and the system call numbers of its three ABIs.

use crate::page::ADDRESS_BITS;
use crate::sys::errno::ERESTARTSYS;

/// `AUDIT_ARCH_X86_64` of `linux/audit.h`: native calls, and x32's with [`X32_BIT`] in the number.
pub(crate) const AUDIT_NATIVE: u32 = 0xc000_003e;

/// `AUDIT_ARCH_I386`: 32-bit programs, and `int $0x80` in a 64-bit one.
pub(crate) const AUDIT_COMPAT: u32 = 0x4000_0003;

/// `__X32_SYSCALL_BIT` of `asm/unistd.h`.
pub(crate) const X32_BIT: u32 = 0x4000_0000;

/// `ARCH_SET_FS` of `asm/prctl.h`: how musl and Go set their thread pointer at start.
pub(crate) const ARCH_SET_FS: u32 = 0x1002;

/// Native numbers, also x32's below [`X32_BIT`].
pub(crate) mod nr {
    pub(crate) const OPEN: u32 = 2;
    pub(crate) const CLOSE: u32 = 3;
    pub(crate) const STAT: u32 = 4;
    pub(crate) const MMAP: u32 = 9;
    pub(crate) const MUNMAP: u32 = 11;
    pub(crate) const BRK: u32 = 12;
    pub(crate) const IOCTL: u32 = 16;
    pub(crate) const MREMAP: u32 = 25;
    pub(crate) const GETPID: u32 = 39;
    pub(crate) const EXECVE: u32 = 59;
    pub(crate) const READLINK: u32 = 89;
    pub(crate) const GETTIMEOFDAY: u32 = 96;
    pub(crate) const SYSINFO: u32 = 99;
    pub(crate) const PRCTL: u32 = 157;
    pub(crate) const ARCH_PRCTL: u32 = 158;
    pub(crate) const ADJTIMEX: u32 = 159;
    pub(crate) const SETTIMEOFDAY: u32 = 164;
    pub(crate) const MOUNT: u32 = 165;
    pub(crate) const TIME: u32 = 201;
    pub(crate) const FUTEX: u32 = 202;
    pub(crate) const TIMER_SETTIME: u32 = 223;
    pub(crate) const CLOCK_SETTIME: u32 = 227;
    pub(crate) const CLOCK_GETTIME: u32 = 228;
    pub(crate) const CLOCK_NANOSLEEP: u32 = 230;
    pub(crate) const MQ_TIMEDSEND: u32 = 242;
    pub(crate) const MQ_TIMEDRECEIVE: u32 = 243;
    pub(crate) const OPENAT: u32 = 257;
    pub(crate) const TIMERFD_SETTIME: u32 = 286;
    pub(crate) const NEWFSTATAT: u32 = 262;
    pub(crate) const READLINKAT: u32 = 267;
    pub(crate) const UNSHARE: u32 = 272;
    pub(crate) const CLOCK_ADJTIME: u32 = 305;
    pub(crate) const SETNS: u32 = 308;
    pub(crate) const SECCOMP: u32 = 317;
    pub(crate) const EXECVEAT: u32 = 322;
    pub(crate) const STATX: u32 = 332;
    /// The same in all three tables.
    pub(crate) const IO_URING_SETUP: u32 = 425;
    pub(crate) const OPEN_TREE: u32 = 428;
    pub(crate) const OPENAT2: u32 = 437;
    pub(crate) const FUTEX_WAITV: u32 = 449;
    pub(crate) const FUTEX_WAIT: u32 = 455;
}

/// The numbers that x32 does not share with the native ABI.
pub(crate) mod x32 {
    pub(crate) const EXECVE: u32 = 520;
    pub(crate) const EXECVEAT: u32 = 545;
}

/// What a system call is about to return, in the registers of a thread stopped at its end.
pub(crate) fn result(registers: &libc::user_regs_struct) -> i64 {
    registers.rax.cast_signed()
}

/// Where a stopped thread goes on.
pub(crate) fn instruction(registers: &libc::user_regs_struct) -> u64 {
    registers.rip
}

/// Has a stopped thread go on elsewhere.
pub(crate) fn set_instruction(registers: &mut libc::user_regs_struct, at: u64) {
    registers.rip = at;
}

/// The system call that a thread makes next that stands at a `syscall` instruction.
pub(crate) fn next_call(registers: &libc::user_regs_struct) -> Option<(u32, [u64; 6])> {
    let r = registers;
    let number = u32::try_from(r.rax).ok()?;
    Some((number, [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9]))
}

/// How an image asks the kernel for a clock (`src/vdso`, `elsewhen_kernel`), up to the cookie's place and
/// behind it: `xor %eax,%eax; mov $228,%al; mov ...(%rip),%r9` and `syscall; xor %r9d,%r9d`. All registers that it
/// takes are there again afterwards.
pub(crate) const READ: ([u8; 7], [u8; 5]) = (
    [0x31, 0xc0, 0xb0, 0xe4, 0x4c, 0x8b, 0x0d],
    [0x0f, 0x05, 0x45, 0x31, 0xc9],
);

/// The length of that, and how far behind its begin a thread stands that has the answer.
pub(crate) const READ_LEN: usize = 16;
pub(crate) const READ_ENDS: [u64; 2] = [13, 16];

/// The words of a `struct sigcontext` that hold registers, up to those of the segments
/// (`asm/sigcontext.h`).
pub(crate) const SAVED: usize = 19;

/// `cs` and `ss` of 64-bit programs, which the kernel saves with zeroes between them
/// (`arch/x86/kernel/signal_64.c: __unsafe_setup_sigcontext`).
const SAVED_SEGMENTS: u64 = 0x002b_0000_0000_0033;

/// Takes the registers from the words of a signal's frame; whether they may be such.
pub(crate) fn load_saved(words: &[u64], registers: &mut libc::user_regs_struct) -> bool {
    let r = registers;
    let &[
        r8,
        r9,
        r10,
        r11,
        r12,
        r13,
        r14,
        r15,
        di,
        si,
        bp,
        bx,
        dx,
        ax,
        cx,
        sp,
        ip,
        flags,
        segments,
    ] = words
    else {
        return false;
    };
    if segments != SAVED_SEGMENTS {
        return false;
    }
    (r.r8, r.r9, r.r10, r.r11) = (r8, r9, r10, r11);
    (r.r12, r.r13, r.r14, r.r15) = (r12, r13, r14, r15);
    (r.rdi, r.rsi, r.rbp, r.rbx) = (di, si, bp, bx);
    (r.rdx, r.rax, r.rcx, r.rsp) = (dx, ax, cx, sp);
    (r.rip, r.eflags) = (ip, flags);
    true
}

/// Puts those back that [`Redirect`] and its kin change.
pub(crate) fn store_saved(registers: &libc::user_regs_struct, words: &mut [u64]) {
    let r = registers;
    for (place, value) in [
        (0, r.r8),
        (1, r.r9),
        (2, r.r10),
        (12, r.rdx),
        (13, r.rax),
        (16, r.rip),
    ] {
        words[place] = value;
    }
}

/// How far below the stack pointer a function may keep what is its own.
pub(crate) const RED_ZONE: u64 = 128;

/// i386 numbers.
pub(crate) mod compat {
    pub(crate) const EXECVE: u32 = 11;
    pub(crate) const TIME: u32 = 13;
    pub(crate) const STIME: u32 = 25;
    pub(crate) const BRK: u32 = 45;
    pub(crate) const GETTIMEOFDAY: u32 = 78;
    pub(crate) const SETTIMEOFDAY: u32 = 79;
    pub(crate) const SYSINFO: u32 = 116;
    pub(crate) const ADJTIMEX: u32 = 124;
    pub(crate) const SET_THREAD_AREA: u32 = 243;
    pub(crate) const CLOCK_SETTIME: u32 = 264;
    pub(crate) const CLOCK_GETTIME: u32 = 265;
    pub(crate) const CLOCK_ADJTIME: u32 = 343;
    pub(crate) const EXECVEAT: u32 = 358;
    pub(crate) const CLOCK_GETTIME64: u32 = 403;
    pub(crate) const CLOCK_SETTIME64: u32 = 404;
    pub(crate) const CLOCK_ADJTIME64: u32 = 405;
}

/// The stack pointer of a stopped thread.
pub(crate) fn stack(registers: &libc::user_regs_struct) -> u64 {
    registers.rsp
}

/// Whether a thread is stopped at the end of the call `number(args)` whose `syscall` lies before
/// `after`, and which has not been made: it was taken out of its notification, or this was answered with
/// `ERESTARTSYS`. `None`: wherever it is.
pub(crate) fn is_at_call(
    registers: &libc::user_regs_struct,
    after: Option<u64>,
    number: u32,
    args: &[u64; 6],
) -> bool {
    let r = registers;
    let restart = u64::from(ERESTARTSYS.cast_unsigned()).wrapping_neg();
    after.is_none_or(|after| r.rip == after)
        && r.orig_rax & 0xffff_ffff == u64::from(number)
        && [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9] == *args
        && r.rax == restart
}

/// Where a thread stopped at the end of a call is to go on, unless a handler ends that.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Redirect {
    /// In the gate at this address, which is told this of the call.
    Gate { at: u64, call: u16 },
    /// At this address.
    Again { at: u64 },
    /// With the same call, which takes its time from `at` if given, and carries the cookie.
    Here {
        call: u16,
        cookie: u64,
        at: Option<u64>,
    },
}

/// `mov %r11,8(%rsp); syscall; ret`: where glibc (from 2.41) and musl make calls that
/// pthread_cancel(3) can end. None of their registers and no red zone is used behind it.
pub(crate) const BRIDGE: [u8; 8] = [0x4c, 0x89, 0x5c, 0x24, 0x08, 0x0f, 0x05, 0xc3];

/// How many of [`BRIDGE`] lie before the address behind the `syscall`.
pub(crate) const BRIDGE_BEFORE: u64 = 7;

/// The length of `syscall`.
const SYSCALL_LEN: u64 = 2;

/// Redirects a thread for which [`is_at_call`] holds. If the call is `interrupted`, with this error of the
/// kernel's own, a handler that runs before the thread goes on ends it as that error has it: the thread then
/// goes on behind the `syscall`, or the length of one behind the address.
pub(crate) fn redirect(
    registers: &mut libc::user_regs_struct,
    number: u32,
    to: Redirect,
    interrupted: Option<i32>,
) {
    let r = registers;
    let ahead = match interrupted {
        // The kernel goes back by that much.
        Some(error) => {
            r.orig_rax = number.into();
            r.rax = u64::from(error.unsigned_abs()).wrapping_neg();
            SYSCALL_LEN
        }
        None => {
            r.orig_rax = u64::MAX;
            r.rax = number.into();
            0
        }
    };
    match to {
        Redirect::Gate { at, call } => {
            r.rcx = r.rip;
            r.r11 = u64::from(u32::from(call) | (number & 0xffff).swap_bytes());
            r.rip = at + ahead;
        }
        Redirect::Again { at } => r.rip = at + ahead,
        Redirect::Here { call, cookie, at } => {
            r.rip = r.rip - SYSCALL_LEN + ahead;
            let [time, spare] = call.to_le_bytes();
            if let Some(at) = at {
                *argument(r, time) = at;
            }
            match spare & 4 {
                0 => {
                    let address = *argument(r, time) & u64::from(ADDRESS_BITS);
                    *argument(r, spare) = cookie | address;
                }
                // futex_wait(2): the upper half, which is all that is given.
                _ => r.r9 = r.r9 & 0xffff_ffff | cookie,
            }
        }
    }
}

/// Has a thread that is stopped at the end of the call `number` make it again.
pub(crate) fn repeat(registers: &mut libc::user_regs_struct, number: u32) {
    registers.orig_rax = u64::MAX;
    registers.rax = number.into();
    registers.rip -= SYSCALL_LEN;
}

/// An address of the kernel's.
const NO_ADDRESS: u64 = 0xffff_8000_0000_0000;

/// Gives a thread that is stopped at the begin of a call another value for its first argument (`n` is 0), if
/// it has no other, or for its second, an `int`.
///
/// Unless its registers are set again at the call's end, the thread never sees a success: it comes to the
/// same `syscall` once more, as read(2) then (number 0, which is what it has got for a success) from a
/// descriptor that is none, or to an address that is none.
pub(crate) fn begin_with(registers: &mut libc::user_regs_struct, n: u8, value: u64) {
    registers.rip -= SYSCALL_LEN;
    match n {
        0 => (registers.rdi, registers.rsi) = (value, NO_ADDRESS),
        // The kernel takes an `int`.
        _ => registers.rsi = NO_ADDRESS | value & 0xffff_ffff,
    }
}

/// Has a stopped thread go on with a system call, made by the `syscall` instruction at `at`.
pub(crate) fn call(registers: &mut libc::user_regs_struct, at: u64, number: u32, args: &[u64; 6]) {
    let r = registers;
    r.rip = at;
    r.rax = number.into();
    // The kernel is not to restart anything.
    r.orig_rax = u64::MAX;
    [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9] = *args;
}

/// The instruction that makes a system call.
pub(crate) const SYSCALL: [u8; 2] = [0x0f, 0x05];

/// Sets what a thread that is stopped at the begin of a call sees as its result, once it goes on behind it.
pub(crate) fn end_with(registers: &mut libc::user_regs_struct, result: i64) {
    registers.orig_rax = u64::MAX;
    registers.rax = result.cast_unsigned();
}

/// The argument that a byte of `page::CALL` names.
pub(crate) fn argument(registers: &mut libc::user_regs_struct, byte: u8) -> &mut u64 {
    let r = registers;
    match byte & 0x38 {
        0x10 => &mut r.rdx,
        0x18 => &mut r.r10,
        0x20 => &mut r.r8,
        _ => &mut r.r9,
    }
}
