-- How many runs are in which state, and what is late: queued or without a beat for more than ten minutes.
SELECT status, count(*) AS runs,
       date_trunc('second', min(submitted_at) AT TIME ZONE 'UTC') AS oldest_utc,
       date_trunc('second', max(submitted_at) AT TIME ZONE 'UTC') AS newest_utc,
       count(*) FILTER (
           WHERE (status = 'queued' AND available_at < now() - interval '10 minutes')
              OR (status = 'running' AND heartbeat_at < now() - interval '10 minutes')) AS late
FROM backtest.runs
GROUP BY status
ORDER BY array_position(ARRAY['queued', 'running', 'completed', 'failed', 'canceled'], status);
