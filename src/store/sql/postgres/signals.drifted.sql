-- signals.drifted
UPDATE ranking.signal_sync_state
SET status = 'drift', error = $2::text
WHERE year_month = $1::text;
