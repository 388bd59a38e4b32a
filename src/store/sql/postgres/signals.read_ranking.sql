-- signals.read_ranking
SELECT date, year_month, symbol, strategy, rank, rank_percentile, n_symbols, score
FROM ranking.ranking_signal
WHERE date BETWEEN $1::date AND $2::date
ORDER BY date, symbol COLLATE "C", strategy COLLATE "C";
