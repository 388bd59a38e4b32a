-- signals.copy_ranking
COPY ranking.ranking_signal (date, year_month, symbol, strategy, rank, rank_percentile, n_symbols, score)
FROM STDIN (FORMAT binary);
