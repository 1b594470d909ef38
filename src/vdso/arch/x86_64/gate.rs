//! The gate: converts an absolute time and makes the call with it, in the calling thread.
//!
//! A thread comes here in place of its `syscall` instruction, with the registers as they are there
//! but for `rcx`, which holds the address behind it: the supervisor brings it when a call site is used
//! first, later a jump at the site does. The call's own time is left alone; what the kernel gets is a
//! copy in a frame on the thread's stack, below the red zone, and the cookie in an argument register
//! that the call does not use. All other state is in the registers and in that frame, so handlers
//! may interrupt the gate anywhere, come here themselves, or leave it by siglongjmp(3).
//!
//! A call that is no absolute wait for a clock of ours goes back to its own instruction. Calls that
//! open a file have an entry of their own, at the end, which an image may lack for want of room.
//!
//! From `elsewhen_gate_restart` on everything is loaded anew by the stack pointer alone: a thread
//! that is stopped between there and `elsewhen_gate_call` may be taken back.
#![expect(unsafe_code, reason = "assembly, and exported symbols")]

use core::arch::naked_asm;
use core::mem::offset_of;

use super::nr;
use crate::page::{CALL, EXCHANGE_COOKIE, OFFSET_INDEX, OPEN_COOKIE, Page, SHIFTED, frame};

