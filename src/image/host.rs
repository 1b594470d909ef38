//! This process's own vDSO and `vvar`: those of every process that the kernel starts.
#![expect(unsafe_code, reason = "reads the vDSO and maps the type information")]

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::ptr;

use crate::{Error, Result};

/// Where the kernel's two mappings lie in this process.
#[derive(Clone, Debug)]
pub(super) struct Host {
    vdso: Range<usize>,
    /// `vvar`, whose first page holds the clock data.
    pub(super) vvar: Option<Range<usize>>,
}

impl Host {
    pub(super) fn find() -> Result<Self> {
        let maps = fs::read_to_string("/proc/self/maps")
            .map_err(|error| Error::os("cannot read `/proc/self/maps`", error))?;
        let host = Self::parse(&maps).ok_or_else(|| {
            Error::new("this kernel gives programs no vDSO; start it without `vdso=0`")
        })?;
        // SAFETY: no pointer involved.
        let base = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) };
        if usize::try_from(base) != Ok(host.vdso.start) {
            return Err(Error::new("the vDSO is not where the kernel mapped it"));
        }
        Ok(host)
    }

    fn parse(maps: &str) -> Option<Self> {
        let find = |name: &str| {
            let line = maps.lines().find(|line| line.ends_with(name))?;
            let (start, end) = line.split_once(' ')?.0.split_once('-')?;
            let address = |text| usize::from_str_radix(text, 16).ok();
            Some(address(start)?..address(end)?)
        };
        Some(Self {
            vdso: find(" [vdso]")?,
            vvar: find(" [vvar]"),
        })
    }

    /// Where the vDSO begins.
    pub(super) fn base(&self) -> usize {
        self.vdso.start
    }

    /// The vDSO's bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let start = ptr::with_exposed_provenance(self.vdso.start);
        // SAFETY: the range is mapped and readable as long as the process lives; it is changed only
        // from outside and before the process has run.
        unsafe { std::slice::from_raw_parts(start, self.vdso.len()) }.to_vec()
    }
}

/// Runs `look` on the kernel's type information.
pub(super) fn with_btf<T>(look: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
    let file = File::open("/sys/kernel/btf/vmlinux")?;
    let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    // SAFETY: a new mapping of a file that the kernel never changes.
    let map = unsafe {
        libc::mmap(
            ptr::null_mut(),
            len,
            libc::PROT_READ,
            libc::MAP_PRIVATE,
            file.as_raw_fd(),
            0,
        )
    };
    if map == libc::MAP_FAILED {
        // Kernels before 6.16 cannot map it.
        return Ok(look(&fs::read("/sys/kernel/btf/vmlinux")?));
    }
    // SAFETY: `len` bytes are mapped.
    let result = look(unsafe { std::slice::from_raw_parts(map.cast(), len) });
    // SAFETY: nothing borrows the mapping any more.
    unsafe { libc::munmap(map, len) };
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mappings_are_found_by_their_whole_names() {
        let maps = "7ff0000-7ff4000 r--p 00000000 00:00 0    [vvar]\n\
                    7ff4000-7ff6000 r--p 00000000 00:00 0    [vvar_vclock]\n\
                    7ff6000-7ff8000 r-xp 00000000 00:00 0    [vdso]\n";
        let host = Host::parse(maps).unwrap();
        assert_eq!(
            (host.vdso, host.vvar),
            (0x7ff_6000..0x7ff_8000, Some(0x7ff_0000..0x7ff_4000))
        );
        assert!(Host::parse("7ff0000-7ff4000 r--p 00000000 00:00 0    [vvar]\n").is_none());
    }
}
