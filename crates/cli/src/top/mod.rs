//! `top`: in the terminal, at a glance, how things stand and what goes on.
//!
//! The daemon is asked on a thread ([`feed`]), what it says becomes a [`view::View`], and [`draw`] makes
//! a picture of that and of nothing else.

mod draw;
mod feed;
mod keys;
mod view;

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::explain::no_daemon;
use crate::failure::{Exit, Failure};
use crate::places::Places;
use feed::Feed;
use keys::Pressed;
use view::View;

/// How long a key is waited for before it is looked whether the daemon has said something.
const KEY_WAIT: Duration = Duration::from_millis(200);

/// Shows how things stand until somebody quits.
pub(crate) fn run(places: &Places) -> Result<Exit, Failure> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        let message = "top draws on a terminal, and there is none";
        return Err(Failure::refused("no_terminal", message)
            .effect("Nothing was changed.")
            .next("driftless status"));
    }
    let feed = Feed::start(places)?
        .ok_or_else(|| no_daemon("top shows what the daemon does, and none runs"))?;
    let over = end_on_signals()?;
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let mut terminal = ratatui::try_init().map_err(|error| drawing(&error))?;
    let shown = show(&mut terminal, &feed, View::new(!plain), &over);
    let restored = ratatui::try_restore().map_err(|error| drawing(&error));
    shown.and(restored)?;
    Ok(Exit::Done)
}

/// A signal that ends the process ends the picture first: the terminal is somebody's.
fn end_on_signals() -> Result<Arc<AtomicBool>, Failure> {
    let over = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, over.clone())
            .map_err(|error| Failure::io("watching for signals", &error))?;
    }
    Ok(over)
}

fn show(
    terminal: &mut DefaultTerminal,
    feed: &Feed,
    mut view: View,
    over: &AtomicBool,
) -> Result<(), Failure> {
    let mut stale = true;
    while !over.load(Ordering::Relaxed) {
        for news in feed.news() {
            view.take(news);
            stale = true;
        }
        if stale {
            terminal.draw(|frame| draw::draw(frame, &view)).map_err(|error| drawing(&error))?;
            stale = false;
        }
        let Some(event) = next_event().map_err(|error| drawing(&error))? else { continue };
        stale = true;
        let Event::Key(key) = event else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        match keys::pressed(key, &mut view) {
            Pressed::Quit => return Ok(()),
            Pressed::Ask(request) => feed.ask(request),
            Pressed::Nothing => {}
        }
    }
    Ok(())
}

fn next_event() -> io::Result<Option<Event>> {
    match event::poll(KEY_WAIT) {
        Ok(true) => event::read().map(Some),
        Ok(false) => Ok(None),
        // A signal is looked at by whoever asks for the next one.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
        Err(error) => Err(error),
    }
}

fn drawing(error: &io::Error) -> Failure {
    Failure::io("drawing on the terminal", error).next("driftless status")
}
