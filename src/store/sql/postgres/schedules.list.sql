-- schedules.list
SELECT name, config_json, cron, run_when, submitted_by, created_at, updated_at, looked_at, last_date, last_run_id, error,
       now() AS now
FROM backtest.schedules
WHERE $1::text IS NULL OR name = $1
ORDER BY name COLLATE "C";