/// See the module's description.
///
/// # Safety
/// To be jumped to, as described there.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".gate")]
pub(crate) unsafe extern "C" fn elsewhen_gate() {
    // No instruction up to `lahf` may change the flags: the kernel keeps them.
    naked_asm!(
        r#"
    .macro page more:vararg
    .pushsection .gate_sites, "", @progbits
    .long .Lpage\@ - 4, \more
    .popsection
.Lpage\@:
    .endm

    mov r11d, 0
    # With `r11` saying what the call is like (`page::CALL`).
    .globl elsewhen_gate_told
elsewhen_gate_told:
    lea rsp, [rsp - {size}]
    .globl elsewhen_gate_lowered
elsewhen_gate_lowered:
    mov [rsp + {back}], rcx
    .globl elsewhen_gate_kept
elsewhen_gate_kept:
    mov [rsp + {number}], eax
    lahf
    seto al
    mov [rsp + {flags}], ax
    mov [rsp + {args}], rdi
    mov [rsp + {args} + 8], rsi
    mov [rsp + {args} + 16], rdx
    mov [rsp + {args} + 24], r10
    mov [rsp + {args} + 32], r8
    mov [rsp + {args} + 40], r9
    mov eax, [rsp + {number}]
    test r11d, r11d
    jne 9f

    # futex(2): FUTEX_LOCK_PI goes by CLOCK_REALTIME always, the others by CLOCK_MONOTONIC unless
    # a bit says otherwise.
    cmp eax, {futex}
    jne 2f
    test r10, r10
    je 5f
    mov ecx, esi
    and ecx, ~0x180
    mov r11d, {in_r10} | {cookie_r8}
    cmp ecx, 6
    je 9f
    test esi, 0x100
    jne 1f
    or r11d, {monotonic}
1:  cmp ecx, 9
    je 9f
    cmp ecx, 13
    je 9f
    cmp ecx, 11
    jne 5f
    xor r11d, {cookie_r8} ^ {cookie_r9}
    jmp 9f

2:  sub eax, {clock_nanosleep}
    jne 2f
    test sil, 1
    je 5f
    mov ecx, edi
    mov r11d, {in_rdx} | {cookie_r9}
    jmp 8f

    # mq_timedsend(2) and mq_timedreceive(2): CLOCK_REALTIME.
2:  mov r11d, {in_r8} | {cookie_r9}
    sub eax, {mq_timedsend} - {clock_nanosleep}
    cmp eax, 1
    ja 2f
    test r8, r8
    jne 9f
    jmp 5f

2:  sub eax, {futex_waitv} - {mq_timedsend}
    jne 2f
    test r10, r10
    je 5f
    mov ecx, r8d
    mov r11d, {in_r10} | {cookie_r9}
    jmp 8f

2:  sub eax, {futex_wait} - {futex_waitv}
    jne 5f
    test r8, r8
    je 5f
    mov ecx, r9d
    mov r11d, {in_r8} | {cookie_r9_high}
    jmp 8f

    # Back to the call's own instruction.
5:  mov eax, [rsp + {number}]
    mov r11, [rsp + {back}]
    sub r11, 2
    jmp 7f

    # The end: `rax` as it is, to `r11`.
    .globl elsewhen_gate_leave
elsewhen_gate_leave:
6:  mov r11, [rsp + {back}]
7:  mov rcx, rax
    movzx eax, word ptr [rsp + {flags}]
    add al, 0x7f
    sahf
    mov rax, rcx
    mov rcx, [rsp + {back}]
    lea rsp, [rsp + {size}]
    .globl elsewhen_gate_left
elsewhen_gate_left:
    jmp r11

    # A first use, with the number, its bytes exchanged, in `r11` above the rest. The supervisor has the thread
    # end its call two bytes behind this place, as one that was interrupted: unless a handler ends it, the
    # kernel goes back by two, and makes it anew. One that is ended is made all the same, but does not wait.
    .globl elsewhen_gate_first
elsewhen_gate_first:
    jmp short 1f
    mov eax, r11d
    bswap eax
    movzx eax, ax
    lea r11, [r11 + {interrupted}]
1:  jmp elsewhen_gate_told

    # The offset of clock ecx.
    .globl elsewhen_gate_inside
elsewhen_gate_inside:
8:  cmp ecx, 31
    ja 5b
    mov eax, {shifted}
    bt eax, ecx
    jae 5b
    add ecx, ecx
    mov eax, {index}
    shr eax, cl
    and eax, 3
    shl eax, 14
    or r11d, eax

    # What is put in place of arguments is kept: the time's address, and the cookie's register.
9:  mov [rsp + {call}], r11w
    mov ecx, r11d
    and ecx, 0x38
    mov rdx, [rsp + {args} + rcx]
    mov [rsp + {time}], rdx
    shr r11d, 8
    and r11d, 0x38
    mov rcx, [rsp + {args} + r11]
    mov [rsp + {spare}], rcx

    # An address that may be wrong is tried out by a system call that reads there and does nothing,
    # its first argument being wrong: where the kernel says EFAULT, this must not fault. Close above
    # the frame there is stack.
    mov rax, rdx
    sub rax, rsp
    cmp rax, {near}
    jb 2f
    mov rsi, rdx
    lea r8, [rdx + 8]
    test byte ptr [rsp + {call}], {itimerspec}
    je 1f
    add r8, 16
    # Within one page the last address stands for all; the first may be null, which is no mistake there.
1:  lea r10, [r8 + 7]
    xor r10, rdx
    test r10, -4096
    cmovz rsi, r8
    mov edi, -1
    xor edx, edx
    mov r10d, 8
1:  mov eax, {rt_sigprocmask}
    syscall
    cmp eax, -14
    je 3f
    cmp rsi, r8
    mov rsi, r8
    jne 1b
    mov rdx, [rsp + {time}]
2:  lea rax, [rsp + {host}]
    test byte ptr [rsp + {call}], {itimerspec}
    je 1f
    lea rax, [rsp + {interval}]
    mov rsi, [rdx]
    mov [rsp + {interval}], rsi
    mov rsi, [rdx + 8]
    mov [rsp + {interval} + 8], rsi
    add rdx, 16
1:  mov rsi, [rdx]
    mov [rsp + {guest}], rsi
    mov rsi, [rdx + 8]
    mov [rsp + {guest} + 8], rsi
    movzx ecx, byte ptr [rsp + {call}]
    and ecx, 0x38
    mov [rsp + {args} + rcx], rax
    jmp 4f
    # The kernel is to say what is wrong.
3:  or byte ptr [rsp + {call}], {as_it_is}

    .globl elsewhen_gate_restart
elsewhen_gate_restart:
    # First the generation, then the offset; a change writes them the other way round.
4:  mov eax, [rip + 0]
    page {generation}
    movzx ecx, byte ptr [rsp + {call} + 1]
    mov edx, ecx
    and ecx, 0x3f
    shr edx, 6
    test cl, 4
    jne 1f
    # The number, and the end of the time's address, bind the cookie to this call.
    movzx edi, byte ptr [rsp + {call}]
    and edi, 0x38
    shl eax, 16
    movzx edi, word ptr [rsp + {args} + rdi]
    or eax, edi
    mov edi, [rsp + {number}]
    add edi, [rip + 0]
    page {cookie}
    shl rdi, 32
    or rax, rdi
    mov [rsp + {args} + rcx], rax
    jmp 2f
    # Only half a register is free.
1:  shl eax, 16
    mov ax, [rip + 0]
    page {cookie} + 2
    rol eax, 16
    mov [rsp + {args} + 44], eax
2:  test byte ptr [rsp + {call}], {as_it_is}
    jne 3f
    lea r11, [rip + 0]
    page {offsets}
    mov rax, [r11 + rdx * 8]
    mov rsi, [rsp + {guest}]
    mov rdi, [rsp + {guest} + 8]
    # `timespec64_valid`: else it is the kernel's to refuse. Zero disarms a timer, and has passed
    # on every clock.
    test rsi, rsi
    js 2f
    cmp rdi, 999999999
    ja 2f
    test byte ptr [rsp + {call}], {interrupted}
    jne 5f
    mov rdx, rsi
    or rdx, rdi
    je 2f
    # `timens_ktime_to_host`: what lies before the host's epoch has passed.
    mov edx, eax
    and edx, 0x3fffffff
    sar rax, 30
    sub rdi, rdx
    jns 1f
    add rdi, 1000000000
    dec rsi
1:  mov rdx, rsi
    sub rdx, rax
    jo 2f
    js 5f
    mov rsi, rdx
    or rdx, rdi
    jne 2f
5:  xor esi, esi
    mov edi, 1
2:  mov [rsp + {host}], rsi
    mov [rsp + {host} + 8], rdi
3:  mov rdi, [rsp + {args}]
    mov rsi, [rsp + {args} + 8]
    mov rdx, [rsp + {args} + 16]
    mov r10, [rsp + {args} + 24]
    mov r8, [rsp + {args} + 32]
    mov r9, [rsp + {args} + 40]
    mov eax, [rsp + {number}]
    .globl elsewhen_gate_call
elsewhen_gate_call:
    syscall
    .globl elsewhen_gate_after
elsewhen_gate_after:
    movzx ecx, byte ptr [rsp + {call}]
    test cl, {interrupted}
    jne 1f
2:  and ecx, 0x38
    mov rdx, [rsp + {time}]
    mov [rsp + {args} + rcx], rdx
    movzx ecx, byte ptr [rsp + {call} + 1]
    and ecx, 0x38
    mov rdx, [rsp + {spare}]
    mov [rsp + {args} + rcx], rdx
    mov rdx, [rsp + {args} + 16]
    mov r10, [rsp + {args} + 24]
    mov r8, [rsp + {args} + 32]
    mov r9, [rsp + {args} + 40]
    jmp 6b
    # Its time has come: it would have waited, and been interrupted.
1:  cmp rax, -110
    je 1f
    test rax, rax
    jne 2b
    cmp dword ptr [rsp + {number}], {clock_nanosleep}
    jne 2b
1:  mov rax, -4
    jmp 2b

    # As `elsewhen_gate_first`, for a call that is made here and is to load all anew.
    .globl elsewhen_gate_again
elsewhen_gate_again:
    jmp short 1f
    or byte ptr [rsp + {call}], {interrupted}
1:  jmp elsewhen_gate_restart
    "#,
        include_str!("opens.s"),
        r#"
    .globl elsewhen_gate_end
elsewhen_gate_end:
    "#,
        size = const frame::SIZE,
        args = const frame::ARGS,
        interval = const frame::INTERVAL,
        host = const frame::HOST,
        guest = const frame::GUEST,
        number = const frame::NUMBER,
        call = const frame::CALL,
        flags = const frame::FLAGS,
        back = const frame::BACK,
        time = const frame::TIME,
        spare = const frame::SPARE,
        near = const NEAR,
        interrupted = const CALL.interrupted,
        in_rdx = const CALL.in_rdx,
        in_r10 = const CALL.in_r10,
        in_r8 = const CALL.in_r8,
        cookie_r8 = const CALL.cookie_r8,
        cookie_r9 = const CALL.cookie_r9,
        cookie_r9_high = const CALL.cookie_r9_high,
        monotonic = const CALL.monotonic,
        itimerspec = const CALL.itimerspec,
        as_it_is = const CALL.as_it_is,
        shifted = const SHIFTED,
        index = const OFFSET_INDEX,
        cookie = const offset_of!(Page, cookie) + 4,
        generation = const offset_of!(Page, generation),
        offsets = const offset_of!(Page, offsets),
        rt_sigprocmask = const nr::RT_SIGPROCMASK,
        futex = const nr::FUTEX,
        clock_nanosleep = const nr::CLOCK_NANOSLEEP,
        mq_timedsend = const nr::MQ_TIMEDSEND,
        futex_waitv = const nr::FUTEX_WAITV,
        futex_wait = const nr::FUTEX_WAIT,
        older = const nr::OPENAT,
        statx = const nr::STATX,
        open_cookie = const OPEN_COOKIE,
        exchange = const EXCHANGE_COOKIE,
    )
}

/// So far above its frame the gate takes the stack to go on, less a `struct itimerspec`.
const NEAR: usize = 0x4000 - 32;
