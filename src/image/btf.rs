//! The layout of the kernel's vDSO data, by the kernel's own type information (BTF).
//!
//! One pass over the types: this runs whenever the command starts.

use super::bytes::{array, u16, u32};

/// `struct btf_header.magic`.
const MAGIC: u16 = 0xeb9f;
const KIND_STRUCT: u32 = 4;
const KIND_ENUM: u32 = 6;

/// Where the kernel's clock data lies in its page, and the fields in the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The data of all clocks but RAW, from the start of `vvar`.
    pub(super) clock_data: u32,
    /// The length of one clock's data; that of RAW follows the first.
    pub(super) len: u32,
    pub(super) seq: u32,
    pub(super) mode: u32,
    pub(super) cycle_last: u32,
    pub(super) mult: u32,
    pub(super) shift: u32,
    pub(super) basetime: u32,
    /// The page of `vvar` that has the data in a time namespace of the kernel, if the types say.
    pub(super) timens_page: Option<u32>,
    /// The data are those of 6.15 and later.
    pub(super) has_time_data: bool,
}

/// The layouts that the types allow, likeliest first; empty if they are not known here.
pub(super) fn layouts(btf: &[u8]) -> Vec<Layout> {
    let (mut clock, mut clock_data, mut timens_page) = (None, None, None);
    let walked = types(btf, |name, kind| {
        match kind {
            Type::Struct(size, members) => {
                if name.starts_with(b"vdso_time_data\0") {
                    // 6.15: `struct vdso_clock clock_data[CS_BASES]`.
                    clock_data = clock_data.or(members.offset(b"clock_data\0"));
                }
                if [&b"vdso_clock\0"[..], b"vdso_time_data\0", b"vdso_data\0"]
                    .iter()
                    .any(|known| name.starts_with(known))
                {
                    clock = clock.or_else(|| clock_layout(size, &members));
                }
            }
            Type::Enum(values) => {
                timens_page = timens_page.or(values.value(b"VDSO_TIMENS_PAGE_OFFSET\0"));
            }
        }
        clock.is_some() && clock_data.is_some() && timens_page.is_some()
    });
    let (Some(()), Some(clock)) = (walked, clock) else {
        return Vec::new();
    };
    match clock_data {
        Some(at) => vec![Layout {
            clock_data: at,
            timens_page,
            has_time_data: true,
            ..clock
        }],
        // Before: an array of `struct vdso_data`, at 128 in its page (`__VVAR_OFFSET`) up to 6.12.
        None => [128, 0]
            .map(|at| Layout {
                clock_data: at,
                ..clock
            })
            .to_vec(),
    }
}

/// The fields of one clock's data.
fn clock_layout(size: u32, members: &Members<'_>) -> Option<Layout> {
    Some(Layout {
        clock_data: 0,
        len: size,
        seq: members.offset(b"seq\0")?,
        mode: members.offset(b"clock_mode\0")?,
        cycle_last: members.offset(b"cycle_last\0")?,
        mult: members.offset(b"mult\0")?,
        shift: members.offset(b"shift\0")?,
        // Either by itself or in the only anonymous union.
        basetime: members
            .offset(b"basetime\0")
            .or_else(|| members.offset(b"\0"))?,
        timens_page: None,
        has_time_data: false,
    })
}

/// A type that may be of use.
enum Type<'a> {
    Struct(u32, Members<'a>),
    Enum(Members<'a>),
}

/// The members of one structure, or the values of an enumeration.
struct Members<'a> {
    records: &'a [u8],
    strings: &'a [u8],
}

impl Members<'_> {
    /// Where the member `name` (with its final zero) lies, in bytes.
    fn offset(&self, name: &[u8]) -> Option<u32> {
        // With `kind_flag` the upper byte is the size of a bit field.
        let bits = u32(self.find(12, name)?, 8)? & 0x00ff_ffff;
        Some(bits / 8)
    }

    /// The value `name` of an enumeration.
    fn value(&self, name: &[u8]) -> Option<u32> {
        u32(self.find(8, name)?, 4)
    }

    /// The record of `name`, one of `len` bytes each.
    fn find(&self, len: usize, name: &[u8]) -> Option<&[u8]> {
        self.records.chunks_exact(len).find(|record| {
            u32(record, 0)
                .and_then(|at| self.strings.get(usize::try_from(at).ok()?..))
                .is_some_and(|text| text.starts_with(name))
        })
    }
}

