-- runs.insert
INSERT INTO runs (run_id, status, submitted_at, run_name, start_date, end_date, config_json, effective_config_json,
                  max_attempts, announced_at, announce_count, available_at, idempotency_key, request_sha256,
                  config_sha256, parent_run_id, submitted_by, traceparent, updated_at)
SELECT :run_id, 'queued', clock.now, :run_name, :start_date, :end_date, :config_json, :effective_config_json,
       :max_attempts, iif(:announced, clock.now, NULL), :announced, clock.now, :idempotency_key, :request_sha256,
       :config_sha256, :parent_run_id, :submitted_by, :traceparent, clock.now
FROM (SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now') AS now) AS clock
WHERE true
ON CONFLICT DO NOTHING;
