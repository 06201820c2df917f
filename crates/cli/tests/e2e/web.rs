//! A client of the daemon's HTTP side, and a reader of what it says of itself.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::common::{Device, PATIENCE};

/// A daemon's HTTP side.
pub(crate) struct Web {
    pub(crate) address: String,
    pub(crate) token: String,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

impl Web {
    /// That of a device that is up.
    pub(crate) fn of(device: &Device) -> Self {
        let place = device.ok(&["dashboard"]);
        let text = |key: &str| place[key].as_str().unwrap().to_owned();
        assert_eq!(text("url"), format!("http://{}/?token={}", text("address"), text("token")));
        Self { address: text("address"), token: text("token") }
    }

    /// Sends a request with these headers alone.
    pub(crate) fn send(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut stream = self.open(line, headers, body);
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        parsed(&all)
    }

    /// Sends a request, and leaves the answer to be read.
    pub(crate) fn open(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        // One that is refused before all of it has come may be hung up on.
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).ok();
        stream
    }

    /// What somebody with the token sends along.
    pub(crate) fn headers(&self) -> [(&'static str, String); 2] {
        [("Host", self.address.clone()), ("Authorization", format!("Bearer {}", self.token))]
    }

    fn with_token(&self, line: &str, more: &[(&str, &str)], body: &[u8]) -> Reply {
        let own = self.headers();
        let own = own.iter().map(|(name, value)| (*name, value.as_str()));
        let headers: Vec<(&str, &str)> = own.chain(more.iter().copied()).collect();
        self.send(line, &headers, body)
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.with_token(&format!("GET {path}"), &[], b"")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        let json = ("Content-Type", "application/json");
        self.with_token(&format!("POST {path}"), &[json], body.to_string().as_bytes())
    }

    pub(crate) fn post_bytes(&self, path: &str, ty: &str, body: &[u8]) -> Reply {
        self.with_token(&format!("POST {path}"), &[("Content-Type", ty)], body)
    }

    /// A stream of events, from its `hello` on.
    pub(crate) fn events(&self) -> Stream {
        let own = self.headers();
        let own: Vec<(&str, &str)> =
            own.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let stream = self.open("GET /api/v1/events", &own, b"");
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut events = Stream { stream, seen: String::new() };
        events.next_named("hello");
        events
    }
}

/// A stream of events.
pub(crate) struct Stream {
    stream: TcpStream,
    seen: String,
}

impl Stream {
    /// Waits for an event of this name: its data.
    pub(crate) fn next_named(&mut self, name: &str) -> Value {
        let begin = format!("event: {name}\ndata: ");
        loop {
            if let Some((_, rest)) = self.seen.split_once(&begin)
                && let Some((data, rest)) = rest.split_once("\n\n")
            {
                let data = serde_json::from_str(&data.replace("\r\n", "")).unwrap();
                self.seen = rest.to_owned();
                return data;
            }
            let mut chunk = [0; 4_096];
            let read = self.stream.read(&mut chunk).expect("events come in time");
            assert!(read > 0, "the stream has ended: {}", self.seen);
            let text = String::from_utf8_lossy(&chunk[..read]);
            self.seen.push_str(&without_sizes(&text));
        }
    }
}

/// A chunk as it is sent holds one event, between its size and the end of a line.
fn without_sizes(text: &str) -> String {
    let is_size = |line: &&str| !line.ends_with('\r');
    text.split_inclusive('\n').filter(|line| is_size(&line.trim_end_matches('\n'))).collect()
}

fn parsed(all: &[u8]) -> Reply {
    let end = all.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(all)));
    let head = String::from_utf8(all[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = all[end + 4..].to_vec();
    let mut reply = Reply { status, head, body };
    if reply.header("transfer-encoding") == Some("chunked") {
        reply.body = dechunked(&reply.body);
    }
    reply
}

fn dechunked(mut rest: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").expect("an answer is whole");
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        let chunk = &rest[end + 2..];
        whole.extend_from_slice(&chunk[..size]);
        if size == 0 {
            return whole;
        }
        rest = &chunk[size + 2..];
    }
}

/// What the daemon says of itself at `/api/openapi.json`.
pub(crate) struct Description(pub(crate) Value);

impl Description {
    pub(crate) fn of(web: &Web) -> Self {
        Self(web.get("/api/openapi.json").json())
    }

