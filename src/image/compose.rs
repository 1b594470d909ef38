//! Laying our parts out in the host's vDSO: code, unwind table, gate, symbols and jumps.

use std::ops::Range;

use super::elf::{Parts, Symbol};
use super::gate::{self, Extent, Gate};
use super::unwind::Table;
use super::{arch, blob, bytes};

/// The blob's alignment: that of a cache line.
const ALIGN: usize = 64;

/// A composed image.
pub(super) struct Composed {
    pub(super) bytes: Vec<u8>,
    /// Where the blob lies. Its unwind entries may lie elsewhere: its place is that of its code, less
    /// `TEXT.start`.
    pub(super) blob_at: usize,
    /// What is not in the image yet.
    pub(super) gate: Option<Gate>,
}

/// An image, or what is wrong with the vDSO.
pub(super) type Composition = std::result::Result<Composed, &'static str>;

/// Room for our parts in a vDSO.
struct Room {
    /// For the unwind table and, if there is room, all unwind entries.
    tables: Range<usize>,
    /// For our own unwind entries, if not there.
    frames: Option<Range<usize>>,
    /// For the code, if not behind the tables.
    code: Option<Range<usize>>,
    /// The kernel's functions that make place for these: `gettimeofday` and `clock_gettime`.
    gone: [Option<usize>; 2],
}

impl Room {
    /// The padding: nothing of the kernel's has to go.
    fn padding(range: Range<usize>) -> Self {
        Self {
            tables: range,
            frames: None,
            code: None,
            gone: [None; 2],
        }
    }
}

/// The host's vDSO with our code in it: in place of the kernel's functions unless one is to be
/// `kept`, so that a program has one page of its own; else, or if they are too short, in the
/// padding.
pub(super) fn compose(host: &[u8], kept: bool) -> Composition {
    let parts = Parts::of(host)?;
    let table = unwind_table(host, &parts)?;
    let [tables, code] = bodies(host, &parts);
    let functions = tables.zip(code).map(|(tables, code)| Room {
        tables: within(&tables),
        frames: None,
        code: Some(within(&code)),
        gone: [Some(tables.start), Some(code.start)],
    });
    let padding = Room::padding(parts.end..host.len());
    let rooms = match kept {
        true => [Some(padding), None],
        false => [functions, Some(padding)],
    };
    // A debugger looks for our frame descriptions beside the kernel's, in one section: copy those,
    // if there is room. The unwinders in programs use the table only.
    let frames = parts.section(host, ".eh_frame").unwrap_or_default();
    let mut second_best = Err("it lacks a time function, or room");
    for room in rooms.iter().flatten() {
        // They stand in the last page: not worth a page where that is the kernel's still.
        let copied = room.code.is_none().then_some(&frames);
        for frames in copied.into_iter().chain([&(0..0)]) {
            match assemble(host, &parts, table.clone(), frames, room) {
                Ok(composed) if composed.gate.is_some() => return Ok(composed),
                other => second_best = second_best.or(other),
            }
        }
    }
    // Where there is too little room (Debian's kernels since 6.12, or for the gate beside the kernel's
    // function) the section headers, which are a debugger's, have to go.
    match without_sections(host, &parts, table) {
        Ok(composed) if composed.gate.is_some() => return Ok(composed),
        other => second_best = second_best.or(other),
    }
    // One page (kernels without CONFIG_TIME_NS) has room for all of ours only in this way.
    match compose_one_page(host, kept) {
        Ok(composed) if composed.gate.is_some() => Ok(composed),
        _ => second_best,
    }
}

