use super::*;

const NUMBERS: [u32; 8] = [35, 202, 223, 230, 242, 286, 449, 1023];

fn mov(number: u32) -> Bytes {
    let [a, b, c, d] = number.to_le_bytes();
    [MOV_EAX, a, b, c, d]
}

/// A site before 0x10_0000 and the jump from it over this distance.
fn jump_over(distance: u32) -> Bytes {
    jump(0x10_0000, 0x10_0000 - 2 + u64::from(distance)).unwrap()
}

/// Distances at which bytes are zero, full, or those of a number, in every place.
fn distances() -> Vec<u32> {
    let bytes = [0, 1, 3, 4, 0x7f, 0x80, 0xca, 0xe6, 0xff];
    let mut all = Vec::new();
    for d in [0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xff] {
        for c in bytes {
            for b in bytes {
                all.extend(bytes.map(|a| u32::from_le_bytes([a, b, c, d])));
            }
        }
    }
    all
}

#[test]
fn every_state_on_the_way_is_a_number_that_no_call_has() {
    let mut possible = 0;
    for number in NUMBERS {
        for distance in distances() {
            let Some(jump) = jump(0x10_0000, 0x10_0000 - 2 + u64::from(distance)) else {
                continue;
            };
            let wanted = (1024..0x4000_0000).contains(&distance);
            let order = stores(mov(number), jump);
            assert_eq!(order.is_some(), wanted, "{number} {distance:#x}");
            let Some(order) = order else { continue };
            let mut state = mov(number);
            let order: Vec<_> = order.collect();
            for (i, (place, byte)) in order.iter().enumerate() {
                state[usize::try_from(*place).unwrap()] = *byte;
                let is_last = i + 1 == order.len();
                assert_eq!(state[0] == JUMP, is_last, "{number} {distance:#x}");
                assert!((1024..0x4000_0000).contains(&operand(state)), "{state:x?}");
                assert!(is_between(state, mov(number), jump));
                if !is_last {
                    assert!(is_trap(mov(number), jump, operand(state)));
                    // Another patcher goes on from here, and by the same rule.
                    let rest: Vec<_> = stores(state, jump).unwrap().collect();
                    assert_eq!(rest, order[i + 1..]);
                }
            }
            assert_eq!(state, jump);
            possible += 1;
        }
    }
    assert!(possible > 10_000, "{possible}");
}

#[test]
fn two_patchers_at_once_leave_no_other_states() {
    // Whatever the interleaving, a byte is old or new, and each patcher has stored or seen the highest
    // before the others: so look at all mixtures with the highest byte new.
    for number in NUMBERS {
        for distance in [1024, 0x1234, 0x3_0480, 0x15_4e6a, 0x0210_0000] {
            let jump = jump_over(distance);
            let order: Vec<_> = stores(mov(number), jump).unwrap().collect();
            let (first, rest) = order.split_first().unwrap();
            for subset in 0..1u32 << (rest.len() - 1) {
                let mut state = mov(number);
                let some = rest
                    .iter()
                    .enumerate()
                    .filter(|(i, _)| subset >> i & 1 == 1);
                for (place, byte) in std::iter::once(first).chain(some.map(|(_, store)| store)) {
                    state[usize::try_from(*place).unwrap()] = *byte;
                }
                assert!(operand(state) >= TRAP, "{number} {distance:#x} {state:x?}");
            }
        }
    }
}

#[test]
fn a_made_up_number_is_told_from_one_of_the_programs() {
    let (original, jump) = (mov(230), jump_over(0x15_4e6a));
    assert!(is_trap(original, jump, 0x15_00e6));
    assert!(is_trap(original, jump, 0x15_4e6a));
    assert!(!is_trap(original, jump, 230));
    assert!(!is_trap(original, jump, 0x15_0000));
    assert!(!is_trap(original, jump, 0x4e6a_0000));
    let moved = [0x4c, 0x8b, 0x4c, 0x24, 8];
    assert!(!is_trap(moved, jump, 0x15_4e6a));
    assert!(is_between(moved, moved, jump) && is_between(jump, moved, jump));
    assert!(!is_between(mov(0x15_4e6a), moved, jump));
}

