//! The image: the host's own vDSO with our time functions and a namespace's offsets in it.
//!
//! All bytes of the kernel's vDSO stay where they are, and so do all symbols but ours. Our code and
//! the offsets stand in place of the kernel's `clock_gettime`, the unwind table in place of its
//! `gettimeofday`: one page changes, and a program's pages are its own one by one. Where they are too
//! short, or the kernel's function is to be called, all of ours lies in the padding of the last
//! page. The three symbols are redirected, and a jump to ours lies over each old entry, for pointers
//! resolved before and debuggers that know the old place.

#[path = "arch/x86_64.rs"]
mod arch;
#[cfg(test)]
mod at_hand;
mod btf;
mod bytes;
mod compose;
mod doors;
mod elf;
mod gate;
mod host;
mod kernel;
mod known;
mod layout;
mod reading;
mod relink;
mod site;
mod unwind;

/// The code, and where its parts lie in it; made by `build.rs`.
mod blob {
    pub(super) const BYTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/image.bin"));
    pub(super) const GATE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/gate.bin"));
    include!(concat!(env!("OUT_DIR"), "/image.rs"));
}

use std::mem::offset_of;
use std::ops::Range;

use crate::page::{COOKIE, GENERATION, MAGIC, Page, VERSION};
use crate::{ClockOffsets, Error, Result};
use btf::Layout;
use compose::{Composed, compose, compose_one_page};
pub(crate) use doors::Doors;
use elf::Parts;
pub(crate) use gate::{Gate, MAGIC as GATE_MARK, beginning as gate_beginning, opens};
use host::Host;
use site::{Site, Values};

const FORCED: &str = "it was asked for";

/// Where the offset words lie in the blob.
#[expect(clippy::cast_possible_wrap, reason = "the blob is a kilobyte long")]
const OFFSETS_AT: i64 = (blob::PAGE_AT + offset_of!(Page, offsets)) as i64;

/// And the version, which is odd.
#[expect(clippy::cast_possible_wrap, reason = "the blob is a kilobyte long")]
const VERSION_AT: i64 = (blob::PAGE_AT + offset_of!(Page, version)) as i64;

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

impl std::fmt::Display for ReadPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Direct => f.write_str("vDSO image, from the kernel's page"),
            Self::KernelFunction { reason } => {
                write!(f, "vDSO image, by the kernel's own function ({reason})")
            }
            Self::Syscall { reason } => write!(f, "vDSO image, by system call ({reason})"),
        }
    }
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
    /// The fastest in an image that is laid out for a vDSO of one page, for tests.
    OnePage,
}

