-- runs.remark
WITH changed AS (
    UPDATE backtest.runs
    SET version = version + 1, updated_at = now()
    WHERE run_id = $1
    RETURNING run_id, version, fence
)
INSERT INTO backtest.run_events (run_id, version, at, event, fence, actor, detail)
SELECT run_id, version, now(), $2, fence, $4, $3
FROM changed
RETURNING version;
