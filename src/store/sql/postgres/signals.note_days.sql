-- signals.note_days
INSERT INTO ranking.signal_sync_day (year_month, date, table_name, digest, rows)
SELECT $1::text, day.date, $2::text, day.digest, day.rows
FROM unnest($3::date[], $4::text[], $5::int4[]) AS day (date, digest, rows)
ON CONFLICT (year_month, date, table_name) DO UPDATE SET digest = excluded.digest, rows = excluded.rows;
