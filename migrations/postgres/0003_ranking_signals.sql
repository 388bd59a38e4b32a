-- Ranking signals as they are served; Delta tables are canonical, and these can be rebuilt from them.
-- A month is a range of dates, which the primary keys serve: an index on year_month would double the load time.
CREATE TABLE IF NOT EXISTS ranking.ranking_signal (
    date            date NOT NULL,
    year_month      text NOT NULL,
    symbol          text NOT NULL,
    strategy        text NOT NULL,
    rank            integer NOT NULL,
    rank_percentile double precision NOT NULL,
    n_symbols       integer NOT NULL,
    score           double precision,
    PRIMARY KEY (date, symbol, strategy)
);

CREATE TABLE IF NOT EXISTS ranking.composite_signal_daily (
    date                 date NOT NULL,
    year_month           text NOT NULL,
    symbol               text NOT NULL,
    composite_percentile double precision NOT NULL,
    composite_rank       integer NOT NULL,
    strategies_present   integer NOT NULL,
    strategies_hit       integer NOT NULL,
    PRIMARY KEY (date, symbol)
);

CREATE TABLE IF NOT EXISTS ranking.signal_sync_state (
    year_month     text PRIMARY KEY,
    synced_at      timestamptz NOT NULL DEFAULT now(),
    signals_rows   integer NOT NULL,
    composite_rows integer NOT NULL,
    status         text NOT NULL,
    error          text
);

CREATE INDEX IF NOT EXISTS ranking_signal_symbol_date ON ranking.ranking_signal (symbol, date);
CREATE INDEX IF NOT EXISTS composite_signal_daily_symbol_date ON ranking.composite_signal_daily (symbol, date);

GRANT SELECT, INSERT, UPDATE, DELETE
    ON ranking.ranking_signal, ranking.composite_signal_daily, ranking.signal_sync_state TO ranking_writer;
GRANT SELECT
    ON ranking.ranking_signal, ranking.composite_signal_daily, ranking.signal_sync_state
    TO api_service, backtest_service;
