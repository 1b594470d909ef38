//! What composing an image takes on x86-64.
#![expect(unsafe_code, reason = "cpuid and rdtscp")]

use crate::page::COOKIE;

/// `e_machine` of a vDSO that this image fits.
pub(crate) const MACHINE: u16 = 62;

/// `clock_mode` of data that the counter continues (`VDSO_CLOCKMODE_TSC`).
pub(crate) const COUNTER_MODE: u32 = 1;

/// The length of `syscall`.
pub(crate) const SYSCALL_LEN: usize = 2;

/// The length of `jmp *%r11`.
pub(crate) const JUMP_TO_REGISTER_LEN: usize = 3;

/// The length of [`jump`].
pub(crate) const JUMP_LEN: usize = 5;

/// A jump from `from` to `to`, both places in the image: `jmp rel32`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "an image is a few pages long"
)]
pub(crate) fn jump(from: usize, to: usize) -> [u8; JUMP_LEN] {
    let [a, b, c, d] = (to.wrapping_sub(from).wrapping_sub(JUMP_LEN) as u32).to_le_bytes();
    [0xe9, a, b, c, d]
}

/// A jump from `from` to `to`, which are close: `jmp rel8`.
#[expect(clippy::cast_possible_truncation, reason = "the blob sees to it")]
pub(crate) const fn short_jump(from: usize, to: usize) -> [u8; 2] {
    assert!(to >= from + 2 && to - from - 2 < 128);
    [0xeb, (to - from - 2) as u8]
}

/// The bytes at `elsewhen_kernel`, and how many [`STUBS`] fit at `elsewhen_cookies`.
pub(crate) const ENTRY_ROOM: usize = 20;
pub(crate) const STUBS: usize = 1;
pub(crate) const STUB_LEN: usize = 20;

/// `mov $228,%eax; syscall`, as compilers make it of `clock_gettime_fallback`.
const CALL: [u8; 7] = [0xb8, 228, 0, 0, 0, 0x0f, 0x05];

/// The system calls that [`stub`] can be put before, by their places in `code`.
pub(crate) fn clock_gettime_calls(code: &[u8]) -> impl Iterator<Item = usize> {
    code.windows(CALL.len())
        .enumerate()
        .filter_map(|(at, bytes)| (bytes == CALL).then_some(at))
}

/// Everything in `code` that may be a system call.
pub(crate) fn system_calls(code: &[u8]) -> usize {
    code.windows(2)
        .filter(|bytes| *bytes == [0x0f, 0x05])
        .count()
}

/// What stands at `at` in place of the first instruction of the `call`: the same with the cookie.
///
/// Nothing lives in `%r9` there: what follows the system call is the function's end.
pub(crate) fn stub(at: usize, call: usize) -> [u8; STUB_LEN] {
    let mut stub = [0; STUB_LEN];
    stub[..5].copy_from_slice(&CALL[..5]);
    stub[5..7].copy_from_slice(&[0x49, 0xb9]);
    stub[7..15].copy_from_slice(&COOKIE.to_le_bytes());
    stub[15..].copy_from_slice(&jump(at + 15, call + 5));
    stub
}

/// The length of the first instructions of `code` that make up `least` bytes or more; `None` unless
/// all are such as a function begins with and may run anywhere.
pub(crate) fn whole_instructions(code: &[u8], least: usize) -> Option<usize> {
    let mut len = 0;
    while len < least {
        len += match *code.get(len..)? {
            [0xf3, 0x0f, 0x1e, 0xfa, ..] => 4, // endbr64
            [0x50..=0x57, ..] => 1,            // push
            [0x41, 0x50..=0x57, ..] => 2,
            // mov, movslq, xor, test, cmp between registers
            [
                0x48..=0x4f,
                0x89 | 0x8b | 0x63 | 0x31 | 0x85 | 0x39,
                0xc0..=0xff,
                ..,
            ] => 3,
            [0x89 | 0x8b | 0x31 | 0x85 | 0x39, 0xc0..=0xff, ..] => 2,
            [0x83, 0xc0..=0xff, _, ..] => 3, // and, cmp, sub with a byte
            [0x48, 0x83, 0xc0..=0xff, _, ..] => 4,
            [0xb8..=0xbf, _, _, _, _, ..] => 5, // mov $imm32
            _ => return None,
        };
    }
    Some(len)
}

