# `do_coarse`, the time of the last update, whatever the clock source: two parts of clock_gettime(2).
#
# Each of the two clocks has a cache line for itself, since what is in one line costs nothing beside
# the call and the return, and a second line costs as much as all the rest. To fit, a byte has to
# reach all of the kernel's data from the base register.
    .org __vdso_time + 112, 0xcc
    .type elsewhen_coarse, @function
    .globl elsewhen_coarse
elsewhen_coarse:
    .cfi_startproc
    # As far from both lines as a short jump goes.
21: jmp 24f
    .org __vdso_time + 117, 0xcc
22: inc rcx
    sub eax, 1000000000
    jmp 23f

# An odd `seq` differs from itself without its lowest bit.
    .macro coarse second, more
    lea r8, [rip + HOLE32]
    site COARSE_DATA, 4
    mov edx, [r8 + HOLE8]
    site COARSE_SEQ, 1
    mov rcx, [r8 + HOLE32]
    site COARSE_OFFSET, 4, \more
    and edx, -2
    mov eax, ecx
    and eax, 0x3fffffff
    sar rcx, 30
    add eax, [r8 + \second + 8]
    add rcx, [r8 + \second]
    cmp edx, [r8 + HOLE8]
    site COARSE_SEQ, 1
    jne 21b
    cmp eax, 999999999
    ja 22b
23: mov [rsi], rcx
    mov [rsi + 8], rax
    xor eax, eax
    ret
    .endm

    .balign 64
elsewhen_monotonic_coarse:
    coarse 16, 16

    .balign 64
elsewhen_realtime_coarse:
    coarse 0, 0

    .balign 64
    .cfi_endproc
    .size elsewhen_coarse, . - elsewhen_coarse
