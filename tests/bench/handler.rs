//! The real program as a handler that callers and hosts speak to, killed when dropped.

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

pub(crate) struct Handler {
    child: Child,
    url: String,
    http: reqwest::Client,
}

impl Handler {
    /// A handler whose results go below `folder`, which is its lake, too, unless `settings` say another.
    pub(crate) async fn start(folder: &Path, settings: &[(&str, &str)]) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("a port").port();
        drop(listener);
        let child = Command::new(env!("CARGO_BIN_EXE_backtests"))
            .arg("serve")
            .current_dir(folder)
            .env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string())
            .env("BACKTEST_OUTPUT_DIR", folder)
            .env("BACKTEST_LAKE", folder)
            .env("RUST_LOG", "error")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the program");
        let handler = Self { child, url: format!("http://127.0.0.1:{port}"), http: reqwest::Client::new() };
        while handler.http.get(&handler.url).send().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        handler
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        answer(self.http.get(format!("{}{path}", self.url))).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        answer(self.http.post(format!("{}{path}", self.url)).json(body)).await
    }

    /// Delivers the message that wakes a run; returns when the invocation has ended.
    pub(crate) async fn wake(&self, run_id: &str) {
        let message = json!({ "v": 1, "run_id": run_id }).to_string();
        let message = base64::engine::general_purpose::STANDARD.encode(message);
        self.post("/execute", &json!({ "Data": { "run": message }, "Metadata": {} })).await;
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Value {
    let answer = request.send().await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
    answer.json().await.expect("a document")
}

impl Drop for Handler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