#[test]
fn the_form_of_a_site_is_told() {
    assert_eq!(form(mov(230), 230), Ok(Form::Numbered));
    // A jump straight to the `syscall`, with another number.
    assert_eq!(form(mov(230), 202), Err(Reason::Form));
    assert_eq!(form(mov(5000), 5000), Err(Reason::Form));
    assert_eq!(form([0x4c, 0x89, 0x5c, 0x24, 8], 230), Err(Reason::Bridge));
    // mov 8(%rsp),%r9; mov 16(%rsp),%rax; and into the stack pointer; and 8(%rsp,%rax).
    assert_eq!(form([0x4c, 0x8b, 0x4c, 0x24, 8], 202), Ok(Form::Moved));
    assert_eq!(form([0x48, 0x8b, 0x44, 0x24, 16], 202), Ok(Form::Moved));
    assert_eq!(form([0x48, 0x8b, 0x64, 0x24, 8], 202), Err(Reason::Form));
    assert_eq!(form([0x4c, 0x8b, 0x4c, 0x04, 8], 202), Err(Reason::Form));
    assert_eq!(before_call(*b"\xb8\xe6\0\0\0\x0f\x05"), Some(mov(230)));
    assert_eq!(before_call(*b"\xb8\xe6\0\0\0\x0f\x34"), None);
}

#[test]
fn a_word_is_exchanged_only_if_it_holds_all_that_changes() {
    for (form, held) in [(Form::Moved, 4), (Form::Numbered, 5)] {
        for at in 0..8 {
            let wanted = at < held && fetches_whole_words();
            assert_eq!(can_exchange(0x1000 + at, form), wanted, "{form:?} {at}");
        }
    }
}

#[test]
fn a_stub_is_read_as_it_was_written() {
    let wanted = Stub {
        at: 0x7f12_3456_7fe0,
        original: mov(230),
        after: 0x7f12_3440_0107,
        gate: 0x7fff_1234_5680,
    };
    let bytes = stub(&wanted).unwrap();
    assert_eq!(read_stub(&bytes, wanted.at), Some(wanted));
    let code: Vec<_> = Decoder::with_ip(64, &bytes, wanted.at, 0)
        .iter()
        .take(3)
        .collect();
    assert_eq!(code[1].memory_displacement64(), wanted.after);
    assert_eq!(
        code[2].memory_displacement64(),
        wanted.at + STUB_GATE as u64
    );
    for at in (0..STUB_GATE).filter(|at| !(1..5).contains(at) && !(8..LEA_END).contains(at)) {
        let mut other = bytes;
        other[at] ^= 0x81;
        assert_eq!(read_stub(&other, wanted.at), None, "{at}");
    }
    assert_eq!(read_stub(&[0; STUB_LEN], wanted.at), None);
    let far = Stub {
        after: 0x1000,
        ..wanted
    };
    assert!(stub(&far).is_none() && jump(far.after, far.at).is_none());
}

// ---- Boundaries ----

/// A function as a compiler makes it: it saves registers, loads the arguments and makes the call.
/// Its last instructions are `last`, and with `last` ends what is returned.
fn function(last: &[u8]) -> Vec<u8> {
    let mut code = Vec::new();
    // ret; nopw %cs:0(%rax,%rax); push %rbp; mov %rsp,%rbp; push %rbx; sub $0x58,%rsp
    code.extend(b"\xc3\x66\x2e\x0f\x1f\x84\0\0\0\0\0\x55\x48\x89\xe5\x53\x48\x83\xec\x58");
    // mov %rdi,%rbx; mov %fs:0x28,%rax; mov %rax,0x48(%rsp); xor %eax,%eax
    code.extend(b"\x48\x89\xfb\x64\x48\x8b\x04\x25\x28\0\0\0\x48\x89\x44\x24\x48\x31\xc0");
    // test %edx,%edx; je +0x40; mov %ecx,%r8d; lea 0x10(%rsp),%r10; cmp $3,%edi; ja +0x30
    code.extend(b"\x85\xd2\x74\x40\x41\x89\xc8\x4c\x8d\x54\x24\x10\x83\xff\x03\x77\x30");
    // mov 0x18(%rbx),%rsi; movslq %edi,%rdi; add $1,%edx; mov %rbx,0x20(%rsp); mov $1,%esi
    code.extend(b"\x48\x8b\x73\x18\x48\x63\xff\x83\xc2\x01\x48\x89\x5c\x24\x20\xbe\x01\0\0\0");
    code.extend(last);
    code
}

/// Whether the last seven bytes of a function with this end are a site.
fn is_site(last: &[u8]) -> bool {
    let code = function(last);
    is_certain(&code, code.len() - SITE_LEN)
}

