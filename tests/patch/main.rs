//! The patcher of call sites, which a test calls itself.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod guest;
#[path = "../harness/mod.rs"]
mod harness;
mod storms;

use elsewhen::patch::{Outcome, Reason, Traps, patch_to_code, rewind, traps};
use guest::{Done, Guest, MOVED, NUMBERED, TORN, moved, need_traps};
use harness::need;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicBool;
use std::thread;

#[test]
fn a_patched_site_leads_to_the_gate_with_all_registers() {
    let guest = need!(Guest::start());
    let (calls, gated) = guest.run(10);
    assert_eq!(gated, 0);
    let mut patched = 0;
    for name in NUMBERED {
        assert_eq!(guest.patch(name), Outcome::Patched, "{name}");
        assert_eq!(guest.patch(name), Outcome::Already, "{name}");
        patched += calls / 13;
    }
    for name in MOVED {
        assert_eq!(guest.patch(name), moved(), "{name}");
        if moved() == Outcome::Patched {
            assert_eq!(guest.patch(name), Outcome::Already, "{name}");
            patched += calls / 13;
        }
    }
    assert_eq!(guest.patch(TORN), Outcome::Left(Reason::Torn));
    assert_eq!(guest.run(10), (calls, patched));
}

#[test]
fn what_may_be_no_site_is_left_alone() {
    let guest = need!(Guest::start());
    for (name, reason) in [
        ("bridge", Reason::Bridge),
        ("false", Reason::Boundary),
        ("entered", Reason::Entered),
        ("anonymous", Reason::NotFileBacked),
        ("memory", Reason::NotFileBacked),
        ("shared", Reason::Writable),
        ("writable", Reason::Writable),
        ("elsewhere", Reason::NoRoom),
        ("nothing", Reason::Gone),
        // No `syscall` stands there.
        ("gate", Reason::Gone),
    ] {
        let (after, mut number) = guest.sites[name];
        if !["bridge", "false", "entered"].contains(&name) {
            number = guest.sites["plain"].1;
        }
        let outcome = guest.patch_at(after, number, Traps::Always);
        assert_eq!(outcome, Outcome::Left(reason), "{name}");
        assert_eq!(
            rewind(&guest.memory, &guest.maps, after, 5000, |_| Some(
                guest.gate
            )),
            None
        );
    }
    // Another number than the instruction before sets: the program has jumped to the `syscall`.
    let (after, number) = guest.sites["plain"];
    for (after, number) in [
        (after, number + 1),
        (after, 5000),
        (0, 39),
        (6, 39),
        (u64::MAX, 39),
    ] {
        let outcome = guest.patch_at(after, number, Traps::Always);
        assert!(matches!(outcome, Outcome::Left(_)), "{after:#x} {number}");
    }
    assert_eq!(guest.site("plain").bytes, [0xb8, 186, 0, 0, 0]);
}

#[test]
fn a_site_in_the_vdso_is_left_alone() {
    let guest = need!(Guest::start());
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", guest.child.id())).unwrap();
    let line = maps.lines().find(|line| line.ends_with("[vdso]")).unwrap();
    let range = line.split_once(' ').unwrap().0.split_once('-').unwrap();
    let [start, end] = [range.0, range.1].map(|word| u64::from_str_radix(word, 16).unwrap());
    let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
    guest.memory.read_exact_at(&mut bytes, start).unwrap();
    let mut sites = 0;
    for (at, window) in (start..).zip(bytes.windows(7)) {
        if let [0xb8, a, b, 0, 0, 0x0f, 0x05] = *window {
            let number = u32::from(u16::from_le_bytes([a, b]));
            let outcome = guest.patch_at(at + 7, number, Traps::Always);
            assert_eq!(outcome, Outcome::Left(Reason::NotFileBacked));
            sites += 1;
        }
    }
    assert_ne!(sites, 0);
}

#[test]
fn where_nobody_may_trap_a_site_is_replaced_at_once_or_not_at_all() {
    let guest = need!(Guest::start());
    let status = File::open(format!("/proc/{}/status", guest.child.id())).unwrap();
    // The guest has one thread now, and its own filter.
    assert_eq!(traps(&status, 0), Traps::WhileHeld);
    let mut patched = 0;
    for name in NUMBERED {
        let (after, number) = guest.sites[name];
        let site = guest.site(name);
        let wanted = match site.at % 8 {
            0..=4 => moved(),
            _ => Outcome::Left(Reason::Torn),
        };
        let outcome = guest.patch_at(after, number, Traps::Never);
        assert_eq!(outcome, wanted, "{name}");
        assert_eq!(
            guest.site(name).bytes == site.bytes,
            wanted != Outcome::Patched
        );
        patched += u64::from(wanted == Outcome::Patched);
    }
    let (calls, gated) = guest.run(10);
    assert_eq!(gated, calls / 13 * patched);
}

