//! Waits of Rust's library, which makes deadlines of durations.
//!
//!   timeouts MS       makes each wait in a thread of its own, all at once, for MS, and prints a
//!                     line for each that ends: its name, what came of it, and how many
//!                     milliseconds it took; then all that once more, now from places in the
//!                     code that have waited before
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

type Wait = fn(Duration) -> &'static str;

fn said(timed_out: bool) -> &'static str {
    if timed_out { "timeout" } else { "woken" }
}

fn condvar(wait: Duration) -> &'static str {
    let (mutex, condvar) = (Mutex::new(()), Condvar::new());
    let mut guard = mutex.lock().unwrap();
    loop {
        let (again, result) = condvar.wait_timeout(guard, wait).unwrap();
        if result.timed_out() {
            return "timeout";
        }
        guard = again;
    }
}

fn condvar_while(wait: Duration) -> &'static str {
    let (mutex, condvar) = (Mutex::new(()), Condvar::new());
    let guard = mutex.lock().unwrap();
    let result = condvar.wait_timeout_while(guard, wait, |()| true).unwrap().1;
    said(result.timed_out())
}

/// Another thread comes a minute before the deadline.
fn condvar_notified(wait: Duration) -> &'static str {
    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let theirs = Arc::clone(&pair);
    let other = thread::spawn(move || {
        thread::sleep(wait);
        *theirs.0.lock().unwrap() = true;
        theirs.1.notify_one();
    });
    let guard = pair.0.lock().unwrap();
    let late = wait + Duration::from_secs(60);
    let (guard, result) = pair.1.wait_timeout_while(guard, late, |met| !*met).unwrap();
    drop(guard);
    other.join().unwrap();
    said(result.timed_out())
}

/// A park may end early for no reason, so it is made until the time has come.
fn park(wait: Duration) -> &'static str {
    let start = Instant::now();
    while let Some(left) = wait.checked_sub(start.elapsed()) {
        thread::park_timeout(left);
        if left.is_zero() {
            break;
        }
    }
    "parked"
}

fn park_unparked(wait: Duration) -> &'static str {
    let waiter = thread::current();
    let met = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&met);
    let other = thread::spawn(move || {
        thread::sleep(wait);
        theirs.store(true, Ordering::Release);
        waiter.unpark();
    });
    let start = Instant::now();
    while !met.load(Ordering::Acquire) && start.elapsed() < Duration::from_secs(60) {
        thread::park_timeout(Duration::from_secs(60));
    }
    other.join().unwrap();
    said(!met.load(Ordering::Acquire))
}

fn receive(wait: Duration) -> &'static str {
    let (_sender, receiver) = mpsc::channel::<()>();
    match receiver.recv_timeout(wait) {
        Err(mpsc::RecvTimeoutError::Timeout) => "timeout",
        _ => "received",
    }
}

fn receive_bounded(wait: Duration) -> &'static str {
    let (_sender, receiver) = mpsc::sync_channel::<()>(0);
    match receiver.recv_timeout(wait) {
        Err(mpsc::RecvTimeoutError::Timeout) => "timeout",
        _ => "received",
    }
}

fn receive_sent(wait: Duration) -> &'static str {
    let (sender, receiver) = mpsc::channel();
    let other = thread::spawn(move || {
        thread::sleep(wait);
        sender.send(()).unwrap();
    });
    let received = receiver.recv_timeout(wait + Duration::from_secs(60));
    other.join().unwrap();
    if received.is_ok() { "received" } else { "timeout" }
}

fn sleep(wait: Duration) -> &'static str {
    let (before, start) = (SystemTime::now(), Instant::now());
    thread::sleep(wait);
    let (by_date, took) = (before.elapsed().unwrap(), start.elapsed());
    let together = by_date.abs_diff(took) < Duration::from_secs(10);
    if together { "slept" } else { "clocks_apart" }
}

const WAITS: [(&str, Wait); 9] = [
    ("Condvar::wait_timeout", condvar),
    ("Condvar::wait_timeout_while", condvar_while),
    ("Condvar::notify_one", condvar_notified),
    ("park_timeout", park),
    ("unpark", park_unparked),
    ("recv_timeout", receive),
    ("recv_timeout_bounded", receive_bounded),
    ("recv_timeout_sent", receive_sent),
    ("sleep", sleep),
];

fn main() {
    let wait = std::env::args().nth(1).and_then(|ms| ms.parse().ok());
    let wait = Duration::from_millis(wait.unwrap_or(100));
    for _round in 0..2 {
        let threads = WAITS.map(|(name, make)| {
            thread::spawn(move || {
                let start = Instant::now();
                let result = make(wait);
                println!("{name} {result} {}", start.elapsed().as_millis());
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
    }
}
