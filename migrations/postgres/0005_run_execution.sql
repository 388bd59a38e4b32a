-- What safe execution on many instances needs: leases, fences, history, and a table that refuses nonsense.
-- Nothing indexes lease_expires_at, heartbeat_at, progress or updated_at, so that a beat stays a heap-only update;
-- the free space of each page is for them.
ALTER TABLE backtest.runs
    ADD COLUMN IF NOT EXISTS status_reason       text,
    ADD COLUMN IF NOT EXISTS attempt             integer NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS max_attempts        integer NOT NULL DEFAULT 3,
    ADD COLUMN IF NOT EXISTS fence               bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS lease_owner         text,
    ADD COLUMN IF NOT EXISTS lease_expires_at    timestamptz,
    ADD COLUMN IF NOT EXISTS heartbeat_at        timestamptz,
    ADD COLUMN IF NOT EXISTS deadline_at         timestamptz,
    ADD COLUMN IF NOT EXISTS announced_at        timestamptz,
    ADD COLUMN IF NOT EXISTS announce_count      integer NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS available_at        timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN IF NOT EXISTS cancel_requested_at timestamptz,
    ADD COLUMN IF NOT EXISTS progress            double precision NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS progress_note       text,
    ADD COLUMN IF NOT EXISTS idempotency_key     text,
    ADD COLUMN IF NOT EXISTS request_sha256      text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS config_sha256       text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS data_versions       jsonb,
    ADD COLUMN IF NOT EXISTS engine_version      text,
    ADD COLUMN IF NOT EXISTS fingerprint         text,
    ADD COLUMN IF NOT EXISTS parent_run_id       text,
    ADD COLUMN IF NOT EXISTS submitted_by        text,
    ADD COLUMN IF NOT EXISTS summary             jsonb,
    ADD COLUMN IF NOT EXISTS manifest_sha256     text,
    ADD COLUMN IF NOT EXISTS version             bigint NOT NULL DEFAULT 1,
    ADD COLUMN IF NOT EXISTS traceparent         text,
    ADD COLUMN IF NOT EXISTS updated_at          timestamptz NOT NULL DEFAULT now();

ALTER TABLE backtest.runs SET (fillfactor = 80);

-- A run that was under way before there were leases gets one: its executor has until the deadline to end it,
-- then somebody may take over.
UPDATE backtest.runs
SET lease_owner = 'before leases', lease_expires_at = now() + interval '30 minutes', heartbeat_at = now(),
    deadline_at = now() + interval '60 minutes', started_at = coalesce(started_at, submitted_at)
WHERE status = 'running' AND lease_owner IS NULL;

-- Not checked for rows that are older than the checks; every row that is written from here on is.
ALTER TABLE backtest.runs
    DROP CONSTRAINT IF EXISTS runs_attempt_in_range,
    ADD CONSTRAINT runs_attempt_in_range CHECK (attempt BETWEEN 0 AND max_attempts) NOT VALID,
    DROP CONSTRAINT IF EXISTS runs_progress_is_a_share,
    ADD CONSTRAINT runs_progress_is_a_share CHECK (progress BETWEEN 0 AND 1) NOT VALID,
    DROP CONSTRAINT IF EXISTS runs_running_has_a_lease,
    ADD CONSTRAINT runs_running_has_a_lease CHECK (
        CASE WHEN status = 'running'
             THEN num_nulls(lease_owner, lease_expires_at, heartbeat_at, deadline_at, started_at) = 0
             ELSE num_nonnulls(lease_owner, lease_expires_at, heartbeat_at, deadline_at) = 0
        END) NOT VALID,
    DROP CONSTRAINT IF EXISTS runs_final_has_an_end,
    ADD CONSTRAINT runs_final_has_an_end CHECK (
        (status IN ('completed', 'failed', 'canceled')) = (completed_at IS NOT NULL)) NOT VALID,
    DROP CONSTRAINT IF EXISTS runs_completed_has_a_manifest,
    ADD CONSTRAINT runs_completed_has_a_manifest CHECK (
        status <> 'completed' OR num_nulls(manifest_sha256, summary) = 0) NOT VALID,
    DROP CONSTRAINT IF EXISTS runs_failed_has_an_error,
    ADD CONSTRAINT runs_failed_has_an_error CHECK (
        status <> 'failed' OR num_nulls(error, status_reason) = 0) NOT VALID;

CREATE UNIQUE INDEX IF NOT EXISTS runs_idempotency_key ON backtest.runs (idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS runs_newest ON backtest.runs (submitted_at DESC, run_id DESC);
CREATE INDEX IF NOT EXISTS runs_queued ON backtest.runs (available_at) WHERE status = 'queued';
CREATE INDEX IF NOT EXISTS runs_running ON backtest.runs (run_id) WHERE status = 'running';

CREATE OR REPLACE FUNCTION backtest.guard_run() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF OLD.status IN ('completed', 'failed', 'canceled') THEN
        RAISE EXCEPTION 'a final run does not change' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.fence < OLD.fence THEN
        RAISE EXCEPTION 'a fence only grows' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER runs_guard BEFORE UPDATE ON backtest.runs
    FOR EACH ROW EXECUTE FUNCTION backtest.guard_run();

CREATE TABLE IF NOT EXISTS backtest.run_events (
    run_id  text NOT NULL REFERENCES backtest.runs (run_id) ON DELETE CASCADE,
    version bigint NOT NULL,
    at      timestamptz NOT NULL DEFAULT now(),
    event   text NOT NULL,
    fence   bigint NOT NULL,
    actor   text NOT NULL,
    detail  jsonb NOT NULL,
    PRIMARY KEY (run_id, version)
);

GRANT SELECT, INSERT ON backtest.run_events TO api_service, backtest_service;
