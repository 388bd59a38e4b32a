-- runs.backlog
SELECT (SELECT count(*) FROM backtest.runs WHERE status = 'queued') AS queued,
       (SELECT count(*) FROM backtest.runs WHERE status = 'running') AS running,
       coalesce((SELECT extract(epoch FROM now() - min(available_at)) FROM backtest.runs
                 WHERE status = 'queued' AND available_at <= now() AND kind <> 'study'), 0)::float8 AS oldest_due_seconds;
