//! The parts of the host's vDSO that an image changes.
//!
//! Every place is an offset from the first byte. In a vDSO the file and its mapping are the same,
//! so that an offset is an address too.

use std::ops::Range;

use super::arch;
use super::bytes::{index, put, u16, u32, u64};

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_GNU_EH_FRAME: u32 = 0x6474_e550;
const DT_NULL: u64 = 0;
const DT_HASH: u64 = 4;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const SHT_NOBITS: u32 = 8;

const PHDR_LEN: usize = 56;
const SHDR_LEN: usize = 64;
const SYM_LEN: usize = 24;

/// Where the parts lie.
#[derive(Debug)]
pub(super) struct Parts {
    /// The one PT_LOAD header.
    load: usize,
    /// The PT_GNU_EH_FRAME header.
    eh_frame: usize,
    /// Symbols in the dynamic symbol table, name first.
    symbols: Vec<(String, usize)>,
    /// Section headers by number, name first; empty if they cannot be read.
    sections: Vec<(String, usize)>,
    /// The end of what the file holds, section headers included.
    pub(super) end: usize,
}

/// A symbol's value and size, and its section if that is to be changed.
pub(super) struct Symbol {
    pub(super) section: Option<u16>,
    pub(super) value: u32,
    pub(super) size: u32,
}

impl Parts {
    /// Finds the parts of `vdso`, or says what is not as the kernel makes it.
    pub(super) fn of(vdso: &[u8]) -> Result<Self, &'static str> {
        let machine = u16(vdso, 18).ok_or("it is too short")?;
        if !vdso.starts_with(b"\x7fELF\x02\x01") || machine != arch::MACHINE {
            return Err("it is not an ELF file of this machine");
        }
        Self::headers(vdso).ok_or("a header points outside it")?
    }

    fn headers(vdso: &[u8]) -> Option<Result<Self, &'static str>> {
        let table = index(vdso, 32)?;
        let (mut load, mut dynamic, mut eh_frame) = (None, None, None);
        for n in 0..usize::from(u16(vdso, 56)?) {
            let header = table.checked_add(n * PHDR_LEN)?;
            match u32(vdso, header)? {
                PT_LOAD if load.is_some() => return Some(Err("it has two loadable segments")),
                PT_LOAD => load = Some(header),
                PT_DYNAMIC => dynamic = Some(header),
                PT_GNU_EH_FRAME => eh_frame = Some(header),
                _ => (),
            }
        }
        let (Some(load), Some(dynamic), Some(eh_frame)) = (load, dynamic, eh_frame) else {
            return Some(Err(
                "it lacks a loadable segment, a dynamic section or an unwind table",
            ));
        };
        if u64(vdso, load + 8)? != 0 || u64(vdso, load + 16)? != 0 {
            return Some(Err("its segment does not begin at 0"));
        }
        let Some(symbols) = symbols(vdso, index(vdso, dynamic + 8)?) else {
            return Some(Err("it has no `DT_HASH` symbol table"));
        };
        let end = end(vdso, index(vdso, load + 32)?)?;
        if vdso.get(end..)?.iter().any(|&byte| byte != 0) {
            return Some(Err("something follows its last section"));
        }
        Some(Ok(Self {
            load,
            eh_frame,
            symbols,
            sections: sections(vdso).unwrap_or_default(),
            end,
        }))
    }

    /// The symbol `name`.
    pub(super) fn symbol(&self, vdso: &[u8], name: &str) -> Option<Symbol> {
        let (_, at) = self.symbols.iter().find(|(known, _)| known == name)?;
        let value = u64(vdso, at + 8)?.try_into().ok()?;
        let size = u64(vdso, at + 16)?.try_into().ok()?;
        Some(Symbol {
            section: None,
            value,
            size,
        })
    }

    /// Where the section `name` lies.
    pub(super) fn section(&self, vdso: &[u8], name: &str) -> Option<Range<usize>> {
        let (_, at) = self.sections.iter().find(|(known, _)| known == name)?;
        let start = index(vdso, at + 24)?;
        let range = start..start.checked_add(index(vdso, at + 32)?)?;
        (range.end <= vdso.len()).then_some(range)
    }

    /// Makes the section `name`, if there is one, lie at `range`; its number.
    ///
    /// Only debuggers read section headers, but without them they know neither our functions'
    /// names nor how to unwind them.
    pub(super) fn move_section(
        &self,
        vdso: &mut [u8],
        name: &str,
        range: &Range<usize>,
    ) -> Option<u16> {
        let number = self.sections.iter().position(|(known, _)| known == name)?;
        let (_, at) = self.sections.get(number)?;
        let start = (range.start as u64).to_le_bytes();
        put(vdso, at + 16, &start)?;
        put(vdso, at + 24, &start)?;
        put(vdso, at + 32, &(range.len() as u64).to_le_bytes())?;
        number.try_into().ok()
    }

    /// The vDSO without its section headers and all else that no segment holds.
    pub(super) fn without_sections(&self, vdso: &[u8]) -> Option<Vec<u8>> {
        let mut bare = vdso.to_vec();
        bare.get_mut(index(vdso, self.load + 32)?..)?.fill(0);
        put(&mut bare, 40, &0_u64.to_le_bytes())?;
        // Their number, and the number of that with the names.
        put(&mut bare, 60, &[0; 4])?;
        Some(bare)
    }

    /// The same without what the kernel has used up when it started, at the segment's end; `None` if there
    /// is nothing such.
    pub(super) fn without_alternatives(&self, vdso: &[u8]) -> Option<Vec<u8>> {
        let field = self.load + 32;
        let used_up = self.section(vdso, ".altinstructions")?;
        let replacement = self.section(vdso, ".altinstr_replacement")?;
        if replacement.end != index(vdso, field)?
            || used_up.end.next_multiple_of(16) < replacement.start
        {
            return None;
        }
        let mut shorter = vdso.to_vec();
        put(&mut shorter, field, &(used_up.start as u64).to_le_bytes())?;
        self.without_sections(&shorter)
    }

    /// Makes `name` stand for `symbol`.
    pub(super) fn redirect(&self, vdso: &mut [u8], name: &str, symbol: &Symbol) -> Option<()> {
        let (_, at) = self.symbols.iter().find(|(known, _)| known == name)?;
        if let Some(section) = symbol.section {
            put(vdso, at + 6, &section.to_le_bytes())?;
        }
        put(vdso, at + 8, &u64::from(symbol.value).to_le_bytes())?;
        put(vdso, at + 16, &u64::from(symbol.size).to_le_bytes())
    }

    /// Where the unwind table begins.
    pub(super) fn eh_frame_hdr(&self, vdso: &[u8]) -> Option<usize> {
        index(vdso, self.eh_frame + 8)
    }

    /// Makes the loadable segment reach to `end`, if given, and the unwind table lie at `at`.
    pub(super) fn extend(
        &self,
        vdso: &mut [u8],
        end: Option<usize>,
        at: usize,
        len: usize,
    ) -> Option<()> {
        let [at, len] = [at, len].map(|word| (word as u64).to_le_bytes());
        for field in [32, 40] {
            if let Some(end) = end {
                put(vdso, self.load + field, &(end as u64).to_le_bytes())?;
            }
            put(vdso, self.eh_frame + field, &len)?;
        }
        for field in [8, 16, 24] {
            put(vdso, self.eh_frame + field, &at)?;
        }
        Some(())
    }
}

