-- runs.complete
WITH changed AS (
    UPDATE backtest.runs
    SET status = 'completed', status_reason = NULL, error = NULL, completed_at = now(),
        output_dir = $4, adls_container = $5, adls_prefix = $6, manifest_sha256 = $7, summary = $8,
        data_versions = $9, fingerprint = $10, results_sha256 = $11, progress = 1, progress_note = NULL,
        lease_owner = NULL, lease_expires_at = NULL, heartbeat_at = NULL, deadline_at = NULL,
        version = version + 1, updated_at = now()
    WHERE run_id = $1 AND status = 'running' AND fence = $2
    RETURNING run_id, version, fence, experiment, submitted_by
), counted AS (
    INSERT INTO backtest.trial_ledger (experiment, config_sha256, first_run_id, submitted_by, returns_sha256,
                                       sharpe_ratio, sharpe_daily, skewness, kurtosis, observations)
    SELECT experiment, $12::text, run_id, submitted_by, $13::text, $14::float8, $15::float8, $16::float8, $17::float8, $18::int
    FROM changed
    WHERE experiment IS NOT NULL AND $12::text IS NOT NULL
    ON CONFLICT DO NOTHING
)
INSERT INTO backtest.run_events (run_id, version, at, event, fence, actor, detail)
SELECT run_id, version, now(), 'completed', fence, $3, jsonb_build_object('manifest_sha256', $7)
FROM changed
RETURNING run_id;
