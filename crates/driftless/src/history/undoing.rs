//! Taking change sets back by a new write.

use std::collections::BTreeSet;

use driftless_core::id::Dot;
use driftless_core::schema::ModelKind;
use driftless_core::store::Store as _;
use driftless_core::undo::Step;
use driftless_store::{Logged, Past};

use super::past::Place;
use super::undo::{UndoPlan, UndoStep, plan, sets_behind, with_groups};
use crate::error::Error;
use crate::library::Library;
use crate::tx::WriteTx;

/// Records that one transaction writes: far below what a change set can hold.
const AT_ONCE: usize = 10_000;
/// Bytes of values that one transaction writes, about.
const BYTES_AT_ONCE: usize = 2 << 20;
/// How often it is thought through again when something is written meanwhile.
pub(super) const PATIENCE: usize = 10;

/// What undoing came to.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// library.write(|tx| tx.link(&Star { id: Uuid::from_u128(7), todo: Uuid::nil() }))?;
/// let last = library.log(&driftless::LogFilter::default(), 1)?.remove(0);
/// let undone = library.undo(&[last.dot], false)?;
/// // An undo is a write like any other, and can be undone like any other.
/// library.undo(&undone.written, false)?;
/// assert!(library.get::<Star>(Uuid::from_u128(7))?.is_some());
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Undone {
    /// What was done.
    pub plan: UndoPlan,
    /// The change sets that did it; none if all was as it should be already.
    pub written: Vec<Dot>,
}

/// Why a transaction did not take something back.
enum Failed {
    /// A record is not what it was when it was thought through.
    Moved,
    Error(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Library {
    /// Takes change sets back, with each all that the same command wrote, by a new write: fields get
    /// the values that they had, what was created is deleted, what was deleted comes back. Works on
    /// every device that has them in its history, whoever wrote them. What was written since stays.
    ///
    /// # Errors
    /// [`Error::UndoRefused`] if something stands in the way: then nothing is done. With `force` what
    /// was written since to the same fields is overwritten, and what cannot be taken back at all is
    /// left.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// use driftless::{Error, LogFilter};
    ///
    /// let id = Uuid::from_u128(7);
    /// library.write(move |tx| tx.insert(&Todo { id, title: "Water".into(), done: false }))?;
    /// library.write(move |tx| tx.update(id, |todo: &mut Todo| todo.title = "Rest".into()))?;
    /// let renamed = library.log(&LogFilter::default(), 1)?[0].dot;
    /// library.undo(&[renamed], false)?;
    /// assert_eq!(library.get::<Todo>(id)?.unwrap().title, "Water");
    /// // The title has been written since: by the undo.
    /// assert!(matches!(library.undo(&[renamed], false), Err(Error::UndoRefused { .. })));
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn undo(&self, sets: &[Dot], force: bool) -> Result<Undone, Error> {
        self.take_back(force, |past| with_groups(past, sets))
    }

    /// Takes back what was written since a checkpoint: by this device, or by all.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let checkpoint = library.checkpoint("before the cleaning")?;
    /// for n in 0..3 {
    ///     library.write(move |tx| tx.link(&Star { id: Uuid::from_u128(n), todo: Uuid::nil() }))?;
    /// }
    /// library.undo_to(&checkpoint, false, false)?;
    /// assert!(library.get::<Star>(Uuid::from_u128(2))?.is_none());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn undo_to(
        &self,
        checkpoint: &super::Checkpoint,
        everybody: bool,
        force: bool,
    ) -> Result<Undone, Error> {
        let of = (!everybody).then_some(self.device_id());
        self.take_back(force, |past| sets_behind(past, &checkpoint.vector, of))
    }

    /// What [`Library::undo_to`] would do.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let checkpoint = library.checkpoint("before the cleaning")?;
    /// library.write(|tx| tx.link(&Star { id: Uuid::from_u128(7), todo: Uuid::nil() }))?;
    /// assert_eq!(library.plan_undo_to(&checkpoint, false, false)?.steps.len(), 1);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn plan_undo_to(
        &self,
        checkpoint: &super::Checkpoint,
        everybody: bool,
        force: bool,
    ) -> Result<UndoPlan, Error> {
        let (past, of) = (self.past()?, (!everybody).then_some(self.device_id()));
        let sets = sets_behind(&past, &checkpoint.vector, of)?;
        plan(&past, &sets, force, &BTreeSet::new())
    }

