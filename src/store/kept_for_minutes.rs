//! What is dear to find and stays as it is, remembered for ten minutes by this process.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long it is kept.
const TIME: Duration = Duration::from_secs(600);

/// Findings by what they are of.
pub struct Kept<T> {
    known: LazyLock<Mutex<HashMap<String, (Instant, T)>>>,
    most: usize,
}

impl<T: Clone> Kept<T> {
    /// None yet, and never more than `most`.
    pub const fn new(most: usize) -> Self {
        Self { known: LazyLock::new(|| Mutex::new(HashMap::new())), most }
    }

    /// What was found.
    pub fn get(&self, key: &str) -> Option<T> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).filter(|(since, _)| since.elapsed() < TIME).map(|(_, found)| found.clone())
    }

    /// Remembers what was found; where there is no room, in the place of what was found first.
    pub fn put(&self, key: String, found: T) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (since, _)| since.elapsed() < TIME);
        if known.len() >= self.most
            && let Some(first) = known.iter().min_by_key(|(_, (since, _))| *since).map(|(key, _)| key.clone())
        {
            known.remove(&first);
        }
        known.insert(key, (Instant::now(), found));
    }
}
