//! Whether a library's files are older than what this device has written.
//!
//! A copy that is brought back, or runs on a second machine, would write other changes under seqs that
//! other devices have already. So `library.db` says when it was born, as the file system has it: what was
//! copied was born later. And a small file outside of the library's directory, where copies of that do
//! not reach, says how far the own lanes have gone, before anybody is told; and a random token, renewed
//! whenever the library is opened, stands in it and in `library.db`. Where anything of that disagrees,
//! both lanes go on under new epochs.
//!
//! The file is written without waiting for the disk: after a power cut it may say less than was
//! written, never more. Then an older copy is taken for the library itself, unless its token tells, and
//! the first peer that holds more shows it.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use driftless_core::clock::Hlc;
use driftless_core::id::{Epoch, Origin, Seq, hex, unhex};
use driftless_core::store::Store as _;
use driftless_core::version::{Life, OwnedHead};
use driftless_store::SqliteStore;

use crate::error::Error;

/// Where the token stands in `library.db`.
pub(crate) const SPACE: &str = "guard";
/// What a restored backup has there: it is older than what its device has written, whatever tells.
pub(crate) const RENEWS: &[u8] = b"renews";
const TOKEN: &[u8] = b"token";
/// The first word of the file, with the version of what follows.
const MAGIC: &str = "driftless-guard-1";
/// The last word: what lacks it was cut off.
const END: &str = "end";
/// Bytes of the file that are looked at; it has fewer.
const MAX_BYTES: u64 = 1_024;

/// Where `library.db` says when it was born.
const BIRTH: &[u8] = b"birth";

type Token = [u8; 16];

/// Whether `library.db` is another file than the one that was opened last, which a copy is. A file
/// system that does not tell when files were born tells nothing. Keeps what is so now, within the open
/// transaction.
pub(crate) fn is_reborn(store: &mut SqliteStore) -> Result<bool, Error> {
    let path = store.dir().join("library.db");
    let meta = std::fs::metadata(&path).map_err(Error::io(&path, "looking at the library"))?;
    let born = meta.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let kept = store.local(SPACE, BIRTH)?;
    let Some(born) = born.map(|at| at.as_nanos().to_be_bytes()) else {
        if kept.is_some() {
            store.delete_local(SPACE, BIRTH)?;
        }
        return Ok(false);
    };
    if kept.as_deref() == Some(&born) {
        return Ok(false);
    }
    store.put_local(SPACE, BIRTH, &born)?;
    Ok(kept.is_some())
}

/// How far the own lanes have gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Marks {
    shared: (Epoch, Seq),
    owned: OwnedHead,
}

/// What the file says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Note {
    token: Token,
    /// The token that is about to take its place.
    next: Token,
    marks: Marks,
}

/// The guard of an open library.
#[derive(Debug)]
pub(crate) struct Guard {
    path: PathBuf,
    file: File,
    note: Note,
    failed: bool,
}

impl Marks {
    fn of(store: &SqliteStore) -> Self {
        let identity = store.identity();
        let origin = Origin::shared(identity.device, identity.shared_epoch);
        let exact = store.lane(&identity.device).and_then(|lane| lane.exact);
        let none = OwnedHead { life: identity.owned_life, seq: 0 };
        let shared = (identity.shared_epoch, store.vector().seq(&origin));
        Self { shared, owned: exact.unwrap_or(none) }
    }

    /// Whether more was written than these files hold.
    fn are_beyond(&self, here: &Self) -> bool {
        self.shared.0 != here.shared.0 || self.shared.1 > here.shared.1 || self.owned > here.owned
    }
}

impl Note {
    fn encode(&self) -> String {
        let Marks { shared: (epoch, seq), owned: OwnedHead { life, seq: owned } } = self.marks;
        let numbers = [epoch.0, seq, life.mint.0, life.epoch.0, owned];
        let numbers = numbers.map(|number| format!("{number:016x}")).join(" ");
        format!("{MAGIC} {} {} {numbers} {END}\n", hex(&self.token), hex(&self.next))
    }

    fn decode(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let [MAGIC, token, next, numbers @ .., END] = &words[..] else { return None };
        let bytes = |text: &str| unhex(text)?.try_into().ok();
        let number = |text: &&str| u64::from_str_radix(text, 16).ok();
        let numbers: Option<Vec<u64>> = numbers.iter().map(number).collect();
        let [epoch, seq, mint, life, owned] = numbers?.try_into().ok()?;
        let life = Life { mint: Hlc(mint), epoch: Epoch(life) };
        let marks = Marks { shared: (Epoch(epoch), seq), owned: OwnedHead { life, seq: owned } };
        Some(Self { token: bytes(token)?, next: bytes(next)?, marks })
    }
}

