-- runs.insert_study
WITH study AS (
    INSERT INTO backtest.runs (run_id, status, submitted_at, run_name, start_date, end_date, config_json,
                               effective_config_json, max_attempts, announced_at, announce_count, available_at,
                               idempotency_key, request_sha256, config_sha256, parent_run_id, submitted_by,
                               traceparent, kind, study_id, part, parts, trials, experiment, pins, updated_at)
    SELECT $1, 'queued', now(), $2, $3, $4, $5, $6, $7::int, NULL, 0, now(), $9, $10, $11, $12, $13, $14, $15, $16, $17::int,
           $18::int, $19::int, $20, $21::jsonb, now()
    WHERE NOT EXISTS (SELECT FROM backtest.runs WHERE run_id = ANY ($22::text[]))
    ON CONFLICT DO NOTHING
    RETURNING *
), part AS (
    INSERT INTO backtest.runs (run_id, status, submitted_at, run_name, start_date, end_date, config_json,
                               effective_config_json, max_attempts, announced_at, announce_count, available_at,
                               request_sha256, config_sha256, submitted_by, traceparent, kind, study_id, part, parts,
                               trials, experiment, pins, updated_at)
    SELECT given.run_id, 'queued', now(), study.run_name, study.start_date, study.end_date, given.config_json,
           given.config_json, study.max_attempts, CASE WHEN $8 THEN now() END, CASE WHEN $8 THEN 1 ELSE 0 END, now(),
           study.request_sha256, study.config_sha256, study.submitted_by, study.traceparent, 'part', study.run_id,
           given.part - 1, study.parts, given.trials, study.experiment, study.pins, now()
    FROM study, unnest($22::text[], $23::text[], $24::int[]) WITH ORDINALITY AS given (run_id, config_json, trials, part)
    RETURNING run_id, version, fence
), told AS (
    INSERT INTO backtest.run_events (run_id, version, at, event, fence, actor, detail)
    SELECT run_id, version, now(), 'submitted', fence, 'api', '{}'::jsonb
    FROM (SELECT run_id, version, fence FROM study UNION ALL SELECT run_id, version, fence FROM part) AS changed
)
SELECT run_id, status, status_reason, submitted_at, started_at, completed_at, run_name, start_date, end_date,
       output_dir, adls_container, adls_prefix, error, config_json, effective_config_json, attempt, max_attempts,
       fence, lease_owner, lease_expires_at, heartbeat_at, deadline_at, announced_at, announce_count, available_at,
       cancel_requested_at, progress, progress_note, idempotency_key, request_sha256, config_sha256, data_versions,
       engine_version, fingerprint, parent_run_id, submitted_by, summary, manifest_sha256, version, traceparent,
       kind, study_id, part, parts, trials, experiment, pins, results_sha256, tags, note, archived_at, deleted_at, deleted_by
FROM study;
