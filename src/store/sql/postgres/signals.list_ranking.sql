-- signals.list_ranking
SELECT date, symbol, strategy, rank, rank_percentile, n_symbols, score
FROM ranking.ranking_signal
WHERE date = coalesce($1::date, (SELECT max(date) FROM ranking.ranking_signal))
  AND ($2::text[] IS NULL OR symbol = ANY ($2)) AND ($3::text[] IS NULL OR strategy = ANY ($3))
ORDER BY strategy, rank, symbol
LIMIT $4::int8;
