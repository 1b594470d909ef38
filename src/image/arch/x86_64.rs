//! What composing an image takes on x86-64.
#![expect(unsafe_code, reason = "cpuid")]

/// `e_machine` of a vDSO that this image fits.
pub(crate) const MACHINE: u16 = 62;

/// The length of [`jump`].
pub(crate) const JUMP_LEN: usize = 5;

/// A jump from `from` to `to`: `jmp rel32`.
pub(crate) fn jump(from: u32, to: u32) -> [u8; JUMP_LEN] {
    let [a, b, c, d] = to.wrapping_sub(from).wrapping_sub(5).to_le_bytes();
    [0xe9, a, b, c, d]
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
