-- runs.complete
UPDATE runs
SET status = 'completed', status_reason = NULL, error = NULL, completed_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'),
    output_dir = :output_dir, adls_container = :adls_container, adls_prefix = :adls_prefix,
    manifest_sha256 = :manifest_sha256, summary = :summary, data_versions = :data_versions, fingerprint = :fingerprint,
    progress = 1, progress_note = NULL,
    lease_owner = NULL, lease_expires_at = NULL, heartbeat_at = NULL, deadline_at = NULL,
    version = version + 1, updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
WHERE run_id = :run_id AND status = 'running' AND fence = :fence;
