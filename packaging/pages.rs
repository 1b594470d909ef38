//! Writes the man pages and the shells' completions, from the same definition as `--help`.
//!
//! `cargo run --example pages -- DIRECTORY`; the date is that of `SOURCE_DATE_EPOCH`, or now.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

use clap_complete::{Shell, generate_to};
use clap_mangen::Man;

fn main() -> io::Result<()> {
    let Some(to) = std::env::args_os().nth(1) else {
        eprintln!("pages: no directory; name one to write to");
        std::process::exit(125);
    };
    write_all(to.as_ref())
}

fn write_all(to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let mut command = elsewhen::cli::command().disable_help_subcommand(true);
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut command, "elsewhen", to)?;
    }
    // Names the pages of the subcommands `elsewhen-run` and so on, as git's are.
    command.build();
    write_page(&command, to)?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        write_page(sub, to)?;
    }
    Ok(())
}

fn write_page(command: &clap::Command, to: &Path) -> io::Result<()> {
    let text = command.get_after_help().map(ToString::to_string);
    let command = command.clone().after_help("");
    let man = Man::new(command)
        .date(date())
        .source(concat!("elsewhen ", env!("CARGO_PKG_VERSION")))
        .manual("User Commands");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let is_first = page_name(&man) == "elsewhen.1";
    if is_first {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(text) = text {
        page.extend(further_sections(&text).into_bytes());
    }
    fs::write(to.join(page_name(&man)), page)
}

fn page_name(man: &Man) -> String {
    man.get_filename()
}

/// What stands below the options in `--help`: a section for each line that ends in a colon.
fn further_sections(text: &str) -> String {
    let mut page = String::from(".SH NOTES\n.nf\n");
    for line in text.lines() {
        match line
            .strip_suffix(':')
            .filter(|head| !head.contains(' ') || *head == "Exit status")
        {
            Some(head) => write!(page, ".fi\n.SH {}\n.nf\n", head.to_uppercase()),
            None => writeln!(page, "{}", escaped(line)),
        }
        .expect("a string can be written to");
    }
    page + ".fi\n"
}

/// A line of text in roff, where backslashes and dots at the begin mean something.
fn escaped(line: &str) -> String {
    let line = line
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\(aq");
    match line.starts_with('.') {
        true => format!("\\&{line}"),
        false => line,
    }
}

fn date() -> String {
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok();
    let second = epoch.and_then(|epoch| epoch.parse().ok());
    let then = second.and_then(|second| jiff::Timestamp::from_second(second).ok());
    then.unwrap_or_else(jiff::Timestamp::now)
        .strftime("%F")
        .to_string()
}
