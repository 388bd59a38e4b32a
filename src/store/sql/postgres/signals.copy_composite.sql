-- signals.copy_composite
COPY ranking.composite_signal_daily (date, year_month, symbol, composite_percentile, composite_rank,
                                     strategies_present, strategies_hit)
FROM STDIN (FORMAT binary);
