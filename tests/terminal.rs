//! Job control and the terminal: at an interactive shell, a command in a namespace behaves as the
//! same command without one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::guests::{self, Kind};
use harness::process::{Run, Running, elsewhen};
use harness::terminal::Terminal;
use harness::{Missing, need, sys, tools};

/// What stands before each command: nothing on the host, `elsewhen run` in a namespace.
fn worlds() -> [String; 3] {
    let inside = format!("{} run --realtime +1000000 -- ", elsewhen().display());
    [String::new(), inside.clone(), inside.repeat(2)]
}

/// An interactive shell on a terminal of its own.
struct Shell {
    terminal: Terminal,
    running: Running,
}

impl Shell {
    fn start() -> Result<Self, Missing> {
        tools::find("setsid")?;
        let bash = tools::find("bash")?;
        let mut terminal = Terminal::new();
        let mut words = vec![bash.into_os_string()];
        words.extend(["--norc", "--noprofile", "--noediting", "-i"].map(Into::into));
        let running = Run::on_host().on_terminal(&terminal).start(&words);
        terminal.hand_over();
        // What is typed is not to be taken for what is answered.
        terminal.send("stty -echo; PS1='read''y>'; ulimit -c 0\n");
        terminal.expect("ready>");
        Ok(Self { terminal, running })
    }

    /// Types a line.
    fn line(&mut self, line: &str) {
        self.terminal.send(&format!("{line}\n"));
    }

    /// Types a key that makes the shell take over.
    ///
    /// Waits first until the shell waits: bash misses a job's stop right after its continuation.
    fn key_back_to_shell(&mut self, key: &str) -> String {
        let file = format!("/proc/{}/syscall", self.running.pid());
        let wait4 = format!("{} ", libc::SYS_wait4);
        sys::wait_until(
            || std::fs::read_to_string(&file).is_ok_and(|call| call.starts_with(&wait4)),
            "the shell waits",
        );
        // A person takes longer.
        std::thread::sleep(std::time::Duration::from_millis(100));
        self.terminal.send(key);
        self.terminal.expect("ready>")
    }

    /// Runs a line to the next prompt and gives what it wrote.
    fn output(&mut self, line: &str) -> String {
        self.line(line);
        self.terminal.expect("ready>")
    }

    fn status(&mut self) -> String {
        self.output("echo $?").trim().to_owned()
    }

    fn leave(mut self) {
        self.line("exit 0");
        assert_eq!(self.running.finish().code, 0);
    }
}

/// A program that says which signals come.
fn counter() -> Result<String, Missing> {
    Ok(guests::build("counter", Kind::Glibc)?.display().to_string())
}

/// Runs a scene in each world, at a fresh shell.
fn in_each_world(scene: impl Fn(&mut Shell, &str)) {
    for world in worlds() {
        let mut shell = need!(Shell::start());
        scene(&mut shell, &world);
        shell.leave();
    }
}

#[test]
fn ctrl_c_ends_a_command_that_does_not_look_after_itself() {
    in_each_world(|shell, world| {
        shell.line(&format!("{world}sh -c 'echo go; exec sleep 1000'"));
        shell.terminal.expect("go\n");
        shell.key_back_to_shell("\x03");
        assert_eq!(shell.status(), "130", "{world}");
    });
}

#[test]
fn ctrl_c_reaches_a_command_that_handles_it_exactly_once() {
    let counter = need!(counter());
    in_each_world(|shell, world| {
        shell.line(&format!("{world}{counter} lines 2"));
        shell.terminal.expect("ready\n");
        for _ in 0..3 {
            shell.terminal.send("\x03");
            shell.terminal.expect("2\n");
        }
        // One too many would be seen at the latest when the command ends.
        shell.terminal.send("on\n");
        assert_eq!(shell.terminal.expect("ready>"), "read on\n", "{world}");
        assert_eq!(shell.status(), "8", "{world}");
    });
}

#[test]
fn ctrl_c_ends_a_shells_loop_too() {
    in_each_world(|shell, world| {
        shell.line(&format!(
            "bash -c 'while true; do {world}sh -c \"echo go; exec sleep 1000\"; done'"
        ));
        shell.terminal.expect("go\n");
        let rest = shell.key_back_to_shell("\x03");
        assert!(!rest.contains("go"), "{world}: {rest}");
        assert_eq!(shell.status(), "130", "{world}");
    });
}

#[test]
fn ctrl_backslash_quits_a_command() {
    in_each_world(|shell, world| {
        shell.line(&format!("{world}sh -c 'echo go; exec sleep 1000'"));
        shell.terminal.expect("go\n");
        shell.key_back_to_shell("\x1c");
        assert_eq!(shell.status(), "131", "{world}");
    });
}

