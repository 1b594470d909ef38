//! `elsewhen run`: from options to a plan, and the plan to the backend that carries it out.

use std::ffi::{OsStr, OsString};

use super::args::{Backend, Proc, Reads, RunArgs};
use super::{Failure, resume};
use crate::clock::{ClockOffsets, Readings};
use crate::image::ReadPathChoice;
use crate::kernel;
use crate::line::shown;
use crate::reading::{self, Asked};
use crate::registry::is_name;
use crate::{Error, Result, TimeNamespace};

/// What to start, and how its clocks stand: everything has been checked but the command.
#[derive(Debug)]
pub(crate) struct RunPlan {
    /// Each clock's offset from the host's.
    pub(crate) offsets: ClockOffsets,
    /// Whether some of them come from a file.
    pub(crate) resumes: bool,
    /// Who is to keep them.
    pub(crate) backend: Backend,
    /// The namespace's name.
    pub(crate) name: Option<String>,
    /// Whether each program is given the clocks before its first instruction.
    pub(crate) strict: bool,
    /// How its programs read their clocks.
    pub(crate) reads: Reads,
    /// Whether files under `/proc` are the namespace's.
    pub(crate) proc: Proc,
    /// The command, to be looked for in `PATH` unless it holds a `/`.
    pub(crate) command: OsString,
    /// Its arguments.
    pub(crate) args: Vec<OsString>,
}

/// Carries out `elsewhen run`; gives the command's exit status if elsewhen outlives it.
pub(super) fn run(args: RunArgs) -> std::result::Result<i32, Failure> {
    start(plan(args)?)
}

/// Starts the plan's command with the backend that it asks for.
fn start(plan: RunPlan) -> std::result::Result<i32, Failure> {
    if plan.backend == Backend::Kernel {
        refuse_what_the_kernel_lacks(&plan)?;
    }
    let mut namespace = TimeNamespace::new(plan.offsets)?
        .backend(plan.backend.into())
        .strict(plan.strict)
        .proc(plan.proc == Proc::On)
        .reading(match plan.reads {
            Reads::Direct => ReadPathChoice::Fastest,
            Reads::Kernel => ReadPathChoice::KernelFunction,
            Reads::Syscall => ReadPathChoice::Syscall,
            Reads::OnePage => ReadPathChoice::OnePage,
        });
    if let Some(name) = &plan.name {
        namespace = namespace.named(name)?;
    }
    namespace.enter()?;
    Err(become_command(&plan.command, &plan.args))
}

/// Becomes the command, or says why not.
pub(super) fn become_command(command: &OsStr, args: &[OsString]) -> Failure {
    let error = kernel::exec(command, args);
    Failure {
        status: error.exit_status(),
        error: error.into(),
    }
}

/// Names the option that asks for what there is not.
fn refuse_what_the_kernel_lacks(plan: &RunPlan) -> Result<()> {
    match kernel::lacking(&plan.offsets, plan.name.as_deref()) {
        None => Ok(()),
        Some((option, lacking)) if option != "--name" && plan.resumes => Err(Error::new(format!(
            "`{option}` of the saved clocks: the kernel's time namespaces have no {lacking}; \
             let it be the host's by `--policy {}=host`, or use `--backend=guest`",
            option.trim_start_matches('-')
        ))),
        Some((option, lacking)) => Err(Error::new(format!(
            "`{option}`: the kernel's time namespaces have no {lacking}; \
             leave it out or use `--backend=guest`"
        ))),
    }
}

/// Reads the clocks once and resolves the options against them.
fn plan(args: RunArgs) -> Result<RunPlan> {
    let now = reading::now()?;
    let asked = args.clocks.asked();
    let offsets = offsets(&args, &asked, &now)?;
    asked.check(&offsets, &now)?;
    let mut command = args.command.into_iter();
    Ok(RunPlan {
        offsets,
        resumes: args.resume.is_some(),
        backend: args.backend,
        name: args.name.as_deref().map(name).transpose()?,
        strict: args.strict,
        reads: args.reads,
        proc: args.proc,
        command: command.next().unwrap_or_default(),
        args: command.collect(),
    })
}

/// What an option says of a clock holds; of the others a saved file, if there is one.
fn offsets(args: &RunArgs, asked: &Asked<'_>, now: &Readings) -> Result<ClockOffsets> {
    let given = asked.given(now)?;
    let (resumed, policies) = match &args.resume {
        Some(file) => resume::offsets(file, args, now)?,
        None => Default::default(),
    };
    // TAI is shifted as REALTIME is, unless anything is said of it.
    let as_realtime = given.realtime.filter(|_| !policies.names("tai"));
    Ok(ClockOffsets {
        realtime: given.realtime.unwrap_or(resumed.realtime),
        tai: given.tai.or(as_realtime).unwrap_or(resumed.tai),
        monotonic: given.monotonic.unwrap_or(resumed.monotonic),
        boottime: given.boottime.unwrap_or(resumed.boottime),
    })
}

/// A namespace's name, which will name files too.
fn name(value: &OsStr) -> Result<String> {
    if let Some(text) = value.to_str().filter(|text| is_name(text)) {
        return Ok(text.to_owned());
    }
    Err(Error::new(format!(
        "`--name {}`: use 1 to 64 of `A-Z a-z 0-9 . _ -`, with a letter, a digit or `_` first, \
         and not digits alone",
        shown(value)
    )))
}