#[test]
fn where_its_thread_is_held_a_site_is_replaced_in_one_write() {
    let guest = need!(Guest::start());
    let mut patched = 0;
    for name in NUMBERED {
        let (after, number) = guest.sites[name];
        // Two pages are written one after the other.
        let wanted = match guest.site(name).at % 4096 {
            4092.. => Outcome::Left(Reason::Torn),
            _ => Outcome::Patched,
        };
        let outcome = guest.patch_at(after, number, Traps::WhileHeld);
        assert_eq!(outcome, wanted, "{name}");
        patched += u64::from(wanted == Outcome::Patched);
    }
    let (calls, gated) = guest.run(10);
    assert_eq!(gated, calls / 13 * patched);
}

#[test]
fn a_gate_can_stand_beside_the_stubs_once() {
    let guest = need!(Guest::start());
    let (calls, _) = guest.run(10);
    // `jmp *0(%rip)`, and where to: longer than one place.
    let mut code = b"\xff\x25\x00\x00\x00\x00".to_vec();
    code.extend(guest.gate.to_le_bytes());
    code.extend([0x90; 40]);
    let patch = |name: &str| {
        let (after, number) = guest.sites[name];
        patch_to_code(
            &guest.memory,
            &guest.maps,
            after,
            number,
            &code,
            Traps::Always,
        )
    };
    let mut gates = Vec::new();
    for name in ["plain", "middle"] {
        assert_eq!(patch(name), Outcome::Patched, "{name}");
        assert_eq!(patch(name), Outcome::Already, "{name}");
        let mut gate = [0; 8];
        let at = guest.stub(name) + 24;
        guest.memory.read_exact_at(&mut gate, at).unwrap();
        gates.push(u64::from_le_bytes(gate));
    }
    assert_eq!(gates[0], gates[1]);
    assert_ne!(gates[0], guest.gate);
    assert_eq!(guest.run(10), (calls, 2 * calls / 13));
}

#[test]
fn a_full_page_has_no_room_for_another_stub() {
    let guest = need!(Guest::start());
    assert_eq!(guest.patch("far"), Outcome::Patched);
    let stub = guest.stub("far");
    let page_end = stub.next_multiple_of(4096);
    // One byte in every place but the last.
    for place in (stub + 32..page_end - 32).step_by(32) {
        guest.store(&[0xcc], place + 31);
    }
    assert_eq!(guest.patch("plain"), Outcome::Patched);
    assert_eq!(guest.patch("cut"), Outcome::Left(Reason::NoRoom));
    assert_eq!(guest.patch("far"), Outcome::Already);
    guest.run(10);
}

#[test]
fn a_site_whose_patcher_has_died_is_completed_by_the_first_thread_there() {
    need!(need_traps());
    let guest = need!(Guest::start());
    for name in NUMBERED {
        let site = guest.site(name);
        // Nobody has made this number up: it is the program's own mistake.
        assert_eq!(guest.rewind(name, 5000), None);
        assert_eq!(guest.patch(name), Outcome::Patched);
        assert_eq!(guest.rewind(name, 5000), None);
        let jump = guest.site(name).bytes;
        let changed = (0..5)
            .rev()
            .filter(|place| jump[*place] != site.bytes[*place]);
        let order: Vec<_> = changed.collect();
        for count in 1..order.len() {
            guest.restore(&site);
            for place in &order[..count] {
                guest.store(&jump[*place..=*place], site.at + *place as u64);
            }
            let done = AtomicBool::new(false);
            thread::scope(|scope| {
                let told = scope.spawn(|| {
                    guest.answer(&done, |call| {
                        let number = call.data.nr.cast_unsigned();
                        let on = guest.rewind(name, number).expect("a site of ours");
                        assert_eq!(on, site.at);
                    })
                });
                let end = Done(&done);
                guest.run(1);
                drop(end);
                assert_ne!(told.join().unwrap(), 0, "{name} {count}");
            });
            assert_eq!(guest.site(name).bytes, jump, "{name} {count}");
        }
        // A patcher that comes by does the same.
        guest.restore(&site);
        guest.store(&jump[order[0]..=order[0]], site.at + order[0] as u64);
        assert_eq!(guest.patch(name), Outcome::Patched);
        assert_eq!(guest.site(name).bytes, jump);
    }
}
