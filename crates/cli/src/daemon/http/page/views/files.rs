//! The catalogue: folders of all devices to look through, and files to search for.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use askama::Template;
use data_encoding::BASE64;

use super::super::desk::{Desk, Frame};
use super::super::words::minute;
use super::activity::devices;
use super::tags::{Tag, tags};
use super::{filled, more_of};
use crate::answer::{CollectionRow, DeviceRow, EntryRow, LocationRow, Rows};
use crate::args::{
    CatalogCommand, CollectionCommand, FileArg, FindArgs, KindArg, LibraryCommand, LocationCommand,
    LsArgs,
};
use crate::failure::Failure;
use crate::text::{bytes, count, plural};

/// Files of a view.
const SHOWN: u64 = 200;
/// Folders and collections of a view.
const LISTED: usize = 1_000;

#[derive(Template)]
#[template(path = "files.html")]
struct Files {
    frame: Frame,
    text: String,
    tag: String,
    kind: String,
    device: String,
    collection: String,
    favourite: bool,
    kinds: [(&'static str, &'static str); 4],
    tags: Vec<Tag>,
    more_tags: u64,
    devices: Vec<DeviceRow>,
    collections: Vec<CollectionRow>,
    more_collections: u64,
    /// Where in a folder this is; none if it was searched.
    trail: Vec<(String, String)>,
    /// Whether nothing was asked for yet.
    is_start: bool,
    locations: Vec<Place>,
    more_locations: u64,
    files: Vec<File>,
    found: String,
    back: String,
}

/// An indexed folder.
struct Place {
    open: String,
    row: LocationRow,
    holds: String,
}

/// A file, folder or link.
struct File {
    row: EntryRow,
    icon: &'static str,
    size: String,
    modified: String,
    /// Where it leads: a folder to what is in it, else the record.
    open: String,
    record: String,
    /// The file as forms name it.
    form: String,
}

pub(in super::super) fn page(desk: &Desk<'_>) -> Result<String, Failure> {
    let text = |name: &str| desk.query.text(name).unwrap_or_default();
    let path = desk.query.bytes("path");
    let (kind, found) = (text("kind"), searched(desk));
    let path = path.filter(|_| found.is_none());
    let entries = match (&found, path) {
        (Some(args), _) => list(desk, CatalogCommand::Find(args.clone()))?,
        (None, Some(path)) => list(desk, CatalogCommand::Ls(folder(path)))?,
        (None, None) => Vec::new(),
    };
    let locations = if found.is_none() { locations(desk)? } else { Vec::new() };
    let full = entries.len() as u64 >= SHOWN;
    let shown = plural(entries.len() as u64, "entry", "entries");
    let status = desk.status()?;
    let (tags, more_tags) = tags(desk, &status)?;
    let collections = collections(desk)?;
    filled(&Files {
        frame: desk.frame_of("/files", &status),
        text: text("text"),
        tag: text("tag"),
        device: text("device"),
        collection: text("collection"),
        favourite: desk.query.is_on("favourite"),
        kinds: [("", "Any kind"), ("file", "Files"), ("dir", "Folders"), ("link", "Links")],
        kind,
        tags,
        more_tags,
        devices: devices(desk)?,
        more_collections: more_of(&status, "collection", (collections.len(), LISTED)),
        collections,
        trail: path.map_or_else(Vec::new, |path| trail(path, &locations)),
        is_start: found.is_none() && path.is_none(),
        more_locations: more_of(&status, "location", (locations.len(), LISTED)),
        locations: locations.into_iter().map(place).collect(),
        files: entries.into_iter().map(file).collect(),
        found: if full { format!("the first {}", count(SHOWN)) } else { shown },
        back: here(desk),
    })
}

/// What is searched for; nothing if nothing was said.
fn searched(desk: &Desk<'_>) -> Option<FindArgs> {
    let query = &desk.query;
    let kind = match query.text("kind").as_deref() {
        Some("file") => Some(KindArg::File),
        Some("dir") => Some(KindArg::Dir),
        Some("link") => Some(KindArg::Link),
        _ => None,
    };
    let args = FindArgs {
        text: query.text("text"),
        prefix: false,
        tag: query.text("tag"),
        collection: query.text("collection"),
        favourite: query.is_on("favourite"),
        hidden: false,
        kind,
        device: query.text("device"),
        limit: Some(SHOWN),
        lines: false,
    };
    let said = args.text.is_some()
        || args.tag.is_some()
        || args.collection.is_some()
        || args.favourite
        || args.kind.is_some()
        || args.device.is_some();
    said.then_some(args)
}

fn folder(path: &[u8]) -> LsArgs {
    let path = FileArg::from(Path::new(OsStr::from_bytes(path)));
    LsArgs { path: Some(path), device: None, limit: Some(SHOWN), as_of: None }
}

fn list(desk: &Desk<'_>, command: CatalogCommand) -> Result<Vec<EntryRow>, Failure> {
    desk.list(LibraryCommand::Catalog(command), |rows| match rows {
        Rows::Entries(rows) => Some(rows),
        _ => None,
    })
}

