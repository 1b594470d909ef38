//! Machine code of the smallest programs for x86-64.

/// `e_machine`.
pub(crate) const MACHINE: u16 = 62;

/// `brk(NULL)`, as the C libraries begin.
pub(crate) const BREAK: &[u8] = &[
    0x31, 0xff, // xor edi, edi
    0xb8, 12, 0, 0, 0, // mov eax, 12
    0x0f, 0x05, // syscall
];

/// `arch_prctl(ARCH_SET_FS, rsp)`, as they set up the first thread.
pub(crate) const SET_THREAD: &[u8] = &[
    0xbf, 0x02, 0x10, 0, 0, // mov edi, 0x1002
    0x48, 0x89, 0xe6, // mov rsi, rsp
    0xb8, 158, 0, 0, 0, // mov eax, 158
    0x0f, 0x05, // syscall
];

/// `exit_group(0)`.
pub(crate) const EXIT: &[u8] = &[
    0x31, 0xff, // xor edi, edi
    0xb8, 231, 0, 0, 0, // mov eax, 231
    0x0f, 0x05, // syscall
];

/// `kill(getpid(), SIGSTOP)`.
pub(crate) const STOP: &[u8] = &[
    0xb8, 39, 0, 0, 0, // mov eax, 39
    0x0f, 0x05, // syscall
    0x89, 0xc7, // mov edi, eax
    0xbe, 19, 0, 0, 0, // mov esi, 19
    0xb8, 62, 0, 0, 0, // mov eax, 62
    0x0f, 0x05, // syscall
];
