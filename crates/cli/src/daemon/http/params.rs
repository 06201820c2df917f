//! Parameters of commands, as the command line has them; and what is said over HTTP, made a command.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use clap::{Arg, ArgAction, CommandFactory as _, Parser as _};
use data_encoding::BASE64;
use serde_json::Value;

use super::routes::{ROUTES, Route};
use crate::args::{Cli, Command, FileArg, LibraryCommand};
use crate::failure::Failure;

/// What a parameter takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// `true` or `false`.
    Flag,
    Text,
    /// A whole number that is not negative.
    Whole,
    Number,
    /// A file: on this machine an absolute path, else `DEVICE:/path`.
    Path,
    /// A file, or a record's name.
    PathOrName,
    Choice(Vec<String>),
}

/// A parameter.
#[derive(Clone, Debug)]
pub(super) struct Param {
    pub(super) name: String,
    pub(super) help: String,
    pub(super) kind: Kind,
    pub(super) required: bool,
    /// Whether there may be several.
    pub(super) many: bool,
    /// How the command line says it; `None` if by its place.
    long: Option<String>,
}

/// A command with its parameters.
pub(super) struct Operation {
    pub(super) route: &'static Route,
    pub(super) about: String,
    pub(super) params: Vec<Param>,
}

/// All commands, by path.
pub(super) fn operations() -> BTreeMap<String, Operation> {
    let mut root = Cli::command();
    root.build();
    let found = ROUTES.iter().filter_map(|route| Some((route.path(), operation(&root, route)?)));
    found.collect()
}

fn operation(root: &clap::Command, route: &'static Route) -> Option<Operation> {
    let command =
        route.words.iter().try_fold(root, |command, word| command.find_subcommand(word))?;
    let offered = |arg: &&Arg| {
        let name = arg.get_id().as_str();
        !matches!(arg.get_action(), ArgAction::Help | ArgAction::Version)
            && !matches!(name, "dir" | "json")
            && !route.without.contains(&name)
    };
    let params = command.get_arguments().filter(offered).map(param).collect();
    let about = command.get_long_about().or_else(|| command.get_about());
    Some(Operation { route, about: about.map(ToString::to_string).unwrap_or_default(), params })
}

fn param(arg: &Arg) -> Param {
    let ty = arg.get_value_parser().type_id();
    let name = arg.get_id().as_str();
    let kind = match arg.get_action() {
        ArgAction::SetTrue => Kind::Flag,
        _ if ty == TypeId::of::<FileArg>() && name == "record" => Kind::PathOrName,
        _ if ty == TypeId::of::<FileArg>() => Kind::Path,
        _ if ty == TypeId::of::<u64>() => Kind::Whole,
        _ if ty == TypeId::of::<f64>() => Kind::Number,
        _ => match arg.get_possible_values() {
            values if values.is_empty() => Kind::Text,
            values => {
                Kind::Choice(values.iter().map(|value| value.get_name().to_owned()).collect())
            }
        },
    };
    let help = arg.get_long_help().or_else(|| arg.get_help());
    Param {
        name: name.to_owned(),
        help: help.map(ToString::to_string).unwrap_or_default(),
        kind,
        required: arg.is_required_set(),
        many: matches!(arg.get_action(), ArgAction::Append)
            || arg.get_num_args().is_some_and(|range| range.max_values() > 1),
        long: arg.get_long().map(str::to_owned),
    }
}

/// What was said, by parameter.
pub(super) type Said = BTreeMap<String, Vec<OsString>>;

fn wrong(message: impl Into<String>) -> Failure {
    Failure::usage(message).next("see what it takes at /api/openapi.json")
}

