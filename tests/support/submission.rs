//! The least that a run store takes.

use backtest_functions::run::Submission;

/// A submission of an empty config.
pub(crate) fn submission() -> Submission {
    Submission {
        run_name: None,
        start_date: "2020-01-01".into(),
        end_date: "2020-12-31".into(),
        config_json: "{}".into(),
        effective_config_json: "{}".into(),
        config_sha256: "c".into(),
        request_sha256: "r".into(),
        idempotency_key: None,
        submitted_by: None,
        parent_run_id: None,
        traceparent: None,
        kind: Default::default(),
        part_of: None,
        parts: None,
        trials: None,
        experiment: None,
        pins: None,
    }
}
