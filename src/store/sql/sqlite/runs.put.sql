-- runs.put
INSERT INTO runs (run_id, status, status_reason, submitted_at, started_at, completed_at, run_name, start_date,
                  end_date, output_dir, adls_container, adls_prefix, error, config_json, effective_config_json,
                  attempt, max_attempts, fence, lease_owner, lease_expires_at, heartbeat_at, deadline_at,
                  announced_at, announce_count, available_at, cancel_requested_at, progress, progress_note,
                  idempotency_key, request_sha256, config_sha256, data_versions, engine_version, fingerprint,
                  parent_run_id, submitted_by, summary, manifest_sha256, version, traceparent, updated_at)
VALUES (:run_id, :status, :status_reason, :submitted_at, :started_at, :completed_at, :run_name, :start_date,
        :end_date, :output_dir, :adls_container, :adls_prefix, :error, :config_json, :effective_config_json,
        :attempt, :max_attempts, :fence, :lease_owner, :lease_expires_at, :heartbeat_at, :deadline_at,
        :announced_at, :announce_count, coalesce(:available_at, :submitted_at), :cancel_requested_at, :progress,
        :progress_note, :idempotency_key, :request_sha256, :config_sha256, :data_versions, :engine_version,
        :fingerprint, :parent_run_id, :submitted_by, :summary, :manifest_sha256, :version, :traceparent, :now)
ON CONFLICT (run_id) DO UPDATE
SET status = excluded.status, status_reason = excluded.status_reason, started_at = excluded.started_at,
    completed_at = excluded.completed_at, output_dir = excluded.output_dir,
    adls_container = excluded.adls_container, adls_prefix = excluded.adls_prefix, error = excluded.error,
    attempt = excluded.attempt, fence = excluded.fence, lease_owner = excluded.lease_owner,
    lease_expires_at = excluded.lease_expires_at, heartbeat_at = excluded.heartbeat_at,
    deadline_at = excluded.deadline_at, announced_at = excluded.announced_at,
    announce_count = excluded.announce_count, available_at = coalesce(:available_at, runs.available_at),
    cancel_requested_at = excluded.cancel_requested_at, progress = excluded.progress,
    progress_note = excluded.progress_note, data_versions = excluded.data_versions,
    engine_version = excluded.engine_version, fingerprint = excluded.fingerprint, summary = excluded.summary,
    manifest_sha256 = excluded.manifest_sha256, version = excluded.version, updated_at = excluded.updated_at;
