//! Whether a library's files are older than what this device has written.
//!
//! A copy that is brought back, or runs on a second machine, would write other changes under seqs that
//! other devices have already. So `library.db` says when it was born, as the file system has it: what was
//! copied was born later. And a small file outside of the library's directory, where copies of that do
//! not reach, says how far the own lanes have gone, before anybody is told; and a random token, renewed
//! whenever the library is opened, stands in it and in `library.db`. Where anything of that disagrees,
//! both lanes go on under new epochs. A second such file may lie where nothing outlives the boot: it
//! tells when the first one was brought back together with the library. And where the machine has
//! booted since, it may have been put back as a whole: the own lanes are in doubt then
//! ([`driftless_core::engine::Engine::doubt`]) until a peer has been met.
//!
//! The file is written without waiting for the disk: after a power cut it may say less than was
//! written, never more. Then an older copy is taken for the library itself, unless its token tells, and
//! the first peer that holds more shows it.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use driftless_core::clock::Hlc;
use driftless_core::engine::Doubt;
use driftless_core::id::{Epoch, Origin, Seq, hex, unhex};
use driftless_core::store::Store as _;
use driftless_core::version::{Life, OwnedHead};
use driftless_store::{SqliteStore, StoreError};

use crate::error::Error;
use crate::random;

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
/// Which boot of the machine the library was opened in last.
const BOOT: &[u8] = b"boot";
/// What is in doubt since the machine has booted.
const DOUBT: &[u8] = b"doubt";
/// Where Linux names the boot, at random.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

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

/// Notes which boot of the machine this is, within the open transaction. If it is another than the last
/// time, the machine may have been put back with everything on it: what is in doubt then, and until a
/// peer has been met. A system that does not name its boots tells nothing.
pub(crate) fn doubt(store: &mut SqliteStore, certain: bool) -> Result<Option<Doubt>, Error> {
    let boot = match std::fs::read(BOOT_ID) {
        Ok(boot) => boot,
        Err(error) if error.kind() == ErrorKind::NotFound => return doubted(store),
        Err(error) => {
            // A sandbox may forbid it. That is no reason to refuse the library.
            tracing::warn!(path = BOOT_ID, %error, "whether the machine has booted is not known");
            return doubted(store);
        }
    };
    let kept = store.local(SPACE, BOOT)?;
    if kept.as_ref() != Some(&boot) {
        store.put_local(SPACE, BOOT, &boot)?;
    }
    if certain {
        note_doubt(store, None)?;
    } else if kept.is_some_and(|kept| kept != boot) {
        let Marks { shared: (shared, _), owned } = Marks::of(store);
        let arose = doubted(store)?.filter(|doubt| doubt.shared == shared);
        let owned = arose.and_then(|doubt| doubt.owned).unwrap_or(owned);
        note_doubt(store, Some(Doubt { shared, owned: Some(owned) }))?;
    }
    doubted(store)
}

/// What is in doubt.
pub(crate) fn doubted(store: &SqliteStore) -> Result<Option<Doubt>, Error> {
    let Some(bytes) = store.local(SPACE, DOUBT)? else { return Ok(None) };
    let (numbers, rest) = bytes.as_chunks::<8>();
    let numbers: Vec<u64> = numbers.iter().map(|bytes| u64::from_be_bytes(*bytes)).collect();
    let owned = match (&numbers[..], rest) {
        ([_], []) => None,
        ([_, mint, life, seq], []) => {
            let life = Life { mint: Hlc(*mint), epoch: Epoch(*life) };
            Some(OwnedHead { life, seq: *seq })
        }
        _ => {
            let path = store.dir().join("library.db");
            let object = "what is in doubt".to_owned();
            return Err(StoreError::Damaged { path, object, source: None }.into());
        }
    };
    Ok(Some(Doubt { shared: Epoch(numbers[0]), owned }))
}

