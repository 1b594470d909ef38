//! The patcher of call sites, on a program whose threads are in them meanwhile.
//!
//! `ELSEWHEN_STORM=full` makes the storms fifty times as long.

use crate::guest::{Done, Guest, MOVED, NUMBERED, is_valid, moved, need_traps, open};
use crate::harness::{need, skip};
use elsewhen::patch::{Outcome, Reason, Traps, rewind};
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// How often the threads go through all sites.
fn rounds() -> u32 {
    let full = std::env::var("ELSEWHEN_STORM").is_ok_and(|v| v == "full");
    if full { 1_000_000 } else { 20_000 }
}

/// Every site is patched and brought back over and over, by two patchers at once, while three
/// threads are in them, and children that are copies of half-patched programs.
#[test]
fn no_call_goes_wrong_while_its_site_is_patched() {
    need!(need_traps());
    let guest = need!(Guest::start());
    let rounds = rounds();
    let names: Vec<_> = NUMBERED.into_iter().chain(MOVED).collect();
    let sites: Vec<_> = names.iter().map(|name| guest.site(name)).collect();
    let done = AtomicBool::new(false);
    // Patchers share the program; who brings back what was has it alone.
    let (turn, patched) = (RwLock::new(()), AtomicU32::new(0));
    thread::scope(|scope| {
        for first in 0..2 {
            let (guest, names, done, turn, patched) = (&guest, &names, &done, &turn, &patched);
            scope.spawn(move || {
                for name in names.iter().cycle().skip(first * 5) {
                    if done.load(Ordering::SeqCst) {
                        break;
                    }
                    let outcome = {
                        let _turn = turn.read().unwrap();
                        guest.patch(name)
                    };
                    match outcome {
                        Outcome::Patched => patched.fetch_add(1, Ordering::SeqCst),
                        Outcome::Already | Outcome::Left(Reason::Torn) => 0,
                        Outcome::Left(reason) => panic!("{name}: {reason:?}"),
                    };
                    thread::yield_now();
                }
            });
        }
        scope.spawn(|| {
            for (name, site) in names.iter().zip(&sites).cycle() {
                if done.load(Ordering::SeqCst) {
                    break;
                }
                let turn = turn.write().unwrap();
                if guest.site(name).bytes[0] == 0xe9 {
                    guest.restore(site);
                }
                drop(turn);
                thread::sleep(Duration::from_micros(100));
            }
        });
        let told = scope.spawn(|| {
            guest.answer(&done, |call| {
                let _turn = turn.read().unwrap();
                let tid = i32::try_from(call.pid).unwrap();
                let (memory, maps) = open(tid);
                assert!(is_valid(&guest.listener, call.id));
                let (after, number) = (call.data.instruction_pointer, call.data.nr);
                rewind(&memory, &maps, after, number.cast_unsigned(), |_| {
                    Some(guest.gate)
                })
                .expect("a site of ours");
            })
        });
        let end = Done(&done);
        let (calls, gated) = guest.run(rounds);
        drop(end);
        let (told, patched) = (told.join().unwrap(), patched.load(Ordering::SeqCst));
        println!(
            "{calls} calls, {gated} in the gate, {patched} times patched, {told} times in between"
        );
        assert!(gated > 0 && gated < calls && patched > 0);
    });
}

/// As under a container's profile: no thread may meet a half-patched site, in however many it is.
#[test]
fn no_call_traps_where_sites_are_replaced_at_once() {
    need!(need_traps());
    let guest = need!(Guest::start());
    let names: Vec<_> = NUMBERED
        .into_iter()
        .filter(|name| guest.site(name).at % 8 <= 4)
        .collect();
    let is_cut = |name: &&str| guest.site(name).at % 8 == 4;
    assert!(names.iter().any(is_cut), "none lies in two words");
    if moved() != Outcome::Patched {
        skip!("this processor promises nothing of words");
    }
    let sites: Vec<_> = names.iter().map(|name| guest.site(name)).collect();
    let rounds = rounds();
    let (done, patched) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            for (name, site) in names.iter().zip(&sites).cycle() {
                if done.load(Ordering::SeqCst) {
                    break;
                }
                let (after, number) = guest.sites[*name];
                let outcome = guest.patch_at(after, number, Traps::Never);
                assert_eq!(outcome, Outcome::Patched, "{name}");
                patched.fetch_add(1, Ordering::SeqCst);
                thread::yield_now();
                guest.exchange(site);
            }
        });
        let told = scope.spawn(|| guest.answer(&done, |_| {}));
        let end = Done(&done);
        let (calls, gated) = guest.run(rounds);
        drop(end);
        let (told, patched) = (told.join().unwrap(), patched.load(Ordering::SeqCst));
        println!("{calls} calls, {gated} in the gate, {patched} times patched");
        assert_eq!(told, 0, "calls of made-up numbers");
        assert!(gated > 0 && gated < calls && patched > 0);
    });
}
