-- runs.claim
UPDATE runs
SET status = 'running', status_reason = iif(status = 'running', 'lease_lost', NULL), started_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'),
    attempt = attempt + 1, fence = fence + 1, lease_owner = :owner,
    lease_expires_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', :lease),
    heartbeat_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'),
    deadline_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', :timeout),
    engine_version = :engine_version, progress = 0, progress_note = NULL,
    version = version + 1, updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
WHERE run_id = :run_id
  AND attempt < max_attempts
  AND cancel_requested_at IS NULL
  AND ((status = 'queued' AND available_at <= strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
    OR (status = 'running' AND lease_expires_at <= strftime('%Y-%m-%dT%H:%M:%fZ', 'now')));