    /// Every operation: its method, its path, and what is said of it.
    pub(crate) fn operations(&self) -> Vec<(String, String, &Value)> {
        let paths = self.0["paths"].as_object().unwrap().iter();
        let all = paths.flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().iter();
            methods.map(|(method, operation)| (method.to_uppercase(), path.clone(), operation))
        });
        all.collect()
    }

    fn resolved<'d>(&'d self, value: &'d Value) -> &'d Value {
        match value.get("$ref").and_then(Value::as_str) {
            Some(reference) => {
                let found = self.0.pointer(reference.strip_prefix('#').unwrap());
                self.resolved(found.unwrap_or_else(|| panic!("{reference} leads nowhere")))
            }
            None => value,
        }
    }

    /// An answer has to be one that is described.
    pub(crate) fn check(&self, method: &str, path: &str, reply: &Reply) {
        let operation = &self.0["paths"][path][method.to_lowercase()];
        assert!(operation.is_object(), "{method} {path} is not described");
        let response = &operation["responses"][reply.status.to_string()];
        let shown = String::from_utf8_lossy(&reply.body[..reply.body.len().min(2_000)]);
        assert!(response.is_object(), "{method} {path} answers {}: {shown}", reply.status);
        let response = self.resolved(response);
        let content = response["content"].as_object().unwrap();
        let ty = reply.header("content-type").unwrap();
        let schema = content.get(ty).unwrap_or_else(|| panic!("{method} {path} answers {ty}"));
        let schema = &schema["schema"];
        let check = |value: &Value| {
            if let Err(problem) = self.fits(schema, value) {
                panic!("{method} {path}: {problem}\n{value}");
            }
        };
        match ty {
            "application/json" => check(&reply.json()),
            "application/x-ndjson" => {
                reply.text().lines().for_each(|line| check(&serde_json::from_str(line).unwrap()))
            }
            _ => {}
        }
    }

    /// Whether a value fits a schema; it knows the words that schemas of this program have, and no
    /// others.
    pub(crate) fn fits(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let schema = self.resolved(schema);
        let Some(words) = schema.as_object() else { return Ok(()) };
        for (word, said) in words {
            let fine = match word.as_str() {
                "description" | "title" | "format" | "default" => true,
                "type" => has_type(said, value),
                "const" => value == said,
                "enum" => said.as_array().unwrap().contains(value),
                "minimum" => value.as_f64().is_none_or(|n| n >= said.as_f64().unwrap()),
                "maximum" => value.as_f64().is_none_or(|n| n <= said.as_f64().unwrap()),
                "minItems" => {
                    value.as_array().is_none_or(|all| all.len() as u64 >= said.as_u64().unwrap())
                }
                "anyOf" | "oneOf" => {
                    said.as_array().unwrap().iter().any(|one| self.fits(one, value).is_ok())
                }
                "allOf" => said.as_array().unwrap().iter().all(|one| self.fits(one, value).is_ok()),
                "required" => {
                    let there = |key: &Value| value.get(key.as_str().unwrap()).is_some();
                    !value.is_object() || said.as_array().unwrap().iter().all(there)
                }
                "properties" => {
                    for (key, schema) in said.as_object().unwrap() {
                        if let Some(field) = value.get(key) {
                            self.fits(schema, field).map_err(|error| format!("{key}: {error}"))?;
                        }
                    }
                    true
                }
                "items" => {
                    for item in value.as_array().into_iter().flatten() {
                        self.fits(said, item)?;
                    }
                    true
                }
                "additionalProperties" => {
                    let named = |key: &str| words.get("properties").and_then(|it| it.get(key));
                    for (key, field) in value.as_object().into_iter().flatten() {
                        match said {
                            _ if named(key).is_some() => {}
                            Value::Bool(false) => return Err(format!("{key} is too much")),
                            schema => self.fits(schema, field)?,
                        }
                    }
                    true
                }
                other => return Err(format!("a schema says {other}, which is not checked")),
            };
            if !fine {
                return Err(format!("{value} does not fit {word}: {said}"));
            }
        }
        Ok(())
    }
}

fn has_type(said: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("what is the type {other}?"),
    };
    match said {
        Value::Array(any) => any.iter().any(|name| is(name.as_str().unwrap())),
        one => is(one.as_str().unwrap()),
    }
}