/// Notes what is in doubt, within the open transaction.
pub(crate) fn note_doubt(store: &mut SqliteStore, doubt: Option<Doubt>) -> Result<(), Error> {
    let Some(Doubt { shared, owned }) = doubt else {
        store.delete_local(SPACE, DOUBT)?;
        return Ok(());
    };
    let mut numbers = vec![shared.0];
    if let Some(OwnedHead { life, seq }) = owned {
        numbers.extend([life.mint.0, life.epoch.0, seq]);
    }
    let bytes: Vec<u8> = numbers.into_iter().flat_map(u64::to_be_bytes).collect();
    store.put_local(SPACE, DOUBT, &bytes)?;
    Ok(())
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
    /// The file that lasts, and the one that does not outlive the boot.
    files: Vec<(PathBuf, File)>,
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
    /// Opens the guard in `state`, a directory that is made if it is missing, and in `runtime`, which
    /// does not outlive the boot, and compares the library with them. Whether the library is older
    /// than what was written, or is a copy.
    pub(crate) fn open(
        (state, runtime): (&Path, Option<&Path>),
        store: &SqliteStore,
    ) -> Result<(Self, bool), Error> {
        let here = Marks::of(store);
        let kept = store.local(SPACE, TOKEN)?.map(|token| Token::try_from(token).ok());
        let (path, file, found) = open(state)?;
        let mut files = vec![(path, file)];
        let mut older = match (kept, found) {
            (None, None) => false,
            (Some(Some(token)), Some(note)) => disagree(&token, note, &here),
            _ => true,
        };
        if let Some(runtime) = runtime {
            let (path, file, found) = open(runtime)?;
            files.push((path, file));
            // That there is none means only that the machine has booted.
            older |= found.is_some_and(|note| {
                kept.flatten().is_none_or(|token| disagree(&token, note, &here))
            });
        }
        let token = kept.flatten().filter(|_| !older).unwrap_or_default();
        let note = Note { token, next: Token::default(), marks: here };
        Ok((Self { files, note, failed: false }, older))
    }

    /// Renews the token, within the open transaction. [`Guard::settle`] is to be called once that is
    /// durable; until then the old one holds as well.
    pub(crate) fn renew(&mut self, store: &mut SqliteStore) -> Result<(), Error> {
        self.note.next = random::bytes()?;
        store.put_local(SPACE, TOKEN, &self.note.next)?;
        self.write()?;
        self.each(File::sync_all)
    }

    /// The new token is durable in `library.db`: the old one is that of a copy from now on.
    pub(crate) fn settle(&mut self, store: &SqliteStore) -> Result<(), Error> {
        self.note.token = std::mem::take(&mut self.note.next);
        self.note.marks = Marks::of(store);
        self.write()
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
            tracing::error!(%error, "an old copy of the library would not be recognised");
        }
        self.failed = written.is_err();
    }

    /// Makes durable what was noted.
    pub(crate) fn close(&mut self) {
        if let Err(error) = self.each(File::sync_all) {
            tracing::error!(%error, "an old copy of the library would not be recognised");
        }
    }

    fn write(&self) -> Result<(), Error> {
        let text = self.note.encode();
        self.each(|mut file| {
            file.rewind()?;
            file.write_all(text.as_bytes())
        })
    }

    /// Does something with each of the files.
    fn each(&self, act: impl Fn(&File) -> std::io::Result<()>) -> Result<(), Error> {
        for (path, file) in &self.files {
            act(file).map_err(Error::io(path, "writing the guard against old copies"))?;
        }
        Ok(())
    }
}

/// Opens the file in a directory, both of which are made if they are missing. What it says, if it was
/// there; what cannot be read says as little as what is of another library.
fn open(dir: &Path) -> Result<(PathBuf, File, Option<Option<Note>>), Error> {
    let path = dir.join("guard");
    let open = || -> std::io::Result<(File, Option<Vec<u8>>)> {
        std::fs::create_dir_all(dir)?;
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
    let (file, found) = open().map_err(Error::io(&path, "opening the guard against old copies"))?;
    let note = found.map(|bytes| std::str::from_utf8(&bytes).ok().and_then(Note::decode));
    Ok((path, file, note))
}

/// Whether a note is not of these files, or knows of more than they hold.
fn disagree(token: &Token, note: Option<Note>, here: &Marks) -> bool {
    note.is_none_or(|note| ![note.token, note.next].contains(token) || note.marks.are_beyond(here))
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