    fn take_back(
        &self,
        force: bool,
        sets: impl Fn(&Past) -> Result<Vec<Logged>, Error>,
    ) -> Result<Undone, Error> {
        let (mut written, mut finished) = (Vec::new(), BTreeSet::new());
        let mut first: Option<UndoPlan> = None;
        let mut chosen: Option<Vec<Logged>> = None;
        for _ in 0..PATIENCE {
            let past = self.past()?;
            let sets = match chosen.take() {
                Some(sets) => sets,
                None => sets(&past)?,
            };
            let plan = plan(&past, &sets, force, &finished)?;
            if plan.is_refused() {
                return Err(Error::UndoRefused { plan: Box::new(plan) });
            }
            let steps = plan.steps.clone();
            first.get_or_insert(plan);
            if self.write_steps(steps, &mut written, &mut finished)? {
                let plan = first.take();
                return plan.map(|plan| Undone { plan, written }).ok_or(Error::Unsettled);
            }
            // What is undone stays the same, whatever is written meanwhile.
            chosen = Some(sets);
        }
        Err(Error::Unsettled)
    }

    /// Writes what was planned, in as many transactions as it takes. Whether all of it was; else a
    /// record was written meanwhile.
    pub(super) fn write_steps(
        &self,
        steps: Vec<UndoStep>,
        written: &mut Vec<Dot>,
        finished: &mut BTreeSet<Place>,
    ) -> Result<bool, Error> {
        let mut steps = steps.into_iter().peekable();
        while steps.peek().is_some() {
            let (mut some, mut bytes) = (Vec::new(), 0);
            while some.len() < AT_ONCE && bytes < BYTES_AT_ONCE {
                let Some(step) = steps.next() else { break };
                bytes += size(&step);
                some.push(step);
            }
            let first = written.first().copied();
            let places: Vec<Place> =
                some.iter().map(|step| (step.model.id, step.key.clone())).collect();
            let done = self.write(move |tx| {
                if let Some(first) = first {
                    tx.go_on_with(first);
                }
                some.iter().try_for_each(|step| apply(tx, step))?;
                Ok::<_, Failed>(tx.dot())
            });
            match done {
                Ok(dot) => written.push(dot),
                Err(Failed::Moved) => return Ok(false),
                Err(Failed::Error(error)) => return Err(error),
            }
            finished.extend(places);
        }
        Ok(true)
    }
}

fn size(step: &UndoStep) -> usize {
    let value = |value: &driftless_core::value::Value| match value {
        driftless_core::value::Value::Text(text) => text.len(),
        driftless_core::value::Value::Blob(bytes) => bytes.len(),
        _ => 8,
    };
    step.fields.iter().map(|(_, _, to)| value(to)).sum()
}

fn apply(tx: &mut WriteTx<'_>, step: &UndoStep) -> Result<(), Failed> {
    let (model, key) = (step.model.id, &step.key);
    if tx.store.record(model, key).map_err(Error::from)? != step.before {
        return Err(Failed::Moved);
    }
    match &step.step {
        Step::Create(fields) if step.model.kind == ModelKind::Link => {
            tx.add_link(model, key, fields.clone())?;
        }
        Step::Create(fields) => tx.create(model, key, fields.clone())?,
        Step::Set(fields) => tx.put_back(model, key, fields.clone())?,
        Step::Delete => {
            tx.remove(model, key)?;
        }
    }
    Ok(())
}
