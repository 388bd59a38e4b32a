-- runs.claim
WITH due AS (
    SELECT run_id, status, lease_owner
    FROM backtest.runs
    WHERE run_id = $1
      AND attempt < max_attempts
      AND cancel_requested_at IS NULL
      AND (kind <> 'study' OR NOT EXISTS (SELECT FROM backtest.runs AS part
                                            WHERE part.kind = 'part' AND part.study_id = $1
                                              AND part.status IN ('queued', 'running')))
      AND ((status = 'queued' AND available_at <= now()) OR (status = 'running' AND lease_expires_at <= now()))
    FOR UPDATE
), changed AS (
    UPDATE backtest.runs AS run
    SET status = 'running', status_reason = CASE WHEN due.status = 'running' THEN 'lease_lost' END,
        started_at = now(), attempt = run.attempt + 1, fence = run.fence + 1, lease_owner = $2,
        lease_expires_at = now() + make_interval(secs => $3), heartbeat_at = now(),
        deadline_at = now() + make_interval(secs => $4), engine_version = $5, progress = 0, progress_note = NULL,
        version = run.version + 1, updated_at = now()
    FROM due
    WHERE run.run_id = due.run_id
    RETURNING run.*, due.lease_owner AS taken_from
), told AS (
    INSERT INTO backtest.run_events (run_id, version, at, event, fence, actor, detail)
    SELECT run_id, version, now(), CASE WHEN taken_from IS NULL THEN 'claimed' ELSE 'taken_over' END, fence, $2,
           CASE WHEN taken_from IS NULL THEN '{}'::jsonb ELSE jsonb_build_object('from', taken_from) END
    FROM changed
)
SELECT run_id, status, status_reason, submitted_at, started_at, completed_at, run_name, start_date, end_date,
       output_dir, adls_container, adls_prefix, error, config_json, effective_config_json, attempt, max_attempts,
       fence, lease_owner, lease_expires_at, heartbeat_at, deadline_at, announced_at, announce_count, available_at,
       cancel_requested_at, progress, progress_note, idempotency_key, request_sha256, config_sha256, data_versions,
       engine_version, fingerprint, parent_run_id, submitted_by, summary, manifest_sha256, version, traceparent,
       kind, study_id, part, parts, trials, experiment, pins, results_sha256, tags, note, archived_at, deleted_at, deleted_by, taken_from
FROM changed;
