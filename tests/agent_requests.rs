//! The agent survives whatever comes by its socket, and says so in one line each.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::containers::{Agent, Bundle, Container, Runtime};
use harness::process::{Run, alone, elsewhen};
use harness::{need, sys, tools};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::fs::File;
use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

/// A message as a runtime sends it.
const MESSAGE: &str = r#"{"ociVersion":"1.0.2","fds":["seccompFd"],"pid":7,"metadata":"","state":{"ociVersion":"1.0.2","id":"c","status":"creating","pid":7,"bundle":"/nowhere"}}"#;

/// Sends bytes with descriptors.
fn send(agent: &Agent, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let stream = UnixStream::connect(agent.socket()).unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(20))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(descriptors)));
    }
    let (first, rest) = bytes.split_at(bytes.len().min(1 << 10));
    sendmsg(
        &stream,
        &[IoSlice::new(first)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )
    .unwrap();
    // The agent may have heard enough.
    let _ = (&stream).write_all(rest);
}

/// A container gets its clocks, so the agent is at work.
fn serves(agent: &Agent) -> Result<(), harness::Missing> {
    let profile = agent.profile(&["--realtime", "+400d"]);
    let bundle = Bundle::new(&["date", "+%s"], profile)?;
    let done = Container::new(Runtime::Runc, bundle)?.run();
    let host = done.before.until(done.after, "REALTIME");
    let host = host.shifted(34_560_000 * harness::clock::SECOND);
    host.check_lines(&done.succeeded().stdout).unwrap();
    Ok(())
}

#[test]
fn each_message_that_is_none_is_refused_in_one_line() {
    let agent = Agent::start(&[]);
    let file = tempfile::tempfile().unwrap();
    let fd = file.as_fd();
    let with = |from: &str, to: &str| MESSAGE.replace(from, to).into_bytes();
    let long = with("\"\"", &format!("\"{}\"", "x".repeat(300 << 10)));
    let deep = "[".repeat(100_000).into_bytes();
    let cases: &[(Vec<u8>, Vec<BorrowedFd<'_>>, &str)] = &[
        (b"x".to_vec(), vec![fd], "the message is none"),
        (vec![0xff; 100], vec![fd], "the message is none"),
        (deep, vec![], "the message is none"),
        (
            MESSAGE.as_bytes()[..50].to_vec(),
            vec![fd],
            "ends too early",
        ),
        (long, vec![fd], "too long"),
        (MESSAGE.into(), vec![], "0 came"),
        (MESSAGE.into(), vec![fd, fd], "2 came"),
        (MESSAGE.into(), vec![fd; 12], "too many descriptors"),
        (MESSAGE.into(), vec![fd], "not a seccomp listener"),
        (with("seccompFd", "other"), vec![fd], "does not name"),
        (with(":\"c\"", ":\"\""), vec![fd], "not the id"),
        (with(":\"c\"", ":\"a\\nb\""), vec![fd], "not the id"),
        (with(":\"c\"", ":5"), vec![fd], "the message is none"),
    ];
    for (i, (bytes, descriptors, why)) in cases.iter().enumerate() {
        send(&agent, bytes, descriptors);
        agent.wait_for("refused", i + 1);
        let refused = agent.events("refused");
        assert_eq!(refused.len(), i + 1, "{refused:#?}");
        assert!(refused[i].contains(why), "not `{why}`: {}", refused[i]);
        // Not too many at a time.
        std::thread::sleep(std::time::Duration::from_millis(60));
    }
    need!(serves(&agent));
}

#[test]
fn connections_that_say_nothing_keep_nobody_out() {
    let agent = Agent::start(&[]);
    let silent: Vec<UnixStream> = (0..700)
        .map(|_| UnixStream::connect(agent.socket()).unwrap())
        .collect();
    let mut halves: Vec<UnixStream> = (0..50)
        .map(|_| UnixStream::connect(agent.socket()).unwrap())
        .collect();
    for half in &mut halves {
        half.write_all(&MESSAGE.as_bytes()[..40]).unwrap();
    }
    need!(serves(&agent));
    drop(silent);
}

#[test]
fn a_flood_neither_fills_the_log_nor_keeps_anybody_out() {
    let agent = Agent::start(&[]);
    let file = tempfile::tempfile().unwrap();
    let start = std::time::Instant::now();
    for _ in 0..3000 {
        send(&agent, b"flood", &[file.as_fd()]);
    }
    need!(serves(&agent));
    let seconds = start.elapsed().as_secs() + 2;
    let lines = agent.events("refused").len() as u64;
    assert!(lines <= seconds * 20, "{lines} lines in {seconds} s");
    assert!(lines >= 20);
}

#[test]
fn a_descriptor_that_takes_long_to_close_keeps_nobody_waiting() {
    let agent = Agent::start(&[]);
    // What is not read yet is waited for when the socket is closed (socket(7), SO_LINGER).
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut socket = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let _peer = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    while socket.write(&[0; 1 << 16]).is_ok() {}
    socket.set_nonblocking(false).unwrap();
    let long = std::time::Duration::from_secs(100);
    rustix::net::sockopt::set_socket_linger(&socket, Some(long)).unwrap();
    send(&agent, b"x", &[socket.as_fd()]);
    drop(socket);
    agent.wait_for("refused", 1);
    let start = std::time::Instant::now();
    need!(serves(&agent));
    assert!(start.elapsed() < long / 2);
}

#[test]
fn a_connection_that_closes_without_a_word_is_no_event() {
    let agent = Agent::start(&[]);
    for _ in 0..10 {
        drop(UnixStream::connect(agent.socket()).unwrap());
    }
    need!(serves(&agent));
    assert_eq!(agent.events("refused"), Vec::<String>::new());
}

/// What another user hears who connects.
fn asked_by_another(agent: &Agent) -> Result<(), harness::Missing> {
    let python = tools::python()?;
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(agent.directory(), open).unwrap();
    let script = "import socket, sys\n\
                  s = socket.socket(socket.AF_UNIX)\n\
                  s.connect(sys.argv[1])\n\
                  try:\n\
                  \x20   s.sendall(b'x')\n\
                  \x20   s.recv(1)\n\
                  except OSError: pass\n";
    let socket = agent.socket();
    let words = [
        python.as_os_str(),
        "-c".as_ref(),
        script.as_ref(),
        socket.as_os_str(),
    ];
    let user = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    Run::on_host().through(&user).run(&words).succeeded();
    Ok(())
}

#[test]
fn another_user_may_ask_only_if_the_agent_is_told_so() {
    need!(harness::root());
    for (words, why) in [
        (&["--mode", "0666"][..], "the user may not ask"),
        (
            &["--mode", "0666", "--user", "65534"],
            "the message is none",
        ),
    ] {
        let agent = Agent::start(words);
        need!(asked_by_another(&agent));
        agent.wait_for("refused", 1);
        let refused = &agent.events("refused")[0];
        assert!(refused.contains(why), "{refused}");
        assert_eq!(Agent::value(refused, "user"), "65534");
    }
}

#[test]
fn a_socket_has_the_mode_that_is_asked_for() {
    for (words, wanted) in [(&[][..], 0o600), (&["--mode", "0660"], 0o660)] {
        let agent = Agent::start(words);
        let mode = std::fs::metadata(agent.socket())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, wanted);
    }
}

