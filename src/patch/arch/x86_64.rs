//! x86-64: what a call site looks like, what replaces it, and in which order.
//!
//! ```text
//! site:  mov $nr,%eax             becomes      jmp stub
//!        syscall                               syscall
//! stub:  mov $nr,%eax             the instruction that was there
//!        lea after(%rip),%rcx     as the system call would leave it
//!        jmp *gate                the flags and all other registers are the caller's
//! ```
//!
//! The bytes of `jmp` are stored one at a time, the number's highest first and the opcode last. In
//! between the instruction is `mov $x,%eax` with an `x` of 1024 or more, a number that no call has.
//!
//! In libc's `syscall()` another instruction stands before the system call, and nothing in it can be
//! changed into a trap. It is replaced by one store. AMD's processors fetch an aligned word that
//! another one stores either old or new; Intel promises nothing of the kind, and there
//! such sites are left alone.
#![expect(unsafe_code, reason = "cpuid")]

use iced_x86::{Decoder, DecoderOptions, Instruction, OpKind};

use super::Reason;
use super::room::Stub;

/// The instruction before a system call, or the jump in its place.
pub(super) type Bytes = [u8; 5];

/// The instruction and the `syscall` behind it.
pub(super) const SITE_LEN: usize = 7;
const SYSCALL: [u8; 2] = [0x0f, 0x05];

const MOV_EAX: u8 = 0xb8;
const JUMP: u8 = 0xe9;

/// `mov %r11,8(%rsp)`: the last instruction but one of musl's `__syscall_cp_asm` and of glibc's
/// `__syscall_cancel_arch` (2.41).
const BRIDGE: Bytes = [0x4c, 0x89, 0x5c, 0x24, 0x08];

/// The first number that is surely none, and the first that could be one of x32's.
const TRAP: u32 = 1024;
const X32: u32 = crate::arch::X32_BIT;

/// What stands before the system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `mov $nr,%eax`.
    Numbered,
    /// `mov disp(%rsp),%reg`, which does the same anywhere.
    Moved,
}

/// The instruction, if a `syscall` stands behind it.
pub(super) fn before_call(bytes: [u8; SITE_LEN]) -> Option<Bytes> {
    let (before, call) = bytes.split_first_chunk()?;
    (call == SYSCALL).then_some(*before)
}

/// Which form the instruction before the system call `number` has.
pub(super) fn form(bytes: Bytes, number: u32) -> Result<Form, Reason> {
    if bytes == BRIDGE {
        Err(Reason::Bridge)
    } else if is_numbered(bytes) && operand(bytes) == number && number < TRAP {
        Ok(Form::Numbered)
    } else if is_load_from_stack(bytes) {
        Ok(Form::Moved)
    } else {
        Err(Reason::Form)
    }
}

/// Whether a patcher may have made these bytes.
pub(super) fn may_be_ours(bytes: Bytes) -> bool {
    bytes[0] == JUMP || is_numbered(bytes) && operand(bytes) >= TRAP
}

/// Whether this is `mov $x,%eax`.
pub(super) fn is_numbered(bytes: Bytes) -> bool {
    bytes[0] == MOV_EAX
}

/// The number that an original instruction gives its system call.
pub(super) fn number(original: Bytes) -> Option<u32> {
    is_numbered(original).then(|| operand(original))
}

/// `mov disp8(%rsp),%reg` with a 64-bit register other than the stack pointer.
fn is_load_from_stack(bytes: Bytes) -> bool {
    let [rex, opcode, modrm, sib, _] = bytes;
    let is_stack_pointer = rex == 0x48 && modrm == 0x64;
    matches!(rex, 0x48 | 0x4c)
        && opcode == 0x8b
        && modrm & 0xc7 == 0x44
        && sib == 0x24
        && !is_stack_pointer
}

fn operand(bytes: Bytes) -> u32 {
    let [_, a, b, c, d] = bytes;
    u32::from_le_bytes([a, b, c, d])
}

/// The jump to `target` in the site before `after`.
pub(super) fn jump(after: u64, target: u64) -> Option<Bytes> {
    let from = after.checked_sub(SYSCALL.len() as u64)?;
    let distance = target.wrapping_sub(from).cast_signed();
    let [a, b, c, d] = i32::try_from(distance).ok()?.to_le_bytes();
    Some([JUMP, a, b, c, d])
}

