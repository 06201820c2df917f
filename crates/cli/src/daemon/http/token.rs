//! The token: who has it may do what this user may do with the library.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use data_encoding::HEXLOWER;

use crate::failure::{Exit, Failure};

/// The file with the token, in this device's state directory.
const FILE: &str = "http.token";
/// Bytes of chance in a token; it is written in hexadecimal digits.
const BYTES: usize = 32;
/// What the browser's cookie is made for.
const COOKIE: &str = "driftless 2026-11-23 cookie of the API";

/// A secret that the program and its user know.
#[derive(Clone)]
pub(super) struct Token(String);

impl Token {
    /// The one that is kept in `state`; a new one if none is. Without a place to keep it, one for the
    /// life of the daemon.
    pub(super) fn keep(state: Option<&Path>) -> Result<Self, Failure> {
        let Some(state) = state else { return Self::new() };
        let file = state.join(FILE);
        let failed = |error: io::Error| {
            Failure::io(&format!("keeping the token in {}", file.display()), &error)
        };
        if let Some(kept) = Self::read(&file).map_err(failed)? {
            return Ok(kept);
        }
        let token = Self::new()?;
        token.write(&file).map_err(failed)?;
        Ok(token)
    }

    fn new() -> Result<Self, Failure> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).map_err(|error| {
            Failure::new(Exit::Failed, "io", format!("the system gives no randomness: {error}"))
        })?;
        Ok(Self(HEXLOWER.encode(&bytes)))
    }

    /// `None` if there is none, or something else stands there.
    fn read(file: &Path) -> io::Result<Option<Self>> {
        let file = match fs::File::open(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let mut text = Vec::new();
        file.take(2 * BYTES as u64 + 2).read_to_end(&mut text)?;
        let text = text.trim_ascii();
        let sound = text.len() == 2 * BYTES && text.iter().all(u8::is_ascii_hexdigit);
        Ok(sound.then(|| Self(String::from_utf8_lossy(text).into_owned())))
    }

    fn write(&self, file: &Path) -> io::Result<()> {
        let begun = file.with_extension("new");
        match fs::remove_file(&begun) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&begun)?;
        writeln!(out, "{}", self.0)?;
        out.sync_all()?;
        fs::rename(&begun, file)
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// Whether somebody who says this knows the token. How long it takes to find out says nothing.
    pub(super) fn is(&self, said: &str) -> bool {
        blake3::hash(said.as_bytes()) == blake3::hash(self.0.as_bytes())
    }

    /// What a browser carries instead of the token: whoever gets hold of it has the pages and the
    /// commands, but not the token.
    pub(super) fn cookie(&self) -> String {
        HEXLOWER.encode(&blake3::derive_key(COOKIE, self.0.as_bytes()))
    }

    /// Whether this is the browser's cookie.
    pub(super) fn is_cookie(&self, said: &str) -> bool {
        blake3::hash(said.as_bytes()) == blake3::hash(self.cookie().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_token_is_kept_and_is_nobody_else_s() {
        let place = tempfile::tempdir().unwrap();
        let first = Token::keep(Some(place.path())).unwrap();
        let again = Token::keep(Some(place.path())).unwrap();
        assert_eq!(first.text(), again.text());
        let mode = fs::metadata(place.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(first.is(again.text()) && !first.is("") && !first.is(&first.cookie()));
        assert!(first.is_cookie(&again.cookie()) && !first.is_cookie(first.text()));
        assert_ne!(first.text(), Token::keep(None).unwrap().text());
    }

    #[test]
    fn what_is_no_token_is_replaced() {
        let place = tempfile::tempdir().unwrap();
        for wrong in ["", "short", &"x".repeat(64), &"a".repeat(4_096)] {
            fs::write(place.path().join(FILE), wrong).unwrap();
            let token = Token::keep(Some(place.path())).unwrap();
            assert!(token.text().len() == 64 && token.text() != wrong, "{wrong}");
        }
    }
}
