-- signals.window
SELECT date, symbol, composite_percentile, composite_rank, strategies_present, strategies_hit
FROM ranking.composite_signal_daily
WHERE date BETWEEN $1::date AND $2::date AND ($3::text[] IS NULL OR symbol = ANY ($3))
ORDER BY date, composite_rank, symbol COLLATE "C";
