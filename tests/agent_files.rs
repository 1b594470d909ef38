//! The agent waits for no file system: neither for that of a descriptor which it is sent, nor for a bundle's.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::adopt::{self, Counter};
use harness::clock::SECOND;
use harness::containers::{Agent, Bundle, Container, Runtime};
use harness::guests::{self, Kind};
use harness::process::{AS_NOBODY, Run, Running, elsewhen};
use harness::{Missing, need, root, sys, tools};
use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;

/// A container of root's gets its clocks, so the agent and its keepers are at work.
fn serves(agent: &Agent) -> Result<(), Missing> {
    let profile = agent.profile(&["--realtime", "+400d"]);
    let bundle = Bundle::new(&["date", "+%s"], profile)?;
    let done = Container::new(Runtime::Runc, bundle)?.run().succeeded();
    let host = done.host("REALTIME").shifted(34_560_000 * SECOND);
    host.check_lines(&done.stdout).unwrap();
    Ok(())
}

/// Sends the standard input by each of so many connections, as a user who is neither root nor the agent's own, with
/// the begin of a message or with what is none, and holds them.
fn send_file(agent: &Agent, at: &OsStr, times: usize, text: &str) -> Result<Running, Missing> {
    let python = tools::python()?;
    let hanging = guests::build("unanswered", Kind::Glibc)?;
    std::fs::set_permissions(agent.directory(), PermissionsExt::from_mode(0o755)).unwrap();
    let script = "import array, socket, sys, time\n\
                  held = []\n\
                  for _ in range(int(sys.argv[2])):\n\
                  \x20   s = socket.socket(socket.AF_UNIX)\n\
                  \x20   s.connect(sys.argv[1])\n\
                  \x20   rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0]))\n\
                  \x20   s.sendmsg([sys.argv[3].encode()], [rights])\n\
                  \x20   held.append(s)\n\
                  time.sleep(1000)\n";
    let mut words: Vec<OsString> = vec![hanging.into(), at.into(), "-".into()];
    words.extend(AS_NOBODY.map(OsString::from));
    words.extend([python.into(), "-c".into(), script.into()]);
    words.extend([agent.socket().into(), times.to_string().into(), text.into()]);
    Ok(Run::on_host().start(&words))
}

/// How many descriptors of the file that cannot be closed the agent has.
fn held(agent: &Agent) -> usize {
    let open = std::fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap();
    let links = open.flatten().filter_map(|fd| fd.path().read_link().ok());
    links.filter(|link| link.ends_with("file")).count()
}

#[test]
fn a_file_that_cannot_be_closed_keeps_nobodys_container_from_its_start() {
    need!(root());
    let agent = Agent::start(&["--mode", "0666", "--user", "65534"]);
    let directory = tempfile::tempdir().unwrap();
    // Those of a connection that says no more, and those that wait to be closed.
    for (times, text) in [(1, "{"), (40, "x")] {
        let before = held(&agent);
        let _sender = need!(send_file(&agent, directory.path().as_os_str(), times, text));
        sys::wait_until(|| held(&agent) > before, "the agent has the file");
        need!(serves(&agent));
    }
}

#[test]
fn a_bundle_whose_file_system_does_not_answer_keeps_nobody_waiting_and_is_refused() {
    need!(root());
    let hanging = need!(guests::build("unanswered", Kind::Glibc));
    let launcher = need!(guests::build("adopted", Kind::Glibc));
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let words = vec![hanging.into(), at.into(), elsewhen().into()];
    // The file system ends first, so that the thread that waits for it can end.
    let agent = Agent::start_by(words, &[], libc::SIGKILL);
    // A runtime that is root, as is the agent: what it says is read.
    let counter = Counter::new();
    let program: [OsString; 3] = [launcher.into(), counter.path().into(), "true".into()];
    let guest = Run::on_host().start(&program);
    let listener = counter.take();
    for (id, status) in [("lost", "creating"), ("lost", "running")] {
        let message = format!(
            r#"{{"fds":["seccompFd"],"state":{{"id":"{id}","status":"{status}","bundle":"{}"}}}}"#,
            at.join("bundle").display()
        );
        adopt::send(&agent.socket(), message.as_bytes(), &[listener.as_fd()]);
    }
    drop(listener);
    need!(serves(&agent));
    // Whether it has been refused by now depends on the machine; that it is does not.
    agent.wait_for("refused", 2);
    let refused = agent.events("refused");
    assert!(
        refused[0].contains("its file system does not answer"),
        "{refused:#?}"
    );
    assert!(
        refused[1].contains("nothing is known of the container"),
        "{refused:#?}"
    );
    assert_ne!(guest.finish().code, 0, "it has no clocks");
    assert_eq!(agent.events("refused").len(), 2);
}
