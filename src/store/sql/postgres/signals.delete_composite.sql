-- signals.delete_composite
DELETE FROM ranking.composite_signal_daily
WHERE date = ANY ($1::date[]);
