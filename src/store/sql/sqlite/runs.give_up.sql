-- runs.give_up
UPDATE runs
SET status = :status, status_reason = :reason, error = coalesce(:error, error), completed_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'),
    progress_note = NULL, fence = fence + 1,
    lease_owner = NULL, lease_expires_at = NULL, heartbeat_at = NULL, deadline_at = NULL,
    version = version + 1, updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
WHERE run_id = :run_id AND version = :version AND status IN ('queued', 'running')
  AND lease_expires_at IS :lease_expires_at;
