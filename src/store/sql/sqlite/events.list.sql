-- events.list
SELECT version, at, event, fence, actor, detail
FROM run_events
WHERE run_id = :run_id
ORDER BY version;
