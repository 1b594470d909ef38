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
mod btf;
mod bytes;
mod elf;
mod gate;
mod host;
mod kernel;
mod layout;
mod reading;
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

use crate::page::{GENERATION, MAGIC, Page, VERSION};
use crate::{ClockOffsets, Error, Result};
use btf::Layout;
use elf::{Parts, Symbol};
pub(crate) use gate::Gate;
use host::Host;
use site::{Site, Values};
use unwind::Table;

const FORCED: &str = "it was asked for";

/// The blob's alignment: that of a cache line.
const ALIGN: usize = 64;

/// Where the offset words lie in the blob.
#[expect(clippy::cast_possible_wrap, reason = "the blob is a kilobyte long")]
const OFFSETS_AT: i64 = (blob::PAGE_AT + offset_of!(Page, offsets)) as i64;

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
    gate: Option<Gate>,
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
        if host.chunks_exact(8).any(|word| word == MAGIC.to_le_bytes()) {
            return Err(Error::new(
                "this process is already in a time namespace of elsewhen; they do not nest",
            ));
        }
        let refused = |why| Error::new(format!("cannot use this kernel's vDSO: {why}"));
        let direct = match choice {
            ReadPathChoice::Fastest => layout::detect(&place),
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
        } = kept.or_else(|_| compose(&host, false)).map_err(refused)?;
        let read_path = reads(direct, has_kernel_function, &place, &mut bytes, blob_at);
        Ok(Self {
            host,
            bytes,
            page_at: blob_at + blob::PAGE_AT,
            gate,
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

    /// How this image reads the clocks.
    #[must_use]
    pub fn read_path(&self) -> &ReadPath {
        &self.read_path
    }
}

/// Has the image's code read the clocks directly, or not.
fn reads(
    direct: std::result::Result<(Layout, usize), String>,
    kernel: std::result::Result<(), &'static str>,
    place: &Host,
    image: &mut [u8],
    blob_at: usize,
) -> ReadPath {
    let direct = direct.and_then(|(layout, vvar)| {
        let distance = vvar.cast_signed() - (place.base() + blob_at).cast_signed();
        Values::new(&layout, distance as i64, OFFSETS_AT)
            .fill(&mut image[blob_at..], &blob::SITES)
            .ok_or_else(|| "the kernel's clock data is too far away".to_owned())
    });
    let Err(reason) = direct else {
        return ReadPath::Direct;
    };
    let blob = &mut image[blob_at..];
    Values::NONE
        .fill(blob, &blob::SITES)
        .expect("a zero fits everywhere");
    // The code for the coarse clocks knows of no such case.
    for (from, to) in [
        (blob::CLOCK_GETTIME_AT, blob::HIGH_RES_AT),
        (blob::TEXT.start, blob::TIME_CALLED_AT),
    ] {
        bytes::put(blob, from, &arch::short_jump(from, to)).expect("the blob holds its own code");
    }
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

/// A composed image.
struct Composed {
    bytes: Vec<u8>,
    /// Where the blob lies. Its unwind entries may lie elsewhere: its place is that of its code, less
    /// `TEXT.start`.
    blob_at: usize,
    /// What is not in the image yet.
    gate: Option<Gate>,
}

/// An image, or what is wrong with the vDSO.
type Composition = std::result::Result<Composed, &'static str>;

/// Room for our parts in a vDSO.
struct Room {
    /// For the unwind table and, if there is room, all unwind entries.
    tables: Range<usize>,
    /// For the code, if not behind the tables.
    code: Option<Range<usize>>,
}

/// The host's vDSO with our code in it: in place of the kernel's functions unless one is to be
/// `kept`, so that a program has one page of its own; else, or if they are too short, in the
/// padding.
fn compose(host: &[u8], kept: bool) -> Composition {
    let parts = Parts::of(host)?;
    let table = parts
        .eh_frame_hdr(host)
        .and_then(|at| Table::read(host, at))
        .ok_or("its unwind table is not of the usual form")?;
    let padding = || Room {
        tables: parts.end..host.len(),
        code: None,
    };
    let functions = || {
        let body = |name: &str| {
            let symbol = parts.symbol(host, name)?;
            let start = usize::try_from(symbol.value).ok()?;
            Some(start..start.checked_add(usize::try_from(symbol.size).ok()?)?)
        };
        let tables = body("__vdso_gettimeofday")?;
        Some(Room {
            tables: tables.start + arch::JUMP_LEN..tables.end,
            code: Some(body("__vdso_clock_gettime")?),
        })
    };
    let rooms = match kept {
        true => [Some(padding()), None],
        false => [functions(), Some(padding())],
    };
    // A debugger looks for our frame descriptions beside the kernel's, in one section: copy those,
    // if there is room. The unwinders in programs use the table only.
    let frames = parts.section(host, ".eh_frame").unwrap_or_default();
    let mut results = Vec::new();
    for room in rooms.iter().flatten() {
        // They stand in the last page: not worth a page where that is the kernel's still.
        let copied = room.code.is_none().then_some(&frames);
        for frames in copied.into_iter().chain([&(0..0)]) {
            results.push(assemble(host, &parts, table.clone(), frames, room));
        }
    }
    // Where there is too little room (Debian's kernels since 6.12, or for the gate beside the kernel's
    // function) the section headers, which are a debugger's, have to go.
    results.push(without_sections(host, &parts, table));
    let has_gate = |result: &Composition| result.as_ref().is_ok_and(|found| found.gate.is_some());
    let best = results.iter().position(has_gate);
    match best.or_else(|| results.iter().position(|result| result.is_ok())) {
        Some(best) => results.swap_remove(best),
        None => Err("it lacks a time function, or room"),
    }
}

fn without_sections(host: &[u8], parts: &Parts, table: Table) -> Composition {
    let bare = parts
        .without_sections(host)
        .ok_or("a header points outside it")?;
    let parts = Parts::of(&bare)?;
    let room = Room {
        tables: parts.end..bare.len(),
        code: None,
    };
    assemble(&bare, &parts, table, &(0..0), &room)
}

fn assemble(
    host: &[u8],
    parts: &Parts,
    mut table: Table,
    frames: &Range<usize>,
    room: &Room,
) -> Composition {
    const BROKEN: &str = "a table points outside it";
    const FULL: &str = "it has no room left";
    // The kernel's functions that make place for the tables and the code.
    let gone = match &room.code {
        Some(code) => [room.tables.start - arch::JUMP_LEN, code.start],
        None => [usize::MAX; 2],
    };
    let mut image = host.to_vec();

    // The table, the kernel's frame descriptions and ours.
    let old = table.take(|function| gone.contains(&function));
    let table_at = room.tables.start.next_multiple_of(8);
    // One more for the gate.
    let table_len = table.len() + 8 * (blob::FRAMES.len() + 1);
    let frames_at = (table_at + table_len).next_multiple_of(8);
    let ours_at = frames_at + frames.len();
    let tables_end = ours_at + blob::EH_FRAME.len();
    let code_at = match &room.code {
        // Behind the jump that the old entry becomes.
        Some(code) => (code.start + arch::JUMP_LEN).next_multiple_of(ALIGN),
        None => tables_end.next_multiple_of(ALIGN),
    };
    let code = blob::BYTES.get(blob::TEXT.start..).ok_or(BROKEN)?;
    let end = code_at + code.len();
    let code_end = room.code.as_ref().unwrap_or(&room.tables).end;
    if tables_end > room.tables.end || end > code_end {
        return Err(FULL);
    }
    bytes::put(&mut image, code_at, code).ok_or(BROKEN)?;
    if !frames.is_empty() {
        let copy = table
            .move_frames(host, frames, frames_at)
            .ok_or("its frames do not move")?;
        bytes::put(&mut image, frames_at, &copy).ok_or(BROKEN)?;
        parts.move_section(&mut image, ".eh_frame", &(frames_at..tables_end));
    }
    // What described a function that is no more is to describe the code that uses no stack, of
    // which a debugger so hears too, or nothing.
    // Another describes the gate, if it is long enough.
    let leaf_at = code_at + blob::LEAF_AT - blob::TEXT.start;
    let leaf = blob::KERNEL_AT + arch::ENTRY_ROOM - blob::LEAF_AT;
    let word = |value: usize| u32::try_from(value).unwrap_or(0);
    let blob_at = code_at.checked_sub(blob::TEXT.start).ok_or(BROKEN)?;
    let padding_at = if room.code.is_none() { end } else { parts.end };
    let gate_at = padding_at.next_multiple_of(ALIGN);
    let mut gate_frame = None;
    for (function, frame) in old {
        let len = bytes::u32(host, frame).ok_or(BROKEN)? as usize;
        let range = if function == gone[1] { leaf } else { 0 };
        let start = word(leaf_at).wrapping_sub(word(frame + 8));
        let mut fde = [start.to_le_bytes(), word(range).to_le_bytes()].concat();
        if function == gone[0]
            && let Some(range) = gate::range(frame + 8, gate_at)
            && range.len() + 4 <= len
        {
            gate_frame = Some(frame);
            fde = range;
        }
        fde.resize(len.checked_sub(4).ok_or(BROKEN)?, 0);
        bytes::put(&mut image, frame + 8, &fde).ok_or(BROKEN)?;
    }
    let cie_at = gate_frame.is_none().then_some(ours_at);
    let gate = Gate::new(gate_at, blob_at + blob::PAGE_AT, cie_at)
        .filter(|gate| gate.range().end <= image.len());
    let ours = blob::BYTES.get(blob::EH_FRAME).ok_or(BROKEN)?;
    bytes::put(&mut image, ours_at, ours).ok_or(BROKEN)?;
    let [base, ours_base] = [blob_at, ours_at].map(|at| u32::try_from(at).unwrap_or(0));
    for (function, frame) in blob::FRAMES {
        // After length and CIE distance stands the function, relative to the word itself.
        let word = ours_base + frame + 8;
        let start = (base + function).wrapping_sub(word).to_le_bytes();
        bytes::put(&mut image, ours_at + frame as usize + 8, &start).ok_or(BROKEN)?;
    }
    table.extend(blob::FRAMES.map(|(function, frame)| (base + function, ours_base + frame)));
    if let Some(gate) = &gate {
        let frame = gate_frame.unwrap_or(gate.description_at());
        table.extend([(word(gate_at), word(frame))]);
    }
    let table = table.to_bytes(table_at).ok_or(BROKEN)?;
    bytes::put(&mut image, table_at, &table).ok_or(BROKEN)?;
    let load_end = match &gate {
        Some(gate) => Some(gate.range().end),
        None => room.code.is_none().then_some(end),
    };
    parts
        .extend(&mut image, load_end, table_at, table_len)
        .ok_or(BROKEN)?;
    // The section headers lie in the last page, which is to stay the kernel's where it can.
    let mut section = None;
    if room.code.is_none() {
        let table = table_at..table_at + table_len;
        parts.move_section(&mut image, ".eh_frame_hdr", &table);
        // The kernel used this section up when it started, and code may stand in it: as long as it
        // has an address in our code, debuggers know the functions there.
        let text = code_at..blob_at + blob::TEXT.end;
        section = parts.move_section(&mut image, ".altinstr_replacement", &text);
    }
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
    Ok(Composed {
        bytes: image,
        blob_at,
        gate,
    })
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
    if old.value == ours.value {
        return parts
            .redirect(image, name, ours)
            .ok_or("a symbol points outside it");
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
            let kept = compose(&host, true).map(|mut composed| {
                keep_kernel_function(&host, &mut composed.bytes, composed.blob_at).unwrap();
                composed.gate.map(|gate| gate.range())
            });
            println!("{path:?}: the kernel's function: {kept:x?}");
            let Composed {
                bytes: mut image,
                blob_at,
                gate,
            } = compose(&host, false).unwrap();
            println!("{path:?}: gate at {:x?}", gate.map(|gate| gate.range()));
            let types = std::fs::read(path.with_extension("btf")).unwrap();
            let layouts = btf::layouts(&types);
            assert!(!layouts.is_empty(), "{path:?}");
            for layout in layouts {
                println!(
                    "{path:?}: code at {:#x}, {layout:?}",
                    blob_at + blob::TEXT.start
                );
                assert!(layout::is_within_a_page(&layout));
                Values::new(&layout, -0x6000, OFFSETS_AT)
                    .fill(&mut image[blob_at..], &blob::SITES)
                    .unwrap();
            }
        }
        assert!(found > 0);
    }

    #[test]
    fn a_vdso_cut_short_or_full_is_refused() {
        let host = Host::find().unwrap().bytes();
        assert!(compose(&host, false).is_ok());
        for len in (0..Parts::of(&host).unwrap().end).step_by(8) {
            assert!(compose(&host[..len], true).is_err(), "{len:#x}");
        }
        let mut full = host;
        *full.last_mut().unwrap() = 1;
        assert_eq!(
            compose(&full, true).err(),
            Some("something follows its last section")
        );
    }

    #[test]
    fn without_room_for_the_kernels_frames_they_stay_where_they_are() {
        let mut host = Host::find().unwrap().bytes();
        host.resize(host.len() + 4096, 0);
        let parts = Parts::of(&host).unwrap();
        let frames = |image: &[u8]| parts.section(image, ".eh_frame").unwrap();
        let roomy = compose(&host, true).unwrap();
        assert_ne!(frames(&roomy.bytes), frames(&host));
        let end = roomy.gate.unwrap().range().end;
        let tight = compose(&host[..end - 1], true).unwrap();
        assert_eq!(frames(&tight.bytes), frames(&host));
        assert!(tight.gate.is_some());
    }

    #[test]
    fn where_there_is_no_room_for_the_gate_there_is_an_image_without_one() {
        let host = Host::find().unwrap().bytes();
        let end = compose(&host, true).unwrap().gate.unwrap().range().end;
        let tight = compose(&host[..end - 1], true);
        assert!(tight.is_ok_and(|composed| composed.gate.is_none()));
    }
}
