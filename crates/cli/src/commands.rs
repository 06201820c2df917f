//! From the command line to whoever does the work.

mod batch;
mod join;

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use clap::CommandFactory as _;
use driftless::{Library, StoreError};
use driftless_catalog::models;

use crate::answer::{Answer, Founded, RestoredReport, StoppedReport};
use crate::args::{
    CatalogCommand, Cli, CollectionCommand, Command, InitArgs, InviteArgs, LibraryCommand,
    LocationCommand, MetaCommand, TagCommand,
};
use crate::client::{Connection, Reached, reach};
use crate::execute::{CONFIRM, Context, execute};
use crate::failure::{Exit, Failure};
use crate::output::Output as _;
use crate::places::{Places, Surroundings};
use crate::printer::{Look, Printer};
use crate::wire::Request;
use crate::{bench, daemon, demo, doctor, hostname, top};

/// Runs what the command line says.
pub(crate) fn run(cli: Cli) -> Result<Exit, Failure> {
    let places = || Places::new(cli.dir.clone(), &Surroundings::here());
    match cli.command {
        Command::Demo(args) => demo::run(&args, cli.json),
        Command::Bench(args) => bench::run(&args, cli.json),
        Command::BenchPeer => bench::serve(&places()?),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "driftless", &mut io::stdout());
            Ok(Exit::Done)
        }
        Command::Init(args) => init(&places()?, &args, cli.json),
        Command::Up(args) => daemon::up(&places()?, &args, cli.json),
        Command::Down => down(&places()?, cli.json),
        Command::Join(args) => join::run(&places()?, &args, cli.json),
        Command::Restore { file, yes } => restore(&places()?, &file, (cli.json, yes)),
        Command::Batch => batch::run(&places()?),
        Command::Top => top::run(&places()?),
        Command::Library(LibraryCommand::Doctor) => doctor::run(&places()?, cli.json),
        Command::Library(command) => library(&places()?, command, cli.json),
    }
}

fn init(places: &Places, args: &InitArgs, json: bool) -> Result<Exit, Failure> {
    if places.dir.join("library.db").exists() {
        // Whoever has it open, this is what there is to say.
        return Err(StoreError::Exists { path: places.dir.clone() }.into());
    }
    let device = args.device_name.clone().unwrap_or_else(hostname::device_name);
    let library = Library::create(&places.dir, &models(), &args.name, &device)?;
    let founded = founded(&library, &device)?;
    print(Answer::Library(founded), json)
}

fn restore(places: &Places, file: &Path, (json, yes): (bool, bool)) -> Result<Exit, Failure> {
    if !yes && can_ask(json) {
        let what = "This becomes the device that the backup was made on, which must not be in use \
                    elsewhere any more. What it wrote since comes back from the other devices, as far \
                    as they have it";
        ask(&Failure::refused(CONFIRM, what).next("run it again with --yes"))?;
    }
    let device = Library::restore(file, &places.dir, &models())?;
    // It goes on under a new epoch with its first opening, which needs no word here.
    let library = places.open_quietly()?;
    library.checkpoint("what came after the backup that was restored")?;
    drop(library);
    let dir = places.dir.display().to_string();
    print(Answer::Restored(RestoredReport { device_id: device.to_string(), dir }), json)
}