impl Operation {
    fn param(&self, name: &str) -> Result<&Param, Failure> {
        self.params.iter().find(|param| param.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.params.iter().map(|param| param.name.as_str()).collect();
            let known = match known[..] {
                [] => "it takes none".to_owned(),
                _ => format!("there are {}", known.join(", ")),
            };
            wrong(format!("no parameter is called {name:?}; {known}"))
        })
    }

    /// Reads the parameters of an address.
    pub(super) fn of_query(&self, query: &str) -> Result<Said, Failure> {
        let mut said = Said::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = String::from_utf8_lossy(&decoded(name)).into_owned();
            self.param(&name)?;
            said.entry(name).or_default().push(OsString::from_vec(decoded(value)));
        }
        Ok(said)
    }

    /// Reads the parameters of a body; one without anything has none.
    pub(super) fn of_body(&self, body: &[u8]) -> Result<Said, Failure> {
        if body.trim_ascii().is_empty() {
            return Ok(Said::new());
        }
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| wrong(format!("the body is no JSON: {error}")))?;
        let Value::Object(fields) = body else {
            return Err(wrong("the body is no JSON object"));
        };
        let mut said = Said::new();
        for (name, value) in fields {
            let param = self.param(&name)?;
            let values = match value {
                Value::Array(values) if param.many => values,
                Value::Null => continue,
                value if param.many => return Err(param.misfit(&value)),
                value => vec![value],
            };
            let words: Result<Vec<OsString>, Failure> =
                values.iter().map(|value| param.word(value)).collect();
            said.insert(name, words?);
        }
        Ok(said)
    }

    /// The command.
    pub(super) fn command(&self, said: &Said) -> Result<LibraryCommand, Failure> {
        let mut words: Vec<OsString> = vec!["driftless".into()];
        words.extend(self.route.words.iter().map(OsString::from));
        let mut placed = Vec::new();
        for param in &self.params {
            let values = said.get(&param.name).map_or(&[][..], Vec::as_slice);
            if values.is_empty() && param.required {
                return Err(wrong(format!("the parameter {:?} is missing", param.name)));
            }
            if values.len() > 1 && !param.many {
                return Err(wrong(format!("the parameter {:?} is there twice", param.name)));
            }
            for value in values {
                param.check(value)?;
                match &param.long {
                    Some(long) => words.extend(param.option(long, value)?),
                    None => placed.push(value.clone()),
                }
            }
        }
        words.push("--".into());
        words.extend(placed);
        let cli = Cli::try_parse_from(words)
            .map_err(|error| crate::usage(&error).next("see what it takes at /api/openapi.json"))?;
        match cli.command {
            Command::Library(command) => Ok(command),
            _ => Err(Failure::internal("a route leads to a command of an open library")),
        }
    }
}

impl Param {
    fn misfit(&self, value: &Value) -> Failure {
        let wanted = match &self.kind {
            Kind::Flag => "true or false",
            Kind::Whole => "a whole number",
            Kind::Number => "a number",
            Kind::Path | Kind::PathOrName => "a text, or {\"raw\": BASE64}",
            Kind::Text | Kind::Choice(_) => "a text",
        };
        let list = if self.many { "a list, each of it " } else { "" };
        let mut shown = value.to_string();
        if shown.len() > 80 {
            shown = "something long".to_owned();
        }
        wrong(format!("the parameter {:?} has to be {list}{wanted}, not {shown}", self.name))
    }

    /// A value of a body as a word of the command line.
    fn word(&self, value: &Value) -> Result<OsString, Failure> {
        let misfit = || self.misfit(value);
        Ok(match (&self.kind, value) {
            (Kind::Flag, Value::Bool(_)) => value.to_string().into(),
            (Kind::Whole, Value::Number(number)) if number.is_u64() => number.to_string().into(),
            (Kind::Number, Value::Number(number)) => number.to_string().into(),
            (Kind::Text | Kind::Choice(_) | Kind::Path | Kind::PathOrName, Value::String(text)) => {
                text.into()
            }
            (Kind::Path | Kind::PathOrName, Value::Object(fields)) if fields.len() == 1 => {
                let raw = fields.get("raw").and_then(Value::as_str).ok_or_else(misfit)?;
                OsString::from_vec(BASE64.decode(raw.as_bytes()).map_err(|_| misfit())?)
            }
            _ => return Err(misfit()),
        })
    }

    fn check(&self, value: &OsString) -> Result<(), Failure> {
        if value.as_bytes().contains(&0) {
            return Err(wrong(format!("the parameter {:?} has a zero byte in it", self.name)));
        }
        let path = FileArg::from(std::path::Path::new(value));
        if self.kind == Kind::Path && !path.is_path() {
            let shown = value.to_string_lossy();
            let message = format!("{shown:?} is no absolute path, and nobody knows from where");
            return Err(wrong(message).next("say it as /path, or DEVICE:/path"));
        }
        Ok(())
    }

    /// How the command line says it.
    fn option(&self, long: &str, value: &OsString) -> Result<Option<OsString>, Failure> {
        if self.kind != Kind::Flag {
            let mut word = OsString::from(format!("--{long}="));
            word.push(value);
            return Ok(Some(word));
        }
        match value.to_str() {
            Some("true") => Ok(Some(format!("--{long}").into())),
            Some("false") => Ok(None),
            _ => Err(wrong(format!("the parameter {:?} has to be true or false", self.name))),
        }
    }
}

