//! What may go wrong in a run, by name, so that it can be switched on and off.

use std::collections::BTreeSet;
use std::str::FromStr;

/// Something that may go wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fault {
    /// Frames are lost.
    Loss,
    /// Frames come twice.
    Repeats,
    /// Frames overtake each other.
    Reorder,
    /// Frames take long, and not all as long as the others.
    Delay,
    /// Links carry few bytes a second.
    Slow,
    /// Links are cut for a while, one by one or all of a device.
    Partition,
    /// Links carry nothing in one direction for a while.
    OneWay,
    /// Links go and come again and again.
    Flap,
    /// Connections break.
    Break,
    /// A device crashes between two batches, before or after a commit, or between two effects.
    Crash,
    /// A transaction cannot be made durable, or is given up, and the device goes on.
    Rollback,
    /// The power fails: what was visible and not synced is lost.
    Unsynced,
    /// The peer log is lost while the device is down.
    LostLog,
    /// Wall clocks differ by seconds, by an hour, by a year.
    Skew,
    /// Wall clocks go at speeds of their own.
    Drift,
    /// Wall clocks are set while they run.
    Step,
    /// Wall clocks stand still for a while.
    Stop,
    /// Devices are added while the others run.
    Late,
    /// Devices are down for longer than what is kept for them, and come back.
    Years,
    /// Devices are cut off and evicted, and come back.
    Evict,
    /// Devices go and never come back.
    Leave,
    /// Devices do not know all models.
    Versions,
    /// Engines run with odd settings: pages of one row, windows of one byte.
    Settings,
    /// Not everybody can reach everybody: chains and stars.
    Topology,
    /// A device's data are replaced by a copy that was made of them earlier.
    Restore,
}

impl Fault {
    /// All of them, with their names.
    pub const ALL: [(Fault, &'static str); 25] = [
        (Fault::Loss, "loss"),
        (Fault::Repeats, "repeats"),
        (Fault::Reorder, "reorder"),
        (Fault::Delay, "delay"),
        (Fault::Slow, "slow"),
        (Fault::Partition, "partition"),
        (Fault::OneWay, "one-way"),
        (Fault::Flap, "flap"),
        (Fault::Break, "break"),
        (Fault::Crash, "crash"),
        (Fault::Rollback, "rollback"),
        (Fault::Unsynced, "unsynced"),
        (Fault::LostLog, "lost-log"),
        (Fault::Skew, "skew"),
        (Fault::Drift, "drift"),
        (Fault::Step, "step"),
        (Fault::Stop, "stop"),
        (Fault::Late, "late"),
        (Fault::Years, "years"),
        (Fault::Evict, "evict"),
        (Fault::Leave, "leave"),
        (Fault::Versions, "versions"),
        (Fault::Settings, "settings"),
        (Fault::Topology, "topology"),
        (Fault::Restore, "restore"),
    ];
}

/// What may go wrong in a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Faults(BTreeSet<Fault>);

impl Faults {
    /// Everything.
    pub fn all() -> Self {
        Self(Fault::ALL.into_iter().map(|(fault, _)| fault).collect())
    }

    /// Nothing.
    pub fn none() -> Self {
        Self(BTreeSet::new())
    }

    /// Whether this may go wrong.
    pub fn has(&self, fault: Fault) -> bool {
        self.0.contains(&fault)
    }
}

/// A list of faults that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there is no fault {name:?}; give all, none, or a list like loss,crash of: {}", names())]
pub struct UnknownFault {
    name: String,
}

fn names() -> String {
    Fault::ALL.map(|(_, name)| name).join(" ")
}

impl FromStr for Faults {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        match text {
            "all" => Ok(Self::all()),
            "none" => Ok(Self::none()),
            list => list.split(',').map(named).collect::<Result<_, _>>().map(Self),
        }
    }
}

fn named(name: &str) -> Result<Fault, UnknownFault> {
    let found = Fault::ALL.into_iter().find(|(_, known)| *known == name);
    found.map(|(fault, _)| fault).ok_or_else(|| UnknownFault { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        let some: Faults = "loss,one-way".parse().expect("a list of known faults");
        assert!(some.has(Fault::Loss) && some.has(Fault::OneWay) && !some.has(Fault::Crash));
        assert_eq!("all".parse(), Ok(Faults::all()));
        assert_eq!("none".parse(), Ok(Faults::none()));
        let why = "loss,fire".parse::<Faults>().map_err(|error| error.to_string());
        assert!(why.is_err_and(|why| why.contains("\"fire\"") && why.contains("one-way")));
    }
}