/// What an agent says that cannot start at this socket.
fn refused(socket: &std::path::Path) -> String {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(elsewhen());
    command
        .args(["agent", "--socket"])
        .arg(socket)
        .env("ELSEWHEN_RUNTIME_DIR", directory.path().join("records"));
    let output = alone(|| command.output()).unwrap();
    assert_eq!(output.status.code(), Some(125));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_socket_that_is_in_use_is_left_alone() {
    let agent = Agent::start(&[]);
    let said = refused(&agent.socket());
    assert!(
        said.starts_with("elsewhen: cannot listen at `--socket "),
        "{said}"
    );
    assert!(said.contains("another agent is running"), "{said}");
    need!(serves(&agent));
}

#[test]
fn a_socket_whose_owner_is_too_busy_to_accept_is_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let _busy = UnixListener::bind(&path).unwrap();
    // A queue that is full: the next connection waits, or is told EAGAIN.
    let mut queued = Vec::new();
    loop {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        let address = SocketAddrUnix::new(&path).unwrap();
        if rustix::net::connect(&socket, &address) == Err(rustix::io::Errno::AGAIN) {
            break;
        }
        queued.push(socket);
    }
    let said = refused(&path);
    assert!(said.contains("another agent is running"), "{said}");
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    let said = refused(&file);
    assert!(said.contains("no socket"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
fn an_ended_agent_takes_its_socket_away_and_a_killed_ones_is_replaced() {
    let mut agent = Agent::start(&[]);
    agent.end(libc::SIGKILL);
    assert!(agent.socket().exists());
    agent.start_again();
    assert_eq!(agent.end(libc::SIGTERM), Some(0));
    assert!(!agent.socket().exists());
    assert_eq!(agent.events("started").len(), 2);
    assert!(agent.log().ends_with("event=stopped\n"), "{}", agent.log());
}

#[test]
fn the_service_manager_can_hand_the_socket_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let log = directory.path().join("log");
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", script, "sh"])
        .arg(elsewhen())
        .arg("agent")
        .env("ELSEWHEN_RUNTIME_DIR", directory.path().join("records"))
        .stdin(std::os::fd::OwnedFd::from(listener))
        .stderr(File::create(&log).unwrap());
    let mut child = alone(|| command.spawn()).unwrap();
    UnixStream::connect(&path).unwrap().write_all(b"x").unwrap();
    let heard = || {
        std::fs::read_to_string(&log)
            .unwrap()
            .contains("event=refused")
    };
    sys::wait_until(heard, "the agent hears");
    sys::kill(i32::try_from(child.id()).unwrap(), libc::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(path.exists(), "the socket is the service manager's");
}

#[test]
fn the_counts_are_told_in_the_log_and_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("elsewhen.prom");
    let agent = Agent::start(&["--metrics", file.to_str().unwrap()]);
    need!(serves(&agent));
    send(&agent, b"x", &[]);
    agent.wait_for("refused", 1);
    agent.wait_for("ended", 1);
    sys::kill(agent.pid(), libc::SIGUSR1);
    agent.wait_for("counts", 1);
    let counts = &agent.events("counts")[0];
    let count = |name| Agent::value(counts, name).parse::<u64>().unwrap();
    assert_eq!((count("namespaces"), count("refusals")), (1, 1), "{counts}");
    assert!(count("traps") > 1 && count("injections") > 0, "{counts}");
    let is_written = || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        text.contains("\nelsewhen_refusals_total 1\n") && text.contains("# TYPE ")
    };
    sys::wait_until(is_written, "the counts are in the file");
}

#[test]
fn a_mode_that_is_none_is_refused() {
    for mode in ["9", "rw", "7777"] {
        let output = alone(|| {
            Command::new(elsewhen())
                .args(["agent", "--mode", mode])
                .output()
        });
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(125));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.starts_with(&format!("elsewhen: `--mode {mode}`: ")),
            "{said}"
        );
    }
}
