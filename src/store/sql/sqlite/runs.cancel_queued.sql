-- runs.cancel_queued
UPDATE runs
SET status = 'canceled', status_reason = 'canceled_by_user', cancel_requested_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), completed_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'),
    version = version + 1, updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
WHERE run_id = :run_id AND status = 'queued';
