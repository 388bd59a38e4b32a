-- signals.days
SELECT date, table_name, digest, rows
FROM ranking.signal_sync_day
WHERE year_month = $1::text;
