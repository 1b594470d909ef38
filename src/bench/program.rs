//! The smallest static programs, written by hand: what an exec costs then is the exec's own.

#[path = "arch/x86_64.rs"]
mod arch;

use std::fs::File;
use std::io::{self, Write};

use rustix::fs::{MemfdFlags, memfd_create};

/// What a program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// Asks for its break and ends.
    Short,
    /// Makes those calls of a dynamic glibc program that a supervisor sees, and ends.
    Dynamic,
    /// Stops.
    Stopping,
}

/// Where the program is loaded, as ld(1) has it.
const BASE: u64 = 0x40_0000;
/// The ELF header and one program header.
const HEADERS: usize = 64 + 56;

impl Program {
    /// The program as a file in memory.
    pub(super) fn file(self) -> io::Result<File> {
        let flags = MemfdFlags::CLOEXEC;
        // Before 6.3 there is no such flag, and every such file may be executed.
        let fd = memfd_create(c"bench", flags | MemfdFlags::EXEC)
            .or_else(|_| memfd_create(c"bench", flags))?;
        let mut file = File::from(fd);
        file.write_all(&self.bytes())?;
        Ok(file)
    }

    /// A 64-bit ELF executable of one segment.
    fn bytes(self) -> Vec<u8> {
        const EXECUTABLE: u16 = 2;
        const LOAD: u32 = 1;
        const READ_EXECUTE: u32 = 5;
        let code = self.code();
        let len = (HEADERS + code.len()) as u64;
        let mut elf = Vec::with_capacity(HEADERS + code.len());
        elf.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        elf.extend(EXECUTABLE.to_le_bytes());
        elf.extend(arch::MACHINE.to_le_bytes());
        elf.extend(1u32.to_le_bytes()); // e_version
        elf.extend((BASE + HEADERS as u64).to_le_bytes()); // e_entry
        elf.extend(64u64.to_le_bytes()); // e_phoff
        elf.extend(0u64.to_le_bytes()); // e_shoff
        elf.extend(0u32.to_le_bytes()); // e_flags
        for size in [64u16, 56, 1, 0, 0, 0] {
            elf.extend(size.to_le_bytes()); // e_ehsize to e_shstrndx
        }
        elf.extend(LOAD.to_le_bytes());
        elf.extend(READ_EXECUTE.to_le_bytes());
        for word in [0, BASE, BASE, len, len, 4096] {
            elf.extend(word.to_le_bytes()); // p_offset to p_align
        }
        elf.extend(code);
        elf
    }

    fn code(self) -> Vec<u8> {
        match self {
            Self::Short => [arch::BREAK, arch::EXIT].concat(),
            Self::Dynamic => [arch::BREAK, arch::SET_THREAD, arch::BREAK, arch::EXIT].concat(),
            Self::Stopping => [arch::STOP, arch::EXIT].concat(),
        }
    }
}
