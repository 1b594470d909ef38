//! Patches call sites: a program's own `syscall` instructions that wait for an absolute time.
//!
//! A notified call costs some 40 µs. The instruction before such a `syscall` is therefore replaced by
//! a jump to a stub, and the stub leads to the gate. The `syscall` itself stays: the kernel goes back
//! to it when it restarts a call, and a jump straight to it is notified as ever.
//!
//! The stub begins with the instruction that was replaced and names its site, so that all that is to
//! be known lies in the program's memory: fork(2) copies it, exec(2) drops it. The stub comes
//! first and the site last, byte by byte, and a thread that meets a site in between makes a call
//! with a number that no call has; [`rewind`] says where it goes on.
//!
//! All that is read here is the program's word: what it makes up harms nobody else. Memory is written
//! through `/proc/TID/mem` only, in ranges that the program's own list of mappings calls private.

#[cfg(target_arch = "x86_64")]
#[path = "arch/x86_64.rs"]
mod arch;
mod maps;
mod room;
mod status;
mod text;

use std::fs::File;
use std::os::unix::fs::FileExt;

pub use status::{Traps, traps};

use arch::{Bytes, Form};
use room::{Room, Stub};
use text::Text;

/// What has become of a call site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It leads to the gate from now on.
    Patched,
    /// It did before.
    Already,
    /// It stays as it was, or as another patcher makes it.
    Left(Reason),
}

/// Why a site is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The memory is not there (any more), or another instruction than a system call is.
    Gone,
    /// The memory must not be written.
    Denied,
    /// No instruction before the system call that a jump can replace.
    Form,
    /// The end of a cancellation point: libc compares addresses there.
    Bridge,
    /// Replaceable, but not under running threads: not by one store on this processor, and not by
    /// several that trap in between.
    Torn,
    /// Not the text of a file: generated code, a vDSO, a memory file.
    NotFileBacked,
    /// Code that the program may write, or shares with others.
    Writable,
    /// What looks like the instruction may be the end of another.
    Boundary,
    /// A branch leads into the instruction.
    Entered,
    /// No room for a stub behind the file's text.
    NoRoom,
    /// There is room, but no jump to it that could be put in place.
    TooFar,
    /// Another patcher is at work in this program.
    Busy,
}

/// A `syscall` instruction and what stands before it.
#[derive(Clone, Copy, Debug)]
struct Site {
    /// Where the instruction lies that is replaced.
    at: u64,
    /// Behind the `syscall`, as a notification and `%rcx` name it.
    after: u64,
    bytes: Bytes,
}

/// Makes the call site before `after`, where the system call `number` was made, lead to the `gate`.
///
/// `memory` and `maps` are the thread's `/proc/TID/mem`, open for reading and writing, and
/// `/proc/TID/maps`, both of the same memory. `traps` says when threads may meet made-up numbers
/// meanwhile. Doing this again, or at once with another patcher, is harmless.
/// A refusal is for good, but for [`Reason::Gone`] and [`Reason::Busy`].
#[must_use]
pub fn patch(
    memory: &File,
    maps: &File,
    after: u64,
    number: u32,
    gate: u64,
    traps: Traps,
) -> Outcome {
    let way = |form: Form, at: u64| Way::choose(traps, form, at);
    try_patch(memory, maps, after, number, Gate::At(gate), way).unwrap_or_else(Outcome::Left)
}

/// The same for a gate that is to stand beside the stubs: this `code`, which may lie anywhere.
#[must_use]
pub fn patch_to_code(
    memory: &File,
    maps: &File,
    after: u64,
    number: u32,
    code: &[u8],
    traps: Traps,
) -> Outcome {
    let way = |_: Form, at: u64| Way::choose(traps, Form::Numbered, at);
    try_patch(memory, maps, after, number, Gate::Code(code), way).unwrap_or_else(Outcome::Left)
}

