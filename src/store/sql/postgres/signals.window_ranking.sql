-- signals.window_ranking
SELECT date, symbol, strategy, rank_percentile
FROM ranking.ranking_signal
WHERE date BETWEEN $1::date AND $2::date AND ($3::text[] IS NULL OR symbol = ANY ($3))
  AND ($4::text[] IS NULL OR strategy = ANY ($4))
ORDER BY date, strategy COLLATE "C", symbol COLLATE "C";
