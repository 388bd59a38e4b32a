-- The columns, guards and checks of migrations/postgres/0008_studies.sql. A list is JSON here.

ALTER TABLE runs ADD COLUMN kind text NOT NULL DEFAULT 'backtest'
    CHECK (kind IN ('backtest', 'study', 'part', 'reproduction', 'audit'));
ALTER TABLE runs ADD COLUMN study_id text REFERENCES runs (run_id) ON DELETE CASCADE;
ALTER TABLE runs ADD COLUMN part integer
    CHECK ((kind = 'part') = (study_id IS NOT NULL AND part IS NOT NULL));
ALTER TABLE runs ADD COLUMN parts integer CHECK (part IS NULL OR (part >= 0 AND part < parts));
ALTER TABLE runs ADD COLUMN trials integer;
ALTER TABLE runs ADD COLUMN experiment text;
ALTER TABLE runs ADD COLUMN pins text;
ALTER TABLE runs ADD COLUMN results_sha256 text;
ALTER TABLE runs ADD COLUMN tags text NOT NULL DEFAULT '[]' CHECK (json_type(tags) = 'array');
ALTER TABLE runs ADD COLUMN note text;
ALTER TABLE runs ADD COLUMN archived_at text;
ALTER TABLE runs ADD COLUMN deleted_at text CHECK (deleted_at IS NULL OR completed_at IS NOT NULL);
ALTER TABLE runs ADD COLUMN deleted_by text CHECK (deleted_by IS NULL OR deleted_at IS NOT NULL);

CREATE UNIQUE INDEX runs_part_of_study ON runs (study_id, part) WHERE kind = 'part';
CREATE INDEX runs_equal_results ON runs (results_sha256) WHERE results_sha256 IS NOT NULL;
-- A submit may ask for a completed run of the same config, data and engine.
CREATE INDEX runs_equal_fingerprint ON runs (fingerprint) WHERE fingerprint IS NOT NULL;

DROP TRIGGER runs_guard;

CREATE TRIGGER runs_guard BEFORE UPDATE ON runs
BEGIN
    -- People may name, tag, note, archive and delete a run that has ended; all else stays.
    SELECT RAISE(ABORT, 'a final run does not change')
    WHERE OLD.status IN ('completed', 'failed', 'canceled')
      AND (NEW.version <= OLD.version
           OR (OLD.deleted_at IS NOT NULL
               AND (NEW.deleted_at IS NOT OLD.deleted_at OR NEW.deleted_by IS NOT OLD.deleted_by))
           OR NEW.run_id IS NOT OLD.run_id OR NEW.status IS NOT OLD.status
           OR NEW.status_reason IS NOT OLD.status_reason OR NEW.submitted_at IS NOT OLD.submitted_at
           OR NEW.started_at IS NOT OLD.started_at OR NEW.completed_at IS NOT OLD.completed_at
           OR NEW.start_date IS NOT OLD.start_date OR NEW.end_date IS NOT OLD.end_date
           OR NEW.output_dir IS NOT OLD.output_dir OR NEW.adls_container IS NOT OLD.adls_container
           OR NEW.adls_prefix IS NOT OLD.adls_prefix OR NEW.error IS NOT OLD.error
           OR NEW.config_json IS NOT OLD.config_json
           OR NEW.effective_config_json IS NOT OLD.effective_config_json
           OR NEW.attempt IS NOT OLD.attempt OR NEW.max_attempts IS NOT OLD.max_attempts
           OR NEW.fence IS NOT OLD.fence OR NEW.lease_owner IS NOT OLD.lease_owner
           OR NEW.lease_expires_at IS NOT OLD.lease_expires_at OR NEW.heartbeat_at IS NOT OLD.heartbeat_at
           OR NEW.deadline_at IS NOT OLD.deadline_at OR NEW.announced_at IS NOT OLD.announced_at
           OR NEW.announce_count IS NOT OLD.announce_count OR NEW.available_at IS NOT OLD.available_at
           OR NEW.cancel_requested_at IS NOT OLD.cancel_requested_at OR NEW.progress IS NOT OLD.progress
           OR NEW.progress_note IS NOT OLD.progress_note OR NEW.idempotency_key IS NOT OLD.idempotency_key
           OR NEW.request_sha256 IS NOT OLD.request_sha256 OR NEW.config_sha256 IS NOT OLD.config_sha256
           OR NEW.data_versions IS NOT OLD.data_versions OR NEW.engine_version IS NOT OLD.engine_version
           OR NEW.fingerprint IS NOT OLD.fingerprint OR NEW.parent_run_id IS NOT OLD.parent_run_id
           OR NEW.submitted_by IS NOT OLD.submitted_by OR NEW.summary IS NOT OLD.summary
           OR NEW.manifest_sha256 IS NOT OLD.manifest_sha256 OR NEW.traceparent IS NOT OLD.traceparent
           OR NEW.kind IS NOT OLD.kind OR NEW.study_id IS NOT OLD.study_id OR NEW.part IS NOT OLD.part
           OR NEW.parts IS NOT OLD.parts OR NEW.trials IS NOT OLD.trials
           OR NEW.experiment IS NOT OLD.experiment OR NEW.pins IS NOT OLD.pins
           OR NEW.results_sha256 IS NOT OLD.results_sha256);
    SELECT RAISE(ABORT, 'a fence only grows') WHERE NEW.fence < OLD.fence;
END;

CREATE TABLE trial_ledger (
    experiment     text NOT NULL,
    config_sha256  text NOT NULL,
    first_run_id   text NOT NULL,
    trial          integer,
    first_at       text NOT NULL,
    submitted_by   text,
    returns_sha256 text,
    sharpe_ratio   real,
    sharpe_daily   real,
    skewness       real,
    kurtosis       real,
    observations   integer,
    PRIMARY KEY (experiment, config_sha256)
) STRICT, WITHOUT ROWID;

CREATE TABLE schedules (
    name         text NOT NULL PRIMARY KEY,
    config_json  text NOT NULL,
    cron         text NOT NULL,
    run_when     text NOT NULL CHECK (run_when IN ('new_data')),
    submitted_by text,
    created_at   text NOT NULL,
    updated_at   text NOT NULL,
    looked_at    text,
    last_date    text,
    last_run_id  text,
    error        text
) STRICT, WITHOUT ROWID;
