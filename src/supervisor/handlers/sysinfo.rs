//! sysinfo(2): the host's figures, with the namespace's uptime.

use super::{Call, Reply, read_shifted};
use crate::inject::GuestPtr;

/// `struct sysinfo` in words: `procs` and `mem_unit` have one each, with zeroes behind them.
type Sysinfo = [u64; 14];

const _: () = assert!(size_of::<Sysinfo>() == size_of::<rustix::system::Sysinfo>());

/// `struct compat_sysinfo`, with `procs` in a word of its own.
type Sysinfo32 = [u32; 16];

/// Up to here the kernel makes the unit of memory larger for those who have 32 bits only.
const PAGE_SIZE: u32 = 4096;

pub(super) fn sysinfo(call: &Call<'_>) -> Reply {
    let to = GuestPtr::<Sysinfo>::new(call.args[0]);
    call.task.write(to, &fill(uptime(call)?))?;
    Ok(0)
}

/// As a 64-bit program asks by `int $0x80`.
pub(super) fn sysinfo32(call: &Call<'_>) -> Reply {
    let to = GuestPtr::<Sysinfo32>::new(call.args[0]);
    call.task.write(to, &narrow(&fill(uptime(call)?)))?;
    Ok(0)
}

/// Seconds of BOOTTIME, a fraction counted as one (`kernel/sys.c: do_sysinfo`).
fn uptime(call: &Call<'_>) -> Result<i64, super::Failure> {
    let (sec, nsec) = read_shifted(libc::CLOCK_BOOTTIME, &call.offsets)?;
    Ok(sec.saturating_add(i64::from(nsec > 0)))
}

fn fill(uptime: i64) -> Sysinfo {
    let host = rustix::system::sysinfo();
    [
        uptime.cast_unsigned(),
        host.loads[0],
        host.loads[1],
        host.loads[2],
        host.totalram,
        host.freeram,
        host.sharedram,
        host.bufferram,
        host.totalswap,
        host.freeswap,
        host.procs.into(),
        host.totalhigh,
        host.freehigh,
        host.mem_unit.into(),
    ]
}

/// `kernel/sys.c: compat_sysinfo`: memory in units that make it fit, all else cut.
fn narrow(wide: &Sysinfo) -> Sysinfo32 {
    const MEMORY: [usize; 8] = [4, 5, 6, 7, 8, 9, 11, 12];
    const UNIT: usize = 13;
    let mut narrow = *wide;
    if [wide[4], wide[8]].iter().any(|total| total >> 32 != 0) {
        while narrow[UNIT] < PAGE_SIZE.into() && narrow[UNIT] != 0 {
            narrow[UNIT] <<= 1;
            for at in MEMORY {
                narrow[at] >>= 1;
            }
        }
    }
    let mut words = [0; 16];
    for (to, from) in words.iter_mut().zip(narrow) {
        *to = u32::try_from(from & 0xffff_ffff).expect("masked to 32 bits");
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_beyond_32_bits_is_counted_in_pages() {
        let mut wide: Sysinfo = [0; 14];
        (wide[0], wide[1], wide[10], wide[13]) = (77, 65_536, 300, 1);
        (wide[4], wide[5], wide[8]) = (5 << 32, 3 << 32, 4096);
        let narrow = narrow(&wide);
        assert_eq!((narrow[0], narrow[1], narrow[10]), (77, 65_536, 300));
        assert_eq!((narrow[4], narrow[5], narrow[8]), (5 << 20, 3 << 20, 1));
        assert_eq!(narrow[13], 4096);
    }

    #[test]
    fn memory_within_32_bits_is_counted_in_its_own_unit() {
        let mut wide: Sysinfo = [0; 14];
        (wide[4], wide[8], wide[13]) = (0xffff_f000, 0xffff_ffff, 1);
        let narrow = narrow(&wide);
        assert_eq!((narrow[4], narrow[8]), (0xffff_f000, 0xffff_ffff));
        assert_eq!(narrow[13], 1);
    }
}
