//! A real browser, driven through WebDriver: headless Chromium with a profile of its own. WebDriver is JSON over HTTP, so the HTTP
//! client of the other tests speaks it.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::service::{eventually, project};

/// Keys as WebDriver writes them.
pub(crate) mod keys {
    pub(crate) const TAB: &str = "\u{e004}";
    pub(crate) const ENTER: &str = "\u{e007}";
    pub(crate) const ESCAPE: &str = "\u{e00c}";
    pub(crate) const SPACE: &str = " ";
    pub(crate) const END: &str = "\u{e010}";
    pub(crate) const LEFT: &str = "\u{e012}";
    pub(crate) const RIGHT: &str = "\u{e014}";
    pub(crate) const DOWN: &str = "\u{e015}";
}

/// Name of an element in WebDriver's answers.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// What a Chromium needs on a machine that reaches nobody.
const ARGUMENTS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
];

/// How a person looks at the pages.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) dark: bool,
}

/// On a desk by day.
pub(crate) const DESK: Look = Look { width: 1280, height: 900, dark: false };
/// On a phone at night.
pub(crate) const PHONE_AT_NIGHT: Look = Look { width: 360, height: 740, dark: true };

/// A browser with one window. It ends with the test.
pub(crate) struct Browser {
    driver: Child,
    http: Client,
    session: String,
    _profile: TempDir,
}

/// A program of the path.
fn found(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// The checker of accessibility that `make axe` installs.
pub(crate) fn axe() -> String {
    let file = project("target/axe/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}; `make axe`", file.display()))
}

