//! A browser, as WebDriver (<https://www.w3.org/TR/webdriver2/>) drives one: as much of it as these tests
//! say.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{PATIENCE, until};

/// What an element is called in an answer.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// What is so for a moment, while a page puts something else in its place.
const PASSING: [&str; 3] =
    ["stale element reference", "element not interactable", "element click intercepted"];

/// A Chromium without a window, gone when this is dropped.
pub(crate) struct Browser {
    driver: Child,
    /// Where the driver listens.
    address: String,
    session: String,
    /// What the browser keeps.
    _profile: TempDir,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed (Debian: chromium and chromium-driver)");
        let out = BufReader::new(driver.stdout.take().unwrap());
        let port = out.lines().find_map(|line| {
            let line = line.unwrap();
            let (_, port) = line.split_once("started successfully on port ")?;
            Some(port.trim_end_matches('.').to_owned())
        });
        let port = port.expect("chromedriver says where it listens");
        let address = format!("127.0.0.1:{port}");
        let profile = tempfile::tempdir().unwrap();
        let args = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": args},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let mut browser = Self { driver, address, session: String::new(), _profile: profile };
        let made = browser.said("POST", "/session", &wanted).unwrap();
        browser.session = made["sessionId"].as_str().unwrap().to_owned();
        browser
    }

    /// Says something to the driver: what it answers, or the name of its error.
    fn said(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let (status, answer) =
            self.exchange(method, path, &body).map_err(|error| error.to_string())?;
        let value = answer["value"].clone();
        match value.get("error").and_then(Value::as_str).filter(|_| status >= 400) {
            Some(error) => Err(format!("{error}: {}", value["message"])),
            None => Ok(value),
        }
    }

    /// A request and its answer, which says how long it is and leaves the connection open.
    fn exchange(&self, method: &str, path: &str, body: &str) -> std::io::Result<(u16, Value)> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (host, length) = (&self.address, body.len());
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )?;
        let mut answer = BufReader::new(stream);
        let mut line = String::new();
        answer.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut length = 0;
        while line.trim() != "" {
            line.clear();
            answer.read_line(&mut line)?;
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        answer.read_exact(&mut body)?;
        Ok((status.unwrap_or(0), serde_json::from_slice(&body)?))
    }

    fn tell(&self, method: &str, what: &str, body: &Value) -> Result<Value, String> {
        self.said(method, &format!("/session/{}/{what}", self.session), body)
    }

    /// Opens an address, and waits until its page is all there. The driver may say so while the tab still
    /// has the page before it, or this one without its script.
    pub(crate) fn open(&self, address: &str) {
        self.run("window.before = true");
        self.tell("POST", "url", &json!({"url": address})).unwrap();
        let script = "return window.before !== true && document.readyState === 'complete'";
        until("the page is there", || {
            // A script that the next page cut off has not found this one.
            let there = self.tell("POST", "execute/sync", &json!({"script": script, "args": []}));
            there.is_ok_and(|there| there == json!(true)).then_some(())
        });
    }

    /// The tab that is driven.
    pub(crate) fn tab(&self) -> Value {
        self.tell("GET", "window", &Value::Null).unwrap()
    }

    /// Opens a tab, and drives that one.
    pub(crate) fn open_tab(&self) {
        let made = self.tell("POST", "window/new", &json!({"type": "tab"})).unwrap();
        self.to_tab(&made["handle"]);
    }

    /// Drives this tab from now on, in front of the others.
    pub(crate) fn to_tab(&self, tab: &Value) {
        self.tell("POST", "window", &json!({"handle": tab})).unwrap();
        self.devtools("Page.bringToFront", &json!({}));
    }

    /// The address that is shown.
    pub(crate) fn here(&self) -> String {
        self.tell("GET", "url", &Value::Null).unwrap().as_str().unwrap().to_owned()
    }

    /// Runs a script in the page: what it returns.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.tell("POST", "execute/sync", &json!({"script": script, "args": []})).unwrap()
    }

    pub(crate) fn is_true(&self, script: &str) -> Option<()> {
        (self.run(script) == json!(true)).then_some(())
    }

    /// The texts of what a selector finds.
    pub(crate) fn texts(&self, selector: &str) -> Vec<String> {
        let script = format!(
            "return [...document.querySelectorAll({selector:?})].map((it) => it.textContent.trim())"
        );
        let texts = self.run(&script);
        texts.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
    }

    /// The text of the first that a selector finds; empty if there is none.
    pub(crate) fn text(&self, selector: &str) -> String {
        self.texts(selector).into_iter().next().unwrap_or_default()
    }

    pub(crate) fn count(&self, selector: &str) -> usize {
        self.texts(selector).len()
    }

    /// Does something with the first that a selector finds; one that is exchanged at the moment is looked
    /// for again.
    fn with(&self, selector: &str, what: &str, body: &Value) {
        until(selector, || {
            let wanted = json!({"using": "css selector", "value": selector});
            let found = self.tell("POST", "element", &wanted).ok()?;
            let id = found[ELEMENT].as_str()?;
            match self.tell("POST", &format!("element/{id}/{what}"), body) {
                Ok(_) => Some(()),
                Err(error) if PASSING.iter().any(|it| error.starts_with(it)) => None,
                Err(error) => panic!("{selector}: {error}"),
            }
        });
    }

    pub(crate) fn click(&self, selector: &str) {
        self.with(selector, "click", &json!({}));
    }

    /// Types into a field.
    pub(crate) fn write(&self, selector: &str, text: &str) {
        self.with(selector, "value", &json!({"text": text}));
    }

    pub(crate) fn size(&self, width: u32, height: u32) {
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            &json!({
                "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
            }),
        );
    }

    fn devtools(&self, command: &str, params: &Value) {
        let body = json!({"cmd": command, "params": params});
        self.tell("POST", "goog/cdp/execute", &body).unwrap();
    }

    /// What the browser found wrong with the pages: scripts that failed, what a policy forbade.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let all = self.tell("POST", "se/log", &json!({"type": "browser"})).unwrap();
        let words = |it: &Value| it["message"].as_str().unwrap().to_owned();
        all.as_array().unwrap().iter().map(words).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A session that never began has nothing to end.
        self.said("DELETE", &format!("/session/{}", self.session), &json!({})).ok();
        self.driver.kill().ok();
        self.driver.wait().ok();
    }
}
