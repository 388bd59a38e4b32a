-- runs.amend
WITH changed AS (
    UPDATE backtest.runs
    SET run_name = $4, tags = $5, note = $6,
        archived_at = CASE WHEN $7 THEN coalesce(archived_at, now()) END,
        deleted_at = CASE WHEN $8 THEN coalesce(deleted_at, now()) END,
        deleted_by = CASE WHEN NOT $8 THEN NULL WHEN deleted_at IS NULL THEN $3 ELSE deleted_by END,
        version = version + 1, updated_at = now()
    WHERE run_id = $1 AND version = $2 AND deleted_at IS NULL AND (NOT $8 OR completed_at IS NOT NULL)
    RETURNING *
), told AS (
    INSERT INTO backtest.run_events (run_id, version, at, event, fence, actor, detail)
    SELECT run_id, version, now(), $9, fence, $3, $10
    FROM changed
)
SELECT run_id, status, status_reason, submitted_at, started_at, completed_at, run_name, start_date, end_date,
       output_dir, adls_container, adls_prefix, error, config_json, effective_config_json, attempt, max_attempts,
       fence, lease_owner, lease_expires_at, heartbeat_at, deadline_at, announced_at, announce_count, available_at,
       cancel_requested_at, progress, progress_note, idempotency_key, request_sha256, config_sha256, data_versions,
       engine_version, fingerprint, parent_run_id, submitted_by, summary, manifest_sha256, version, traceparent,
       kind, study_id, part, parts, trials, experiment, pins, results_sha256, tags, note, archived_at, deleted_at, deleted_by
FROM changed;