/// A part of an address, as bytes. A percent sign that begins no byte is itself.
pub(super) fn decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let digit = |at: usize| rest.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (byte, digit(0), digit(1)) {
            (b'+', _, _) => out.push(b' '),
            (b'%', Some(high), Some(low)) => {
                out.extend(u8::try_from(high * 16 + low));
                rest = &rest[2..];
            }
            _ => out.push(*byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::routes::{NOT_OFFERED, Verb};
    use super::*;
    use serde_json::json;

    fn operation(path: &str) -> Operation {
        operations().remove(&format!("/api/v1/{path}")).unwrap()
    }

    fn posted(path: &str, body: &Value) -> Result<LibraryCommand, Failure> {
        let operation = operation(path);
        operation.of_body(body.to_string().as_bytes()).and_then(|said| operation.command(&said))
    }

    fn asked(path: &str, query: &str) -> Result<LibraryCommand, Failure> {
        let operation = operation(path);
        operation.of_query(query).and_then(|said| operation.command(&said))
    }

    fn typed(words: &[&str]) -> LibraryCommand {
        let cli = Cli::try_parse_from(["driftless"].iter().chain(words)).unwrap();
        let Command::Library(command) = cli.command else { panic!("{words:?}") };
        command
    }

    /// Every command that works on an open library, by its words.
    fn leaves(command: &clap::Command, words: &[String], found: &mut Vec<String>) {
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let words = [words, &[sub.get_name().to_owned()]].concat();
            if !sub.is_subcommand_required_set() {
                found.push(words.join(" "));
            }
            leaves(sub, &words, found);
        }
    }

    #[test]
    fn every_command_has_a_route_and_every_route_a_command() {
        let mut root = Cli::command();
        root.build();
        let mut found = Vec::new();
        leaves(&root, &[], &mut found);
        let elsewhere = [
            "demo",
            "init",
            "up",
            "down",
            "join",
            "restore",
            "top",
            "batch",
            "bench",
            "bench-peer",
            "completions",
        ];
        let offered = found
            .iter()
            .filter(|words| ![&elsewhere[..], NOT_OFFERED].concat().contains(&&***words));
        let mut offered: Vec<String> = offered.cloned().collect();
        let mut routes: Vec<String> = ROUTES.iter().map(|route| route.words.join(" ")).collect();
        offered.sort();
        routes.sort();
        assert_eq!(offered, routes);
        assert_eq!(operations().len(), ROUTES.len());
    }

    #[test]
    fn what_is_asked_is_the_command_that_would_be_typed() {
        assert_eq!(
            asked("find", "text=a+b%26&limit=3&kind=dir&prefix=true"),
            Ok(typed(&["find", "a b&", "--limit", "3", "--kind", "dir", "--prefix"]))
        );
        assert_eq!(asked("ls", ""), Ok(typed(&["ls"])));
        let body = json!({"name": "--yes", "color": "-1", "parent": null});
        assert_eq!(
            posted("tag/create", &body),
            Ok(typed(&["tag", "create", "--color=-1", "--", "--yes"]))
        );
        let body = json!({"tag": "x", "files": ["/a", "phone:/b"], "yes": false});
        assert_eq!(
            posted("tag/remove", &body),
            Ok(typed(&["tag", "remove", "x", "/a", "phone:/b"]))
        );
        assert_eq!(posted("sync", &json!({"wait": 0.5})), Ok(typed(&["sync", "--wait", "0.5"])));
        assert_eq!(operation("status").of_query("").unwrap(), Said::new());
    }

    #[test]
    fn paths_that_are_no_text_go_through() {
        let wanted = FileArg::from(std::path::Path::new(&OsString::from_vec(b"/a\xff".to_vec())));
        let LibraryCommand::Catalog(crate::args::CatalogCommand::Ls(args)) =
            asked("ls", "path=/a%ff").unwrap()
        else {
            panic!("ls is ls")
        };
        assert_eq!(args.path, Some(wanted));
        let body = json!({"file": {"raw": BASE64.encode(b"/a\xff")}, "fields": ["note=x"]});
        assert!(posted("meta/set", &body).is_ok());
    }

    #[test]
    fn what_does_not_fit_is_refused_in_words() {
        for (path, body) in [
            ("tag/create", json!({})),
            ("tag/create", json!({"name": 3})),
            ("tag/create", json!({"name": "x", "colour": "red"})),
            ("tag/create", json!({"name": "a\u{0}b"})),
            ("tag/create", json!([])),
            ("tag/add", json!({"tag": "x", "files": "/a"})),
            ("tag/add", json!({"tag": "x", "files": ["relative"]})),
            ("tag/add", json!({"tag": "x", "files": []})),
            ("tag/rm", json!({"tag": "x", "yes": "yes"})),
            ("sync", json!({"wait": "long"})),
            ("conflicts/resolve", json!({"conflict": "x"})),
            ("invite", json!({"qr": true})),
        ] {
            let refused = posted(path, &body).unwrap_err();
            assert_eq!(refused.code, "usage", "{path} {body}");
            assert!(!refused.message.contains("--help"), "{refused}");
        }
        for query in ["limit=x", "kind=socket", "prefix=1", "limit=1&limit=2", "unknown=1"] {
            assert_eq!(asked("find", query).unwrap_err().code, "usage", "{query}");
        }
    }

    #[test]
    fn questions_change_nothing() {
        let changing = ["add", "rm", "set", "create", "rename", "evict", "retry", "resolve"];
        for route in ROUTES.iter().filter(|route| route.verb == Verb::Get) {
            assert!(!route.words.iter().any(|word| changing.contains(word)), "{:?}", route.words);
        }
    }
}
