//! The auxiliary vector of a restored process, as the kernel shows it: a supervisor finds the vDSO by that.
//!
//! prctl(2) takes it with all that the kernel knows of a process's memory, so what is there is read and
//! given back (`kernel/sys.c: prctl_set_mm_map`).

use std::io;

use super::call::Caller;
use crate::arch::nr;
use crate::{Error, Result};

const PR_SET_MM: u64 = 35;
const PR_SET_MM_MAP: u64 = 14;

/// `AT_SYSINFO_EHDR` of `asm/auxvec.h`.
const AT_SYSINFO_EHDR: u64 = 33;

/// Of the fields in `/proc/PID/stat`, counted from the one behind the name: `startcode`, `endcode`,
/// `start_data`, `end_data`, `start_brk`; the heap's end is asked for; then `startstack`, `arg_start`,
/// `arg_end`, `env_start` and `env_end`: in the order of `struct prctl_mm_map`.
const BEFORE: [usize; 5] = [23, 24, 42, 43, 44];
const BEHIND: [usize; 5] = [25, 45, 46, 47, 48];

/// The length of `struct prctl_mm_map`.
const LEN: usize = 104;

/// Tells of a vDSO at `base`, by calls made at `at`.
pub(super) fn tell(caller: &mut Caller, at: u64, base: u64) -> Result<()> {
    set(caller, at, base)
        .map_err(|error| Error::os("cannot tell where a restored process's vDSO lies", error))
}

fn set(caller: &mut Caller, at: u64, base: u64) -> io::Result<()> {
    let pid = caller.stopped()?.tid();
    let mut auxv = std::fs::read(format!("/proc/{pid}/auxv"))?;
    for pair in auxv.chunks_exact_mut(16) {
        if pair[..8] == AT_SYSINFO_EHDR.to_le_bytes() {
            pair[8..].copy_from_slice(&base.to_le_bytes());
        }
    }
    let stat = std::fs::read(format!("/proc/{pid}/stat"))?;
    let stat = String::from_utf8_lossy(&stat).into_owned();
    let strange = || io::Error::from_raw_os_error(libc::EINVAL);
    let (_, fields) = stat.rsplit_once(')').ok_or_else(strange)?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let field = |n: &usize| -> io::Result<u64> {
        fields
            .get(*n)
            .and_then(|f| f.parse().ok())
            .ok_or_else(strange)
    };
    let heap = caller.call(at, nr::BRK, [0; 6])?;
    let mut words = BEFORE.iter().map(field).collect::<io::Result<Vec<u64>>>()?;
    words.push(heap);
    words.extend(BEHIND.iter().map(field).collect::<io::Result<Vec<u64>>>()?);
    let len = u32::try_from(auxv.len()).map_err(|_| strange())?;
    let place = caller.memory(at, LEN + auxv.len())?;
    words.push(place + LEN as u64);
    let mut bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
    bytes.extend(len.to_le_bytes());
    // Not another program file.
    bytes.extend(u32::MAX.to_le_bytes());
    bytes.extend(auxv);
    let written = caller.write(place, &bytes);
    let args = [PR_SET_MM, PR_SET_MM_MAP, place, LEN as u64, 0, 0];
    let told = written.and_then(|()| caller.call(at, nr::PRCTL, args));
    caller.let_go_of_memory(at, place, LEN + (len as usize))?;
    told.map(drop)
}
