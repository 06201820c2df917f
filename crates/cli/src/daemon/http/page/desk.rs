//! What a view is made at: the library, the address's parameters, and what every page has in common.

use std::collections::BTreeMap;

use axum::http::Uri;

use super::super::params::decoded;
use super::assets;
use super::words::{Progress, Tone, progress, tone};
use crate::answer::{Answer, Rows, StatusReport};
use crate::args::LibraryCommand;
use crate::daemon::Background;
use crate::execute::{Context, execute, glance};
use crate::failure::Failure;
use crate::output::{Collected, First};
use crate::text;

/// The parameters of an address: the first of each name.
pub(super) struct Query(BTreeMap<String, Vec<u8>>);

impl Query {
    pub(super) fn of(uri: &Uri) -> Self {
        let mut said = BTreeMap::new();
        let query = uri.query().unwrap_or_default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = String::from_utf8_lossy(&decoded(name)).into_owned();
            said.entry(name).or_insert_with(|| decoded(value));
        }
        Self(said)
    }

    /// A parameter as text; one that is empty is none.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.bytes(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    pub(super) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice).filter(|bytes| !bytes.is_empty())
    }

    pub(super) fn is_on(&self, name: &str) -> bool {
        self.bytes(name).is_some()
    }
}

/// Where a view is made.
pub(super) struct Desk<'b> {
    context: Context<'b>,
    pub(super) query: Query,
    pub(super) now_ms: u64,
}

impl<'b> Desk<'b> {
    pub(super) fn new(background: &'b Background, query: Query) -> Self {
        Self { context: Context::of_daemon(background), query, now_ms: text::now_ms() }
    }

    pub(super) fn library(&self) -> &'b driftless::Library {
        self.context.library
    }

    /// Asks for one thing.
    pub(super) fn one<T>(
        &self,
        command: LibraryCommand,
        of: fn(Answer) -> Option<T>,
    ) -> Result<T, Failure> {
        let mut out = Collected::default();
        execute(self.context, command, &mut out)?;
        let answer = out.answer.and_then(of);
        answer.ok_or_else(|| Failure::internal("a command answered something else"))
    }

    /// Asks for a list of which the command says how long it may be, or which is of the members.
    pub(super) fn list<T>(
        &self,
        command: LibraryCommand,
        of: fn(Rows) -> Option<Vec<T>>,
    ) -> Result<Vec<T>, Failure> {
        self.first(usize::MAX, command, of)
    }

    /// Asks for the first rows of a list that may be of any length.
    pub(super) fn first<T>(
        &self,
        limit: usize,
        command: LibraryCommand,
        of: fn(Rows) -> Option<Vec<T>>,
    ) -> Result<Vec<T>, Failure> {
        let mut out = First::new(limit, of);
        let ended = execute(self.context, command, &mut out);
        out.after(ended)
    }

    /// How things stand.
    pub(super) fn status(&self) -> Result<StatusReport, Failure> {
        glance(self.library())
    }

    /// What every page has around what it shows.
    pub(super) fn frame(&self, tab: &'static str) -> Result<Frame, Failure> {
        Ok(self.frame_of(tab, &self.status()?))
    }

    pub(super) fn frame_of(&self, tab: &'static str, status: &StatusReport) -> Frame {
        Frame {
            tab,
            library: status.library.clone(),
            device: status.device.clone(),
            verdict: status.verdict.clone(),
            tone: tone(status),
            progress: progress(status),
            conflicts: status.conflicts,
            quarantined: status.quarantined,
            style: assets::address("page.css"),
            script: assets::address("page.js"),
        }
    }
}

/// What every page has around what it shows.
pub(super) struct Frame {
    /// Which view this is.
    pub(super) tab: &'static str,
    pub(super) library: String,
    pub(super) device: String,
    pub(super) verdict: String,
    pub(super) tone: Tone,
    pub(super) progress: Option<Progress>,
    pub(super) conflicts: u64,
    pub(super) quarantined: u64,
    pub(super) style: String,
    pub(super) script: String,
}

impl Frame {
    /// The views, as the navigation has them: address, name, icon, how many wait there.
    pub(super) fn tabs(&self) -> [(&'static str, &'static str, &'static str, u64); 8] {
        [
            ("/", "Overview", "overview", 0),
            ("/files", "Files", "files", 0),
            ("/tags", "Tags", "tags", 0),
            ("/conflicts", "Conflicts", "conflicts", self.conflicts),
            ("/quarantine", "Quarantine", "quarantine", self.quarantined),
            ("/activity", "Activity", "activity", 0),
            ("/storage", "Storage", "storage", 0),
            ("/health", "Health", "health", 0),
        ]
    }

    pub(super) fn is_here(&self, address: &str) -> bool {
        self.tab == address
    }
}
