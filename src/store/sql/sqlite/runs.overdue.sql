-- runs.overdue
SELECT run_id, status, status_reason, submitted_at, started_at, completed_at, run_name, start_date, end_date,
       output_dir, adls_container, adls_prefix, error, config_json, effective_config_json, attempt, max_attempts,
       fence, lease_owner, lease_expires_at, heartbeat_at, deadline_at, announced_at, announce_count, available_at,
       cancel_requested_at, progress, progress_note, idempotency_key, request_sha256, config_sha256, data_versions,
       engine_version, fingerprint, parent_run_id, submitted_by, summary, manifest_sha256, version, traceparent,
       kind, study_id, part, parts, trials, experiment, pins, results_sha256, tags, note, archived_at, deleted_at, deleted_by
FROM runs AS run
WHERE (status = 'queued' AND available_at <= strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
       AND (kind <> 'study' OR NOT EXISTS (SELECT 1 FROM runs AS part
                                            WHERE part.kind = 'part' AND part.study_id = run.run_id
                                              AND part.status IN ('queued', 'running')))
       AND (announced_at IS NULL OR announced_at < available_at
            OR unixepoch(announced_at) + 120 * (1 << min(announce_count, 5)) <= unixepoch('now')))
   OR (status = 'running'
       AND (lease_expires_at <= strftime('%Y-%m-%dT%H:%M:%fZ', 'now') OR deadline_at <= strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
            OR cancel_requested_at IS NOT NULL))
ORDER BY available_at
LIMIT :limit;
