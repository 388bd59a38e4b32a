-- signals.count
SELECT (SELECT count(*) FROM ranking.ranking_signal WHERE date BETWEEN $1::date AND $2::date) AS signals_rows,
       (SELECT count(*) FROM ranking.composite_signal_daily WHERE date BETWEEN $1::date AND $2::date) AS composite_rows;
