//! Whether containers' programs can be shown their own clocks in files under `/proc`.

use rustix::fs::{Mode, OFlags};
use rustix::thread::{CapabilitySet, capabilities};

use super::log::Line;

/// Logs what this agent's keepers will not be able to do; they can do all else.
pub(super) fn tell_what_is_missing() {
    let held = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    // A file is opened by the rights of who asks for it.
    if !held.contains(CapabilitySet::SETUID | CapabilitySet::SETGID) {
        let user = rustix::process::geteuid().as_raw();
        warn(&format!(
            "CAP_SETUID and CAP_SETGID are missing: programs of other users than {user} see the host's \
             uptime under /proc; run it as root, or by `podman unshare`"
        ));
    }
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    if let Err(error) = rustix::fs::open("/dev/fuse", flags, Mode::empty()) {
        warn(&format!(
            "/dev/fuse: {}: a file under /proc that stays open shows what it did when it was opened",
            crate::Error::os("cannot open it", error.into())
        ));
    }
}

fn warn(what: &str) {
    Line::warning("views").with("error", what).write();
}
