//! The listener of a queue function: when to look for messages, how many to run at once, how long to hold them, and
//! where they go afterwards. The queue itself is in `queue`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{debug, error, warn};

use super::app::{App, Function, Trigger};
use super::envelope::{Envelope, from_base64};
use super::invoke::Invoker;
use super::queue::{Message, Queues, poison_name};

const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// Runs the messages of one function.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Invocations and queues.
    pub invoker: Arc<Invoker>,
    /// Position of the function in the app.
    pub index: usize,
    /// How long a message is held; renewed at half time.
    pub lease: Duration,
    /// True while no new messages may be taken.
    pub draining: watch::Receiver<bool>,
}

impl Listener {
    /// Looks for messages until the host ends, then waits for those being worked on.
    pub async fn run(self) {
        let Some((_, queue, _)) = self.subject() else { return };
        let queue = queue.to_owned();
        let settings = self.app().queues.clone();
        let mut hints = self.queues().hints(&queue);
        let mut exit = self.invoker.exit.subscribe();
        let (running, mut running_seen) = watch::channel(0_usize);
        let mut backoff = BACKOFF_MIN;
        loop {
            let free = async {
                let mut draining = self.draining.clone();
                let below = running_seen.wait_for(|count| *count <= settings.new_batch_threshold);
                // Both senders outlive this loop.
                let _ = below.await;
                let _ = draining.wait_for(|draining| !draining).await;
            };
            tokio::select! {
                _ = exit.wait_for(Option::is_some) => break,
                () = free => (),
            }
            hints.mark_unchanged();
            let batch = self.fetch(&queue, settings.batch_size);
            if !batch.is_empty() {
                backoff = BACKOFF_MIN;
                running.send_modify(|count| *count += batch.len());
                self.invoker.messages_running.send_modify(|count| *count += batch.len());
                for message in batch {
                    let (listener, running) = (self.clone(), running.clone());
                    tokio::spawn(async move {
                        listener.process(message).await;
                        running.send_modify(|count| *count -= 1);
                        listener.invoker.messages_running.send_modify(|count| *count -= 1);
                    });
                }
                continue;
            }
            tokio::select! {
                _ = exit.wait_for(Option::is_some) => break,
                _ = hints.changed() => backoff = BACKOFF_MIN,
                () = tokio::time::sleep(jittered(backoff)) => {
                    backoff = backoff.saturating_mul(2).min(settings.polling_interval_max);
                }
            }
        }
        // The supervisor kills the handler meanwhile, so this ends soon.
        let _ = running_seen.wait_for(|count| *count == 0).await;
    }

    /// The function, its queue and whether it wants bytes.
    fn subject(&self) -> Option<(&Function, &str, bool)> {
        let function = self.app().functions.get(self.index)?;
        match &function.trigger {
            Trigger::Queue { queue, binary } => Some((function, queue, *binary)),
            _ => None,
        }
    }

    fn app(&self) -> &App {
        &self.invoker.app
    }

    fn queues(&self) -> &Queues {
        &self.invoker.queues
    }

    /// An absent queue is as good as an empty one: the trigger never creates it.
    fn fetch(&self, queue: &str, count: usize) -> Vec<Message> {
        self.queues().take(queue, count, self.lease).unwrap_or_else(|error| {
            error!("cannot read queue `{queue}`: {error}");
            Vec::new()
        })
    }

    async fn process(&self, message: Message) {
        let Some((function, queue, binary)) = self.subject() else { return };
        let name = function.name.as_str();
        let settings = &self.app().queues;
        if message.dequeue_count > settings.dequeue_count_max {
            warn!(
                function = name,
                "message {} was taken {} times already",
                message.id,
                message.dequeue_count - 1
            );
            return self.poison(name, queue, &message, &message.receipt);
        }
        let content = if settings.base64 {
            // An empty text is valid base64 of nothing.
            if message.body.is_empty() { Some(Vec::new()) } else { from_base64(&message.body) }
        } else {
            Some(message.body.clone().into_bytes())
        };
        let readable = |content: &Vec<u8>| binary || std::str::from_utf8(content).is_ok();
        let Some(content) = content.filter(readable) else {
            let what = if settings.base64 { "base64 of UTF-8" } else { "UTF-8" };
            error!(function = name, "Message decoding has failed! Message {} is not {what}", message.id);
            return self.poison(name, queue, &message, &message.receipt);
        };
        let envelope = Envelope::of_message(name, &function.trigger_name, &message, &content, binary);
        let cause = format!("queue {queue}");
        let (receipt, result) =
            self.holding(&message, self.invoker.envelope(function, &cause, &envelope)).await;
        let outcome = match result {
            Ok(()) => self.queues().delete(&message.id, &receipt),
            Err(_) if self.invoker.exit.borrow().is_some() => {
                // Our own end is not the message's fault. The real host would leave it hidden for ten minutes.
                if self.invoker.strict {
                    return;
                }
                self.queues().release(&message.id, &receipt, Duration::ZERO)
            }
            Err(_) if message.dequeue_count >= settings.dequeue_count_max => {
                return self.poison(name, queue, &message, &receipt);
            }
            Err(_) if poison_name(queue).is_none() => {
                // The real host lets it lie until its lease is over.
                warn!(function = name, "message {} stays hidden in `{queue}` for its lease", message.id);
                return;
            }
            Err(_) => self.queues().release(&message.id, &receipt, settings.visibility_timeout),
        };
        match outcome {
            Ok(true) => (),
            Ok(false) => {
                warn!(function = name, "message {} was taken over by another invocation", message.id);
            }
            Err(error) => error!(function = name, "cannot settle message {}: {error}", message.id),
        }
    }

    /// Runs `work` while prolonging the lease; returns the newest receipt. A lost message does not stop the work.
    async fn holding<T>(&self, message: &Message, work: impl Future<Output = T>) -> (String, T) {
        let mut receipt = message.receipt.clone();
        tokio::pin!(work);
        let mut held = true;
        loop {
            tokio::select! {
                result = &mut work => return (receipt, result),
                () = tokio::time::sleep(self.lease / 2), if held => {
                    match self.queues().renew(&message.id, &receipt, self.lease) {
                        Ok(Some(renewed)) => receipt = renewed,
                        Ok(None) => held = false,
                        Err(error) => debug!("renewal of message {}: {error}", message.id),
                    }
                }
            }
        }
    }

    /// Without a poison queue the message stays, hidden until its lease ends.
    fn poison(&self, function: &str, queue: &str, message: &Message, receipt: &str) {
        let Some(target) = poison_name(queue) else {
            warn!(function, "message {} stays in `{queue}`: there is no poison queue for it", message.id);
            return;
        };
        match self.queues().move_to(message, receipt, &target) {
            Ok(true) => error!(function, "message {} was moved to `{target}`", message.id),
            Ok(false) => warn!(function, "message {} was taken over by another invocation", message.id),
            Err(error) => error!(function, "cannot move message {} to `{target}`: {error}", message.id),
        }
    }
}

/// Spreads a pause by a fifth either way, so that listeners do not march in step.
fn jittered(pause: Duration) -> Duration {
    let random = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
    pause * 4 / 5 + pause * 2 / 5 * random / 255
}
