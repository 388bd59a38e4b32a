//! What the verbs work with, put together by hand: a run store and an artifact store of the test's choice.

use std::sync::Arc;
use std::time::Duration;

use backtest_functions::clock::SystemClock;
use backtest_functions::store::artifacts::Artifacts;
use backtest_functions::store::delta::StorageOptions;
use backtest_functions::store::prices::{MarketData, Reach};
use backtest_functions::store::runs::RunStore;
use backtest_functions::work::sync::{SignalSync, SyncTerms};
use backtest_functions::work::{App, ExecutionTerms};

/// An app without a lake.
pub(crate) fn app(runs: Arc<dyn RunStore>, artifacts: Artifacts) -> App {
    App {
        runs,
        data: Arc::new(MarketData {
            lake: None,
            options: StorageOptions::default(),
            account: None,
            reach: Reach::default(),
            signals: None,
        }),
        artifacts: Arc::new(artifacts),
        clock: Arc::new(SystemClock),
        signals: Arc::new(SignalSync { lake: None, postgres: None, terms: SyncTerms::default() }),
        trusts_principal: false,
        attempts: Arc::default(),
        webhook: None,
        address: String::new(),
        poison: None,
        admission: Arc::new(tokio::sync::Semaphore::new(1)),
        terms: ExecutionTerms {
            instance: "test".into(),
            lease: Duration::from_secs(60),
            max_attempts: 3,
            timeout: Duration::from_secs(60),
        },
    }
}