/// Where the stubs of a site are to lead.
#[derive(Clone, Copy)]
enum Gate<'a> {
    At(u64),
    /// To this code, in the same room.
    Code(&'a [u8]),
}

/// How a site is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    ByteByByte,
    /// In one call, so that one who dies meanwhile leaves no made-up number behind: where nobody can be
    /// at the site.
    InOneWrite,
    AtOnce,
}

impl Way {
    /// How a site at `at` is replaced; `traps` is heeded where made-up numbers would arise.
    fn choose(traps: Traps, form: Form, at: u64) -> Option<Self> {
        let is_numbered = form == Form::Numbered;
        match traps {
            Traps::Always if is_numbered => Some(Self::ByteByByte),
            Traps::WhileHeld if is_numbered && !crosses_page(at) => Some(Self::InOneWrite),
            _ => arch::can_exchange(at, form).then_some(Self::AtOnce),
        }
    }
}

fn try_patch(
    memory: &File,
    maps: &File,
    after: u64,
    number: u32,
    gate: Gate<'_>,
    way: impl FnOnce(Form, u64) -> Option<Way>,
) -> Result<Outcome, Reason> {
    let site = Site::read(memory, after)?;
    let form = match arch::form(site.bytes, number) {
        Ok(form) => form,
        // Another has been here, or is.
        Err(Reason::Form) if arch::may_be_ours(site.bytes) => {
            let text = Text::find(memory, maps, site.at, after)?;
            let room = Room::read(memory, &text)?;
            let stub = room.stub_of(&site).ok_or(Reason::Form)?;
            let gate = match gate {
                Gate::At(gate) => gate,
                Gate::Code(_) => stub.gate,
            };
            return site.lead_to(memory, &stub, gate, Way::ByteByByte);
        }
        Err(reason) => return Err(reason),
    };
    let way = way(form, site.at).ok_or(Reason::Torn)?;
    let text = Text::find(memory, maps, site.at, after)?;
    let code = text.around(memory, site.at, after)?;
    if !arch::is_certain(&code.bytes, code.site) {
        return Err(Reason::Boundary);
    }
    if arch::is_entered(&code.bytes, code.site) {
        return Err(Reason::Entered);
    }
    let _claim = room::claim(&text).ok_or(Reason::Busy)?;
    // As another may have left it before the claim was ours.
    let now = Site::read(memory, after)?;
    let mut room = Room::read(memory, &text)?;
    let gate = match gate {
        Gate::At(gate) => gate,
        Gate::Code(code) => room.put_code(memory, code)?,
    };
    let stub = match room.stub_of(&now) {
        Some(stub) => stub,
        None if now.bytes == site.bytes => room.put_stub(memory, &site, gate)?,
        None => return Err(Reason::Gone),
    };
    now.lead_to(memory, &stub, gate, way)
}

/// Whether the call site before `after` holds an instruction that gives its system call this number.
#[must_use]
pub fn is_numbered(memory: &File, after: u64, number: u32) -> bool {
    Site::read(memory, after).is_ok_and(|site| arch::number(site.bytes) == Some(number))
}

/// Where a thread goes on that has trapped at `after` with the made-up `number` of a site that is
/// being patched; `None` if that is the program's own mistake.
///
/// The site is completed on the way: its patcher may be dead, or at work in the process of which this
/// one is a copy. The thread goes on at the jump, where unwinders know their way: a thread that is
/// cancelled while it is held has its handler run there.
///
/// `gate_of` says where sites of a system call lead; its number is 0 where it is not known before it is
/// made. With `None` the stub leads where it did.
#[must_use]
pub fn rewind(
    memory: &File,
    maps: &File,
    after: u64,
    number: u32,
    gate_of: impl FnOnce(u32) -> Option<u64>,
) -> Option<u64> {
    let site = Site::read(memory, after).ok()?;
    let text = Text::find(memory, maps, site.at, after).ok()?;
    let stub = Room::read(memory, &text).ok()?.stub_of(&site)?;
    let jump = arch::jump(after, stub.at)?;
    if !arch::is_trap(stub.original, jump, number) {
        return None;
    }
    let gate = gate_of(arch::number(stub.original).unwrap_or(0)).unwrap_or(stub.gate);
    stub.set_gate(memory, gate).ok()?;
    match site.lead_to(memory, &stub, gate, Way::ByteByByte) {
        Ok(_) => Some(site.at),
        // It goes on all the same: the stub's first instruction sets the number right.
        Err(_) => Some(stub.at),
    }
}

