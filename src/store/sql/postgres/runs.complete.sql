-- runs.complete
WITH changed AS (
    UPDATE backtest.runs
    SET status = 'completed', status_reason = NULL, error = NULL, completed_at = now(),
        output_dir = $4, adls_container = $5, adls_prefix = $6, manifest_sha256 = $7, summary = $8,
        data_versions = $9, fingerprint = $10, results_sha256 = $11, progress = 1, progress_note = NULL,
        lease_owner = NULL, lease_expires_at = NULL, heartbeat_at = NULL, deadline_at = NULL,
        version = version + 1, updated_at = now()
    WHERE run_id = $1 AND status = 'running' AND fence = $2
    RETURNING run_id, version, fence
)
INSERT INTO backtest.run_events (run_id, version, at, event, fence, actor, detail)
SELECT run_id, version, now(), 'completed', fence, $3, jsonb_build_object('manifest_sha256', $7)
FROM changed
RETURNING run_id;
