//! Images as ELF files.

use elsewhen::ClockOffsets;
use elsewhen::image::{Image, ReadPathChoice};
use object::read::elf::ElfFile64;

pub(crate) const ENTRIES: [&str; 3] = ["clock_gettime", "gettimeofday", "time"];

pub(crate) fn parse(bytes: &[u8]) -> ElfFile64<'_> {
    ElfFile64::parse(bytes).expect("an ELF file")
}

pub(crate) fn finished() -> (Image, Vec<u8>) {
    finish(Image::compose().unwrap())
}

pub(crate) fn finish(image: Image) -> (Image, Vec<u8>) {
    let bytes = image.patch(&ClockOffsets::default(), 7).unwrap();
    (image, bytes)
}

/// Images with our code in each of its places: the kernel's functions and the padding.
pub(crate) fn placed() -> [(Image, Vec<u8>); 2] {
    [ReadPathChoice::Fastest, ReadPathChoice::KernelFunction]
        .map(|choice| finish(Image::compose_with(choice).unwrap()))
}

/// Whether the section headers had to make place.
pub(crate) fn is_bare(bytes: &[u8]) -> bool {
    bytes[60..62] == [0, 0]
}

/// The image with the host's section headers behind it, if it has none: nothing but our code and what
/// no segment holds has moved.
pub(crate) fn with_sections(image: &Image, bytes: &[u8]) -> Vec<u8> {
    let mut all = bytes.to_vec();
    if !is_bare(bytes) {
        return all;
    }
    let (host, end) = (image.host(), all.len());
    all.extend(host);
    let move_word = |all: &mut [u8], at: usize| {
        let word = u64::from_le_bytes(all[at..at + 8].try_into().unwrap()) + end as u64;
        all[at..at + 8].copy_from_slice(&word.to_le_bytes());
        index(word)
    };
    all[40..48].copy_from_slice(&host[40..48]);
    all[58..64].copy_from_slice(&host[58..64]);
    let headers = move_word(&mut all, 40);
    // Their names.
    let names = headers + 64 * usize::from(u16::from_le_bytes([host[62], host[63]]));
    move_word(&mut all, names + 24);
    all
}

pub(crate) fn index(address: u64) -> usize {
    address.try_into().unwrap()
}

pub(crate) fn is_ours(name: &str) -> bool {
    ENTRIES.contains(&name.trim_start_matches("__vdso_"))
}
