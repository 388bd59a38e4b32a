-- runs.beat
UPDATE backtest.runs
SET lease_expires_at = now() + make_interval(secs => $3), heartbeat_at = now(), progress = greatest(progress, $4),
    progress_note = coalesce($5, progress_note), updated_at = now()
WHERE run_id = $1 AND status = 'running' AND fence = $2
RETURNING cancel_requested_at IS NOT NULL AS cancel_requested;
