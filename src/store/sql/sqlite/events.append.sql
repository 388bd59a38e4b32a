-- events.append
INSERT INTO run_events (run_id, version, at, event, fence, actor, detail)
SELECT run_id, version, updated_at, :event, fence, :actor, :detail
FROM runs
WHERE run_id = :run_id;
