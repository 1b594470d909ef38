//! x86-64: audit architectures and the system call numbers of its three ABIs.

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
    pub(crate) const BRK: u32 = 12;
    pub(crate) const GETPID: u32 = 39;
    pub(crate) const EXECVE: u32 = 59;
    pub(crate) const GETTIMEOFDAY: u32 = 96;
    pub(crate) const SYSINFO: u32 = 99;
    pub(crate) const ARCH_PRCTL: u32 = 158;
    pub(crate) const ADJTIMEX: u32 = 159;
    pub(crate) const SETTIMEOFDAY: u32 = 164;
    pub(crate) const TIME: u32 = 201;
    pub(crate) const CLOCK_SETTIME: u32 = 227;
    pub(crate) const CLOCK_GETTIME: u32 = 228;
    pub(crate) const CLOCK_ADJTIME: u32 = 305;
    pub(crate) const EXECVEAT: u32 = 322;
    /// The same in all three tables.
    pub(crate) const IO_URING_SETUP: u32 = 425;
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
