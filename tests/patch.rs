//! The patcher of call sites, on a program whose threads are in them meanwhile.
//!
//! `ELSEWHEN_STORM=full` makes the storm fifty times as long.
#![expect(unsafe_code, reason = "the ioctls of a seccomp listener")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, RwLock};
use std::thread;
use std::time::Duration;

use elsewhen::patch::{Outcome, Reason, Traps, patch, patch_to_code, rewind, traps};
use harness::guests::{self, Kind};
use harness::{Missing, need, skip};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

/// The sites with `mov $nr,%eax`, those that are moved in one store, and one that cannot be.
const NUMBERED: [&str; 9] = [
    "far", "plain", "opcode", "cut", "last", "pages", "call", "middle", "near",
];
const MOVED: [&str; 3] = ["word", "libc", "end"];
const TORN: &str = "torn";

/// How the guest is told to go through a site again.
const AGAIN: i32 = -4095;

/// The guest `patched`: see there.
struct Guest {
    child: Child,
    streams: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    listener: OwnedFd,
    memory: File,
    maps: File,
    /// The addresses behind the `syscall` instructions, and the numbers.
    sites: HashMap<String, (u64, u32)>,
    gate: u64,
}

/// What a site was.
struct Site {
    at: u64,
    bytes: [u8; 5],
}

