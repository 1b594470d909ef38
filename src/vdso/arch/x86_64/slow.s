# The rest of clock_gettime(2), which uses no stack either: one frame description is for all of it.
#
# The kernel's own answer, shifted if the clock is, whose id is below 32.
elsewhen_slow:
    mov eax, {shifted}
    bt eax, edi
    jc elsewhen_shifted

# The kernel's answer, unshifted.
#
# The composer puts the first instructions of the kernel's own function here, and a jump to the
# rest of it; this stands if there is none that can be used.
elsewhen_kernel:
    xor eax, eax
    mov al, {clock_gettime}
    mov r9, [rip + ELSEWHEN_PAGE + {cookie}]
    syscall
    # The register keeps no cookie: a call of the program's own that leaves its sixth argument to
    # chance would be let through unshifted.
    xor r9d, r9d
    ret
    .fill 20 - (. - elsewhen_kernel), 1, 0xcc
    .cfi_endproc
    .size __vdso_clock_gettime, . - __vdso_clock_gettime

    .type elsewhen_shifted, @function
elsewhen_shifted:
    .cfi_startproc
    push rsi
    .cfi_adjust_cfa_offset 8
    push rdi
    .cfi_adjust_cfa_offset 8
    # Room for a `timespec`, and for the stack's alignment.
    push rdi
    .cfi_adjust_cfa_offset 8
    push rdi
    .cfi_adjust_cfa_offset 8
    push rdi
    .cfi_adjust_cfa_offset 8
    mov rsi, rsp
    call elsewhen_kernel
    pop r10
    .cfi_adjust_cfa_offset -8
    pop rdi
    .cfi_adjust_cfa_offset -8
    pop rcx
    .cfi_adjust_cfa_offset -8
    pop rcx
    .cfi_adjust_cfa_offset -8
    pop rsi
    .cfi_adjust_cfa_offset -8
    test eax, eax
    jne 2f
    add ecx, ecx
    # ecx twice the clock's id, r10 seconds, rdi nanoseconds.
elsewhen_shift:
    mov r8d, {index}
    shr r8d, cl
    and r8d, 3
    lea r9, [rip + ELSEWHEN_PAGE + {offsets}]
    mov r8, [r9 + r8 * 8]
    mov ecx, r8d
    and ecx, 0x3fffffff
    sar r8, 30
    add rdi, rcx
    add r10, r8
    jmp elsewhen_normalise
2:  ret
    .cfi_endproc
    .size elsewhen_shifted, . - elsewhen_shifted
