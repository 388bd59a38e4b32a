-- signals.states
SELECT year_month, synced_at, signals_rows, composite_rows, status, error, delta_version, composite_version,
       files_digest, rows_written, days_replaced, duration_ms, attempts, last_ok_at
FROM ranking.signal_sync_state
WHERE $1::text IS NULL OR year_month = $1
ORDER BY year_month DESC;
