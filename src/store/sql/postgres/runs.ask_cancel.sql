-- runs.ask_cancel
WITH changed AS (
    UPDATE backtest.runs
    SET cancel_requested_at = now(),
        version = version + 1, updated_at = now()
    WHERE run_id = $1 AND status = 'running' AND cancel_requested_at IS NULL
    RETURNING run_id, version, fence
)
INSERT INTO backtest.run_events (run_id, version, at, event, fence, actor, detail)
SELECT run_id, version, now(), 'cancel_requested', fence, $2, '{}'::jsonb
FROM changed
RETURNING run_id;
