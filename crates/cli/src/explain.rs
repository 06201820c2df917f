//! The one place where errors become exit codes and words: what happened, what it means for the
//! data, what to do next.

use std::io::{self, ErrorKind};

use driftless::core::engine::WriteError;
use driftless::{Error, PairError, Refusal, StoreError, TicketError};
use driftless_catalog::CatalogError;

use crate::failure::{Exit, Failure};

const DAMAGED_STEPS: &str = "driftless verify --deep, which brings damaged records back from other \
     devices; if it says that more is damaged, move the directory away, and driftless restore FILE or \
     driftless join TICKET";
const ROLLED_BACK: &str =
    "Nothing of this command was kept; everything that was committed before is safe.";
const TICKET_KEPT: &str = "Nothing was changed on this device; the ticket can still be used.";
const NEW_TICKET: &str = "driftless invite (on a device of the library, for a new ticket)";

/// An error with its causes, each said once.
pub(crate) fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

fn failed(code: &str, error: &dyn std::error::Error) -> Failure {
    Failure::new(Exit::Failed, code, words(error)).effect(ROLLED_BACK)
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        of_store(&error)
    }
}

fn of_store(error: &StoreError) -> Failure {
    match error {
        StoreError::NotALibrary { .. } => Failure::not_found("no_library", words(error))
            .next("driftless init, or driftless join TICKET; or name another directory with --dir"),
        StoreError::Exists { .. } => Failure::refused("exists", words(error))
            .effect("The library that is there was not touched.")
            .next("driftless status"),
        StoreError::Newer { .. } => failed("newer", error)
            .effect("The library was not touched.")
            .next("update driftless on this device"),
        StoreError::Damaged { .. } => failed("damaged", error)
            .effect(
                "What is in the file is left as it is; the other devices have their own copies.",
            )
            .next(DAMAGED_STEPS),
        StoreError::Full { .. } => failed("disk_full", error)
            .next("free some space on that disk and run the command again"),
        StoreError::ReadOnly { .. } => failed("read_only", error)
            .next("make the directory writable, or name another one with --dir"),
        StoreError::Busy { .. } => {
            failed("busy", error).next("end the other program and run the command again")
        }
        StoreError::Locked { .. } => Failure::new(Exit::NotYet, "locked", words(error))
            .next("run the command again when the other one has ended"),
        StoreError::Io { .. } => failed("io", error).next("see to the cause and run it again"),
        StoreError::NotOwner { .. } => Failure::refused("foreign", words(error))
            .next("run the command on the device that it belongs to"),
        StoreError::Sql { .. } => failed("database", error).next("driftless verify --deep"),
        _ => failed("store", error).next("driftless verify --deep"),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if let Some(error) = error.store() {
            return of_store(error);
        }
        match &error {
            Error::Write(refused) => of_write(&error, refused),
            Error::Pair(error) => of_pairing(error),
            Error::Ticket(error) => error.clone().into(),
            Error::Net(_) => failed("network", &error)
                .next("driftless up --listen 0.0.0.0:0 (port 0 picks one that is free)"),
            Error::Key { .. } => failed("key", &error)
                .effect("The library was not touched.")
                .next("put back the file device.key of this device, or join the library anew"),
            Error::Io { source, .. } => of_io(&error, source),
            Error::AlreadySyncing => Failure::refused("already_up", words(&error)),
            Error::NotSyncing => no_daemon("this needs the daemon, and none runs"),
            Error::NoAddress => {
                Failure::new(Exit::NotYet, "no_address", words(&error)).next("driftless up")
            }
            Error::NoMember(_) => {
                Failure::not_found("no_device", words(&error)).next("driftless devices")
            }
            Error::EvictSelf => Failure::usage(words(&error)).next("driftless devices"),
            Error::NoConflict { .. } => {
                Failure::not_found("no_conflict", words(&error)).next("driftless conflicts")
            }
            Error::NoSibling { conflict, .. } => {
                Failure::usage(words(&error)).next(format!("driftless conflicts show {conflict}"))
            }
            Error::ManyLosers { conflict, .. } => Failure::usage(words(&error)).next(format!(
                "driftless conflicts resolve {conflict} --take DOT, with one of these"
            )),
            Error::UndoRefused { .. } | Error::RecordThere { .. } => {
                Failure::refused("undo_refused", words(&error)).next("driftless log")
            }
            Error::Unsettled => Failure::new(Exit::NotYet, "unsettled", words(&error))
                .effect("What was done of it is whole, and can be undone.")
                .next("driftless log, and run it again"),
            Error::NotInHistory { .. } => Failure::not_found("no_change_set", words(&error))
                .next("driftless log; another device's history may go back further"),
            Error::NothingDeleted { .. } => Failure::not_found("no_record", words(&error))
                .next("run it on another device, whose history may go back further"),
            Error::NotShared { .. } => Failure::refused("not_shared", words(&error))
                .next("driftless location rescan, on the device that it belongs to"),
            Error::UnknownModel { .. } => Failure::refused("unknown_model", words(&error))
                .next("update driftless on this device"),
            Error::BeforeHistory { begins_ms, .. } => {
                let since = match begins_ms {
                    Some(begin) => format!("it is whole since {}", crate::text::time(*begin)),
                    None => "none is kept".to_owned(),
                };
                Failure::not_found("before_history", format!("{}: {since}", words(&error)))
                    .next("ask for a later time, or ask another device")
            }
            Error::UnknownThen { .. } => Failure::not_found("before_history", words(&error))
                .next("ask another device, which may have seen it"),
            Error::HistoryUnreadable { .. } | Error::Checkpoint(_) => failed("damaged", &error)
                .next("driftless doctor; the library itself is not touched by that"),
            Error::Setting { .. } => Failure::usage(words(&error)).next("driftless config get"),
            Error::Query(_) => failed("database", &error).next("driftless verify --deep"),
            Error::Closed => Failure::new(Exit::Failed, "closed", "the library was closed")
                .effect("What was answered before is safe; the rest was not done.")
                .next("driftless up"),
            _ => failed("internal", &error)
                .next("driftless verify --deep; if that finds nothing, report this message"),
        }
    }
}

