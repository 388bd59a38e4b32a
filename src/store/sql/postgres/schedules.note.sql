-- schedules.note
UPDATE backtest.schedules
SET looked_at = $4, last_date = coalesce($5, last_date), last_run_id = coalesce($6, last_run_id), error = $7
WHERE name = $1 AND looked_at IS NOT DISTINCT FROM $2 AND error IS NOT DISTINCT FROM $3
RETURNING name;
