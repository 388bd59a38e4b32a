-- runs.list_equal
SELECT run_id, status, status_reason, submitted_at, started_at, completed_at, run_name, start_date, end_date,
       output_dir, adls_container, adls_prefix, error, config_json, effective_config_json, attempt, max_attempts,
       fence, lease_owner, lease_expires_at, heartbeat_at, deadline_at, announced_at, announce_count, available_at,
       cancel_requested_at, progress, progress_note, idempotency_key, request_sha256, config_sha256, data_versions,
       engine_version, fingerprint, parent_run_id, submitted_by, summary, manifest_sha256, version, traceparent,
       kind, study_id, part, parts, trials, experiment, pins, results_sha256, tags, note, archived_at, deleted_at, deleted_by
FROM runs
WHERE deleted_at IS NULL
  AND (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses)))
  AND (:text IS NULL OR instr(lower(run_id), lower(:text)) > 0 OR instr(lower(run_name), lower(:text)) > 0)
  AND (:submitted_after IS NULL OR submitted_at > :submitted_after)
  AND (:submitted_before IS NULL OR submitted_at < :submitted_before)
  AND (:submitted_by IS NULL OR submitted_by = :submitted_by)
  AND (:after_at IS NULL OR (submitted_at, run_id) < (:after_at, :after_id))
  AND kind IN (SELECT value FROM json_each(:kinds))
  AND (:results_sha256 IS NULL OR results_sha256 = :results_sha256)
  AND (:tag IS NULL OR :tag IN (SELECT value FROM json_each(tags)))
  AND (:archived IS NULL OR (archived_at IS NOT NULL) = :archived)
  AND fingerprint = :fingerprint
ORDER BY submitted_at DESC, run_id DESC
LIMIT :limit;
