-- What the sync of signals remembers: of which files a month was made, what it took, and a digest of each day, so
-- that only days that changed are written again.
ALTER TABLE ranking.signal_sync_state
    ADD COLUMN IF NOT EXISTS delta_version     bigint,
    ADD COLUMN IF NOT EXISTS composite_version bigint,
    ADD COLUMN IF NOT EXISTS files_digest      text,
    ADD COLUMN IF NOT EXISTS rows_written      integer,
    ADD COLUMN IF NOT EXISTS days_replaced     integer,
    ADD COLUMN IF NOT EXISTS duration_ms       bigint,
    ADD COLUMN IF NOT EXISTS attempts          integer NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS last_ok_at        timestamptz;

CREATE TABLE IF NOT EXISTS ranking.signal_sync_day (
    year_month text NOT NULL,
    date       date NOT NULL,
    table_name text NOT NULL CHECK (table_name IN ('ranking_signal', 'composite_signal_daily')),
    digest     text NOT NULL,
    rows       integer NOT NULL,
    PRIMARY KEY (year_month, date, table_name)
);

-- Rows by month as they were written: the same numbers as counting the tables, at once and for any number of years.
CREATE OR REPLACE VIEW ranking.signal_month AS
SELECT year_month,
       coalesce(sum(rows) FILTER (WHERE table_name = 'ranking_signal'), 0)::bigint AS signals_rows,
       coalesce(sum(rows) FILTER (WHERE table_name = 'composite_signal_daily'), 0)::bigint AS composite_rows
FROM ranking.signal_sync_day
GROUP BY year_month;

GRANT SELECT, INSERT, UPDATE, DELETE ON ranking.signal_sync_day TO ranking_writer;
GRANT SELECT ON ranking.signal_sync_day TO api_service, backtest_service;
GRANT SELECT ON ranking.signal_month TO ranking_writer, api_service, backtest_service;
