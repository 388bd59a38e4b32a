-- runs.list
SELECT run_id, status, status_reason, submitted_at, started_at, completed_at, run_name, start_date, end_date,
       output_dir, adls_container, adls_prefix, error, config_json, effective_config_json, attempt, max_attempts,
       fence, lease_owner, lease_expires_at, heartbeat_at, deadline_at, announced_at, announce_count, available_at,
       cancel_requested_at, progress, progress_note, idempotency_key, request_sha256, config_sha256, data_versions,
       engine_version, fingerprint, parent_run_id, submitted_by, summary, manifest_sha256, version, traceparent,
       kind, study_id, part, parts, trials, experiment, pins, results_sha256, tags, note, archived_at, deleted_at, deleted_by
FROM backtest.runs
WHERE deleted_at IS NULL
  AND ($1::text[] IS NULL OR status = ANY ($1))
  AND ($2::text IS NULL OR strpos(lower(run_id), lower($2)) > 0 OR strpos(lower(run_name), lower($2)) > 0)
  AND ($3::timestamptz IS NULL OR submitted_at > $3)
  AND ($4::timestamptz IS NULL OR submitted_at < $4)
  AND ($5::text IS NULL OR submitted_by = $5)
  AND ($6::timestamptz IS NULL OR (submitted_at, run_id) < ($6, $7::text))
  AND kind = ANY ($9::text[])
  AND ($10::text IS NULL OR results_sha256 = $10)
  AND ($11::text IS NULL OR $11 = ANY (tags))
  AND ($12::bool IS NULL OR (archived_at IS NOT NULL) = $12)
  AND ($13::text IS NULL OR fingerprint = $13)
ORDER BY submitted_at DESC, run_id DESC
LIMIT $8;
