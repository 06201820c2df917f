//! Files on the command line: a path here, or `DEVICE:/path` on another device.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use clap::builder::{OsStringValueParser, TypedValueParser};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

/// A file as it was written, as bytes: in JSON text where it is UTF-8, base64 where it is not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "PathText", into = "PathText")]
pub(crate) struct FileArg(Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum PathText {
    Text(String),
    Raw { raw: String },
}

impl From<FileArg> for PathText {
    fn from(path: FileArg) -> Self {
        String::from_utf8(path.0)
            .map_or_else(|bad| Self::Raw { raw: BASE64.encode(bad.as_bytes()) }, Self::Text)
    }
}

impl TryFrom<PathText> for FileArg {
    type Error = data_encoding::DecodeError;

    fn try_from(text: PathText) -> Result<Self, Self::Error> {
        match text {
            PathText::Text(text) => Ok(Self(text.into_bytes())),
            PathText::Raw { raw } => BASE64.decode(raw.as_bytes()).map(Self),
        }
    }
}

impl FileArg {
    /// Reads one from the command line.
    pub(crate) fn parser() -> impl TypedValueParser<Value = Self> {
        OsStringValueParser::new().map(|text| Self(text.into_vec()))
    }

    /// Makes a path of this device absolute, so that it means the same wherever it is looked at.
    pub(crate) fn resolve(&mut self, cwd: &Path) {
        // A file of this device that is named like that comes first.
        if !self.names_a_device() || cwd.join(self.as_os_str()).exists() {
            self.0 = cwd.join(self.as_os_str()).into_os_string().into_vec();
        }
    }

    /// Makes the path of a file that is there absolute, and leaves anything else as it is.
    pub(crate) fn resolve_if_there(&mut self, cwd: &Path) {
        if cwd.join(self.as_os_str()).exists() {
            self.0 = cwd.join(self.as_os_str()).into_os_string().into_vec();
        }
    }

    /// Whether it can only be a path.
    pub(crate) fn is_path(&self) -> bool {
        self.0.first() == Some(&b'/') || self.names_a_device()
    }

    fn names_a_device(&self) -> bool {
        let colon = self.0.windows(2).position(|pair| pair == b":/");
        colon.is_some_and(|at| at > 0 && !self.0[..at].contains(&b'/'))
    }

    pub(crate) fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }
}

impl AsRef<OsStr> for FileArg {
    fn as_ref(&self) -> &OsStr {
        self.as_os_str()
    }
}

impl From<&Path> for FileArg {
    fn from(path: &Path) -> Self {
        Self(OsString::from(path).into_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_this_device_become_absolute() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("odd:")).unwrap();
        let resolved = |text: &str| {
            let mut file = FileArg::from(Path::new(text));
            file.resolve(place.path());
            file
        };
        let here = |text: &str| FileArg::from(place.path().join(text).as_path());
        for path in ["a", "./a:/b", "a/b:/c", "a:b", "odd:/"] {
            assert_eq!(resolved(path), here(path), "{path}");
        }
        for elsewhere in ["laptop:/a/b", "my laptop:/", "/a:/b"] {
            assert_eq!(resolved(elsewhere), FileArg::from(Path::new(elsewhere)), "{elsewhere}");
        }
    }

    #[test]
    fn any_path_goes_through_json() {
        for bytes in [&b"plain"[..], b"\xff/\xfe", "ü".as_bytes()] {
            let path = FileArg(bytes.to_vec());
            let text = serde_json::to_string(&path).unwrap();
            assert_eq!(serde_json::from_str::<FileArg>(&text).unwrap(), path);
        }
    }
}
