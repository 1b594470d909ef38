//! `/proc/PID/auxv`: where a program's vDSO lies, and whether it is a 64-bit program.

use super::Task;

/// `AT_PAGESZ` and `AT_SYSINFO_EHDR` of `linux/auxvec.h` and `asm/auxvec.h`.
const AT_PAGESZ: u64 = 6;
const AT_SYSINFO_EHDR: u64 = 33;

/// What the auxiliary vector says.
pub(super) enum Auxv {
    /// A vector of 32-bit pairs.
    Compat,
    /// A vector of 64-bit pairs; `vdso` is `None` where the kernel runs with `vdso=0`.
    Native { vdso: Option<u64> },
}

impl Auxv {
    /// `None` if the vector cannot be read, or is empty because the process is ending.
    pub(super) fn read(task: &Task<'_>) -> Option<Self> {
        let mut bytes = [0; 1024];
        let file = task.open("auxv", false).ok()?;
        let len = rustix::io::read(&file, &mut bytes).ok()?;
        Self::parse(&bytes[..len])
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return None;
        }
        let mut is_native = false;
        let mut vdso = None;
        for pair in bytes.chunks_exact(16) {
            let key = u64::from_le_bytes(pair[..8].try_into().ok()?);
            let value = u64::from_le_bytes(pair[8..].try_into().ok()?);
            match key {
                // In a 32-bit vector a value stands in the key's upper half, so no key is this small.
                AT_PAGESZ => is_native = true,
                AT_SYSINFO_EHDR => vdso = Some(value),
                _ => {}
            }
        }
        Some(if is_native {
            Self::Native { vdso }
        } else {
            Self::Compat
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_32_bit_vector_is_told_from_a_64_bit_one() {
        let native: Vec<u8> = [33u64, 0x7000, 6, 4096, 0, 0]
            .iter()
            .flat_map(|w| w.to_le_bytes())
            .collect();
        assert!(matches!(
            Auxv::parse(&native),
            Some(Auxv::Native { vdso: Some(0x7000) })
        ));
        let compat: Vec<u8> = [32u32, 0xf000, 33, 0xf000, 6, 4096, 0, 0]
            .iter()
            .flat_map(|w| w.to_le_bytes())
            .collect();
        assert!(matches!(Auxv::parse(&compat), Some(Auxv::Compat)));
        assert!(Auxv::parse(&[]).is_none());
    }
}
