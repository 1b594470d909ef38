# clock_gettime(2): `do_hres`, the time of the last update, and what the counter says since.
#
# `rdtscp` comes first, and its forty cycles cover all loads; what depends on it is a subtraction of
# low halves, one multiplication, one addition and one shift, since the offset has been folded into
# the base before the shift. All checks are predicted branches beside that path.
#
# After an update amid it, it begins anew, as the kernel's does. Another clock source, data that are
# too old and another clock id are left to the kernel.
    .globl __vdso_clock_gettime
    .type __vdso_clock_gettime, @function
__vdso_clock_gettime:
    .cfi_startproc
    cmp edi, HOLE8
    site COARSE_ID, 1
    je elsewhen_realtime_coarse
    cmp edi, HOLE8
    site COARSE_ID, 1, 1
    je elsewhen_monotonic_coarse
elsewhen_high_res:
    cmp edi, 31
    ja elsewhen_kernel
    mov ecx, HOLE32
    site HIGH_RES, 4
    bt ecx, edi
    jnc elsewhen_slow
1:  rdtscp
    lea r8, [rip + HOLE32]
    site CLOCK_DATA, 4
    lea r9, [rip + HOLE32]
    site RAW_DATA, 4
    # Where no clock is read directly, nobody comes here, and nothing is filled in below: what goes
    # before the system call in the kernel's function, the cookie, then lies in this place.
elsewhen_cookies:
    cmp edi, 4
    cmove r8, r9
    mov [rsp - 8], edi
    # The offset: r10 seconds, r11 nanoseconds.
    add edi, edi
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
    jne 8f
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
    jb 6f
    cmp edx, [r8 + HOLE8]
    site CYCLE_LAST, 1, 4
    jne 6f
3:  imul rdi, rax
    add rdi, r11
    shr rdi, cl
    cmp dword ptr [r8 + HOLE8], 1
    site MODE, 1, 0, 1
    jne 7f
    cmp r9d, [r8 + HOLE8]
    site SEQ, 1
    jne 7f
    # r10 seconds, rdi nanoseconds: gettimeofday(2) takes them from there.
elsewhen_normalise:
4:  cmp rdi, 999999999
    ja 5f
    mov [rsi], r10
    mov [rsi + 8], rdi
    xor eax, eax
    ret

5:  inc r10
    sub rdi, 1000000000
    jmp 4b

    # The low half has run over since `cycle_last`, or the cycles are not from 0 to 2^32.
6:  mov ecx, eax
    sub ecx, [r8 + HOLE8]
    site CYCLE_LAST, 1
    sbb edx, [r8 + HOLE8]
    site CYCLE_LAST, 1, 4
    # The update came after the counter was read, or this processor's is behind: no cycles, as the
    # kernel has it (`vdso_calc_ns`).
    cmovb eax, [r8 + HOLE8]
    site CYCLE_LAST, 1
    jb 61f
    jne 7f
    mov rcx, rdi
    shl rcx, 32
    add r11, rcx
61: mov ecx, [r8 + HOLE8]
    site SHIFT, 1
    jmp 3b

    # If no update was the cause, trying again would be of no use.
7:  cmp r9d, [r8 + HOLE8]
    site SEQ, 1
    mov edi, [rsp - 8]
    je elsewhen_slow
71: pause
    jmp 1b

    # `do_hres_timens`: the kernel's own offset stands in place of a base, and the data in another
    # page.
8:  cmp dword ptr [r8 + HOLE8], HOLE32
    site MODE, 1, 0, 4
    site TIMENS_MODE, 4
    jne 81f
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
81: shr edi, 1
    jmp 71b

    # A coarse clock's data were changing, or have changed.
24: lea r8, [rip + HOLE32]
    site CLOCK_DATA, 4
    cmp dword ptr [r8 + HOLE8], HOLE32
    site MODE, 1, 0, 4
    site TIMENS_MODE, 4
    je 9f
25: pause
    jmp __vdso_clock_gettime

    # `do_coarse_timens`, of the clock edi: the kernel's own offset, and the data in another page.
9:  lea ecx, [rdi + rdi]
    mov r10, [r8 + rcx * 8 + HOLE8]
    site BASETIME, 1
    mov r11, [r8 + rcx * 8 + HOLE8]
    site BASETIME, 1, 8
    add r8, HOLE32
    site TIMENS_PAGE, 4
    mov r9d, [r8 + HOLE8]
    site SEQ, 1
    and r9d, -2
    add r10, [r8 + rcx * 8 + HOLE8]
    site BASETIME, 1
    add r11, [r8 + rcx * 8 + HOLE8]
    site BASETIME, 1, 8
    cmp r9d, [r8 + HOLE8]
    site SEQ, 1
    jne 25b
    mov rdi, r11
    jmp elsewhen_shift