/// Whether these bytes are `original`, `jump`, or what a patcher makes of the one on the way to the
/// other.
pub(super) fn is_between(bytes: Bytes, original: Bytes, jump: Bytes) -> bool {
    let is_mixed = is_numbered(bytes)
        && is_numbered(original)
        && is_mixture(operand(bytes), operand(original), operand(jump));
    bytes == original || bytes == jump || is_mixed
}

/// Whether `number` is one that a thread has met on the way from `original` to `jump`.
pub(super) fn is_trap(original: Bytes, jump: Bytes, number: u32) -> bool {
    is_numbered(original) && number >= TRAP && is_mixture(number, operand(original), operand(jump))
}

fn is_mixture(value: u32, one: u32, other: u32) -> bool {
    let (one, other) = (one.to_le_bytes(), other.to_le_bytes());
    let mut bytes = value
        .to_le_bytes()
        .into_iter()
        .zip(one.into_iter().zip(other));
    bytes.all(|(byte, (one, other))| byte == one || byte == other)
}

/// The stores, each a place and a byte, that make `jump` of `from`, so that every state in between
/// traps; `None` if there is no such order.
///
/// The highest byte that changes goes first. A number below [`TRAP`] has only zeroes above its second
/// byte, so from then on that byte alone keeps it from being small, or none does.
pub(super) fn stores(from: Bytes, jump: Bytes) -> Option<impl Iterator<Item = (u64, u8)>> {
    const ORDER: [usize; 5] = [4, 3, 2, 1, 0];
    if !is_numbered(from) || jump[0] != JUMP {
        return None;
    }
    let mut state = from;
    for place in ORDER {
        if state[place] == jump[place] {
            continue;
        }
        let is_trap = place != 0 || (TRAP..X32).contains(&operand(state));
        state[place] = jump[place];
        if !is_trap || !(TRAP..X32).contains(&operand(state)) {
            return None;
        }
    }
    let changed = ORDER
        .into_iter()
        .filter(move |place| from[*place] != jump[*place]);
    Some(changed.map(move |place| (place as u64, jump[place])))
}

/// Whether an instruction at `at` may be replaced by one store.
///
/// The highest byte of a system call's number is zero, and so is that of a jump to stubs less than 16 MiB
/// behind: it may lie in the next word.
pub(super) fn can_exchange(at: u64, form: Form) -> bool {
    let changes = match form {
        Form::Numbered => 4,
        Form::Moved => 5,
    };
    at % 8 + changes <= 8 && fetches_whole_words()
}

/// Whether the processor promises to fetch an aligned word whole that is stored meanwhile (AMD64
/// Architecture Programmer's Manual, volume 2, on cross-modifying code).
#[allow(unused_unsafe, reason = "`__cpuid` is safe in later compilers")]
fn fetches_whole_words() -> bool {
    // SAFETY: every x86-64 processor has cpuid.
    let id = unsafe { core::arch::x86_64::__cpuid(0) };
    let vendor = [id.ebx, id.edx, id.ecx].map(u32::to_le_bytes);
    matches!(vendor.as_flattened(), b"AuthenticAMD" | b"HygonGenuine")
}

// ---- Stubs ----

/// A stub's length, and how it is aligned: no stub lies in two pages, nor its gate in two words.
pub(super) const STUB_LEN: usize = 32;

/// Where in a stub the gate's address stands.
pub(super) const STUB_GATE: usize = 24;

/// `lea after(%rip),%rcx`, up to the distance.
const LEA: [u8; 3] = [0x48, 0x8d, 0x0d];
const LEA_END: usize = 12;

/// `jmp *6(%rip)`, and what fills up to the word that it loads: `ud2`, by which a stub is known too.
const TAIL: [u8; 12] = *b"\xff\x25\x06\x00\x00\x00\x0f\x0bgate";

/// The bytes of `stub`.
pub(super) fn stub(stub: &Stub) -> Option<[u8; STUB_LEN]> {
    let next = stub.at.wrapping_add(LEA_END as u64);
    let distance = stub.after.wrapping_sub(next);
    let distance = i32::try_from(distance.cast_signed()).ok()?;
    let mut bytes = [0; STUB_LEN];
    bytes[..5].copy_from_slice(&stub.original);
    bytes[5..8].copy_from_slice(&LEA);
    bytes[8..LEA_END].copy_from_slice(&distance.to_le_bytes());
    bytes[LEA_END..STUB_GATE].copy_from_slice(&TAIL);
    bytes[STUB_GATE..].copy_from_slice(&stub.gate.to_le_bytes());
    Some(bytes)
}

