-- runs.announce
WITH changed AS (
    UPDATE backtest.runs
    SET announced_at = now(), announce_count = announce_count + 1,
        version = version + 1, updated_at = now()
    WHERE run_id = $1 AND version = $2 AND status IN ('queued', 'running')
      AND (lease_expires_at IS NULL OR lease_expires_at <= now())
      AND (kind <> 'study' OR NOT EXISTS (SELECT FROM backtest.runs AS part
                                            WHERE part.kind = 'part' AND part.study_id = $1
                                              AND part.status IN ('queued', 'running')))
    RETURNING run_id, version, fence
)
INSERT INTO backtest.run_events (run_id, version, at, event, fence, actor, detail)
SELECT run_id, version, now(), 'announced', fence, $3, '{}'::jsonb
FROM changed
RETURNING run_id;
