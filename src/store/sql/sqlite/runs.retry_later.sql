-- runs.retry_later
UPDATE runs
SET status = 'queued', status_reason = :reason, error = :error,
    available_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', :delay), progress = 0, progress_note = NULL,
    lease_owner = NULL, lease_expires_at = NULL, heartbeat_at = NULL, deadline_at = NULL,
    version = version + 1, updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
WHERE run_id = :run_id AND status = 'running' AND fence = :fence
  AND attempt < max_attempts AND cancel_requested_at IS NULL;