/// What the system refused, as the store tells it.
fn of_io(error: &Error, source: &io::Error) -> Failure {
    match source.kind() {
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => failed("read_only", error)
            .next("make the directory writable, or name another one with --dir"),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => failed("disk_full", error)
            .next("free some space on that disk and run the command again"),
        _ => failed("io", error).next("see to the cause and run it again"),
    }
}

/// Something that only a daemon can do.
pub(crate) fn no_daemon(message: &str) -> Failure {
    Failure::not_found("no_daemon", message).next("driftless up")
}

fn of_write(error: &Error, refused: &WriteError<StoreError>) -> Failure {
    match refused {
        WriteError::NotFound { .. } => Failure::not_found("no_record", words(error)),
        WriteError::Exists { .. } => Failure::refused("exists", words(error)),
        WriteError::Value { .. }
        | WriteError::TooLarge(_)
        | WriteError::NotACounter { .. }
        | WriteError::Overflow { .. } => Failure::usage(words(error)).effect(ROLLED_BACK),
        WriteError::Missing { .. } => {
            failed("damaged", error).next("driftless doctor, which says from whom it comes back")
        }
        WriteError::Store(error) => of_store(error),
        _ => failed("internal", error).next("report this message as a fault of the program"),
    }
}

impl From<TicketError> for Failure {
    fn from(error: TicketError) -> Self {
        let (code, next) = match error {
            TicketError::NotATicket => ("not_a_ticket", NEW_TICKET),
            TicketError::Garbled => ("ticket_garbled", "copy the ticket again, in full"),
            TicketError::Newer { .. } => ("ticket_newer", "update driftless on this device"),
        };
        Failure::refused(code, words(&error)).next(next)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let message = words(&refusal);
        match refusal {
            Refusal::UnknownTicket => Failure::refused("ticket_unknown", message).next(NEW_TICKET),
            Refusal::Used => Failure::refused("ticket_used", message).next(NEW_TICKET),
            Refusal::Expired => Failure::refused("ticket_expired", message).next(NEW_TICKET),
            Refusal::WrongProof => Failure::refused("ticket_wrong", message).next(NEW_TICKET),
            Refusal::NotInviting => Failure::refused("not_inviting", message).next(NEW_TICKET),
            Refusal::Busy => Failure::new(Exit::NotYet, "busy", message)
                .effect(TICKET_KEPT)
                .next("run it again in a moment"),
            Refusal::Failed => Failure::new(Exit::Failed, "inviter_failed", message)
                .effect(TICKET_KEPT)
                .next("look at what the other device's daemon says, and run it again"),
        }
    }
}