impl Guest {
    fn start() -> Result<Self, Missing> {
        let program = guests::build("patched", Kind::Glibc)?;
        let mut command = Command::new(program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = harness::process::alone(|| command.spawn().unwrap());
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut sites = HashMap::new();
        loop {
            let mut line = String::new();
            assert_ne!(
                output.read_line(&mut line).unwrap(),
                0,
                "the guest has ended"
            );
            let words: Vec<_> = line.split_whitespace().collect();
            let [name, place, ..] = words[..] else { break };
            let place = match place.strip_prefix("0x") {
                Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
                None => place.parse().unwrap(),
            };
            let number = words.get(2).map_or(39, |word| word.parse().unwrap());
            sites.insert(name.to_owned(), (place, number));
        }
        let pid = Pid::from_child(&child);
        let listener = i32::try_from(sites["listener"].0).unwrap();
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let listener = pidfd_getfd(pidfd, listener, PidfdGetfdFlags::empty());
        let listener = match listener {
            Ok(listener) => listener,
            Err(e) => {
                child.kill().unwrap();
                child.wait().unwrap();
                return Err(Missing(format!("no pidfd_getfd(2): {e}")));
            }
        };
        let (memory, maps) = open(pid.as_raw_nonzero().get());
        Ok(Self {
            streams: Mutex::new((child.stdin.take().unwrap(), output)),
            listener,
            gate: sites["gate"].0,
            child,
            memory,
            maps,
            sites,
        })
    }

    fn patch(&self, name: &str) -> Outcome {
        let (after, number) = self.sites[name];
        self.patch_at(after, number, Traps::Always)
    }

    fn patch_at(&self, after: u64, number: u32, traps: Traps) -> Outcome {
        loop {
            let outcome = patch(&self.memory, &self.maps, after, number, self.gate, traps);
            // The guests of other tests are patched meanwhile.
            if outcome != Outcome::Left(Reason::Busy) {
                return outcome;
            }
            thread::yield_now();
        }
    }

    fn rewind(&self, name: &str, number: u32) -> Option<u64> {
        rewind(&self.memory, &self.maps, self.sites[name].0, number, |_| {
            Some(self.gate)
        })
    }

    fn site(&self, name: &str) -> Site {
        let at = self.sites[name].0 - 7;
        let mut bytes = [0; 5];
        self.memory.read_exact_at(&mut bytes, at).unwrap();
        Site { at, bytes }
    }

    /// Where the jump at a patched site leads.
    fn stub(&self, name: &str) -> u64 {
        let [_, a, b, c, d] = self.site(name).bytes;
        self.sites[name].0 - 2 + u64::from(u32::from_le_bytes([a, b, c, d]))
    }

    fn store(&self, bytes: &[u8], at: u64) {
        assert_eq!(self.memory.write_at(bytes, at).unwrap(), bytes.len());
    }

    /// Brings back what the site was, as a patcher would: the highest byte last.
    fn restore(&self, site: &Site) {
        if site.bytes[0] == 0xb8 {
            for (place, byte) in (0..).zip(site.bytes) {
                self.store(&[byte], site.at + place);
            }
            return;
        }
        self.exchange(site);
    }

    /// Brings back what the site was by one store; what lies in the next word has not changed.
    fn exchange(&self, site: &Site) {
        let (start, mut word) = (site.at & !7, [0; 8]);
        self.memory.read_exact_at(&mut word, start).unwrap();
        let place = usize::try_from(site.at - start).unwrap();
        let held = (8 - place).min(5);
        word[place..place + held].copy_from_slice(&site.bytes[..held]);
        self.store(&word, start);
    }

    /// Has the guest make its calls; how many they were, and how many of them in the gate.
    fn run(&self, rounds: u32) -> (u64, u64) {
        let (input, output) = &mut *self.streams.lock().unwrap();
        writeln!(input, "{rounds}").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let counts: Vec<u64> = line
            .split_whitespace()
            .map(|w| w.parse().unwrap())
            .collect();
        let [calls, gated, wrong] = counts[..] else {
            panic!("the guest has ended: {line}");
        };
        assert_eq!(wrong, 0, "wrong calls");
        (calls, gated)
    }

    /// Answers the calls that were made up, until `done`; how many there were.
    fn answer(&self, done: &AtomicBool, mut told: impl FnMut(&libc::seccomp_notif)) -> u32 {
        let _end = End(self);
        let mut count = 0;
        while !done.load(Ordering::SeqCst) {
            let Some(call) = receive(&self.listener) else {
                continue;
            };
            told(&call);
            answer(&self.listener, call.id);
            count += 1;
        }
        count
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn open(tid: i32) -> (File, File) {
    let mut both = File::options();
    let memory = both.read(true).write(true).open(format!("/proc/{tid}/mem"));
    (
        memory.unwrap(),
        File::open(format!("/proc/{tid}/maps")).unwrap(),
    )
}

/// The next notification, if one comes soon.
fn receive(listener: &OwnedFd) -> Option<libc::seccomp_notif> {
    let mut poll = libc::pollfd {
        fd: listener.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: both calls write to live values of the types they name; all zeroes is a notification.
    unsafe {
        if libc::poll(&raw mut poll, 1, 20) != 1 || poll.revents & libc::POLLIN == 0 {
            return None;
        }
        let mut call: libc::seccomp_notif = std::mem::zeroed();
        let fd = listener.as_raw_fd();
        (libc::ioctl(fd, libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut call) == 0).then_some(call)
    }
}

/// Whether the call still waits.
fn is_valid(listener: &OwnedFd, id: u64) -> bool {
    // SAFETY: the kernel reads a live u64.
    unsafe {
        let fd = listener.as_raw_fd();
        libc::ioctl(fd, libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id) == 0
    }
}

fn answer(listener: &OwnedFd, id: u64) {
    let mut answer = libc::seccomp_notif_resp {
        id,
        val: 0,
        error: AGAIN,
        flags: 0,
    };
    // SAFETY: the kernel reads a live structure of the type that the ioctl names.
    unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_SEND,
            &raw mut answer,
        );
    }
}

/// Ends the guest if the thread fails that answers its calls: nobody else would.
struct End<'a>(&'a Guest);

impl Drop for End<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let pid = i32::try_from(self.0.child.id()).unwrap();
            harness::sys::kill(pid, libc::SIGKILL);
        }
    }
}

/// Tells the other threads to end, also when this one fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Whether a number that no call has reaches a listener, or the reason for a skip.
fn need_traps() -> Result<(), Missing> {
    let status = File::open("/proc/self/status").unwrap();
    match traps(&status, 0) {
        Traps::Always => Ok(()),
        _ => Err(Missing("another seccomp filter stands above".into())),
    }
}

/// What becomes of a site that is moved: only AMD's processors fetch words whole.
fn moved() -> Outcome {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    match cpu.contains("AuthenticAMD") || cpu.contains("HygonGenuine") {
        true => Outcome::Patched,
        false => Outcome::Left(Reason::Torn),
    }
}

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

/// Every site is patched and brought back over and over, by two patchers at once, while three
/// threads are in them, and children that are copies of half-patched programs.
#[test]
fn no_call_goes_wrong_while_its_site_is_patched() {
    need!(need_traps());
    let guest = need!(Guest::start());
    let full = std::env::var("ELSEWHEN_STORM").is_ok_and(|v| v == "full");
    let rounds = if full { 1_000_000 } else { 20_000 };
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
    let full = std::env::var("ELSEWHEN_STORM").is_ok_and(|v| v == "full");
    let rounds = if full { 1_000_000 } else { 20_000 };
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
