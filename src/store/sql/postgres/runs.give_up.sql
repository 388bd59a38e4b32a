-- runs.give_up
WITH changed AS (
    UPDATE backtest.runs
    SET status = $4, status_reason = $5, error = coalesce($6, error), completed_at = now(), progress_note = NULL,
        fence = fence + 1,
        lease_owner = NULL, lease_expires_at = NULL, heartbeat_at = NULL, deadline_at = NULL,
        version = version + 1, updated_at = now()
    WHERE run_id = $1 AND version = $2 AND status IN ('queued', 'running')
      AND lease_expires_at IS NOT DISTINCT FROM $7::timestamptz
    RETURNING run_id, version, fence
)
INSERT INTO backtest.run_events (run_id, version, at, event, fence, actor, detail)
SELECT run_id, version, now(), $4, fence, $3, jsonb_build_object('reason', $5)
FROM changed
RETURNING run_id;
