-- runs.announce
UPDATE runs
SET announced_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), announce_count = announce_count + 1,
    version = version + 1, updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
WHERE run_id = :run_id AND version = :version AND status IN ('queued', 'running')
  AND (lease_expires_at IS NULL OR lease_expires_at <= strftime('%Y-%m-%dT%H:%M:%fZ', 'now'));
