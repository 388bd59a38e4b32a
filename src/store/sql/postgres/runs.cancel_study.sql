-- runs.cancel_study
WITH changed AS (
    UPDATE backtest.runs
    SET status = CASE WHEN status = 'queued' THEN 'canceled' ELSE status END,
        status_reason = CASE WHEN status = 'queued' THEN 'canceled_by_user' ELSE status_reason END,
        completed_at = CASE WHEN status = 'queued' THEN now() END,
        cancel_requested_at = now(), version = version + 1, updated_at = now()
    WHERE (run_id = $1 OR (kind = 'part' AND study_id = $1))
      AND (status = 'queued' OR (status = 'running' AND cancel_requested_at IS NULL))
    RETURNING run_id, version, fence, status
)
INSERT INTO backtest.run_events (run_id, version, at, event, fence, actor, detail)
SELECT run_id, version, now(), CASE WHEN status = 'canceled' THEN 'canceled' ELSE 'cancel_requested' END, fence, $2,
       '{}'::jsonb
FROM changed
RETURNING run_id, event;
