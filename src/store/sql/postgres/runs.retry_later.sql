-- runs.retry_later
WITH changed AS (
    UPDATE backtest.runs
    SET status = 'queued', status_reason = $4, error = $5,
        available_at = now() + make_interval(secs => $6), progress = 0, progress_note = NULL,
        lease_owner = NULL, lease_expires_at = NULL, heartbeat_at = NULL, deadline_at = NULL,
        version = version + 1, updated_at = now()
    WHERE run_id = $1 AND status = 'running' AND fence = $2
      AND attempt < max_attempts AND cancel_requested_at IS NULL
    RETURNING run_id, version, fence
)
INSERT INTO backtest.run_events (run_id, version, at, event, fence, actor, detail)
SELECT run_id, version, now(), 'retry_scheduled', fence, $3, jsonb_build_object('reason', $4)
FROM changed
RETURNING run_id;