#[test]
fn ctrl_z_stops_a_command_and_fg_goes_on_with_it() {
    let counter = need!(counter());
    in_each_world(|shell, world| {
        // The last word is not to be taken for what the handler says: bash shows the words with `fg`.
        shell.line(&format!("{world}{counter} lines 18 23"));
        shell.terminal.expect("ready\n");
        for _ in 0..3 {
            let shown = shell.key_back_to_shell("\x1a");
            assert!(shown.contains("Stopped  "), "{world}: {shown}");
            assert_eq!(shell.status(), "148", "{world}");
            let jobs = shell.output("jobs");
            assert!(jobs.contains("[1]+  Stopped   "), "{world}: {jobs}");
            shell.line("fg");
            shell.terminal.expect("18\n");
        }
        shell.terminal.send("hello\n");
        let rest = shell.terminal.expect("ready>");
        // Bash itself continues a job more than once at times.
        assert_eq!(rest.trim_start_matches("18\n"), "read hello\n", "{world}");
        assert_eq!(shell.status(), "8", "{world}");
    });
}

#[test]
fn bg_lets_a_stopped_command_go_on_until_it_reads_the_terminal() {
    in_each_world(|shell, world| {
        shell.line(&format!(
            "{world}bash -c 'echo go; while ! read -u 9 line; do :; done 9<&0; echo \"read $line\"'"
        ));
        shell.terminal.expect("go\n");
        shell.key_back_to_shell("\x1a");
        shell.output("bg");
        wait_for_job(shell, "Stopped (tty input)");
        shell.line("fg");
        shell.terminal.send("again\n");
        shell.terminal.expect("read again\n");
        shell.terminal.expect("ready>");
        assert_eq!(shell.status(), "0", "{world}");
    });
}

/// Asks for the jobs until the first one is as expected.
fn wait_for_job(shell: &mut Shell, state: &str) {
    for _ in 0..4000 {
        if shell.output("jobs -l").contains(state) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("no job is ever `{state}`\n{}", shell.output("jobs -l"));
}

#[test]
fn a_command_in_the_background_stops_when_it_uses_the_terminal() {
    in_each_world(|shell, world| {
        shell.output(&format!("{world}sh -c 'read x; echo \"read $x\"' &"));
        wait_for_job(shell, "Stopped (tty input)");
        shell.line("fg");
        shell.terminal.send("me\n");
        shell.terminal.expect("read me\n");
        shell.terminal.expect("ready>");

        shell.output("stty tostop");
        shell.output(&format!("{world}sh -c 'echo written' &"));
        wait_for_job(shell, "Stopped (tty output)");
        shell.line("fg");
        shell.terminal.expect("written\n");
        shell.terminal.expect("ready>");
        assert_eq!(shell.status(), "0", "{world}");
    });
}

#[test]
fn a_command_that_stops_itself_stops_its_job_by_the_same_signal() {
    in_each_world(|shell, world| {
        for (signal, state, status) in [
            ("STOP", "Stopped (signal)", "147"),
            ("TSTP", "Stopped  ", "148"),
            ("TTIN", "Stopped (tty input)", "149"),
        ] {
            shell.output(&format!(
                "{world}sh -c 'kill -{signal} $$; echo on; exit 4'"
            ));
            assert_eq!(shell.status(), status, "{world} {signal}");
            let jobs = shell.output("jobs -l");
            assert!(jobs.contains(state), "{world} {signal}: {jobs}");
            let shown = shell.output("fg");
            assert!(shown.contains("on\n"), "{world} {signal}: {shown}");
            assert_eq!(shell.status(), "4", "{world} {signal}");
        }
    });
}

/// Waits until the shell tells how its job has ended: by a signal, or with its number and 128.
fn wait_for_end(shell: &mut Shell, so_far: &str, ends: [&str; 2]) {
    let mut shown = so_far.to_owned();
    for _ in 0..4000 {
        if ends.iter().any(|end| shown.contains(end)) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
        // It learns of it at the end of a child that it waits for.
        shown.push_str(&shell.output("env true; jobs"));
    }
    panic!("the job never ends:\n{shown}");
}

#[test]
fn a_stopped_job_can_be_killed() {
    in_each_world(|shell, world| {
        for (how, ends) in [
            ("kill %+", ["Terminated", "Exit 143"]),
            ("kill -KILL %+", ["Killed", "Exit 137"]),
        ] {
            shell.line(&format!("{world}sh -c 'echo go; exec sleep 1000'"));
            shell.terminal.expect("go\n");
            shell.key_back_to_shell("\x1a");
            let shown = shell.output(how);
            wait_for_end(shell, &shown, ends);
        }
    });
}

#[test]
fn a_stopped_command_that_is_killed_ends_its_job() {
    in_each_world(|shell, world| {
        let dir = guests::public_directory();
        let file = dir.path().join("pid");
        shell.line(&format!(
            "{world}sh -c 'echo $$ >{}; echo go; exec sleep 1000'",
            file.display()
        ));
        shell.terminal.expect("go\n");
        shell.key_back_to_shell("\x1a");
        let shown = shell.output(&format!("kill -KILL $(cat {})", file.display()));
        wait_for_end(shell, &shown, ["Killed", "Exit 137"]);
    });
}

#[test]
fn a_command_is_told_of_the_windows_new_size_once() {
    let counter = need!(counter());
    in_each_world(|shell, world| {
        shell.line(&format!("{world}{counter} lines 28"));
        shell.terminal.expect("ready\n");
        for rows in [31, 32] {
            shell.terminal.resize(rows, 101);
            shell.terminal.expect("28\n");
        }
        shell.terminal.send("end\n");
        let rest = shell.terminal.expect("read end\n");
        assert_eq!(rest, "", "{world}");
        shell.terminal.expect("ready>");
    });
}

#[test]
fn a_command_is_in_the_terminals_foreground_group_and_session() {
    in_each_world(|shell, world| {
        let shown = shell.output(&format!(
            "{world}sh -c 'tty; ps -o pgid=,tpgid=,sid= -p $$; test -t 0 -a -t 1 -a -t 2; echo $?; echo >/dev/tty again'"
        ));
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[0].starts_with("/dev/"), "{world}: {shown}");
        let ids: Vec<i32> = lines[1]
            .split_whitespace()
            .map(|id| id.parse().unwrap())
            .collect();
        assert_eq!(ids[0], ids[1], "{world}: {shown}");
        assert_eq!(ids[2], shell.running.pid(), "{world}: {shown}");
        assert_eq!(lines[2..], ["0", "again"], "{world}: {shown}");
    });
}

