-- Run records: what a person asks about. What safe execution needs comes with the next migration.
CREATE TABLE IF NOT EXISTS backtest.runs (
    run_id                text PRIMARY KEY,
    status                text NOT NULL,
    submitted_at          timestamptz NOT NULL DEFAULT now(),
    started_at            timestamptz,
    completed_at          timestamptz,
    run_name              text,
    start_date            text,
    end_date              text,
    output_dir            text,
    adls_container        text,
    adls_prefix           text,
    error                 text,
    config_json           text NOT NULL,
    effective_config_json text NOT NULL,
    CONSTRAINT runs_status_known CHECK (status IN ('queued', 'running', 'completed', 'failed', 'canceled'))
);

CREATE INDEX IF NOT EXISTS runs_submitted_at ON backtest.runs (submitted_at);
CREATE INDEX IF NOT EXISTS runs_status ON backtest.runs (status);

GRANT SELECT, INSERT, UPDATE, DELETE ON backtest.runs TO api_service, backtest_service;
