//! The tables of our own in both files. `docs/storage.md` describes them.

/// The format of `library.db` that this version writes.
pub(crate) const LIBRARY_FORMAT: i64 = 3;
/// The format of `sync.db` that this version writes.
pub(crate) const LOG_FORMAT: i64 = 6;
/// What tells our files from other programs' databases: "Drft" and "DrfL".
pub(crate) const LIBRARY_ID: i64 = 0x4472_6674;
/// See [`LIBRARY_ID`].
pub(crate) const LOG_ID: i64 = 0x4472_664c;

/// Makes the tables of `library.db`; the models' tables follow from the schema.
pub(crate) const LIBRARY_TABLES: &str = "
CREATE TABLE _meta (key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
CREATE TABLE _model (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, kind INTEGER NOT NULL) STRICT;
CREATE TABLE _field (
    model INTEGER NOT NULL, id INTEGER NOT NULL, name TEXT NOT NULL, type INTEGER NOT NULL,
    rule INTEGER NOT NULL, PRIMARY KEY (model, id)) STRICT, WITHOUT ROWID;
CREATE TABLE _origin (
    id INTEGER PRIMARY KEY, device BLOB NOT NULL, epoch INTEGER NOT NULL, lane INTEGER NOT NULL,
    UNIQUE (device, epoch, lane)) STRICT;
CREATE TABLE _vector (
    origin INTEGER PRIMARY KEY, seq INTEGER NOT NULL, hash BLOB NOT NULL,
    floor INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE _lane (
    id INTEGER PRIMARY KEY, device BLOB NOT NULL UNIQUE, mint INTEGER, epoch INTEGER, seq INTEGER,
    floor INTEGER NOT NULL, session BLOB) STRICT;
CREATE TABLE _tombstone (
    lane INTEGER NOT NULL, model INTEGER NOT NULL, key BLOB NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (lane, seq, model, key)) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX \"_ix_tombstone\" ON _tombstone (lane, model, key);
CREATE TABLE _stage (
    lane INTEGER NOT NULL, model INTEGER NOT NULL, key BLOB NOT NULL, seq INTEGER NOT NULL,
    fields BLOB) STRICT;
CREATE UNIQUE INDEX \"_ix_stage\" ON _stage (lane, model, key);
CREATE TABLE _unknown_shared (
    model INTEGER NOT NULL, key BLOB NOT NULL, record BLOB NOT NULL, _sum INTEGER NOT NULL,
    PRIMARY KEY (model, key)) STRICT;
CREATE TABLE _unknown_owned (
    model INTEGER NOT NULL, key BLOB NOT NULL, lane INTEGER NOT NULL, seq INTEGER NOT NULL,
    fields BLOB NOT NULL, _sum INTEGER NOT NULL, PRIMARY KEY (model, key, lane)) STRICT;
CREATE INDEX \"_ix_unknown_owned\" ON _unknown_owned (lane, seq, model, key);
CREATE TABLE _digest (
    model INTEGER PRIMARY KEY, count INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT;
CREATE TABLE _quarantine (
    model INTEGER NOT NULL, key BLOB NOT NULL, field INTEGER NOT NULL, reason INTEGER NOT NULL,
    PRIMARY KEY (model, key, field)) STRICT, WITHOUT ROWID;
CREATE TABLE _conflict (
    model INTEGER NOT NULL, key BLOB NOT NULL, field INTEGER NOT NULL,
    PRIMARY KEY (model, key, field)) STRICT, WITHOUT ROWID;
CREATE TABLE _unlogged (
    pos INTEGER PRIMARY KEY, origin INTEGER NOT NULL, seq INTEGER NOT NULL, hlc INTEGER NOT NULL,
    bytes BLOB NOT NULL) STRICT;
CREATE TABLE _unlost (
    pos INTEGER PRIMARY KEY, model INTEGER NOT NULL, key BLOB NOT NULL, entry BLOB NOT NULL) STRICT;
CREATE TABLE _local (
    space TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (space, key))
    STRICT, WITHOUT ROWID;
CREATE TABLE _mirror (
    model INTEGER NOT NULL, key BLOB NOT NULL, sum INTEGER, record BLOB,
    PRIMARY KEY (model, key)) STRICT;
";

/// What makes a `library.db` of each earlier format one of the next: the first is of format 1. In
/// format 3 a `_sync` may be short; those that are there become so as they are written.
pub(crate) const LIBRARY_STEPS: [&str; 2] = [
    "
ALTER TABLE _vector ADD COLUMN floor INTEGER NOT NULL DEFAULT 0;
CREATE TABLE _mirror (
    model INTEGER NOT NULL, key BLOB NOT NULL, sum INTEGER, record BLOB,
    PRIMARY KEY (model, key)) STRICT;
",
    "",
];

/// The same for `sync.db`. Whoever has acknowledged anything counts as heard now, as nobody knows
/// when it was.
/// Format 3 has entries in `lost` that format 2 could not read, and no other tables. Format 4 has gaps,
/// and positions below 0, from which earlier versions would not remove anything. Format 5 has the event
/// log, format 6 the trend.
pub(crate) const LOG_STEPS: [&str; 5] = [
    "
ALTER TABLE ack ADD COLUMN heard_ms INTEGER NOT NULL DEFAULT 0;
UPDATE ack SET heard_ms = 1000 * unixepoch('now');
",
    "",
    "
CREATE TABLE gap (
    origin INTEGER PRIMARY KEY, seq INTEGER NOT NULL, hash BLOB NOT NULL, before INTEGER NOT NULL)
    STRICT;
",
    "
CREATE TABLE event (
    id INTEGER PRIMARY KEY, pos INTEGER NOT NULL, first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL, times INTEGER NOT NULL, severity INTEGER NOT NULL,
    kind TEXT NOT NULL, device BLOB, words TEXT NOT NULL, fields TEXT NOT NULL) STRICT;
",
    "
CREATE TABLE trend (
    step_ms INTEGER NOT NULL, at_ms INTEGER NOT NULL, committed INTEGER NOT NULL,
    applied INTEGER NOT NULL, sent INTEGER NOT NULL, received INTEGER NOT NULL,
    times BLOB NOT NULL, backlog INTEGER NOT NULL, lag_ms INTEGER NOT NULL,
    online INTEGER NOT NULL, conflicts INTEGER NOT NULL, quarantined INTEGER NOT NULL,
    library INTEGER NOT NULL, sync INTEGER NOT NULL, PRIMARY KEY (step_ms, at_ms))
    STRICT, WITHOUT ROWID;
",
];

/// Makes the tables of `sync.db`.
pub(crate) const LOG_TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
CREATE TABLE origin (
    id INTEGER PRIMARY KEY, device BLOB NOT NULL, epoch INTEGER NOT NULL, lane INTEGER NOT NULL,
    UNIQUE (device, epoch, lane)) STRICT;
CREATE TABLE log (
    pos INTEGER PRIMARY KEY, origin INTEGER NOT NULL, seq INTEGER NOT NULL, hlc INTEGER NOT NULL,
    bytes BLOB NOT NULL) STRICT;
CREATE UNIQUE INDEX log_by_dot ON log (origin, seq);
CREATE TABLE beyond (
    pos INTEGER PRIMARY KEY, origin INTEGER NOT NULL, seq INTEGER NOT NULL, hlc INTEGER NOT NULL,
    bytes BLOB NOT NULL) STRICT;
CREATE TABLE lost (
    pos INTEGER PRIMARY KEY, model INTEGER NOT NULL, key BLOB NOT NULL, entry BLOB NOT NULL) STRICT;
CREATE INDEX lost_by_record ON lost (model, key);
CREATE TABLE gap (
    origin INTEGER PRIMARY KEY, seq INTEGER NOT NULL, hash BLOB NOT NULL, before INTEGER NOT NULL)
    STRICT;
CREATE TABLE ack (
    peer BLOB PRIMARY KEY, shared BLOB NOT NULL, owned BLOB NOT NULL,
    heard_ms INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
CREATE TABLE event (
    id INTEGER PRIMARY KEY, pos INTEGER NOT NULL, first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL, times INTEGER NOT NULL, severity INTEGER NOT NULL,
    kind TEXT NOT NULL, device BLOB, words TEXT NOT NULL, fields TEXT NOT NULL) STRICT;
CREATE TABLE trend (
    step_ms INTEGER NOT NULL, at_ms INTEGER NOT NULL, committed INTEGER NOT NULL,
    applied INTEGER NOT NULL, sent INTEGER NOT NULL, received INTEGER NOT NULL,
    times BLOB NOT NULL, backlog INTEGER NOT NULL, lag_ms INTEGER NOT NULL,
    online INTEGER NOT NULL, conflicts INTEGER NOT NULL, quarantined INTEGER NOT NULL,
    library INTEGER NOT NULL, sync INTEGER NOT NULL, PRIMARY KEY (step_ms, at_ms))
    STRICT, WITHOUT ROWID;
";
