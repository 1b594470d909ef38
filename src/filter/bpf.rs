//! A classic-BPF program written down rule by rule.

/// `BPF_LD | BPF_W | BPF_ABS`.
const LOAD: u16 = 0x20;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
const JUMP_EQ: u16 = 0x15;
/// `BPF_JMP | BPF_JGE | BPF_K`.
const JUMP_GE: u16 = 0x35;
/// `BPF_JMP | BPF_JSET | BPF_K`.
const JUMP_SET: u16 = 0x45;
/// `BPF_ALU | BPF_AND | BPF_K`.
const AND: u16 = 0x54;
/// `BPF_MISC | BPF_TAX`.
const TO_INDEX: u16 = 0x07;
/// `BPF_JMP | BPF_JEQ | BPF_X`.
const JUMP_EQ_INDEX: u16 = 0x1d;
/// `BPF_RET | BPF_K`.
const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`.
const AT_NR: u32 = 0;
const AT_ARCH: u32 = 4;
const AT_ARGS: u32 = 16;

pub(super) struct Program(Vec<libc::sock_filter>);

impl Program {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn into_instructions(self) -> Vec<libc::sock_filter> {
        self.0
    }

    pub(super) fn load_arch(&mut self) {
        self.push(LOAD, 0, 0, AT_ARCH);
    }

    pub(super) fn load_nr(&mut self) {
        self.push(LOAD, 0, 0, AT_NR);
    }

    /// The low half of argument `n`: all the kernel looks at where it takes an `int`.
    pub(super) fn load_arg_low(&mut self, n: u32) {
        self.push(LOAD, 0, 0, AT_ARGS + 8 * n);
    }

    pub(super) fn load_arg_high(&mut self, n: u32) {
        self.push(LOAD, 0, 0, AT_ARGS + 8 * n + 4);
    }

    pub(super) fn allow(&mut self) {
        self.push(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW);
    }

    /// The call fails with this errno, without anybody being asked.
    pub(super) fn refuse(&mut self, errno: i32) {
        self.push(
            RETURN,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | errno.cast_unsigned(),
        );
    }

    pub(super) fn notify(&mut self) {
        self.push(RETURN, 0, 0, libc::SECCOMP_RET_USER_NOTIF);
    }

    /// Runs `rules` if the accumulator equals `value`; they must end in a verdict or the
    /// accumulator must not matter afterwards.
    pub(super) fn when_eq(&mut self, value: u32, rules: impl FnOnce(&mut Self)) {
        self.when(JUMP_EQ, value, true, rules);
    }

    pub(super) fn when_ne(&mut self, value: u32, rules: impl FnOnce(&mut Self)) {
        self.when(JUMP_EQ, value, false, rules);
    }

    pub(super) fn when_ge(&mut self, value: u32, rules: impl FnOnce(&mut Self)) {
        self.when(JUMP_GE, value, true, rules);
    }

    /// Runs `rules` if none of the accumulator's `bits` is set.
    pub(super) fn when_clear(&mut self, bits: u32, rules: impl FnOnce(&mut Self)) {
        self.when(JUMP_SET, bits, false, rules);
    }

    /// Clears all of the accumulator's bits but these.
    pub(super) fn and(&mut self, bits: u32) {
        self.push(AND, 0, 0, bits);
    }

    /// Ends in "allow" if the low `bits` of arguments `n` and `m` are the same, and goes on otherwise.
    pub(super) fn allow_if_same(&mut self, n: u32, m: u32, bits: u32) {
        self.load_arg_low(m);
        self.and(bits);
        self.push(TO_INDEX, 0, 0, 0);
        self.load_arg_low(n);
        self.and(bits);
        self.when(JUMP_EQ_INDEX, 0, true, Self::allow);
    }

    /// Ends in "allow" if all 64 bits of argument `n` are zero, and goes on otherwise.
    pub(super) fn allow_if_null(&mut self, n: u32) {
        self.allow_if_arg64(n, 0);
    }

    /// Ends in "notify" if all 64 bits of argument `n` are `value`, else in "allow".
    pub(super) fn notify_if_arg64(&mut self, n: u32, value: u64) {
        let (low, high) = halves(value);
        self.load_arg_low(n);
        self.when_ne(low, Self::allow);
        self.load_arg_high(n);
        self.when_ne(high, Self::allow);
        self.notify();
    }

    /// Ends in "notify" if the low half of argument `n` is `value`, else in "allow".
    pub(super) fn notify_if_arg32(&mut self, n: u32, value: u32) {
        self.load_arg_low(n);
        self.when_ne(value, Self::allow);
        self.notify();
    }

    /// Ends in "allow" if all 64 bits of argument `n` are `value`, and goes on otherwise.
    pub(super) fn allow_if_arg64(&mut self, n: u32, value: u64) {
        let (low, high) = halves(value);
        self.load_arg_low(n);
        self.when_eq(low, |p| {
            p.load_arg_high(n);
            p.when_eq(high, Self::allow);
        });
    }

    fn when(&mut self, jump: u16, value: u32, wanted: bool, rules: impl FnOnce(&mut Self)) {
        let at = self.0.len();
        self.push(jump, 0, 0, value);
        rules(self);
        let skip = u8::try_from(self.0.len() - at - 1).expect("no rule is 256 instructions long");
        let (jt, jf) = if wanted { (0, skip) } else { (skip, 0) };
        self.0[at].jt = jt;
        self.0[at].jf = jf;
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) {
        self.0.push(libc::sock_filter { code, jt, jf, k });
    }
}

fn halves(value: u64) -> (u32, u32) {
    let low = u32::try_from(value & 0xffff_ffff).expect("masked to 32 bits");
    let high = u32::try_from(value >> 32).expect("shifted to 32 bits");
    (low, high)
}
