-- runs.ask_cancel
UPDATE runs
SET cancel_requested_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), version = version + 1, updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
WHERE run_id = :run_id AND status = 'running' AND cancel_requested_at IS NULL;
