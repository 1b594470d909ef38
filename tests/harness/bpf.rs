//! The kernel's machine for seccomp programs, as far as such programs need it.

/// What a program answers to a call.
pub(crate) fn verdict(
    program: &[libc::sock_filter],
    arch: u32,
    nr: u32,
    args: [u64; 6],
    instruction_pointer: u64,
) -> u32 {
    let mut data = [0u8; 64];
    data[0..4].copy_from_slice(&nr.to_le_bytes());
    data[4..8].copy_from_slice(&arch.to_le_bytes());
    data[8..16].copy_from_slice(&instruction_pointer.to_le_bytes());
    for (i, arg) in args.iter().enumerate() {
        data[16 + 8 * i..24 + 8 * i].copy_from_slice(&arg.to_le_bytes());
    }
    let (mut accumulator, mut index) = (0u32, 0u32);
    let mut at = 0usize;
    loop {
        let op = program[at];
        at += 1;
        match op.code {
            0x20 => {
                let k = op.k as usize;
                accumulator = u32::from_le_bytes(data[k..k + 4].try_into().unwrap());
            }
            0x07 => index = accumulator,
            0x54 => accumulator &= op.k,
            0x05 => at += op.k as usize,
            0x15 | 0x1d | 0x25 | 0x35 | 0x45 => {
                let taken = match op.code {
                    0x15 => accumulator == op.k,
                    0x1d => accumulator == index,
                    0x25 => accumulator > op.k,
                    0x35 => accumulator >= op.k,
                    _ => accumulator & op.k != 0,
                };
                at += usize::from(if taken { op.jt } else { op.jf });
            }
            0x06 => return op.k,
            other => panic!("opcode {other:#x}"),
        }
    }
}
