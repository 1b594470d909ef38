//! What the kernel says about itself in files.

use std::fs::{self, File};
use std::io::{self, Read};

use super::{Feature, TimeNamespaces};
use crate::clock::Offset;
use crate::kernel;
use crate::sys::namespace::INITIAL_TIME_NS;

/// A file's only line.
fn line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

pub(crate) fn kernel_release() -> String {
    line("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned())
}

pub(crate) fn clock_source() -> Option<String> {
    line("/sys/devices/system/clocksource/clocksource0/current_clocksource")
}

/// The kernel's type information, known by its magic.
pub(super) fn btf() -> Feature {
    let mut magic = [0; 2];
    let outcome = File::open("/sys/kernel/btf/vmlinux")
        .and_then(|mut file| file.read_exact(&mut magic))
        .and_then(|()| match u16::from_ne_bytes(magic) {
            0xeb9f => Ok(()),
            _ => Err(io::Error::other("it has no BTF magic")),
        });
    Feature::tried("5.4", &outcome)
}

/// Where this process's vDSO begins and ends.
pub(super) fn vdso() -> Option<(u64, u64)> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let (range, _) = maps
        .lines()
        .find(|line| line.ends_with("[vdso]"))?
        .split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    Some((address(start)?, address(end)?))
}

/// Whether `CAP_SYS_ADMIN` is in force.
pub(super) fn has_sys_admin() -> bool {
    const CAP_SYS_ADMIN: u32 = 21;
    fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .and_then(|caps| u64::from_str_radix(caps.trim(), 16).ok())
            .is_some_and(|caps| caps & (1 << CAP_SYS_ADMIN) != 0)
    })
}

pub(super) fn time_namespaces() -> TimeNamespaces {
    let own = fs::read_link("/proc/self/ns/time").ok();
    let feature = match own {
        Some(_) => Feature::tried("5.6", &kernel::probe()),
        None => Feature::found("5.6", false, "this kernel has none (`CONFIG_TIME_NS`)"),
    };
    let initial = format!("time:[{INITIAL_TIME_NS}]");
    let inside = own.is_some_and(|own| own.as_os_str() != initial.as_str());
    let file = fs::read_to_string(kernel::OFFSETS).unwrap_or_default();
    let offset = |clock| {
        let offset: Offset = kernel::stated(&file, clock)?;
        inside.then(|| offset.to_string())
    };
    TimeNamespaces {
        feature,
        inside,
        monotonic: offset("monotonic"),
        boottime: offset("boottime"),
    }
}
