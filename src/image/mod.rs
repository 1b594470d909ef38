//! The image: the host's own vDSO with our time functions and a namespace's offsets in it.
//!
//! All bytes of the kernel's vDSO stay where they are, and so do all symbols but ours. Our code
//! lies in the padding of the last page; the three symbols are redirected to it, and a jump to it
//! lies over each old entry, for pointers resolved before and debuggers that know the old place.
//! The kernel's own `clock_gettime` can still be reached, behind its entry.

#[path = "arch/x86_64.rs"]
mod arch;
mod btf;
mod bytes;
mod elf;
mod host;
mod kernel;
mod layout;
mod reading;
mod site;
mod unwind;

/// The code, and where its parts lie in it; made by `build.rs`.
mod blob {
    pub(super) const BYTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/image.bin"));
    include!(concat!(env!("OUT_DIR"), "/image.rs"));
}

use std::mem::offset_of;
use std::ops::Range;

use crate::page::{MAGIC, Page, VERSION};
use crate::{ClockOffsets, Error, Result};
use elf::{Parts, Symbol};
use host::Host;
use site::{Site, Values};
use unwind::Table;

/// The blob's alignment: that of a cache line.
const ALIGN: usize = 64;

/// What the code for the coarse clocks has in its base register, as a distance from the blob: the
/// offset words, had they begun with id 0 and not with id 5.
#[expect(clippy::cast_possible_wrap, reason = "the blob is a kilobyte long")]
const COARSE_BASE: i64 = (blob::PAGE_AT + offset_of!(Page, offsets)) as i64 - 5 * 16;

/// How an image reads the clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadPath {
    /// From the kernel's own page, faster than the host.
    Direct,
    /// By the kernel's own function, as right, and about as fast as that.
    KernelFunction {
        /// Why the kernel's page is not read directly.
        reason: String,
    },
    /// By a system call, as right but slower.
    Syscall {
        /// Why neither can be done.
        reason: String,
    },
}

/// Which [`ReadPath`] to compose for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadPathChoice {
    /// The fastest that this host allows.
    #[default]
    Fastest,
    /// The kernel's own function, for tests.
    KernelFunction,
    /// The system call, for tests.
    Syscall,
}

/// An image for the running kernel, complete but for a namespace's offsets.
#[derive(Clone, Debug)]
pub struct Image {
    host: Vec<u8>,
    bytes: Vec<u8>,
    page_at: usize,
    read_path: ReadPath,
}

impl Image {
    /// The last word of a complete image.
    pub const MAGIC: u64 = MAGIC;

    /// Composes the fastest image for the running kernel.
    ///
    /// # Errors
    /// There is no vDSO, it is not of the form known here, or it has no room left.
    pub fn compose() -> Result<Self> {
        Self::compose_with(ReadPathChoice::Fastest)
    }

    /// Composes an image that reads the clocks as `choice` says.
    ///
    /// # Errors
    /// As for [`compose`](Self::compose).
    pub fn compose_with(choice: ReadPathChoice) -> Result<Self> {
        let place = Host::find()?;
        let host = place.bytes();
        if Parts::of(&host).is_ok_and(|parts| parts.last_word(&host) == Some(MAGIC)) {
            return Err(Error::new(
                "this process is already in a time namespace of elsewhen; they do not nest",
            ));
        }
        let (mut bytes, blob_at) = compose(&host)
            .map_err(|why| Error::new(format!("cannot use this kernel's vDSO: {why}")))?;
        let read_path = reads(choice, &place, &host, &mut bytes, blob_at);
        Ok(Self {
            host,
            bytes,
            page_at: blob_at + blob::PAGE_AT,
            read_path,
        })
    }

    /// The finished image of a namespace.
    ///
    /// Write its pages in ascending order, so that the [magic](Self::magic_at) comes last.
    ///
    /// # Errors
    /// An offset is beyond ±272 years.
    pub fn patch(&self, offsets: &ClockOffsets, namespace: u64) -> Result<Vec<u8>> {
        let page = Page {
            offsets: Self::words(offsets)?,
            namespace,
            version: VERSION,
            magic: MAGIC,
        };
        let mut bytes = self.bytes.clone();
        bytes[self.page_at..][..size_of::<Page>()].copy_from_slice(&page.to_bytes());
        Ok(bytes)
    }

    /// The words that stand at [`offsets_at`](Self::offsets_at): a change of offsets rewrites them,
    /// each by one aligned store.
    ///
    /// # Errors
    /// An offset is beyond ±272 years.
    pub fn words(offsets: &ClockOffsets) -> Result<[u64; 4]> {
        let ClockOffsets {
            realtime,
            tai,
            monotonic,
            boottime,
        } = *offsets;
        let mut words = [0; 4];
        for (word, offset) in words.iter_mut().zip([realtime, tai, monotonic, boottime]) {
            *word = offset.packed().ok_or_else(|| {
                Error::new(format!(
                    "offset out of range: {offset}; at most 272 years either way"
                ))
            })?;
        }
        Ok(words)
    }