#[test]
fn an_instruction_is_told_from_the_end_of_another() {
    assert!(is_site(b"\xb8\xca\0\0\0\x0f\x05"));
    // xor %edx,%edx before it, whose last byte begins an instruction too.
    assert!(is_site(b"\x31\xd2\xb8\xca\0\0\0\x0f\x05"));
    // movl $0xca,-0x48(%rsp); mov $0xca,%r8d; movabs $0xca00..,%rax; add $0xca,%eax with a REX.
    assert!(!is_site(b"\xc7\x44\x24\xb8\xca\0\0\0\x0f\x05"));
    assert!(!is_site(b"\x41\xb8\xca\0\0\0\x0f\x05"));
    assert!(!is_site(b"\x49\xb8\0\0\0\xb8\xca\0\0\0\x0f\x05"));
    assert!(!is_site(b"\x48\x8d\x05\xb8\xca\0\0\0\x0f\x05"));
    // mov 8(%rsp),%r9, and the end of a longer one.
    assert!(is_site(b"\x4c\x8b\x4c\x24\x08\x0f\x05"));
    assert!(!is_site(b"\x41\x81\x4c\x8b\x4c\x24\x08\x0f\x05\x0f\x05"));
}

#[test]
fn a_site_with_little_code_before_it_is_not_certain() {
    let code = function(b"\xb8\xca\0\0\0\x0f\x05");
    let site = code.len() - SITE_LEN;
    assert!(is_certain(&code, site));
    assert!(!is_certain(&code[site - 30..], 30));
    assert!(!is_certain(&code[site..], 0));
    assert!(!is_certain(&[], 0));
}

#[test]
fn a_branch_into_the_instruction_is_found() {
    let site = |branch: &[u8]| {
        // The branch lies first, then the function with the site.
        let mut code = branch.to_vec();
        code.extend(function(b"\xb8\xca\0\0\0\x0f\x05"));
        let site = code.len() - SITE_LEN;
        code.extend([0x90; 300]);
        (code, site)
    };
    let (code, at) = site(&[]);
    assert!(!is_entered(&code, at));
    // jmp rel32 from the start and from behind, to each byte.
    for (target, is_inside) in (0..8).zip([false, true, true, true, true, false, false, false]) {
        for (opcode, len) in [(&b"\xe9"[..], 5), (b"\x0f\x84", 6)] {
            let (mut code, at) = site(&vec![0x90; len]);
            let distance = i32::try_from(at + target - len).unwrap();
            code[..opcode.len()].copy_from_slice(opcode);
            code[opcode.len()..len].copy_from_slice(&distance.to_le_bytes());
            assert_eq!(is_entered(&code, at), is_inside, "{opcode:x?} {target}");
        }
        // Short ones: jne from before, jmp from behind.
        let (mut code, at) = site(&[0x90; 30]);
        code[10] = 0x75;
        code[11] = u8::try_from(at + target - 12).unwrap();
        assert_eq!(is_entered(&code, at), is_inside, "short, {target}");
        let (mut code, at) = site(&[]);
        let behind = at + SITE_LEN + 9;
        code[behind] = 0xeb;
        let back = i8::try_from(target).unwrap() - 18;
        code[behind + 1] = back.to_le_bytes()[0];
        assert_eq!(is_entered(&code, at), is_inside, "back, {target}");
    }
}

#[test]
fn whatever_stands_in_a_program_can_be_looked_at() {
    // xorshift64: the same bytes each time.
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut certain = 0;
    for _ in 0..3000 {
        let code: Vec<u8> = (0..48).flat_map(|_| random().to_le_bytes()).collect();
        let site = usize::try_from(random() % 390).unwrap();
        certain += u32::from(is_certain(&code, site));
        is_entered(&code, site);
        if let Some(bytes) = code[site.min(300)..].first_chunk() {
            read_stub(bytes, random());
        }
        let mut bytes = *code.first_chunk::<STUB_LEN>().unwrap();
        bytes[5..8].copy_from_slice(&LEA);
        bytes[LEA_END..STUB_GATE].copy_from_slice(&TAIL);
        bytes[0] = MOV_EAX;
        let read = read_stub(&bytes, random()).expect("a stub");
        let _ = (stub(&read), jump(read.after, read.at));
        stores(read.original, *code.first_chunk().unwrap()).map(Iterator::count);
    }
    assert!(certain < 300, "{certain} of 3000 places in noise");
}
