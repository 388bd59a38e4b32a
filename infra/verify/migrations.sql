-- Which migrations are applied, and when.
SELECT version, name, date_trunc('second', applied_at AT TIME ZONE 'UTC') AS applied_at_utc, applied_by
FROM core.schema_migrations
ORDER BY version;
