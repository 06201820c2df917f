//! `batch`, on the side of whoever writes the lines.

use std::io::{self, BufReader, Read};
use std::net::Shutdown;
use std::path::Path;

use clap::Parser as _;

use super::resolve;
use crate::args::{Cli, Command, LibraryCommand, LogArgs};
use crate::client::{Reached, follow, reach};
use crate::execute::{Context, run_batch};
use crate::failure::{Exit, Failure};
use crate::places::Places;
use crate::printer::{Look, Printer};
use crate::wire::{self, MAX_REQUEST, Request, Step};

pub(super) fn run(places: &Places) -> Result<Exit, Failure> {
    let cwd = std::env::current_dir()
        .map_err(|error| Failure::io("finding the working directory", &error))?;
    let mut printer = Printer::new(Look { json: true, ..Look::default() });
    let result = match reach(places)? {
        Reached::Open(library) => {
            run_batch(Context::alone(&library), steps(io::stdin(), cwd), &mut printer)
        }
        Reached::Daemon(mut daemon) => {
            daemon.send(&Request::Batch)?;
            let (mut input, mut output) = daemon.split();
            // It may still wait for a line when all is over; then it ends with the program.
            std::thread::spawn(move || {
                for step in steps(io::stdin(), cwd) {
                    let sent = step.and_then(|step| {
                        wire::send(&mut output, &step)?;
                        io::Write::flush(&mut output)
                    });
                    if let Err(error) = sent {
                        tracing::error!(%error, "the rest of the batch is not run");
                        break;
                    }
                }
                drop(output.get_ref().shutdown(Shutdown::Write));
            });
            follow(&mut input, &mut printer)
        }
    };
    let finished = printer.finish();
    let exit = result?;
    finished.map_err(|error| Failure::output(&error))?;
    Ok(exit)
}

/// The operations of the lines of `input`; empty lines are skipped.
fn steps(input: impl Read, cwd: impl AsRef<Path>) -> impl Iterator<Item = io::Result<Step>> {
    let mut input = BufReader::new(input);
    let lines = std::iter::from_fn(move || wire::read_line(&mut input, MAX_REQUEST).transpose());
    let filled = lines.filter(|line| !matches!(line, Ok(line) if line.trim_ascii().is_empty()));
    filled.map(move |line| {
        line.map(|line| {
            let mut command = parse(&line)?;
            resolve(&mut command, cwd.as_ref());
            Ok(command)
        })
    })
}

fn parse(line: &[u8]) -> Step {
    let words: Vec<String> = serde_json::from_slice(line).map_err(|error| {
        Failure::usage(format!("this is no JSON array of words: {error}"))
            .next("[\"tag\", \"create\", \"holiday\"]")
    })?;
    let name = std::iter::once("driftless".to_owned());
    let cli = Cli::try_parse_from(name.chain(words)).map_err(|error| crate::usage(&error))?;
    match cli.command {
        Command::Library(
            LibraryCommand::Dump { .. }
            | LibraryCommand::Status { watch: true }
            | LibraryCommand::Log(LogArgs { follow: true, .. }),
        )
        | Command::Demo(_)
        | Command::Init(_)
        | Command::Up(_)
        | Command::Down
        | Command::Join(_)
        | Command::Restore { .. }
        | Command::Batch
        | Command::Top
        | Command::Bench(_)
        | Command::BenchPeer
        | Command::Completions { .. } => {
            Err(Failure::usage("this command is no operation of a batch")
                .next("driftless help batch"))
        }
        Command::Library(command) => Ok(command),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<Step> {
        steps(text.as_bytes(), "/").map(|step| step.unwrap()).collect()
    }

    #[test]
    fn a_line_is_a_command_or_says_why_not() {
        let found =
            all("[\"digest\"]\n\n  \n[\"down\"]\n[\"nonsense\"]\n{}\n[\"digest\", \"--json\"]");
        assert_eq!(found.len(), 5);
        assert_eq!(found[0], Ok(LibraryCommand::Digest));
        assert_eq!(found[4], Ok(LibraryCommand::Digest));
        for bad in &found[1..4] {
            assert_eq!(bad.as_ref().unwrap_err().exit, Exit::Usage, "{bad:?}");
        }
    }
}
