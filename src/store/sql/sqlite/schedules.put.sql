-- schedules.put
INSERT INTO schedules (name, config_json, cron, run_when, submitted_by, created_at, updated_at)
VALUES (:name, :config_json, :cron, :run_when, :submitted_by, :now, :now)
ON CONFLICT (name) DO UPDATE
SET config_json = excluded.config_json, cron = excluded.cron, run_when = excluded.run_when,
    submitted_by = excluded.submitted_by, updated_at = excluded.updated_at, error = NULL;
