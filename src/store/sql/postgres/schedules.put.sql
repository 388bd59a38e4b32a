-- schedules.put
INSERT INTO backtest.schedules (name, config_json, cron, run_when, submitted_by)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name) DO UPDATE
SET config_json = excluded.config_json, cron = excluded.cron, run_when = excluded.run_when,
    submitted_by = excluded.submitted_by, updated_at = now(), error = NULL
RETURNING name, config_json, cron, run_when, submitted_by, created_at, updated_at, looked_at, last_date, last_run_id, error,
          created_at = updated_at AS created;
