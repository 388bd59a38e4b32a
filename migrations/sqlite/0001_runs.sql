-- Run records of the embedded store: the same columns, guards and checks as backtest.runs in Postgres.
-- Times are UTC texts of one width, `YYYY-MM-DDTHH:MM:SS.sssZ`, so that they compare and sort as texts.

CREATE TABLE runs (
    run_id                text PRIMARY KEY NOT NULL,
    status                text NOT NULL CHECK (status IN ('queued', 'running', 'completed', 'failed', 'canceled')),
    status_reason         text,
    submitted_at          text NOT NULL,
    started_at            text,
    completed_at          text,
    run_name              text,
    start_date            text NOT NULL,
    end_date              text NOT NULL,
    output_dir            text,
    adls_container        text,
    adls_prefix           text,
    error                 text,
    config_json           text NOT NULL,
    effective_config_json text NOT NULL,
    attempt               integer NOT NULL DEFAULT 0,
    max_attempts          integer NOT NULL,
    fence                 integer NOT NULL DEFAULT 0,
    lease_owner           text,
    lease_expires_at      text,
    heartbeat_at          text,
    deadline_at           text,
    announced_at          text,
    announce_count        integer NOT NULL DEFAULT 0,
    available_at          text NOT NULL,
    cancel_requested_at   text,
    progress              real NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 1),
    progress_note         text,
    idempotency_key       text UNIQUE,
    request_sha256        text NOT NULL,
    config_sha256         text NOT NULL,
    data_versions         text,
    engine_version        text,
    fingerprint           text,
    parent_run_id         text,
    submitted_by          text,
    summary               text,
    manifest_sha256       text,
    version               integer NOT NULL DEFAULT 1,
    traceparent           text,
    updated_at            text NOT NULL,
    CHECK (attempt BETWEEN 0 AND max_attempts),
    CHECK ((status = 'running') = (lease_owner IS NOT NULL AND lease_expires_at IS NOT NULL
                                   AND heartbeat_at IS NOT NULL AND deadline_at IS NOT NULL)),
    CHECK ((status IN ('completed', 'failed', 'canceled')) = (completed_at IS NOT NULL)),
    CHECK (status <> 'completed' OR (manifest_sha256 IS NOT NULL AND summary IS NOT NULL)),
    CHECK (status <> 'failed' OR (error IS NOT NULL AND status_reason IS NOT NULL))
) STRICT;

CREATE INDEX runs_newest ON runs (submitted_at DESC, run_id DESC);
CREATE INDEX runs_unfinished ON runs (status, available_at) WHERE status IN ('queued', 'running');

CREATE TRIGGER runs_guard BEFORE UPDATE ON runs
BEGIN
    SELECT RAISE(ABORT, 'a final run does not change')
    WHERE OLD.status IN ('completed', 'failed', 'canceled');
    SELECT RAISE(ABORT, 'a fence only grows') WHERE NEW.fence < OLD.fence;
END;

CREATE TABLE run_events (
    run_id  text NOT NULL REFERENCES runs (run_id),
    version integer NOT NULL,
    at      text NOT NULL,
    event   text NOT NULL,
    fence   integer NOT NULL,
    actor   text NOT NULL,
    detail  text NOT NULL,
    PRIMARY KEY (run_id, version)
) STRICT, WITHOUT ROWID;
