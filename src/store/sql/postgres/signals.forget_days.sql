-- signals.forget_days
DELETE FROM ranking.signal_sync_day
WHERE year_month = $1::text AND table_name = $2::text AND date = ANY ($3::date[]);