/// The dynamic symbols, by the tables that the dynamic section at `dynamic` names.
fn symbols(vdso: &[u8], dynamic: usize) -> Option<Vec<(String, usize)>> {
    let (mut hash, mut strings, mut table) = (None, None, None);
    for entry in (dynamic..).step_by(16) {
        let value = index(vdso, entry + 8)?;
        match u64(vdso, entry)? {
            DT_NULL => break,
            DT_HASH => hash = Some(value),
            DT_STRTAB => strings = Some(value),
            DT_SYMTAB => table = Some(value),
            _ => (),
        }
    }
    let (strings, table) = (strings?, table?);
    let count = usize::try_from(u32(vdso, hash? + 4)?).ok()?;
    let symbol = |n: usize| {
        let at = table.checked_add(n * SYM_LEN)?;
        Some((string(vdso, strings, at)?, at))
    };
    (0..count).map(symbol).collect()
}

/// The section headers and their names.
fn sections(vdso: &[u8]) -> Option<Vec<(String, usize)>> {
    let table = index(vdso, 40)?;
    let names = usize::from(u16(vdso, 62)?) * SHDR_LEN;
    let names = index(vdso, table.checked_add(names)? + 24)?;
    let section = |n: usize| {
        let at = table.checked_add(n * SHDR_LEN)?;
        Some((string(vdso, names, at)?, at))
    };
    (0..usize::from(u16(vdso, 60)?)).map(section).collect()
}

/// The string that the word at `at` names in the table at `strings`.
fn string(vdso: &[u8], strings: usize, at: usize) -> Option<String> {
    let start = strings.checked_add(usize::try_from(u32(vdso, at)?).ok()?)?;
    let name = vdso.get(start..)?.split(|&byte| byte == 0).next()?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// The end of the segment, of the section headers and of all sections, whichever is last.
pub(super) fn end(vdso: &[u8], segment: usize) -> Option<usize> {
    let headers = index(vdso, 40)?;
    let count = usize::from(u16(vdso, 60)?);
    let mut end = segment.max(headers.checked_add(count * SHDR_LEN)?);
    for n in 0..count {
        let header = headers + n * SHDR_LEN;
        if u32(vdso, header + 4)? != SHT_NOBITS {
            end = end.max(index(vdso, header + 24)?.checked_add(index(vdso, header + 32)?)?);
        }
    }
    Some(end)
}
