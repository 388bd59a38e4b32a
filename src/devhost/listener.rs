//! Who works on the messages of a queue: takes them, invokes the function, and deletes, releases or poisons them.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use tokio::task::JoinSet;

use super::app::Trigger;
use super::envelope::{Envelope, from_base64};
use super::invoke::{Invoker, chain};
use super::queue::{Message, QueueError, poison_name};

/// First pause after an empty look at the queue.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Works on a queue until the host ends.
pub async fn listen(invoker: Arc<Invoker>, name: String, lease: Duration) {
    let Some((queue, binary)) = invoker.function(&name).and_then(|function| match &function.trigger {
        Trigger::Queue { queue, binary } => Some((queue.clone(), *binary)),
        _ => None,
    }) else {
        return;
    };
    let settings = invoker.app.queues.clone();
    let mut hints = invoker.queues.hints(&queue);
    let mut running = JoinSet::new();
    let mut pause = PAUSE_MIN;
    loop {
        while running.try_join_next().is_some() {}
        if running.len() > settings.new_batch_threshold {
            running.join_next().await;
            continue;
        }
        let taken = match invoker.queues.exists(&queue) {
            // The trigger does not make its queue; it waits for it.
            Ok(false) => Ok(Vec::new()),
            Ok(true) => invoker.queues.take(&queue, settings.batch_size, lease),
            Err(error) => Err(error),
        };
        let messages = taken.unwrap_or_else(|error| {
            tracing::error!(function = name, "cannot look at the queue {queue}: {}", chain(&error));
            Vec::new()
        });
        if messages.is_empty() {
            let jitter = rand::rng().random_range(0.8..1.2);
            tokio::select! {
                // A message that this host put itself needs no patience.
                changed = hints.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(pause.mul_f64(jitter)) => pause = (2 * pause).min(settings.polling_interval_max),
                Some(_) = running.join_next() => {}
            }
            continue;
        }
        pause = PAUSE_MIN;
        for message in messages {
            let work = Work { invoker: Arc::clone(&invoker), name: name.clone(), queue: queue.clone(), binary, lease };
            running.spawn(async move {
                let id = message.id.clone();
                if let Err(error) = work.on(message).await {
                    tracing::error!(function = work.name, "message {id} stays as it is: {}", chain(&error));
                }
            });
        }
    }
}

struct Work {
    invoker: Arc<Invoker>,
    name: String,
    queue: String,
    binary: bool,
    lease: Duration,
}

impl Work {
    async fn on(&self, message: Message) -> Result<(), QueueError> {
        let settings = &self.invoker.app.queues;
        if message.dequeue_count > settings.dequeue_count_max {
            return self.poison(&message, &message.receipt, "it was taken too often");
        }
        let content = if settings.base64 { from_base64(&message.body) } else { Some(message.body.clone().into_bytes()) };
        let Some(content) = content else {
            return self.poison(&message, &message.receipt, "message decoding has failed: it is not base64");
        };
        let Some(function) = self.invoker.function(&self.name) else { return Ok(()) };
        let binding = &function.trigger_name;
        let envelope = Envelope::of_message(&function.name, binding, &message, &content, self.binary);
        let mut receipt = message.receipt.clone();
        let invoked = {
            let invocation = self.invoker.invoke(function, &envelope);
            tokio::pin!(invocation);
            loop {
                tokio::select! {
                    outcome = &mut invocation => break outcome,
                    () = tokio::time::sleep(self.lease / 2) => {
                        // A message that somebody else has taken is not renewed, but the call goes on.
                        if let Some(renewed) = self.invoker.queues.renew(&message.id, &receipt, self.lease)? {
                            receipt = renewed;
                        }
                    }
                }
            }
        };
        match invoked {
            Ok(_) => self.invoker.queues.delete(&message.id, &receipt).map(|_| ()),
            Err(_) if message.dequeue_count >= settings.dequeue_count_max => {
                self.poison(&message, &receipt, &format!("it failed {} times", message.dequeue_count))
            }
            Err(_) => {
                self.invoker.queues.release(&message.id, &receipt, settings.visibility_timeout).map(|_| ())
            }
        }
    }

    /// A queue without a poison queue keeps its message; it comes back when the lease ends.
    fn poison(&self, message: &Message, receipt: &str, why: &str) -> Result<(), QueueError> {
        let Some(target) = poison_name(&self.queue) else { return Ok(()) };
        tracing::error!(function = self.name, "moving message {} to {target}: {why}", message.id);
        self.invoker.queues.move_to(message, receipt, &target).map(|_| ())
    }
}
