//! Keeps what this process counts and measures, and tells it: one line of the log a minute, with what has happened since
//! the line before. Where the log goes, the numbers go; no agent and no port are needed. A minute in which nothing
//! happened has no line.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ::metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_util::registry::{AtomicStorage, Registry};
use metrics_util::storage::Summary;
use serde_json::{Value, json};

use crate::telemetry::{ALL, Kind};

/// Time between two lines.
const PERIOD: Duration = Duration::from_secs(60);

/// What is kept. Cheap to clone.
#[derive(Clone)]
pub(super) struct Exporter {
    kept: Arc<Registry<Key, AtomicStorage>>,
}

impl Exporter {
    /// Begins to keep what is recorded from here on in this process.
    pub(super) fn install() -> Self {
        let exporter = Self { kept: Arc::new(Registry::new(AtomicStorage)) };
        // A second one finds the first in its place, and has nothing to tell.
        let _ = ::metrics::set_global_recorder(exporter.clone());
        exporter
    }

    /// Tells once a minute, for ever.
    pub(super) async fn run(self, instance: String) {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            self.tell(&instance);
        }
    }

    /// Tells what has happened since the last time.
    pub(super) fn tell(&self, instance: &str) {
        let since = self.take();
        if !since.is_empty() {
            let metrics = Value::Array(since);
            tracing::info!(target: "metrics", instance, %metrics, "metrics");
        }
    }

    /// What has happened since the last time, by name.
    fn take(&self) -> Vec<Value> {
        let mut told = Vec::new();
        self.kept.visit_counters(|key, counter| {
            let more = counter.swap(0, Ordering::Relaxed);
            if more > 0 {
                told.push(entry(key, json!({ "value": more })));
            }
        });
        self.kept.visit_gauges(|key, gauge| {
            // Samples that were exported are gone before the next export.
            let now = match is_sample(key) {
                true => gauge.swap(f64::NAN.to_bits(), Ordering::Relaxed),
                false => gauge.load(Ordering::Relaxed),
            };
            let now = f64::from_bits(now);
            if !now.is_nan() {
                told.push(entry(key, json!({ "value": now })));
            }
        });
        self.kept.visit_histograms(|key, times| {
            let mut summary = Summary::with_defaults();
            let mut sum = 0.0;
            times.clear_with(|block| {
                sum += block.iter().sum::<f64>();
                block.iter().for_each(|time| summary.add(*time));
            });
            if !summary.is_empty() {
                let quantile = |q| rounded(summary.quantile(q).unwrap_or_default());
                told.push(entry(
                    key,
                    json!({
                        "count": summary.count(), "sum": rounded(sum), "p50": quantile(0.5),
                        "p95": quantile(0.95), "p99": quantile(0.99), "max": rounded(summary.max()),
                    }),
                ));
            }
        });
        if told.iter().all(|one| one["value"] == 0.0) {
            // Nothing happened, and nothing is held.
            return Vec::new();
        }
        told.sort_by_cached_key(|one| (one["name"].to_string(), one["label"].to_string()));
        told
    }
}

fn is_sample(key: &Key) -> bool {
    let samples = [Kind::Sample, Kind::SampleBy];
    ALL.iter().any(|one| one.name == key.name() && samples.contains(&one.kind))
}

/// A line's part about one name and label.
fn entry(key: &Key, numbers: Value) -> Value {
    let mut entry = json!({ "name": key.name() });
    if let Some(label) = key.labels().next() {
        entry["label"] = json!(label.value());
    }
    if let (Value::Object(entry), Value::Object(numbers)) = (&mut entry, numbers) {
        entry.extend(numbers);
    }
    entry
}

/// Microseconds are enough.
fn rounded(millis: f64) -> f64 {
    (millis * 1000.0).round() / 1000.0
}

impl Recorder for Exporter {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.kept.get_or_create_counter(key, |counter| Counter::from_arc(Arc::clone(counter)))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.kept.get_or_create_gauge(key, |gauge| Gauge::from_arc(Arc::clone(gauge)))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.kept.get_or_create_histogram(key, |times| Histogram::from_arc(Arc::clone(times)))
    }
}
