-- How far each of the last 25 months of signals is synced, and what stands in the way.
SELECT state.year_month, state.status, date_trunc('second', state.synced_at AT TIME ZONE 'UTC') AS synced_at_utc,
       state.signals_rows, state.composite_rows,
       coalesce(month.signals_rows = state.signals_rows AND month.composite_rows = state.composite_rows, false) AS complete,
       state.error
FROM ranking.signal_sync_state AS state
LEFT JOIN ranking.signal_month AS month USING (year_month)
ORDER BY state.year_month DESC
LIMIT 25;
