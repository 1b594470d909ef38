//! The ways in which a program can come to be started.

use super::Missing;
use super::guests::{self, Kind};
use super::process::{Finished, Run, alone};
use super::program::Program;
use super::tools;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// How a program is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// As the command itself.
    Direct,
    /// By a shell that a shell has started.
    Grandchild,
    /// With no environment at all.
    EmptyEnvironment,
    /// By a script's first line.
    Script,
    /// Between two pipes.
    Pipe,
    /// By `posix_spawn`.
    PosixSpawn,
    /// By `vfork` and `execve`.
    Vfork,
    /// By a thread that is not its process's first.
    Thread,
}

impl Way {
    /// All of them.
    pub(crate) const ALL: [Self; 8] = [
        Self::Direct,
        Self::Grandchild,
        Self::EmptyEnvironment,
        Self::Script,
        Self::Pipe,
        Self::PosixSpawn,
        Self::Vfork,
        Self::Thread,
    ];

    /// The command that starts `program` in this way; `dir` may be written to.
    pub(crate) fn command(self, program: &Program, dir: &Path) -> Result<Vec<OsString>, Missing> {
        let shell = tools::find("sh")?;
        let mut words: Vec<OsString> = match self {
            Self::Direct => Vec::new(),
            Self::Grandchild => vec![
                shell.clone().into(),
                "-c".into(),
                r#""$0" -c '"$@"; exit $?' inner "$@"; exit $?"#.into(),
                shell.into(),
            ],
            Self::EmptyEnvironment => vec![tools::find("env")?.into(), "-i".into()],
            Self::Script => return Ok(vec![script(program, &shell, dir).into()]),
            // The status is the program's and not that of `cat`.
            Self::Pipe => vec![
                shell.into(),
                "-c".into(),
                r#"echo | { "$@" || echo "ended with $?"; } | cat"#.into(),
                "sh".into(),
            ],
            Self::PosixSpawn => starter("spawn")?,
            Self::Vfork => starter("vfork")?,
            Self::Thread => starter("thread")?,
        };
        words.extend(program.argv.iter().cloned());
        Ok(words)
    }
}

/// The words that start a command by the guest `starters`.
pub(crate) fn starter(mode: &str) -> Result<Vec<OsString>, Missing> {
    Ok(vec![
        guests::build("starters", Kind::Glibc)?.into(),
        mode.into(),
    ])
}

/// A script whose interpreter is the program, or a shell if the program does not interpret.
fn script(program: &Program, shell: &Path, dir: &Path) -> std::path::PathBuf {
    let file = dir.join("script");
    let mut text = b"#!".to_vec();
    if let Some(source) = program.script {
        text.extend(program.argv[0].as_bytes());
        text.extend(source.as_bytes());
    } else {
        text.extend(shell.as_os_str().as_bytes());
        text.extend(b"\nexec");
        for word in &program.argv {
            let quoted = word.to_string_lossy().replace('\'', r"'\''");
            text.extend(format!(" '{quoted}'").bytes());
        }
        text.push(b'\n');
    }
    alone(|| std::fs::write(&file, text).unwrap());
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    file
}

/// Runs a program in each of the ways and fails with all that went wrong; `run` is told the
/// working directory.
pub(crate) fn expect_in_each(
    program: &Program,
    ways: &[Way],
    run: impl Fn(&Path) -> Run,
    check: impl Fn(&Finished) -> Result<(), String>,
) -> Result<(), Missing> {
    let mut wrong = Vec::new();
    for way in ways {
        let dir = guests::public_directory();
        if let Some(prepare) = program.prepare {
            prepare(dir.path());
        }
        let command = way.command(program, dir.path())?;
        let mut finished = run(dir.path()).in_dir(dir.path()).run(&command);
        if let Some(readings) = program.readings
            && finished.code == 0
        {
            finished.stdout = readings(dir.path());
        }
        if let Err(why) = check(&finished) {
            wrong.push(format!("{} {way:?}: {why}", program.name));
        }
    }
    let count = wrong.len();
    assert!(
        wrong.is_empty(),
        "{count} of {} ways:\n{}",
        ways.len(),
        wrong.join("\n")
    );
    Ok(())
}

/// Runs a program in every way; all that it tells must be the shifted time.
pub(crate) fn expect_shifted(program: &Program) -> Result<(), Missing> {
    let run = |_: &Path| Run::shifted();
    expect_in_each(program, &Way::ALL, run, Finished::check_shifted)
}

/// The command `words` as one string for a shell.
pub(crate) fn quoted(words: &[OsString]) -> OsString {
    let mut text = Vec::new();
    for word in words {
        text.extend(format!("'{}' ", word.to_string_lossy().replace('\'', r"'\''")).bytes());
    }
    OsString::from_vec(text)
}
