//! `join`: a person holds a ticket, and compares two codes.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};

use driftless::{PairingCode, SyncOptions, Ticket};
use driftless_catalog::models;

use super::{founded, print};
use crate::answer::Answer;
use crate::args::JoinArgs;
use crate::failure::{Exit, Failure};
use crate::hostname;
use crate::places::Places;
use crate::text::plain;

pub(super) fn run(places: &Places, args: &JoinArgs, json: bool) -> Result<Exit, Failure> {
    let ticket = Ticket::parse(&args.ticket)?;
    if !args.yes && !io::stdin().is_terminal() {
        let message = "somebody has to compare the codes, and there is no terminal to ask";
        return Err(Failure::refused("no_terminal", message)
            .effect("Nothing was changed; the ticket can still be used.")
            .next("run it in a terminal, or with --yes if the ticket came over a way you trust"));
    }
    let device = args.device_name.clone().unwrap_or_else(hostname::device_name);
    let yes = args.yes;
    let confirm = move |code: PairingCode, library: &str| confirm(code, library, yes);
    let options = options(&ticket, args.offline);
    let library = driftless::join(&places.dir, &models(), &ticket, &device, &options, confirm)?;
    print(Answer::Library(founded(&library, &device)?), json)
}

/// A ticket whose addresses are all of this machine needs nothing beyond it.
fn options(ticket: &Ticket, offline: bool) -> SyncOptions {
    let addresses = &ticket.addrs;
    let local = !addresses.is_empty() && addresses.iter().all(|address| address.ip().is_loopback());
    let here = local && addresses.iter().any(SocketAddr::is_ipv4);
    SyncOptions { listen: here.then(|| (Ipv4Addr::LOCALHOST, 0).into()), offline: offline || local }
}

fn confirm(code: PairingCode, library: &str, yes: bool) -> bool {
    let code = code.to_string();
    let (left, right) = code.split_at(code.len() / 2);
    let library = plain(library);
    let ask = || -> io::Result<bool> {
        let mut err = io::stderr().lock();
        if yes {
            writeln!(err, "Joining the library {library:?}; the code is {left} {right}")?;
            return Ok(true);
        }
        writeln!(err, "The code is  {left} {right}")?;
        write!(
            err,
            "Does the device that invited you, of the library {library:?}, show the same? [y/N] "
        )?;
        err.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    };
    // Who cannot be asked has not agreed.
    ask().unwrap_or(false)
}
