-- runs.overdue
SELECT run_id, status, status_reason, submitted_at, started_at, completed_at, run_name, start_date, end_date,
       output_dir, adls_container, adls_prefix, error, config_json, effective_config_json, attempt, max_attempts,
       fence, lease_owner, lease_expires_at, heartbeat_at, deadline_at, announced_at, announce_count, available_at,
       cancel_requested_at, progress, progress_note, idempotency_key, request_sha256, config_sha256, data_versions,
       engine_version, fingerprint, parent_run_id, submitted_by, summary, manifest_sha256, version, traceparent,
       kind, study_id, part, parts, trials, experiment, pins, results_sha256, tags, note, archived_at, deleted_at, deleted_by,
       now() AS seen_at
FROM backtest.runs AS run
WHERE (status = 'queued' AND available_at <= now()
       AND (kind <> 'study' OR NOT EXISTS (SELECT FROM backtest.runs AS part
                                            WHERE part.kind = 'part' AND part.study_id = run.run_id
                                              AND part.status IN ('queued', 'running')))
       AND (announced_at IS NULL OR announced_at < available_at
            OR announced_at + interval '2 minutes' * (1 << least(announce_count, 5)) <= now()))
   OR (status = 'running'
       AND (lease_expires_at <= now() OR deadline_at <= now() OR cancel_requested_at IS NOT NULL))
ORDER BY available_at
LIMIT $1
FOR UPDATE OF run SKIP LOCKED;