    /// The length of the image, in whole pages: that of the host's vDSO.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Where the parameter page lies.
    #[must_use]
    pub fn page_at(&self) -> usize {
        self.page_at
    }

    /// Where the four offset words lie: REALTIME, TAI, MONOTONIC and BOOTTIME.
    #[must_use]
    pub fn offsets_at(&self) -> usize {
        self.page_at + offset_of!(Page, offsets)
    }

    /// Where the namespace's id lies.
    #[must_use]
    pub fn namespace_at(&self) -> usize {
        self.page_at + offset_of!(Page, namespace)
    }

    /// Where the magic word lies, the last of the image.
    #[must_use]
    pub fn magic_at(&self) -> usize {
        self.page_at + offset_of!(Page, magic)
    }

    /// The host's own vDSO, unchanged.
    #[must_use]
    pub fn host(&self) -> &[u8] {
        &self.host
    }

    /// The image without its last part, the parameter page.
    pub(crate) fn template(&self) -> &[u8] {
        &self.bytes
    }

    /// How this image reads the clocks.
    #[must_use]
    pub fn read_path(&self) -> &ReadPath {
        &self.read_path
    }
}

/// Has the image's code read the clocks in the way of `choice`, or in the next best.
fn reads(
    choice: ReadPathChoice,
    place: &Host,
    host: &[u8],
    image: &mut [u8],
    blob_at: usize,
) -> ReadPath {
    const FORCED: &str = "it was asked for";
    let direct = match choice {
        ReadPathChoice::Fastest => layout::detect(place),
        _ => Err(FORCED.to_owned()),
    };
    let direct = direct.and_then(|(layout, vvar)| {
        let distance = vvar.cast_signed() - (place.base() + blob_at).cast_signed();
        Values::new(&layout, distance as i64, COARSE_BASE)
            .fill(&mut image[blob_at..], &blob::SITES)
            .ok_or_else(|| "the kernel's clock data is too far away".to_owned())
    });
    if direct.is_err() {
        Values::NONE
            .fill(&mut image[blob_at..], &blob::SITES)
            .expect("a zero fits everywhere");
    }
    let kernel = match choice {
        ReadPathChoice::Syscall => Err(FORCED),
        _ => keep_kernel_function(host, image, blob_at),
    };
    match (direct, kernel) {
        (Ok(()), _) => ReadPath::Direct,
        (Err(reason), Ok(())) => ReadPath::KernelFunction { reason },
        (Err(reason), Err(why)) if reason == why => ReadPath::Syscall { reason },
        (Err(reason), Err(why)) => ReadPath::Syscall {
            reason: format!("{reason}; the vDSO: {why}"),
        },
    }
}

fn keep_kernel_function(
    host: &[u8],
    image: &mut [u8],
    blob_at: usize,
) -> std::result::Result<(), &'static str> {
    let function = Parts::of(host)?
        .symbol(host, "__vdso_clock_gettime")
        .ok_or("it lacks `__vdso_clock_gettime`")?;
    let (entry, stubs) = (blob_at + blob::KERNEL_AT, blob_at + blob::COOKIES_AT);
    kernel::keep(image, host, &function, entry, stubs)
}

/// A composed image, and where the blob lies in it; or what is wrong with the vDSO.
type Composed = std::result::Result<(Vec<u8>, usize), &'static str>;

/// The host's vDSO with our code in it.
fn compose(host: &[u8]) -> Composed {
    let parts = Parts::of(host)?;
    let table = parts
        .eh_frame_hdr(host)
        .and_then(|at| Table::read(host, at))
        .ok_or("its unwind table is not of the usual form")?;
    // A debugger looks for our frame descriptions beside the kernel's, in one section: copy those,
    // if there is room. The unwinders in programs use the table only.
    let frames = parts.section(host, ".eh_frame").unwrap_or_default();
    assemble(host, &parts, table.clone(), &frames)
        .or_else(|_| assemble(host, &parts, table, &(0..0)))
}

