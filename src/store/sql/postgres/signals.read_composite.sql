-- signals.read_composite
SELECT date, year_month, symbol, composite_percentile, composite_rank, strategies_present, strategies_hit
FROM ranking.composite_signal_daily
WHERE date BETWEEN $1::date AND $2::date
ORDER BY date, symbol COLLATE "C";
