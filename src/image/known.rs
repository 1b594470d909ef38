//! The layouts that the kernel's vDSO data has had, for kernels without type information.
//!
//! They are those of `include/vdso/datapage.h` on x86-64. [`super::layout::detect`] tries which one gives
//! the kernel's own times; the versions are bounded since a later kernel might keep the sequence counter
//! elsewhere, which a try would not show.

use super::btf::Layout;

/// The first and the last version whose header these layouts are taken from.
const KNOWN: [(u32, u32); 2] = [(5, 10), (6, 18)];

/// Entries of `basetime` (`VDSO_BASES`), of 16 bytes each.
const BASES_LEN: u32 = 12 * 16;

/// The layouts that a kernel of this release may have; empty if it is not known.
pub(super) fn layouts(release: &str) -> Vec<Layout> {
    let is_known =
        version(release).is_some_and(|version| KNOWN[0] <= version && version <= KNOWN[1]);
    if !is_known {
        return Vec::new();
    }
    // Since 6.10 `max_cycles` stands behind `cycle_last`, where the kernel was configured so.
    let of = |clock_data, rest| [0x20, 0x28].map(|basetime| layout(clock_data, basetime, rest));
    // Up to 6.12 128 bytes into the page (`__VVAR_OFFSET`), then at its start; up to 6.14 the time
    // zone and the resolution follow the bases.
    let mut layouts = [of(128, 16), of(0, 16)].concat();
    layouts.extend(of(0, 0).map(|layout| Layout {
        has_time_data: true,
        ..layout
    }));
    layouts
}

fn layout(clock_data: u32, basetime: u32, rest: u32) -> Layout {
    Layout {
        clock_data,
        len: basetime + BASES_LEN + rest,
        seq: 0,
        mode: 4,
        cycle_last: 8,
        mult: basetime - 8,
        shift: basetime - 4,
        basetime,
        timens_page: None,
        has_time_data: false,
    }
}

/// The first two numbers of a release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::layout::is_within_a_page;
    use super::super::{at_hand, btf};
    use super::*;

    #[test]
    fn the_layouts_that_kernels_state_are_among_those_known() {
        let mut tried = 0;
        for kernel in at_hand::kernels() {
            let Some(types) = kernel.types else { continue };
            let stated = btf::layouts(&types);
            println!("{}: {stated:?}", kernel.release);
            assert!(stated.iter().any(is_within_a_page), "{stated:?}");
            let known = layouts(&kernel.release);
            let is_known = |one: &Layout| {
                known.contains(&Layout {
                    timens_page: None,
                    ..*one
                })
            };
            // A later one than those known states the one that it has.
            assert!(
                stated.iter().any(is_known) || known.is_empty() && stated.len() == 1,
                "{}: {stated:?}",
                kernel.release
            );
            tried += 1;
        }
        if tried == 0 {
            at_hand::skipped("this kernel has no type information");
        }
    }

    #[test]
    fn each_lies_within_a_page_and_is_another() {
        let all = layouts("6.1.0-18-cloud-amd64");
        for (n, one) in all.iter().enumerate() {
            assert!(is_within_a_page(one), "{one:?}");
            assert!(!all[..n].contains(one), "{one:?}");
        }
        assert_eq!(all.len(), 6);
    }

    #[test]
    fn a_kernel_of_another_version_has_none() {
        for release in [
            "5.9.16",
            "6.19.0",
            "7.0",
            "4.19.0-26",
            "2.6.60",
            "6",
            "",
            "6.x",
        ] {
            assert!(layouts(release).is_empty(), "{release}");
        }
        for release in ["5.10.0-9-amd64", "6.18.44-fc-v669", "6.1\n"] {
            assert!(!layouts(release).is_empty(), "{release}");
        }
    }
}
