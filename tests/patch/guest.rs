//! The guest `patched`, whose call sites a test patches itself.
#![expect(unsafe_code, reason = "the ioctls of a seccomp listener")]

use crate::harness::guests::{self, Kind};
use crate::harness::{self, Missing};
use elsewhen::patch::{Outcome, Reason, Traps, patch, rewind, traps};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// The sites with `mov $nr,%eax`, those that are moved in one store, and one that cannot be.
pub(crate) const NUMBERED: [&str; 9] = [
    "far", "plain", "opcode", "cut", "last", "pages", "call", "middle", "near",
];
pub(crate) const MOVED: [&str; 3] = ["word", "libc", "end"];
pub(crate) const TORN: &str = "torn";

/// How the guest is told to go through a site again.
pub(crate) const AGAIN: i32 = -4095;

/// The guest `patched`: see there.
pub(crate) struct Guest {
    pub(crate) child: Child,
    streams: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    pub(crate) listener: OwnedFd,
    pub(crate) memory: File,
    pub(crate) maps: File,
    /// The addresses behind the `syscall` instructions, and the numbers.
    pub(crate) sites: HashMap<String, (u64, u32)>,
    pub(crate) gate: u64,
}

/// What a site was.
pub(crate) struct Site {
    pub(crate) at: u64,
    pub(crate) bytes: [u8; 5],
}

impl Guest {
    pub(crate) fn start() -> Result<Self, Missing> {
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

    pub(crate) fn patch(&self, name: &str) -> Outcome {
        let (after, number) = self.sites[name];
        self.patch_at(after, number, Traps::Always)
    }

    pub(crate) fn patch_at(&self, after: u64, number: u32, traps: Traps) -> Outcome {
        loop {
            let outcome = patch(&self.memory, &self.maps, after, number, self.gate, traps);
            // The guests of other tests are patched meanwhile.
            if outcome != Outcome::Left(Reason::Busy) {
                return outcome;
            }
            thread::yield_now();
        }
    }

    pub(crate) fn rewind(&self, name: &str, number: u32) -> Option<u64> {
        rewind(&self.memory, &self.maps, self.sites[name].0, number, |_| {
            Some(self.gate)
        })
    }

    pub(crate) fn site(&self, name: &str) -> Site {
        let at = self.sites[name].0 - 7;
        let mut bytes = [0; 5];
        self.memory.read_exact_at(&mut bytes, at).unwrap();
        Site { at, bytes }
    }

    /// Where the jump at a patched site leads.
    pub(crate) fn stub(&self, name: &str) -> u64 {
        let [_, a, b, c, d] = self.site(name).bytes;
        self.sites[name].0 - 2 + u64::from(u32::from_le_bytes([a, b, c, d]))
    }

    pub(crate) fn store(&self, bytes: &[u8], at: u64) {
        assert_eq!(self.memory.write_at(bytes, at).unwrap(), bytes.len());
    }

    /// Brings back what the site was, as a patcher would: the highest byte last.
    pub(crate) fn restore(&self, site: &Site) {
        if site.bytes[0] == 0xb8 {
            for (place, byte) in (0..).zip(site.bytes) {
                self.store(&[byte], site.at + place);
            }
            return;
        }
        self.exchange(site);
    }

    /// Brings back what the site was by one store; what lies in the next word has not changed.
    pub(crate) fn exchange(&self, site: &Site) {
        let (start, mut word) = (site.at & !7, [0; 8]);
        self.memory.read_exact_at(&mut word, start).unwrap();
        let place = usize::try_from(site.at - start).unwrap();
        let held = (8 - place).min(5);
        word[place..place + held].copy_from_slice(&site.bytes[..held]);
        self.store(&word, start);
    }

    /// Has the guest make its calls; how many they were, and how many of them in the gate.
    pub(crate) fn run(&self, rounds: u32) -> (u64, u64) {
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
    pub(crate) fn answer(
        &self,
        done: &AtomicBool,
        mut told: impl FnMut(&libc::seccomp_notif),
    ) -> u32 {
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

pub(crate) fn open(tid: i32) -> (File, File) {
    let mut both = File::options();
    let memory = both.read(true).write(true).open(format!("/proc/{tid}/mem"));
    (
        memory.unwrap(),
        File::open(format!("/proc/{tid}/maps")).unwrap(),
    )
}

/// The next notification, if one comes soon.
pub(crate) fn receive(listener: &OwnedFd) -> Option<libc::seccomp_notif> {
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
pub(crate) fn is_valid(listener: &OwnedFd, id: u64) -> bool {
    // SAFETY: the kernel reads a live u64.
    unsafe {
        let fd = listener.as_raw_fd();
        libc::ioctl(fd, libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id) == 0
    }
}

pub(crate) fn answer(listener: &OwnedFd, id: u64) {
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
pub(crate) struct Done<'a>(pub(crate) &'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Whether a number that no call has reaches a listener, or the reason for a skip.
pub(crate) fn need_traps() -> Result<(), Missing> {
    let status = File::open("/proc/self/status").unwrap();
    match traps(&status, 0) {
        Traps::Always => Ok(()),
        _ => Err(Missing("another seccomp filter stands above".into())),
    }
}

/// What becomes of a site that is moved: only AMD's processors fetch words whole.
pub(crate) fn moved() -> Outcome {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    match cpu.contains("AuthenticAMD") || cpu.contains("HygonGenuine") {
        true => Outcome::Patched,
        false => Outcome::Left(Reason::Torn),
    }
}
