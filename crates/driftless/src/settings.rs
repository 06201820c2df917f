//! Settings of this device, kept beside the data and never synced.

use driftless_store::{HistoryLimits, SqliteStore};

use crate::error::Error;
use crate::library::Library;

const SETTINGS: &str = "setting";
const LIBRARY_NAME: &[u8] = b"library_name";
const LISTEN: &[u8] = b"listen";

/// A setting that users can change.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// use driftless::Setting;
///
/// library.set_setting(Setting::Relay, "off")?;
/// assert_eq!(library.setting(Setting::Relay)?, "off");
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Setting {
    /// How far ahead a remote clock may be to be followed: a time such as `90s` or `5m`.
    MaxDrift,
    /// Whether relays may carry what cannot go directly: `on` or `off`.
    Relay,
    /// Whether addresses of members are looked up and published: `on` or `off`.
    Discovery,
    /// How long a device may be silent before nothing is kept for it any more: a time such as `30d`.
    Retention,
    /// How long change sets are kept as history: a time such as `90d`; `0d` keeps none.
    History,
    /// MiB of `sync.db` above which the oldest history goes.
    HistoryMib,
}

impl Setting {
    /// All of them.
    ///
    /// ```
    /// for setting in driftless::Setting::ALL {
    ///     println!("{} is {} by default", setting.key(), setting.default_value());
    /// }
    /// ```
    pub const ALL: [Self; 6] = [
        Self::MaxDrift,
        Self::Relay,
        Self::Discovery,
        Self::Retention,
        Self::History,
        Self::HistoryMib,
    ];

    /// Its key.
    ///
    /// ```
    /// assert_eq!(driftless::Setting::MaxDrift.key(), "max_drift");
    /// ```
    pub fn key(self) -> &'static str {
        match self {
            Self::MaxDrift => "max_drift",
            Self::Relay => "relay",
            Self::Discovery => "discovery",
            Self::Retention => "retention",
            Self::History => "history",
            Self::HistoryMib => "history_mib",
        }
    }

    /// What it is if nobody set it.
    ///
    /// ```
    /// assert_eq!(driftless::Setting::MaxDrift.default_value(), "60s");
    /// ```
    pub fn default_value(self) -> &'static str {
        match self {
            Self::MaxDrift => "60s",
            Self::Relay | Self::Discovery => "on",
            Self::Retention => "30d",
            Self::History => "90d",
            Self::HistoryMib => "64",
        }
    }

    /// The setting with this key.
    ///
    /// ```
    /// use driftless::Setting;
    ///
    /// assert_eq!(Setting::of_key("relay")?, Setting::Relay);
    /// assert!(Setting::of_key("colour").is_err());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn of_key(key: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|setting| setting.key() == key);
        found.ok_or_else(|| {
            let keys = Self::ALL.map(Self::key).join(", ");
            Error::Setting { key: key.to_owned(), why: format!("there are only {keys}") }
        })
    }

    fn check(self, value: &str) -> Result<(), Error> {
        let why = match self {
            Self::MaxDrift if milliseconds(value).is_none() => "a time such as 90s, 5m or 1h",
            Self::Retention if milliseconds(value).is_none() => "a time such as 12h or 30d",
            Self::History if milliseconds(value).is_none() => "a time such as 30d, or 0d for none",
            Self::HistoryMib if !mib(value).is_some_and(|mib| (1..=MAX_MIB).contains(&mib)) => {
                "a number of MiB from 1 to 1048576"
            }
            Self::Relay | Self::Discovery if !matches!(value, "on" | "off") => "on or off",
            _ => return Ok(()),
        };
        Err(Error::Setting { key: self.key().to_owned(), why: format!("{value:?} is not {why}") })
    }
}