/// Whether there is somebody to ask.
fn can_ask(json: bool) -> bool {
    !json && io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks whether something large is to be done.
fn ask(what: &Failure) -> Result<(), Failure> {
    let answer = || -> io::Result<bool> {
        let mut err = io::stderr().lock();
        write!(err, "{}. Go on? [y/N] ", what.message)?;
        err.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    };
    match answer().map_err(|error| Failure::io("asking", &error))? {
        true => Ok(()),
        false => Err(Failure::refused("not_confirmed", "it was not confirmed").next(&what.next)),
    }
}

/// What there is to say of a library that this device belongs to from now on.
fn founded(library: &Library, device: &str) -> Result<Founded, Failure> {
    Ok(Founded {
        library_id: library.id().to_string(),
        library: library.name()?,
        device_id: library.device_id().to_string(),
        device: device.to_owned(),
        dir: library.dir().display().to_string(),
    })
}

fn print(answer: Answer, json: bool) -> Result<Exit, Failure> {
    let mut printer = Printer::new(Look { json, ..Look::default() });
    let printed = printer.answer(answer).and_then(|()| printer.finish());
    printed.map_err(|error| Failure::output(&error))?;
    Ok(Exit::Done)
}

fn down(places: &Places, json: bool) -> Result<Exit, Failure> {
    let stopped = match Connection::open(places)? {
        None if !places.dir.join("library.db").exists() => {
            let message = format!("{} holds no library", places.dir.display());
            return Err(Failure::not_found("no_library", message).next("driftless init"));
        }
        None => false,
        Some(mut daemon) => {
            daemon.run(&Request::Down, &mut Printer::new(Look::default()))?;
            daemon.wait_for_end()?;
            true
        }
    };
    print(Answer::Stopped(StoppedReport { stopped }), json)
}

/// A command that works with an open library.
fn library(places: &Places, mut command: LibraryCommand, json: bool) -> Result<Exit, Failure> {
    let cwd = std::env::current_dir()
        .map_err(|error| Failure::io("finding the working directory", &error))?;
    resolve(&mut command, &cwd);
    let look = look(&command, json);
    if let LibraryCommand::Invite(InviteArgs { attend, .. }) = &mut command {
        // Scripts are not kept waiting.
        *attend = !json && io::stdout().is_terminal() && io::stdin().is_terminal();
    }
    let watch = matches!(command, LibraryCommand::Status { watch: true });
    let mut printer = Printer::new(look);
    let mut reached = reach(places)?;
    let mut asks = can_ask(json);
    loop {
        let run = if asks { Request::Ask } else { Request::Run };
        let result = match &mut reached {
            Reached::Daemon(daemon) => daemon.run(&run(command.clone()), &mut printer),
            Reached::Open(library) => {
                let context = Context::alone(library);
                let context = if asks { context.asking() } else { context };
                execute(context, command.clone(), &mut printer)
            }
        };
        let finished = printer.finish();
        if let Some(what) = result.as_ref().err().filter(|failure| failure.code == CONFIRM) {
            ask(what)?;
            asks = false;
            continue;
        }
        if matches!((&result, &reached), (Err(failure), Reached::Open(_)) if failure.code == "no_address")
        {
            drop(reached);
            match starting_daemon(places)? {
                Some(daemon) => reached = Reached::Daemon(daemon),
                None => return result,
            }
            continue;
        }
        let exit = result?;
        finished.map_err(|error| Failure::output(&error))?;
        if !watch {
            return Ok(exit);
        }
        std::thread::sleep(WATCH_EVERY);
    }
}

/// Waits a moment for a daemon that is just being started.
fn starting_daemon(places: &Places) -> Result<Option<Connection>, Failure> {
    let deadline = Instant::now() + STARTING;
    while Instant::now() < deadline {
        if let Some(daemon) = Connection::open(places)? {
            return Ok(Some(daemon));
        }
        std::thread::sleep(STARTING_PAUSE);
    }
    Ok(None)
}

/// How long a daemon is waited for that may be starting.
const STARTING: Duration = Duration::from_secs(2);
const STARTING_PAUSE: Duration = Duration::from_millis(20);
/// How often `status --watch` looks.
const WATCH_EVERY: Duration = Duration::from_secs(1);

fn look(command: &LibraryCommand, json: bool) -> Look {
    let lines = match command {
        LibraryCommand::Catalog(CatalogCommand::Find(args)) => args.lines,
        LibraryCommand::Log(_) => true,
        _ => false,
    };
    let qr = matches!(command, LibraryCommand::Invite(InviteArgs { qr: true, .. }));
    let repaint = matches!(command, LibraryCommand::Status { watch: true });
    Look { json, lines, repaint, qr }
}

/// Makes the paths of a command absolute, as the daemon is somewhere else.
fn resolve(command: &mut LibraryCommand, cwd: &Path) {
    let command = match command {
        LibraryCommand::Backup { file } => return file.resolve(cwd),
        LibraryCommand::History(args) => return args.record.resolve_if_there(cwd),
        LibraryCommand::Why(args) => return args.record.resolve_if_there(cwd),
        LibraryCommand::Catalog(command) => command,
        _ => return,
    };
    match command {
        CatalogCommand::Location { command: LocationCommand::Add { path, .. } } => {
            path.resolve(cwd)
        }
        // A path of another device is absolute already.
        CatalogCommand::Ls(args) if args.device.is_none() => {
            args.path.iter_mut().for_each(|path| path.resolve(cwd));
        }
        CatalogCommand::Tag {
            command: TagCommand::Add { files, .. } | TagCommand::Remove { files, .. },
        }
        | CatalogCommand::Collection {
            command: CollectionCommand::Add { files, .. } | CollectionCommand::Remove { files, .. },
        } => files.iter_mut().for_each(|file| file.resolve(cwd)),
        CatalogCommand::Meta {
            command: MetaCommand::Set { file, .. } | MetaCommand::Get { file, .. },
        } => file.resolve(cwd),
        _ => {}
    }
}
