//! What the demo does, stage by stage.

use std::path::{Path, PathBuf};

use super::stage::{Counts, Stages};
use crate::answer::{Answer, Rows};
use crate::args::{
    CatalogCommand, FileArg, FindArgs, KindArg, LibraryCommand, LocationCommand, TagCommand,
};
use crate::failure::{Exit, Failure};
use crate::fleet::{Device, Telling};
use crate::output::Collected;

/// Tags that each device makes, and files on which it puts one.
const TAGS: u64 = 20;
const TAGGED: u64 = 50;
/// Tags that each device makes while one of them is away.
const EDITS: u64 = 30;
/// How long devices may take until all have everything.
const PATIENCE: f64 = 300.0;
/// The tag that two devices rename without knowing of each other.
const DISPUTED: &str = "plans";

/// The demo under way.
pub(super) struct Story {
    pub(super) devices: Vec<Device>,
    pub(super) folder: PathBuf,
    pub(super) stages: Stages,
}

impl Story {
    /// All of it; the digests at the end.
    pub(super) fn tell(&mut self) -> Result<Vec<String>, Failure> {
        self.stage("pair", "devices of one library", Self::pair)?;
        self.stage("index", "a folder, on one device", Self::index)?;
        self.stage("spread", "until every device has all of it", Self::spread)?;
        self.stage("tag", "every device makes tags and puts them on files", Self::tag)?;
        self.stage("part", "one device is killed, and all are edited", Self::part)?;
        self.stage("meet", "it comes back, and all meet", Self::meet)?;
        self.stage("compare", "what the devices have", Self::compare)?;
        self.devices.iter().map(Device::digest).collect()
    }

    fn stage(
        &mut self,
        name: &str,
        words: &str,
        act: impl FnOnce(&mut Self) -> Result<Counts, Failure>,
    ) -> Result<(), Failure> {
        let shown = |error| Failure::io("telling of a stage", &error);
        let begun = self.stages.begin(words).map_err(shown)?;
        let counts = act(self)?;
        self.stages.end(name, words, begun, &counts).map_err(shown)
    }

    fn first(&self) -> Result<&Device, Failure> {
        self.devices.first().ok_or_else(|| Failure::internal("a demo has devices"))
    }

    fn last(&self) -> Result<&Device, Failure> {
        self.devices.last().ok_or_else(|| Failure::internal("a demo has devices"))
    }

    fn pair(&mut self) -> Result<Counts, Failure> {
        let first = self.first()?;
        first.found()?.close();
        first.up()?;
        for device in &self.devices[1..] {
            device.join(&first.ticket()?)?;
            device.up()?;
        }
        Ok(Counts::of(&[("devices", self.devices.len() as u64)]))
    }

    fn index(&mut self) -> Result<Counts, Failure> {
        let path = FileArg::from(Path::new(&self.folder));
        let add = LocationCommand::Add {
            path,
            no_hash: false,
            detach: false,
            gitignore: false,
            no_hidden: false,
        };
        let command = LibraryCommand::Catalog(CatalogCommand::Location { command: add });
        let Self { devices, stages, .. } = self;
        let mut told = Telling { out: stages.out(), kept: Collected::default() };
        let first = devices.first().ok_or_else(|| Failure::internal("a demo has devices"))?;
        first.run_telling(command, &mut told)?;
        match told.kept.answer {
            Some(Answer::Scans(scans)) if scans.len() == 1 => Ok(Counts::of(&[
                ("files", scans[0].files),
                ("folders", scans[0].dirs),
                ("links", scans[0].links),
                ("problems", scans[0].problem_count),
                ("bytes", scans[0].bytes),
            ])),
            _ => Err(Failure::internal("a scan gives a report")),
        }
    }

    fn spread(&mut self) -> Result<Counts, Failure> {
        self.settle()?;
        let entries = self.agreed("entry")?;
        Ok(Counts::of(&[("entries", entries), ("devices", self.devices.len() as u64)]))
    }

    fn tag(&mut self) -> Result<Counts, Failure> {
        let files = some_files(self.first()?)?;
        let first_tag = vec![create(DISPUTED)];
        self.first()?.batch(first_tag)?;
        let per_device = |device: &Device, at: usize| {
            let tag = |n: u64| format!("{} tag {n}", device.name);
            let mut commands: Vec<LibraryCommand> = (0..TAGS).map(|n| create(&tag(n))).collect();
            let mine = files.iter().skip(at).step_by(2).take(usize::try_from(TAGGED).unwrap_or(0));
            commands.extend(mine.zip(0..).map(|(file, n)| put_on(&tag(n % TAGS), file.clone())));
            commands
        };
        self.everywhere(per_device)?;
        self.settle()?;
        let (tags, links) = (self.agreed("tag")?, self.agreed("tagging")?);
        Ok(Counts::of(&[("tags", tags), ("tagged_contents", links)]))
    }