/// Milliseconds of a text such as `500ms`, `90s`, `10m`, `2h` or `30d`; `None` for any other.
///
/// ```
/// use driftless::milliseconds;
///
/// assert_eq!(milliseconds("90s"), Some(90_000));
/// assert_eq!(milliseconds("soon"), None);
/// ```
pub fn milliseconds(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn get(store: &SqliteStore, key: &[u8]) -> Result<Option<String>, Error> {
    let value = store.local(SETTINGS, key)?;
    Ok(value.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

pub(crate) fn value(store: &SqliteStore, setting: Setting) -> Result<String, Error> {
    let set = get(store, setting.key().as_bytes())?;
    Ok(set.unwrap_or_else(|| setting.default_value().to_owned()))
}

/// A setting that is a time.
pub(crate) fn time_ms(store: &SqliteStore, setting: Setting) -> Result<u64, Error> {
    let text = value(store, setting)?;
    let key = setting.key().to_owned();
    let bad = || Error::Setting { key, why: format!("{text:?} is no time") };
    milliseconds(&text).ok_or_else(bad)
}

const MAX_MIB: u64 = 1 << 20;

fn mib(text: &str) -> Option<u64> {
    text.parse().ok()
}

/// How much history is kept; `None` for none.
pub(crate) fn history(store: &SqliteStore) -> Result<Option<HistoryLimits>, Error> {
    let keep_ms = time_ms(store, Setting::History)?;
    let text = value(store, Setting::HistoryMib)?;
    let key = Setting::HistoryMib.key().to_owned();
    let bad = || Error::Setting { key, why: format!("{text:?} is no number of MiB") };
    let max_bytes = mib(&text).ok_or_else(bad)?.saturating_mul(1 << 20);
    Ok((keep_ms > 0).then_some(HistoryLimits { keep_ms, max_bytes }))
}

pub(crate) fn library_name(store: &SqliteStore) -> Result<String, Error> {
    Ok(get(store, LIBRARY_NAME)?.unwrap_or_else(|| "library".to_owned()))
}

pub(crate) fn set_library_name(store: &mut SqliteStore, name: &str) -> Result<(), Error> {
    Ok(store.put_local(SETTINGS, LIBRARY_NAME, name.as_bytes())?)
}

/// Where this device listened last, so that it can be found there again.
pub(crate) fn listen(store: &SqliteStore) -> Result<Vec<std::net::SocketAddr>, Error> {
    let text = get(store, LISTEN)?;
    Ok(text.iter().flat_map(|text| text.lines()).filter_map(|line| line.parse().ok()).collect())
}

pub(crate) fn set_listen(
    store: &mut SqliteStore,
    addresses: &[std::net::SocketAddr],
) -> Result<(), Error> {
    let lines: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    Ok(store.put_local(SETTINGS, LISTEN, lines.join("\n").as_bytes())?)
}

impl Library {
    /// What a setting is.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// assert_eq!(library.setting(driftless::Setting::MaxDrift)?, "60s");
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn setting(&self, setting: Setting) -> Result<String, Error> {
        self.call(move |writer| value(&writer.store, setting))?
    }

    /// Changes a setting. It takes effect when the library is opened, or sync turned on, the next
    /// time.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// use driftless::{Error, Setting};
    ///
    /// library.set_setting(Setting::MaxDrift, "5m")?;
    /// let refused = library.set_setting(Setting::MaxDrift, "soon");
    /// assert!(matches!(refused, Err(Error::Setting { .. })));
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn set_setting(&self, setting: Setting, value: &str) -> Result<(), Error> {
        setting.check(value)?;
        let value = value.to_owned();
        self.transact(move |writer| {
            Ok(writer.store.put_local(SETTINGS, setting.key().as_bytes(), value.as_bytes())?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(milliseconds("90s"), Some(90_000));
        assert_eq!(milliseconds("10m"), Some(600_000));
        for bad in ["", "s", "90", "-1s", "1w", "99999999999999999999d"] {
            assert_eq!(milliseconds(bad), None, "{bad}");
        }
    }
}
