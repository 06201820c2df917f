//! The example `axum` as a process that is asked over HTTP, and a second device of its library.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use driftless::{Library, Models, SyncOptions, Syncable, Uuid, join};

#[derive(Syncable)]
#[sync(shared)]
struct Book {
    id: Uuid,
    title: String,
}

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn new(dir: &Path) -> Self {
        let test = std::env::current_exe().unwrap();
        let profile = test.parent().and_then(Path::parent).unwrap();
        let example =
            profile.join("examples").join(format!("axum{}", std::env::consts::EXE_SUFFIX));
        let mut command = Command::new(example);
        let mut child = command.arg(dir).arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().trim_start_matches("http://").to_owned();
        Self { child, address }
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> serde_json::Value {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_web_server_and_a_second_device_serve_the_same() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::new(&place.path().join("server"));
    let id = server.ask("POST", "/books", "\"Momo\"")["id"].as_str().unwrap().to_owned();
    let ticket = server.ask("POST", "/ticket", "")["ticket"].as_str().unwrap().parse().unwrap();
    let here = SyncOptions { listen: Some(([127, 0, 0, 1], 0).into()), offline: true };
    let models = Models::new().with::<Book>();
    let second = place.path().join("second");
    let library: Library = join(&second, &models, &ticket, "second", &here, |_, _| true).unwrap();
    library.sync(here).unwrap();
    library.wait(Duration::from_secs(30), false).unwrap();
    let book: Book = library.get(id.parse::<Uuid>().unwrap()).unwrap().unwrap();
    assert_eq!(book.title, "Momo");
    library
        .write(|tx| {
            let id = tx.new_id();
            tx.insert(&Book { id, title: "Jim Knopf".into() })
        })
        .unwrap();
    library.wait(Duration::from_secs(30), false).unwrap();
    let books = server.ask("GET", "/books", "");
    let titles: Vec<_> = books.as_array().unwrap().iter().map(|book| &book["title"]).collect();
    assert_eq!(titles, ["Jim Knopf", "Momo"]);
}
