-- signals.failed
INSERT INTO ranking.signal_sync_state AS state
    (year_month, synced_at, signals_rows, composite_rows, status, error, attempts)
VALUES ($1::text, now(), 0, 0, 'failed', $2::text, 1)
ON CONFLICT (year_month) DO UPDATE
SET synced_at = excluded.synced_at, status = excluded.status, error = excluded.error, attempts = state.attempts + 1;
