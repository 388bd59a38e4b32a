-- schedules.list
SELECT name, config_json, cron, run_when, submitted_by, created_at, updated_at, looked_at, last_date, last_run_id, error
FROM schedules
WHERE :name IS NULL OR name = :name
ORDER BY name;