/// An image with the unwind table in place of the kernel's `gettimeofday`, our unwind entries in place of
/// its `clock_gettime` unless that is to be `kept`, and the rest in the padding and in what the kernel has
/// used up when it started.
pub(super) fn compose_one_page(host: &[u8], kept: bool) -> Composition {
    let parts = Parts::of(host)?;
    let table = unwind_table(host, &parts)?;
    let bare = parts
        .without_alternatives(host)
        .ok_or("its last sections are not the usual ones")?;
    let parts = Parts::of(&bare)?;
    let [tables, function] = bodies(&bare, &parts);
    let tables = tables.ok_or("it lacks a time function")?;
    let function = function.filter(|_| !kept);
    let entries_at = parts.end.next_multiple_of(8);
    let entries = entries_at..entries_at + blob::EH_FRAME.len();
    let code_at = if function.is_some() {
        parts.end
    } else {
        entries.end
    };
    let room = Room {
        gone: [Some(tables.start), function.as_ref().map(|body| body.start)],
        tables: within(&tables),
        frames: Some(function.as_ref().map_or(entries, within)),
        code: Some(code_at..bare.len()),
    };
    assemble(&bare, &parts, table, &(0..0), &room)
}

fn unwind_table(host: &[u8], parts: &Parts) -> std::result::Result<Table, &'static str> {
    parts
        .eh_frame_hdr(host)
        .and_then(|at| Table::read(host, at))
        .ok_or("its unwind table is not of the usual form")
}

/// Where the kernel's functions lie that can make place for ours: `gettimeofday` and `clock_gettime`.
fn bodies(host: &[u8], parts: &Parts) -> [Option<Range<usize>>; 2] {
    ["__vdso_gettimeofday", "__vdso_clock_gettime"].map(|name| {
        let symbol = parts.symbol(host, name)?;
        let start = usize::try_from(symbol.value).ok()?;
        Some(start..start.checked_add(usize::try_from(symbol.size).ok()?)?)
    })
}

/// What of a function is free behind the jump that its entry becomes.
fn within(function: &Range<usize>) -> Range<usize> {
    function.start + arch::JUMP_LEN..function.end
}

