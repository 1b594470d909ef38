//! The parameter page: the one structure that both the image and its composer are compiled with.
//!
//! It is the last part of the image. What changes once the image is in place (offsets, generation, namespace and
//! cookie) is replaced from outside by one aligned store a field, while code reads it.

/// What the image's code reads besides the kernel's `vvar`; the layout of that stands in the code.
#[repr(C)]
#[derive(Clone, Copy)]
#[cfg_attr(not(elsewhen_image), derive(Debug))]
pub(crate) struct Page {
    /// [`VERSION`]; another version means another structure.
    pub(crate) version: u32,
    /// Its low 16 bits are in the cookie that converted calls carry; a change of offsets adds one to it.
    pub(crate) generation: u32,
    /// Packed offsets (`sec << 30 | nsec`) of REALTIME, TAI, MONOTONIC and BOOTTIME.
    pub(crate) offsets: [u64; 4],
    /// The namespace's id.
    pub(crate) namespace: u64,
    /// What the image's own system calls carry: [`COOKIE`], or [`CLOSED_COOKIE`]. Those of the gate take
    /// the high half, [`WAIT_COOKIE`], and [`FUTEX_WAIT_COOKIE`] of that.
    pub(crate) cookie: u64,
    /// [`MAGIC`] once all else is written: the commit record.
    pub(crate) magic: u64,
}

const _: () = assert!(size_of::<Page>() == 64 && align_of::<Page>() == 8);
const _: () = assert!(core::mem::offset_of!(Page, magic) == size_of::<Page>() - 8);

#[cfg(not(elsewhen_image))]
impl Page {
    /// The page as it lies in memory.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.version.to_le_bytes().to_vec();
        bytes.extend(self.generation.to_le_bytes());
        bytes.extend(self.offsets.into_iter().flat_map(u64::to_le_bytes));
        bytes.extend(self.namespace.to_le_bytes());
        bytes.extend(self.cookie.to_le_bytes());
        bytes.extend(self.magic.to_le_bytes());
        bytes
    }
}

/// The version of [`Page`].
pub(crate) const VERSION: u32 = 5;

/// A closed image takes the version for a `seq` of the kernel's, and must find it odd.
const _: () = assert!(VERSION % 2 == 1);

/// The last word of a complete image: `elsewhen` in memory order.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"elsewhen");

/// The sixth argument of the image's own system calls, which the filter lets through unshifted.
pub(crate) const COOKIE: u64 = 0x656c_7365_7768_656e;

/// The same of a closed image, which asks for each read: the filter does not know it, and the
/// supervisor answers with the host's time, to which the image adds the offset.
#[cfg_attr(elsewhen_image, expect(dead_code, reason = "the composer's side"))]
pub(crate) const CLOSED_COOKIE: u64 = COOKIE ^ 1 << 63;

/// The high half of the cookie of a converted call, less the system call's number. A register
/// keeps what a call had in it, so that the next call may have it there by accident: what opens
/// one call must not open others.
pub(crate) const WAIT_COOKIE: u32 = (COOKIE >> 32) as u32;

/// The high half of the cookie of a call that opens a file by the gate, less the system call's number; the
/// low half is that of the path's address.
pub(crate) const OPEN_COOKIE: u32 = 0x656c_9000;

/// The same of a call that asks for a view in place of the descriptor that its fifth argument is.
pub(crate) const EXCHANGE_COOKIE: u32 = 0x656c_8000;

/// The first [`Page::generation`].
#[cfg_attr(elsewhen_image, expect(dead_code, reason = "the composer's side"))]
pub(crate) const GENERATION: u32 = 0x7768;

/// In a converted call's cookie, these bits are those of the time's address: so a cookie that a
/// handler finds in its registers does not pass for that of another call.
#[cfg_attr(elsewhen_image, expect(dead_code, reason = "the gate moves 16 bits"))]
pub(crate) const ADDRESS_BITS: u32 = 0xffff;

