//! The local host against a real handler process, one file for each of its tasks. The numbers in comments are those of
//! the conformance list of the host contract.

#[path = "../../support/handler.rs"]
mod handler;

/// The app as it stands on disk.
mod app;
/// Peculiarities that were seen on the genuine host.
mod genuine;
/// Whom it lets in, and local settings.
mod guard;
/// The handler as a child process.
mod launch;
/// Queue messages.
mod messages;
/// Requests and answers.
mod requests;
/// Which function a path belongs to.
mod routes;
/// Timer functions.
mod timers;

use std::time::Duration;

use handler::PATIENCE;
use serde_json::Value;

#[test]
#[ignore = "plays the handler for the other tests"]
fn as_handler() {
    handler::run();
}

#[test]
#[ignore = "runs a host of its own for one test"]
fn as_host() {
    handler::run_host();
}

async fn until(mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it did not come true");
}

fn header<'a>(request: &'a Value, name: &str) -> Vec<&'a str> {
    let headers = request["headers"].as_array().unwrap().iter();
    headers.filter(|pair| pair[0] == name).map(|pair| pair[1].as_str().unwrap()).collect()
}
