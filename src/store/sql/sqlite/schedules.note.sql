-- schedules.note
UPDATE schedules
SET looked_at = :looked_at, last_date = coalesce(:date, last_date), last_run_id = coalesce(:run_id, last_run_id),
    error = :error
WHERE name = :name AND looked_at IS :seen_looked_at AND error IS :seen_error;
