//! What can happen to sync, by name.

/// How grave an event is.
///
/// ```
/// use driftless::{EventKind, Severity};
///
/// assert!(Severity::Info < Severity::Warning && Severity::Warning < Severity::Error);
/// assert_eq!(EventKind::Diverged.severity(), Severity::Error);
/// assert_eq!("warning".parse::<Severity>(), Ok(Severity::Warning));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// It is as it should be.
    Info,
    /// Something waits, or may need a hand.
    Warning,
    /// Something is wrong, and somebody should look at it.
    Error,
}

impl Severity {
    /// All of them.
    ///
    /// ```
    /// assert_eq!(driftless::Severity::ALL.map(|severity| severity.name()), ["info", "warning", "error"]);
    /// ```
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Error];

    /// Its name.
    ///
    /// ```
    /// assert_eq!(driftless::Severity::Info.name(), "info");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    pub(super) fn number(self) -> u8 {
        match self {
            Self::Info => 0,
            Self::Warning => 1,
            Self::Error => 2,
        }
    }

    pub(super) fn of_number(number: u8) -> Self {
        match number {
            0 => Self::Info,
            1 => Self::Warning,
            _ => Self::Error,
        }
    }
}

/// The name is that of no severity.
///
/// ```
/// assert!("loud".parse::<driftless::Severity>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there are only info, warning and error")]
pub struct NoSeverity;

impl std::str::FromStr for Severity {
    type Err = NoSeverity;

    fn from_str(name: &str) -> Result<Self, NoSeverity> {
        Self::ALL.into_iter().find(|severity| severity.name() == name).ok_or(NoSeverity)
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $name:literal $severity:ident;)*) => {
        /// What an event tells of. The names stay.
        ///
        /// ```
        /// use driftless::EventKind;
        ///
        /// assert_eq!(EventKind::LinkLost.name(), "link_lost");
        /// assert_eq!(EventKind::of_name("link_lost"), Some(EventKind::LinkLost));
        /// assert_eq!(EventKind::of_name("weather"), None);
        /// ```
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        #[non_exhaustive]
        pub enum EventKind {
            $($(#[$doc])* $kind,)*
        }

        impl EventKind {
            /// All of them.
            ///
            /// ```
            /// for kind in driftless::EventKind::ALL {
            ///     println!("{} is of severity {}", kind.name(), kind.severity().name());
            /// }
            /// ```
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// Its name.
            ///
            /// ```
            /// assert_eq!(driftless::EventKind::Pruned.name(), "pruned");
            /// ```
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// How grave it is.
            ///
            /// ```
            /// assert_eq!(driftless::EventKind::Pruned.severity(), driftless::Severity::Info);
            /// ```
            pub fn severity(self) -> Severity {
                match self {
                    $(Self::$kind => Severity::$severity,)*
                }
            }

            /// The kind with this name.
            ///
            /// ```
            /// use driftless::EventKind;
            ///
            /// assert_eq!(EventKind::of_name("twin"), Some(EventKind::Twin));
            /// ```
            pub fn of_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.name() == name)
            }
        }
    };
}

kinds! {
    /// Sync was turned on.
    SyncOn "sync_on" Info;
    /// Sync was turned off.
    SyncOff "sync_off" Info;
    /// A device is connected.
    LinkUp "link_up" Info;
    /// A device is not connected any more.
    LinkLost "link_lost" Info;
    /// A connection was turned away at the door.
    LinkRefused "link_refused" Warning;
    /// A message was refused, by this device or by the other.
    MessageRefused "message_refused" Warning;
    /// Links were cut on purpose.
    Paused "paused" Info;
    /// Links may be made again.
    Resumed "resumed" Info;
    /// This device is in another phase.
    Phase "phase" Info;
    /// This device has begun to receive the library.
    BackfillBegun "backfill_begun" Info;
    /// It has received it.
    BackfillFinished "backfill_finished" Info;
    /// The shared lanes are compared with a device's, as its log is not enough.
    ReconcileBegun "reconcile_begun" Info;
    /// That came to its end.
    Reconciled "reconciled" Info;
    /// That did not come to its end, and begins again.
    ReconcileAbandoned "reconcile_abandoned" Warning;
    /// More waits in quarantine.
    Quarantined "quarantined" Warning;
    /// Less waits in quarantine.
    Released "released" Info;
    /// Concurrent values stand beside each other.
    ConflictOpened "conflict_opened" Info;
    /// Fewer of them do.
    ConflictClosed "conflict_closed" Info;
    /// A device holds other data at an equal vector.
    Diverged "diverged" Error;
    /// What differed was mended.
    Repaired "repaired" Info;
    /// Records were found damaged, and taken out.
    Damaged "damaged" Error;
    /// Some of them are back.
    Mended "mended" Info;
    /// No other device has one of them.
    GivenUp "given_up" Error;
    /// More than records is damaged: nothing is given to others.
    Unsound "unsound" Error;
    /// Two copies of a device's data are in use.
    Twin "twin" Error;
    /// This device goes on under a new epoch.
    Renewed "renewed" Warning;
    /// What this device wrote last may be lost, until it has met another one.
    InDoubt "in_doubt" Warning;
    /// It has met one.
    DoubtSettled "doubt_settled" Info;
    /// The disk is full: nothing is written.
    DiskFull "disk_full" Error;
    /// The files cannot be written, for another reason.
    Unwritable "unwritable" Error;
    /// They can be written again.
    Writable "writable" Info;
    /// The log was lost, or damaged and put aside.
    LogLost "log_lost" Warning;
    /// A device's clock is further ahead or behind than is followed.
    ClockRefused "clock_refused" Warning;
    /// It is followed again.
    ClockAgrees "clock_agrees" Info;
    /// What everybody has was pruned.
    Pruned "pruned" Info;
    /// A device has become a member.
    MemberJoined "member_joined" Info;
    /// A device is not waited for any more.
    MemberEvicted "member_evicted" Info;
    /// It counts again.
    MemberBack "member_back" Info;
    /// A ticket was made.
    TicketMade "ticket_made" Info;
    /// A ticket let a device in.
    TicketUsed "ticket_used" Info;
    /// A ticket was refused.
    TicketRefused "ticket_refused" Warning;
    /// Something that this version has no name for.
    Other "other" Info;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_there_once() {
        for (n, kind) in EventKind::ALL.iter().enumerate() {
            assert!(!EventKind::ALL[..n].iter().any(|other| other.name() == kind.name()));
            assert_eq!(EventKind::of_name(kind.name()), Some(*kind));
        }
        for severity in Severity::ALL {
            assert_eq!(Severity::of_number(severity.number()), severity);
        }
    }
}