fn locations(desk: &Desk<'_>) -> Result<Vec<LocationRow>, Failure> {
    let command = CatalogCommand::Location { command: LocationCommand::Ls };
    let command = LibraryCommand::Catalog(command);
    desk.first(LISTED, command, |rows| match rows {
        Rows::Locations(rows) => Some(rows),
        _ => None,
    })
}

fn collections(desk: &Desk<'_>) -> Result<Vec<CollectionRow>, Failure> {
    let command = CollectionCommand::Ls { collection: None, limit: None };
    let command = LibraryCommand::Catalog(CatalogCommand::Collection { command });
    desk.first(LISTED, command, |rows| match rows {
        Rows::Collections(rows) => Some(rows),
        _ => None,
    })
}

fn place(row: LocationRow) -> Place {
    let path = named_file(&row.device_id, &row.path, row.path_raw.as_deref());
    let files = plural(row.files, "file", "files");
    let holds =
        format!("{files} in {}, {}", plural(row.dirs, "folder", "folders"), bytes(row.bytes));
    Place { open: address("/files", &[("path", &path)]), holds, row }
}

fn file(row: EntryRow) -> File {
    let path = named_file(&row.device_id, &row.path, row.path_raw.as_deref());
    let record = address("/record", &[("id", row.id.as_bytes()), ("file", &path)]);
    let (icon, open) = match row.kind.as_str() {
        "dir" => ("i-folder", address("/files", &[("path", &path)])),
        "link" => ("i-link", record.clone()),
        _ => ("i-file", record.clone()),
    };
    File {
        icon,
        size: if row.kind == "file" { bytes(row.size) } else { String::new() },
        modified: row.modified_at.as_deref().map(minute).unwrap_or_default(),
        open,
        form: address("", &[("files", &path)]),
        record,
        row,
    }
}

/// A file as commands name it, on whichever device: `DEVICE:/path`, in bytes.
fn named_file(device_id: &str, path: &str, raw: Option<&str>) -> Vec<u8> {
    let raw = raw.and_then(|raw| BASE64.decode(raw.as_bytes()).ok());
    let mut name = format!("{device_id}:").into_bytes();
    name.extend(raw.unwrap_or_else(|| path.as_bytes().to_vec()));
    name
}

/// The folders above up to the location, and this one: name and address of each.
fn trail(path: &[u8], locations: &[LocationRow]) -> Vec<(String, String)> {
    let of = |row: &LocationRow| named_file(&row.device_id, &row.path, row.path_raw.as_deref());
    let holds = |root: &Vec<u8>| {
        path.strip_prefix(&root[..]).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    };
    let roots = locations.iter().map(|row| (row, of(row))).filter(|(_, root)| holds(root));
    let Some((row, root)) = roots.max_by_key(|(_, root)| root.len()) else { return Vec::new() };
    let mut steps = vec![(row.name.clone(), address("/files", &[("path", &root)]))];
    let mut end = root.len();
    for name in path[root.len()..].split(|byte| *byte == b'/').skip(1) {
        end += 1 + name.len();
        let name = String::from_utf8_lossy(name).into_owned();
        steps.push((name, address("/files", &[("path", &path[..end])])));
    }
    steps
}

/// An address with parameters, which may be any bytes.
pub(super) fn address(path: &str, parameters: &[(&str, &[u8])]) -> String {
    let mut out = path.to_owned();
    for (nth, (name, value)) in parameters.iter().enumerate() {
        out.push(if nth == 0 { '?' } else { '&' });
        out.push_str(name);
        out.push('=');
        for byte in *value {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' | b':' => {
                    out.push(char::from(*byte));
                }
                other => out.push_str(&format!("%{other:02x}")),
            }
        }
    }
    out
}

/// This view again.
fn here(desk: &Desk<'_>) -> String {
    let names = ["text", "tag", "kind", "device", "collection", "favourite", "path"];
    let said = names.iter().filter_map(|name| Some((*name, desk.query.bytes(name)?)));
    address("/files", &said.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_goes_into_an_address_and_back() {
        let path = b"0190:/a b/\xff&c=d";
        let address = address("/files", &[("path", path)]);
        assert_eq!(address, "/files?path=0190:/a%20b/%ff%26c%3dd");
        let query = super::super::super::desk::Query::of(&address.parse().unwrap());
        assert_eq!(query.bytes("path"), Some(&path[..]));
    }

    #[test]
    fn a_trail_leads_to_each_folder_up_to_the_location() {
        let location = LocationRow {
            id: String::new(),
            device: "desk".to_owned(),
            device_id: "0190".to_owned(),
            path: "/home/x".to_owned(),
            path_raw: None,
            name: "x".to_owned(),
            state: String::new(),
            files: 0,
            dirs: 0,
            bytes: 0,
            problems: 0,
            scanned_at: None,
            volume: None,
            gitignore: false,
            hidden: true,
            watch: None,
        };
        let step = |name: &str, address: &str| (name.to_owned(), address.to_owned());
        let locations = [location];
        assert_eq!(
            trail(b"0190:/home/x/a/b", &locations),
            [
                step("x", "/files?path=0190:/home/x"),
                step("a", "/files?path=0190:/home/x/a"),
                step("b", "/files?path=0190:/home/x/a/b")
            ]
        );
        assert_eq!(trail(b"0190:/home/xy", &locations), []);
    }
}