/// The upper half of the sixth argument of futex_wait(2), of whose halves only that one is free: the
/// cookie's high bits here, and the generation's low ones below them.
#[cfg_attr(elsewhen_image, expect(dead_code, reason = "the composer's side"))]
pub(crate) const FUTEX_WAIT_COOKIE: u32 = WAIT_COOKIE & 0xffff_0000;

/// Clocks read from the counter: REALTIME, MONOTONIC, `MONOTONIC_RAW`, BOOTTIME and TAI.
pub(crate) const HIGH_RES: u32 = 1 << 0 | 1 << 1 | 1 << 4 | 1 << 7 | 1 << 11;

/// Clocks read from the last tick: `REALTIME_COARSE` and `MONOTONIC_COARSE`.
pub(crate) const COARSE: u32 = 1 << 5 | 1 << 6;

/// All clocks that take an offset: those above, `REALTIME_ALARM` and `BOOTTIME_ALARM`.
#[cfg_attr(not(elsewhen_image), allow(dead_code, reason = "the image's side"))]
pub(crate) const SHIFTED: u32 = HIGH_RES | COARSE | 1 << 8 | 1 << 9;

/// Where in [`Page::offsets`] a clock's offset lies: two bits for each clock id.
#[cfg_attr(not(elsewhen_image), allow(dead_code, reason = "the image's side"))]
pub(crate) const OFFSET_INDEX: u32 = 2 << 2 | 2 << 8 | 2 << 12 | 3 << 14 | 3 << 18 | 1 << 22;

/// What the gate has to know of a call, in 16 bits: where the time's address and the cookie go, as
/// places of the argument among the six, and in the topmost two which offset is taken off.
#[cfg_attr(not(elsewhen_image), allow(dead_code, reason = "the image's side"))]
pub(crate) struct Call {
    /// A handler has interrupted the call. It is made with a time that has passed: it ends as it would have
    /// without a wait, or else with `EINTR`.
    pub(crate) interrupted: u16,
    pub(crate) in_rdx: u16,
    pub(crate) in_r10: u16,
    pub(crate) in_r8: u16,
    /// The address is not to be followed.
    pub(crate) as_it_is: u16,
    /// The address is that of a `struct itimerspec`, whose second half is the time.
    pub(crate) itimerspec: u16,
    pub(crate) cookie_r8: u16,
    pub(crate) cookie_r9: u16,
    pub(crate) cookie_r9_high: u16,
    pub(crate) monotonic: u16,
}

/// The bits of [`Call`].
pub(crate) const CALL: Call = Call {
    interrupted: 0x01,
    in_rdx: 0x10,
    in_r10: 0x18,
    in_r8: 0x20,
    as_it_is: 0x40,
    itimerspec: 0x80,
    cookie_r8: 0x2000,
    cookie_r9: 0x2800,
    cookie_r9_high: 0x2c00,
    monotonic: 2 << 14,
};

/// The gate's frame: where what lies, from the stack pointer while the gate is at work.
#[cfg_attr(not(elsewhen_image), allow(dead_code, reason = "the image's side"))]
pub(crate) mod frame {
    /// The six arguments in their order, as the kernel gets them.
    pub(crate) const ARGS: usize = 0;
    /// The first half of a `struct itimerspec`; [`HOST`] is the second.
    pub(crate) const INTERVAL: usize = 0x30;
    /// The converted time.
    pub(crate) const HOST: usize = 0x40;
    /// The program's own.
    pub(crate) const GUEST: usize = 0x50;
    /// The system call's number, 32 bits.
    pub(crate) const NUMBER: usize = 0x60;
    /// [`CALL`](super::CALL), 16 bits.
    pub(crate) const CALL: usize = 0x64;
    /// `ah` and `al` as `lahf` and `seto al` leave them.
    pub(crate) const FLAGS: usize = 0x66;
    /// The address behind the site's `syscall`.
    pub(crate) const BACK: usize = 0x68;
    /// The program's own address of the time.
    pub(crate) const TIME: usize = 0x70;
    /// The program's own value of the cookie's register.
    pub(crate) const SPARE: usize = 0x78;
    /// With the red zone above it.
    pub(crate) const SIZE: usize = 0x80 + 128;
}