/// The stub in these bytes at `at`, if they are one.
pub(super) fn read_stub(bytes: &[u8; STUB_LEN], at: u64) -> Option<Stub> {
    let original = *bytes.first_chunk::<5>()?;
    let is_stub = bytes[5..8] == LEA
        && bytes[LEA_END..STUB_GATE] == TAIL
        && (is_numbered(original) || is_load_from_stack(original));
    let distance = i32::from_le_bytes(*bytes[8..].first_chunk()?);
    is_stub.then_some(Stub {
        at,
        original,
        after: at
            .wrapping_add(LEA_END as u64)
            .wrapping_add_signed(distance.into()),
        gate: u64::from_le_bytes(*bytes[STUB_GATE..].first_chunk()?),
    })
}

// ---- Whether a site is what it seems ----

/// How far before a site decoders set out, and from where on all of them must agree: by then they have
/// fallen into step, wherever they began.
const START: usize = 64;
const IN_STEP: usize = 24;

/// How many must have come through.
const WITNESSES: usize = 12;

/// A short branch reaches so far, and decoders that have set out so much earlier are in step there.
const SHORT: usize = 128;

/// Whether an instruction begins at `site`: the last bytes of `movl $202,-0x48(%rsp)` are those of
/// `mov $202,%eax` too.
pub(super) fn is_certain(code: &[u8], site: usize) -> bool {
    let come_from = |distance: usize| arrives(code, site.checked_sub(distance)?, site);
    let far: Vec<bool> = (IN_STEP..=START).filter_map(come_from).collect();
    let near: Vec<bool> = (1..IN_STEP).filter_map(come_from).collect();
    let agree = far.iter().chain(&near).filter(|agrees| **agrees).count();
    far.len() >= WITNESSES
        && far.iter().all(|agrees| *agrees)
        && agree * 3 >= (far.len() + near.len()) * 2
}

/// Whether a decoder that sets out at `from` comes upon `site`, or else steps over it; `None` if it
/// finds what is no instruction before.
fn arrives(code: &[u8], from: usize, site: usize) -> Option<bool> {
    let mut decoder = Decoder::new(64, code.get(from..)?, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    while decoder.position() < site - from {
        decoder.decode_out(&mut instruction);
        if instruction.is_invalid() {
            return None;
        }
    }
    Some(decoder.position() == site - from)
}

/// Whether a branch leads behind the first byte of the instruction at `site`.
pub(super) fn is_entered(code: &[u8], site: usize) -> bool {
    let inside = site as u64 + 1..(site + size_of::<Bytes>()) as u64;
    let before = site.saturating_sub(SHORT + START)..site;
    let behind = site + SITE_LEN..(site + SITE_LEN + SHORT).min(code.len());
    is_reached_from(code, before, &inside)
        || is_reached_from(code, behind, &inside)
        || is_reached_from_afar(code, &inside)
}

/// By an instruction in `range`, which begins with one or is long enough for decoders to fall in step.
fn is_reached_from(
    code: &[u8],
    range: std::ops::Range<usize>,
    inside: &std::ops::Range<u64>,
) -> bool {
    let Some(bytes) = code.get(range.clone()) else {
        return false;
    };
    let mut decoder = Decoder::with_ip(64, bytes, range.start as u64, DecoderOptions::NONE);
    decoder.iter().any(|instruction| {
        let is_branch =
            instruction.op_count() > 0 && instruction.op0_kind() == OpKind::NearBranch64;
        is_branch && inside.contains(&instruction.near_branch64())
    })
}

/// By a branch with a distance of four bytes, wherever one may stand.
fn is_reached_from_afar(code: &[u8], inside: &std::ops::Range<u64>) -> bool {
    code.windows(6).enumerate().any(|(at, window)| {
        let near = |opcode_len: usize| {
            let distance = window.get(opcode_len..)?.first_chunk()?;
            let next = (at + opcode_len + 4) as u64;
            next.checked_add_signed(i32::from_le_bytes(*distance).into())
        };
        let target = match *window {
            [0xe8 | 0xe9, ..] => near(1),
            [0x0f, 0x80..=0x8f, ..] => near(2),
            _ => None,
        };
        target.is_some_and(|target| inside.contains(&target))
    })
}

#[cfg(test)]
#[path = "x86_64_tests.rs"]
mod tests;
