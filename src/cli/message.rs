//! Usage errors in one line, where clap would write several.

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::args::Args;
use crate::line::shown;

/// The subcommands that `--help` shows, as a sentence lists them.
fn subcommands() -> String {
    let command = Args::command();
    let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    let mut names: Vec<String> = shown.map(|sub| format!("`{}`", sub.get_name())).collect();
    let last = names.pop().unwrap_or_default();
    format!("{} or {last}", names.join(", ")).replacen('`', "`elsewhen ", 1)
}

/// The line for a usage error, or `None` for `--help` and `--version`.
pub(crate) fn of_usage(error: &clap::Error) -> Option<String> {
    let context = |kind| error.get(kind).map(text).unwrap_or_default();
    let arg = option(&context(ContextKind::InvalidArg));
    Some(match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => return None,
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            format!("no subcommand; use {}", subcommands())
        }
        ErrorKind::InvalidSubcommand => {
            let sub = context(ContextKind::InvalidSubcommand);
            let way_out = match sub.as_str() {
                // An engine that has been given the command for a runtime.
                "create" | "start" | "state" | "kill" | "delete" | "features" => {
                    "to stand before a container runtime, be called by a link named `elsewhen-runc` \
                     or `elsewhen-crun`"
                        .to_owned()
                }
                _ => format!("use {}", subcommands()),
            };
            format!("unknown subcommand `{}`; {way_out}", shown(sub.as_ref()))
        }
        ErrorKind::UnknownArgument => unknown(
            &context(ContextKind::InvalidArg),
            &context(ContextKind::SuggestedArg),
        ),
        ErrorKind::MissingRequiredArgument
            if context(ContextKind::InvalidArg).contains("NAME|PID") =>
        {
            "no namespace; write its name, or a process in it, as `elsewhen ls` shows them"
                .to_owned()
        }
        ErrorKind::MissingRequiredArgument
            if context(ContextKind::InvalidArg).contains("--socket") =>
        {
            "no socket; write where the agent listens, as in `--socket /run/elsewhen/agent.sock`"
                .to_owned()
        }
        ErrorKind::MissingRequiredArgument
            if context(ContextKind::InvalidArg).contains("--resume") =>
        {
            "`--policy` says how saved clocks go on; name their file by `--resume FILE`".to_owned()
        }
        ErrorKind::MissingRequiredArgument => {
            "no command; write one after the options, as in `elsewhen run --realtime +10d date`"
                .to_owned()
        }
        ErrorKind::ArgumentConflict => format!("`{arg}` is given twice; give it once"),
        ErrorKind::TooManyValues => format!("`{arg}` takes no value; write it alone"),
        ErrorKind::InvalidValue => {
            let value = context(ContextKind::InvalidValue);
            match context(ContextKind::ValidValue) {
                _ if value.is_empty() => format!("`{arg}` has no value; write one after it"),
                valid => format!("`{arg} {}`: use {valid}", shown(value.as_ref())),
            }
        }
        ErrorKind::InvalidUtf8 => {
            "an argument is not UTF-8; write names and values in UTF-8".to_owned()
        }
        _ => {
            let rendered = error.to_string();
            let first = rendered.lines().next().unwrap_or_default();
            format!(
                "{}; see `elsewhen --help`",
                first.trim_start_matches("error: ")
            )
        }
    })
}

fn unknown(arg: &str, suggestion: &str) -> String {
    let way_out = if suggestion.is_empty() {
        "see `elsewhen --help`, and put `--` before a command that begins with `-`".to_owned()
    } else {
        format!("did you mean `{suggestion}`?")
    };
    if arg.starts_with('-') {
        format!("unknown option `{}`; {way_out}", shown(arg.as_ref()))
    } else {
        format!(
            "unexpected argument `{}`; see `elsewhen --help`",
            shown(arg.as_ref())
        )
    }
}

/// The option alone: clap says `--realtime <WHEN>`.
fn option(arg: &str) -> String {
    shown(arg.split([' ', '=']).next().unwrap_or_default().as_ref())
}

/// A value of clap's context as text; several of them as `a`, `b` or `c`.
fn text(value: &ContextValue) -> String {
    match value {
        ContextValue::String(one) => one.clone(),
        ContextValue::Strings(many) => match many.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, rest)) => format!("`{}` or `{last}`", rest.join("`, `")),
            None => String::new(),
        },
        other => other.to_string(),
    }
}
