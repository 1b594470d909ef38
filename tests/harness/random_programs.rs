//! Random programs for the guest `fuzz`: lines of time calls, right and wrong ones.
//!
//! What such a program prints must not depend on where the clocks stand, so a time is far from any
//! that a clock tells, or counted from it; and on no race, so nothing interrupts a wait that ends soon.

/// A stream of numbers that a seed decides (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.next() % 100 < chance
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let at = self.next() % u64::try_from(from.len()).unwrap();
        from[usize::try_from(at).unwrap()]
    }
}

/// Clocks that can be waited for.
const CLOCKS: [i32; 4] = [0, 1, 7, 11];
/// And others, some of which there are not.
const ODD_CLOCKS: [i32; 15] = [2, 3, 4, 5, 6, 8, 9, 10, 12, 16, 40, 99, -1, -2, -6];

const SOON: [&str; 5] = ["now+0", "now+1", "now+10", "now+20", "now+40"];
const PAST: [&str; 6] = ["now-0", "now-1", "now-1000", "0:0", "0:1", "1:0"];
const LONG_PAST: [&str; 2] = ["now-100000000", "1000000000:5"];
const FAR: [&str; 6] = [
    "now+500000",
    "now+1000000",
    "4000000000:0",
    "9223372036:854775807",
    "9223372037:0",
    "9223372036854775807:999999999",
];
const WRONG: [&str; 7] = [
    "0:1000000000",
    "0:-1",
    "-1:0",
    "-1:999999999",
    "-9223372036854775808:0",
    "1:4294967296",
    "5:9223372036854775807",
];
const ADDRESSES: [&str; 5] = ["one", "guard", "straddling", "kernel", "strange"];
const PLACES: [&str; 4] = ["@heap", "@readonly", "@odd", "@last"];

/// How a wait for a time ends by itself.
#[derive(Clone, Copy, PartialEq)]
enum End {
    AtOnce,
    Soon,
    Never,
}

/// A time for a clock, and how a wait for it ends.
fn time(random: &mut Random, clock: i32) -> (String, End) {
    let (word, end) = match random.next() % 100 {
        0..30 => (random.pick(&SOON), End::Soon),
        30..45 => (random.pick(&PAST), End::AtOnce),
        45..50 if [0, 11].contains(&clock) => (random.pick(&LONG_PAST), End::AtOnce),
        45..60 => (random.pick(&WRONG), End::AtOnce),
        60..70 => (random.pick(&ADDRESSES), End::AtOnce),
        70..75 => ("null", End::Never),
        _ => (random.pick(&FAR), End::Never),
    };
    let place = match word.contains(':') || word.contains("now") {
        true if random.percent(35) => random.pick(&PLACES),
        _ => "",
    };
    (format!("{word}{place}"), end)
}

/// A time for a clock that may count what a process has run: a wait for it ends at once.
fn time_at_once(random: &mut Random) -> String {
    loop {
        let (word, end) = time(random, 2);
        let is_past = word.starts_with("0:");
        if end == End::AtOnce && (is_past || !PAST.iter().any(|past| word.starts_with(past))) {
            return word;
        }
    }
}

fn clock(random: &mut Random) -> i32 {
    match random.percent(85) {
        true => random.pick(&CLOCKS),
        false => random.pick(&ODD_CLOCKS),
    }
}

/// A line that reads a clock or would set one.
fn read(random: &mut Random) -> String {
    let clock = clock(random);
    match random.next() % 16 {
        0..3 => format!("get {clock}"),
        3..5 => format!("raw {clock}"),
        5 => format!("int80 {clock}"),
        6 => format!("rawbad {clock} {}", random.pick(&ADDRESSES)),
        7 => format!("res {clock}"),
        8 => {
            let word = match random.percent(30) {
                true => "now+0",
                false => random.pick(&WRONG),
            };
            format!("set {clock} {word}")
        }
        9 => {
            let time = random.pick(&["now", "null", "guard", "one"]);
            format!("settod {time} {}", random.pick(&["null", "guard"]))
        }
        10 => "tod".to_owned(),
        11 => {
            let modes = random.pick(&[0, 0, 0, 1, 2, 0x80, 0x100, 0x2000, 0x8000, 0x8001, 0xa001]);
            format!("adj {} {modes}", random.pick(&[-1, -1, 0, clock]))
        }
        12 => "sysinfo".to_owned(),
        13 => "times".to_owned(),
        14 => format!(
            "nosys {}",
            random.pick(&[600, 1023, 1024, 1500, 0x3fff_ffff])
        ),
        _ => "brk".to_owned(),
    }
}

const COMMANDS: [i32; 8] = [9, 11, 6, 13, 9 | 128, 13 | 128, 6 | 128, 0];

/// The call of a wait, up to its time, the clock it waits by, and whether that has to be one of
/// [`CLOCKS`]; and whether no time means for ever.
fn wait_call(random: &mut Random) -> (String, i32, bool) {
    let clock = clock(random);
    match random.next() % 16 {
        0..3 => {
            let flags = random.pick(&[1, 1, 1, 1, 0, 2, 3]);
            (format!("sleep {clock} {flags}"), clock, false)
        }
        3..5 => (
            format!("rawsleep {clock} {}", random.pick(&[1, 1, 1, 0])),
            clock,
            false,
        ),
        5..8 => {
            let op = random.pick(&COMMANDS) | random.pick(&[0, 256]);
            let value = random.pick(&[0, 0, 0, 1]);
            let clock = i32::from(op & 256 == 0 && op & 127 != 6);
            (format!("futex {op} {value}"), clock, true)
        }
        8 => (
            format!("waitv {clock} {}", random.pick(&[1, 1, 2, 0])),
            clock,
            true,
        ),
        9 => (
            format!("futex2 {clock} {}", random.pick(&[0, 0, 0, 1])),
            clock,
            true,
        ),
        10 => (random.pick(&["mq_receive", "mq_send"]).to_owned(), 0, true),
        11 => (random.pick(&["rawreceive", "rawsend"]).to_owned(), 0, true),
        12 => ("sem 0".to_owned(), 0, true),
        13 => ("mutex 0".to_owned(), 0, true),
        14 => {
            let clock = random.pick(&[0, 1]);
            (format!("cond {clock}"), clock, true)
        }
        _ => {
            let clock = random.pick(&CLOCKS);
            (format!("sleep {clock} 1"), clock, false)
        }
    }
}