fn without_sections(host: &[u8], parts: &Parts, table: Table) -> Composition {
    let bare = parts
        .without_sections(host)
        .ok_or("a header points outside it")?;
    let parts = Parts::of(&bare)?;
    let room = Room::padding(parts.end..bare.len());
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
    let [tables_for, code_for] = room.gone;
    let mut image = host.to_vec();

    // The table, the kernel's frame descriptions and ours.
    let old = table.take(|function| room.gone.contains(&Some(function)));
    let table_at = room.tables.start.next_multiple_of(8);
    // One more for the gate.
    let table_len = table.len() + 8 * (blob::FRAMES.len() + 1);
    let frames_at = (table_at + table_len).next_multiple_of(8);
    let (ours_at, entries) = match &room.frames {
        Some(range) => (range.start.next_multiple_of(8), range),
        None => (frames_at + frames.len(), &room.tables),
    };
    let ours_end = ours_at + blob::EH_FRAME.len();
    let code_start = room.code.as_ref().map_or(ours_end, |code| code.start);
    let code_at = code_start.next_multiple_of(ALIGN);
    let code = blob::BYTES.get(blob::TEXT.start..).ok_or(BROKEN)?;
    let end = code_at + code.len();
    let code_end = room.code.as_ref().unwrap_or(&room.tables).end;
    if frames_at > room.tables.end || ours_end > entries.end || end > code_end {
        return Err(FULL);
    }
    bytes::put(&mut image, code_at, code).ok_or(BROKEN)?;
    if !frames.is_empty() {
        let copy = table
            .move_frames(host, frames, frames_at)
            .ok_or("its frames do not move")?;
        bytes::put(&mut image, frames_at, &copy).ok_or(BROKEN)?;
        parts.move_section(&mut image, ".eh_frame", &(frames_at..ours_end));
    }
    // What described a function that is no more is to describe the code that uses no stack, of
    // which a debugger so hears too, or nothing.
    // Another describes the gate, if it is long enough.
    let leaf_at = code_at + blob::LEAF_AT - blob::TEXT.start;
    let leaf = blob::KERNEL_AT + arch::ENTRY_ROOM - blob::LEAF_AT;
    let word = |value: usize| u32::try_from(value).unwrap_or(0);
    let blob_at = code_at.checked_sub(blob::TEXT.start).ok_or(BROKEN)?;
    let gate_at = end.max(parts.end).next_multiple_of(ALIGN);
    let fits = |extent: &Extent| gate_at + extent.len(true) <= image.len();
    let extent = [Extent::Whole].into_iter().find(fits);
    let extent = extent.unwrap_or(Extent::Waits);
    let mut gate_frame = None;
    for (function, frame) in old {
        let len = bytes::u32(host, frame).ok_or(BROKEN)? as usize;
        let range = if Some(function) == code_for { leaf } else { 0 };
        let start = word(leaf_at).wrapping_sub(word(frame + 8));
        let mut fde = [start.to_le_bytes(), word(range).to_le_bytes()].concat();
        if Some(function) == tables_for
            && let Some(range) = gate::range(frame + 8, gate_at, extent)
            && range.len() + 4 <= len
        {
            gate_frame = Some(frame);
            fde = range;
        }
        fde.resize(len.checked_sub(4).ok_or(BROKEN)?, 0);
        bytes::put(&mut image, frame + 8, &fde).ok_or(BROKEN)?;
    }
    let cie_at = gate_frame.is_none().then_some(ours_at);
    let gate = Gate::new(gate_at, extent, blob_at + blob::PAGE_AT, cie_at)
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
        None => (end > parts.end).then_some(end),
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
    use crate::image::host::Host;

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
        let gate = roomy.gate.unwrap();
        assert!(gate.open().is_some());
        let less = compose(&host[..gate.range().end - 1], true).unwrap();
        let gate = less.gate.unwrap();
        assert!(gate.open().is_none());
        let tight = compose(&host[..gate.range().end - 1], true).unwrap();
        assert_eq!(frames(&tight.bytes), frames(&host));
        assert!(tight.gate.is_some());
    }

    #[test]
    fn where_there_is_no_room_for_the_gate_there_is_an_image_without_one() {
        let host = Host::find().unwrap().bytes();
        let mut composed = compose(&host, true).unwrap();
        for _ in 0..16 {
            let Some(gate) = composed.gate else { return };
            composed = compose(&host[..gate.range().end - 1], true).unwrap();
        }
        panic!("there is always a gate");
    }

    #[test]
    fn no_jump_at_an_old_entry_lies_in_our_code_wherever_the_kernels_function_begins() {
        let host = Host::find().unwrap().bytes();
        let parts = Parts::of(&host).unwrap();
        let old = parts.symbol(&host, "__vdso_clock_gettime").unwrap();
        for start in old.value..old.value + 64 {
            let mut moved = host.clone();
            let symbol = Symbol {
                section: None,
                value: start,
                size: old.value + old.size - start,
            };
            for name in ["clock_gettime", "__vdso_clock_gettime"] {
                parts.redirect(&mut moved, name, &symbol).unwrap();
            }
            let composed = compose(&moved, false).unwrap();
            let code = composed.blob_at + blob::TEXT.start..composed.blob_at + blob::BYTES.len();
            for (name, at, _) in blob::ENTRIES {
                let entry = parts.symbol(&moved, &format!("__vdso_{name}")).unwrap();
                let from = usize::try_from(entry.value).unwrap();
                let to = composed.blob_at + usize::try_from(at).unwrap();
                let jump = arch::jump(from, to);
                assert_eq!(
                    composed.bytes[from..][..jump.len()],
                    jump,
                    "{start:#x}: {name}"
                );
                assert!(!code.contains(&from), "{start:#x}: {name}");
                assert!(
                    from + jump.len() <= code.start || from > code.end,
                    "{start:#x}"
                );
            }
        }
    }
}
