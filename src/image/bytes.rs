//! Little-endian words in a byte slice.

/// The `N` bytes at `at`.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

pub(super) fn u16(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

pub(super) fn u32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

pub(super) fn u64(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

/// A 64-bit address or length as an index.
pub(super) fn index(bytes: &[u8], at: usize) -> Option<usize> {
    u64(bytes, at)?.try_into().ok()
}

/// Overwrites the bytes at `at`, or `None` if there are not so many.
pub(super) fn put(bytes: &mut [u8], at: usize, new: &[u8]) -> Option<()> {
    bytes
        .get_mut(at..)?
        .get_mut(..new.len())?
        .copy_from_slice(new);
    Some(())
}
