//! The program `driftless`: one library of files and tags on all of a person's devices.
//!
//! A command runs where the library is open: in the daemon, reached over its socket ([`client`],
//! [`wire`], [`daemon`]), or in this process if no daemon runs. Either way it is [`execute`] that
//! runs it, and the [`printer`] that shows what comes of it.

mod answer;
mod args;
mod bench;
mod client;
mod commands;
mod daemon;
mod demo;
mod doctor;
mod execute;
mod explain;
mod failure;
mod fleet;
mod hostname;
mod output;
mod places;
mod printer;
mod reasons;
mod render;
#[cfg(test)]
mod samples;
mod telling;
mod text;
mod top;
mod wire;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use args::Cli;
use failure::{Exit, Failure};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let as_json = cli.json;
    let done = telling::begin(&cli.command).and_then(|()| commands::run(cli));
    telling::end();
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if !failure.is_silent() {
                tell(&failure, as_json);
            }
            failure.exit.into()
        }
    }
}

/// A command line that cannot be read; or help, which is no error.
fn refuse(error: &clap::Error) -> ExitCode {
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if asked {
        // If even that cannot be printed there is nowhere to say so.
        drop(error.print());
        return Exit::Done.into();
    }
    let help = matches!(
        error.kind(),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand
    );
    let as_json = std::env::args_os().any(|arg| arg == "--json");
    if help && !as_json {
        drop(error.print());
        return Exit::Usage.into();
    }
    tell(&usage(error), as_json);
    Exit::Usage.into()
}

/// What clap says, as a failure. The usage that it names tells which command was meant.
fn usage(error: &clap::Error) -> Failure {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::usage("no command is given");
    }
    let text = error.render().to_string();
    let message = text.lines().take_while(|line| !line.starts_with("Usage:"));
    let message = message.filter(|line| !line.starts_with("For more information"));
    let message: Vec<&str> = message.map(str::trim).filter(|line| !line.is_empty()).collect();
    let message = message.join("; ");
    let usage = text.lines().find_map(|line| line.strip_prefix("Usage: driftless"));
    let words = usage.unwrap_or_default().split(' ').filter(|word| !word.is_empty());
    let command: Vec<&str> = words.take_while(|word| !word.starts_with(['[', '<', '-'])).collect();
    let next = format!("driftless help {}", command.join(" "));
    Failure::usage(message.trim_start_matches("error: ")).next(next.trim_end())
}

fn tell(failure: &Failure, as_json: bool) {
    let told = if as_json {
        writeln!(io::stdout(), "{}", failure.json())
    } else {
        writeln!(
            io::stderr(),
            "error: {}\n  {}\n  next: {}",
            failure.message,
            failure.effect,
            failure.next
        )
    };
    // If even that cannot be printed there is nowhere to say so.
    drop(told);
}
