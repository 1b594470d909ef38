//! The x86-64 side of the image: the hot function, and the way to the kernel.
//!
//! `clock_gettime` is assembly because its speed lies in the order of a few instructions. `rdtscp`
//! comes first, and its forty cycles cover all loads; what depends on it is a subtraction of low
//! halves, one multiplication, one addition and one shift, since the offset has been folded into
//! the base before the shift. All checks are predicted branches beside that path.
//!
//! It makes one attempt. Whatever it does not expect (an update under way, a counter older than the
//! data, another clock source, another clock id) it leaves to the kernel's own function.
#![expect(unsafe_code, reason = "assembly, and system calls")]

use core::arch::{asm, naked_asm};
use core::mem::offset_of;

use crate::entry::Time;
use crate::page::{COOKIE, OFFSET_INDEX, Page};

#[path = "x86_64/gate.rs"]
mod gate;

/// System call numbers.
pub(crate) mod nr {
    pub(crate) const RT_SIGPROCMASK: u32 = 14;
    pub(crate) const GETTIMEOFDAY: u64 = 96;
    pub(crate) const FUTEX: u32 = 202;
    pub(crate) const CLOCK_GETTIME: u64 = 228;
    pub(crate) const CLOCK_NANOSLEEP: u32 = 230;
    pub(crate) const MQ_TIMEDSEND: u32 = 242;
    pub(crate) const FUTEX_WAITV: u32 = 449;
    pub(crate) const FUTEX_WAIT: u32 = 455;
}

/// `clock_gettime(2)`. DIFFERENCE: for an ALARM clock Linux gives EFAULT where this faults.
///
/// # Safety
/// `tp` is writable; for a clock that is not shifted it may be anything, for the kernel to judge.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.hot")]
pub(crate) unsafe extern "C" fn __vdso_clock_gettime(clock: u32, tp: *mut Time) -> i32 {
    // Uses no stack, so that its unwind entry is that of any leaf.
    //
    // What the composer fills in (`src/image/site.rs`) stands as `HOLE8` or `HOLE32` here, with a
    // record in `.sites` behind the instruction: where, what, how wide, and what is added to it.
    naked_asm!(
        r#"
    .cfi_startproc
    .set HOLE8, 0x40
    .set HOLE32, 0x40404040
    .macro site what, width, more=0
.Lsite\@:
    .pushsection .sites, "", @progbits
    .long .Lsite\@ - \width
    .byte \what, \width, \more, 0
    .popsection
    .endm

    .set CLOCK_DATA, 0
    .set RAW_DATA, 1
    .set SEQ, 2
    .set MODE, 3
    .set CYCLE_LAST, 4
    .set MULT, 5
    .set SHIFT, 6
    .set BASETIME, 7
    .set TIMENS_MODE, 8
    .set TIMENS_PAGE, 9
    .set HIGH_RES, 10
    .set COARSE, 11
    .set COARSE_SEQ, 12
    .set COARSE_BASETIME, 13

    # `do_coarse`: the time of the last update, whatever the clock source. First, since here each
    # instruction and each jump counts. The ids are 5 and 6, their words 0 and 2.
    lea ecx, [rdi - 5]
    cmp ecx, HOLE8
    site COARSE, 1
    jae 10f
    add edi, edi
    lea r8, [rip + ELSEWHEN_PAGE + {offsets} - 80]
    mov edx, [r8 + HOLE32]
    site COARSE_SEQ, 4
    mov r10, [r8 + rdi * 8]
    mov eax, r10d
    and eax, 0x3fffffff
    sar r10, 30
    test dl, 1
    jne 22f
    add rax, [r8 + rdi * 8 + HOLE32]
    site COARSE_BASETIME, 4, 8
    add r10, [r8 + rdi * 8 + HOLE32]
    site COARSE_BASETIME, 4
    cmp edx, [r8 + HOLE32]
    site COARSE_SEQ, 4
    jne 8f
21: cmp rax, 999999999
    ja 6f
    mov [rsi], r10
    mov [rsi + 8], rax
    xor eax, eax
    ret

    # `do_hres`.
10: mov ecx, HOLE32
    site HIGH_RES, 4
    bt ecx, edi
    jnc 9f
    rdtscp
    # A shift by the id, as above, looks at its low bits only.
    cmp edi, 31
    ja 9f
    lea r8, [rip + HOLE32]
    site CLOCK_DATA, 4
    lea r9, [rip + HOLE32]
    site RAW_DATA, 4
    cmp edi, 4
    cmove r8, r9
    # The offset: r10 seconds, r11 nanoseconds.
    add edi, edi
    mov [rsp - 8], edi
    mov ecx, edi
    mov r10d, {index}
    shr r10d, cl
    and r10d, 3
    lea r11, [rip + ELSEWHEN_PAGE + {offsets}]
    mov r10, [r11 + r10 * 8]
    mov r11d, r10d
    and r11d, 0x3fffffff
    sar r10, 30
    mov r9d, [r8 + HOLE8]
    site SEQ, 1
    test r9b, 1
    jne 5f
    # r8: the clock data, r9: their `seq`. The base takes the offset, and gives beforehand what the
    # low half of `cycle_last`, multiplied, would take from the product.
2:  mov ecx, [r8 + HOLE8]
    site SHIFT, 1
    shl r11, cl
    add r11, [r8 + rdi * 8 + HOLE8]
    site BASETIME, 1, 8
    add r10, [r8 + rdi * 8 + HOLE8]
    site BASETIME, 1
    mov edi, [r8 + HOLE8]
    site MULT, 1
    mov ecx, [r8 + HOLE8]
    site CYCLE_LAST, 1
    imul rcx, rdi
    sub r11, rcx
    mov ecx, [r8 + HOLE8]
    site SHIFT, 1
    cmp eax, [r8 + HOLE8]
    site CYCLE_LAST, 1
    jb 4f
    cmp edx, [r8 + HOLE8]
    site CYCLE_LAST, 1, 4
    jne 4f
3:  imul rax, rdi
    add rax, r11
    shr rax, cl
    mov ecx, [r8 + HOLE8]
    site MODE, 1
    cmp r9d, [r8 + HOLE8]
    site SEQ, 1
    jne 7f
    cmp ecx, 1
    jne 7f
    cmp rax, 999999999
    ja 6f
    mov [rsi], r10
    mov [rsi + 8], rax
    xor eax, eax
    ret

    # The low half has run over since `cycle_last`, or the cycles are not from 0 to 2^32.
4:  mov ecx, eax
    sub ecx, [r8 + HOLE8]
    site CYCLE_LAST, 1
    sbb edx, [r8 + HOLE8]
    site CYCLE_LAST, 1, 4
    jne 7f
    mov rcx, rdi
    shl rcx, 32
    add r11, rcx
    mov ecx, [r8 + HOLE8]
    site SHIFT, 1
    jmp 3b

    # `do_hres_timens`: the kernel's own offset stands in place of a base, and the data in another
    # page.
5:  mov ecx, [r8 + HOLE8]
    site MODE, 1
    cmp ecx, HOLE32
    site TIMENS_MODE, 4
    jne 8f
    add r11, [r8 + rdi * 8 + HOLE8]
    site BASETIME, 1, 8
    add r10, [r8 + rdi * 8 + HOLE8]
    site BASETIME, 1
    add r8, HOLE32
    site TIMENS_PAGE, 4
    mov r9d, [r8 + HOLE8]
    site SEQ, 1
    test r9b, 1
    je 2b
    jmp 8f

    # `do_coarse_timens`.
22: lea r8, [rip + HOLE32]
    site CLOCK_DATA, 4
    mov ecx, [r8 + HOLE8]
    site MODE, 1
    cmp ecx, HOLE32
    site TIMENS_MODE, 4
    jne 8f
    add rax, [r8 + rdi * 8 + HOLE8]
    site BASETIME, 1, 8
    add r10, [r8 + rdi * 8 + HOLE8]
    site BASETIME, 1
    add r8, HOLE32
    site TIMENS_PAGE, 4
    mov edx, [r8 + HOLE8]
    site SEQ, 1
    test dl, 1
    jne 8f
    add rax, [r8 + rdi * 8 + HOLE8]
    site BASETIME, 1, 8
    add r10, [r8 + rdi * 8 + HOLE8]
    site BASETIME, 1
    cmp edx, [r8 + HOLE8]
    site SEQ, 1
    je 21b
    jmp 8f

6:  inc r10
    sub rax, 1000000000
    jmp 21b

7:  mov edi, [rsp - 8]
8:  shr edi, 1
9:  jmp {slow}
    .cfi_endproc
    "#,
        index = const OFFSET_INDEX,
        offsets = const offset_of!(Page, offsets),
        slow = sym crate::entry::slow,
    )
}

