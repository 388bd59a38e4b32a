-- signals.window_days
SELECT date, digest
FROM ranking.signal_sync_day
WHERE table_name = 'composite_signal_daily' AND date BETWEEN $1::date AND $2::date
ORDER BY date;
