//! What the image's file says, against the host's.

use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol, SymbolSection};

use crate::elf::{index, is_bare, is_ours, parse, placed, with_sections};

const DT_HASH: u32 = 4;
const DT_VERDEF: u32 = 0x6fff_fffc;

#[test]
fn every_symbol_but_ours_stays_at_its_address() {
    for (image, bytes) in placed() {
        let bytes = with_sections(&image, &bytes);
        let (old, new) = (parse(image.host()), parse(&bytes));
        let mut redirected = 0;
        for (old, new) in old.dynamic_symbols().zip(new.dynamic_symbols()) {
            let name = old.name().unwrap();
            assert_eq!(new.name().unwrap(), name);
            if is_ours(name) {
                redirected += 1;
                assert!(image.changed().contains(&index(new.address())), "{name}");
            } else {
                assert_eq!(
                    (old.address(), old.size()),
                    (new.address(), new.size()),
                    "{name}"
                );
            }
        }
        assert_eq!(redirected, 6);
        assert_eq!(old.dynamic_symbols().count(), new.dynamic_symbols().count());
    }
}

#[test]
fn the_image_differs_from_the_host_only_where_it_must() {
    for (image, bytes) in placed() {
        assert_eq!(bytes.len(), image.len());
        assert_eq!(image.len() % 4096, 0);
        let file = parse(image.host());
        let mut allowed = Vec::new();
        for symbol in file
            .dynamic_symbols()
            .filter(|symbol| is_ours(symbol.name().unwrap()))
        {
            allowed.push(symbol.address()..symbol.address() + symbol.size());
        }
        for name in [".dynsym", ".eh_frame"] {
            let section = file.section_by_name(name).unwrap();
            allowed.push(section.address()..section.address() + section.size());
        }
        let sections = file.sections().filter_map(|section| section.file_range());
        let end = sections.map(|(at, len)| at + len).max().unwrap();
        allowed.push(end..image.len() as u64);
        // The system calls of the kernel's `clock_gettime`, which are to carry the cookie.
        let call = *b"\xb8\xe4\0\0\0\x0f\x05";
        let calls = image.host().windows(7).enumerate();
        allowed.extend(
            calls
                .filter(|(_, bytes)| *bytes == call)
                .map(|(at, _)| at as u64..at as u64 + 5),
        );
        // The section headers, which lie before the end, and the program headers.
        let headers = u64::from_le_bytes(image.host()[40..48].try_into().unwrap());
        allowed.push(headers..headers + 64 * file.sections().count() as u64 + 64);
        allowed.push(64..0x120);
        // Or they are gone, and with them all that no segment holds.
        if is_bare(&bytes) {
            allowed.push(40..64);
            allowed.push(file.segments().next().unwrap().size()..image.len() as u64);
        }
        for (at, (old, new)) in image.host().iter().zip(&bytes).enumerate() {
            let at = at as u64;
            assert!(
                old == new || allowed.iter().any(|range| range.contains(&at)),
                "{at:#x}"
            );
        }
    }
}

#[test]
fn the_image_has_one_segment_that_covers_our_code_and_no_relocations() {
    for (image, bytes) in placed() {
        let bytes = with_sections(&image, &bytes);
        let file = parse(&bytes);
        let loads: Vec<_> = file.segments().collect();
        assert_eq!(loads.len(), 1);
        assert_eq!(loads[0].address(), 0);
        assert!(loads[0].size() >= (image.magic_at() + 8) as u64);
        assert!(
            file.dynamic_relocations()
                .is_none_or(|mut all| all.next().is_none())
        );
        assert!(
            file.dynamic_symbols()
                .all(|symbol| symbol.section() != SymbolSection::Undefined)
        );
    }
}

#[test]
fn hash_table_and_version_are_kept() {
    for (image, bytes) in placed() {
        let bytes = with_sections(&image, &bytes);
        for name in [
            ".hash",
            ".gnu.version",
            ".gnu.version_d",
            ".dynamic",
            ".dynstr",
        ] {
            let data = |bytes| {
                parse(bytes)
                    .section_by_name(name)
                    .unwrap()
                    .data()
                    .unwrap()
                    .to_vec()
            };
            assert_eq!(data(image.host()), data(&bytes), "{name}");
        }
        let file = parse(&bytes);
        let tags = dynamic_tags(&file);
        assert!(tags.contains(&DT_HASH) && tags.contains(&DT_VERDEF));
        assert!(bytes.windows(9).any(|window| window == b"LINUX_2.6"));
    }
}

fn dynamic_tags(file: &object::read::elf::ElfFile64<'_>) -> Vec<u32> {
    let section = file.section_by_name(".dynamic").unwrap();
    let tags = section.data().unwrap().chunks_exact(16);
    tags.map(|entry| u32::from_le_bytes(entry[..4].try_into().unwrap()))
        .collect()
}