/// An image for the running kernel, complete but for a namespace's offsets.
#[derive(Clone, Debug)]
pub struct Image {
    host: Vec<u8>,
    bytes: Vec<u8>,
    page_at: usize,
    gate: Option<Gate>,
    doors: Doors,
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
        let mapped = place.bytes();
        let mut host = mapped.clone();
        // What is wrong with it, `compose` says.
        let _ = relink::at_zero(&mut host);
        if host.chunks_exact(8).any(|word| word == MAGIC.to_le_bytes()) {
            return Err(Error::new(
                "this process is already in a time namespace of elsewhen; they do not nest",
            ));
        }
        let refused = |why| Error::new(format!("cannot use this kernel's vDSO: {why}"));
        let direct = match choice {
            ReadPathChoice::Fastest | ReadPathChoice::OnePage => layout::detect(&place),
            _ => Err(FORCED.to_owned()),
        };
        // The kernel's own function takes room, and is of no use beside a direct reading.
        let kept = match (&direct, choice) {
            (Err(_), ReadPathChoice::Fastest | ReadPathChoice::KernelFunction) => {
                compose(&host, true).and_then(|mut composed| {
                    let Composed { bytes, blob_at, .. } = &mut composed;
                    keep_kernel_function(&host, bytes, *blob_at)?;
                    Ok(composed)
                })
            }
            _ => Err(FORCED),
        };
        let has_kernel_function = kept.as_ref().map(|_| ()).map_err(|why| *why);
        let Composed {
            mut bytes,
            blob_at,
            gate,
        } = match choice {
            ReadPathChoice::OnePage => compose_one_page(&host, false),
            _ => kept.or_else(|_| compose(&host, false)),
        }
        .map_err(refused)?;
        let mut closed = bytes.clone();
        let read_path = reads(
            direct,
            has_kernel_function,
            &place,
            [&mut bytes, &mut closed],
            blob_at,
        );
        let doors = Doors::between(&bytes, &closed, &read_path);
        Ok(Self {
            host: mapped,
            bytes,
            page_at: blob_at + blob::PAGE_AT,
            gate,
            doors,
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
            cookie: COOKIE,
            version: VERSION,
            generation: GENERATION,
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
        let mut words = [0; 4];
        for (word, offset) in words.iter_mut().zip(offsets.in_order()) {
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

    /// The pages that differ from the host's: those to be written.
    #[must_use]
    pub fn changed(&self) -> Range<usize> {
        let differs = |at: &usize| self.host[*at..][..4096] != self.bytes[*at..][..4096];
        let mut pages = (0..self.bytes.len()).step_by(4096).filter(differs);
        let first = pages.next().unwrap_or(0);
        first..pages.next_back().unwrap_or(first) + 4096
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

    /// The gate, unless there is no room for it.
    pub(crate) fn gate(&self) -> Option<&Gate> {
        self.gate.as_ref()
    }

    /// What makes it ask for each read.
    pub(crate) fn doors(&self) -> &Doors {
        &self.doors
    }

    /// How this image reads the clocks.
    #[must_use]
    pub fn read_path(&self) -> &ReadPath {
        &self.read_path
    }
}

/// Has the image's code read the clocks directly, or not; the second image's that of a closed one.
fn reads(
    direct: std::result::Result<(Layout, usize), String>,
    kernel: std::result::Result<(), &'static str>,
    place: &Host,
    [image, closed]: [&mut [u8]; 2],
    blob_at: usize,
) -> ReadPath {
    let direct = direct.and_then(|(layout, vvar)| {
        let distance = vvar.cast_signed() - (place.base() + blob_at).cast_signed();
        let values = Values::new(&layout, distance as i64, OFFSETS_AT);
        let fill =
            |values: Values, image: &mut [u8]| values.fill(&mut image[blob_at..], &blob::SITES);
        fill(values, image)
            .and_then(|()| fill(values.closed(VERSION_AT), closed))
            .ok_or_else(|| "the kernel's clock data is too far away".to_owned())
    });
    let Err(reason) = direct else {
        return ReadPath::Direct;
    };
    for image in [&mut *image, &mut *closed] {
        let blob = &mut image[blob_at..];
        Values::NONE
            .fill(blob, &blob::SITES)
            .expect("a zero fits everywhere");
        // The code for the coarse clocks knows of no such case.
        for (from, to) in [
            (blob::CLOCK_GETTIME_AT, blob::HIGH_RES_AT),
            (blob::TEXT.start, blob::TIME_CALLED_AT),
        ] {
            bytes::put(blob, from, &arch::short_jump(from, to))
                .expect("the blob holds its own code");
        }
    }
    // In place of the kernel's function.
    let call = blob::KERNEL_AT..blob::KERNEL_AT + arch::ENTRY_ROOM;
    closed[blob_at..][call.clone()].copy_from_slice(&blob::BYTES[call]);
    match kernel {
        Ok(()) => ReadPath::KernelFunction { reason },
        Err(why) if reason == why => ReadPath::Syscall { reason },
        Err(why) => ReadPath::Syscall {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vdso_of_each_kernel_is_composed_for() {
        for kernel in at_hand::kernels() {
            let release = kernel.release;
            let Some(host) = kernel.vdso else {
                at_hand::skipped("this kernel gives programs no vDSO");
                continue;
            };
            let kept = compose(&host, true).and_then(|mut composed| {
                keep_kernel_function(&host, &mut composed.bytes, composed.blob_at)?;
                Ok(composed.gate.map(|gate| gate.range()))
            });
            println!("{release}: the kernel's function: {kept:x?}");
            let Composed {
                bytes: mut image,
                blob_at,
                gate,
            } = compose(&host, false).unwrap();
            println!("{release}: gate at {:x?}", gate.as_ref().map(Gate::range));
            assert!(gate.is_some(), "{release}");
            let layouts = kernel.types.map(|types| btf::layouts(&types));
            assert!(layouts != Some(Vec::new()), "{release}");
            for layout in layouts.unwrap_or_default() {
                println!(
                    "{release}: code at {:#x}, {layout:?}",
                    blob_at + blob::TEXT.start
                );
                assert!(layout::is_within_a_page(&layout));
                Values::new(&layout, -0x6000, OFFSETS_AT)
                    .fill(&mut image[blob_at..], &blob::SITES)
                    .unwrap();
            }
        }
    }
}
