//! What the kernel's texts become: pure.

use crate::clock::Offset;

/// `USER_HZ`: the ticks of proc(5) in a second.
const TICKS: i128 = 100;

const SECOND: i128 = 1_000_000_000;

/// `/proc/uptime` with BOOTTIME as it is in the namespace; the idle time, behind the blank, stays
/// (`fs/proc/uptime.c: uptime_proc_show`).
pub(super) fn uptime(host: &[u8], (sec, nsec): (i64, u32)) -> Option<Vec<u8>> {
    let idle = host.iter().position(|byte| *byte == b' ')?;
    let (sec, hundredths) = match sec {
        0.. => (sec, nsec / 10_000_000),
        _ => (0, 0),
    };
    let mut text = format!("{sec}.{hundredths:02}").into_bytes();
    text.extend(&host[idle..]);
    Some(text)
}

/// `/proc/stat` with another time of boot (`fs/proc/stat.c: show_stat`): what REALTIME was when
/// BOOTTIME was zero.
///
/// `booted` is that of the host in nanoseconds. The kernel prints seconds only, of which the text's
/// own are taken where they need no fraction.
pub(super) fn stat(
    host: &[u8],
    booted: i128,
    realtime: Offset,
    boottime: Offset,
) -> Option<Vec<u8>> {
    const KEY: &[u8] = b"\nbtime ";
    let at = host.windows(KEY.len()).position(|window| window == KEY)? + KEY.len();
    let len = host[at..].iter().position(|byte| *byte == b'\n')?;
    let number = std::str::from_utf8(&host[at..at + len]).ok()?;
    let sec: i128 = number.parse().ok()?;
    // The clocks are read one after the other, so that a fraction near a second's end may be off.
    let fraction = (booted - sec * SECOND).clamp(0, SECOND - 1);
    let shift = realtime.as_nanos() - boottime.as_nanos();
    let shifted = match shift % SECOND {
        0 => sec + shift / SECOND,
        _ => sec + (fraction + shift).div_euclid(SECOND),
    };
    let mut text = host[..at].to_vec();
    // The kernel prints it unsigned, and so a huge number for a time before 1970.
    text.extend(shifted.max(0).to_string().bytes());
    text.extend(&host[at + len..]);
    Some(text)
}

/// `/proc/PID/stat` with another start time, its field 22 (`fs/proc/array.c: do_task_stat`).
///
/// The name, in brackets, may hold anything, brackets and line feeds too.
///
/// DIFFERENCE: a process that is older than the namespace's boot was started at 0, and not at a
/// number that has wrapped.
pub(super) fn process_stat(host: &[u8], boottime: Offset) -> Option<Vec<u8>> {
    owner(host)?;
    let bracket = host.iter().rposition(|byte| *byte == b')')?;
    // From behind the bracket: an empty one, then fields 3 to 21, each before a blank.
    let mut blanks = host.iter().enumerate().skip(bracket);
    let mut blank = || blanks.find(|(_, byte)| **byte == b' ').map(|(at, _)| at);
    for _ in 3..22 {
        blank()?;
    }
    let (start, end) = (blank()? + 1, blank()?);
    let ticks: i128 = std::str::from_utf8(&host[start..end]).ok()?.parse().ok()?;
    let shifted = ticks + boottime.as_nanos().div_euclid(SECOND / TICKS);
    let mut text = host[..start].to_vec();
    text.extend(shifted.max(0).to_string().bytes());
    text.extend(&host[end..]);
    Some(text)
}

/// The same of the thread that reads it itself: it runs, though it waits for us.
pub(super) fn running(mut text: Vec<u8>) -> Vec<u8> {
    if let Some(bracket) = text.iter().rposition(|byte| *byte == b')')
        && let Some(state) = text.get_mut(bracket + 2)
        && *state == b'S'
    {
        *state = b'R';
    }
    text
}

/// Whose `/proc/PID/stat` this is.
pub(super) fn owner(text: &[u8]) -> Option<i32> {
    let pid = text.split(|byte| *byte == b' ').next()?;
    std::str::from_utf8(pid).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_idle_time_stays() {
        let text = uptime(b"1485.65 2900.11\n", (1_001_485, 659_999_999)).unwrap();
        assert_eq!(text, b"1001485.65 2900.11\n");
    }

    #[test]
    fn a_clock_before_its_zero_shows_no_uptime() {
        assert_eq!(uptime(b"5.00 1.00\n", (-1, 5)).unwrap(), b"0.00 1.00\n");
    }

    #[test]
    fn the_time_of_boot_moves_with_both_clocks() {
        let host = b"cpu  1 2\nctxt 5\nbtime 1000\nprocesses 7\n";
        let moved = |booted, realtime: Offset, boottime: Offset| {
            let text = stat(host, booted, realtime, boottime).unwrap();
            let text = String::from_utf8(text).unwrap();
            assert!(text.starts_with("cpu  1 2\nctxt 5\nbtime "), "{text}");
            assert!(text.ends_with("\nprocesses 7\n"), "{text}");
            text.lines().nth(2).unwrap()[6..].parse::<i64>().unwrap()
        };
        let secs = Offset::from_secs;
        let half = Offset::new(0, 500_000_000).unwrap();
        let at = 1000 * SECOND;
        assert_eq!(moved(at, secs(50), secs(20)), 1030);
        assert_eq!(moved(at, secs(0), secs(1001)), 0);
        // Whole seconds need no fraction, however badly it was read.
        assert_eq!(moved(at - 5, secs(1), secs(0)), 1001);
        assert_eq!(moved(at + SECOND / 4, half, secs(0)), 1000);
        assert_eq!(moved(at + SECOND / 2, half, secs(0)), 1001);
        assert_eq!(moved(at + SECOND / 4, secs(0), half), 999);
    }

    #[test]
    fn a_start_time_moves_whatever_the_name() {
        let host = b"42 (a) R 1 (\n) S 7 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 9876 1000 2\n";
        let moved = |by| String::from_utf8(process_stat(host, Offset::from_secs(by)).unwrap());
        assert!(moved(10).unwrap().ends_with(" 20 0 1 0 10876 1000 2\n"));
        assert!(moved(-98).unwrap().ends_with(" 20 0 1 0 76 1000 2\n"));
        assert!(moved(-99).unwrap().ends_with(" 20 0 1 0 0 1000 2\n"));
        assert!(moved(0).unwrap().starts_with("42 (a) R 1 (\n) S 7"));
        assert_eq!(owner(host), Some(42));
        assert!(running(host.to_vec()).starts_with(b"42 (a) R 1 (\n) R 7"));
    }

    #[test]
    fn what_is_no_such_text_is_left_alone() {
        assert!(uptime(b"", (1, 0)).is_none());
        assert!(stat(b"cpu 1\n", 0, Offset::ZERO, Offset::ZERO).is_none());
        assert!(process_stat(b"1 (x) S 1 2", Offset::ZERO).is_none());
        assert!(process_stat(b"cpu  1 2 3\n", Offset::ZERO).is_none());
    }
}