/// A wait, with what interrupts it before it.
fn wait(random: &mut Random) -> Vec<String> {
    let (call, clock, null_is_ever) = wait_call(random);
    let number = |n: usize| {
        call.split(' ')
            .nth(n)
            .and_then(|word| word.parse::<i32>().ok())
    };
    let is_relative = call.contains("sleep") && number(2).is_some_and(|flags| flags & 1 == 0);
    // These go on waiting after a handler, and so do a mutex and a condition.
    let is_pi =
        call.starts_with("futex ") && number(1).is_some_and(|op| [6, 11, 13].contains(&(op & 127)));
    let is_interrupted = !is_pi && !call.starts_with("mutex") && !call.starts_with("cond");
    let is_libcs = ["sem", "mutex", "cond"]
        .iter()
        .any(|name| call.starts_with(name));
    let (word, end) = loop {
        let (word, end) = match CLOCKS.contains(&clock) {
            true => time(random, clock),
            false => (time_at_once(random), End::AtOnce),
        };
        let is_address = !word.contains(':') && !word.contains("now");
        // libc looks at addresses itself, and musl counts from the clock, which overflows.
        let is_libcs_matter = is_address || word.starts_with("-9223372036854775808");
        if is_libcs && is_libcs_matter || end == End::Never && !is_interrupted {
            continue;
        }
        // What an absolute wait has behind it lies before a relative one.
        if is_relative
            && end == End::AtOnce
            && word.contains(':')
            && !WRONG.iter().any(|w| word.starts_with(w))
        {
            continue;
        }
        break (word, end);
    };
    let line = format!("{call} {word}");
    let end = match word == "null" && !null_is_ever {
        true => End::AtOnce,
        false => end,
    };
    match end {
        End::Never => vec!["alarm 30 eintr".to_owned(), line],
        End::AtOnce if random.percent(10) => vec!["alarm 60 restart".to_owned(), line],
        _ => vec![line],
    }
}

/// A line about a timer or a timerfd.
fn timer(random: &mut Random) -> String {
    let slot = random.next() % 2;
    let kind = random.pick(&["t", "fd"]);
    let clock = clock(random);
    let flags = random.pick(&[1, 1, 1, 1, 0, 0, 3, 2, 4]);
    match (random.next() % 9, kind) {
        // One that never fires would be waited for in vain, and long.
        (8, _) => loop {
            let (word, end) = time(random, clock);
            let is_refused = |word: &str| {
                let is_address = !word.contains(':') && !word.contains("now");
                is_address || WRONG.iter().any(|wrong| word.starts_with(wrong))
            };
            // What is past lies ahead of a relative timer, or stops it.
            let is_past = end == End::AtOnce && flags & 1 == 1 && !word.starts_with("0:0");
            let fires = CLOCKS.contains(&clock) && (end == End::Soon || is_past);
            if is_refused(&word) || fires {
                break format!("tsignal {clock} {flags} {word}");
            }
        },
        (0, "t") => format!("timer {slot} {clock}"),
        (0, _) => format!("fd {slot} {clock}"),
        (1..5, _) => {
            let (word, _) = time(random, 1);
            let interval = random.pick(&[0, 0, 0, 7000, 1500]);
            let old = random.pick(&["old", "old", "old", "null", "guard"]);
            format!("{kind}set {slot} {flags} {word} {interval} {old}")
        }
        (5, _) => format!("{kind}get {slot}"),
        (6, "t") => format!("tdelete {slot}"),
        (_, "t") => format!("tawait {slot}"),
        (_, _) => format!("fdread {slot}"),
    }
}

/// A program: each item is lines that belong together.
pub(crate) fn program(random: &mut Random) -> Vec<Vec<String>> {
    let mut items: Vec<Vec<String>> = Vec::new();
    // Else most lines about timers would be about none.
    if random.percent(40) {
        for slot in 0..2 {
            items.push(vec![format!("timer {slot} {}", random.pick(&CLOCKS))]);
            items.push(vec![format!("fd {slot} {}", random.pick(&CLOCKS))]);
        }
    }
    for _ in 0..3 + random.next() % 10 {
        let item = match random.next() % 100 {
            0..20 => vec![read(random)],
            20..60 => wait(random),
            60..85 => vec![timer(random)],
            85..92 => vec![
                random
                    .pick(&["fork", "thread", "exec", "holder"])
                    .to_owned(),
            ],
            92..95 => {
                let how = random.pick(&["nap", "poll", "select"]);
                vec![format!("{how} {}", random.pick(&[0, 1, 20]))]
            }
            // The second use of a call site is another matter than the first, and so is the third.
            _ => match items.last().cloned() {
                Some(last) => {
                    items.push(last.clone());
                    last
                }
                None => wait(random),
            },
        };
        items.push(item);
    }
    items
}
