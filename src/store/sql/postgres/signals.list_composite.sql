-- signals.list_composite
SELECT date, symbol, composite_percentile, composite_rank, strategies_present, strategies_hit
FROM ranking.composite_signal_daily
WHERE date = coalesce($1::date, (SELECT max(date) FROM ranking.composite_signal_daily))
  AND ($2::text[] IS NULL OR symbol = ANY ($2))
ORDER BY composite_rank, symbol
LIMIT $3::int8;
