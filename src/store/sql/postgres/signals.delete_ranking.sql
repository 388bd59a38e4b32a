-- signals.delete_ranking
DELETE FROM ranking.ranking_signal
WHERE date = ANY ($1::date[]);
