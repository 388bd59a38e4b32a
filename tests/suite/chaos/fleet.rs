//! The handlers: real processes on ports of their own, some with a wrong clock, started again whenever they are killed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Mutex;

use super::journal::Journal;
use crate::support::service::{Answer, Caller, Handler, Home, lasting_ports};

/// How far the clocks of the handlers are off, as libfaketime is told.
const CLOCKS: [Option<&str>; 4] = [None, Some("-10m"), Some("+90"), Some("+10m")];

/// Where Debian's package `faketime` puts the library, on either machine that CI may be.
const FAKETIME: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];

/// Place of a handler.
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) caller: Caller,
    port: u16,
    settings: Vec<(String, String)>,
    log: PathBuf,
    process: Mutex<Handler>,
    invocations: AtomicUsize,
}

/// The four of them, in `home`, with these settings beside their own.
pub(super) async fn start(home: &Home, settings: &[(&str, &str)], journal: &Journal) -> Vec<Slot> {
    let faketime = FAKETIME.into_iter().find(|file| Path::new(file).exists());
    if faketime.is_none() {
        println!("no libfaketime (Debian: faketime): all clocks are right");
    }
    let mut ports = lasting_ports();
    let mut slots = Vec::new();
    for (number, clock) in CLOCKS.into_iter().enumerate() {
        let name = format!("chaos-{number}");
        let mut own: Vec<(String, String)> =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        own.push(("WEBSITE_INSTANCE_ID".to_owned(), name.clone()));
        if let (Some(library), Some(clock)) = (faketime, clock) {
            journal.note("instance clock off", format_args!("{name} {clock}"));
            for (name, value) in [
                ("LD_PRELOAD", library),
                ("FAKETIME", clock),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
                ("DONT_FAKE_MONOTONIC", "1"),
            ] {
                own.push((name.to_owned(), value.to_owned()));
            }
        }
        let port = ports.next().unwrap();
        let log = journal.folder().join(format!("{name}.log"));
        let process = Mutex::new(launch(home, port, &own, &log).await);
        let invocations = AtomicUsize::new(0);
        slots.push(Slot { name, caller: Caller::of(port), port, settings: own, log, process, invocations });
    }
    slots
}

async fn launch(home: &Home, port: u16, settings: &[(String, String)], log: &Path) -> Handler {
    let log = File::options().create(true).append(true).open(log).unwrap();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let handler = home.handler_at(port, &settings, log.into());
    while !handler.answers().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    handler
}

/// SIGKILL; libfaketime would have cleaned up behind a process that ended otherwise.
fn end(process: &mut Handler) {
    process.kill();
    for kind in ["faketime_shm_", "sem.faketime_sem_"] {
        let _ = std::fs::remove_file(format!("/dev/shm/{kind}{}", process.id()));
    }
}

impl Slot {
    /// Calls a function as the host does; whoever is called may be gone.
    pub(super) async fn envelope(
        &self,
        function: &str,
        data: &Value,
        patience: Duration,
    ) -> reqwest::Result<Answer> {
        let invocation = format!("{}-{}", self.name, self.invocations.fetch_add(1, Ordering::Relaxed));
        let request = self.caller.enveloped(function, data).timeout(patience);
        self.caller.try_send(request.header("x-azure-functions-invocationid", invocation)).await
    }

    /// Makes a call that goes past the envelope.
    pub(super) async fn call(&self, method: reqwest::Method, path: &str) -> reqwest::Result<Answer> {
        let request = self.caller.http.request(method, format!("{}{path}", self.caller.url));
        self.caller.try_send(request.timeout(Duration::from_secs(5))).await
    }

    /// SIGKILL, and another process in its place; only if it is still the process `id`, when there is one.
    pub(super) async fn kill(&self, home: &Home, id: Option<u32>) -> bool {
        let mut process = self.process.lock().await;
        if id.is_some_and(|id| id != process.id()) {
            return false;
        }
        end(&mut process);
        *process = launch(home, self.port, &self.settings, &self.log).await;
        true
    }

    /// SIGSTOP; answers which process it was.
    pub(super) async fn stop(&self) -> u32 {
        let process = self.process.lock().await;
        process.signal("STOP");
        process.id()
    }

    /// SIGCONT, if it is still the process that was stopped.
    pub(super) async fn go_on(&self, id: u32) {
        let process = self.process.lock().await;
        if process.id() == id {
            process.signal("CONT");
        }
    }

    /// Starts a process in the place of one that ended by itself, which none should; answers whether it had to.
    pub(super) async fn look_after(&self, home: &Home) -> bool {
        let mut process = self.process.lock().await;
        let ended = process.has_ended();
        if ended {
            *process = launch(home, self.port, &self.settings, &self.log).await;
        }
        ended
    }

    /// Ends it for good.
    pub(super) async fn end(&self) {
        end(&mut *self.process.lock().await);
    }
}
