# time(2): the second of the last tick, as the kernel's. One cache line holds all that is usual.
    .section .text.hot, "ax", @progbits
    .balign 64
    .globl __vdso_time
    .type __vdso_time, @function
__vdso_time:
    .cfi_startproc
    lea rcx, [rip + HOLE32]
    site TIME_DATA, 4
    mov edx, [rcx + HOLE8]
    site COARSE_SEQ, 1
    mov rax, [rip + ELSEWHEN_PAGE + {offsets}]
    and edx, -2
    mov esi, eax
    and esi, 0x3fffffff
    sar rax, 30
    add esi, [rcx + 8]
    add rax, [rcx]
    cmp edx, [rcx + HOLE8]
    site COARSE_SEQ, 1
    jne elsewhen_time_called
    # One more unless the nanoseconds are below a second.
    cmp esi, 1000000000
    sbb rax, -1
1:  test rdi, rdi
    je 2f
    mov [rdi], rax
2:  ret

elsewhen_time_called:
    push rdi
    .cfi_adjust_cfa_offset 8
    # Room for a `timespec`.
    push rdi
    .cfi_adjust_cfa_offset 8
    push rdi
    .cfi_adjust_cfa_offset 8
    mov rsi, rsp
    mov edi, 5
    call __vdso_clock_gettime
    pop rcx
    .cfi_adjust_cfa_offset -8
    pop rdi
    .cfi_adjust_cfa_offset -8
    pop rdi
    .cfi_adjust_cfa_offset -8
    cdqe
    test eax, eax
    jne 2b
    mov rax, rcx
    jmp 1b
    .cfi_endproc
    .size __vdso_time, . - __vdso_time