/// The kernel's answer, unshifted.
///
/// The composer puts the first instructions of the kernel's own function here, and a jump to the
/// rest of it; this stands if there is none that can be used.
///
/// # Safety
/// As the system call demands.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn elsewhen_kernel(clock: u32, tp: *mut Time) -> i32 {
    naked_asm!(
        r#"
    .cfi_startproc
    mov eax, {clock_gettime}
    movabs r9, {cookie}
    syscall
    ret
    .cfi_endproc
    .fill 20 - (. - elsewhen_kernel), 1, 0xcc
    # Room for what goes before the system call in the kernel's function: the cookie.
    .globl elsewhen_cookies
elsewhen_cookies:
    .fill 20, 1, 0xcc
    "#,
        clock_gettime = const nr::CLOCK_GETTIME,
        cookie = const COOKIE,
    )
}

/// The system call `nr(first, second)` with `cookie` as its sixth argument; 0 or a negative errno.
/// The register does not keep it: see [`forget_cookie`].
///
/// # Safety
/// As the system call demands of its two arguments.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "an errno is below 4096")]
pub(crate) unsafe fn syscall(nr: u64, first: u64, second: u64, cookie: u64) -> i32 {
    let result: i64;
    // SAFETY: the caller's promise; the kernel changes rax, rcx and r11 only.
    unsafe {
        asm!(
            "syscall",
            "xor r9d, r9d",
            inlateout("rax") nr.cast_signed() => result,
            in("rdi") first,
            in("rsi") second,
            inlateout("r9") cookie => _,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result as i32
}

/// Takes the cookie of a system call that has been made out of its register: a call of the program's
/// own that leaves its sixth argument to chance would be let through unshifted.
#[inline(always)]
pub(crate) fn forget_cookie() {
    // SAFETY: the register is declared.
    unsafe { asm!("xor r9d, r9d", out("r9") _, options(nomem, nostack)) };
}
