//! The attempts under way in this process, so that all of them can be given back when it must go. What an attempt does is
//! in `execute`.

use std::time::Duration;

use tokio::sync::watch;

/// Who is at work, and whether everybody shall leave.
#[derive(Debug)]
pub struct Attempts {
    leaving: watch::Sender<bool>,
    running: watch::Sender<usize>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { leaving: watch::Sender::new(false), running: watch::Sender::new(0) }
    }
}

impl Attempts {
    /// Counts an attempt until the answer is dropped.
    pub(super) fn enter(&self) -> impl Drop + '_ {
        self.running.send_modify(|running| *running += 1);
        scopeguard::guard((), |()| self.running.send_modify(|running| *running -= 1))
    }

    /// Returns once everybody shall leave.
    pub(super) async fn told_to_leave(&self) {
        // The sender is ours, so this cannot fail.
        let _ = self.leaving.subscribe().wait_for(|leaving| *leaving).await;
    }

    /// Has every attempt give its run back, so that another executor can claim it at once; answers how many were under
    /// way, and how many of them are left when `patience` is over.
    pub async fn give_back(&self, patience: Duration) -> (usize, usize) {
        let mut running = self.running.subscribe();
        let before = *running.borrow();
        self.leaving.send_replace(true);
        let _ = tokio::time::timeout(patience, running.wait_for(|running| *running == 0)).await;
        let left = *running.borrow();
        (before, left)
    }
}
