//! `driftless-sim run` and `driftless-sim scale`.

mod args;
mod runner;
mod scaling;

use std::process::ExitCode;

use args::{Command, USAGE, parse};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match parse(&args) {
        Ok(Command::Help) => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Ok(Command::Run(options)) => runner::run_all(&options),
        Ok(Command::Scale(options)) => scaling::measure_all(&options),
        Err(why) => {
            eprintln!("driftless-sim: {why}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}
