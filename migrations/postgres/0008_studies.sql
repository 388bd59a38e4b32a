-- Studies: a run of its own kind, whose parts are runs too; what was pinned when a run was submitted; the hash of its
-- results; and what people note on it. None of these columns is written by a beat, so that a beat stays a heap-only
-- update. A program that does not know them goes on as before: each has a default.
ALTER TABLE backtest.runs
    ADD COLUMN IF NOT EXISTS kind           text NOT NULL DEFAULT 'backtest',
    ADD COLUMN IF NOT EXISTS study_id       text,
    ADD COLUMN IF NOT EXISTS part           integer,
    ADD COLUMN IF NOT EXISTS parts          integer,
    ADD COLUMN IF NOT EXISTS trials         integer,
    ADD COLUMN IF NOT EXISTS experiment     text,
    ADD COLUMN IF NOT EXISTS pins           jsonb,
    ADD COLUMN IF NOT EXISTS results_sha256 text,
    ADD COLUMN IF NOT EXISTS tags           text[] NOT NULL DEFAULT '{}',
    ADD COLUMN IF NOT EXISTS note           text,
    ADD COLUMN IF NOT EXISTS archived_at    timestamptz,
    ADD COLUMN IF NOT EXISTS deleted_at     timestamptz,
    ADD COLUMN IF NOT EXISTS deleted_by     text;

-- Not checked for rows that are older than the checks; they have the defaults, which pass.
ALTER TABLE backtest.runs
    DROP CONSTRAINT IF EXISTS runs_kind_known,
    ADD CONSTRAINT runs_kind_known CHECK (
        kind IN ('backtest', 'study', 'part', 'reproduction', 'audit')) NOT VALID,
    DROP CONSTRAINT IF EXISTS runs_part_has_a_study,
    ADD CONSTRAINT runs_part_has_a_study CHECK (
        (kind = 'part') = (study_id IS NOT NULL AND part IS NOT NULL)) NOT VALID,
    DROP CONSTRAINT IF EXISTS runs_part_in_range,
    ADD CONSTRAINT runs_part_in_range CHECK (part IS NULL OR (part >= 0 AND part < parts)) NOT VALID,
    DROP CONSTRAINT IF EXISTS runs_deleted_is_final,
    ADD CONSTRAINT runs_deleted_is_final CHECK (
        CASE WHEN deleted_at IS NULL THEN deleted_by IS NULL ELSE completed_at IS NOT NULL END) NOT VALID,
    DROP CONSTRAINT IF EXISTS runs_study_exists,
    ADD CONSTRAINT runs_study_exists FOREIGN KEY (study_id) REFERENCES backtest.runs (run_id)
        ON DELETE CASCADE NOT VALID;

CREATE UNIQUE INDEX IF NOT EXISTS runs_part_of_study ON backtest.runs (study_id, part) WHERE kind = 'part';
-- Lists leave parts out, however many of them are the newest rows.
CREATE INDEX IF NOT EXISTS runs_newest_listed ON backtest.runs (submitted_at DESC, run_id DESC) WHERE kind <> 'part';
CREATE INDEX IF NOT EXISTS runs_equal_results ON backtest.runs (results_sha256) WHERE results_sha256 IS NOT NULL;
-- A submit may ask for a completed run of the same config, data and engine.
CREATE INDEX IF NOT EXISTS runs_equal_fingerprint ON backtest.runs (fingerprint) WHERE fingerprint IS NOT NULL;

-- People may name, tag, note, archive and delete a run that has ended; what it was and what came of it stays.
CREATE OR REPLACE FUNCTION backtest.guard_run() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    labeled backtest.runs := OLD;
BEGIN
    IF OLD.status IN ('completed', 'failed', 'canceled') THEN
        labeled.run_name := NEW.run_name;
        labeled.tags := NEW.tags;
        labeled.note := NEW.note;
        labeled.archived_at := NEW.archived_at;
        labeled.deleted_at := coalesce(OLD.deleted_at, NEW.deleted_at);
        labeled.deleted_by := CASE WHEN OLD.deleted_at IS NULL THEN NEW.deleted_by ELSE OLD.deleted_by END;
        labeled.version := NEW.version;
        labeled.updated_at := NEW.updated_at;
        IF labeled IS DISTINCT FROM NEW OR NEW.version <= OLD.version THEN
            RAISE EXCEPTION 'a final run does not change' USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    IF NEW.fence < OLD.fence THEN
        RAISE EXCEPTION 'a fence only grows' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;

-- Every config that was tried under an experiment, once, whoever tried it and however often.
CREATE TABLE IF NOT EXISTS backtest.trial_ledger (
    experiment     text NOT NULL,
    config_sha256  text NOT NULL,
    first_run_id   text NOT NULL,
    trial          integer,
    first_at       timestamptz NOT NULL DEFAULT now(),
    submitted_by   text,
    returns_sha256 text,
    sharpe_ratio   double precision,
    sharpe_daily   double precision,
    skewness       double precision,
    kurtosis       double precision,
    observations   integer,
    PRIMARY KEY (experiment, config_sha256)
);

GRANT SELECT, INSERT ON backtest.trial_ledger TO backtest_api, backtest_executor;

-- Configs that are run again whenever their tables have a new day, with what came of the last look at them.
CREATE TABLE IF NOT EXISTS backtest.schedules (
    name         text PRIMARY KEY,
    config_json  text NOT NULL,
    cron         text NOT NULL,
    run_when     text NOT NULL CHECK (run_when IN ('new_data')),
    submitted_by text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    looked_at    timestamptz,
    last_date    date,
    last_run_id  text,
    error        text
);

GRANT SELECT, INSERT, UPDATE, DELETE ON backtest.schedules TO backtest_api;
