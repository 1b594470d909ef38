//! The same program in two worlds: on the host, and in a namespace whose every clock is shifted.

use super::process::{Finished, Run};
use std::ffi::OsStr;

/// Each clock far ahead, and each by another distance.
pub(crate) const AHEAD: [&str; 10] = [
    "--backend",
    "guest",
    "--realtime",
    "+400d5h0.7s",
    "--tai",
    "+399d",
    "--monotonic",
    "+100d0.3s",
    "--boottime",
    "+200d",
];

/// The time of day far behind. A clock since the start cannot be, as Linux has it.
pub(crate) const BEHIND: [&str; 10] = [
    "--backend",
    "guest",
    "--realtime",
    "-400d5h0.7s",
    "--tai",
    "-399d",
    "--monotonic",
    "+100d0.3s",
    "--boottime",
    "+200d",
];

/// A namespace with these options.
pub(crate) fn inside(options: &[&str; 10]) -> Run {
    Run::inside(options).limit(300)
}

/// [`AHEAD`], with an image that is laid out for a vDSO of one page.
pub(crate) fn in_one_page() -> Run {
    Run::inside(&[&AHEAD[..], &["--reads=one-page"]].concat()).limit(300)
}

/// The host.
pub(crate) fn host() -> Run {
    Run::on_host().limit(300)
}

/// Runs a program in both worlds, which must agree on all that it prints and how it ends; returns
/// what it did inside.
pub(crate) fn agree<S: AsRef<OsStr> + Sync>(words: &[S]) -> Finished {
    agree_on(words, &AHEAD, |text| text.to_owned())
}

/// The same, with another shift, and of the output only what `of` gives. Lines may come in any order.
pub(crate) fn agree_on<S: AsRef<OsStr> + Sync>(
    words: &[S],
    options: &[&str; 10],
    of: impl Fn(&str) -> String,
) -> Finished {
    // At once: most of their time they wait.
    let (outside, within) = std::thread::scope(|scope| {
        let outside = scope.spawn(|| host().run(words));
        let within = inside(options).run(words);
        (outside.join().unwrap(), within)
    });
    assert_eq!(
        (within.code, sorted(&of(&within.stdout))),
        (outside.code, sorted(&of(&outside.stdout))),
        "inside: {within:#?}\non the host: {outside:#?}"
    );
    within
}

/// How often a storm is repeated: `ELSEWHEN_STORM=full` asks for more.
pub(crate) fn rounds(few: u32, many: u32) -> String {
    let full = std::env::var("ELSEWHEN_STORM").is_ok_and(|v| v == "full");
    (if full { many } else { few }).to_string()
}

/// The lines in the order of their letters.
pub(crate) fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}
