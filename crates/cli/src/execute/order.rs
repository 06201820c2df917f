//! Which operations of a batch have to wait for which: those that touch the same tag, by its name.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::args::{CatalogCommand, LibraryCommand, TagCommand};

/// Names that are kept before those of ended operations are forgotten.
const NAMES: usize = 1_024;

/// The names that an operation looks at, and those under which it changes something.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Touches {
    looks: Vec<String>,
    changes: Vec<String>,
}

/// What an operation touches; `None` if that may be anything.
pub(super) fn touches(command: &LibraryCommand) -> Option<Touches> {
    let LibraryCommand::Catalog(CatalogCommand::Tag { command }) = command else { return None };
    let (looks, changes): (Vec<&str>, Vec<&str>) = match command {
        TagCommand::Create { name, parent, .. } => {
            (parent.as_deref().into_iter().collect(), vec![name])
        }
        TagCommand::Set { tag, fields } => {
            // The tags above a parent decide whether it can be one.
            if fields.iter().any(|field| field.starts_with("parent=")) {
                return None;
            }
            let named = fields.iter().filter_map(|field| field.strip_prefix("name="));
            (vec![], named.chain([tag.as_str()]).collect())
        }
        TagCommand::Rm { tag, .. } | TagCommand::Remove { tag, .. } => (vec![], vec![tag]),
        TagCommand::Merge { from, into, .. } => (vec![], vec![from, into]),
        TagCommand::Add { tag, .. } => (vec![tag], vec![]),
        TagCommand::Ls { .. } => return None,
    };
    // What could be an id may be a tag that goes by its name elsewhere.
    if looks.iter().chain(&changes).any(|name| could_be_an_id(name)) {
        return None;
    }
    let own = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
    Some(Touches { looks: own(looks), changes: own(changes) })
}

fn could_be_an_id(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// Tells those who wait that an operation has ended.
#[derive(Clone, Default)]
pub(super) struct End(Arc<(Mutex<bool>, Condvar)>);

impl End {
    pub(super) fn wait(&self) {
        let (ended, changed) = &*self.0;
        let ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
        drop(changed.wait_while(ended, |ended| !*ended).unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn tell(&self) {
        let (ended, changed) = &*self.0;
        *ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
    }

    fn is_told(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who touched a name last.
#[derive(Default)]
struct Name {
    changed: Option<End>,
    /// Since then.
    looked: Vec<End>,
}

impl Name {
    fn forget_ended(&mut self) {
        self.changed.take_if(|end| end.is_told());
        self.looked.retain(|end| !end.is_told());
    }

    fn is_free(&self) -> bool {
        self.changed.is_none() && self.looked.is_empty()
    }
}

/// The operations under way, by the names that they touch.
#[derive(Default)]
pub(super) struct Order(HashMap<String, Name>);

impl Order {
    /// An operation comes next; `end` is its own. Those it has to wait for.
    pub(super) fn enter(&mut self, touches: Touches, end: &End) -> Vec<End> {
        let mut after = Vec::new();
        for name in touches.looks {
            let name = self.0.entry(name).or_default();
            name.forget_ended();
            after.extend(name.changed.clone());
            name.looked.push(end.clone());
        }
        for name in touches.changes {
            let name = self.0.entry(name).or_default();
            name.forget_ended();
            after.append(&mut name.looked);
            after.extend(name.changed.replace(end.clone()));
        }
        if self.0.len() > NAMES {
            self.0.retain(|_, name| {
                name.forget_ended();
                !name.is_free()
            });
        }
        // One that touches a name twice does not wait for itself.
        after.retain(|other| !Arc::ptr_eq(&other.0, &end.0));
        after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Option<Touches> {
        use clap::Parser as _;
        let line = ["driftless", "tag"].iter().chain(words);
        let cli = crate::args::Cli::try_parse_from(line).unwrap();
        let crate::args::Command::Library(command) = cli.command else { panic!("{words:?}") };
        touches(&command)
    }

    #[test]
    fn what_may_be_anything_waits_for_everything() {
        for words in [
            &["set", "x", "parent=y"][..],
            &["set", "beef", "color=red"],
            &["add", "0198-", "/x"],
            &["create", "x", "--parent", "0198abcd"],
            &["ls"],
        ] {
            assert_eq!(of(words), None, "{words:?}");
        }
    }

    #[test]
    fn operations_wait_for_those_on_the_same_tag() {
        let mut order = Order::default();
        let mut ends: Vec<End> = Vec::new();
        let mut waits = |words: &[&str]| -> Vec<usize> {
            let end = End::default();
            let after = order.enter(of(words).unwrap(), &end);
            let at = |after: &End| ends.iter().position(|end| Arc::ptr_eq(&end.0, &after.0));
            let mut found: Vec<usize> = after.iter().map(|after| at(after).unwrap()).collect();
            found.sort_unstable();
            ends.push(end);
            found
        };
        assert_eq!(waits(&["create", "x"]), [0; 0]);
        assert_eq!(waits(&["create", "y"]), [0; 0]);
        assert_eq!(waits(&["add", "x", "/a"]), [0]);
        assert_eq!(waits(&["add", "x", "/b"]), [0]);
        assert_eq!(waits(&["remove", "x", "/a"]), [0, 2, 3]);
        assert_eq!(waits(&["set", "y", "name=z"]), [1]);
        assert_eq!(waits(&["create", "under", "--parent", "z"]), [5]);
        assert_eq!(waits(&["set", "z", "name=z"]), [5, 6]);
        ends.iter().for_each(End::tell);
        assert_eq!(order.enter(of(&["rm", "z"]).unwrap(), &End::default()).len(), 0);
    }
}