impl Site {
    fn read(memory: &File, after: u64) -> Result<Self, Reason> {
        let at = after
            .checked_sub(arch::SITE_LEN as u64)
            .ok_or(Reason::Gone)?;
        let mut bytes = [0; arch::SITE_LEN];
        read(memory, &mut bytes, at)?;
        let bytes = arch::before_call(bytes).ok_or(Reason::Gone)?;
        Ok(Self { at, after, bytes })
    }

    /// Whether this may be a site that leads to `stub`, or is on the way there.
    fn is_of(&self, stub: &Stub) -> bool {
        stub.after == self.after
            && arch::jump(self.after, stub.at)
                .is_some_and(|jump| arch::is_between(self.bytes, stub.original, jump))
    }

    /// Puts the jump in place, from whatever state the site is in.
    fn lead_to(&self, memory: &File, stub: &Stub, gate: u64, way: Way) -> Result<Outcome, Reason> {
        stub.set_gate(memory, gate)?;
        let jump = arch::jump(self.after, stub.at).ok_or(Reason::TooFar)?;
        if self.bytes == jump {
            return Ok(Outcome::Already);
        }
        match way {
            Way::ByteByByte => {
                let stores = arch::stores(self.bytes, jump).ok_or(Reason::TooFar)?;
                for (place, byte) in stores {
                    write(memory, &[byte], self.at + place)?;
                }
            }
            Way::InOneWrite => write(memory, &jump, self.at)?,
            Way::AtOnce => self.exchange(memory, jump)?,
        }
        // The program may have put something else there meanwhile.
        match Self::read(memory, self.after)?.bytes == jump {
            true => Ok(Outcome::Patched),
            false => Err(Reason::Gone),
        }
    }

    /// Replaces the instruction by one store of an aligned word that holds all of it that changes.
    fn exchange(&self, memory: &File, jump: Bytes) -> Result<(), Reason> {
        let (start, mut word) = (self.at & !7, [0; 8]);
        let place = usize::try_from(self.at & 7).map_err(|_| Reason::Torn)?;
        let held = jump.len().min(word.len() - place);
        if self.bytes[held..] != jump[held..] {
            return Err(Reason::Torn);
        }
        read(memory, &mut word, start)?;
        let part = &mut word[place..place + held];
        if *part != self.bytes[..held] {
            return Err(Reason::Gone);
        }
        part.copy_from_slice(&jump[..held]);
        write(memory, &word, start)
    }
}

fn read(memory: &File, into: &mut [u8], at: u64) -> Result<(), Reason> {
    memory.read_exact_at(into, at).map_err(|_| Reason::Gone)
}

/// Whether an instruction at `at` lies in two pages, which are written one after the other.
fn crosses_page(at: u64) -> bool {
    const PAGE: u64 = 4096;
    at % PAGE + size_of::<Bytes>() as u64 > PAGE
}

/// One call, so that a fork(2) meanwhile copies all of it or nothing: it keeps writers out.
fn write(memory: &File, bytes: &[u8], at: u64) -> Result<(), Reason> {
    match memory.write_at(bytes, at) {
        Ok(written) if written == bytes.len() => Ok(()),
        Ok(_) => Err(Reason::Gone),
        Err(_) => Err(Reason::Denied),
    }
}
