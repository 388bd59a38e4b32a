-- runs.fail
WITH changed AS (
    UPDATE backtest.runs
    SET status = 'failed', status_reason = $4, error = $5, completed_at = now(), progress_note = NULL,
        lease_owner = NULL, lease_expires_at = NULL, heartbeat_at = NULL, deadline_at = NULL,
        version = version + 1, updated_at = now()
    WHERE run_id = $1 AND status = 'running' AND fence = $2
    RETURNING run_id, version, fence
)
INSERT INTO backtest.run_events (run_id, version, at, event, fence, actor, detail)
SELECT run_id, version, now(), 'failed', fence, $3, jsonb_build_object('reason', $4)
FROM changed
RETURNING run_id;
