//! A vDSO that was linked for an address, as user-mode Linux's is, as one for 0.
//!
//! Only its tables know the address: the kernel itself maps it elsewhere.

use super::bytes::{index, put, u16, u32, u64};
use super::elf;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PHDR_LEN: usize = 56;
const SHDR_LEN: usize = 64;
const SYM_LEN: usize = 24;
const DT_NULL: u64 = 0;
const DT_HASH: u64 = 4;
const DT_SYMTAB: u64 = 6;
/// The tags whose values are addresses: `DT_HASH`, `DT_STRTAB`, `DT_SYMTAB`, `DT_GNU_HASH`, and those
/// of versions.
const ADDRESSES: [u64; 6] = [DT_HASH, 5, DT_SYMTAB, 0x6fff_fef5, 0x6fff_fff0, 0x6fff_fffc];

/// Takes the address that `vdso` was linked for from each address in its tables; `None` if a table
/// points outside it.
pub(super) fn at_zero(vdso: &mut [u8]) -> Option<()> {
    let load = header(vdso, PT_LOAD)?;
    let base = u64(vdso, load + 16)?;
    if base == 0 {
        return Some(());
    }
    // A value below it is none of its addresses, such as a version's.
    subtract(vdso, base, |value| value >= base)?;
    // User-mode Linux copies whole pages: what follows belongs to nobody.
    let end = elf::end(vdso, index(vdso, load + 32)?)?;
    vdso.get_mut(end..)?.fill(0);
    Some(())
}

/// The first program header of this type.
fn header(vdso: &[u8], kind: u32) -> Option<usize> {
    headers(vdso)?.find(|&at| u32(vdso, at) == Some(kind))
}

fn headers(vdso: &[u8]) -> Option<impl Iterator<Item = usize> + use<>> {
    let table = index(vdso, 32)?;
    let count = usize::from(u16(vdso, 56)?);
    Some((0..count).map(move |n| table.saturating_add(n * PHDR_LEN)))
}

/// Subtracts `base` from all that are addresses. A table's address less `base` is its place.
fn subtract(vdso: &mut [u8], base: u64, is_address: impl Fn(u64) -> bool) -> Option<()> {
    let lower = |vdso: &mut [u8], at: usize| {
        let value = u64(vdso, at)?;
        let lowered = if is_address(value) {
            value.wrapping_sub(base)
        } else {
            value
        };
        put(vdso, at, &lowered.to_le_bytes())?;
        Some(lowered)
    };
    for header in headers(vdso)? {
        lower(vdso, header + 16)?;
        lower(vdso, header + 24)?;
    }
    let (mut symbols, mut hash) = (None, None);
    for entry in (index(vdso, header(vdso, PT_DYNAMIC)? + 8)?..).step_by(16) {
        let tag = u64(vdso, entry)?;
        if tag == DT_NULL {
            break;
        }
        if !ADDRESSES.contains(&tag) {
            continue;
        }
        let place = usize::try_from(lower(vdso, entry + 8)?).ok();
        match tag {
            DT_HASH => hash = place,
            DT_SYMTAB => symbols = place,
            _ => (),
        }
    }
    let (symbols, hash) = (symbols?, hash?);
    for n in 0..usize::try_from(u32(vdso, hash.checked_add(4)?)?).ok()? {
        lower(vdso, symbols.checked_add(n * SYM_LEN + 8)?)?;
    }
    let sections = index(vdso, 40)?;
    for n in 0..usize::from(u16(vdso, 60)?) {
        lower(vdso, sections.checked_add(n * SHDR_LEN + 16)?)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::host::Host;
    use super::*;

    #[test]
    fn a_vdso_for_another_address_becomes_the_same() {
        let Ok(place) = Host::find() else {
            return;
        };
        let host = place.bytes();
        let mut same = host.clone();
        at_zero(&mut same).unwrap();
        assert_eq!(same, host);

        // As the linker would have made it for user-mode Linux. All tables are found by their places.
        let base = 0xffff_ffff_ff70_0000_u64;
        let mut other = host.clone();
        let symbols = |vdso: &[u8]| {
            let dynamic = index(vdso, header(vdso, PT_DYNAMIC).unwrap() + 8).unwrap();
            let value = |tag| {
                let entry = (dynamic..)
                    .step_by(16)
                    .find(|&at| u64(vdso, at) == Some(tag));
                index(vdso, entry.unwrap() + 8).unwrap()
            };
            let count = u32(vdso, value(DT_HASH) + 4).unwrap();
            (value(DT_SYMTAB), count as usize, dynamic)
        };
        let (table, count, dynamic) = symbols(&host);
        let mut places: Vec<usize> = headers(&host)
            .unwrap()
            .flat_map(|at| [at + 16, at + 24])
            .chain((1..count).map(|n| table + n * SYM_LEN + 8))
            .collect();
        for entry in (dynamic..).step_by(16) {
            match u64(&host, entry).unwrap() {
                DT_NULL => break,
                tag if ADDRESSES.contains(&tag) => places.push(entry + 8),
                _ => (),
            }
        }
        for at in places {
            let raised = u64(&host, at).unwrap().wrapping_add(base);
            put(&mut other, at, &raised.to_le_bytes()).unwrap();
        }
        // And something of the kernel's behind it.
        *other.last_mut().unwrap() = 7;
        at_zero(&mut other).unwrap();
        assert_eq!(other, host);
    }

    #[test]
    fn nonsense_is_no_vdso() {
        for len in [0, 64, 200] {
            assert_eq!(at_zero(&mut vec![0xff; len]), None);
        }
    }
}