#[test]
fn a_shell_inside_has_job_control_of_its_own() {
    in_each_world(|shell, world| {
        shell.line(&format!(
            "PS1='inne''r>' {world}bash --norc --noprofile --noediting -i"
        ));
        shell.terminal.expect("inner>");
        for _ in 0..2 {
            shell.line("sh -c 'echo go; read line; echo read $line'");
            shell.terminal.expect("go\n");
            shell.terminal.send("\x1a");
            let shown = shell.terminal.expect("inner>");
            assert!(shown.contains("Stopped  "), "{world}: {shown}");
            shell.line("fg");
            shell.line("more");
            shell.terminal.expect("read more\n");
            shell.terminal.expect("inner>");
            shell.line("sh -c 'echo go; exec sleep 1000'");
            shell.terminal.expect("go\n");
            shell.terminal.send("\x03");
            shell.terminal.expect("inner>");
        }
        shell.line("sleep 1000 &");
        shell.terminal.expect("inner>");
        shell.line("kill %1; wait %1; exit 5");
        shell.terminal.expect("ready>");
        assert_eq!(shell.status(), "5", "{world}");
        // The terminal is the outer shell's again.
        shell.line("sh -c 'echo go; exec sleep 1000'");
        shell.terminal.expect("go\n");
        shell.key_back_to_shell("\x03");
        assert_eq!(shell.status(), "130", "{world}");
    });
}

/// What a command writes to `file` when it is told that the terminal is gone.
const ON_HANGUP: &str = "trap 'echo hung up >>\"$FILE\"; exit' HUP; echo go; \
                         while :; do sleep 0.05; done";

#[test]
fn a_hangup_ends_a_command_at_a_shell() {
    for world in worlds() {
        let dir = guests::public_directory();
        let file = dir.path().join("told");
        let mut shell = need!(Shell::start());
        shell.line(&format!("export FILE='{}'", file.display()));
        shell.line(&format!(
            "{world}sh -c \"$(cat <<'END'\n{ON_HANGUP}\nEND\n)\""
        ));
        shell.terminal.expect("go\n");
        drop(shell.terminal);
        shell.running.finish();
        // The shell and the kernel may both tell of it.
        let told = std::fs::read_to_string(&file).unwrap();
        assert!(told.starts_with("hung up\n"), "{world}");
    }
}

#[test]
fn a_hangup_reaches_a_command_that_is_its_sessions_first() {
    need!(tools::find("setsid"));
    let inside = ["--realtime", "+5"];
    for run in [Run::on_host(), Run::inside(&inside)] {
        let dir = guests::public_directory();
        let file = dir.path().join("told");
        let assign = format!("FILE={}", file.display());
        let mut terminal = Terminal::new();
        let words = ["env", &assign, "sh", "-c", ON_HANGUP];
        let running = run.on_terminal(&terminal).start(&words);
        terminal.hand_over();
        terminal.expect("go\n");
        drop(terminal);
        assert_eq!(running.finish().code, 0);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "hung up\n");
    }
}

#[test]
fn a_stop_and_a_continuation_in_quick_succession_leave_nothing_stopped() {
    in_each_world(|shell, world| {
        let dir = guests::public_directory();
        let file = dir.path().join("pid");
        shell.line("set +m");
        shell.terminal.expect("ready>");
        shell.line(&format!(
            "{world}sh -c 'echo $$ >{}; echo go; read line; exit 3'",
            file.display()
        ));
        shell.terminal.expect("go\n");
        let pid = std::fs::read_to_string(&file)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        for turn in 0..300 {
            let stop = [libc::SIGSTOP, libc::SIGTSTP][turn % 2];
            sys::kill(pid, stop);
            sys::kill(pid, libc::SIGCONT);
        }
        shell.line("end");
        shell.terminal.expect("ready>");
        assert_eq!(shell.status(), "3", "{world}");
    });
}