/// Calls `visit` with the name (and all that follows it) of each structure and enumeration of the
/// vDSO, until it returns true; `None` if the types cannot be walked.
fn types<'a>(btf: &'a [u8], mut visit: impl FnMut(&[u8], Type<'a>) -> bool) -> Option<()> {
    if u16(btf, 0)? != MAGIC {
        return None;
    }
    let word = |at| usize::try_from(u32(btf, at)?).ok();
    let header = word(4)?;
    let section = |at| {
        btf.get(header.checked_add(word(at)?)?..)?
            .get(..word(at + 4)?)
    };
    let (mut types, strings) = (section(8)?, section(16)?);
    while let Some([name, info, size]) = words(types) {
        let members = usize::from(info.to_le_bytes()[0]) | usize::from(info.to_le_bytes()[1]) << 8;
        let kind = info >> 24 & 0x1f;
        let len = 12 + extra(kind, members)?;
        // A cheap test first: the name lies far away in memory.
        if matches!(kind, KIND_STRUCT | KIND_ENUM) && (3..=24).contains(&members) && size <= 4096 {
            let name = strings.get(usize::try_from(name).ok()?..)?;
            if name.starts_with(b"vdso_") {
                let members = Members {
                    records: types.get(12..len)?,
                    strings,
                };
                let found = match kind {
                    KIND_STRUCT => Type::Struct(size, members),
                    _ => Type::Enum(members),
                };
                if visit(name, found) {
                    break;
                }
            }
        }
        types = types.get(len..)?;
    }
    Some(())
}

fn words(types: &[u8]) -> Option<[u32; 3]> {
    let bytes: [u8; 12] = array(types, 0)?;
    Some([u32(&bytes, 0)?, u32(&bytes, 4)?, u32(&bytes, 8)?])
}

/// The bytes that follow a type of this kind (`include/uapi/linux/btf.h`).
fn extra(kind: u32, members: usize) -> Option<usize> {
    Some(match kind {
        2 | 7..=12 | 16 | 18 => 0,
        1 | 14 | 17 => 4,
        3 => 12,
        6 | 13 => 8 * members,
        4 | 5 | 15 | 19 => 12 * members,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A structure's name, size, and members with their offsets.
    type Struct<'a> = (&'a str, u32, &'a [(&'a str, u32)]);

    /// Type information of one integer and these structures.
    fn btf(structs: &[Struct<'_>]) -> Vec<u8> {
        let (mut types, mut strings) = (Vec::new(), vec![0]);
        let mut name = |text: &str| {
            if text.is_empty() {
                return 0;
            }
            let at = u32::try_from(strings.len()).unwrap();
            strings.extend(text.bytes().chain([0]));
            at
        };
        for word in [name("int"), 1 << 24, 4, 32] {
            types.extend(word.to_le_bytes());
        }
        for (text, size, members) in structs {
            let count = u32::try_from(members.len()).unwrap();
            for word in [name(text), 4 << 24 | count, *size] {
                types.extend(word.to_le_bytes());
            }
            for (text, offset) in *members {
                for word in [name(text), 1, offset * 8] {
                    types.extend(word.to_le_bytes());
                }
            }
        }
        let [types_len, strings_len] =
            [types.len(), strings.len()].map(|len| u32::try_from(len).unwrap());
        let mut btf = MAGIC.to_le_bytes().to_vec();
        btf.extend([1, 0]);
        for word in [24, 0, types_len, types_len, strings_len] {
            btf.extend(word.to_le_bytes());
        }
        btf.extend(types);
        btf.extend(strings);
        btf
    }

    const CLOCK: [(&str, u32); 7] = [
        ("seq", 0),
        ("clock_mode", 4),
        ("cycle_last", 8),
        ("max_cycles", 16),
        ("mult", 32),
        ("shift", 36),
        ("", 40),
    ];

    const LAYOUT: Layout = Layout {
        clock_data: 16,
        len: 232,
        seq: 0,
        mode: 4,
        cycle_last: 8,
        mult: 32,
        shift: 36,
        basetime: 40,
        timens_page: None,
        has_time_data: true,
    };

    #[test]
    fn the_layout_of_6_18_is_one_and_certain() {
        let time_data = [
            ("arch_data", 0),
            ("clock_data", 16),
            ("tz_minuteswest", 480),
        ];
        for order in [[0, 1], [1, 0]] {
            let structs = [
                ("vdso_clock", 232, &CLOCK[..]),
                ("vdso_time_data", 512, &time_data),
            ];
            assert_eq!(layouts(&btf(&order.map(|n| structs[n]))), [LAYOUT]);
        }
    }

    #[test]
    fn the_layout_before_6_15_is_an_array_at_either_place() {
        let found = layouts(&btf(&[
            ("vdso_datum", 232, &[("seq", 4), ("mult", 8), ("shift", 12)]),
            ("vdso_data", 232, &CLOCK),
        ]));
        assert_eq!(
            found.iter().map(|one| one.clock_data).collect::<Vec<_>>(),
            [128, 0]
        );
        assert!(found.iter().all(|one| one.basetime == 40 && one.len == 232));
    }

    #[test]
    fn unknown_and_broken_types_give_no_layout() {
        assert!(layouts(&btf(&[("vdso_data", 232, &CLOCK[1..])])).is_empty());
        assert!(layouts(b"").is_empty());
        let whole = btf(&[("vdso_data", 232, &CLOCK)]);
        for len in 0..whole.len() - 1 {
            assert!(layouts(&whole[..len]).is_empty(), "{len}");
        }
        let mut other = whole;
        other[0] = 0;
        assert!(layouts(&other).is_empty());
    }
}
