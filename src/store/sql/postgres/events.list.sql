-- events.list
SELECT version, at, event, fence, actor, detail
FROM backtest.run_events
WHERE run_id = $1
ORDER BY version;
