//! Moves, which the kernel says in two halves.
//!
//! The halves follow each other closely, with a cookie that tells which belong together. Where one
//! is missing, something came into the tree or left it. Two names that change places in one step
//! are said as two moves, there and back.

use std::ffi::OsStr;
use std::time::Instant;

use super::notes::Away;
use super::state::State;
use super::tree::Wd;

/// More than this are not waited for at a time.
const MAX_AWAY: usize = 4096;
/// The two moves of a change of places follow each other, but for what others move meanwhile.
const MAX_RECENT: usize = 16;

impl State {
    /// Something comes to a name that something else was moved away from: that will not arrive any
    /// more, as both halves of its move would have been said before.
    pub(super) fn settle_away(&mut self, place: (Wd, &OsStr), now: Instant) {
        let here: Vec<_> = self.away.extract_if(|_, away| away.place() == place).collect();
        for (_, away) in here {
            self.left(&away, now);
        }
    }

    pub(super) fn moved_from(
        &mut self,
        place: (Wd, &OsStr),
        is_dir: bool,
        cookie: u32,
        now: Instant,
    ) {
        let (parent, name) = place;
        // What is heard of a file is older than a folder of its name.
        let node = self.tree.child(parent, name).filter(|_| is_dir);
        let changed = self.writing.remove(&(parent, name.into())).is_some();
        let away = self.journal.away(&mut self.tree, place, node, is_dir, changed, now);
        if let Some(wd) = node {
            self.tree.detach(wd);
        }
        if self.away.len() >= MAX_AWAY {
            // The two halves of a move follow each other: the old ones are alone.
            for (_, old) in std::mem::take(&mut self.away) {
                self.did_not_arrive(&old, now);
            }
        }
        if let Some(old) = self.away.insert(cookie, away) {
            self.did_not_arrive(&old, now);
        }
    }

    /// What was moved away went where it is not seen. If something is at the name nevertheless, the
    /// two may have changed places.
    pub(super) fn did_not_arrive(&mut self, away: &Away, now: Instant) {
        match self.kind_at(away.place()) {
            None => self.left(away, now),
            Some(is_dir) => {
                self.forget_away(away);
                self.created(away.place(), is_dir, now);
            }
        }
    }

    /// What was moved away is not at its name any more.
    fn left(&mut self, away: &Away, now: Instant) {
        self.forget_away(away);
        self.journal.lost(&mut self.tree, away, now);
    }

    fn forget_away(&mut self, away: &Away) {
        if let Some(wd) = away.node {
            self.drop_hanging(wd);
        }
    }

    /// A folder that was moved to a name and is there no more keeps its watch, as it is still to be
    /// heard of where it went.
    fn passed_by(&mut self, wd: Wd, place: (Wd, &OsStr), now: Instant) -> Option<Wd> {
        let hangs = self.tree.get(wd)?.parent.is_none();
        if !hangs || self.tree.is_within(place.0, wd) {
            return None;
        }
        self.settle_name(place, false, now);
        self.tree.attach(wd, place.0, place.1);
        Some(wd)
    }

    /// Forgets a folder that was moved away, unless it was found meanwhile where it is.
    fn drop_hanging(&mut self, wd: Wd) {
        if self.tree.get(wd).is_some_and(|node| node.parent.is_none()) {
            self.drop_folder(wd);
        }
    }

    pub(super) fn moved_to(
        &mut self,
        place: (Wd, &OsStr),
        is_dir: bool,
        cookie: u32,
        now: Instant,
    ) {
        let away = self.away.remove(&cookie);
        self.settle_away(place, now);
        let rules = away.as_ref().and_then(|away| self.rules_above(away.place().0));
        let back = away.as_ref().is_some_and(|away| self.is_back(away.place(), place));
        if let Some(away) = &away {
            self.note_move(away.place(), place);
        }
        if back
            && let Some(away) = &away
            && let Some(kind) = self.kind_at(away.place())
        {
            self.swapped(away, kind, place, is_dir, now);
            return;
        }
        let node = self.settle_name(place, is_dir, now);
        let Some(away) = away else {
            self.journal.clear_name(&mut self.tree, place.0, place.1);
            self.journal.look_new(&mut self.tree, place, node, now);
            return;
        };
        let was = away.node;
        let node = node.or_else(|| self.passed_by(was?, place, now));
        if let Some(was) = was
            && node != Some(was)
        {
            self.drop_hanging(was);
        }
        self.journal.arrived(&mut self.tree, away, place, node, now);
        if back {
            self.journal.look(&mut self.tree, place, node, now);
        }
        let Some(wd) = node else { return };
        self.journal.say_again(&mut self.tree, wd, now);
        if was != node {
            self.journal.rescan(&mut self.tree, wd, now);
        } else if rules.is_none() || rules != self.rules_above(place.0) {
            self.resync(wd, now);
            self.journal.rescan(&mut self.tree, wd, now);
        }
    }

    fn note_move(&mut self, from: (Wd, &OsStr), to: (Wd, &OsStr)) {
        let of = |(parent, name): (Wd, &OsStr)| (parent, Box::from(name));
        if self.recent.len() >= MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((of(from), of(to)));
    }

    /// A move back to where something was moved from just now is said in the same way as two names
    /// that change places in one step.
    fn is_back(&self, from: (Wd, &OsStr), to: (Wd, &OsStr)) -> bool {
        self.recent.iter().any(|(a, b)| (a.0, &*a.1) == to && (b.0, &*b.1) == from)
    }

    /// Something is where what moved back came from: the two changed places. What is at either
    /// name is for whoever looks at it to find out.
    fn swapped(
        &mut self,
        away: &Away,
        there_is_dir: bool,
        here: (Wd, &OsStr),
        here_is_dir: bool,
        now: Instant,
    ) {
        self.journal.swapped(&self.tree, here, away.place());
        self.created(away.place(), there_is_dir, now);
        self.created(here, here_is_dir, now);
        self.forget_away(away);
    }

    /// The two halves of a move follow each other closely. The second one may have been said and
    /// not heard, though.
    pub(super) fn tick_away(&mut self, now: Instant) {
        let (settle, heard) = (self.options.settle, self.heard);
        let alone = |away: &mut Away| away.at + settle <= now && heard > Some(away.at);
        let lone: Vec<_> = self.away.extract_if(|_, away| alone(away)).collect();
        for (_, away) in lone {
            self.did_not_arrive(&away, now);
        }
    }
}