impl Browser {
    /// `None` where there is no Chromium, no driver of it, or no checker of accessibility.
    pub(crate) async fn open(look: Look) -> Option<Self> {
        let parts =
            [found("chromium"), found("chromedriver"), Some(project("target/axe/node_modules/axe-core"))];
        let [Some(chromium), Some(driver), Some(checker)] = parts else { return missing() };
        if !checker.is_dir() {
            return missing();
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let driver = Command::new(driver)
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let profile = tempfile::tempdir().unwrap();
        let http = Client::new();
        let url = format!("http://127.0.0.1:{port}");
        eventually("the driver of the browser answers", async || {
            http.get(format!("{url}/status")).send().await.ok()?.status().is_success().then_some(())
        })
        .await;
        let mut arguments: Vec<String> = ARGUMENTS.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "goog:chromeOptions": { "binary": chromium, "args": arguments },
        }}});
        let answer: Value = http
            .post(format!("{url}/session"))
            .json(&capabilities)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let id = answer["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {answer}"));
        let browser = Self { driver, session: format!("{url}/session/{id}"), http, _profile: profile };
        let metrics =
            json!({ "width": look.width, "height": look.height, "deviceScaleFactor": 1, "mobile": false });
        browser.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        browser.media("screen", look.dark).await;
        Some(browser)
    }

    /// Sends a command of WebDriver, which must succeed.
    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.try_send(method, path, body).await;
        assert!(status, "{path}: {}", answer["value"]);
        answer["value"].clone()
    }

    async fn try_send(&self, method: Method, path: &str, body: Option<Value>) -> (bool, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.session));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        (answer.status().is_success(), answer.json().await.unwrap())
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.send(Method::POST, path, Some(body)).await
    }

    /// A command of the browser's own tools.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    /// On screen or on paper, by day or by night.
    pub(crate) async fn media(&self, media: &str, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        let features = [json!({ "name": "prefers-color-scheme", "value": scheme })];
        self.devtools("Emulation.setEmulatedMedia", json!({ "media": media, "features": features })).await;
    }

    /// Opens an address.
    pub(crate) async fn open_page(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await;
    }

    /// What a script returns.
    pub(crate) async fn run(&self, script: &str, arguments: Value) -> Value {
        self.post("/execute/sync", json!({ "script": script, "args": arguments })).await
    }

    /// Whether a script comes to true, sooner or later.
    pub(crate) async fn waits(&self, what: &str, script: &str) {
        eventually(what, async || (self.run(script, json!([])).await == true).then_some(())).await;
    }

    /// Waits until the page says something.
    pub(crate) async fn sees(&self, text: &str) {
        let script = "return document.body.innerText.replace(/\\s+/g, ' ').includes(arguments[0])";
        let mut said = String::new();
        for _ in 0..1000 {
            if self.run(script, json!([text])).await == true {
                return;
            }
            said = self.text("body").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the page does not say '{text}' but: {said}");
    }

    /// The text of the first element that fits.
    pub(crate) async fn text(&self, selector: &str) -> String {
        let script = "return document.querySelector(arguments[0])?.innerText ?? ''";
        self.run(script, json!([selector])).await.as_str().unwrap_or_default().to_owned()
    }

    /// Clicks on the first element that fits, as a person would: it must be seen.
    pub(crate) async fn click(&self, selector: &str) {
        let element = eventually(selector, async || self.element(selector).await).await;
        self.post(&format!("/element/{element}/click"), json!({})).await;
    }

    /// Clicks on the button or link that says this.
    pub(crate) async fn press(&self, label: &str) {
        let script = "const found = [...document.querySelectorAll('main button, main a')].find((one) => \
                      one.innerText.trim() === arguments[0] && !one.disabled && one.getClientRects().length); \
                      if (!found) return false; found.click(); return true";
        eventually(&format!("a button '{label}'"), async || {
            (self.run(script, json!([label])).await == true).then_some(())
        })
        .await;
    }

    async fn element(&self, selector: &str) -> Option<String> {
        let query = json!({ "using": "css selector", "value": selector });
        let (found, answer) = self.try_send(Method::POST, "/element", Some(query)).await;
        found.then(|| answer["value"][ELEMENT].as_str().map(str::to_owned))?
    }

    /// Types into whatever has the focus.
    pub(crate) async fn types(&self, text: &str) {
        let presses = text.chars().flat_map(|key| {
            [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]
        });
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": presses.collect::<Vec<_>>() });
        self.post("/actions", json!({ "actions": [keyboard] })).await;
    }

    /// Puts a text where another was, as if it were pasted.
    pub(crate) async fn replace(&self, selector: &str, text: &str) {
        let script = "const field = document.querySelector(arguments[0]); field.focus(); field.select(); \
                      document.execCommand('insertText', false, arguments[1])";
        eventually(selector, async || self.element(selector).await.map(drop)).await;
        self.run(script, json!([selector, text])).await;
    }

    /// Serious and critical findings of the checker of accessibility, one a line.
    pub(crate) async fn findings(&self, axe: &str) -> String {
        let script = format!(
            "const done = arguments[0]; {axe}\n;axe.run(document, {{ iframes: false }}).then((found) => done(found.violations \
             .filter((one) => ['serious', 'critical'].includes(one.impact)) \
             .map((one) => one.id + ': ' + one.nodes.map((node) => node.html).join(' | ')).join('\\n')), (error) => done(String(error)))"
        );
        let answer = self.post("/execute/async", json!({ "script": script, "args": [] })).await;
        answer.as_str().unwrap_or("no answer").to_owned()
    }

    /// What the browser complained about since it was asked last.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let lines = self.post("/se/log", json!({ "type": "browser" })).await;
        let messages = lines.as_array().into_iter().flatten().filter_map(|line| line["message"].as_str());
        messages.map(str::to_owned).collect()
    }

    /// Addresses that were asked for since this was asked last.
    pub(crate) async fn requests(&self) -> Vec<String> {
        let lines = self.post("/se/log", json!({ "type": "performance" })).await;
        let events = lines.as_array().into_iter().flatten().filter_map(|line| line["message"].as_str());
        let events = events.filter_map(|text| serde_json::from_str::<Value>(text).ok());
        let sent = events.filter(|event| event["message"]["method"] == "Network.requestWillBeSent");
        sent.filter_map(|event| event["message"]["params"]["request"]["url"].as_str().map(str::to_owned))
            .collect()
    }
}

impl Browser {
    /// Ends the session, where nothing can be awaited any more.
    fn quit(&self) -> std::io::Result<()> {
        let place = self.session.trim_start_matches("http://");
        let (address, path) = place.split_once('/').unwrap_or((place, ""));
        let mut stream = std::net::TcpStream::connect(address)?;
        write!(stream, "DELETE /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    }
}

fn missing() -> Option<Browser> {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "CI needs Chromium and its driver (apt-get install chromium chromium-driver) and `make axe`"
    );
    println!(
        "skipped: no Chromium with its driver, or no axe-core (`make axe`); the pages were not looked at"
    );
    None
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Killed without this, the driver would leave its browser behind.
        let _ = self.quit();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