fn assemble(host: &[u8], parts: &Parts, mut table: Table, frames: &Range<usize>) -> Composed {
    const BROKEN: &str = "a table points outside it";
    let table_at = parts.end.next_multiple_of(8);
    let table_len = table.len() + 8 * blob::FRAMES.len();
    let blob_at = (table_at + table_len + frames.len()).next_multiple_of(ALIGN);
    let end = blob_at + blob::BYTES.len();
    if end > host.len() {
        return Err("it has no room left");
    }
    let mut image = host.to_vec();
    bytes::put(&mut image, blob_at, blob::BYTES).ok_or(BROKEN)?;
    if !frames.is_empty() {
        let to = blob_at - frames.len();
        let moved = table
            .move_frames(host, frames, to)
            .ok_or("its frames do not move")?;
        bytes::put(&mut image, to, &moved).ok_or(BROKEN)?;
        parts.move_section(&mut image, ".eh_frame", &(to..blob_at + blob::EH_FRAME.end));
    }
    let base = u32::try_from(blob_at).map_err(|_| BROKEN)?;
    table.extend(blob::FRAMES.map(|(function, frame)| (base + function, base + frame)));
    let table = table.to_bytes(table_at).ok_or(BROKEN)?;
    bytes::put(&mut image, table_at, &table).ok_or(BROKEN)?;
    parts
        .extend(&mut image, end, table_at, table_len)
        .ok_or(BROKEN)?;
    parts.move_section(
        &mut image,
        ".eh_frame_hdr",
        &(table_at..table_at + table_len),
    );
    // The kernel used this section up when it started, and code may stand in it: as long as it
    // has an address in our code, debuggers know the functions there.
    let text = blob_at + blob::TEXT.start..blob_at + blob::TEXT.end;
    let section = parts.move_section(&mut image, ".altinstr_replacement", &text);
    for (name, at, size) in blob::ENTRIES {
        let ours = Symbol {
            section,
            value: base + at,
            size,
        };
        let mut found = false;
        for name in [name, &format!("__vdso_{name}")] {
            if let Some(old) = parts.symbol(host, name) {
                redirect(&mut image, parts, name, &old, &ours)?;
                found = true;
            }
        }
        if !found {
            return Err("it lacks a time function");
        }
    }
    Ok((image, blob_at))
}

/// Makes `name` stand for `ours`, and its old place jump there.
fn redirect(
    image: &mut [u8],
    parts: &Parts,
    name: &str,
    old: &Symbol,
    ours: &Symbol,
) -> std::result::Result<(), &'static str> {
    if usize::try_from(old.size).is_ok_and(|size| size < arch::JUMP_LEN) {
        return Err("a time function is too short");
    }
    let jump = |old: u32, ours: u32| {
        let [old, ours] = [old, ours].map(usize::try_from);
        let (old, ours) = (old.ok()?, ours.ok()?);
        Some((old, arch::jump(old, ours)))
    };
    parts
        .redirect(image, name, ours)
        .and_then(|()| jump(old.value, ours.value))
        .and_then(|(old, jump)| bytes::put(image, old, &jump))
        .ok_or("a symbol points outside it")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vDSO and the types of other kernels, `NAME.vdso` and `NAME.btf`, as they can be had from
    /// a kernel image.
    #[test]
    fn other_kernels_are_composed_for_too() {
        let Some(directory) = std::env::var_os("ELSEWHEN_TEST_KERNELS") else {
            eprintln!("skipped: `ELSEWHEN_TEST_KERNELS` names no directory of vDSOs");
            return;
        };
        let mut found = 0;
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|name| name != "vdso") {
                continue;
            }
            found += 1;
            let host = std::fs::read(&path).unwrap();
            let (mut image, blob_at) = compose(&host).unwrap();
            keep_kernel_function(&host, &mut image, blob_at).unwrap();
            let types = std::fs::read(path.with_extension("btf")).unwrap();
            let layouts = btf::layouts(&types);
            assert!(!layouts.is_empty(), "{path:?}");
            for layout in layouts {
                println!("{path:?}: blob at {blob_at:#x}, {layout:?}");
                assert!(layout::is_within_a_page(&layout));
                Values::new(&layout, -0x6000, COARSE_BASE)
                    .fill(&mut image[blob_at..], &blob::SITES)
                    .unwrap();
            }
        }
        assert!(found > 0);
    }

    #[test]
    fn a_vdso_cut_short_or_full_is_refused() {
        let host = Host::find().unwrap().bytes();
        assert!(compose(&host).is_ok());
        for len in (0..host.len() - 1024).step_by(8) {
            assert!(compose(&host[..len]).is_err(), "{len:#x}");
        }
        let mut full = host;
        *full.last_mut().unwrap() = 1;
        assert_eq!(
            compose(&full).unwrap_err(),
            "something follows its last section"
        );
    }

    #[test]
    fn without_room_for_the_kernels_frames_they_stay_where_they_are() {
        let host = Host::find().unwrap().bytes();
        let parts = Parts::of(&host).unwrap();
        let (_, blob_at) = compose(&host).unwrap();
        let end = blob_at + blob::BYTES.len();
        let (tight, _) = compose(&host[..end - 1]).unwrap();
        let frames = |image: &[u8]| parts.section(image, ".eh_frame").unwrap();
        assert_eq!(frames(&tight), frames(&host));
        let (roomy, _) = compose(&host).unwrap();
        assert_ne!(frames(&roomy), frames(&host));
    }
}
