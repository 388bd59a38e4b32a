-- signals.synced
INSERT INTO ranking.signal_sync_state AS state
    (year_month, synced_at, signals_rows, composite_rows, status, error, delta_version, composite_version,
     files_digest, rows_written, days_replaced, duration_ms, attempts, last_ok_at)
VALUES ($1::text, now(), $2::int4, $3::int4, 'ok', NULL, $4::int8, $5::int8, $6::text, $7::int4, $8::int4, $9::int8, 0, now())
ON CONFLICT (year_month) DO UPDATE
SET synced_at = excluded.synced_at, signals_rows = excluded.signals_rows, composite_rows = excluded.composite_rows,
    status = excluded.status, error = excluded.error, delta_version = excluded.delta_version,
    composite_version = excluded.composite_version, files_digest = excluded.files_digest,
    rows_written = excluded.rows_written, days_replaced = excluded.days_replaced,
    duration_ms = excluded.duration_ms, attempts = 0, last_ok_at = excluded.last_ok_at
WHERE $10::bool OR state.delta_version IS NULL
   OR (state.delta_version <= excluded.delta_version AND state.composite_version <= excluded.composite_version)
RETURNING year_month;