impl Guard {
    /// Opens the guard in `state`, a directory that is made if it is missing, and compares the
    /// library with it. Whether the library is older than what was written, or is a copy.
    pub(crate) fn open(state: &Path, store: &SqliteStore) -> Result<(Self, bool), Error> {
        let path = state.join("guard");
        let failed = Error::io(&path, "opening the guard against old copies");
        let open = || -> std::io::Result<(File, Option<Vec<u8>>)> {
            std::fs::create_dir_all(state)?;
            let mut options = OpenOptions::new();
            options.read(true).write(true);
            match options.open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    Ok((options.create(true).truncate(false).open(&path)?, None))
                }
                opened => {
                    let mut found = Vec::new();
                    let file = opened?;
                    (&file).take(MAX_BYTES).read_to_end(&mut found)?;
                    Ok((file, Some(found)))
                }
            }
        };
        let (file, found) = open().map_err(failed)?;
        let here = Marks::of(store);
        let kept = store.local(SPACE, TOKEN)?.map(|token| Token::try_from(token).ok());
        // What cannot be read says as little as what is of another library.
        let note = found.map(|bytes| std::str::from_utf8(&bytes).ok().and_then(Note::decode));
        let older = match (kept, note) {
            (None, None) => false,
            (Some(Some(token)), Some(Some(note))) => {
                ![note.token, note.next].contains(&token) || note.marks.are_beyond(&here)
            }
            _ => true,
        };
        let token = kept.flatten().filter(|_| !older).unwrap_or_default();
        let note = Note { token, next: Token::default(), marks: here };
        Ok((Self { path, file, note, failed: false }, older))
    }

    /// Renews the token, within the open transaction. [`Guard::settle`] is to be called once that is
    /// durable; until then the old one holds as well.
    pub(crate) fn renew(&mut self, store: &mut SqliteStore) -> Result<(), Error> {
        getrandom::fill(&mut self.note.next)?;
        store.put_local(SPACE, TOKEN, &self.note.next)?;
        self.write()
            .and_then(|()| self.file.sync_all())
            .map_err(Error::io(&self.path, "writing the guard against old copies"))
    }

    /// The new token is durable in `library.db`: the old one is that of a copy from now on.
    pub(crate) fn settle(&mut self, store: &SqliteStore) -> Result<(), Error> {
        self.note.token = std::mem::take(&mut self.note.next);
        self.note.marks = Marks::of(store);
        self.write().map_err(Error::io(&self.path, "writing the guard against old copies"))
    }

    /// Notes how far the own lanes have gone, before anybody is told of it.
    pub(crate) fn note(&mut self, store: &SqliteStore) {
        let marks = Marks::of(store);
        if marks == self.note.marks {
            return;
        }
        self.note.marks = marks;
        let written = self.write();
        // The library goes on: what is missing is only a protection against what people rarely do,
        // and they are told.
        if let Err(error) = &written
            && !self.failed
        {
            let path = self.path.display();
            tracing::error!(%path, %error, "an old copy of the library would not be recognised");
        }
        self.failed = written.is_err();
    }

    /// Makes durable what was noted.
    pub(crate) fn close(&mut self) {
        if let Err(error) = self.file.sync_all() {
            let path = self.path.display();
            tracing::error!(%path, %error, "an old copy of the library would not be recognised");
        }
    }

    fn write(&mut self) -> std::io::Result<()> {
        self.file.rewind()?;
        self.file.write_all(self.note.encode().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note() -> Note {
        let life = Life { mint: Hlc(77), epoch: Epoch(u64::MAX) };
        let marks = Marks { shared: (Epoch(5), 9), owned: OwnedHead { life, seq: 3 } };
        Note { token: [1; 16], next: [0xfe; 16], marks }
    }

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let text = note().encode();
        assert!(text.len() < 512, "a sector is written whole: {}", text.len());
        assert_eq!(Note::decode(&text), Some(note()));
        assert_eq!(text.len(), Note { marks: note().marks, ..note() }.encode().len());
    }

    #[test]
    fn what_is_cut_off_or_changed_in_form_says_nothing() {
        let text = note().encode();
        for end in 0..text.trim_end().len() {
            assert_eq!(Note::decode(&text[..end]), None, "{end}");
        }
        assert_eq!(Note::decode(&text.replace("guard-1", "guard-2")), None);
        assert_eq!(Note::decode(&text.replace(" end", " 00 end")), None);
        assert_eq!(Note::decode(&text.replace("0000", "000x")), None);
    }

    #[test]
    fn only_more_than_is_here_is_beyond() {
        let here = note().marks;
        let beyond = |change: fn(&mut Marks)| {
            let mut marks = here;
            change(&mut marks);
            marks.are_beyond(&here)
        };
        assert!(!beyond(|_| {}));
        assert!(!beyond(|marks| marks.shared.1 -= 1));
        assert!(!beyond(|marks| marks.owned.seq -= 1));
        assert!(beyond(|marks| marks.shared.1 += 1));
        assert!(beyond(|marks| marks.shared.0 = Epoch(6)));
        assert!(beyond(|marks| marks.owned.seq += 1));
        assert!(beyond(|marks| marks.owned.life.mint = Hlc(78)));
    }
}
