-- runs.cancel_queued
WITH changed AS (
    UPDATE backtest.runs
    SET status = 'canceled', status_reason = 'canceled_by_user', cancel_requested_at = now(), completed_at = now(),
        version = version + 1, updated_at = now()
    WHERE run_id = $1 AND status = 'queued'
    RETURNING run_id, version, fence
)
INSERT INTO backtest.run_events (run_id, version, at, event, fence, actor, detail)
SELECT run_id, version, now(), 'canceled', fence, $2, '{}'::jsonb
FROM changed
RETURNING run_id;
