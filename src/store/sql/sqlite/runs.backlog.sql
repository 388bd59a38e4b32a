-- runs.backlog
SELECT (SELECT count(*) FROM runs WHERE status = 'queued') AS queued,
       (SELECT count(*) FROM runs WHERE status = 'running') AS running,
       coalesce((SELECT (julianday('now') - julianday(min(available_at))) * 86400.0 FROM runs
                 WHERE status = 'queued' AND available_at <= strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
                   AND kind <> 'study'), 0.0) AS oldest_due_seconds;
