-- runs.acknowledge_cancel
UPDATE runs
SET status = 'canceled', status_reason = 'canceled_by_user', completed_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), progress_note = NULL,
    lease_owner = NULL, lease_expires_at = NULL, heartbeat_at = NULL, deadline_at = NULL,
    version = version + 1, updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
WHERE run_id = :run_id AND status = 'running' AND fence = :fence;
