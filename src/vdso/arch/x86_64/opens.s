    # Where threads come in from a patched site that opens a file: open(2) and openat(2). So do those
    # that only name one: stat(2), newfstatat(2), statx(2), readlink(2) and readlinkat(2).
    #
    # First the kernel opens it. Only then is the path looked at: that there is one the kernel has
    # found out, and an error is the answer. If the path's last component may be that of a view, the
    # supervisor is asked to put the view in the descriptor's place; if it cannot, the descriptor
    # stays as it is. A path that another thread takes away meanwhile is that thread's mistake.
    .globl elsewhen_gate_open
elsewhen_gate_open:
    lea rsp, [rsp - {size}]
    mov [rsp + {back}], rcx
    mov [rsp + {number}], eax
    lahf
    seto al
    mov [rsp + {flags}], ax
    mov [rsp + {args} + 16], rdx
    mov [rsp + {args} + 32], r8
    mov [rsp + {args} + 40], r9
    mov eax, [rsp + {number}]
    mov rcx, rsi
    # The older calls begin with the path, the newer ones with its directory.
    cmp eax, {older}
    cmovb rcx, rdi
    mov [rsp + {time}], rcx
    # The number, and the low half of the path's address, bind the cookie to this call.
    lea r9d, [rax + {open_cookie}]
    shl r9, 32
    mov ecx, ecx
    or r9, rcx
    syscall
    mov [rsp + {spare}], rax
    # ENOENT: the kernel need not have files of time namespaces.
    cmp rax, -2
    je 5f
    test rax, rax
    js 4f
5:
    mov rcx, [rsp + {time}]
    # newfstatat(2) takes no path at all since Linux 6.11.
    test rcx, rcx
    je 4f
1:  mov rdx, rcx
2:  movzx r11d, byte ptr [rcx]
    inc rcx
    cmp r11d, '/'
    je 1b
    test r11d, r11d
    jne 2b
    # The length, with the zero.
    sub rcx, rdx
    cmp ecx, 5
    jb 4f
    # Of a longer one only the beginning is looked at: `uptime`, `time…`.
    mov edx, [rdx]
    cmp edx, 0x656d6974
    je 3f
    cmp edx, 0x69747075
    je 3f
    cmp edx, 0x74617473
    jne 4f
    cmp ecx, 5
    jne 4f
3:  mov rdx, [rsp + {args} + 16]
    mov eax, [rsp + {number}]
    # statx(2) has a fifth argument of its own.
    cmp eax, {statx}
    cmovne r8, [rsp + {spare}]
    lea r9d, [rax + {exchange}]
    shl r9, 32
    mov ecx, [rsp + {time}]
    or r9, rcx
    syscall
    cmp rax, -4
    je 3b
    # Without a descriptor it was an open like any other.
    cmp dword ptr [rsp + {spare}], 0
    jl 4f
    mov rax, [rsp + {spare}]
4:  mov rdx, [rsp + {args} + 16]
    mov r8, [rsp + {args} + 32]
    mov r9, [rsp + {args} + 40]
    .globl elsewhen_gate_opened
elsewhen_gate_opened:
    jmp 6b