    fn part(&mut self) -> Result<Counts, Failure> {
        self.last()?.kill();
        let gone = self.last()?.name.clone();
        let edits = |device: &Device, at: usize| {
            let name = |n| format!("{} edit {n}", device.name);
            let mut commands: Vec<LibraryCommand> = (0..EDITS).map(|n| create(&name(n))).collect();
            if at == 0 {
                commands.push(rename(DISPUTED, "plans, as the first device says"));
            } else if device.name == gone {
                commands.push(rename(DISPUTED, "plans, as the last device says"));
            }
            commands
        };
        self.everywhere(edits)?;
        let edits = EDITS * self.devices.len() as u64 + 2;
        Ok(Counts::of(&[("devices_away", 1), ("edits", edits), ("renames_of_one_tag", 2)]))
    }

    fn meet(&mut self) -> Result<Counts, Failure> {
        self.last()?.up()?;
        self.settle()?;
        Ok(Counts::of(&[("tags", self.agreed("tag")?)]))
    }

    fn compare(&mut self) -> Result<Counts, Failure> {
        let mut names = Vec::new();
        let mut conflicts = Vec::new();
        for device in &self.devices {
            names.push(disputed_name(device)?);
            conflicts.push(device.status()?.conflicts);
        }
        if names.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(differ(format!("the tag is called {}", names.join("; "))));
        }
        let conflict = conflicts.first().copied().unwrap_or(0);
        if conflicts.iter().any(|number| *number != conflict) {
            return Err(differ(format!("the conflicts are {conflicts:?}")));
        }
        let records = self.first()?.status()?.counts.values().sum();
        Ok(Counts::of(&[("records", records), ("conflicts_kept", conflict)]))
    }

    /// Runs a batch on every device, at the same time.
    fn everywhere(
        &self,
        commands: impl Fn(&Device, usize) -> Vec<LibraryCommand>,
    ) -> Result<(), Failure> {
        std::thread::scope(|scope| {
            let mut running = Vec::new();
            for (at, device) in self.devices.iter().enumerate() {
                let commands = commands(device, at);
                running.push(scope.spawn(move || device.batch(commands)));
            }
            running.into_iter().try_for_each(|batch| match batch.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })
    }

    /// Waits until every device has everything of every other.
    fn settle(&mut self) -> Result<(), Failure> {
        let Self { devices, stages, .. } = self;
        devices.iter().try_for_each(|device| device.sync(PATIENCE, stages.out()))
    }

    /// How many rows of a model every device has.
    fn agreed(&self, model: &str) -> Result<u64, Failure> {
        let counts = self.devices.iter().map(|device| {
            Ok::<_, Failure>(device.status()?.counts.get(model).copied().unwrap_or(0))
        });
        let counts = counts.collect::<Result<Vec<u64>, _>>()?;
        match counts.first() {
            Some(first) if counts.iter().all(|count| count == first) => Ok(*first),
            _ => Err(differ(format!("the numbers of {model} are {counts:?}"))),
        }
    }
}

fn differ(what: String) -> Failure {
    Failure::new(Exit::NotYet, "differ", format!("devices differ: {what}"))
        .effect("The demo's devices are its own; nothing else was touched.")
        .next("driftless demo --keep, and look at the logs")
}

/// Files of the first device, as any device names them.
fn some_files(device: &Device) -> Result<Vec<FileArg>, Failure> {
    let args = FindArgs {
        text: None,
        prefix: false,
        tag: None,
        collection: None,
        favourite: false,
        hidden: false,
        kind: Some(KindArg::File),
        device: None,
        limit: Some(4 * TAGGED),
        lines: false,
    };
    let found = device.run(LibraryCommand::Catalog(CatalogCommand::Find(args)))?;
    let mut files = Vec::new();
    for rows in found.rows {
        let Rows::Entries(rows) = rows else { continue };
        let whole = rows.into_iter().filter(|row| row.path_raw.is_none() && row.size > 0);
        files.extend(
            whole.map(|row| FileArg::from(Path::new(&format!("{}:{}", row.device, row.path)))),
        );
    }
    Ok(files)
}

/// What the tag is called that two devices renamed.
fn disputed_name(device: &Device) -> Result<String, Failure> {
    let found = device.run(tag(TagCommand::Ls { deleted: false, as_of: None }))?;
    let named = found.rows.into_iter().find_map(|rows| match rows {
        Rows::Tags(rows) => rows.into_iter().find(|row| row.name.starts_with(DISPUTED)),
        _ => None,
    });
    named.map(|row| row.name).ok_or_else(|| differ(format!("{} lacks a tag", device.name)))
}

fn tag(command: TagCommand) -> LibraryCommand {
    LibraryCommand::Catalog(CatalogCommand::Tag { command })
}

fn create(name: &str) -> LibraryCommand {
    tag(TagCommand::Create { name: name.to_owned(), color: None, parent: None })
}

fn rename(from: &str, to: &str) -> LibraryCommand {
    tag(TagCommand::Set { tag: from.to_owned(), fields: vec![format!("name={to}")] })
}

fn put_on(name: &str, file: FileArg) -> LibraryCommand {
    tag(TagCommand::Add { tag: name.to_owned(), files: vec![file] })
}