/// DWARF call frame instructions of the gate, by its places `lowered`, `kept`, `left` and `inside`:
/// up to the second of them and from the third to the fourth the return address is in `rcx`, else in
/// the frame of `size` bytes, at `back`.
pub(crate) const fn gate_rules(places: [usize; 4], size: usize, back: usize) -> [u8; 26] {
    const DEF_CFA_OFFSET: u8 = 0x0e;
    const REGISTER: u8 = 0x09;
    const ADVANCE: u8 = 0x40;
    const ADVANCE2: u8 = 0x03;
    const OFFSET: u8 = 0x80;
    const RETURN: u8 = 16;
    const RCX: u8 = 2;
    let [lowered, kept, left, inside] = places;
    assert!(lowered < 64 && kept - lowered < 64 && inside - left < 64 && left - kept < 0x1_0000);
    assert!(size < 0x4000 && (size - back).is_multiple_of(8) && (size - back) / 8 < 128);
    // ULEB128, two bytes.
    let frame = [byte(size & 0x7f) | 0x80, byte(size >> 7)];
    let slot = byte((size - back) / 8);
    let further = left - kept;
    [
        DEF_CFA_OFFSET,
        0,
        REGISTER,
        RETURN,
        RCX,
        ADVANCE | byte(lowered),
        DEF_CFA_OFFSET,
        frame[0],
        frame[1],
        ADVANCE | byte(kept - lowered),
        OFFSET | RETURN,
        slot,
        ADVANCE2,
        byte(further & 0xff),
        byte(further >> 8),
        DEF_CFA_OFFSET,
        0,
        REGISTER,
        RETURN,
        RCX,
        ADVANCE | byte(inside - left),
        DEF_CFA_OFFSET,
        frame[0],
        frame[1],
        OFFSET | RETURN,
        slot,
    ]
}

#[expect(clippy::cast_possible_truncation, reason = "asserted")]
const fn byte(value: usize) -> u8 {
    assert!(value < 256);
    value as u8
}

/// Whether the processor has the ordered counter that the image reads (`rdtscp`).
#[allow(unused_unsafe, reason = "`__cpuid` is safe in later compilers")]
pub(crate) fn has_counter() -> bool {
    // SAFETY: every x86-64 processor has cpuid.
    unsafe {
        core::arch::x86_64::__cpuid(0x8000_0000).eax >= 0x8000_0001
            && core::arch::x86_64::__cpuid(0x8000_0001).edx >> 27 & 1 == 1
    }
}

/// The time stamp counter. The processor has `rdtscp`, or `has_counter` would have said so.
pub(crate) fn counter() -> u64 {
    let mut processor = 0;
    // SAFETY: writes to `processor` only.
    unsafe { core::arch::x86_64::__rdtscp(&raw mut processor) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prologues_of_known_kernels_are_whole_and_others_are_refused() {
        let len = |code: &[u8]| whole_instructions(code, JUMP_LEN);
        // 6.1, 6.18: push %rbp; mov %rsp,%rbp; push %r13 or %r14. 6.12: endbr64; push %rbp.
        assert_eq!(len(b"\x55\x48\x89\xe5\x41\x55\x41\x54"), Some(6));
        assert_eq!(len(b"\xf3\x0f\x1e\xfa\x55\x48\x89\xe5"), Some(5));
        // cmp $15,%edi; ja; and an address relative to the instruction.
        assert_eq!(len(b"\x83\xff\x0f\x0f\x87\0\0\0\0"), None);
        assert_eq!(len(b"\x4c\x8d\x15\0\0\0\0"), None);
        assert_eq!(len(b"\x55\x48\x89"), None);
    }

    #[test]
    fn a_stub_returns_to_the_system_call() {
        let stub = stub(0x1f00, 0xbda);
        assert_eq!(stub[15..], jump(0x1f0f, 0xbdf));
        assert_eq!(
            clock_gettime_calls(b"\x90\xb8\xe4\0\0\0\x0f\x05").next(),
            Some(1)
        );
    }
}
