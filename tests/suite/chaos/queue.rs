//! The queue that carries wake-up messages, badly: some come twice, some late, some never. A message whose delivery failed
//! comes again, and after as many answers as `host.json` allows it is poison. A delivery that ended with its process is not
//! counted: processes die a hundred times as often here, and runs that end them are limited by their attempts.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::Rng as _;
use serde_json::Value;

use super::fleet::Slot;
use super::world::World;
use crate::support::service::delivery;

/// Deliveries with an answer before a message is poison.
const TRIES: u32 = 5;

/// Time before a message whose delivery failed comes again. As in a deployment less than a lease, so that the message of an
/// executor that died finds the run still held, and reconcile sends the next one.
const AGAIN: Duration = Duration::from_millis(1500);

/// The same when the handler says that the database does not answer: five tries outlast its restart, which is as long here
/// as the machine is busy.
const AGAIN_LATER: Duration = Duration::from_secs(3);

/// Messages that may wait while time passes: if it passed for those that wait for a busy handler, they would become more
/// and more.
const BACKLOG: usize = 10;

/// Longest time that a handler has for a message.
const INVOCATION: Duration = Duration::from_secs(60);

/// A message on its way.
struct Message {
    data: Value,
    about: String,
    due: Instant,
    tries: u32,
}

/// Messages that wait, and what became of some.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Vec<Message>>,
    /// Runs a message of which was lost.
    pub(super) lost: Mutex<BTreeSet<String>>,
    /// Messages that nobody could take.
    pub(super) poison: Mutex<Vec<String>>,
}

impl Queue {
    fn put(&self, message: Message) {
        self.waiting.lock().unwrap().push(message);
    }

    /// Whether more messages wait than are being delivered.
    pub(super) fn is_long(&self) -> bool {
        self.waiting.lock().unwrap().len() > BACKLOG
    }

    /// The message that has been due for longest.
    fn take(&self) -> Option<Message> {
        let mut waiting = self.waiting.lock().unwrap();
        let first = (0..waiting.len()).min_by_key(|at| waiting[*at].due)?;
        (waiting[first].due <= Instant::now()).then(|| waiting.swap_remove(first))
    }
}

/// Sends what a function put out for the queue.
pub(super) fn send(world: &World, outputs: &Value) {
    for message in outputs["runs"].as_array().into_iter().flatten() {
        let about = message["run_id"].as_str().unwrap();
        let put = |late| {
            let data = delivery(&message.to_string());
            world.queue.put(Message { data, about: about.to_owned(), due: Instant::now() + late, tries: 0 });
        };
        let chance = if world.is_stormy() { world.dice().random_range(0..100) } else { 99 };
        match chance {
            0..2 => {
                world.journal.note("message lost", about);
                world.queue.lost.lock().unwrap().insert(about.to_owned());
            }
            2..7 => {
                world.journal.note("message doubled", about);
                put(Duration::ZERO);
                put(Duration::ZERO);
            }
            7..10 => {
                world.journal.note("message late", about);
                put(Duration::from_millis(world.dice().random_range(1000..5000)));
            }
            _ => put(Duration::ZERO),
        }
    }
}

/// Sends something that names no run.
pub(super) fn send_nonsense(world: &World, data: Value) {
    world.journal.note("message malformed", &data);
    world.queue.put(Message { about: data.to_string(), data, due: Instant::now(), tries: 0 });
}

/// Delivers to one handler, one message after the other, until all is over.
pub(super) async fn deliver(world: Arc<World>, slot: &Slot) {
    while !world.is_over() {
        let Some(message) = world.queue.take() else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        match slot.envelope("execute", &message.data, INVOCATION).await {
            Ok(answer) if answer.status.is_success() => send(&world, &answer.json()["Outputs"]),
            // A host without a handler takes no message.
            Err(error) if error.is_connect() => {
                world.queue.put(message);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(_) => {
                world.journal.note("delivery ended with its process", &message.about);
                world.queue.put(Message { due: Instant::now() + AGAIN, ..message });
            }
            Ok(_) if message.tries + 1 == TRIES => {
                world.queue.poison.lock().unwrap().push(message.about);
            }
            Ok(_) => {
                world.journal.note("delivery answered with a failure", &message.about);
                world.queue.put(Message {
                    due: Instant::now() + AGAIN_LATER,
                    tries: message.tries + 1,
                    ..message
                });
            }
        }
    }
}