fn of_pairing(error: &PairError) -> Failure {
    let message = words(error);
    match error {
        PairError::Refused(refusal) => (*refusal).into(),
        PairError::BadName => Failure::usage(message).next("choose another --device-name"),
        PairError::OwnTicket => Failure::refused("own_ticket", message)
            .next("use the ticket on the device that is to join"),
        PairError::Unreachable { .. } => Failure::new(Exit::NotYet, "unreachable", message)
            .effect(TICKET_KEPT)
            .next("driftless up (on the device that made the ticket), and run this again"),
        PairError::NotConfirmed => Failure::refused("not_confirmed", message)
            .effect(TICKET_KEPT)
            .next("run it again, and compare the codes that both devices show"),
        PairError::Impostor => Failure::refused("ticket_wrong", message).next(NEW_TICKET),
        PairError::TimedOut | PairError::Lost(_) => Failure::new(Exit::NotYet, "lost", message)
            .effect("Nothing was changed on this device; the ticket may have been used up.")
            .next(NEW_TICKET),
        PairError::Net(_) => failed("network", error).effect(TICKET_KEPT),
        PairError::Certificates(_) | PairError::NoCertificate => {
            Failure::refused("no_certificate", message).next(NEW_TICKET)
        }
        PairError::Protocol(_) => {
            Failure::new(Exit::Failed, "protocol", message).next("update driftless on both devices")
        }
    }
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        let message = words(&error);
        match &error {
            CatalogError::Library(_) => {
                let CatalogError::Library(error) = error else { unreachable!("just matched") };
                error.into()
            }
            CatalogError::NotFound { what, .. } => {
                Failure::not_found(&format!("no_{what}"), message).next(list_of(what))
            }
            CatalogError::NotIndexed { location, .. } => {
                let next = if location.is_some() {
                    "driftless location rescan"
                } else {
                    "driftless location add PATH, on the device that has it"
                };
                Failure::not_found("not_indexed", message).next(next)
            }
            CatalogError::Ambiguous { candidates, .. } => {
                let list: Vec<String> = candidates
                    .iter()
                    .map(|candidate| format!("{} {}", candidate.id, candidate.name))
                    .collect();
                Failure::new(Exit::Usage, "ambiguous", format!("{message}: {}", list.join(", ")))
                    .next("run it again with one of these ids")
            }
            CatalogError::NoFolder { .. } => Failure::not_found("no_path", message)
                .next("driftless location add PATH, with a folder that exists"),
            CatalogError::NotADirectory { .. } => {
                Failure::usage(message).next("driftless location add PATH, with a folder")
            }
            CatalogError::Permission { .. } => Failure::new(Exit::Failed, "permission", message)
                .next("let this user read the folder, and run it again"),
            CatalogError::Nested { .. } => {
                Failure::refused("nested", message).next("driftless location ls")
            }
            CatalogError::OtherFolder { .. } => Failure::refused("other_folder", message)
                .effect("The entries of the location stay as they are.")
                .next("mount the drive that it is on, and run driftless location rescan"),
            CatalogError::Busy { .. } => Failure::new(Exit::NotYet, "busy", message)
                .next("driftless location ls, and run it again when the scan is done"),
            CatalogError::Foreign { .. } => Failure::refused("foreign", message)
                .next("run the command on the device that has the location"),
            CatalogError::Invalid { .. } | CatalogError::TagCycle { .. } => Failure::usage(message),
            CatalogError::Cancelled => Failure::new(Exit::Failed, "cancelled", message)
                .effect("What was found before is kept.")
                .next("driftless location rescan"),
            CatalogError::Io { .. } | CatalogError::Volume(_) => failed("io", &error)
                .effect("What was found before is kept.")
                .next("driftless location rescan"),
            _ => failed("internal", &error).next("report this message as a fault of the program"),
        }
    }
}

fn list_of(what: &str) -> &'static str {
    match what {
        "tag" => "driftless tag ls",
        "collection" => "driftless collection ls",
        "location" => "driftless location ls",
        "device" => "driftless devices",
        _ => "driftless find",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn the_contract_s_exit_codes() {
        let path = PathBuf::from("/x");
        let cases: [(Failure, Exit, &str); 9] = [
            (StoreError::NotALibrary { path: path.clone() }.into(), Exit::NotFound, "no_library"),
            (StoreError::Exists { path: path.clone() }.into(), Exit::Refused, "exists"),
            (
                StoreError::Newer { path: path.clone(), found: 2, known: 1 }.into(),
                Exit::Failed,
                "newer",
            ),
            (Error::Ticket(TicketError::Garbled).into(), Exit::Refused, "ticket_garbled"),
            (Error::Pair(PairError::Refused(Refusal::Used)).into(), Exit::Refused, "ticket_used"),
            (Error::Pair(PairError::TimedOut).into(), Exit::NotYet, "lost"),
            (Error::NotSyncing.into(), Exit::NotFound, "no_daemon"),
            (
                CatalogError::NotFound { what: "tag", given: "x".into() }.into(),
                Exit::NotFound,
                "no_tag",
            ),
            (
                CatalogError::Ambiguous { what: "tag", given: "x".into(), candidates: vec![] }
                    .into(),
                Exit::Usage,
                "ambiguous",
            ),
        ];
        for (failure, exit, code) in cases {
            assert_eq!((failure.exit, failure.code.as_str()), (exit, code), "{failure:?}");
            assert!(!failure.effect.is_empty() && !failure.next.is_empty(), "{failure:?}");
        }
    }
}
