# gettimeofday(2).
    .globl __vdso_gettimeofday
    .type __vdso_gettimeofday, @function
__vdso_gettimeofday:
    .cfi_startproc
    test rdi, rdi
    je 1f
    push rsi
    .cfi_adjust_cfa_offset 8
    mov rsi, rdi
    xor edi, edi
    call elsewhen_high_res
    test eax, eax
    jne 3f
    # By 1000, exactly so for all below 2^32.
    imul rdi, rdi, 274877907
    shr rdi, 38
    mov [rsi + 8], rdi
    pop rsi
    .cfi_remember_state
    .cfi_adjust_cfa_offset -8
1:  xor eax, eax
    test rsi, rsi
    je 2f
    # The kernel judges the pointer.
    xor edi, edi
    mov al, {gettimeofday}
    mov r9, [rip + ELSEWHEN_PAGE + {cookie}]
    syscall
    xor r9d, r9d
2:  ret

3:  .cfi_restore_state
    pop rcx
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_endproc
    .size __vdso_gettimeofday, . - __vdso_gettimeofday
