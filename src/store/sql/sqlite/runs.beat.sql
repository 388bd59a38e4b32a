-- runs.beat
UPDATE runs
SET lease_expires_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', :lease), heartbeat_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'),
    progress = max(progress, :progress), progress_note = coalesce(:note, progress_note), updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
WHERE run_id = :run_id AND status = 'running' AND fence = :fence
RETURNING cancel_requested_at IS NOT NULL;
